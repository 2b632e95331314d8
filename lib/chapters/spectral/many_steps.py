"""Laws for many steps on the chapter's spectra: the ends' law, power laws, EDM's family."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chapters.spectral import power_laws
from diffbook.schedules import laws
from diffbook.schedules.design import (
    design_schedule,
    limit_density,
    limit_schedule,
    make_problem,
    objective,
    step_density,
)
from diffbook.schedules.levels import EPS_0, EPS_S, sigma_range

Array = NDArray[np.float64]


def law_errors(lam: ArrayLike, steps: Sequence[int]) -> Array:
    """Relative error of the large-S law for the limiting schedule's W2, shape (len(steps),)."""
    problem = make_problem(lam)
    limit = limit_density(problem, *sigma_range())
    E = laws.step_error(lam, limit.log_sigma, limit.density)
    actual = [np.sqrt(objective(problem, limit_schedule(limit, S))) for S in steps]
    law = laws.w2_law(lam, E, np.asarray(steps), eps_0=EPS_0, eps_S=EPS_S)
    return np.abs(law / actual - 1.0)


def excess(
    lam: ArrayLike, steps: Sequence[int], loss: str = "w2", eta: float = 0.0
) -> dict[str, list[float]]:
    """Loss over the optimum, less 1 (W2 not squared), of schedules that follow a density of steps.

    "limit" is the density for many steps between perfect ends, "own weights" the one for S steps.
    """
    problem, ends = make_problem(lam, loss=loss, eta=eta), sigma_range()
    limit, found = limit_density(problem, *ends), {"limit": [], "own weights": []}
    for S in steps:
        best = design_schedule(lam, S, loss=loss, eta=eta).objective
        densities = {"limit": limit, "own weights": step_density(problem, *ends, S)}
        for name, density in densities.items():
            ratio = objective(problem, limit_schedule(density, S)) / best
            found[name].append(float(ratio ** (0.5 if loss == "w2" else 1.0) - 1.0))
    return found


def power_law_slopes(alphas: Sequence[float]) -> dict[str, tuple[list[float], Array, Array]]:
    """``1 / rho`` of power-law spectra: case to (alphas, limiting density's slope, formula)."""
    cases = {"W2, DDIM": ("ddim", "w2"), "W2, Heun": ("heun", "w2"), "KL, DDIM": ("ddim", "kl")}
    found = {}
    for name, (solver, loss) in cases.items():
        slopes = []
        for alpha in alphas:
            law = power_laws.density(alpha, solver=solver, loss=loss)
            slopes.append(power_laws.slope(law.log_sigma, law.density, -4.0, 4.0))
        order = laws.ORDER[solver]
        formula = [power_laws.exponent(alpha, loss, order) for alpha in alphas]
        found[name] = (list(alphas), np.array(slopes), np.array(formula))
    return found


def edm_on_spectrum(lam: ArrayLike, ranks: tuple[int, int]) -> list[float]:
    """How well the EDM family suits a spectrum, in the limit of many steps.

    Gives the exponent alpha, fitted between two ranks (from 1), and rho predicted from it; then, with
    sigma between the smallest and largest standard deviation of the modes, the best rho, and W2
    relative to the optimum at the predicted rho, at rho = 7 and at the best rho; last, the best
    ratio with the book's default ends.
    """
    lam = np.sort(np.asarray(lam, dtype=np.float64).ravel())[::-1]
    rank = np.log(np.arange(1, lam.size + 1))
    alpha = -power_laws.slope(rank, lam, *np.log(ranks))
    predicted = power_laws.exponent(alpha)
    x = np.linspace(0.5 * np.log(lam[-1]), 0.5 * np.log(lam[0]), 401)
    best, excess = power_laws.best_edm(lam, x)
    others = [power_laws.edm_excess(lam, x, q) for q in (predicted, 1.0 / 7.0)]
    wide = power_laws.best_edm(lam, np.linspace(*np.log(sigma_range()), 401))[1]
    return [alpha, 1.0 / predicted, 1.0 / best, *others, excess, wide]


def conservation(sigma: ArrayLike) -> tuple[float, float]:
    """Both sides of DDIM's conservation law: ``integral -ln(D1 / g) d ln(lam)``, ``sum_s (d ln sigma)^2 / 2``.

    By the trapezoidal rule over thirty decades beyond the squared noise levels on either side.
    """
    x = np.log(np.asarray(sigma))
    reach = 30.0 * np.log(10.0)
    half_log_lam = 0.5 * np.linspace(2 * x[0] - reach, 2 * x[-1] + reach, 20_001)[:, None]
    phi = np.arctan(np.exp(x - half_log_lam))
    lost = -np.sum(np.log(np.cos(np.diff(phi, axis=1))), axis=1)
    right = float(0.5 * np.sum(np.diff(x) ** 2))
    return float(np.trapezoid(lost, 2.0 * half_log_lam[:, 0])), right
