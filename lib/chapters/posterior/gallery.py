"""Pictures of restoration: original, measurement, MMSE estimate, several samples, their spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chapters.posterior import tasks
from chapters.posterior.restoration import Weights, measured, network, restore, rule
from diffbook import inverse


@dataclass(frozen=True, eq=False)
class Gallery:
    """A few images, what was measured of them, and several restorations of each."""

    original: NDArray  # (n, h, w)
    measurement: NDArray  # as images; NaN where nothing was measured
    mean: NDArray  # of all restorations, or a closed form
    samples: NDArray  # some restorations, (n, m, h, w)
    std: NDArray  # of all restorations per pixel


def gallery(
    data: str, name: str, S: int, method: str, k: int = 0, *, which: Sequence[int] = (0, 1, 2, 3),
    draws: int = 24, keep: int = 4, seed: int = 0, zeta: float | None = None,
    weights: Weights | None = None,
) -> Gallery:  # fmt: skip
    """Restore the test images `which` many times from the measurements of `run_cells`."""
    if not 1 <= keep <= draws or draws < 2:
        raise ValueError(
            f"keep, draws: got {keep} and {draws}, expected 1 <= keep <= draws, 2 <= draws"
        )
    task, which = tasks.make_task(data, name), list(which)
    x0 = tasks.images(data, "test", max(which) + 1)
    y = measured(task, x0, seed, k)[which]
    sampler, used, options = rule(method, task, S, zeta, weights)
    x, _ = restore(
        network(data, k), task, np.repeat(y, draws, axis=0), S, sampler, used,
        seeds=tasks.noise_seeds(seed, k, len(which) * draws, 2), **options,
    )  # fmt: skip
    x = x.reshape(len(which), draws, *x0.shape[1:])
    return Gallery(x0[which], shown(task.operator, y), x.mean(1), x[:, :keep], x.std(1, ddof=1))


def contrasted(data: str, count: int = 4, among: int = 60) -> tuple[int, ...]:
    """Return the indices of the test images with the largest contrast among the first ones."""
    spread = tasks.images(data, "test", among).std(axis=(1, 2))
    return tuple(sorted(np.argsort(spread)[::-1][:count].tolist()))


def shown(operator: inverse.Degradation, y: NDArray) -> NDArray:
    """Measurements (n, *measurement_shape) as images (n, h, w); NaN where nothing was measured."""
    if isinstance(operator, inverse.Downsampling):
        return y.repeat(operator.factor, axis=-2).repeat(operator.factor, axis=-1)
    if isinstance(operator, inverse.Mask):
        return np.where(operator.mask, operator.adjoint(y), np.nan)
    return y


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


def by_task(
    galleries: dict[str, Gallery], count: int = 3
) -> tuple[dict[str, dict[str, NDArray]], dict[str, NDArray]]:
    """Arrange the first image of several tasks as rows of a grid; see `as_grid`."""
    grids = {task: as_grid({"sample": found}, count) for task, found in galleries.items()}
    rows = {task: found["1"] for task, (found, _) in grids.items()}
    return rows, {task: std["1"] for task, (_, std) in grids.items()}
