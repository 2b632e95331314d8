"""Comparisons that go beyond the papers: rival laws, tuned families, solvers, circulant models.

Everything is closed form in the Gaussian model; results are plain tables, name to array, ready for
`press.show.tables.number_table` and `chapters.spectral.figures_beyond`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chapters.spectral import rivals, solvers
from chapters.spectral import tuned as heuristics
from chapters.spectral.circulant import mismatch_w2, nearest_circulant
from diffbook.priors.distances import w2_spectral
from diffbook.priors.gaussian import GaussianPrior
from diffbook.samplers.comparison import score
from diffbook.schedules import laws as asymptotics
from diffbook.schedules.design import (
    Loss,
    design_schedule,
    limit_density,
    limit_schedule,
    make_problem,
    objective,
)
from diffbook.schedules.families import heuristics as standard_schedules
from diffbook.schedules.families import log_linear
from diffbook.schedules.levels import sigma_range, sigma_to_alpha_bar

Array = NDArray[np.float64]


Table = dict[str, Array]


def _distance(objective_value: float, loss: Loss) -> float:
    return float(np.sqrt(objective_value)) if loss == "w2" else float(objective_value)


def rival_ratios(lam: ArrayLike, steps: Sequence[int], loss: Loss = "w2") -> Table:
    """Distance of DDIM's output under every rival law, relative to the optimum.

    Parameters
    ----------
    lam : array_like, shape (d,)
        Variances of the modes, positive.
    steps : sequence of int
        Step counts.
    loss : {"w2", "kl"}
        Distance: W2 (not squared) or KL(data || output). The fixed point and the tangent are those
        of this loss; the other laws do not know it.

    Returns
    -------
    dict of str to ndarray, shape (len(steps),)
    """
    problem = make_problem(lam, loss=loss)
    limit = limit_density(problem, *sigma_range())
    table: dict[str, list[float]] = {}
    for S in steps:
        laws = {"fixed point": sigma_to_alpha_bar(limit_schedule(limit, S))}
        laws |= rivals.rivals(lam, S)
        values = {name: score(lam, alpha_bar, loss=loss) for name, alpha_bar in laws.items()}
        tangent = heuristics.tune(problem, S, "tangent")
        values["tangent (best c)"] = _distance(tangent.objective, loss)
        best = _distance(design_schedule(lam, S, loss=loss).objective, loss)
        for name, value in values.items():
            table.setdefault(name, []).append(value / best)
    return {name: np.array(values) for name, values in table.items()}


def heuristic_ratios(
    lam: ArrayLike, steps: Sequence[int], loss: Loss = "w2"
) -> tuple[Table, Table, dict[str, float]]:
    """Heuristics as they come and tuned for each S, relative to the optimum.

    Returns
    -------
    untuned : dict
        Ratios of the standard schedules, shape (len(steps),).
    tuned : dict
        Ratios of the tuned families.
    tried : dict
        Average number of schedules that the tuning of a family evaluated.
    """
    problem = make_problem(lam, loss=loss)
    untuned: dict[str, list[float]] = {}
    tuned: dict[str, list[float]] = {}
    tried: dict[str, list[int]] = {}
    for S in steps:
        best = _distance(design_schedule(lam, S, loss=loss).objective, loss)
        for name, alpha_bar in standard_schedules(S).items():
            untuned.setdefault(name, []).append(score(lam, alpha_bar, loss=loss) / best)
        for family in heuristics.FAMILIES:
            found = heuristics.tune(problem, S, family)
            tuned.setdefault(family, []).append(_distance(found.objective, loss) / best)
            tried.setdefault(family, []).append(found.n_eval)
    return (
        {name: np.array(values) for name, values in untuned.items()},
        {name: np.array(values) for name, values in tuned.items()},
        {name: float(np.mean(counts)) for name, counts in tried.items()},
    )


def solver_scores(lam: ArrayLike, nfes: Sequence[int], *, eps_0: float, eps_S: float) -> Table:
    """W2 of four samplers at equal numbers of denoiser calls.

    DDIM, DDPM and Heun have the schedule that is optimal for them, DPM-Solver++(2M) the
    log-linear one, which is also given for DDIM.

    Parameters
    ----------
    lam : array_like, shape (d,)
        Variances of the modes, positive.
    nfes : sequence of int
        Even numbers of denoiser calls.
    eps_0, eps_S : float
        Ends of all schedules.
    """
    ends = {"eps_0": eps_0, "eps_S": eps_S}
    lam = np.asarray(lam, dtype=np.float64).ravel()

    def w2(solver: solvers.Solver, alpha_bar: Array) -> float:
        return w2_spectral(lam, solvers.output_std(lam, alpha_bar, solver))

    table: dict[str, list[float]] = {}
    for nfe in nfes:
        for name, solver in (("DDIM", "ddim"), ("DDPM", "ddpm"), ("Heun", "heun")):
            own = solvers.design_for(lam, solvers.steps_for(solver, nfe), solver, **ends)
            table.setdefault(name, []).append(w2(solver, own))
        even = sigma_to_alpha_bar(log_linear(nfe, *sigma_range(**ends)))
        table.setdefault("DPM-Solver++(2M), log-linear", []).append(w2("dpmpp_2m", even))
        table.setdefault("DDIM, log-linear", []).append(w2("ddim", even))
    return {name: np.array(values) for name, values in table.items()}


def free_multistep(lam: ArrayLike, S: int, *, eps_0: float, eps_S: float) -> tuple[float, float]:
    """Let DPM-Solver++(2M) have any schedule, and see what the optimiser makes of it.

    Returns
    -------
    share : float
        W2 relative to that of the log-linear schedule, from which the search starts.
    uneven : float
        Largest ratio of neighbouring steps in ``log(sigma)``, at least 1.
    """
    ends = {"eps_0": eps_0, "eps_S": eps_S}
    lam = np.asarray(lam, dtype=np.float64).ravel()
    start = log_linear(S, *sigma_range(**ends))
    free = solvers.design_for(lam, S, "dpmpp_2m", init=[start], **ends)
    w2 = [
        w2_spectral(lam, solvers.output_std(lam, alpha_bar, "dpmpp_2m"))
        for alpha_bar in (free, sigma_to_alpha_bar(start))
    ]
    ratio = np.abs(np.diff(np.log(np.abs(np.diff(np.log(1.0 / free - 1.0))))))
    return w2[0] / w2[1], float(np.exp(ratio.max()))


def power_law_slopes(alphas: Sequence[float]) -> dict[str, tuple[list[float], Array, Array]]:
    """``1 / rho`` from the limiting density of power-law spectra, and by the formula.

    Returns
    -------
    dict
        ``"W2, DDIM"``, ``"W2, Heun"``, ``"KL, DDIM"`` to (alphas, measured, formula).
    """
    cases = {"W2, DDIM": ("ddim", "w2"), "W2, Heun": ("heun", "w2"), "KL, DDIM": ("ddim", "kl")}
    found = {}
    for name, (solver, loss) in cases.items():
        slopes = []
        for alpha in alphas:
            law = asymptotics.power_law_density(alpha, solver=solver, loss=loss)
            slopes.append(asymptotics.fit_exponent(law.log_sigma, law.density, -4.0, 4.0))
        order = asymptotics.ORDER[solver]
        formula = [asymptotics.power_law_exponent(alpha, loss, order) for alpha in alphas]
        found[name] = (list(alphas), np.array(slopes), np.array(formula))
    return found


def edm_on_spectrum(lam: ArrayLike, ranks: tuple[int, int]) -> list[float]:
    """How well the EDM family suits a spectrum, in the limit of many steps.

    Parameters
    ----------
    lam : array_like, shape (d,)
        Variances of the modes, positive.
    ranks : tuple of int
        Ranks (from 1) between which the exponent alpha is fitted.

    Returns
    -------
    list of float
        alpha; rho predicted from it; with sigma between the smallest and largest standard
        deviation of the modes: the best rho, and W2 relative to the optimum at the predicted
        rho, at rho = 7 and at the best rho; the latter with the book's default ends.
    """
    lam = np.sort(np.asarray(lam, dtype=np.float64).ravel())[::-1]
    rank = np.log(np.arange(1, lam.size + 1))
    alpha = -asymptotics.fit_exponent(rank, lam, *np.log(ranks))
    predicted = asymptotics.power_law_exponent(alpha)
    x = np.linspace(0.5 * np.log(lam[-1]), 0.5 * np.log(lam[0]), 401)
    best, excess = asymptotics.best_edm(lam, x)
    others = [asymptotics.edm_excess(lam, x, q) for q in (predicted, 1.0 / 7.0)]
    wide = asymptotics.best_edm(lam, np.linspace(*np.log(sigma_range()), 401))[1]
    return [alpha, 1.0 / predicted, 1.0 / best, *others, excess, wide]


def circulant_costs(cov: ArrayLike, shape: tuple[int, ...], steps: Sequence[int]) -> Table:
    """W2 to a Gaussian whose covariance is not circulant, with and without a circulant model.

    Returns
    -------
    dict of str to ndarray, shape (len(steps),)
        Exact denoiser with its own schedule, exact denoiser with the schedule designed for the
        nearest circulant covariance, and the circulant model's denoiser with that schedule.
    """
    own, ring = GaussianPrior.from_covariance(cov), nearest_circulant(cov, shape)
    table: Table = {}
    for S in steps:
        mine, theirs = (design_schedule(prior.lam, S).schedule for prior in (own, ring))
        values = {
            "exact denoiser, own schedule": score(own.lam, mine),
            "exact denoiser, circulant schedule": score(own.lam, theirs),
            "circulant denoiser": mismatch_w2(cov, ring, theirs),
        }
        for name, value in values.items():
            table[name] = np.append(table.get(name, []), value)
    return table


def law_errors(lam: ArrayLike, steps: Sequence[int], *, eps_0: float, eps_S: float) -> Array:
    """Relative error of the large-S law for the limiting schedule's W2, shape (len(steps),)."""
    ends = {"eps_0": eps_0, "eps_S": eps_S}
    problem = make_problem(lam, **ends)
    limit = limit_density(problem, *sigma_range(**ends))
    E = asymptotics.step_error(lam, limit.log_sigma, limit.density)
    actual = [np.sqrt(objective(problem, limit_schedule(limit, S))) for S in steps]
    return np.abs(asymptotics.w2_law(lam, E, np.asarray(steps), **ends) / actual - 1.0)
