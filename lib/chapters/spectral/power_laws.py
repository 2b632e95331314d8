"""Power-law spectra and the EDM family of schedules, in the limit of many modes and steps."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from diffbook.schedules.laws import Density, Solver, optimal_density, step_error

Array = NDArray[np.float64]
Loss = Literal["w2", "kl"]


def exponent(alpha: float, loss: Loss = "w2", order: int = 1) -> float:
    """``1 / rho`` of the EDM family that is optimal for ``lam_k = k^-alpha``.

    With P = 1 - 1/alpha (W2) or -1/alpha (KL) it is 2 P / (2 order + 1). The sum over modes that gives
    it converges for DDIM and Heun only if P > -(2 order + 1) / (order + 1); ValueError otherwise.
    """
    power = (1.0 if loss == "w2" else 0.0) - 1.0 / alpha
    bound = (2 * order + 1) / (order + 1)
    if not (alpha > 0.0 and -power < bound):
        least = 1.0 / (bound + (loss == "w2"))
        raise ValueError(f"alpha: got {alpha}, expected above {least:.4g} for {loss} at this order")
    return 2.0 * power / (2 * order + 1)


def density(
    alpha: float, *, solver: Solver = "ddim", loss: Loss = "w2", decades: float = 7.0, m: int = 401
) -> Density:
    """Optimal density for a power law, sigma from 10^-decades to 10^decades.

    Instead of the modes ``lam_k = k^-alpha`` it uses eigenvalues evenly spaced in ``log(lam)``, over
    three decades more on each side, each with the number of modes there, ``~ lam^(-1/alpha)``.
    """
    reach = 2.0 * (decades + 3.0) * np.log(10.0)
    log_lam = np.linspace(-reach, reach, 241)
    x = np.linspace(-decades, decades, m) * np.log(10.0)
    # Relative weights are enough: shift the exponent so that it cannot overflow.
    weight = np.exp(-log_lam / alpha - np.max(np.abs(log_lam)) / alpha)
    return optimal_density(np.exp(log_lam), x, count=weight, solver=solver, loss=loss)


def slope(log_x: ArrayLike, values: ArrayLike, low: float, high: float) -> float:
    """Slope of ``log(values)`` over ``log_x`` between two of its values."""
    inside = (np.asarray(log_x) >= low) & (np.asarray(log_x) <= high)
    if inside.sum() < 3:
        raise ValueError(f"low, high: fewer than 3 points between {low} and {high}")
    return float(np.polyfit(np.asarray(log_x)[inside], np.log(np.asarray(values)[inside]), 1)[0])


def edm_excess(lam: ArrayLike, x: Array, inverse_rho: float, solver: Solver = "ddim") -> float:
    """W2 of the EDM family relative to the optimal density on the even grid x of log(sigma)."""
    best = optimal_density(lam, x, solver=solver)
    return float(np.sqrt(_edm_cost(lam, x, inverse_rho, solver) / best.constant))


def best_edm(lam: ArrayLike, x: Array, solver: Solver = "ddim") -> tuple[float, float]:
    """Find the best EDM exponent: ``(1 / rho, excess)``; 1 / rho may be negative."""
    found = minimize_scalar(
        lambda q: _edm_cost(lam, x, q, solver), bounds=(-0.9, 0.9), method="bounded"
    )
    return float(found.x), edm_excess(lam, x, float(found.x), solver)


def _edm_cost(lam: ArrayLike, x: Array, inverse_rho: float, solver: Solver) -> float:
    p = np.exp(inverse_rho * (x - x.mean()))
    E = step_error(lam, x, p / np.trapezoid(p, x), solver)
    return float(np.ravel(lam) @ E**2)
