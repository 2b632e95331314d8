"""Guided samplers on the synthetic problems, in closed form: tables, rivals, designs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook import inverse, schedules
from diffbook.inverse import gains, rules
from diffbook.inverse.design import METHODS
from diffbook.inverse.filters import Steps, compose
from diffbook.inverse.operators import gaussian_transfer
from diffbook.inverse.problem import Problem
from diffbook.priors.gaussian import GaussianPrior

Array = NDArray[np.float64]

#: Measurement noise of the synthetic problems.
NOISE = {"A": 0.1, "B": 0.5, "C": 0.02}


def synthetic_prior(d: int = 64) -> GaussianPrior:
    """Return the prior of the synthetic problems: a first-order spectrum of unit average variance."""
    k = np.fft.fftfreq(d, 1.0 / d)
    lam = 1.0 / (1.0 + (k / 3.0) ** 2)
    mu0 = 0.05 + 0.3 * np.cos(2.0 * np.pi * np.arange(d) / d)
    return GaussianPrior.from_spectrum(lam / lam.mean(), mu0)


def synthetic_problems(d: int = 64) -> tuple[GaussianPrior, dict[str, Problem]]:
    """Return the prior and problems A (mild blur), B (denoising), C (strong blur, little noise)."""
    prior = synthetic_prior(d)
    h = {"A": gaussian_transfer(d, 1.5, 0.7), "B": np.ones(d), "C": gaussian_transfer(d, 3.0, 0.7)}
    return prior, {name: inverse.make_problem(prior, h[name], NOISE[name]) for name in h}


def w2(problem: Problem, alpha_bar: ArrayLike, steps: Steps) -> float:
    """Averaged squared distance ``E_y W2^2`` of a sampler to the exact posterior."""
    return compose(problem, alpha_bar, steps).w2_squared


def standard_methods(problem: Problem, alpha_bar: ArrayLike) -> dict[str, Steps]:
    """Return every method with the settings of its authors, without any search."""
    S = len(np.asarray(alpha_bar)) - 1
    rule = inverse.dps_normalised
    return {
        "ideal": gains.ideal(problem, alpha_bar),
        "ideal, eta = 1": gains.ideal(problem, alpha_bar, eta=1.0),
        "DPS, 0.3/|r|": gains.dps(problem, alpha_bar, rule(problem, alpha_bar, 0.3)),
        "DPS, 1/|r|": gains.dps(problem, alpha_bar, rule(problem, alpha_bar, 1.0)),
        "PiGDM, published": gains.pigdm(problem, alpha_bar),
        "PiGDM, score": gains.pigdm(problem, alpha_bar, gains.kappa(alpha_bar)),
        "DDNM+": gains.ddnm_plus(problem, alpha_bar, rcond=1e-17),
        "DDRM": gains.ddrm(problem, alpha_bar, rcond=1e-17),
        "DiffPIR, 7": gains.diffpir(problem, alpha_bar, np.full(S, 7.0)),
    }


def method_table(
    problem: Problem,
    steps: Sequence[int],
    schedule: Callable[[int], Array] = schedules.ddpm_respaced,
) -> dict[str, Array]:
    """``E_y W2^2`` of every standard method for several numbers of steps."""
    rows: dict[str, list[float]] = {}
    for S in steps:
        for name, method in standard_methods(problem, schedule(S)).items():
            rows.setdefault(name, []).append(w2(problem, schedule(S), method))
    return {name: np.array(values) for name, values in rows.items()}


def dps_rivals(problem: Problem, alpha_bar: ArrayLike) -> dict[str, float]:
    """``E_y W2^2`` of DPS with the weights of the literature, searched ones included."""
    names = {
        "0.3/|r|": inverse.dps_normalised(problem, alpha_bar, 0.3),
        "1/|r|": inverse.dps_normalised(problem, alpha_bar, 1.0),
        "literal score": inverse.dps_literal(problem, alpha_bar),
        "annealed": inverse.dps_annealed(problem, alpha_bar),
    }
    with np.errstate(over="ignore", invalid="ignore"):
        losses = {
            n: w2(problem, alpha_bar, gains.dps(problem, alpha_bar, z)) for n, z in names.items()
        }
    found = {n: v if np.isfinite(v) else np.inf for n, v in losses.items()}
    found["best constant"] = inverse.best_constant(problem, alpha_bar)[1]
    found["best zeta'/|r|"] = inverse.best_normalised(problem, alpha_bar)[1]
    return found


def single_rule(problem: Problem, steps: Sequence[int]) -> tuple[float, dict[int, float]]:
    """Worst loss of one ``zeta'`` for all numbers of steps, and the best one for each."""
    grid = np.geomspace(0.03, 5.0, 60)
    with np.errstate(over="ignore", invalid="ignore"):
        table = np.array([[normalised_w2(problem, S, zeta) for zeta in grid] for S in steps])
    table = np.nan_to_num(table, nan=np.inf, posinf=np.inf)
    loss = np.min(np.max(table / table.min(axis=1, keepdims=True), axis=0))
    best = np.round(grid[table.argmin(axis=1)], 2).tolist()
    return float(loss), dict(zip(steps, best, strict=True))


def normalised_w2(problem: Problem, S: int, zeta: float) -> float:
    """``E_y W2^2`` of DPS with the rule ``zeta/|r|``."""
    ab = schedules.ddpm_respaced(S)
    return w2(problem, ab, gains.dps(problem, ab, inverse.dps_normalised(problem, ab, zeta)))


