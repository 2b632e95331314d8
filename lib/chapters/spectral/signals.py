"""Experiments of the chapters on real signals: schedules in, tidy numbers out.

The closed-form studies ask what a schedule costs in the Gaussian model of a signal; the sampling
studies ask what it costs with a denoiser that is exact for other data, or trained. In both, schedules
share the ends, and in the second they share the starting noise too, so differences are paired.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from diffbook import schedules as families
from diffbook.metrics.cells import Cell
from diffbook.metrics.samples import Metric
from diffbook.priors.gaussian import GaussianPrior
from diffbook.samplers.comparison import score
from diffbook.samplers.unguided import ddim
from diffbook.schedules.design import design_schedule, limit_density, limit_schedule, make_problem
from diffbook.schedules.families import edm, match_ends, nearest_timesteps
from diffbook.schedules.levels import sigma_range, sigma_to_alpha_bar
from diffbook.threads import one_thread_each, torch_threads
from press import paths

HEURISTICS = ("linear beta", "cosine", "sigmoid", "EDM rho=7", "log-linear")


Schedules = dict[str, NDArray]


# --- schedules and their cost in the Gaussian model ---------------------------------------------


def heuristics(S: int) -> Schedules:
    """Return the five heuristics that are compared on real signals, with S steps, as `alpha_bar`."""
    known = families.heuristics(S)
    return {name: known[name] for name in HEURISTICS}


def designed(prior: GaussianPrior, S: int) -> Schedules:
    """Return the schedules designed for a prior: W2, KL(data || output), and the fixed point."""
    lam, mu = prior.lam.ravel(), prior.mu0_spectral.ravel()
    limit = limit_density(make_problem(lam, loss="w2"), *sigma_range())
    return {
        "spectral W2": design_schedule(lam, S, loss="w2", mu0_spectral=mu).schedule,
        "spectral KL": design_schedule(lam, S, loss="kl", mu0_spectral=mu).schedule,
        "fixed point": match_ends(sigma_to_alpha_bar(limit_schedule(limit, S))),
    }


def candidates(
    prior: GaussianPrior, steps: Sequence[int], leave_out: Sequence[str] = ("fixed point",)
) -> dict[int, Schedules]:
    """Return all schedules to compare: {S: {name: alpha_bar}}."""
    both = {S: designed(prior, S) | heuristics(S) for S in steps}
    return {S: {k: v for k, v in group.items() if k not in leave_out} for S, group in both.items()}


def predicted_w2(prior: GaussianPrior, alpha_bar: ArrayLike) -> float:
    """W2 between data and DDIM output in the Gaussian model, mean included (not squared)."""
    return score(prior.lam, alpha_bar, mu0_spectral=prior.mu0_spectral.ravel())


def w2_ratios(prior: GaussianPrior, S: int) -> dict[str, float]:
    """W2 of every schedule divided by the optimum, and the optimum's share of the data's rms.

    Returns
    -------
    dict
        Name of the schedule to ratio (the fixed point and all heuristics), and `"share"`, the optimal
        W2 divided by the square root of the trace of the covariance.
    """
    options = designed(prior, S) | heuristics(S)
    w2 = {name: predicted_w2(prior, ab) for name, ab in options.items()}
    best = w2["spectral W2"]
    ratios = {name: value / best for name, value in w2.items() if name != "spectral W2"}
    return ratios | {"share": best / math.sqrt(prior.lam.sum())}


def best_rho(prior: GaussianPrior, S: int) -> tuple[float, float]:
    """EDM exponent with the smallest W2 at equal ends: (rho, W2 divided by the optimum)."""
    ends = sigma_range()

    def cost(inverse: float) -> float:
        return predicted_w2(prior, match_ends(sigma_to_alpha_bar(edm(S, *ends, rho=1.0 / inverse))))

    # In 1 / rho, because rho -> infinity (log-linear) is an ordinary point there.
    found = minimize_scalar(cost, bounds=(1e-3, 0.5), method="bounded", options={"xatol": 1e-5})
    optimum = design_schedule(prior.lam.ravel(), S, mu0_spectral=prior.mu0_spectral.ravel())
    return 1.0 / found.x, found.fun / predicted_w2(prior, optimum.schedule)


def cross_use(priors: Mapping[str, GaussianPrior], S: int) -> dict[str, dict[str, float]]:
    """Cost of using one signal's schedule for another: {designed for: {used on: W2 ratio}}."""
    own = {name: designed(prior, S)["spectral W2"] for name, prior in priors.items()}
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
    """Excess W2^2, under the true prior, of schedules designed from n samples.

    Parameters
    ----------
    prior
        The truth.
    draw
        `draw(n, seed)` gives n signals.
    counts
        Numbers of samples n.
    S, draws
        Steps, and repetitions per n.
    stationary
        Estimate by periodogram (True) or by PCA (False).

    Returns
    -------
    dict
        n to an array of `draws` relative excesses, `W2^2 / optimum - 1`.
    """
    optimum = predicted_w2(prior, designed(prior, S)["spectral W2"]) ** 2

    def one(n: int, seed: int) -> float:
        guess = GaussianPrior.estimated(draw(n, seed), stationary=stationary)
        # Directions that n < d samples cannot see get no variance, and no weight in W2.
        lam = guess.lam[guess.lam > 1e-9 * guess.lam.max()]
        return predicted_w2(prior, design_schedule(lam, S).schedule) ** 2 / optimum - 1

    with one_thread_each():
        return {n: np.array([one(n, seed) for seed in range(draws)]) for n in counts}


