"""Optimal guidance weights for a Gaussian inverse problem, for any number of steps.

The distance between a guided sampler and the exact posterior, averaged over measurements, is an
explicit function of the guidance weights (`diffbook.inverse.filters`). Here it is minimised with its
exact gradient, from an adjoint recursion that costs about as much as the objective. The unknowns
are the logarithms of the weights relative to a reference, within fixed bounds.

The landscape has local minima (deblurring with DPS) and flat directions (weights at high noise), so
several starts are made and all their results are kept. Networks are not the Gaussian model: for them
the weights are kept below the no-overshoot bound, with a small penalty on the distance from the
reference that settles the flat directions.

Sources: the objective, Benita, Elad, Keshet 2026 (arXiv 2602.07715), whose optimiser and
parametrisation could not be had; gradient, starts and regularisation are this book's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from diffbook._checks import NON_NEGATIVE, POSITIVE, choice, real, reals, whole
from diffbook.inverse import gains, rules
from diffbook.inverse.filters import Steps, compose
from diffbook.inverse.problem import Problem, binned, merged, ratio
from diffbook.schedules.levels import alpha_bar_to_sigma, validate_alpha_bar

Array = NDArray[np.float64]
Method = Literal["dps", "pigdm", "diffpir", "ddnm", "ddnm_plus", "ddrm", "ald", "mcg"]
Cap = Literal["no-overshoot", "stability"]

METHODS: dict[str, Callable[..., Steps]] = {
    "dps": gains.dps,
    "pigdm": gains.pigdm,
    "diffpir": gains.diffpir,
    "ddnm": gains.ddnm,
    "ddnm_plus": gains.ddnm_plus,
    "ddrm": gains.ddrm,
    "ald": gains.ald,
    "mcg": gains.mcg,
}
"""The methods that have weights."""

BOX = (-12.0, 12.0)
"""Range of ``log(weight / reference)``."""

STAYS, RESTARTS = 1e-3, 6
"""When `descend` ends: the relative improvement that is none, and the number of restarts."""


class Recursion(NamedTuple):
    """What the averaged distance needs to know of a sampler.

    The response of the average output to the prior mean, the response to y, and the variance given
    y all follow ``x_{s-1} = T_s x_s + F_s``, with factors ``G, G, G^2``.

    ``G`` (S, m) factors; ``F`` (S, 3, m) increments; ``start`` (3, m) initial values.
    """

    G: Array
    F: Array
    start: Array


@dataclass(frozen=True, eq=False)
class WeightDesign:
    """Designed weights and the evidence for them.

    Parameters
    ----------
    weights : ndarray, shape (S,)
        Row ``s - 1`` for the step from s to s - 1.
    objective : float
        ``E_y W2^2`` of the problem as given (without the penalty).
    reference : ndarray, shape (S,)
        What the logarithms are relative to.
    starts : list of (str, float, ndarray)
        Every start's name, the objective it reached (without penalty) and its weights.
    n_iter, n_eval : int
        Iterations and evaluations, all starts together.
    converged : bool
        Whether the best start stayed, rather than being cut off while it still moved; see `descend`.
    """

    weights: Array
    objective: float
    reference: Array
    starts: list[tuple[str, float, Array]]
    n_iter: int
    n_eval: int
    converged: bool = True


# --- objective and gradient -------------------------------------------------------------------


def recursion(problem: Problem, alpha_bar: ArrayLike, steps: Steps) -> Recursion:
    """Reduce a sampler's steps to what the averaged distance needs; ``problem.h`` must be real."""
    if np.iscomplexobj(problem.h):
        raise ValueError("problem.h must be real and non-negative: take merged(problem)")
    ab = validate_alpha_bar(alpha_bar, allow_one=True)[1:, None]
    w, h = problem.slope(ab), problem.h
    to_mean = steps.Q * (1.0 - np.sqrt(ab) * w) + steps.Y * h
    return Recursion(
        steps.P + steps.Q * w,
        np.stack([to_mean, steps.Y, steps.C2], axis=1),
        np.stack([steps.start_y * h, steps.start_y, steps.start_var]),
    )


