"""Trade-offs of guided samplers: the distortion-perception plane, schedules, wrong spectra."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chapters.posterior.synthetic import w2
from diffbook import inverse, schedules
from diffbook.inverse import gains
from diffbook.inverse.filters import PosteriorTransfer, Steps, compose
from diffbook.inverse.problem import Problem
from diffbook.schedules import design

Array = NDArray[np.float64]


def estimator(problem: Problem, share: float = 1.0, *, spread: bool = False) -> PosteriorTransfer:
    """Write an optimal estimator as a filter."""
    stretch = np.sqrt(inverse.ratio(1.0, problem.rho))
    D3 = problem.K * (share + (1.0 - share) * stretch)
    zero = np.zeros(problem.lam.size)
    V = problem.lam_p if spread else zero
    return PosteriorTransfer(problem, zero, 1.0 - D3 * problem.h, D3, V)


def plane_gaps(problem: Problem) -> Array:
    """Relative differences between optimal estimators, as filters, and the bounds of the plane."""
    plane = inverse.distortion_perception(problem, points=3)
    sample, p_max = estimator(problem, spread=True), plane["p_max"]
    line = [estimator(problem, share) for share in (1.0, 0.5, 0.0)]
    pairs = [(one.mse, mse) for one, mse in zip(line, plane["mse"], strict=True)]
    pairs += [(line[i].perception, plane["perception"][i]) for i in (0, 1)]
    pairs.append((sample.mse, plane["d_posterior"]))
    # What should vanish is compared on the scale of the largest value.
    for nothing in (line[2].perception, sample.perception, sample.w2_squared):
        pairs.append((nothing + p_max, p_max))
    return np.array([abs(a / b - 1.0) for a, b in pairs])


def plane_bounds(problem: Problem) -> tuple[dict[str, tuple[float, float]], tuple[Array, Array]]:
    """Points (MSE, W2^2) of the MMSE estimate, the map and the posterior sample, and the bound."""
    plane = inverse.distortion_perception(problem)
    points = {
        "MMSE": (plane["d_min"], plane["p_max"]),
        "map": (plane["d_map"], 0.0),
        "posterior": (plane["d_posterior"], 0.0),
    }
    return points, (plane["mse"], plane["perception"])


def plane_point(problem: Problem, alpha_bar: ArrayLike, steps: Steps) -> tuple[float, float]:
    """Distortion and perception (W2^2) of one sampler."""
    t = compose(problem, alpha_bar, steps)
    return t.mse, t.perception


def plane_curve(
    problem: Problem, alpha_bar: ArrayLike, method: Callable[..., Steps], scales: Array, base: Array
) -> tuple[Array, Array]:
    """Distortion and perception (W2^2) of a method along a common factor of its weights."""
    points = [
        plane_point(problem, alpha_bar, method(problem, alpha_bar, c * np.asarray(base)))
        for c in scales
    ]
    return tuple(np.transpose(points))


def posterior_schedule(problem: Problem, S: int, *, eps_0: float = 1e-8) -> Array:
    """Design chapter 1's optimal schedule for the posterior spectrum, with ``alpha_bar[0] = 1``."""
    keep = problem.lam_p > 0
    lam = np.repeat(problem.lam_p[keep], np.rint(problem.count[keep]).astype(int))
    eps_S = float(schedules.ddpm_respaced(1)[-1])
    found = design.design_schedule(lam, S, eps_0=eps_0, eps_S=eps_S)
    return np.concatenate([[1.0], found.schedule[1:]])


def schedule_and_weights(problem: Problem, S: int, **kwargs) -> dict[str, float]:
    """DPS with standard and designed schedule, standard and designed weights: ``E_y W2^2``."""
    found: dict[str, float] = {}
    for name, ab in (
        ("DDPM's schedule", schedules.ddpm_respaced(S)),
        ("posterior schedule", posterior_schedule(problem, S)),
    ):
        found[f"{name}, best zeta'"] = inverse.best_normalised(problem, ab)[1]
        found[f"{name}, designed weights"] = inverse.design_weights(
            problem, ab, "dps", **kwargs
        ).objective
        found[f"{name}, ideal"] = w2(problem, ab, gains.ideal(problem, ab))
    return found


def tilted(problem: Problem, frequency: ArrayLike, exponent: float) -> Problem:
    """Tilt the prior's spectrum by ``f^-exponent``, keeping the total power."""
    f = np.abs(np.asarray(frequency, dtype=np.float64)).ravel()
    f = np.maximum(f, f[f > 0].min())
    lam = problem.lam * f ** (-exponent)
    return replace(problem, lam=lam * (problem.count @ problem.lam) / (problem.count @ lam))


def wrong_spectrum(
    problem: Problem, frequency: ArrayLike, exponents: Sequence[float], S: int, **kwargs
) -> dict[str, Array]:
    """Evaluate on the true spectrum what was designed for tilted ones."""
    ab, found = schedules.ddpm_respaced(S), {"designed": [], "best zeta'": []}
    for exponent in exponents:
        wrong = tilted(problem, frequency, exponent)
        found["designed"].append(inverse.design_weights(wrong, ab, "dps", **kwargs).weights)
        zeta, _ = inverse.best_normalised(inverse.merged(wrong), ab)
        # At run time the rule divides by the norms that occur, which are those of the true problem.
        found["best zeta'"].append(inverse.dps_normalised(inverse.merged(problem), ab, zeta))
    return {
        name: np.array([w2(problem, ab, gains.dps(problem, ab, z)) for z in rows])
        for name, rows in found.items()
    }


def over_problems(
    family: Mapping[float, Problem],
    S: int,
    n_random: int = 0,
    seed: int = 0,
    max_iter: int = 500,
    n_bins: int | None = None,
) -> dict[str, Array]:
    """``E_y W2^2`` of ideal, designed and searched samplers over a family of problems."""
    ab = schedules.ddpm_respaced(S)
    rows: dict[str, list[float]] = {}
    for p in family.values():
        small, rng = inverse.merged(p), np.random.default_rng(seed)
        found = {
            "ideal": w2(small, ab, gains.ideal(small, ab)),
            "DPS, best ζ′": inverse.best_normalised(small, ab)[1],
        }
        labels = {"DPS free": "dps", "PiGDM designed": "pigdm", "DiffPIR designed": "diffpir"}
        for label, method in labels.items():
            best = inverse.design_weights(
                small, ab, method, n_random=n_random, rng=rng, max_iter=max_iter, n_bins=n_bins
            )
            found[label] = best.objective
        for name, value in found.items():
            rows.setdefault(name, []).append(value)
    return {name: np.array(values) for name, values in rows.items()}
