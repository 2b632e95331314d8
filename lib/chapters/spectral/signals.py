"""What schedules cost in the Gaussian model of a signal: closed forms, no samples.

All schedules share their ends.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from diffbook.priors.gaussian import GaussianPrior
from diffbook.samplers.comparison import score
from diffbook.schedules.design import design_schedule, limit_schedule, make_problem, step_density
from diffbook.schedules.families import edm, heuristics, log_linear, match_ends, nearest_timesteps
from diffbook.schedules.levels import sigma_range, sigma_to_alpha_bar
from diffbook.threads import one_thread_each

HEURISTICS = ("linear beta", "cosine", "sigmoid", "EDM rho=7", "log-linear")

Schedules = dict[str, NDArray]


def w2_optimum(prior: GaussianPrior, S: int) -> NDArray:
    """Return the schedule with the smallest W2 for a prior, mean included, as `alpha_bar`."""
    return design_schedule(prior.lam.ravel(), S, mu0_spectral=prior.mu0_spectral.ravel()).schedule


def fixed_point(prior: GaussianPrior, S: int) -> NDArray:
    """Return the schedule that follows the density of steps of W2 (a fixed point), as `alpha_bar`."""
    density = step_density(make_problem(prior.lam.ravel()), *sigma_range(), S)
    return match_ends(sigma_to_alpha_bar(limit_schedule(density, S)))


def candidates(prior: GaussianPrior, S: int) -> Schedules:
    """Return the optima of a prior for W2 and KL(data || output), and the heuristics."""
    lam, mu = prior.lam.ravel(), prior.mu0_spectral.ravel()
    known = heuristics(S)
    return {
        "spectral W2": w2_optimum(prior, S),
        "spectral KL": design_schedule(lam, S, loss="kl", mu0_spectral=mu).schedule,
        **{name: known[name] for name in HEURISTICS},
    }


def predicted_w2(prior: GaussianPrior, alpha_bar: ArrayLike) -> float:
    """W2 between data and DDIM output in the Gaussian model, mean included (not squared)."""
    return score(prior.lam, alpha_bar, mu0_spectral=prior.mu0_spectral.ravel())


def w2_ratios(prior: GaussianPrior, S: int) -> dict[str, float]:
    """W2 of every schedule divided by the optimum; "share": the optimum by the data's rms."""
    options = candidates(prior, S) | {"fixed point": fixed_point(prior, S)}
    w2 = {name: predicted_w2(prior, ab) for name, ab in options.items()}
    best = w2.pop("spectral W2")
    ratios = {name: value / best for name, value in w2.items()}
    return ratios | {"share": best / math.sqrt(prior.lam.sum())}


def held_out_ratios(seen: NDArray, unseen: NDArray, S: int, **kwargs: str) -> dict[str, float]:
    """W2 of every heuristic over that of the design from `seen` signals, in the model of `unseen` ones.

    `kwargs` go to `GaussianPrior.estimated`.
    """
    guess, truth = (GaussianPrior.estimated(x, **kwargs) for x in (seen, unseen))
    ours, known = predicted_w2(truth, w2_optimum(guess, S)), heuristics(S)
    return {name: predicted_w2(truth, known[name]) / ours for name in HEURISTICS}


def best_rho(prior: GaussianPrior, S: int) -> tuple[float, float]:
    """EDM exponent with the smallest W2 at equal ends: (rho, W2 divided by the optimum)."""
    ends = sigma_range()

    def cost(inverse: float) -> float:
        flat = abs(inverse) < 1e-6
        sigma = log_linear(S, *ends) if flat else edm(S, *ends, rho=1.0 / inverse)
        return predicted_w2(prior, match_ends(sigma_to_alpha_bar(sigma)))

    # In 1 / rho, because rho -> infinity (log-linear) is an ordinary point there; it may be negative.
    found = minimize_scalar(cost, bounds=(-0.5, 0.5), method="bounded", options={"xatol": 1e-5})
    return 1.0 / found.x, found.fun / predicted_w2(prior, w2_optimum(prior, S))


def cross_use(priors: Mapping[str, GaussianPrior], S: int) -> dict[str, dict[str, float]]:
    """Cost of using one signal's schedule for another: {designed for: {used on: W2 ratio}}."""
    own = {name: w2_optimum(prior, S) for name, prior in priors.items()}
    best = {name: predicted_w2(prior, own[name]) for name, prior in priors.items()}
    return {
        a: {b: predicted_w2(prior, own[a]) / best[b] for b, prior in priors.items()} for a in priors
    }


def estimation_excess(
    prior: GaussianPrior,
    draw: Callable[[int, int], NDArray],
    counts: Sequence[int],
    S: int,
    draws: int = 5,
    stationary: bool = True,
) -> dict[int, NDArray]:
    """Relative excess of W2^2, under the true prior, of schedules designed from n samples.

    `draw(n, seed)` gives n signals, `draws` times for every n; the estimate is a periodogram, or PCA
    where they are not taken for stationary.
    """
    optimum = predicted_w2(prior, w2_optimum(prior, S)) ** 2

    def one(n: int, seed: int) -> float:
        guess = GaussianPrior.estimated(draw(n, seed), stationary=stationary)
        # Directions that n < d samples cannot see get no variance, and no weight in W2.
        lam = guess.lam[guess.lam > 1e-9 * guess.lam.max()]
        return predicted_w2(prior, design_schedule(lam, S).schedule) ** 2 / optimum - 1

    # Few samples leave many directions nearly without variance, and the design warns of them.
    with one_thread_each(), warnings.catch_warnings(action="ignore", category=UserWarning):
        return {n: np.array([one(n, seed) for seed in range(draws)]) for n in counts}


def rounding_cost(
    prior: GaussianPrior, chains: Mapping[str, NDArray], steps: Sequence[int]
) -> dict[str, dict[int, tuple[float, int]]]:
    """Cost of rounding the designed schedule to a trained model's levels.

    Chain to S to (W2 after rounding / W2 before, number of distinct steps left).
    """
    table: dict[str, dict[int, tuple[float, int]]] = {name: {} for name in chains}
    for S in steps:
        wanted = w2_optimum(prior, S)
        for name, chain in chains.items():
            _, used = nearest_timesteps(wanted, chain)
            ratio = predicted_w2(prior, used) / predicted_w2(prior, wanted)
            table[name][S] = (ratio, len(used) - 1)
    return table