def value_and_adjoint(problem: Problem, recursion: Recursion) -> tuple[float, Array, Array]:
    """Averaged distance of a sampler and its derivatives by the recursion's coefficients.

    Parameters
    ----------
    problem : Problem
        With real ``h``.
    recursion : Recursion

    Returns
    -------
    value : float
        ``E_y W2^2``.
    by_G : ndarray, shape (S, m)
    by_F : ndarray, shape (S, 3, m)
    """
    G, F, start = recursion
    S, m = G.shape
    T = np.empty((S, 3, m))
    T[:, 0] = T[:, 1] = G
    np.square(G, out=T[:, 2])
    X = np.empty((S + 1, 3, m))
    X[S] = start
    for s in range(S, 0, -1):
        np.multiply(T[s - 1], X[s], out=X[s - 1])
        X[s - 1] += F[s - 1]

    power = problem.count * np.abs(problem.mu0) ** 2
    bias, gap = X[0, 0] - 1.0, X[0, 1] - problem.K
    std = np.sqrt(X[0, 2])
    miss = std - np.sqrt(problem.lam_p)
    S_y = problem.count * problem.S_y
    value = power @ bias**2 + S_y @ gap**2 + problem.count @ miss**2

    A = np.empty((S + 1, 3, m))
    A[0, 0], A[0, 1] = 2.0 * power * bias, 2.0 * S_y * gap
    # At a mode without output variance the root has a kink: its (one-sided) slope is left out.
    A[0, 2] = problem.count * np.divide(miss, std, out=np.zeros(m), where=std > 0)
    for s in range(1, S):
        np.multiply(A[s - 1], T[s - 1], out=A[s])
    by_F, before = A[:-1], X[1:]
    by_G = by_F[:, 0] * before[:, 0] + by_F[:, 1] * before[:, 1]
    by_G += 2.0 * G * by_F[:, 2] * before[:, 2]
    return float(value), by_G, by_F


def objective_and_grad(
    problem: Problem,
    alpha_bar: ArrayLike,
    weights: ArrayLike,
    method: Method = "dps",
    **options: Any,
) -> tuple[float, Array]:
    """Averaged distance ``E_y W2^2`` and its exact gradient by the guidance weights.

    Parameters
    ----------
    problem : Problem
    alpha_bar : array_like, shape (S + 1,)
    weights : array_like, shape (S,)
    method : str
        One of `METHODS`.
    **options
        ``eta``, ``zeta``, ... of the method in `diffbook.inverse.gains`.

    Returns
    -------
    value : float
    grad : ndarray, shape (S,)
    """
    problem = problem if not np.iscomplexobj(problem.h) else merged(problem)
    evaluate = objective(method, problem, alpha_bar, options)
    return evaluate(gains.check_weights(weights, len(alpha_bar) - 1).ravel())


def objective(
    method: str, problem: Problem, alpha_bar: ArrayLike, options: Mapping[str, Any]
) -> Callable[[Array], tuple[float, Array]]:
    """Make the function that `objective_and_grad` evaluates, for many weights of one method.

    It checks no weights, and takes a problem with real ``h`` (see `diffbook.inverse.problem.merged`).
    """
    choice(method, "method", METHODS)
    alpha_bar = validate_alpha_bar(alpha_bar, allow_one=True)
    if method == "diffpir":
        return _proximal(problem, alpha_bar, options)
    base, slope = rules.affine(METHODS[method], problem, alpha_bar, **options)
    G0, F0, start = recursion(problem, alpha_bar, base)
    G1, F1, _ = recursion(problem, alpha_bar, slope)

    def linear(weights: Array) -> tuple[float, Array]:
        here = Recursion(G0 + weights[:, None] * G1, F0 + weights[:, None, None] * F1, start)
        value, by_G, by_F = value_and_adjoint(problem, here)
        return value, np.einsum("sm,sm->s", by_G, G1) + np.einsum("skm,skm->s", by_F, F1)

    return linear


