"""Families of heuristic schedules with their parameters tuned on a Gaussian loss.

Each family is searched by brute force, a grid and a simplex search from its best point: the
question is how good it can get, not how fast. The number of evaluated schedules is returned with the result, because it is the price of tuning.

Families: cosine and sigmoid (Chen 2023, arXiv 2301.10972), EDM (Karras et al. 2022, arXiv
2206.00364), tangent (Sabour et al. 2024, arXiv 2404.14507).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize, minimize_scalar

from diffbook.schedules.design import ScheduleProblem, objective
from diffbook.schedules.families import cosine, edm, log_linear, sigmoid, tangent
from diffbook.schedules.levels import EPS_0, EPS_S, alpha_bar_to_sigma, sigma_range

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
    """Best member of a family.

    Parameters
    ----------
    sigma : ndarray, shape (S + 1,)
        The schedule.
    parameters : tuple of float
        ``(start, end, tau)``, ``(rho,)`` or ``(scale,)``.
    objective : float
        Its loss (``W2^2`` or KL).
    n_eval : int
        Schedules evaluated.
    """

    sigma: Array
    parameters: tuple[float, ...]
    objective: float
    n_eval: int


def tune(
    problem: ScheduleProblem, S: int, family: str, *, eps_0: float = EPS_0, eps_S: float = EPS_S
) -> Tuned:
    """Search a family for the schedule with the smallest loss.

    Parameters
    ----------
    problem : ScheduleProblem
        Data and loss, from `diffbook.schedules.design.make_problem` with the same ends.
    S : int
        Number of steps.
    family : {"cosine", "sigmoid", "EDM", "tangent"}
        Grid over (start, end, tau), refined by Nelder and Mead's simplex, for the first two;
        one-dimensional minimisation over ``1/rho`` in [-1/2, 1/2] and over the logarithm of the
        scale for the others.
    eps_0, eps_S : float
        Ends.
    """
    ends = {"eps_0": eps_0, "eps_S": eps_S}
    sigmas = sigma_range(**ends)
    if family == "cosine":
        make = lambda p: alpha_bar_to_sigma(cosine(S, *p, **ends))  # noqa: E731
        return _grid(problem, _COSINE, ((0.0, 1.0), (0.0, 1.0), (0.05, 10.0)), make)
    if family == "sigmoid":
        make = lambda p: alpha_bar_to_sigma(sigmoid(S, *p, **ends))  # noqa: E731
        return _grid(problem, _SIGMOID, ((-20.0, 20.0), (-20.0, 20.0), (0.05, 10.0)), make)
    if family == "EDM":
        # In 1/rho, where the log-linear schedule (rho infinite) is an ordinary point.
        def by_inverse(q: float) -> Array:
            return log_linear(S, *sigmas) if abs(q) < 1e-6 else edm(S, *sigmas, rho=1.0 / q)

        best = _line(problem, -0.5, 0.5, by_inverse)
        rho = np.inf if abs(best.parameters[0]) < 1e-6 else 1.0 / best.parameters[0]
        return Tuned(best.sigma, (float(rho),), best.objective, best.n_eval)
    if family == "tangent":
        low, high = np.log(sigmas)
        best = _line(problem, low, high, lambda q: tangent(S, *sigmas, scale=float(np.exp(q))))
        scale = (float(np.exp(best.parameters[0])),)
        return Tuned(best.sigma, scale, best.objective, best.n_eval)
    raise ValueError(f"family must be one of {FAMILIES}, got {family!r}")


def _grid(
    problem: ScheduleProblem,
    parameters: Iterable[tuple[float, ...]],
    bounds: tuple[tuple[float, float], ...],
    make: Callable[[tuple[float, ...]], Array],
) -> Tuned:
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
    grid = np.linspace(low, high, 33)
    values = [objective(problem, make(q)) for q in grid]
    i = int(np.argmin(values))
    bounds = grid[max(i - 1, 0)], grid[min(i + 1, grid.size - 1)]
    refined = minimize_scalar(
        lambda q: objective(problem, make(q)), bounds=bounds, method="bounded"
    )
    sigma = make(float(refined.x))
    return Tuned(sigma, (float(refined.x),), objective(problem, sigma), grid.size + refined.nfev)
