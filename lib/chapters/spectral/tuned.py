"""Families of heuristic schedules with their parameters tuned on a Gaussian loss.

Each family is searched by brute force, a grid and a simplex search from its best point: the
question is how good it can get, not how fast. The number of evaluated schedules is returned with
the result, because it is the price of tuning.

Families: cosine and sigmoid (Chen 2023, arXiv 2301.10972), EDM (Karras et al. 2022, arXiv
2206.00364), tangent (Sabour et al. 2024, arXiv 2404.14507).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize, minimize_scalar

from diffbook.samplers.comparison import score
from diffbook.schedules.design import (
    Loss,
    ScheduleProblem,
    design_schedule,
    make_problem,
    objective,
)
from diffbook.schedules.families import cosine, edm, heuristics, log_linear, sigmoid, tangent
from diffbook.schedules.levels import alpha_bar_to_sigma, sigma_range

Array = NDArray[np.float64]

FAMILIES = ("cosine", "sigmoid", "EDM", "tangent")

_COSINE = list(
    product((0.0, 0.1, 0.2, 0.3, 0.4), (0.7, 0.8, 0.9, 1.0), (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0))
)
_SIGMOID = [
    (start, end, tau)
    for start, end, tau in product(
        (-5.0, -3.0, -1.0, 0.0, 1.0), (1.0, 3.0, 5.0, 7.0), (0.2, 0.3, 0.5, 0.7, 1.0, 1.5)
    )
    # Beyond about 36 temperatures the two ends of the curve are equal in double precision.
    if start < end and (end - start) / tau < 36.0
]


@dataclass(frozen=True, eq=False)
class Tuned:
    """Best member of a family: `sigma`, its parameters, its loss, and how many were evaluated.

    The parameters are ``(start, end, tau)``, ``(rho,)`` or ``(scale,)``; the loss is ``W2^2`` or KL.
    """

    sigma: Array
    parameters: tuple[float, ...]
    objective: float
    n_eval: int


def tune(problem: ScheduleProblem, S: int, family: str) -> Tuned:
    """Search one of `FAMILIES` for the schedule of S steps with the smallest loss."""
    sigmas = sigma_range()
    if family == "cosine":
        bounds = ((0.0, 1.0), (0.0, 1.0), (0.05, 10.0))
        return _grid(problem, _COSINE, bounds, lambda p: alpha_bar_to_sigma(cosine(S, *p)))
    if family == "sigmoid":
        bounds = ((-20.0, 20.0), (-20.0, 20.0), (0.05, 10.0))
        return _grid(problem, _SIGMOID, bounds, lambda p: alpha_bar_to_sigma(sigmoid(S, *p)))
    if family == "EDM":
        # In 1/rho, where the log-linear schedule (rho infinite) is an ordinary point.
        def by_inverse(q: float) -> Array:
            return log_linear(S, *sigmas) if abs(q) < 1e-6 else edm(S, *sigmas, rho=1.0 / q)

        best = _line(problem, -0.5, 0.5, by_inverse)
        rho = np.inf if abs(best.parameters[0]) < 1e-6 else 1.0 / best.parameters[0]
        return replace(best, parameters=(float(rho),))
    if family == "tangent":
        low, high = np.log(sigmas)
        best = _line(problem, low, high, lambda q: tangent(S, *sigmas, scale=float(np.exp(q))))
        return replace(best, parameters=(float(np.exp(best.parameters[0])),))
    raise ValueError(f"family must be one of {FAMILIES}, got {family!r}")


def _grid(
    problem: ScheduleProblem,
    parameters: Iterable[tuple[float, ...]],
    bounds: tuple[tuple[float, float], ...],
    make: Callable[[tuple[float, ...]], Array],
) -> Tuned:
    """Best point of a grid, refined by Nelder and Mead's simplex."""

    def cost(p: ArrayLike) -> float:
        try:
            return objective(problem, make(tuple(p)))
        except ValueError:  # outside the family's range, or two levels equal in double precision
            return np.inf

    values = {p: cost(p) for p in parameters}
    first = min(values, key=values.__getitem__)
    options = {"maxfev": 300, "xatol": 1e-4, "fatol": 0.0}
    refined = minimize(cost, first, method="Nelder-Mead", bounds=bounds, options=options)
    best = tuple(map(float, refined.x if refined.fun < values[first] else first))
    return Tuned(make(best), best, cost(best), len(values) + refined.nfev)


def _line(
    problem: ScheduleProblem, low: float, high: float, make: Callable[[float], Array]
) -> Tuned:
    """Grid of 33 points, then a bounded minimisation around the best one."""

    def cost(q: float) -> float:
        return objective(problem, make(q))

    grid = np.linspace(low, high, 33)
    i = int(np.argmin([cost(q) for q in grid]))
    bounds = grid[max(i - 1, 0)], grid[min(i + 1, grid.size - 1)]
    refined = minimize_scalar(cost, bounds=bounds, method="bounded")
    sigma = make(float(refined.x))
    return Tuned(sigma, (float(refined.x),), objective(problem, sigma), grid.size + refined.nfev)


def distance(objective_value: float, loss: Loss) -> float:
    """Turn a minimum into what the tables report: W2 itself, where the loss is its square."""
    return float(np.sqrt(objective_value)) if loss == "w2" else float(objective_value)


def heuristic_ratios(
    lam: ArrayLike, steps: Sequence[int], loss: Loss = "w2"
) -> tuple[dict[str, Array], dict[str, Array], dict[str, float]]:
    """Heuristics as they come and tuned for each S, relative to the optimum, and what tuning took.

    The first two map a name to ratios, shape (len(steps),); the last maps a family to the average
    number of schedules that its tuning evaluated.
    """
    problem = make_problem(lam, loss=loss)
    untuned: dict[str, list[float]] = {}
    tuned: dict[str, list[float]] = {}
    tried: dict[str, list[int]] = {}
    for S in steps:
        best = distance(design_schedule(lam, S, loss=loss).objective, loss)
        for name, alpha_bar in heuristics(S).items():
            untuned.setdefault(name, []).append(score(lam, alpha_bar, loss=loss) / best)
        for family in FAMILIES:
            found = tune(problem, S, family)
            tuned.setdefault(family, []).append(distance(found.objective, loss) / best)
            tried.setdefault(family, []).append(found.n_eval)
    return (
        {name: np.array(values) for name, values in untuned.items()},
        {name: np.array(values) for name, values in tuned.items()},
        {name: float(np.mean(counts)) for name, counts in tried.items()},
    )
