"""Pictures of restoration: original, measurement, MMSE estimate, several samples, their spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chapters.posterior import tasks
from chapters.posterior.restoration import Weights, rule
from chapters.posterior.restoration import draws as restored
from diffbook import inverse


@dataclass(frozen=True, eq=False)
class Gallery:
    """A few images, what was measured of them, and several restorations of each."""

    original: NDArray  # (n, h, w)
    measurement: NDArray  # as images; NaN where nothing was measured
    mean: NDArray  # of all restorations
    samples: NDArray  # some restorations, (n, m, h, w)
    std: NDArray  # of all restorations per pixel


def photograph(
    image: NDArray, name: str, S: int, method: str, k: int = 0, *, draws: int = 8, seed: int = 0,
    weights: Weights | None = None,
) -> Gallery:  # fmt: skip
    """Restore one grey photograph of any size several times, with what was designed on patches."""
    used = rule(method, tasks.make_task("photos", name), S, weights=weights)
    task, x0 = tasks.make_task("photos", name, len(image)), image[None]
    x, y, _ = restored(task, x0, S, used, k, draws, seed)
    return Gallery(x0, shown(task.operator, y), x.mean(1), x, x.std(1, ddof=1))


def shown(operator: inverse.Degradation, y: NDArray) -> NDArray:
    """Measurements (n, *measurement_shape) as images (n, h, w); NaN where nothing was measured."""
    if isinstance(operator, inverse.Downsampling):
        return y.repeat(operator.factor, axis=-2).repeat(operator.factor, axis=-1)
    if isinstance(operator, inverse.Mask):
        return np.where(operator.mask, operator.adjoint(y), np.nan)
    return y
