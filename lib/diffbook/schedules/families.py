"""The families of noise schedules in use, as arrays: ``alpha_bar`` or ``sigma``, clean end first."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._checks import ANY, NON_NEGATIVE, POSITIVE, choice, real, reals, whole
from diffbook.schedules.levels import (
    EPS_0,
    EPS_S,
    _as_levels,
    _check_below,
    _check_ends,
    _check_order,
    alpha_bar_to_log_snr,
    sigma_range,
    sigma_to_alpha_bar,
    validate_alpha_bar,
    validate_sigma,
)

Array = NDArray[np.float64]


# --- VP families ------------------------------------------------------------------------------


def match_ends(alpha_bar: ArrayLike, eps_0: float = EPS_0, eps_S: float = EPS_S) -> Array:
    """Map a schedule affinely so that it runs from ``1 - eps_0`` to ``eps_S``.

    Parameters
    ----------
    alpha_bar : array_like, shape (S + 1,)
        Non-increasing signal levels; values 0 and 1 are allowed here.
    eps_0, eps_S : float
        Clean and noise end.

    Returns
    -------
    ndarray, shape (S + 1,)
    """
    _check_ends(eps_0, eps_S)
    levels = _as_levels(alpha_bar, "alpha_bar")
    if levels[0] <= levels[-1]:
        raise ValueError(
            f"alpha_bar must decrease, got {levels[0]} at the clean and {levels[-1]} at the "
            "noise end"
        )
    unit = (levels - levels[-1]) / (levels[0] - levels[-1])
    matched = eps_S + unit * (1.0 - eps_0 - eps_S)
    # Round-off must not move the ends: two schedules are compared at the same ends exactly.
    matched[0], matched[-1] = 1.0 - eps_0, eps_S
    return validate_alpha_bar(matched)


def linear_alpha_bar(S: int, *, eps_0: float = EPS_0, eps_S: float = EPS_S) -> Array:
    """``alpha_bar`` linear in s (the "simple linear" schedule of Chen 2023, arXiv 2301.10972)."""
    return match_ends(1.0 - np.arange(whole(S, "S") + 1) / S, eps_0, eps_S)


def ddpm_chain(T: int = 1000, beta_min: float = 1e-4, beta_max: float = 0.02) -> Array:
    """``alpha_bar`` of the T training levels of DDPM's linear-beta chain (arXiv 2006.11239).

    Index 0 is the first noisy level, as a trained discrete model numbers them.
    """
    _check_below(beta_min, beta_max, "beta_min", "beta_max", "(0, 1)")
    return np.cumprod(1.0 - np.linspace(beta_min, beta_max, whole(T, "T")))


def ddpm_respaced(S: int, T: int = 1000) -> Array:
    """Read DDPM's linear-beta chain at every (T / S)-th of its levels, and end at 1.

    The schedule of most zero-shot samplers: the S levels are levels the network was trained on,
    and the last step goes to ``alpha_bar[0] = 1``, the denoiser's answer itself.

    Parameters
    ----------
    S : int
        Number of steps, at most T; ``t = round(s T / S)`` where S does not divide T.
    T : int
        Length of the chain.
    """
    whole(S, "S", 1, whole(T, "T"), "T is the number of levels of the chain")
    t = np.rint(np.arange(S + 1) * T / S).astype(int)
    return np.concatenate([[1.0], ddpm_chain(T)])[t]


def cosine_chain(T: int = 1000, offset: float = 0.008, max_beta: float = 0.999) -> Array:
    """``alpha_bar`` of the T training levels of IDDPM's cosine chain (arXiv 2102.09672)."""
    t = np.arange(whole(T, "T") + 1) / T
    real(offset, "offset", NON_NEGATIVE)
    real(max_beta, "max_beta", "(0, 1)")
    f = np.cos((t + offset) / (1.0 + offset) * np.pi / 2.0) ** 2
    return np.cumprod(1.0 - np.minimum(1.0 - f[1:] / f[:-1], max_beta))


def linear_beta(S: int, *, eps_0: float = EPS_0, eps_S: float = EPS_S, T: int = 1000) -> Array:
    """DDPM's linear-beta chain read at S + 1 equally spaced (interpolated) time steps."""
    chain = ddpm_chain(whole(T, "T", 2))
    t = np.arange(whole(S, "S") + 1) / S * (T - 1)
    return match_ends(np.exp(np.interp(t, np.arange(T), np.log(chain))), eps_0, eps_S)


