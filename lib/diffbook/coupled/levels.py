"""Levels of the two processes in the one currency of the chains: sigma of ``v = x0 + sigma z``.

An array of S + 1 levels, clean end first. Its first level is 0, so a chain ends on an estimate. A
chain of fewer steps walks over selected levels, and each step ends at the next selected one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diffbook._checks import real, whole
from diffbook.schedules.families import cosine_chain
from diffbook.schedules.levels import alpha_bar_to_sigma
from diffbook.schedules.ouve import ouve_sigma

Array = NDArray[np.float64]


def vp_levels(S: int, T: int = 150) -> Array:
    """Levels of S steps spread evenly over a cosine chain of T, shape (S + 1,).

    Parameters
    ----------
    S : int
        Number of steps, at most T; where S does not divide T, times are rounded.
    T : int
        Length of the chain; 150 in the experiments of Nurko et al. 2026 on images.
    """
    whole(S, "S", 1, whole(T, "T"), "T is the length of the chain")
    t = np.rint(np.arange(S + 1) * T / S).astype(int)
    return alpha_bar_to_sigma(np.concatenate([[1.0], cosine_chain(T)])[t])


def ouve_levels(
    S: int,
    t_min: float = 0.03,
    theta: float = 2.0,
    sigma_min: float = 0.1,
    sigma_max: float = 1.0,
) -> Array:
    """Levels of S steps over OU-VE times: 0, then even times from `t_min` to 1, shape (S + 1,).

    Parameters
    ----------
    S : int
        Number of steps. A single step starts at time 1.
    t_min : float in (0, 1)
        Time from which the last step jumps to the estimate.
    theta, sigma_min, sigma_max : float
        As in `diffbook.schedules.ouve.ouve_kernel`.
    """
    start = real(t_min, "t_min", "(0, 1)")
    times = np.linspace(1.0, start, whole(S, "S"))[::-1]
    return np.concatenate([[0.0], ouve_sigma(times, theta, sigma_min, sigma_max)])
