"""The drifting process of speech enhancement (OU-VE), and its levels as a plain schedule.

The signal drifts from ``x0`` towards a target ``mu`` while the noise grows without bound:
``x_t = scale x0 + (1 - scale) mu + std z``. In the coordinates ``v = mu + (x_t - mu) / scale`` it
reads ``v = x0 + sigma z`` with ``sigma = std / scale``: the target cancels, and the process is the
variance-exploding one that every sampler of this library knows. The same change of coordinates
takes the drift out of CARD's process, with ``scale = sqrt(alpha_bar)``.

Sources: Richter et al. 2023 (SGMSE+, arXiv 2208.05830), eq. 3, 10 and 11; Han, Zheng, Zhou 2022 (CARD,
arXiv 2206.07275).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._checks import NON_NEGATIVE, POSITIVE, real, reals
from diffbook.schedules.levels import _check_below

Array = NDArray[np.float64]


def ouve_kernel(
    t: ArrayLike, theta: float = 2.0, sigma_min: float = 0.1, sigma_max: float = 1.0
) -> tuple[Array, Array]:
    """Scale and standard deviation of ``x_t`` given ``x0`` and the target.

    Solution of ``dx = theta (mu - x) dt + g(t) dw`` with
    ``g(t) = sigma_min (sigma_max / sigma_min)^t sqrt(2 log(sigma_max / sigma_min))``.

    Parameters
    ----------
    t : array_like
        Times, at least 0; a process runs over [0, 1].
    theta : float
        Rate of the drift, positive.
    sigma_min, sigma_max : float
        Ends of the diffusion's growth, ``0 < sigma_min < sigma_max``.

    Returns
    -------
    scale, std : ndarray, shape of t
        ``exp(-theta t)``, which is 1 at t = 0, and a standard deviation that is 0 there.
    """
    scale = np.exp(-real(theta, "theta", POSITIVE) * reals(t, "t", NON_NEGATIVE))
    return scale, scale * ouve_sigma(t, theta, sigma_min, sigma_max)


def ouve_sigma(
    t: ArrayLike, theta: float = 2.0, sigma_min: float = 0.1, sigma_max: float = 1.0
) -> Array:
    """Noise level ``sigma = std / scale`` of ``v = x0 + sigma z``; parameters as in `ouve_kernel`."""
    t, theta = reals(t, "t", NON_NEGATIVE), real(theta, "theta", POSITIVE)
    _check_below(sigma_min, sigma_max, "sigma_min", "sigma_max", POSITIVE)
    rate = np.log(sigma_max / sigma_min)
    return sigma_min * np.sqrt(rate / (theta + rate) * np.expm1(2.0 * (theta + rate) * t))
