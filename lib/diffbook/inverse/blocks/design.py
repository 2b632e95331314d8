"""Designed guidance weights where modes couple, and what a decoupled surrogate costs.

The weights of DPS, PiGDM and DiffPIR are designed as in `diffbook.inverse.design`, for blocks of modes and
with the objective of `diffbook.inverse.blocks.chain`.

Source: the averaged objective, Benita, Elad, Keshet 2026 (arXiv 2602.07715), for circulant
degradations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize, minimize_scalar

from diffbook.inverse.blocks.chain import Chain, Method
from diffbook.inverse.blocks.problem import BlockProblem, merged
from diffbook.inverse.design import Cap, WeightDesign, check_regularisation
from diffbook.inverse.gains import check_weights

Array = NDArray[np.float64]

BOX = (-12.0, 4.0)
"""Range of ``log(weight / reference)`` in a design."""


def best_normalised(problem: BlockProblem, alpha_bar: ArrayLike) -> tuple[float, float]:
    """Best ``zeta'`` of DPS's normalised rule by a one-dimensional search: (zeta', W2^2)."""
    return _best_normalised(Chain(merged(problem), alpha_bar))


def _best_normalised(chain: Chain) -> tuple[float, float]:
    def loss(x: float) -> float:
        return chain.value(chain.normalised(np.exp(x)))

    grid = np.linspace(np.log(1e-2), np.log(1e1), 13)
    i = int(np.clip(np.argmin([loss(x) for x in grid]), 1, len(grid) - 2))
    found = minimize_scalar(
        loss, bounds=(grid[i - 1], grid[i + 1]), method="bounded", options={"xatol": 1e-5}
    )
    return float(np.exp(found.x)), float(found.fun)


def design_weights(
    problem: BlockProblem,
    alpha_bar: ArrayLike,
    method: Method = "dps",
    *,
    cap: Cap | None = None,
    tikhonov: float = 0.0,
    starts: Mapping[str, ArrayLike] | None = None,
    n_random: int = 0,
    rng: np.random.Generator | None = None,
    max_iter: int = 500,
) -> WeightDesign:
    """Find the weights of a deterministic sampler nearest to the exact posterior on average.

    L-BFGS on ``log(weight / reference)`` within `BOX`, from several starts: the reference, for DPS
    the best normalised weights, those given, and random ones.

    Parameters
    ----------
    problem : BlockProblem
        Equal blocks are merged first.
    alpha_bar : array_like, shape (S + 1,)
        Schedule.
    method : {"dps", "pigdm", "diffpir"}
        With eta = 0 (zeta = 0).
    cap : {"no-overshoot", "stability"}, optional
        Upper bound of every weight, see `Chain.bound`.
    tikhonov : float
        Weight of the penalty ``sum log(weight / reference)^2``, in units of the objective.
    starts : mapping of str to array_like (S,), optional
        Starts in addition.
    n_random : int
        Random starts: every logarithm normal about the reference with standard deviation 1.5.
    rng : numpy.random.Generator, optional
        Needed for random starts.
    max_iter : int
        Iterations per start.

    Returns
    -------
    WeightDesign

    Raises
    ------
    ValueError
        Naming the argument at fault.
    """
    check_regularisation(cap, tikhonov)
    if n_random > 0 and rng is None:
        raise ValueError("rng is needed for random starts")
    chain = Chain(merged(problem), alpha_bar, method)
    given = {
        name: check_weights(start, chain.S, f"starts[{name!r}]").ravel()
        for name, start in (starts or {}).items()
    }
    reference = chain.reference()
    if not np.all(reference > 0):
        raise ValueError(
            "problem.H must see a mode of positive variance: there is nothing to guide"
        )
    high = np.full(chain.S, BOX[1])
    if cap is not None:
        high = np.clip(np.log(chain.bound(cap) / reference), BOX[0], high)
    # A start above the stability bound may have an astronomic objective.
    stable = np.clip(np.log(chain.bound("stability") / reference), BOX[0], high)

    candidates = {"reference": np.zeros(chain.S)}
    if method == "dps":
        best, _ = _best_normalised(chain)
        candidates["normalised"] = np.log(chain.normalised(best) / reference)
    for name, weights in given.items():
        candidates[name] = np.log(np.maximum(weights, 1e-300) / reference)
    for i in range(n_random):
        candidates[f"random {i}"] = 1.5 * rng.standard_normal(chain.S)

    def fun(x: Array) -> tuple[float, Array]:
        # The logarithm makes scipy's tests relative.
        weights = reference * np.exp(x)
        value, grad = chain.value_and_grad(weights)
        total = value + tikhonov * x @ x
        return np.log(total), (grad * weights + 2.0 * tikhonov * x) / total

    found, n_iter, n_eval = [], 0, 0
    for name, x in candidates.items():
        result = minimize(
            fun, np.clip(x, BOX[0], stable), jac=True, method="L-BFGS-B",
            bounds=[(BOX[0], float(b)) for b in high],
            options={"maxiter": max_iter, "maxcor": 20, "ftol": 1e-10, "gtol": 1e-6},
        )  # fmt: skip
        found.append((name, result.x, float(result.fun)))
        n_iter, n_eval = n_iter + result.nit, n_eval + result.nfev
    reached = [
        (name, chain.value(reference * np.exp(x)), reference * np.exp(x)) for name, x, _ in found
    ]
    _, objective, weights = reached[int(np.argmin([value for *_, value in found]))]
    return WeightDesign(weights, objective, reference, reached, n_iter, n_eval)


class SurrogateReport(NamedTuple):
    """What a design on a simpler problem costs on the true one.

    ``surrogate`` and ``exact`` are the two designs, ``on_surrogate`` is the objective that the
    surrogate promises for its weights, ``transferred`` what they reach on the true problem.
    """

    surrogate: WeightDesign
    exact: WeightDesign
    on_surrogate: float
    transferred: float

    @property
    def loss(self) -> float:
        """Relative loss of the surrogate's weights, ``transferred / exact.objective - 1``."""
        return self.transferred / self.exact.objective - 1.0


def design_on_surrogate(
    problem: BlockProblem,
    surrogate: BlockProblem,
    alpha_bar: ArrayLike,
    method: Method = "dps",
    **options: Any,
) -> SurrogateReport:
    """Design weights on a surrogate, evaluate them on the problem, and design there as well.

    Parameters
    ----------
    problem : BlockProblem
        What the weights are for, `blocks.from_matrix` of a mask for example.
    surrogate : BlockProblem
        Of the same signals, such as `blocks.mean_field_mask`.
    alpha_bar, method, **options
        As in `design_weights`. The surrogate's weights are one of the starts of the exact design,
        which therefore is never worse than them, unless it is capped or penalised.
    """
    if surrogate.d != problem.d:
        raise ValueError(f"surrogate must have {problem.d} modes like problem, got {surrogate.d}")
    simple = design_weights(surrogate, alpha_bar, method, **options)
    starts = {**(options.pop("starts", None) or {}), "surrogate": simple.weights}
    exact = design_weights(problem, alpha_bar, method, starts=starts, **options)
    reached = Chain(merged(problem), alpha_bar, method).value(simple.weights)
    return SurrogateReport(simple, exact, simple.objective, reached)
