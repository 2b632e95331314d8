"""Means with confidence intervals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from diffbook._checks import generator, real, reals, whole


def crossed_ci(values: ArrayLike, level: float = 0.95) -> tuple[float, float, float]:
    """Mean over training seeds and images, and an interval for new seeds *and* new images.

    Values of one seed share a network, values of one image share the image, so the K n values are
    not independent. The variance of their mean in the crossed random-effects model
    `value = mean + seed + image + rest` is estimated by analysis of variance,
    `MS_seeds / (K n) + MS_images / (K n) - MS_rest / (K n)`, but not below either of the first two
    terms; degrees of freedom by Satterthwaite. The interval is that of new seeds if these matter more,
    and that of new images if those do.

    Parameters
    ----------
    values
        Shape (K, n): K >= 2 seeds, the *same* n >= 2 images for each. For a comparison: differences
        of two methods with common noise.
    level
        Coverage in (0, 1).

    Returns
    -------
    mean, low, high : float

    Raises
    ------
    ValueError
        If the array is no table, is too small or not finite, or `level` is out of range.
    """
    v, level = reals(values, "values", ndim=2), real(level, "level", "(0, 1)")
    if min(v.shape) < 2:
        raise ValueError(f"values: got shape {v.shape}, expected (seeds, images), both at least 2")
    K, n = v.shape
    mean, rows, columns = v.mean(), v.mean(1), v.mean(0)
    rest = v - rows[:, None] - columns + mean
    seeds, images = rows.var(ddof=1) / K, columns.var(ddof=1) / n
    noise = (rest**2).sum() / ((K - 1) * (n - 1)) / (K * n)
    variance = max(seeds + images - noise, seeds, images)
    if variance == 0.0:
        return float(mean), float(mean), float(mean)
    freedom = variance**2 / (seeds**2 / (K - 1) + images**2 / (n - 1))
    half = stats.t.ppf(0.5 + level / 2.0, freedom) * np.sqrt(variance)
    return float(mean), float(mean - half), float(mean + half)


def mean_ci(values: ArrayLike, level: float = 0.95) -> tuple[float, float, float]:
    """Mean of independent values and its t interval: (mean, low, high).

    Parameters
    ----------
    values
        At least two independent measurements, for example one per training seed.
    level
        Coverage in (0, 1).

    Raises
    ------
    ValueError
        If there are fewer than two values, one is not finite, or `level` is out of range.
    """
    v, level = reals(values, "values").ravel(), real(level, "level", "(0, 1)")
    if v.size < 2:
        raise ValueError(f"values: got {v.size}, expected at least two independent measurements")
    half = stats.t.ppf(0.5 + level / 2.0, v.size - 1) * v.std(ddof=1) / np.sqrt(v.size)
    return float(v.mean()), float(v.mean() - half), float(v.mean() + half)


def paired_ci(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> tuple[float, float, float]:
    """Mean and t interval of the differences a - b of paired measurements: (mean, low, high).

    Pairs share training seed and starting noise; an interval that excludes zero is a difference that
    these pairs can tell from chance.
    """
    a = reals(a, "a")
    return mean_ci(a - reals(b, "b", shape=a.shape), level)


def bootstrap_ci(
    statistic: Callable[[NDArray], float],
    x: NDArray,
    *,
    level: float = 0.95,
    draws: int = 500,
    rng: int | np.random.Generator = 0,
) -> tuple[float, float, float]:
    """Percentile bootstrap interval of a statistic of one sample: (value, low, high).

    Use it for statistics without bias from small samples (means, quantiles). A Fréchet distance of
    resampled data is biased upwards; there, repeat over seeds and use :func:`mean_ci`.
    """
    x, rng, level = reals(x, "x"), generator(rng), real(level, "level", "(0, 1)")
    values = [statistic(x[rng.integers(len(x), size=len(x))]) for _ in range(whole(draws, "draws"))]
    low, high = np.quantile(values, [0.5 - level / 2.0, 0.5 + level / 2.0])
    return float(statistic(x)), float(low), float(high)
