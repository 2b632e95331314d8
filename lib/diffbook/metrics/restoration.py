"""How well an image was restored: fidelity, proper scores of several draws, agreement with y.

Distances between *sets* of images (perception) are in :mod:`diffbook.metrics.samples`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._checks import POSITIVE, real, reals, whole
from diffbook._optional import need

#: Images of this book live in [-1, 1].
DATA_RANGE = 2.0


def psnr(x: ArrayLike, x0: ArrayLike, data_range: float = DATA_RANGE) -> NDArray:
    """Peak signal-to-noise ratio of every image, in decibel.

    `10 log10(data_range^2 / mean((x - x0)^2))`; infinite where the two are equal.

    Parameters
    ----------
    x, x0
        Restored and true images, both ``(n, *shape)``, numpy or torch.
    data_range
        Difference between the largest and the smallest possible grey level, positive.

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    ValueError
        If shapes differ, there is no image, or `data_range` is not positive.
    """
    x, x0 = _pair(x, x0)
    data_range = real(data_range, "data_range", POSITIVE)
    error = np.mean((x - x0) ** 2, axis=tuple(range(1, x.ndim)))
    with np.errstate(divide="ignore"):
        return 10.0 * np.log10(data_range**2 / error)


def ssim(
    x: ArrayLike, x0: ArrayLike, data_range: float = DATA_RANGE, window: int | None = None
) -> NDArray:
    """Structural similarity of every image (scikit-image's, uniform window), 1 for equal images.

    Source: Wang, Bovik, Sheikh, Simoncelli 2004, with scikit-image's defaults K1 = 0.01, K2 = 0.03
    and sample covariances. Windows that reach over the border are left out of the mean.

    Parameters
    ----------
    x, x0
        Images (n, h, w), or (n, c, h, w): then the mean over channels.
    data_range
        As in `psnr`. scikit-image does not guess it for floats, and neither do we.
    window
        Odd side of the window, at least 3 and at most the smaller side; default 7, or the largest
        odd number that fits.

    Returns
    -------
    ndarray, shape (n,)
    """
    need("skimage", "metrics", "metrics.ssim")
    from skimage.metrics import structural_similarity

    x, x0 = _pair(x, x0)
    data_range = real(data_range, "data_range", POSITIVE)
    if x.ndim not in (3, 4) or min(x.shape[-2:]) < 3:
        raise ValueError(
            f"x: got shape {x.shape}, expected (n, h, w) or (n, c, h, w) with sides of at least 3"
        )
    side = min(x.shape[-2:])
    largest = side - 1 + side % 2
    window = min(7, largest) if window is None else whole(window, "window", 3, largest)
    if window % 2 == 0:
        raise ValueError(f"window: got {window}, expected an odd side")
    axis = 0 if x.ndim == 4 else None
    settings = {"data_range": data_range, "win_size": window, "channel_axis": axis}
    pairs = zip(x, x0, strict=True)
    return np.array([structural_similarity(a, b, **settings) for a, b in pairs])


def energy_score(x: ArrayLike, x0: ArrayLike) -> NDArray:
    """Energy score of the draws for every image, per root of the number of pixels; smaller is better.

    ``mean |x_i - x0| - mean |x_i - x_j| / 2``, Euclidean norms over ``sqrt(d)``. It is proper: smallest
    in expectation for draws from the posterior, however many; pairs have ``i != j``.

    Source: Gneiting, Raftery 2007 (JASA 102), section 4.2.

    Parameters
    ----------
    x
        Draws ``(n, m, *shape)``, at least two for each image.
    x0
        True images ``(n, *shape)``.

    Returns
    -------
    ndarray, shape (n,), in the units of the images
    """
    x, x0 = _draws(x, x0)
    m, d = x.shape[1:]
    pairs = sum(np.linalg.norm(x[:, :i] - x[:, i, None], axis=2).sum(1) for i in range(1, m))
    error = np.linalg.norm(x - x0[:, None], axis=2).mean(1)
    return (error - pairs / (m * (m - 1))) / np.sqrt(d)


def spread_over_error(x: ArrayLike, x0: ArrayLike) -> float:
    """Spread of the draws over the error of their mean, pooled over images; 1 for exact posteriors.

    Below 1 the draws are too sure. That a mean of m draws errs more, ``(m + 1) / m``, is taken out.

    Source: Fortin, Abaza, Anctil, Turcotte 2014 (J. Hydrometeorology 15). Parameters as in
    `energy_score`.
    """
    x, x0 = _draws(x, x0)
    m = x.shape[1]
    error = np.mean((x.mean(1) - x0) ** 2)
    if error == 0.0:
        raise ValueError("x: got draws whose mean is x0 everywhere, expected an error to compare")
    return float(np.sqrt((m + 1) / m * x.var(1, ddof=1).mean() / error))


def _draws(x: ArrayLike, x0: ArrayLike) -> tuple[NDArray, NDArray]:
    """Draws (n, m, d) and images (n, d)."""
    x, x0 = _array(x, "x"), _array(x0, "x0")
    if x.ndim < 3 or x.shape[1] < 2 or x.shape[:1] + x.shape[2:] != x0.shape:
        raise ValueError(
            f"x: got shape {x.shape}, expected (n, m, *shape) with m >= 2 draws for x0 {x0.shape}"
        )
    return x.reshape(*x.shape[:2], -1), x0.reshape(len(x0), -1)


def consistency(x: Any, y: Any, operator: Any, sigma_y: float) -> NDArray:
    """Squared residual of the measurement in units of its noise, `||y - H x||^2 / (m sigma_y^2)`.

    For the true image the expectation is 1. Much less is fitted noise, much more is an image that
    does not explain the measurement.

    Parameters
    ----------
    x
        Images ``(n, *shape)``, numpy or torch.
    y
        Measurements ``(n, *measurement_shape)``, of the same kind.
    operator
        Degradation H of :mod:`diffbook.inverse.operators` (anything with `forward`).
    sigma_y
        Standard deviation of the measurement noise, positive.

    Returns
    -------
    ndarray, shape (n,)
    """
    sigma_y, y = real(sigma_y, "sigma_y", POSITIVE), _array(y, "y")
    _array(x, "x")
    predicted = _array(operator.forward(x), "H x")
    if predicted.shape != y.shape:
        raise ValueError(f"y: got shape {y.shape}, expected {predicted.shape} like H x")
    residual = y - predicted
    return np.mean(residual**2, axis=tuple(range(1, residual.ndim))) / sigma_y**2


def _pair(x: Any, x0: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both as float64 arrays of one shape; refuses what would broadcast."""
    x = _array(x, "x")
    if x.ndim < 2:
        raise ValueError(f"x: got shape {x.shape}, expected (n, *shape)")
    return x, _array(x0, "x0", shape=x.shape)


def _array(x: Any, name: str, **shape: Any) -> NDArray[np.float64]:
    return reals(x.detach().cpu().numpy() if hasattr(x, "detach") else x, name, **shape)
