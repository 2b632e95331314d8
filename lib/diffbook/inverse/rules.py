"""Rules for the weights of DPS, searched rules, and bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from diffbook._checks import NON_NEGATIVE, POSITIVE, real, whole
from diffbook.inverse.filters import Steps, compose
from diffbook.inverse.gains import _wiener, ddim_coefficients, dps, kappa, levels
from diffbook.inverse.problem import Problem, ratio
from diffbook.schedules.levels import validate_alpha_bar

Array = NDArray[np.float64]


# --- weights of the literature ----------------------------------------------------------------


def dps_normalised(
    problem: Problem, alpha_bar: ArrayLike, zeta_prime: float, *, eta: float = 0.0
) -> Array:
    """DPS's published rule ``zeta'/|r_s|``, with ``|r_s|`` replaced by ``sqrt(E |r_s|^2)``, (S,).

    The rule's weight depends on the sample; in high dimension the norm concentrates, and the error
    of this mean-field form is of order 1/d.

    Parameters
    ----------
    zeta_prime : float
        Weight of the paper; the official code's ``scale`` is twice as large.
    """
    zeta_prime = real(zeta_prime, "zeta_prime", NON_NEGATIVE)
    ab = validate_alpha_bar(alpha_bar, allow_one=True)
    a, b, C2 = (v[:, 0] for v in ddim_coefficients(alpha_bar, eta))
    h2, power = np.abs(problem.h) ** 2, np.abs(problem.mu0) ** 2
    # x_s - E x_s|mean path = A1 (z - sqrt(ab_S) mu0) + A3 h* (y - h mu0) + injected noise.
    A1, A3, injected = np.ones(problem.lam.size), np.zeros(problem.lam.size), 0.0
    weights, slopes, S_y = np.empty(len(a)), problem.slope(ab[1:, None]), problem.S_y
    for s in range(len(a), 0, -1):
        w = slopes[s - 1]
        spread = A1**2 * (1.0 + ab[-1] * power) + injected
        residual2 = (1.0 - h2 * w * A3) ** 2 * S_y + h2 * w**2 * spread
        weights[s - 1] = zeta_prime / np.sqrt(problem.count @ residual2)
        pull = 2.0 * weights[s - 1] * w
        G = a[s - 1] + (b[s - 1] - pull * h2) * w
        A1, A3, injected = G * A1, G * A3 + pull, G**2 * injected + C2[s - 1]
    return weights


def dps_literal(problem: Problem, alpha_bar: ArrayLike, *, eta: float = 0.0) -> Array:
    """Weight that takes ``p(y | x_s) ~ N(H x0_hat, sigma_y^2 I)`` by its word: ``kappa / (2 sigma_y^2)``.

    It forgets the uncertainty of ``x0_hat`` and diverges for small measurement noise.
    """
    if problem.sigma_y == 0.0:
        raise ValueError("problem.sigma_y must be positive for this rule, got 0")
    return kappa(alpha_bar, eta) / (2.0 * problem.sigma_y**2)


def dps_annealed(problem: Problem, alpha_bar: ArrayLike, *, eta: float = 0.0) -> Array:
    """Weight with the noise level in the denominator, ``kappa / (2 (sigma_y^2 + sigma_s^2))``."""
    sigma = levels(alpha_bar)[2].ravel()
    return kappa(alpha_bar, eta) / (2.0 * (problem.sigma_y**2 + sigma**2))


def best_normalised(
    problem: Problem, alpha_bar: ArrayLike, *, eta: float = 0.0
) -> tuple[float, float]:
    """Best ``zeta'`` of `dps_normalised` by a one-dimensional search: (zeta', W2^2)."""
    return _best(problem, alpha_bar, eta, lambda z: dps_normalised(problem, alpha_bar, z, eta=eta))


def best_constant(
    problem: Problem, alpha_bar: ArrayLike, *, eta: float = 0.0
) -> tuple[float, float]:
    """Best constant DPS weight by a one-dimensional search: (zeta, W2^2)."""
    S = len(validate_alpha_bar(alpha_bar, allow_one=True)) - 1
    return _best(problem, alpha_bar, eta, lambda z: np.full(S, z))


def _best(
    problem: Problem, alpha_bar: ArrayLike, eta: float, rule: Callable
) -> tuple[float, float]:
    def loss(zeta: float) -> float:
        steps = dps(problem, alpha_bar, rule(zeta), eta=eta)
        return compose(problem, alpha_bar, steps).w2_squared

    return search(loss, 1e-4, 1e2, 61, 1e-8)


def search(
    loss: Callable[[float], float], low: float, high: float, n: int, xatol: float
) -> tuple[float, float]:
    """Minimise over one positive number: (where, value).

    A grid of n >= 3 points over its logarithm, then Brent's method in the best cell, to `xatol`.
    """
    low, n, xatol = real(low, "low", POSITIVE), whole(n, "n", 3), real(xatol, "xatol", POSITIVE)
    high = real(high, "high", f"({low}, inf)", "above low")
    grid = np.linspace(np.log(low), np.log(high), n)
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.nan_to_num([loss(np.exp(x)) for x in grid], nan=np.inf)
        i = int(np.clip(np.argmin(values), 1, len(grid) - 2))
        found = minimize_scalar(
            lambda x: loss(np.exp(x)), bounds=(grid[i - 1], grid[i + 1]), method="bounded",
            options={"xatol": xatol},
        )  # fmt: skip
    return float(np.exp(found.x)), float(found.fun)


def reference(problem: Problem, alpha_bar: ArrayLike, *, eta: float = 0.0) -> Array:
    """Score-matched DPS weight averaged over frequencies, at most half the stability bound, (S,).

    The exact guidance of frequency i has ``2 zeta_s = kappa_s / (sigma_y^2 + |h|^2 v_s)``; this is
    its average with the weight the frequency has in the residual, ``w_s^2 |h|^2 S_y``.
    """
    h, w, v = _wiener(problem, alpha_bar)
    weight = problem.count * w**2 * np.abs(h) ** 2 * problem.S_y
    if not np.any(weight):
        raise ValueError("problem.h must not be zero everywhere: there is nothing to be guided by")
    exact = kappa(alpha_bar, eta)[:, None] * ratio(1.0, problem.sigma_y**2 + np.abs(h) ** 2 * v)
    average = np.sum(weight * exact, axis=1) / np.sum(weight, axis=1)
    return 0.5 * np.minimum(average, stability_bound(problem, alpha_bar, eta=eta))


def affine(
    method: Callable[..., Steps], problem: Problem, alpha_bar: ArrayLike, **options: Any
) -> tuple[Steps, Steps]:
    """Split a method that is linear in its weights: ``steps(weights) = base + weights * slope``."""
    S = len(validate_alpha_bar(alpha_bar, allow_one=True)) - 1
    base = method(problem, alpha_bar, np.zeros(S), **options)
    one = method(problem, alpha_bar, np.ones(S), **options)
    parts = ((getattr(one, k), getattr(base, k)) for k in ("P", "Q", "Y", "C2"))
    slope = Steps(
        *(x - y for x, y in parts), np.zeros(problem.lam.size), np.zeros(problem.lam.size)
    )
    return base, slope


def stability_bound(
    problem: Problem, alpha_bar: ArrayLike, method: Callable[..., Steps] = dps, **options: Any
) -> Array:
    """Largest weights of a linear method that amplify no mode, ``G_s >= -1`` in all of them, (S,)."""
    return _bound(problem, alpha_bar, method, 1.0, options)


def no_overshoot_bound(
    problem: Problem, alpha_bar: ArrayLike, method: Callable[..., Steps] = dps, **options: Any
) -> Array:
    """Largest weights of a linear method that turn no mode around, ``G_s >= 0`` in all of them, (S,)."""
    return _bound(problem, alpha_bar, method, 0.0, options)


def _bound(
    problem: Problem,
    alpha_bar: ArrayLike,
    method: Callable[..., Steps],
    slack: float,
    options: dict,
) -> Array:
    base, slope = affine(method, problem, alpha_bar, **options)
    w = problem.slope(levels(alpha_bar)[0])
    fall = -(slope.P + slope.Q * w)
    with np.errstate(divide="ignore", invalid="ignore"):
        room = (slack + base.P + base.Q * w) / fall
    return np.min(np.where(fall > 0.0, room, np.inf), axis=1)
