"""Laws for many steps: what a schedule costs when its density of steps is fixed and S grows.

A schedule follows the density ``p`` over ``x = log(sigma)`` if ``p`` integrates to ``1 / S`` over
each of its steps. A sampler of order ``m`` then leaves, in a mode of variance ``lam``, the relative
error ``E / S^m`` with ``E = integral k(x) / p(x)^m dx`` and a kernel ``k`` of the sampler. The
best density solves ``p^(m+1) ~ sum_i w_i k_i``, with ``w_i = lam_i E_i`` (W2) or ``E_i`` (KL).

Between given ends and for a finite S, `law_density` takes the weights from the law itself;
`diffbook.schedules.design` starts its optimiser there. All of it is this book's, not the paper's. Related expansions:
Sun, Poor, Zhang 2026 (arXiv 2601.13602), Hurault, Moreau, Peyre 2026 (arXiv 2605.08392).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._checks import NON_NEGATIVE, POSITIVE, choice, real, reals, whole
from diffbook.schedules.levels import check_modes, sigma_range

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
    lam, count = _modes(lam, count)
    base = count * (1.0 if loss == "kl" else lam)
    # An l1 loss is linear in the error: its weights do not depend on E.
    weights = (lambda E: base) if loss == "weighted" else (lambda E: base * E)
    # At second order the plain iteration overshoots: E reacts with p^-2.
    found = _fixed_point(weights, lam, log_sigma, solver, max_iter, damped=solver == "heun")
    constant = 2.0 * base @ found.E if loss == "weighted" else base @ found.E**2
    return found._replace(constant=float(constant))


def law_density(
    lam: ArrayLike,
    log_sigma: ArrayLike,
    S: float,
    gain: ArrayLike,
    *,
    count: ArrayLike | None = None,
    solver: Literal["ddim", "ddpm"] = "ddim",
    loss: Literal["w2", "kl", "kl_reverse", "weighted"] = "w2",
    max_iter: int = 500,
) -> Density:
    """Find the density that is best for S steps between given ends, by the law of many steps.

    The law gives mode i the standard deviation ``v_i = gain_i exp(-E_i / S)`` and so the loss; its
    derivative by ``E_i`` is the weight in ``p^2 ~ sum_i w_i k_i``: ``v (sqrt(lam) - v)`` for W2,
    ``lam / v^2 - 1`` for KL, ``1 - v^2 / lam`` for the reverse. Between perfect ends these are the
    weights of `optimal_density` when S grows. A mode that has too much variance already gets the
    weight 0; where such modes rule the loss the density is a starting point only.

    Parameters
    ----------
    lam, log_sigma, count, solver, max_iter
        As in `optimal_density`.
    S : float
        Number of steps, positive.
    gain : array_like, shape (d,)
        Standard deviation of every mode after infinitely many steps between the same ends.
    loss : {"w2", "kl", "kl_reverse", "weighted"}

    Returns
    -------
    Density
        Its ``constant`` is the loss by the law (for "weighted" ``sum_i count_i |lam_i - v_i^2|``).
    """
    choice(loss, "loss", ("w2", "kl", "kl_reverse", "weighted"))
    choice(solver, "solver", ("ddim", "ddpm"))
    lam, count = _modes(lam, count)
    S, gain = real(S, "S", POSITIVE), reals(gain, "gain", POSITIVE, shape=lam.shape)

    def terms(E: Array) -> tuple[Array, Array]:
        v = gain * np.exp(-E / S)
        r = v**2 / lam
        if loss == "w2":
            return (np.sqrt(lam) - v) ** 2, v * (np.sqrt(lam) - v)
        if loss == "kl":
            return 0.5 * (1.0 / r - 1.0 + np.log(r)), 1.0 / r - 1.0
        if loss == "kl_reverse":
            return 0.5 * (r - 1.0 - np.log(r)), 1.0 - r
        return np.abs(lam - v**2), v**2 * (r < 1.0)

    def weights(E: Array) -> Array:
        return count * np.maximum(terms(E)[1], 0.0)

    limit = optimal_density(lam, log_sigma, count=count, solver=solver, loss=loss.split("_")[0])
    damped = loss != "w2"  # the weights of KL react strongly where few steps leave little variance
    found = _fixed_point(weights, lam, log_sigma, solver, max_iter, limit.density, damped)
    return found._replace(constant=float(count @ terms(found.E)[0]))


def _modes(lam: ArrayLike, count: ArrayLike | None) -> tuple[Array, Array]:
    lam = reals(lam, "lam", POSITIVE, hint="drop modes without variance").ravel()
    count = np.ones_like(lam) if count is None else reals(count, "count", NON_NEGATIVE).ravel()
    if count.shape != lam.shape or not np.any(count > 0):
        raise ValueError(f"count must be {lam.size} numbers, not all zero, got {count.shape}")
    return lam, count


def _fixed_point(
    weights: Callable[[Array], Array],
    lam: Array,
    log_sigma: ArrayLike,
    solver: str,
    max_iter: int,
    start: Array | None = None,
    damped: bool = False,
) -> Density:
    """Solve ``p^(m+1) ~ sum_i w_i(E) k_i``; without any weight the start stays."""
    whole(max_iter, "max_iter")
    k, x, m = kernel(lam, log_sigma, solver), _even_grid(log_sigma), ORDER[solver]
    cell = np.gradient(x)
    cell[[0, -1]] *= 0.5  # weights of the trapezoidal rule
    p = np.full(x.size, 1.0 / (x[-1] - x[0])) if start is None else start
    n_iter, residual = 0, np.inf
    while residual > 1e-10 and n_iter < max_iter:
        n_iter += 1
        E = k @ (cell / p**m)
        weight = weights(E)
        if not weight.any():
            break
        update = (weight @ k) ** (1.0 / (m + 1))
        update /= update @ cell
        residual = float(np.max(np.abs(update / p - 1.0)))
        p = np.sqrt(p * update) if damped else update
        p = p / (p @ cell)
    return Density(x, p, k @ (cell / p**m), np.nan, n_iter, residual)


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