def _proximal(
    problem: Problem, alpha_bar: Array, options: Mapping[str, Any]
) -> Callable[[Array], tuple[float, Array]]:
    """Objective of DiffPIR, whose gain ``b h / (h^2 + lambda noise2)`` is not linear in lambda."""
    ab = alpha_bar[1:, None]
    noise2 = problem.sigma_y**2 / alpha_bar_to_sigma(ab) ** 2
    w, h = problem.slope(ab), problem.h
    mean_part = 1.0 - np.sqrt(ab) * w

    def evaluate(weights: Array) -> tuple[float, Array]:
        steps = gains.diffpir(problem, alpha_bar, weights, **options)
        value, by_G, by_F = value_and_adjoint(problem, recursion(problem, alpha_bar, steps))
        # Derivative by the gain, then by lambda.
        by_gain = by_F[:, 1] + h * by_F[:, 0] * (1.0 - mean_part) - h * w * by_G
        change = -ratio(steps.Y * noise2, h**2 + weights[:, None] * noise2)
        return value, np.einsum("sm,sm->s", by_gain, change)

    return evaluate


# --- the design -------------------------------------------------------------------------------


def check_search(
    cap: str | None = None,
    tikhonov: float = 0.0,
    n_random: int = 0,
    rng: np.random.Generator | None = None,
    max_iter: int = 0,
) -> None:
    """Refuse what no search can be made with, unseeded starts for example."""
    choice(cap, "cap", (None, "no-overshoot", "stability"))
    real(tikhonov, "tikhonov", NON_NEGATIVE)
    whole(max_iter, "max_iter", 0)
    if whole(n_random, "n_random", 0) > 0 and not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng: got {rng!r}, expected a generator for the random starts")


def reference_weights(
    problem: Problem, alpha_bar: ArrayLike, method: Method = "dps", **options: Any
) -> Array:
    """Weights that the logarithms are relative to, (S,): near what the method's authors intend.

    The score-matched weight for DPS and MCG, the published one for PiGDM, 1 for the others.
    """
    choice(method, "method", METHODS)
    S = len(validate_alpha_bar(alpha_bar, allow_one=True)) - 1
    if method in ("dps", "mcg"):
        return rules.reference(problem, alpha_bar, eta=options.get("eta", 0.0))
    return gains.pigdm_published(alpha_bar) if method == "pigdm" else np.ones(S)


def interpolate_weights(
    weights: ArrayLike, alpha_bar: ArrayLike, onto: ArrayLike, *, rescale: bool = True
) -> Array:
    """Weights for another number of steps.

    Parameters
    ----------
    weights : array_like, shape (S,)
        Positive weights of the schedule `alpha_bar`.
    alpha_bar, onto : array_like
        Old and new schedule.
    rescale : bool
        ``True``: interpolate ``log(weight / kappa)`` over log SNR, so that the guidance per unit of
        step is kept. ``False``: copy the weights over s/S, as one does with a table of settings.

    Returns
    -------
    ndarray, shape (len(onto) - 1,)
    """
    old, new = (
        validate_alpha_bar(a, n, allow_one=True)
        for a, n in ((alpha_bar, "alpha_bar"), (onto, "onto"))
    )
    weights = reals(weights, "weights", POSITIVE, shape=(len(old) - 1,))
    if not rescale:
        S, S_new = len(old) - 1, len(new) - 1
        at = np.arange(1, S_new + 1) / S_new
        return np.exp(np.interp(at, np.arange(1, S + 1) / S, np.log(weights)))
    x, x_new = (np.log(alpha_bar_to_sigma(a[1:])) for a in (old, new))
    relative = np.interp(x_new, x, np.log(weights / gains.kappa(old)))
    return gains.kappa(new) * np.exp(relative)


