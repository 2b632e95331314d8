"""Laws for many steps: what a schedule costs when its density of steps is fixed and S grows.

A schedule follows the density ``p`` over ``x = log(sigma)`` if ``p`` integrates to ``1 / S`` over
each of its steps. A sampler of order ``m`` then leaves, in a mode of variance ``lam``, the relative
error ``E / S^m`` with ``E = integral k(x) / p(x)^m dx`` and a kernel ``k`` of the sampler. The
best density solves ``p^(m+1) ~ sum_i w_i k_i``, with ``w_i = lam_i E_i`` (W2) or ``E_i`` (KL).

`diffbook.schedules.design` starts its optimiser from this density; power-law spectra and the law with both
ends are here too. All of it is this book's, not the paper's. Related expansions:
Sun, Poor, Zhang 2026 (arXiv 2601.13602), Hurault, Moreau, Peyre 2026 (arXiv 2605.08392).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from diffbook._checks import ANY, NON_NEGATIVE, POSITIVE, choice, real, reals, whole
from diffbook.schedules.levels import _check_below, check_modes, sigma_range, validate_sigma

Array = NDArray[np.float64]
Solver = Literal["ddim", "ddpm", "heun"]

ORDER: dict[str, int] = {"ddim": 1, "ddpm": 1, "heun": 2}
"""Order of the samplers: the error of a mode falls like ``S^-order``."""


class Density(NamedTuple):
    """Optimal density of steps for many steps, at any order.

    ``log_sigma`` (m,) grid; ``density`` (m,) of integral 1; ``E`` (d,) relative error of every
    mode times ``S^order``; ``constant`` the limit of ``S^(2 order) W2^2`` (or KL); ``n_iter``
    iterations; ``residual`` the largest relative violation of the stationarity condition.
    """

    log_sigma: Array
    density: Array
    E: Array
    constant: float
    n_iter: int
    residual: float


def kernel(lam: ArrayLike, log_sigma: ArrayLike, solver: Solver = "ddim") -> Array:
    """Relative error that a step of length ``dx`` leaves in a mode, divided by ``dx^(order+1)``.

    ``lam s / (2 V^2)`` for DDIM, ``2 lam^2 s / V^3`` for DDPM (both too little variance) and
    ``lam s^2 / (2 V^3)`` for Heun (too much), with ``s = sigma^2`` and ``V = lam + s``.

    Parameters
    ----------
    lam : array_like, shape (d,)
        Variances of the modes, positive.
    log_sigma : array_like, shape (m,)
        Grid of ``log(sigma)``.
    solver : {"ddim", "ddpm", "heun"}

    Returns
    -------
    ndarray, shape (d, m)
    """
    choice(solver, "solver", ORDER)
    lam = reals(lam, "lam", POSITIVE).reshape(-1, 1)
    # In the ratio u = sigma^2 / lam the kernels are the same function for every mode.
    u = np.exp(2.0 * reals(log_sigma, "log_sigma", ndim=1)) / lam
    if solver == "ddim":
        return 0.5 * u / (1.0 + u) ** 2
    if solver == "ddpm":
        return 2.0 * u / (1.0 + u) ** 3
    return 0.5 * u**2 / (1.0 + u) ** 3


def step_error(
    lam: ArrayLike, log_sigma: ArrayLike, density: ArrayLike, solver: Solver = "ddim"
) -> Array:
    """``E_i = integral k_i / p^m dx`` by the trapezoidal rule, shape (d,)."""
    k, x = kernel(lam, log_sigma, solver), reals(log_sigma, "log_sigma")
    p = reals(density, "density", POSITIVE, shape=x.shape)
    return np.trapezoid(k / p ** ORDER[solver], x, axis=1)


def optimal_density(
    lam: ArrayLike,
    log_sigma: ArrayLike,
    *,
    count: ArrayLike | None = None,
    solver: Solver = "ddim",
    loss: Literal["w2", "kl", "weighted"] = "w2",
    max_iter: int = 500,
) -> Density:
    """Find the density of steps that solves ``p^(m+1) ~ sum_i w_i k_i``, by fixed point.

    Parameters
    ----------
    lam : array_like, shape (d,)
        Variances of the modes, positive.
    log_sigma : array_like, shape (m,)
        Increasing grid, evenly spaced; the schedule's ends are its first and last point.
    count : array_like, shape (d,), optional
        Multiplicity of every mode (may be fractional).
    solver : {"ddim", "ddpm", "heun"}
    loss : {"w2", "kl", "weighted"}
        ``"weighted"`` is the l1 loss ``sum_i count_i |lam_i - var_i|``.
    max_iter : int
        Bound on the iterations.

    Returns
    -------
    Density

    Raises
    ------
    ValueError
        Naming the argument at fault.
    """
    choice(loss, "loss", ("w2", "kl", "weighted"))
    whole(max_iter, "max_iter")
    lam = reals(lam, "lam", POSITIVE, hint="drop modes without variance").ravel()
    k, x, m = kernel(lam, log_sigma, solver), _even_grid(log_sigma), ORDER[solver]
    count = np.ones_like(lam) if count is None else reals(count, "count", NON_NEGATIVE).ravel()
    if count.shape != lam.shape or not np.any(count > 0):
        raise ValueError(f"count must be {lam.size} numbers, not all zero, got {count.shape}")
    base = count * (1.0 if loss == "kl" else lam)
    cell = np.gradient(x)
    cell[[0, -1]] *= 0.5  # weights of the trapezoidal rule
    p = np.full(x.size, 1.0 / (x[-1] - x[0]))
    n_iter, residual = 0, np.inf
    while residual > 1e-10 and n_iter < max_iter:
        n_iter += 1
        E = k @ (cell / p**m)
        # An l1 loss is linear in the error: its weights do not depend on E.
        weight = base if loss == "weighted" else base * E
        update = (weight @ k) ** (1.0 / (m + 1))
        update /= update @ cell
        residual = float(np.max(np.abs(update / p - 1.0)))
        # At second order the plain iteration overshoots: E reacts with p^-2.
        p = update if m == 1 else np.sqrt(p * update)
        p = p / (p @ cell)
    E = k @ (cell / p**m)
    constant = 2.0 * base @ E if loss == "weighted" else base @ E**2
    return Density(x, p, E, float(constant), n_iter, residual)


def _even_grid(log_sigma: ArrayLike) -> Array:
    x = reals(log_sigma, "log_sigma", ndim=1)
    if x.size < 3 or np.any(np.diff(x) <= 0) or np.ptp(np.diff(x)) > 1e-6:
        raise ValueError(
            f"log_sigma must be an even, increasing grid of >= 3 points, got {x.shape}"
        )
    return x


def w2_law(
    lam: ArrayLike, E: ArrayLike, S: ArrayLike, *, eps_0: float, eps_S: float
) -> NDArray[np.float64]:
    """W2 of DDIM (VP) after S steps by the large-S law, both ends included (not squared).

    ``W2^2 = sum_i (sqrt(lam_i) - g_i exp(-E_i / S))^2`` with the gain ``g_i`` of the exact flow
    between the ends. For perfect ends it tends to ``sum_i lam_i E_i^2 / S^2``; for given ends it
    falls to the floor ``sum_i (sqrt(lam_i) - g_i)^2``.

    Parameters
    ----------
    lam, E : array_like, shape (d,)
        Variances and first-order errors of the modes.
    S : array_like
        Step counts.
    eps_0, eps_S : float
        Ends of the schedule.

    Returns
    -------
    ndarray, shape of S
    """
    lam = check_modes(lam, 0.0, "vp")
    E, S = reals(E, "E", NON_NEGATIVE, shape=lam.shape), reals(S, "S", POSITIVE)
    sigma_range(eps_0, eps_S)  # validates the ends
    g = np.sqrt(((1.0 - eps_0) * lam + eps_0) / (eps_S * lam + 1.0 - eps_S))
    decay = np.exp(-E / S[..., None])
    return np.sqrt(np.sum((np.sqrt(lam) - g * decay) ** 2, axis=-1))


def conservation(sigma: ArrayLike) -> tuple[float, float]:
    """Both sides of DDIM's conservation law for a schedule.

    Parameters
    ----------
    sigma : array_like, shape (S + 1,)
        Noise levels, positive, clean end first.

    Returns
    -------
    lost : float
        ``integral -ln(D1 / g) d ln(lam)``, by the trapezoidal rule over thirty decades beyond the
        range of the squared noise levels on either side.
    steps : float
        ``sum_s (ln sigma_s - ln sigma_{s-1})^2 / 2``.
    """
    x = np.log(validate_sigma(sigma, allow_zero=False))
    reach = 30.0 * np.log(10.0)
    half_log_lam = 0.5 * np.linspace(2 * x[0] - reach, 2 * x[-1] + reach, 20_001)[:, None]
    phi = np.arctan(np.exp(x - half_log_lam))
    lost = -np.sum(np.log(np.cos(np.diff(phi, axis=1))), axis=1)
    return (
        float(np.trapezoid(lost, 2.0 * half_log_lam[:, 0])),
        float(0.5 * np.sum(np.diff(x) ** 2)),
    )


# --- power-law spectra ------------------------------------------------------------------------


def power_law_exponent(alpha: float, loss: Literal["w2", "kl"] = "w2", order: int = 1) -> float:
    """``1 / rho`` of the EDM family that is optimal for ``lam_k = k^-alpha``.

    ``2 (1 - 1/alpha) / (2 order + 1)`` for W2, ``-2 / ((2 order + 1) alpha)`` for KL.
    """
    real(alpha, "alpha", POSITIVE)
    whole(order, "order")
    power = 1.0 - 1.0 / alpha if choice(loss, "loss", ("w2", "kl")) == "w2" else -1.0 / alpha
    return 2.0 * power / (2 * order + 1)


def power_law_density(
    alpha: float,
    *,
    solver: Solver = "ddim",
    loss: Literal["w2", "kl"] = "w2",
    decades: float = 7.0,
    m: int = 401,
) -> Density:
    """Optimal density for a power law, in the limit of very many modes.

    Instead of the modes ``k = 1, 2, ...`` of ``lam_k = k^-alpha`` it uses eigenvalues evenly spaced
    in ``log(lam)``, each with the number of modes there, proportional to ``lam^(-1/alpha)``.

    Parameters
    ----------
    alpha : float
        Exponent of the spectrum, positive.
    decades : float
        Half of the range of sigma, in powers of ten: sigma from ``10^-decades`` to
        ``10^decades``. The eigenvalues cover the same range and three decades more on each side.
    m : int
        Grid points in ``log(sigma)``.
    """
    real(alpha, "alpha", POSITIVE)
    reach = 2.0 * (real(decades, "decades", POSITIVE) + 3.0) * np.log(10.0)
    log_lam = np.linspace(-reach, reach, 241)
    x = np.linspace(-decades, decades, whole(m, "m", 3)) * np.log(10.0)
    # Relative weights are enough: shift the exponent so that it cannot overflow.
    weight = np.exp(-log_lam / alpha - np.max(np.abs(log_lam)) / alpha)
    return optimal_density(np.exp(log_lam), x, count=weight, solver=solver, loss=loss)


def fit_exponent(log_sigma: ArrayLike, density: ArrayLike, low: float, high: float) -> float:
    """Slope of ``log(density)`` over ``log(sigma)`` between two values of ``log(sigma)``.

    For the EDM family, ``sigma^(1/rho)`` linear in s, the density is ``~ sigma^(1/rho)`` and the
    slope is ``1 / rho``.
    """
    x = reals(log_sigma, "log_sigma", ndim=1)
    p = reals(density, "density", POSITIVE, shape=x.shape)
    _check_below(low, high, "low", "high", ANY)
    inside = (x >= low) & (x <= high)
    if inside.sum() < 3:
        raise ValueError(f"low, high: fewer than 3 grid points between {low} and {high}")
    return float(np.polyfit(x[inside], np.log(p[inside]), 1)[0])


def edm_excess(
    lam: ArrayLike, log_sigma: ArrayLike, inverse_rho: float, *, solver: Solver = "ddim"
) -> float:
    """W2 of the EDM family relative to the optimal density, in the limit of many steps.

    Parameters
    ----------
    lam : array_like, shape (d,)
        Variances of the modes, positive.
    log_sigma : array_like, shape (m,)
        Even grid from end to end.
    inverse_rho : float
        ``1 / rho``; 0 is the log-linear schedule.
    solver : {"ddim", "ddpm", "heun"}

    Returns
    -------
    float
        At least 1.
    """
    real(inverse_rho, "inverse_rho")
    best = optimal_density(lam, log_sigma, solver=solver)
    return float(np.sqrt(_edm_cost(lam, best.log_sigma, inverse_rho, solver) / best.constant))


def best_edm(
    lam: ArrayLike, log_sigma: ArrayLike, *, solver: Solver = "ddim"
) -> tuple[float, float]:
    """Find the EDM exponent that is best in the limit of many steps: ``(1 / rho, excess)``."""
    x = _even_grid(log_sigma)
    found = minimize_scalar(
        lambda q: _edm_cost(lam, x, q, solver), bounds=(-0.9, 0.9), method="bounded"
    )
    return float(found.x), edm_excess(lam, x, float(found.x), solver=solver)


def _edm_cost(lam: ArrayLike, x: Array, inverse_rho: float, solver: Solver) -> float:
    density = np.exp(inverse_rho * (x - x.mean()))
    density /= np.trapezoid(density, x)
    E = step_error(lam, x, density, solver)
    return float(np.ravel(lam) @ E**2)
