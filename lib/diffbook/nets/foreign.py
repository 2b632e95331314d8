"""Adapters that plug a foreign pretrained model into the samplers of this book.

A model comes from a *factory*: a function in any Python file or installed module, named as
`"path/to/file.py:function"` or `"package.module:function"`. It takes no arguments and returns a
mapping:

- `model`: the callable (a torch module or a plain function);
- `predicts`: `"eps"` for `model(x_t, t) -> eps_hat` with integer time steps t (n,) on a chain of
  levels (VP states; guided-diffusion's interface), or `"x0"` for `model(y, sigma) -> x0_hat` with
  noise levels sigma (n,) (VE states; EDM's interface);
- `shape`: shape of one image, for example `(3, 256, 256)`;
- `alpha_bar` (only for `"eps"`, optional): the levels of the chain, clean end first; default the
  linear-beta chain of 1000 levels.

The file is Python that *you* chose to run; weights are read from safetensors only
(`load_safetensors`), because unpickling a checkpoint runs whatever its author put in.

Sources of the interfaces: Dhariwal, Nichol 2021 (guided-diffusion, arXiv 2105.05233); Karras et al.
2022 (EDM, arXiv 2206.00364).
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from diffbook._checks import choice, real, reals, whole
from diffbook.nets.store import fill, read_safetensors
from diffbook.nets.unet import tensor, torch_device
from diffbook.samplers.adapters import at_timesteps, vp_from_ve, x0_from_eps
from diffbook.schedules.families import ddpm_chain, nearest_timesteps
from diffbook.schedules.levels import validate_alpha_bar

PREDICTIONS = ("eps", "x0")


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A foreign model behind the book's denoiser protocol.

    Parameters
    ----------
    denoiser
        `denoiser(x_t, alpha_bar_t, cond=None) -> x0_hat` on ``(n, *shape)``, numpy or torch; gradients
        flow through torch arrays.
    shape
        Shape of one image.
    alpha_bar
        Levels that the model knows, clean end first; None if it takes any level.
    """

    denoiser: Callable
    shape: tuple[int, ...]
    alpha_bar: NDArray | None

    def schedule(self, alpha_bar: ArrayLike) -> NDArray:
        """Return a schedule of levels the model knows, nearest to the wanted one; see `rounded`."""
        alpha_bar = validate_alpha_bar(alpha_bar, allow_one=True)
        return alpha_bar if self.alpha_bar is None else rounded(alpha_bar, self.alpha_bar)


def load_pretrained(
    spec: str,
    *,
    device: str = "cpu",
    batch: int = 16,
    clip: tuple[float, float] | None = (-1.0, 1.0),
) -> Pretrained:
    """Load a foreign model and adapt it; what is not of the form described is refused.

    Parameters
    ----------
    spec
        `"path/to/file.py:function"` or `"package.module:function"`; see the module's docstring.
    device
        Torch device that runs the model.
    batch
        Largest number of images in one pass.
    clip
        Range that x0_hat is clamped to, or None. Clamping is what the published samplers do with
        networks; it makes the denoiser nonlinear, and its gradient zero where it acts.
    """
    found = _factory(spec)()
    if not isinstance(found, Mapping):
        raise ValueError(f"spec: {spec!r} returned {type(found).__name__}, expected a mapping")
    unknown = set(found) - {"model", "predicts", "shape", "alpha_bar"}
    missing = {"model", "predicts", "shape"} - set(found)
    if unknown or missing:
        raise ValueError(
            f"spec: {spec!r} lacks {sorted(missing)} and has the unknown {sorted(unknown)}"
        )
    predicts = choice(found["predicts"], f"{spec}: predicts", PREDICTIONS)
    shape = tuple(whole(n, f"{spec}: shape") for n in np.ravel(found["shape"]))
    if not callable(found["model"]):
        raise ValueError(f"{spec}: model: got {found['model']!r}, expected a function or a module")
    settings = {"device": device, "batch": batch, "clip": clip}
    if predicts == "x0":
        return Pretrained(from_sigma_model(found["model"], **settings), shape, None)
    levels = found.get("alpha_bar")
    levels = validate_alpha_bar(ddpm_chain() if levels is None else levels, f"{spec}: alpha_bar")
    return Pretrained(from_eps_model(found["model"], levels, **settings), shape, levels)


def from_eps_model(
    model: Callable,
    alpha_bar: ArrayLike,
    *,
    device: str = "cpu",
    batch: int = 16,
    clip: tuple[float, float] | None = (-1.0, 1.0),
) -> Callable:
    """Make a denoiser of a noise model with integer time steps, `model(x_t, t) -> eps_hat`.

    Parameters
    ----------
    model
        Takes images (n, c, h, w) in float32 and time steps (n,) in int64, indices into `alpha_bar`.
        Twice as many channels in the answer are a learned variance in the second half (IDDPM, arXiv
        2102.09672); it is not used.
    alpha_bar
        Levels of the chain, clean end first.
    device, batch, clip
        As in `load_pretrained`.

    Returns
    -------
    callable
        `denoiser(x_t, alpha_bar_t, cond=None)`; a level that is not one of the chain's is refused
        (round the schedule with `rounded`).
    """
    levels = validate_alpha_bar(alpha_bar)

    def eps(x: torch.Tensor, t: int, cond: Any = None) -> torch.Tensor:
        steps = torch.full((len(x),), t, dtype=torch.int64, device=device)
        return _answer(model, x, steps, f"t = {t}")

    # x0 is formed in the caller's precision: at the noisy end eps_hat is multiplied by about 150.
    return _adapted(x0_from_eps(at_timesteps(eps, levels)), model, device, batch, clip)


