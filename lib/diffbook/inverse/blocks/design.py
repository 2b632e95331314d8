"""Designed guidance weights where modes couple, and the power of the states that they lead to.

The weights of DPS, PiGDM and DiffPIR are designed as in `diffbook.inverse.design`, for blocks of modes and
with the objective of `diffbook.inverse.blocks.chain`.

Source: the averaged objective, Benita, Elad, Keshet 2026 (arXiv 2602.07715), for circulant
degradations.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._checks import real
from diffbook.inverse.blocks.chain import Chain, Method
from diffbook.inverse.blocks.gains import inner
from diffbook.inverse.blocks.problem import BlockProblem, adjoint, merged
from diffbook.inverse.design import Cap, WeightDesign, check_search, descend, more_starts
from diffbook.inverse.gains import check_weights
from diffbook.inverse.rules import search

Array = NDArray[np.float64]

BOX = (-12.0, 4.0)
"""Range of ``log(weight / reference)`` in a design."""


def best_normalised(
    problem: BlockProblem, alpha_bar: ArrayLike, *, eta: float = 0.0
) -> tuple[float, float]:
    """Best ``zeta'`` of DPS's normalised rule by a one-dimensional search: (zeta', W2^2)."""
    return _best_normalised(Chain(merged(problem), alpha_bar, eta=eta))


def _best_normalised(chain: Chain) -> tuple[float, float]:
    return search(lambda zeta: chain.value(chain.normalised(zeta)), 1e-2, 1e1, 13, 1e-5)


def design_weights(
    problem: BlockProblem,
    alpha_bar: ArrayLike,
    method: Method = "dps",
    *,
    eta: float = 0.0,
    zeta: float = 0.0,
    cap: Cap | None = None,
    tikhonov: float = 0.0,
    starts: Mapping[str, ArrayLike] | None = None,
    n_random: int = 0,
    rng: np.random.Generator | None = None,
    max_iter: int = 500,
) -> WeightDesign:
    """Find the weights of a sampler nearest to the exact posterior on average.

    L-BFGS on ``log(weight / reference)`` within `BOX`, from several starts: the reference, for DPS
    the best normalised weights, those given, and random ones.

    Parameters
    ----------
    problem : BlockProblem
        Equal blocks are merged first.
    alpha_bar : array_like, shape (S + 1,)
        Schedule.
    method : {"dps", "pigdm", "diffpir"}
    eta, zeta : float in [0, 1]
        Fresh noise of DPS and PiGDM, and of DiffPIR, see `Chain`. One evaluation takes about
        twice as long with noise.
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
    """
    check_search(cap, tikhonov, n_random, rng, max_iter)
    chain = Chain(merged(problem), alpha_bar, method, eta=eta, zeta=zeta)
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
    candidates |= more_starts(reference, starts, n_random, rng)
    candidates = {name: np.clip(x, BOX[0], stable) for name, x in candidates.items()}
    return descend(
        chain.value_and_grad, reference, candidates, BOX[0], high, tikhonov, max_iter, ftol=1e-10
    )


def state_power(
    problem: BlockProblem, alpha_bar: ArrayLike, weights: ArrayLike, *, eta: float = 0.0
) -> Array:
    """Mean power of DPS's states in the Gaussian model, relative to that of noisy data.

    Parameters
    ----------
    problem, alpha_bar, eta
        As in `design_weights`.
    weights : array_like, shape (S,)
        Guidance weights.

    Returns
    -------
    ndarray, shape (S,)
        1 where a state has the power that the denoiser expects at its noise level.
    """
    return _walk(problem, alpha_bar, weights, np.inf, eta)[1]


def trimmed(
    problem: BlockProblem,
    alpha_bar: ArrayLike,
    weights: ArrayLike,
    slack: float = 1.05,
    *,
    eta: float = 0.0,
) -> Array:
    """Reduce DPS weights, from the noisy end on, until `state_power` is at most `slack`.

    A designed weight may push states far beyond the power of noisy data, where a network was never
    trained; trimmed weights keep them there. Parameters are those of `state_power`.

    A slack below 1 is refused: no weights take power away from noisy data.
    """
    slack = real(slack, "slack", "[1, inf)", "1 is the power of noisy data")
    return _walk(problem, alpha_bar, weights, slack, eta)[0]


def _walk(
    problem: BlockProblem, alpha_bar: ArrayLike, weights: ArrayLike, slack: float, eta: float
) -> tuple[Array, Array]:
    """Follow the states' second moment; the power after a step is quadratic in the step's weight."""
    problem, alpha_bar = merged(problem), np.asarray(alpha_bar)
    chain = Chain(problem, alpha_bar, eta=eta)
    used, power = check_weights(weights, chain.S)[:, 0].copy(), np.empty(chain.S)
    _, r, g = chain.H.shape
    total = float(problem.count @ problem.lam.sum(1))

    def mean(A: Array, B: Array) -> float:
        # Of the responses, those to what is random: all noise and the measurement.
        A = np.concatenate([A[..., :g], A[..., g : g + r] @ chain.S_y], axis=-1)
        return inner(problem, A, B[..., : g + r])

    X = chain._start()
    unit = chain.family.filters(np.ones(chain.S))[0]
    for s in range(chain.S - 1, -1, -1):
        R = chain._residual(X, s)
        kept = chain.keep[s] * X
        push = chain.family.L[s][..., None] * (adjoint(chain.H) @ (unit[s][..., None] * R))
        a, b, c = mean(kept, kept), mean(kept, push), mean(push, push)
        a += chain.noise[s] * problem.d
        nominal = alpha_bar[s] * total + (1.0 - alpha_bar[s]) * problem.d
        if a + 2.0 * b * used[s] + c * used[s] ** 2 > slack * nominal:
            root = np.sqrt(max(b**2 - c * (a - slack * nominal), 0.0))
            used[s] = np.clip((root - b) / c, 0.0, used[s])
        power[s] = (a + 2.0 * b * used[s] + c * used[s] ** 2) / nominal
        X = kept + used[s] * push
        chain._add_noise(X, s)
    return used, power