def rounding_cost(
    prior: GaussianPrior, chains: Mapping[str, NDArray], steps: Sequence[int]
) -> dict[str, dict[int, tuple[float, int]]]:
    """Cost of rounding the designed schedule to a trained model's levels.

    Returns
    -------
    dict
        Chain to S to (W2 after rounding / W2 before, number of distinct steps left).
    """
    table: dict[str, dict[int, tuple[float, int]]] = {name: {} for name in chains}
    for S in steps:
        lam, mu = prior.lam.ravel(), prior.mu0_spectral.ravel()
        wanted = design_schedule(lam, S, mu0_spectral=mu).schedule
        for name, chain in chains.items():
            _, used = nearest_timesteps(wanted, chain)
            ratio = predicted_w2(prior, used) / predicted_w2(prior, wanted)
            table[name][S] = (ratio, len(used) - 1)
    return table


def real_floor(
    images: NDArray, metrics: Mapping[str, Metric], n: int, draws: int = 5, seed: int = 0
) -> dict[str, float]:
    """Mean value of every metric for n real images, over random subsets: what to aim for."""
    rng = np.random.default_rng(seed)
    subsets = [
        images[rng.choice(len(images), min(n, len(images)), replace=False)] for _ in range(draws)
    ]
    with one_thread_each():
        return {key: float(np.mean([f(x) for x in subsets])) for key, f in metrics.items()}


def sample_quality(
    denoiser: Callable,
    schedules: Mapping[int, Mapping[str, NDArray]],
    metrics: Mapping[str, Metric],
    *,
    shape: tuple[int, ...],
    n: int,
    seed: int = 0,
    dtype: str = "float64",
    keep: int = 0,
    workers: int | None = None,
) -> tuple[list[Cell], dict[tuple[int, str], NDArray]]:
    """Sample with every schedule from the same starting noise, and measure the samples.

    Parameters
    ----------
    denoiser
        VP denoiser, `denoiser(x_t, alpha_bar_t) -> x0_hat`.
    schedules
        {S: {name: alpha_bar}}.
    metrics
        Name to function of the samples (n, *shape), float64.
    shape, n
        Shape of one signal; number of samples per schedule.
    seed
        Seed of the starting noise; recorded in the rows.
    dtype
        Precision of the sampler's state.
    keep
        How many samples of each schedule to return.
    workers
        Schedules that run at the same time; default one per core. Each runs on one thread, so
        results do not depend on the number of cores.

    Returns
    -------
    rows : list of Cell
    kept : dict
        (S, name) to the first `keep` samples.

    Raises
    ------
    ValueError
        If n < 2 or a schedule does not have S steps.
    """
    if n < 2:
        raise ValueError(f"n: got {n}, expected at least 2 samples (metrics need a covariance)")
    for S, group in schedules.items():
        for name, alpha_bar in group.items():
            if len(alpha_bar) != S + 1:
                raise ValueError(
                    f"schedules[{S}][{name!r}]: got {len(alpha_bar)} levels, expected S + 1"
                )
    x_T = np.random.default_rng(seed).standard_normal((n, *shape)).astype(dtype)

    def run(task: tuple[int, str, NDArray]) -> tuple[list[Cell], NDArray]:
        S, name, alpha_bar = task
        x = ddim(denoiser, x_T, alpha_bar).sample.astype(np.float64)
        rows = [Cell(S, name, key, seed, float(f(x))) for key, f in metrics.items()]
        return rows, x[:keep]

    tasks = [(S, name, ab) for S, group in schedules.items() for name, ab in group.items()]
    workers = workers or os.cpu_count() or 1
    with one_thread_each(), ThreadPoolExecutor(workers, initializer=torch_threads) as pool:
        results = list(pool.map(run, tasks))
    rows = [row for found, _ in results for row in found]
    kept = {task[:2]: x for task, (_, x) in zip(tasks, results, strict=True)}
    return rows, kept


def trained_quality(
    data: str,
    seeds: Sequence[int],
    schedules: Mapping[int, Mapping[str, NDArray]],
    metrics: Mapping[str, Metric],
    *,
    n: int,
    seed: int = 0,
    keep: int = 0,
    retrained: bool = False,
    device: str | None = None,
) -> tuple[list[Cell], dict[tuple[int, str], NDArray]]:
    """Run `sample_quality` with the recorded denoisers of one data set, one per training seed.

    Parameters
    ----------
    data
        `"photos"` or `"digits"`: which weights of `data/weights/`.
    seeds
        Training seeds.
    schedules, metrics, n, keep
        As in `sample_quality`; samples are kept from the first training seed.
    seed
        Every training seed gets its own starting noise, derived from this number, so that the
        spread over seeds contains both sources of chance.
    retrained
        Use the weights of `diffbook.nets.training.make_weights`, which are made first where they are
        missing, in place of the recorded ones.
    device
        Torch device; default a GPU if there is one.
    """
    import torch

    from diffbook.nets.store import load_weights
    from diffbook.nets.training import make_weights
    from diffbook.nets.unet import as_denoiser

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    rows, kept = [], {}
    for k in seeds:
        path = paths.network(data, k, retrained=retrained)
        if retrained and not path.is_file():
            make_weights(data, k, path)
        model, about = load_weights(path)
        side = 16 if about["config"]["data"] == "photos" else 8
        noise_seed = int(np.random.SeedSequence([seed, k]).generate_state(1)[0])
        found, samples = sample_quality(
            as_denoiser(model, device), schedules, metrics,
            shape=(side, side), n=n, seed=noise_seed, dtype="float32", keep=keep,
        )  # fmt: skip
        rows += [replace(row, seed=k) for row in found]
        kept = kept or samples
    return rows, kept