def from_sigma_model(
    model: Callable,
    *,
    device: str = "cpu",
    batch: int = 16,
    clip: tuple[float, float] | None = (-1.0, 1.0),
) -> Callable:
    """Make a denoiser of a model of clean images with continuous levels, `model(y, sigma) -> x0_hat`.

    Parameters
    ----------
    model
        Takes y = x0 + sigma eps (n, c, h, w) in float32 and noise levels (n,) in float32.
    device, batch, clip
        As in `load_pretrained`.
    """

    def x0(y: torch.Tensor, sigma: float, cond: Any = None) -> torch.Tensor:
        levels = torch.full((len(y),), float(sigma), device=device)
        return _answer(model, y, levels, f"sigma = {sigma:g}")

    return _adapted(vp_from_ve(x0), model, device, batch, clip)


def rounded(alpha_bar: ArrayLike, alpha_bar_train: ArrayLike) -> NDArray:
    """Round a schedule to the levels of a chain (nearest in log-SNR; repeated levels are dropped).

    Parameters
    ----------
    alpha_bar
        Wanted schedule, clean end first. A first level of exactly 1 (a last step that ends without
        noise) is kept: there the model is not evaluated.
    alpha_bar_train
        Levels that the model was trained on.

    Returns
    -------
    ndarray
        A schedule with at most as many steps.
    """
    wanted = validate_alpha_bar(alpha_bar, allow_one=True)
    if wanted[0] < 1.0:
        return nearest_timesteps(wanted, alpha_bar_train)[1]
    train = validate_alpha_bar(alpha_bar_train, "alpha_bar_train")
    if len(wanted) == 2:  # one noisy level only: no schedule in the sense of nearest_timesteps
        logit = np.log(train) - np.log1p(-train)
        gap = np.abs(logit - (np.log(wanted[1]) - np.log1p(-wanted[1])))
        return np.array([1.0, train[np.argmin(gap)]])
    return np.concatenate([[1.0], nearest_timesteps(wanted[1:], train)[1]])


def load_safetensors(module: torch.nn.Module, path: str | Path) -> torch.nn.Module:
    """Fill a module with weights from a safetensors file; every name must agree.

    Raises ValueError if the file is damaged, does not fit the module, or is of another kind
    (checkpoints in other formats are unpickled, which runs code).
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(
            f"path: got {path.name!r}, expected a .safetensors file; convert the checkpoint where "
            "you trust it, this book never unpickles"
        )
    advice = "fetch or convert it again"
    fill(module, read_safetensors(path, advice)[0], path, advice)
    return module


def _factory(spec: str) -> Callable:
    """Find the function that `spec` names."""
    place, colon, name = str(spec).rpartition(":")
    if not (colon and place and name.isidentifier()):
        raise ValueError(
            f"spec: got {spec!r}, expected 'path/to/file.py:function' or 'package.module:function'"
        )
    if place.endswith(".py"):
        path = Path(place)
        if not path.is_file():
            raise FileNotFoundError(f"spec: there is no file {place!r}")
        source = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(source)
        source.loader.exec_module(module)
    else:
        module = importlib.import_module(place)
    found = getattr(module, name, None)
    if not callable(found):
        raise ValueError(f"spec: {place!r} has no function {name!r}")
    return found


def _answer(model: Callable, x: torch.Tensor, levels: torch.Tensor, at: str) -> torch.Tensor:
    """Ask a model in float32, drop the channels of a learned variance, refuse what is no answer."""
    name = f"model {getattr(model, '__name__', type(model).__name__)} at {at}"
    x32 = x.to(device=levels.device, dtype=torch.float32)
    answer = model(x32, levels)
    if not isinstance(answer, torch.Tensor) or not answer.is_floating_point():
        kind = getattr(answer, "dtype", type(answer).__name__)
        raise ValueError(f"{name}: answered {kind}, expected a tensor in real floating point")
    if answer.shape not in (x.shape, (len(x), 2 * x.shape[1], *x.shape[2:])):
        raise ValueError(
            f"{name}: answered shape {tuple(answer.shape)} to {tuple(x.shape)}, expected the same, or "
            "twice the channels"
        )
    used = answer[:, : x.shape[1]]
    # States that are not finite are those of a diverging sampler, which shows as such.
    if x32.isfinite().all() and not used.isfinite().all():
        largest = float(x32.detach().abs().max())
        raise ValueError(f"{name}: answered values that are not finite to states up to {largest:g}")
    return used.to(x)


def _adapted(
    core: Callable, model: Callable, device: str, batch: int, clip: tuple[float, float] | None
) -> Callable:
    """Wrap a torch denoiser: evaluation mode, numpy or torch, batches, clamping."""
    device, batch = torch_device(device), whole(batch, "batch")
    if clip is not None and not np.diff(reals(clip, "clip", shape=(2,))) > 0:
        raise ValueError(f"clip: got {clip}, expected (low, high) with low < high, or None")
    if isinstance(model, torch.nn.Module):
        # Frozen, so that samplers differentiate with respect to the state and nothing else.
        model.to(device).eval().requires_grad_(False)

    def denoiser(x_t: Any, alpha_bar_t: float, cond: Any = None) -> Any:
        if cond is not None:
            raise ValueError("cond: got a condition, expected None (the adapter is unconditional)")
        kind = "numpy" if isinstance(x_t, np.ndarray) else "torch"
        with torch.no_grad() if kind == "numpy" else nullcontext():
            x = tensor(x_t)
            level = real(alpha_bar_t, "alpha_bar_t", "(0, 1]")
            x0 = torch.cat([core(part, level) for part in x.split(batch)])
            x0 = x0 if clip is None else x0.clamp(*clip)
        return x0.numpy() if kind == "numpy" else x0

    return denoiser