def design_weights(
    problem: Problem,
    alpha_bar: ArrayLike,
    method: Method = "dps",
    *,
    cap: Cap | None = None,
    tikhonov: float = 0.0,
    starts: Mapping[str, ArrayLike] | None = None,
    n_random: int = 0,
    rng: np.random.Generator | None = None,
    n_bins: int | None = None,
    max_iter: int = 500,
    own_starts: bool = True,
    **options: Any,
) -> WeightDesign:
    """Find the guidance weights that minimise the averaged distance to the exact posterior.

    Parameters
    ----------
    problem : Problem
        Modes of equal ``(lam, |h|)`` are merged first.
    alpha_bar : array_like, shape (S + 1,)
        Schedule.
    method : str
        One of `METHODS`.
    cap : {"no-overshoot", "stability"}, optional
        Upper bound of every weight (methods that are linear in them).
    tikhonov : float
        Weight of the penalty ``sum log(weight / reference)^2``, in units of the objective.
    starts : mapping of str to array_like (S,), optional
        Starts in addition to the reference (and, for DPS, the best normalised weights; for PiGDM,
        those that are consistent with the score).
    n_random : int
        Random starts: every logarithm normal about the reference with standard deviation 1.5.
    rng : numpy.random.Generator, optional
        Needed for random starts.
    n_bins : int, optional
        Design on `diffbook.inverse.problem.binned` modes, for large images; the objective that is returned
        is that of all modes.
    max_iter : int
        Iterations per start, before some of them go on, see `descend`.
    own_starts : bool
        ``False``: only the starts that are given, and random ones.
    **options
        ``eta``, ``zeta``, ... of the method.

    Returns
    -------
    WeightDesign
    """
    check_search(cap, tikhonov, n_random, rng, max_iter)
    full = merged(problem)
    small = full if n_bins is None else binned(full, n_bins)
    evaluate = objective(method, small, alpha_bar, options)
    reference = reference_weights(small, alpha_bar, method, **options)
    high = stable = np.full(len(reference), BOX[1])
    if method != "diffpir":
        bounds = {"no-overshoot": rules.no_overshoot_bound, "stability": rules.stability_bound}
        with np.errstate(divide="ignore"):
            limit = {
                name: np.log(bound(small, alpha_bar, METHODS[method], **options) / reference)
                for name, bound in bounds.items()
            }
        high = high if cap is None else np.clip(limit[cap], BOX[0], high)
        # A start above the stability bound may have an astronomic objective.
        stable = np.clip(limit["stability"], BOX[0], high)

    candidates = {"reference": np.zeros(len(reference))} if own_starts else {}
    if method == "dps" and own_starts:
        eta = options.get("eta", 0.0)
        best, _ = rules.best_normalised(small, alpha_bar, eta=eta)
        normalised = rules.dps_normalised(small, alpha_bar, best, eta=eta)
        candidates["normalised"] = np.log(normalised / reference)
    if method == "pigdm" and own_starts:
        candidates["kappa"] = np.log(gains.kappa(alpha_bar) / reference)
    candidates |= more_starts(reference, starts, n_random, rng)
    candidates = {name: np.clip(x, BOX[0], stable) for name, x in candidates.items()}
    found = descend(evaluate, reference, candidates, BOX[0], high, tikhonov, max_iter)
    steps = METHODS[method](full, alpha_bar, found.weights, **options)
    return replace(found, objective=compose(full, alpha_bar, steps).w2_squared)


def more_starts(
    reference: Array,
    starts: Mapping[str, ArrayLike] | None,
    n_random: int,
    rng: np.random.Generator | None,
) -> dict[str, Array]:
    """Logarithms, relative to the reference, of the starts that a caller gives and of random ones."""
    check_search(n_random=n_random, rng=rng)
    reference, found = reals(reference, "reference", POSITIVE, ndim=1), {}
    for name, start in (starts or {}).items():
        start = gains.check_weights(start, len(reference), f"starts[{name!r}]").ravel()
        found[name] = np.log(np.maximum(start, 1e-300) / reference)
    for i in range(n_random):
        found[f"random {i}"] = 1.5 * rng.standard_normal(len(reference))
    return found


