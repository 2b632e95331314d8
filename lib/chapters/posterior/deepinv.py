"""The library deepinv on this book's problems, where it is installed: another hand's samplers.

Only the tests, the benchmarks and one table of chapter 2 use it, and all of them skip it with a
reason where it is missing. What is compared is the Gaussian denoiser of a stationary prior with a
circular blur, on one schedule and from one starting noise, so that both sides must agree to
rounding (deepinv calls its denoisers in single precision).

Source: Tachella et al. 2025, "DeepInverse", Journal of Open Source Software,
doi:10.21105/joss.08923; version 0.5.0 was read.
"""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from diffbook.inverse.operators import Blur
from diffbook.priors.gaussian import GaussianPrior
from diffbook.schedules.levels import validate_alpha_bar

Method = Literal["dps", "dps_norm", "pigdm", "ald", "moment_matching"]

FIDELITIES: dict[str, tuple[str, dict[str, Any]]] = {
    "dps": ("DPSDataFidelity", {"guidance": "annealed"}),
    "dps_norm": ("DPSDataFidelity", {"guidance": "norm"}),
    "pigdm": ("PiGDMDataFidelity", {}),
    "ald": ("ALDDataFidelity", {}),
    "moment_matching": ("MomentMatchingDataFidelity", {}),
}
"""Approximations of ``p(y | x_s)``: deepinv's class and what selects the variant."""

INSTALL = 'see "Comparing with deepinv" in book/how_to_rerun.md'


@cache
def missing() -> str:
    """Why deepinv cannot be used here; empty if it can."""
    if importlib.util.find_spec("deepinv") is None:
        return f"deepinv is not installed ({INSTALL})"
    try:
        load()
    except Exception as error:  # a broken installation must not break who only asks
        return f"deepinv cannot be imported: {type(error).__name__}: {error} ({INSTALL})"
    return ""


@cache
def load() -> ModuleType:
    """Import deepinv.

    Raises
    ------
    ImportError
        If it, or a package it needs, is not installed.
    """
    _declare_operators()
    return importlib.import_module("deepinv")


@cache
def _declare_operators() -> torch.library.Library | None:
    """Make torchvision importable beside a PyTorch that its compiled part was not built for.

    torchvision describes two of its operators to PyTorch when it is imported, and fails if they do
    not exist, as with a CUDA build of torchvision beside the CPU build of PyTorch. Declaring them
    is enough for that; deepinv's samplers never call them. The declarations last as long as the
    object that is returned (and kept by the cache).
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return None
    for compiled in Path(spec.origin).parent.glob("_C*"):
        try:
            torch.ops.load_library(str(compiled))
        except OSError:
            continue
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


def schedule(S: int, beta_min: float = 0.1, beta_max: float = 20.0) -> NDArray[np.float64]:
    """``alpha_bar`` of deepinv's variance-preserving process at S + 1 equidistant times, (S + 1,).

    ``exp(-beta_min t - (beta_max - beta_min) t^2 / 2)`` for t from 0 to 1: the linear-beta chain
    in continuous time, with ``alpha_bar[0] = 1``.
    """
    if S < 1:
        raise ValueError(f"S must be at least 1, got {S!r}")
    t = np.linspace(0.0, 1.0, S + 1)
    return validate_alpha_bar(
        np.exp(-beta_min * t - 0.5 * (beta_max - beta_min) * t**2), allow_one=True
    )


class Denoiser(torch.nn.Module):
    """The Gaussian denoiser in deepinv's protocol: ``D(x0 + sigma noise, sigma)``, (n, 1, h, w).

    Parameters
    ----------
    prior : GaussianPrior
        Prior of one grey image.
    """

    def __init__(self, prior: GaussianPrior):
        super().__init__()
        self.prior = prior

    def forward(self, x: torch.Tensor, sigma: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Denoise images that all have the noise level ``sigma`` (one number, or equal ones)."""
        level = float(torch.as_tensor(sigma).flatten()[0])
        return self.prior.denoise_ve(x[:, 0], level)[:, None]


def physics(operator: Blur, sigma_y: float) -> Any:
    """Circular blur with white noise as deepinv's ``BlurFFT``, for images (n, 1, h, w)."""
    if len(operator.shape) != 2:
        raise ValueError(f"operator must be for images, got one for {operator.shape}")
    deepinv = load()
    centre = [n // 2 for n in operator.shape]
    kernel = np.roll(np.fft.ifftn(operator.spectrum).real, centre, (0, 1))
    return deepinv.physics.BlurFFT(
        img_size=(1, *operator.shape),
        filter=torch.from_numpy(kernel[None, None].copy()),
        noise_model=deepinv.physics.GaussianNoise(sigma_y),
    )


def sampler(method: Method, prior: GaussianPrior, S: int, **options: Any) -> Any:
    """Make deepinv's ``PosteriorDiffusion`` with DDIM steps on `schedule` (S).

    Parameters
    ----------
    method : str
        One of `FIDELITIES`.
    prior : GaussianPrior
        Whose denoiser is used.
    S : int
        Number of steps.
    **options
        Of deepinv's data fidelity: ``weight``, ``cg_max_iter``, ...
    """
    if method not in FIDELITIES:
        raise ValueError(f"method must be one of {sorted(FIDELITIES)}, got {method!r}")
    deepinv = load()
    name, selected = FIDELITIES[method]
    return deepinv.sampling.PosteriorDiffusion(
        data_fidelity=getattr(deepinv.sampling, name)(**selected, **options),
        denoiser=Denoiser(prior),
        sde=deepinv.sampling.VariancePreservingDiffusion(alpha=0.0),
        solver=deepinv.sampling.DDIMSolver(
            timesteps=torch.linspace(1.0, 0.0, S + 1, dtype=torch.float64)
        ),
        minus_one_one=False,
    )


def sample(
    method: Method,
    prior: GaussianPrior,
    x_T: torch.Tensor,
    S: int,
    *,
    y: torch.Tensor,
    operator: Blur,
    sigma_y: float,
    **options: Any,
) -> torch.Tensor:
    """Draw grey images (n, h, w) with deepinv, from the noise ``x_T`` and measurements of that shape.

    The other parameters are those of `sampler` and `physics`.
    """
    diffusion = sampler(method, prior, S, **options)
    return diffusion(y[:, None], physics(operator, sigma_y), x_init=x_T[:, None])[:, 0].detach()
