"""Noise schedules as data: arrays of noise levels, their families and conversions.

A schedule with ``S`` steps is an array of ``S + 1`` noise levels. Index ``s = 0`` is the clean
end, ``s = S`` the noise end, so a sampler walks it backwards. Variance-preserving (VP) schedules
hold ``alpha_bar`` (strictly decreasing, in (0, 1)); variance-exploding (VE) schedules hold
``sigma`` (strictly increasing). With ``sigma = sqrt((1 - alpha_bar) / alpha_bar)`` the two
describe the same path, and ``log_snr = -2 log(sigma)``.

The VP families take the two ends as ``eps_0 = 1 - alpha_bar[0]`` and ``eps_S = alpha_bar[S]`` and
are mapped affinely onto them, so that schedules of different families can be compared on equal
terms: no family starts from more noise, or stops at less, than another.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


EPS_0 = 1e-4


"""Default clean end ``1 - alpha_bar[0]``: the first level of the DDPM linear-beta chain."""


EPS_S = 4e-5


"""Default noise end ``alpha_bar[S]``: the last level of the DDPM linear-beta chain."""


# --- validation -------------------------------------------------------------------------------


def _as_levels(values: ArrayLike, name: str) -> Array:
    levels = np.asarray(values)
    if levels.ndim != 1 or levels.size < 2:
        raise ValueError(
            f"{name} must be a 1-D array of at least 2 noise levels (S + 1 values for S steps), "
            f"got shape {levels.shape}"
        )
    if not np.issubdtype(levels.dtype, np.number) or np.iscomplexobj(levels):
        raise ValueError(f"{name} must hold real numbers, got dtype {levels.dtype}")
    levels = levels.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(levels))
    if bad.size:
        raise ValueError(f"{name}[{bad[0]}] = {levels[bad[0]]} is not finite")
    return levels


def validate_alpha_bar(
    alpha_bar: ArrayLike, name: str = "alpha_bar", *, allow_one: bool = False
) -> Array:
    """Check a VP schedule and return it as float64.

    Parameters
    ----------
    alpha_bar : array_like, shape (S + 1,)
        Squared signal levels, clean end first.
    name : str
        Argument name used in the error message.
    allow_one : bool
        Whether ``alpha_bar[0] = 1`` is accepted (a last step that ends without noise).

    Returns
    -------
    ndarray, shape (S + 1,), float64

    Raises
    ------
    ValueError
        If the values are not in (0, 1) or not strictly decreasing; the first offending index is
        named.
    """
    levels = _as_levels(alpha_bar, name)
    outside = (levels <= 0.0) | (levels >= 1.0)
    if allow_one and levels[0] == 1.0:
        outside[0] = False
    bad = np.flatnonzero(outside)
    if bad.size:
        raise ValueError(
            f"{name}[{bad[0]}] = {levels[bad[0]]} lies outside (0, 1); "
            "clip the ends, for example to 1 - eps_0 and eps_S"
        )
    bad = np.flatnonzero(np.diff(levels) >= 0.0)
    if bad.size:
        i = bad[0] + 1
        raise ValueError(
            f"{name} must decrease strictly from the clean end to the noise end, but "
            f"{name}[{i}] = {levels[i]} >= {name}[{i - 1}] = {levels[i - 1]}; "
            "reverse the array if it starts at the noise end, drop repeated levels otherwise"
        )
    return levels


def validate_sigma(sigma: ArrayLike, name: str = "sigma", *, allow_zero: bool = True) -> Array:
    """Check a VE schedule and return it as float64.

    Parameters
    ----------
    sigma : array_like, shape (S + 1,)
        Noise levels, clean end first.
    name : str
        Argument name used in the error message.
    allow_zero : bool
        Whether ``sigma[0] = 0`` is accepted (EDM's last step ends there).

    Returns
    -------
    ndarray, shape (S + 1,), float64

    Raises
    ------
    ValueError
        If a value is negative (or zero where not allowed) or the array does not increase
        strictly; the first offending index is named.
    """
    levels = _as_levels(sigma, name)
    too_small = levels <= 0.0
    if allow_zero:
        too_small[0] = levels[0] < 0.0
    bad = np.flatnonzero(too_small)
    if bad.size:
        raise ValueError(
            f"{name}[{bad[0]}] = {levels[bad[0]]} must be positive"
            + (" (only the clean end may be 0)" if allow_zero else "")
        )
    bad = np.flatnonzero(np.diff(levels) <= 0.0)
    if bad.size:
        i = bad[0] + 1
        raise ValueError(
            f"{name} must increase strictly from the clean end to the noise end, but "
            f"{name}[{i}] = {levels[i]} <= {name}[{i - 1}] = {levels[i - 1]}; "
            "reverse the array if it starts at the noise end, drop repeated levels otherwise"
        )
    return levels


def _check_steps(S: int) -> int:
    if isinstance(S, bool) or not isinstance(S, (int, np.integer)) or S < 1:
        raise ValueError(f"S must be an integer >= 1 (number of steps), got {S!r}")
    return int(S)


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not np.isfinite(value) or value <= 0:
            raise ValueError(f"{name} must be positive and finite, got {value!r}")


def _check_ends(eps_0: float, eps_S: float) -> None:
    _check_positive(eps_0=eps_0, eps_S=eps_S)
    if eps_0 + eps_S >= 1.0:
        raise ValueError(
            f"eps_0 + eps_S must be below 1 so that 1 - eps_0 > eps_S, got {eps_0} + {eps_S}"
        )


def _check_sigma_range(sigma_min: float, sigma_max: float) -> None:
    _check_positive(sigma_min=sigma_min, sigma_max=sigma_max)
    if sigma_min >= sigma_max:
        raise ValueError(f"sigma_min must be below sigma_max, got {sigma_min} >= {sigma_max}")


# --- conversions ------------------------------------------------------------------------------


def _in_range(values: ArrayLike, name: str, low: float, high: float, words: str) -> Array:
    values = np.asarray(values, dtype=np.float64)
    # Written so that not-a-number fails as well.
    bad = np.argwhere(~((values > low) & (values < high)))
    if len(bad):
        index = tuple(int(i) for i in bad[0])
        raise ValueError(f"{name}{list(index) or ''} = {values[index]}: expected {words}")
    return values


def alpha_bar_to_sigma(alpha_bar: ArrayLike) -> Array:
    """Noise-to-signal ratio ``sqrt((1 - alpha_bar) / alpha_bar)``, elementwise."""
    alpha_bar = _in_range(alpha_bar, "alpha_bar", 0.0, np.nextafter(1.0, 2.0), "0 < alpha_bar <= 1")
    return np.sqrt((1.0 - alpha_bar) / alpha_bar)


def sigma_to_alpha_bar(sigma: ArrayLike) -> Array:
    """Signal level ``1 / (1 + sigma**2)``, elementwise."""
    sigma = _in_range(sigma, "sigma", -np.finfo(np.float64).tiny, np.inf, "0 <= sigma < inf")
    return 1.0 / (1.0 + np.square(sigma))


def alpha_bar_to_log_snr(alpha_bar: ArrayLike) -> Array:
    """Log signal-to-noise ratio ``log(alpha_bar / (1 - alpha_bar))`` in nats, elementwise."""
    alpha_bar = _in_range(alpha_bar, "alpha_bar", 0.0, 1.0, "0 < alpha_bar < 1")
    return np.log(alpha_bar) - np.log1p(-alpha_bar)


def log_snr_to_alpha_bar(log_snr: ArrayLike) -> Array:
    """Signal level of a log signal-to-noise ratio (the logistic function), elementwise."""
    return 1.0 / (1.0 + np.exp(-np.asarray(log_snr, dtype=np.float64)))


def sigma_to_log_snr(sigma: ArrayLike) -> Array:
    """Log signal-to-noise ratio ``-2 log(sigma)`` in nats, elementwise."""
    return -2.0 * np.log(_in_range(sigma, "sigma", 0.0, np.inf, "0 < sigma < inf"))


def log_snr_to_sigma(log_snr: ArrayLike) -> Array:
    """Noise-to-signal ratio ``exp(-log_snr / 2)``, elementwise."""
    return np.exp(-0.5 * np.asarray(log_snr, dtype=np.float64))


def sigma_range(eps_0: float = EPS_0, eps_S: float = EPS_S) -> tuple[float, float]:
    """Smallest and largest sigma of a VP schedule with the given ends."""
    _check_ends(eps_0, eps_S)
    return float(np.sqrt(eps_0 / (1.0 - eps_0))), float(np.sqrt((1.0 - eps_S) / eps_S))


"""The ten-step sigmas published with "Align Your Steps" (arXiv 2404.14507), noise end first."""


Process = Literal["vp", "ve"]


def check_modes(lam: ArrayLike, eta: float, process: str) -> Array:
    """Check what every closed form takes, and return the variances flat, as float64.

    Raises
    ------
    ValueError
        Naming the argument at fault.
    """
    lam = np.asarray(lam, dtype=np.float64).ravel()
    if lam.size == 0 or not np.all(np.isfinite(lam)) or np.any(lam < 0):
        raise ValueError("lam must be a non-empty array of finite, non-negative variances")
    if not np.isfinite(eta) or not 0.0 <= eta <= 1.0:
        raise ValueError(f"eta must lie in [0, 1] (0 is DDIM, 1 is DDPM), got {eta!r}")
    if process not in ("vp", "ve"):
        raise ValueError(f"process must be 'vp' or 've', got {process!r}")
    return lam


def sigma_and_scale(schedule: ArrayLike, process: Process) -> tuple[Array, Array]:
    """Noise-to-signal ratio ``sigma`` and scale ``x / y`` of every level of a schedule."""
    if process not in ("vp", "ve"):
        raise ValueError(f"process must be 'vp' or 've', got {process!r}")
    if process == "vp":
        alpha_bar = validate_alpha_bar(schedule, allow_one=True)
        return alpha_bar_to_sigma(alpha_bar), np.sqrt(alpha_bar)
    sigma = validate_sigma(schedule)
    return sigma, np.ones_like(sigma)