def descend(
    evaluate: Callable[[Array], tuple[float, Array]],
    reference: Array,
    starts: Mapping[str, Array],
    low: float,
    high: Array,
    tikhonov: float,
    max_iter: int,
    ftol: float = 1e-12,
) -> WeightDesign:
    """L-BFGS from every start, on from the ends that still move, and the best result.

    Where `max_iter` iterations were not enough L-BFGS starts again, always from the best end that
    has not stayed yet. It stays when `max_iter` more iterations converge or improve the penalised
    objective by less than `STAYS` (relative); after `RESTARTS` restarts all stay. The unknown is ``x = log(weight / reference)`` in [low, high], the function is the logarithm of
    the penalised objective, which makes tolerances relative.
    """
    check_search(tikhonov=tikhonov, max_iter=max_iter)
    reference = reals(reference, "reference", POSITIVE, ndim=1)
    low, ftol = real(low, "low"), real(ftol, "ftol", NON_NEGATIVE)
    high = reals(high, "high", f"[{low}, inf)", shape=reference.shape)

    def fun(x: Array) -> tuple[float, Array]:
        weights = reference * np.exp(x)
        with np.errstate(over="ignore", invalid="ignore"):
            value, grad = evaluate(weights)
        total = value + tikhonov * x @ x
        if not np.isfinite(total) or not np.all(np.isfinite(grad)):
            return 1e3, np.zeros_like(x)  # diverged in the line search: step back
        total = max(total, np.finfo(float).tiny)  # a sampler can be exact where nothing is noisy
        return np.log(total), (grad * weights + 2.0 * tikhonov * x) / total

    bounds = [(low, float(b)) for b in high]
    options = {"maxiter": max_iter, "maxcor": 20, "ftol": ftol, "gtol": 1e-6, "maxfun": 10**5}

    def run(start: Array) -> Any:
        return minimize(fun, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)

    ends = {name: run(start) for name, start in starts.items()}
    n_iter, n_eval = (sum(end[key] for end in ends.values()) for key in ("nit", "nfev"))
    # Ends that agree are one minimum.
    moving = {round(end.fun, 3): name for name, end in ends.items() if 0 < max_iter <= end.nit}
    moving = list(moving.values())
    for _ in range(RESTARTS):
        if not moving:
            break
        name = min(moving, key=lambda name: ends[name].fun)
        before, end = ends[name].fun, run(ends[name].x)
        ends[name], n_iter, n_eval = end, n_iter + end.nit, n_eval + end.nfev
        if end.nit < max_iter or before - end.fun < STAYS:
            moving.remove(name)
    reached = []
    for name, end in ends.items():
        weights = reference * np.exp(end.x)
        reached.append((name, evaluate(weights)[0], weights))
    best = min(range(len(reached)), key=lambda i: list(ends.values())[i].fun)
    name, objective, weights = reached[best]
    stayed = name not in moving and max_iter > 0
    return WeightDesign(weights, objective, reference, reached, n_iter, n_eval, stayed)


def design_family(
    problem: Problem,
    schedules: Mapping[int, ArrayLike],
    method: Method = "dps",
    **kwargs: Any,
) -> dict[int, WeightDesign]:
    """Design for several numbers of steps, each also started from its neighbours (continuation).

    First upwards, with all starts and the design for fewer steps, then downwards from the design for
    more steps alone; the better one is kept, with the starts of both.

    Parameters
    ----------
    problem : Problem
    schedules : mapping of int to array_like
        Schedules by their number of steps.
    method, **kwargs
        As in `design_weights`.

    Returns
    -------
    dict of int to WeightDesign
    """
    designs: dict[int, WeightDesign] = {}
    order = sorted(schedules)

    def neighbour(S: int, other: int) -> dict[str, Array]:
        found = designs[other].weights
        return {f"S = {other}": interpolate_weights(found, schedules[other], schedules[S])}

    for i, S in enumerate(order):
        starts = {**(kwargs.get("starts") or {}), **(neighbour(S, order[i - 1]) if i else {})}
        designs[S] = design_weights(problem, schedules[S], method, **{**kwargs, "starts": starts})
    alone = {**kwargs, "n_random": 0, "own_starts": False}
    for more, S in pairwise(reversed(order)):
        alone["starts"] = neighbour(S, more)
        again = design_weights(problem, schedules[S], method, **alone)
        designs[S] = _better(designs[S], again, kwargs.get("tikhonov", 0.0))
    return designs


def _better(first: WeightDesign, second: WeightDesign, tikhonov: float) -> WeightDesign:
    """Keep the design of the smaller penalised objective, with the starts of both."""

    def penalised(design: WeightDesign) -> float:
        distance = np.log(design.weights / design.reference)
        return design.objective + tikhonov * float(distance @ distance)

    return replace(
        min(first, second, key=penalised),
        starts=first.starts + second.starts,
        n_iter=first.n_iter + second.n_iter,
        n_eval=first.n_eval + second.n_eval,
    )