def cosine(
    S: int,
    start: float = 0.0,
    end: float = 1.0,
    tau: float = 1.0,
    *,
    eps_0: float = EPS_0,
    eps_S: float = EPS_S,
) -> Array:
    """Cosine schedule with the parameters of Chen 2023 (arXiv 2301.10972).

    ``alpha_bar = (f(end) - f(t (end - start) + start)) / (f(end) - f(start))`` with
    ``f(u) = cos(u pi / 2) ** (2 tau)`` and ``t = s / S``; ``(0, 1, 1)`` is the schedule of
    Nichol and Dhariwal without its offset.

    Parameters
    ----------
    S : int
        Number of steps.
    start, end : float
        Part of the cosine arc that is used, ``0 <= start < end <= 1``.
    tau : float
        Temperature, positive.
    eps_0, eps_S : float
        Ends of the schedule.
    """
    _check_below(start, end, "start", "end", "[0, 1]")
    real(tau, "tau", POSITIVE)
    t = np.arange(whole(S, "S") + 1) / S
    f = np.maximum(np.cos((start + t * (end - start)) * np.pi / 2.0), 0.0) ** (2.0 * tau)
    return match_ends(f, eps_0, eps_S)


def sigmoid(
    S: int,
    start: float = -3.0,
    end: float = 3.0,
    tau: float = 1.0,
    *,
    eps_0: float = EPS_0,
    eps_S: float = EPS_S,
) -> Array:
    """Sigmoid schedule (Jabri et al. 2022; parameters of Chen 2023, arXiv 2301.10972).

    ``alpha_bar`` follows ``1 - sigmoid(u / tau)`` for ``u`` from ``start`` to ``end``, rescaled.
    """
    _check_below(start, end, "start", "end", ANY)
    real(tau, "tau", POSITIVE)
    t = np.arange(whole(S, "S") + 1) / S
    return match_ends(1.0 / (1.0 + np.exp((start + t * (end - start)) / tau)), eps_0, eps_S)


# --- VE families (sigma) ----------------------------------------------------------------------


