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

from diffbook._checks import ANY, NON_NEGATIVE, POSITIVE, choice, complexes, real, reals, whole

Array = NDArray[np.float64]


EPS_0 = 1e-4


"""Default clean end ``1 - alpha_bar[0]``: the first level of the DDPM linear-beta chain."""


EPS_S = 4e-5


"""Default noise end ``alpha_bar[S]``: the last level of the DDPM linear-beta chain."""


# --- validation -------------------------------------------------------------------------------


def _as_levels(values: ArrayLike, name: str, interval: str = ANY, hint: str = "") -> Array:
    levels = np.array(reals(values, name, interval, ndim=1, hint=hint))
    if levels.size < 2:
        raise ValueError(
            f"{name}: got shape {levels.shape}, expected at least 2 noise levels (S + 1 for S steps)"
        )
    return levels


def _check_order(levels: Array, name: str, falling: bool) -> Array:
    """Refuse levels that do not run strictly from the clean end to the noise end."""
    word, sign = ("decrease", ">=") if falling else ("increase", "<=")
    bad = np.flatnonzero(np.diff(levels if falling else -levels) >= 0.0)
    if bad.size:
        i = bad[0] + 1
        raise ValueError(
            f"{name} must {word} strictly from the clean end to the noise end, but "
            f"{name}[{i}] = {levels[i]} {sign} {name}[{i - 1}] = {levels[i - 1]}; "
            "reverse the array if it starts at the noise end, drop repeated levels otherwise"
        )
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
    interval = "(0, 1]" if allow_one else "(0, 1)"
    hint = "clip the ends, for example to 1 - eps_0 and eps_S"
    return _check_order(_as_levels(alpha_bar, name, interval, hint), name, falling=True)


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
    interval, hint = (NON_NEGATIVE, "") if allow_zero else (POSITIVE, "no level may be 0 here")
    return _check_order(_as_levels(sigma, name, interval, hint), name, falling=False)


def _check_ends(eps_0: float, eps_S: float) -> None:
    if real(eps_0, "eps_0", POSITIVE) + real(eps_S, "eps_S", POSITIVE) >= 1.0:
        raise ValueError(
            f"eps_0 + eps_S must be below 1 so that 1 - eps_0 > eps_S, got {eps_0} + {eps_S}"
        )


def _check_below(low: float, high: float, first: str, second: str, interval: str) -> None:
    """Refuse a range whose ends are no numbers of an interval, or in the wrong order."""
    if real(low, first, interval) >= real(high, second, interval):
        raise ValueError(f"{first} must be below {second}, got {low} >= {high}")


# --- conversions ------------------------------------------------------------------------------


def alpha_bar_to_sigma(alpha_bar: ArrayLike) -> Array:
    """Noise-to-signal ratio ``sqrt((1 - alpha_bar) / alpha_bar)``, elementwise."""
    alpha_bar = reals(alpha_bar, "alpha_bar", "(0, 1]")
    return np.sqrt((1.0 - alpha_bar) / alpha_bar)


def sigma_to_alpha_bar(sigma: ArrayLike) -> Array:
    """Signal level ``1 / (1 + sigma**2)``, elementwise."""
    return 1.0 / (1.0 + np.square(reals(sigma, "sigma", NON_NEGATIVE)))


def alpha_bar_to_log_snr(alpha_bar: ArrayLike) -> Array:
    """Log signal-to-noise ratio ``log(alpha_bar / (1 - alpha_bar))`` in nats, elementwise."""
    alpha_bar = reals(alpha_bar, "alpha_bar", "(0, 1)")
    return np.log(alpha_bar) - np.log1p(-alpha_bar)


def log_snr_to_alpha_bar(log_snr: ArrayLike) -> Array:
    """Signal level of a log signal-to-noise ratio (the logistic function), elementwise."""
    return 1.0 / (1.0 + np.exp(-reals(log_snr, "log_snr")))


def sigma_range(eps_0: float = EPS_0, eps_S: float = EPS_S) -> tuple[float, float]:
    """Smallest and largest sigma of a VP schedule with the given ends."""
    _check_ends(eps_0, eps_S)
    return float(np.sqrt(eps_0 / (1.0 - eps_0))), float(np.sqrt((1.0 - eps_S) / eps_S))


Process = Literal["vp", "ve"]
PROCESSES = ("vp", "ve")


def check_modes(lam: ArrayLike, eta: float, process: str) -> Array:
    """Check what every closed form takes, and return the variances flat, as float64.

    Raises
    ------
    ValueError
        Naming the argument at fault.
    """
    real(eta, "eta", "[0, 1]", "0 is DDIM, 1 is DDPM")
    choice(process, "process", PROCESSES)
    return reals(lam, "lam", NON_NEGATIVE).ravel()


def check_mean(mu0_spectral: ArrayLike, d: int) -> NDArray:
    """Return a mean in the eigenbasis flat: d numbers or one, real or complex."""
    mu0 = complexes(mu0_spectral, "mu0_spectral").ravel()
    if mu0.size not in (1, whole(d, "d")):
        raise ValueError(f"mu0_spectral: got {mu0.size} numbers, expected {d} or one")
    return mu0


def sigma_and_scale(schedule: ArrayLike, process: Process) -> tuple[Array, Array]:
    """Noise-to-signal ratio ``sigma`` and scale ``x / y`` of every level of a schedule."""
    if choice(process, "process", PROCESSES) == "vp":
        alpha_bar = validate_alpha_bar(schedule, "schedule", allow_one=True)
        return alpha_bar_to_sigma(alpha_bar), np.sqrt(alpha_bar)
    sigma = validate_sigma(schedule, "schedule")
    return sigma, np.ones_like(sigma)
