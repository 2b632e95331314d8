"""Laws for many steps on the chapter's spectra: the ends' law, power laws, EDM's family."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook.schedules import laws
from diffbook.schedules.design import limit_density, limit_schedule, make_problem, objective
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


def power_law_slopes(alphas: Sequence[float]) -> dict[str, tuple[list[float], Array, Array]]:
    """``1 / rho`` of power-law spectra: case to (alphas, limiting density's slope, formula)."""
    cases = {"W2, DDIM": ("ddim", "w2"), "W2, Heun": ("heun", "w2"), "KL, DDIM": ("ddim", "kl")}
    found = {}
    for name, (solver, loss) in cases.items():
        slopes = []
        for alpha in alphas:
            law = laws.power_law_density(alpha, solver=solver, loss=loss)
            slopes.append(laws.fit_exponent(law.log_sigma, law.density, -4.0, 4.0))
        order = laws.ORDER[solver]
        formula = [laws.power_law_exponent(alpha, loss, order) for alpha in alphas]
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
    alpha = -laws.fit_exponent(rank, lam, *np.log(ranks))
    predicted = laws.power_law_exponent(alpha)
    x = np.linspace(0.5 * np.log(lam[-1]), 0.5 * np.log(lam[0]), 401)
    best, excess = laws.best_edm(lam, x)
    others = [laws.edm_excess(lam, x, q) for q in (predicted, 1.0 / 7.0)]
    wide = laws.best_edm(lam, np.linspace(*np.log(sigma_range()), 401))[1]
    return [alpha, 1.0 / predicted, 1.0 / best, *others, excess, wide]
