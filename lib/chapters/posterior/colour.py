"""Deblurring of colour images: with a Gaussian model of decorrelated channels, or a pretrained one.

The design needs one spectrum for each decorrelated channel; the degradation acts on every channel
alike, and so do the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook import inverse
from diffbook.inverse import gains, published
from diffbook.inverse.design import design_weights
from diffbook.inverse.exact import gaussian_vjp
from diffbook.inverse.filters import compose
from diffbook.inverse.problem import Problem, make_problem, merged
from diffbook.metrics.cells import Cell
from diffbook.metrics.intervals import mean_ci
from diffbook.metrics.restoration import psnr
from diffbook.nets.foreign import Pretrained
from diffbook.priors.colour import ChannelPriors
from diffbook.samplers.protocol import initial_noise
from diffbook.schedules.families import ddpm_respaced


def colour_problem(prior: ChannelPriors, transfer: ArrayLike, sigma_y: float) -> Problem:
    """All modes of the three decorrelated channels, each with the same transfer function."""
    modes = np.stack([one.mu0_spectral for one in prior.priors])
    h = np.broadcast_to(transfer, prior.shape)
    return make_problem(prior.lam, h, sigma_y, mu0=modes)


def deblur_colour(
    prior: ChannelPriors,
    x0: NDArray,
    steps: Sequence[int],
    *,
    pretrained: Pretrained | None = None,
    std: float = 1.5,
    sigma_y: float = 0.1,
    seed: int = 0,
    batch: int = 16,
) -> list[Cell]:
    """Deblur colour images with DPS: designed weights, the best ``zeta'`` of the model, and 1."""
    if tuple(x0.shape[1:]) != prior.shape:
        raise ValueError(f"x0 must have shape (n, *{prior.shape}), got {x0.shape}")
    if pretrained is not None and tuple(pretrained.shape) != prior.shape:
        raise ValueError(f"pretrained is for {pretrained.shape}, the images are {prior.shape}")
    op = inverse.Blur.from_transfer(inverse.gaussian_transfer(prior.shape[1:], std))
    problem = merged(colour_problem(prior, op.spectrum, sigma_y))
    seeds = np.random.SeedSequence(seed).generate_state(2 * len(x0)).tolist()
    y = inverse.measure(op, x0, sigma_y, initial_noise(seeds[::2], x0.shape[1:]))
    x_T = initial_noise(seeds[1::2], x0.shape[1:])
    denoiser, vjp = prior.denoise, gaussian_vjp(prior)
    if pretrained is not None:
        import torch

        denoiser, vjp = pretrained.denoiser, None
        x_T, y = (torch.as_tensor(v, dtype=torch.float32) for v in (x_T, y))
    rows = []
    for S in steps:
        ab = ddpm_respaced(S) if pretrained is None else pretrained.schedule(ddpm_respaced(S))
        tame = {} if pretrained is None else {"cap": "stability", "tikhonov": 1e-3}
        zeta, _ = inverse.best_normalised(problem, ab)
        methods = {
            "designed": design_weights(problem, ab, "dps", n_bins=128, **tame).weights,
            "best zeta' of the model": published.normalised(zeta),
            "zeta' = 1": published.normalised(1.0),
        }
        for name, weights in methods.items():
            parts = [
                published.dps(
                    denoiser, x_T[i : i + batch], ab, y=y[i : i + batch], operator=op,
                    sigma_y=sigma_y, weights=weights, vjp=vjp,
                ).sample
                for i in range(0, len(x0), batch)
            ]  # fmt: skip
            # A model with few levels may take fewer steps than were asked for.
            x = np.concatenate([np.asarray(part) for part in parts])
            found = {"PSNR": psnr(x, x0), "MSE": np.sum((x - x0) ** 2, axis=(1, 2, 3))}
            if name == "designed":
                filtered = compose(problem, ab, gains.dps(problem, ab, weights))
                found["predicted MSE"] = np.array([filtered.mse])
            rows += [Cell(len(ab) - 1, name, metric, seed, v) for metric, v in found.items()]
    return rows


def summarise(rows: Sequence[Cell], metric: str) -> dict[str, list[float]]:
    """Mean of a metric by method, one value per number of steps."""
    kept = [row for row in rows if row.metric == metric]
    names = dict.fromkeys(row.method for row in kept)
    return {name: [row.mean for row in kept if row.method == name] for name in names}


class Material(NamedTuple):
    """What a study in colour is made of: a prior, test images, and a pretrained model or None."""

    prior: ChannelPriors
    test: NDArray
    model: Pretrained | None


def material(n: int, pretrained: str = "", real: bool = False) -> Material:
    """Open CIFAR-10, or images of the size that a pretrained model wants, and the model."""
    import torch

    from diffbook.datasets import cifar, photos
    from diffbook.nets.foreign import load_pretrained

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = load_pretrained(pretrained, device=device) if pretrained else None
    size = model.shape[-1] if model else 32
    if real and size == 32:
        train, test = (np.moveaxis(cifar.images(split), -1, 1) for split in ("train", "test"))
    else:
        train = photos.colour_crops(200, size, "train", rng=7)
        test = photos.colour_crops(min(n, 64), size, "test", rng=8)
    return Material(ChannelPriors.estimated(train, channels="first"), test[:n], model)


def prediction_error(rows: Sequence[Cell]) -> tuple[float, float, float]:
    """Largest relative error of the predicted MSE over the numbers of steps, with its 95 % interval."""
    found = []
    for said in (row for row in rows if row.metric == "predicted MSE"):
        key = (said.S, said.method, "MSE")
        (drawn,) = (row for row in rows if (row.S, row.method, row.metric) == key)
        measured = _, least, most = mean_ci(drawn.value)
        off, *ends = np.abs(np.divide(said.mean, measured) - 1).tolist()
        within = least <= said.mean <= most
        found.append((off, 0.0 if within else min(ends), max(ends)))
    return max(found)
