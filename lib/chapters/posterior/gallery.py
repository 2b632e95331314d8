"""Pictures of restoration: original, measurement, MMSE estimate, several samples, their spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chapters.posterior import tasks
from chapters.posterior.restoration import METHODS, Tuned, Weights, rule
from chapters.posterior.restoration import draws as restored
from chapters.posterior.wiener import Setting, deblur, posterior_mean, rules
from diffbook import inverse
from diffbook.samplers.protocol import initial_noise


@dataclass(frozen=True, eq=False)
class Gallery:
    """A few images, what was measured of them, and several restorations of each."""

    original: NDArray  # (n, h, w)
    measurement: NDArray  # as images; NaN where nothing was measured
    mean: NDArray  # of all restorations, or a closed form
    samples: NDArray  # some restorations, (n, m, h, w)
    std: NDArray  # of all restorations per pixel


def photograph(
    image: NDArray, name: str, S: int, method: str, k: int = 0, *, draws: int = 8, seed: int = 0,
    tuned: Tuned | None = None, weights: Weights | None = None,
) -> Gallery:  # fmt: skip
    """Restore one grey photograph of any size several times, with what was designed on patches."""
    side = tasks.SIDES["photos"]
    value = (tuned or {}).get(("photos", name, S, method), 1.0)
    sampler, used, options = rule(method, tasks.make_task("photos", name), S, value, weights)
    if METHODS[method].weights == "rule":
        used *= len(image) / side  # the norm of the residual grows with the side
    task, x0 = tasks.make_task("photos", name, len(image)), image[None]
    x, y, _ = restored(task, x0, S, (sampler, used, options), k, draws, seed)
    return Gallery(x0, shown(task.operator, y), x.mean(1), x, x.std(1, ddof=1))


def shown(operator: inverse.Degradation, y: NDArray) -> NDArray:
    """Measurements (n, *measurement_shape) as images (n, h, w); NaN where nothing was measured."""
    if isinstance(operator, inverse.Downsampling):
        return y.repeat(operator.factor, axis=-2).repeat(operator.factor, axis=-1)
    if isinstance(operator, inverse.Mask):
        return np.where(operator.mask, operator.adjoint(y), np.nan)
    return y


def wiener_gallery(
    case: Setting, S: int, method: str, zeta: float, *, which: Sequence[int] = (0, 1, 2, 3),
    draws: int = 24, keep: int = 4, seed: int = 0,
) -> Gallery:  # fmt: skip
    """Restore a few test patches many times; the MMSE estimate is the Wiener filter's."""
    shape, count, n = case.prior.shape, max(which) + 1, len(which)
    x0 = tasks.images("photos", "test", count, shape[0])
    noise = initial_noise(tasks.noise_seeds(seed, 0, count, 0), shape)
    y = inverse.measure(case.operator, x0, case.sigma_y, noise)[list(which)]
    x_T = initial_noise(tasks.noise_seeds(seed, 0, n * draws, 4), shape)
    x = deblur(case, x_T, S, np.repeat(y, draws, axis=0), rules(case, S, zeta)[method][0])
    x, mean = x.reshape(n, draws, *shape), posterior_mean(case, y)
    return Gallery(x0[list(which)], y, mean, x[:, :keep], x.std(1, ddof=1))


def as_grid(
    galleries: dict[str, Gallery], count: int = 2, mean: str = "mean"
) -> tuple[dict[str, dict[str, NDArray]], dict[str, NDArray]]:
    """Arrange restorations of the same images by several methods as rows of a grid."""
    first, rows, std = next(iter(galleries.values())), {}, {}
    for i, original in enumerate(first.original):
        label = str(i + 1)
        rows[label] = {"original": original, "measured": first.measurement[i], mean: first.mean[i]}
        for name, found in galleries.items():
            rows[label] |= {f"{name} {j + 1}": found.samples[i, j] for j in range(count)}
        std[label] = first.std[i]
    return rows, std