def edm(S: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> Array:
    """EDM family: ``sigma ** (1 / rho)`` linear in s (Karras et al. 2022, arXiv 2206.00364, eq. 5).

    ``rho = 7`` is their choice; ``rho -> inf`` is :func:`log_linear`. Negative ``rho`` is allowed:
    it spends the steps at the noise end.
    """
    _check_below(sigma_min, sigma_max, "sigma_min", "sigma_max", POSITIVE)
    if real(rho, "rho") == 0.0:
        raise ValueError("rho must not be zero")
    t = np.arange(whole(S, "S") + 1) / S
    ends = np.array([sigma_min, sigma_max]) ** (1.0 / rho)
    return _pin((ends[0] + t * (ends[1] - ends[0])) ** rho, sigma_min, sigma_max)


def log_linear(S: int, sigma_min: float, sigma_max: float) -> Array:
    """``log(sigma)`` linear in s (exponential schedule, geometric sequence)."""
    _check_below(sigma_min, sigma_max, "sigma_min", "sigma_max", POSITIVE)
    return _pin(np.geomspace(sigma_min, sigma_max, whole(S, "S") + 1), sigma_min, sigma_max)


def tangent(S: int, sigma_min: float, sigma_max: float, scale: float = 1.0) -> Array:
    """``sigma = scale * tan(phi)`` with ``phi`` linear in s.

    The optimum for a Gaussian of standard deviation ``scale``: Theorem 3.1 of "Align Your Steps"
    (Sabour et al. 2024, arXiv 2404.14507).
    """
    _check_below(sigma_min, sigma_max, "sigma_min", "sigma_max", POSITIVE)
    real(scale, "scale", POSITIVE)
    ends = np.arctan(sigma_min / scale), np.arctan(sigma_max / scale)
    phi = np.linspace(*ends, whole(S, "S") + 1)
    return _pin(scale * np.tan(phi), sigma_min, sigma_max)


def constant_rate(S: int, log_sigma: ArrayLike, speed: ArrayLike) -> Array:
    """Schedule whose steps cover equal shares of ``integral speed d(log sigma)``.

    The general form of the constant-rate schedules (Okada et al. 2024, arXiv 2411.12188) and of
    every law that is given as a density of steps.

    Parameters
    ----------
    S : int
        Number of steps.
    log_sigma : array_like, shape (m,)
        Strictly increasing grid of ``log(sigma)``.
    speed : array_like, shape (m,)
        Rate of change at each grid point, non-negative, with a positive integral: the density of
        steps is proportional to it.

    Returns
    -------
    ndarray, shape (S + 1,)
        ``sigma`` from ``exp(log_sigma[0])`` to ``exp(log_sigma[-1])``.
    """
    x = _check_order(_as_levels(log_sigma, "log_sigma"), "log_sigma", falling=False)
    v = reals(speed, "speed", NON_NEGATIVE, shape=x.shape)
    if not np.any(v > 0):
        raise ValueError("speed must not be zero everywhere")
    arc = np.concatenate([[0.0], np.cumsum(0.5 * (v[1:] + v[:-1]) * np.diff(x))])
    levels = np.interp(np.arange(whole(S, "S") + 1) / S * arc[-1], arc, x)
    return _pin(np.exp(levels), float(np.exp(x[0])), float(np.exp(x[-1])))


AYS_TABLE = {
    "sd15": (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029),
    "sdxl": (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029),
}
"""The ten-step sigmas published with "Align Your Steps" (arXiv 2404.14507), noise end first."""


def align_your_steps(
    S: int,
    model: str = "sd15",
    *,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
) -> Array:
    """Take the published AYS sigmas, interpolated log-linearly to S steps as their authors do.

    Parameters
    ----------
    S : int
        Number of steps.
    model : {"sd15", "sdxl"}
        Which published table.
    sigma_min, sigma_max : float, optional
        Map ``log(sigma)`` affinely onto these ends (both or neither), to compare the *shape* of
        the table with other schedules at equal ends.
    """
    choice(model, "model", AYS_TABLE)
    if (sigma_min is None) != (sigma_max is None):
        raise ValueError("give both sigma_min and sigma_max, or neither")
    x = np.log(AYS_TABLE[model][::-1])
    y = np.interp(np.linspace(0, x.size - 1, whole(S, "S") + 1), np.arange(x.size), x)
    if sigma_min is None or sigma_max is None:
        return validate_sigma(np.exp(y))
    _check_below(sigma_min, sigma_max, "sigma_min", "sigma_max", POSITIVE)
    unit = (y - y[0]) / (y[-1] - y[0])
    y = np.log(sigma_min) + unit * (np.log(sigma_max) - np.log(sigma_min))
    return _pin(np.exp(y), sigma_min, sigma_max)


def _pin(sigma: Array, sigma_min: float, sigma_max: float) -> Array:
    """Set the ends exactly (powers and exponentials round) and validate."""
    sigma[0], sigma[-1] = sigma_min, sigma_max
    return validate_sigma(sigma)


# --- time steps of a trained discrete model ---------------------------------------------------


def nearest_timesteps(alpha_bar: ArrayLike, alpha_bar_train: ArrayLike) -> tuple[NDArray, Array]:
    """Map a designed schedule to the time steps of a network trained on discrete levels.

    The nearest training level is taken in log-SNR, repeated indices are dropped, and the levels of
    the chosen steps are returned: a sampler must use *these* in its update, so that the network's
    input and the coefficients agree.

    Parameters
    ----------
    alpha_bar : array_like, shape (S + 1,)
        Wanted schedule.
    alpha_bar_train : array_like, shape (T,)
        Levels the network was trained on, strictly decreasing (``ddpm_chain``, ``cosine_chain``).

    Returns
    -------
    timesteps : ndarray of int, shape (S' + 1,), S' <= S
        Indices into ``alpha_bar_train``, strictly increasing.
    alpha_bar_used : ndarray, shape (S' + 1,)
        ``alpha_bar_train[timesteps]``.

    Raises
    ------
    ValueError
        If fewer than two distinct time steps remain.
    """
    wanted = alpha_bar_to_log_snr(validate_alpha_bar(alpha_bar))
    train = validate_alpha_bar(alpha_bar_train, "alpha_bar_train")
    grid = alpha_bar_to_log_snr(train)[::-1]
    right = np.clip(np.searchsorted(grid, wanted), 1, grid.size - 1)
    nearer_left = wanted - grid[right - 1] < grid[right] - wanted
    timesteps = np.unique(train.size - 1 - (right - nearer_left))
    if timesteps.size < 2:
        raise ValueError(
            "all levels of alpha_bar fall on one training level; the schedule lies outside the "
            f"trained range [{train[-1]:.3g}, {train[0]:.3g}]"
        )
    return timesteps, train[timesteps]


# --- the usual suspects -----------------------------------------------------------------------


def heuristics(S: int, *, eps_0: float = EPS_0, eps_S: float = EPS_S) -> dict[str, Array]:
    """Collect standard schedules at common ends, as ``alpha_bar``, for comparisons.

    Parameters
    ----------
    S : int
        Number of steps.
    eps_0, eps_S : float
        Ends that all of them share.

    Returns
    -------
    dict of str to ndarray, shape (S + 1,)
        In a fixed order. ``sigmoid(0,3,0.3)`` is one of the parameter sets of Chen 2023.
    """
    ends = {"eps_0": eps_0, "eps_S": eps_S}
    sigmas = sigma_range(**ends)
    return {
        "linear beta": linear_beta(S, **ends),
        "linear alpha_bar": linear_alpha_bar(S, **ends),
        "cosine": cosine(S, **ends),
        "sigmoid": sigmoid(S, **ends),
        "sigmoid(0,3,0.3)": sigmoid(S, 0.0, 3.0, 0.3, **ends),
        "EDM rho=7": match_ends(sigma_to_alpha_bar(edm(S, *sigmas)), **ends),
        "log-linear": match_ends(sigma_to_alpha_bar(log_linear(S, *sigmas)), **ends),
        "tangent (AYS)": match_ends(sigma_to_alpha_bar(tangent(S, *sigmas)), **ends),
    }