def held_out(n: int, seed: int = 0) -> list[Problem]:
    """Draw deblurring problems that nothing was tuned on: exponent, width and noise at random."""
    rng, found = np.random.default_rng([seed, 9]), []
    for _ in range(n):
        beta, width, noise = rng.uniform((0.5, 0.3, np.log(0.02)), (2.5, 3.0, np.log(0.5)))
        h = gaussian_transfer(64, width, 0.7)
        found.append(inverse.make_problem(GaussianPrior.inverse_f(64, beta), h, np.exp(noise)))
    return found


def gain_over_rule(problem: Problem, S: int, method: inverse.Method = "dps") -> float:
    """How many times closer a design is than the method's own rule with its best single number."""
    small, ab = inverse.merged(problem), schedules.ddpm_respaced(S)
    if method == "dps":
        searches = (inverse.best_normalised, inverse.best_constant)
        rule = min(search(small, ab)[1] for search in searches)
    else:
        run = METHODS[method]
        base = gains.pigdm_published(ab) if method == "pigdm" else np.ones(S)
        rule = rules.search(lambda c: w2(small, ab, run(small, ab, c * base)), 1e-3, 1e3, 61, 1e-6)[
            1
        ]
    return rule / inverse.design_weights(small, ab, method).objective


def default_over_wide(problem: Problem, alpha_bar: ArrayLike, n: int, seed: int = 0) -> float:
    """Objective of the default design over the best of `n` random starts and its own."""
    wide = {"n_random": n, "rng": np.random.default_rng([seed, 2])}
    found = [inverse.design_weights(problem, alpha_bar, **more) for more in ({}, wide)]
    return found[0].objective / found[1].objective


def over_noise(
    problem: Problem, S: int, method: inverse.Method, shares: Sequence[float], **kwargs: Any
) -> list[float]:
    """``E_y W2^2`` designed for each share of fresh noise, each also started from the one before."""
    option = "zeta" if method == "diffpir" else "eta"
    found, starts, ab = [], {}, schedules.ddpm_respaced(S)
    for share in shares:
        best = inverse.design_weights(
            problem, ab, method, starts=starts, **{option: share}, **kwargs
        )
        starts = {"before": best.weights}
        found.append(best.objective)
    return found


def switched_off(
    problem: Problem, alpha_bar: ArrayLike, design: inverse.WeightDesign, below: float = 2.0
) -> tuple[Array, NDArray[np.bool_]]:
    """Objectives of the random starts' ends, and whether a weight at low noise is off there.

    Off is a weight at the lower end of the search where the objective still falls towards zero.
    """
    low_noise = schedules.alpha_bar_to_sigma(np.asarray(alpha_bar)[1:]) < below
    ends = [(v, theta) for name, v, theta in design.starts if name.startswith("random")]
    off = []
    for _, theta in ends:
        lowest = np.log(theta / design.reference) < inverse.BOX[0] + 0.1
        _, grad = inverse.objective_and_grad(problem, alpha_bar, theta)
        off.append(np.any(low_noise & lowest & (grad > 0)))
    return np.array([value for value, _ in ends]), np.array(off)


def basin_designs(
    problems: Mapping[str, Problem], alpha_bar: ArrayLike, n: int, seed: int = 0
) -> dict[str, inverse.WeightDesign]:
    """Design DPS weights for the three problems from many random starts, and for A bounded."""
    rng = np.random.default_rng([seed, 1])
    free = {"A: deblurring": "A", "B: denoising": "B", "C: strong blur": "C"}
    found = {
        label: inverse.design_weights(problems[name], alpha_bar, n_random=n, rng=rng)
        for label, name in free.items()
    }
    found["A, bounded"] = inverse.design_weights(
        problems["A"], alpha_bar, n_random=n, rng=rng, cap="stability", tikhonov=1e-3
    )
    return found


def structure_distance(designed: ArrayLike, heuristic: ArrayLike) -> float:
    """How far two weight profiles are apart after the best rescaling."""
    ratio = np.log(np.asarray(designed)) - np.log(np.asarray(heuristic))
    return float(np.exp(ratio.std()))


def reused_weights(
    problem: Problem, design: inverse.WeightDesign, S: int, steps: Sequence[int]
) -> dict[str, Array]:
    """Evaluate the weights designed for S steps at other numbers of steps."""
    found: dict[str, list[float]] = {"copied": [], "rescaled": []}
    source = schedules.ddpm_respaced(S)
    for target in steps:
        ab = schedules.ddpm_respaced(target)
        bound = inverse.stability_bound(problem, ab)
        for name, rescale in (("copied", False), ("rescaled", True)):
            moved = inverse.interpolate_weights(design.weights, source, ab, rescale=rescale)
            found[name].append(w2(problem, ab, gains.dps(problem, ab, np.minimum(moved, bound))))
    return {name: np.array(values) for name, values in found.items()}


def design_table(
    problems: Mapping[str, Problem],
    steps: Sequence[int],
    methods: Sequence[inverse.Method] = ("dps", "pigdm", "diffpir"),
    n_random: int = 0,
    seed: int = 0,
    max_iter: int = 500,
) -> dict[tuple[str, str], dict[int, inverse.WeightDesign]]:
    """Designs of several methods for several problems: {(problem, method): {S: WeightDesign}}."""
    schedule = {S: schedules.ddpm_respaced(S) for S in steps}
    return {
        (name, method): inverse.design_family(
            problem,
            schedule,
            method,
            n_random=n_random,
            rng=np.random.default_rng(seed),
            max_iter=max_iter,
        )
        for name, problem in problems.items()
        for method in methods
    }
