"""Schedule design by other published ideas, re-implemented for Gaussian data.

Each function takes the eigenvalues of the covariance. They are thin readings of the cited works,
not their code: where a work needs a network, samples, or a training loss, the exact Gaussian
expression takes its place. What is assumed is said where it is assumed. None of them looks at the
distance that the book's tables report; that is the point of the comparison.

Two shapes of idea cover all of them. A *speed* measures how fast something changes along the
noise levels, and steps cover equal shares of it (`speed`, `constant_speed`). A *cost* prices a jump
between two levels, and the cheapest path of S jumps is found by dynamic programming
(`shortest_path`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chapters.spectral.tuned import distance, tune
from diffbook.samplers.comparison import score
from diffbook.schedules.design import (
    Loss,
    design_schedule,
    limit_schedule,
    make_problem,
    step_density,
)
from diffbook.schedules.families import constant_rate, edm
from diffbook.schedules.levels import (
    EPS_0,
    EPS_S,
    sigma_range,
    sigma_to_alpha_bar,
    validate_alpha_bar,
    validate_sigma,
)

Array = NDArray[np.float64]

# --- speeds -----------------------------------------------------------------------------------
# In y = x / sqrt(alpha_bar) a mode has the variance V = lam + s with s = sigma^2. All speeds are
# per unit of log(sigma); constant factors do not matter. Arguments: lam (d, 1) and s (m,).


def _score(lam: Array, s: Array) -> Array:
    """Root mean square of ``sigma d(score)/d(sigma)`` at fixed y.

    The local metric of Score-Optimal Schedules with velocity scaling sigma (Williams et al. 2024,
    arXiv 2412.07877): the cost of their corrector, read in VE coordinates.
    """
    return np.sqrt(np.sum((s / (lam + s)) ** 3, axis=0))


def _fisher_rao(lam: Array, s: Array) -> Array:
    """Information metric of N(0, lam + sigma^2), a relative of the score's."""
    return np.sqrt(np.sum((s / (lam + s)) ** 2, axis=0))


def _fisher_rao_vp(lam: Array, s: Array) -> Array:
    """Information metric of N(0, alpha_bar (lam + sigma^2)).

    It is not that of VE: rescaling a path by a factor that changes along it changes the metric.
    """
    return np.sqrt(np.sum(((1.0 - lam) * s / ((1.0 + s) * (lam + s))) ** 2, axis=0))


def _w2_noisy(lam: Array, s: Array) -> Array:
    """W2 between the VP marginals of x_t at neighbouring levels.

    Constant Rate Scheduling (Okada et al. 2026, arXiv 2411.12188) with W2 in place of their
    discrepancies, exponent 1.
    """
    rate = (1.0 - lam) * s / ((1.0 + s) ** 1.5 * np.sqrt(lam + s))
    return np.sqrt(np.sum(rate**2, axis=0))


def _w2_denoised(lam: Array, s: Array) -> Array:
    """W2 between the laws of the denoiser's output: the same for their data-prediction measure."""
    return np.sqrt(np.sum(lam**2 * s**2 / (lam + s) ** 3, axis=0))


def _entropy(lam: Array, s: Array) -> Array:
    """Conditional entropy H[x0 | x_t]: plain entropic time, not its rescaled variants.

    Stancevic et al. 2025, arXiv 2504.13612.
    """
    return np.sum(lam / (lam + s), axis=0)


SPEEDS: dict[str, Callable[[Array, Array], Array]] = {
    "score-optimal (VE)": _score,
    "Fisher-Rao (VE)": _fisher_rao,
    "Fisher-Rao (VP)": _fisher_rao_vp,
    "constant rate of x_t": _w2_noisy,
    "constant rate of the denoised": _w2_denoised,
    "entropic time": _entropy,
}


def speed(lam: ArrayLike, log_sigma: ArrayLike, law: str) -> Array:
    """Rate of one of `SPEEDS` per unit of ``log(sigma)``, up to a constant factor, shape (m,)."""
    if law not in SPEEDS:
        raise ValueError(f"law must be one of {sorted(SPEEDS)}, got {law!r}")
    return SPEEDS[law](_modes(lam)[:, None], np.exp(2.0 * np.asarray(log_sigma, dtype=np.float64)))


def constant_speed(lam: ArrayLike, S: int, law: str) -> Array:
    """``alpha_bar`` of S steps that cover equal shares of a `speed`, shape (S + 1,)."""
    x = np.linspace(*np.log(sigma_range()), 2001)
    return _vp(constant_rate(S, x, speed(lam, x, law)))


# --- costs and dynamic programming ------------------------------------------------------------


def shortest_path(cost: ArrayLike, S: int, coefficient: float = 1.0) -> NDArray[np.intp]:
    """Cheapest way from the first to the last level in exactly S jumps, shape (S + 1,).

    Minimises ``cost[i_0, i_1] + coefficient (cost[i_1, i_2] + coefficient (...))`` over
    ``0 = i_0 < i_1 < ... < i_S = m - 1``; only entries of `cost` above the diagonal are used.
    """
    cost = np.array(cost, dtype=np.float64)
    m = len(cost)
    if cost.shape != (m, m) or not 1 <= S <= m - 1:
        raise ValueError(f"need a square cost and 1 <= S <= m - 1, got {cost.shape} and S = {S!r}")
    cost[np.tril_indices(m)] = np.inf
    best, choices = cost[:, -1].copy(), []
    for _ in range(S - 1):
        total = cost + coefficient * best
        choices.append(np.argmin(total, axis=1))
        best = np.min(total, axis=1)
    path = [0]
    for choice in reversed(choices):
        path.append(int(choice[path[-1]]))
    return np.array([*path, m - 1])


def jump_cost(lam: ArrayLike, sigma: ArrayLike, metric: Literal["l2", "deviation"] = "l2") -> Array:
    """Error of one DDIM jump from level i to level j > i, against the exact trajectory, (m, m).

    The exact flow moves a mode like ``sqrt(lam + sigma^2)``; a jump that starts on it lands at the
    ``cos(phi_i - phi_j)``-th part of where it should. Root mean squares over the initial noise
    take the place of a batch of trajectories. The levels come *noise end first*, as in GITS.

    The metric is the distance to the exact point, or by how much the jump leaves the straight line
    from start to end more than the exact trajectory does (the measure GITS uses by default).
    """
    if metric not in ("l2", "deviation"):
        raise ValueError(f"metric must be 'l2' or 'deviation', got {metric!r}")
    lam = _modes(lam)
    sigma = validate_sigma(np.asarray(sigma)[::-1], allow_zero=False)[::-1]
    phi = np.arctan2(sigma[:, None], np.sqrt(lam))
    exact = np.cos(phi[0]) / np.cos(phi)  # (m, d), relative to the start
    variance = 1.0 + sigma[0] ** 2
    cost = np.empty((sigma.size, sigma.size))
    for i in range(sigma.size):
        landed = exact * np.cos(phi[i] - phi)
        if metric == "l2":
            cost[i] = np.sqrt(variance * np.sum((exact - landed) ** 2, axis=1))
        else:
            cost[i] = np.sqrt(variance) * (_off_chord(landed, exact) - _off_chord(exact, exact))
    return cost


def _off_chord(points: Array, exact: Array) -> Array:
    """Root mean square distance of points from the chord of the exact trajectory."""
    to_end, chord = exact[-1] - points, exact[-1] - exact[0]
    along = (to_end @ chord) ** 2 / (chord @ chord)
    return np.sqrt(np.maximum(np.sum(to_end**2, axis=1) - along, 0.0))


def gits(
    lam: ArrayLike,
    S: int,
    metric: Literal["l2", "deviation"] = "deviation",
    coefficient: float = 1.15,
) -> Array:
    """Schedule by dynamic programming against a teacher trajectory, as ``alpha_bar``.

    The idea of GITS (Chen et al. 2024, arXiv 2405.11326): cost of every jump between the levels
    of a fine EDM teacher, then the cheapest path. Measure and coefficient are the defaults of its
    public code; the teacher has 241 levels instead of 61, so that 50 steps can be chosen.
    """
    sigma = edm(240, *sigma_range())[::-1]
    path = shortest_path(jump_cost(lam, sigma, metric), S, coefficient)
    return _vp(sigma[path][::-1])


def klub(lam: ArrayLike, low: ArrayLike, high: ArrayLike) -> Array:
    """KL upper bound (nats) of a step of the reverse SDE from level `high` to `low`, broadcast.

    ``sum_i integral_low^high (mmse_i(high) - mmse_i(t)) / t^3 dt`` with
    ``mmse(t) = lam t^2 / (lam + t^2)``: by Girsanov's theorem the KL divergence of the path of the
    sampler that keeps the denoiser's output fixed during the step. The bound AYS minimises
    (Sabour et al. 2024, arXiv 2404.14507), here for exact Gaussian denoisers.
    """
    lam = _modes(lam)
    a2, b2 = (np.square(np.asarray(v, dtype=np.float64))[..., None] for v in (low, high))
    frozen = 0.5 * lam * (b2 / a2 - 1.0) / (lam + b2)
    # log1p keeps the difference of two nearly equal numbers accurate for short steps.
    moving = 0.5 * np.log1p(lam * (b2 - a2) / (a2 * (lam + b2)))
    return np.sum(frozen - moving, axis=-1)


def klub_schedule(lam: ArrayLike, S: int) -> Array:
    """Schedule that minimises the summed `klub` over a log-uniform grid of levels (``alpha_bar``).

    The bound adds up over steps, so dynamic programming finds its minimum on the grid, where AYS
    needs a hierarchical search with a network.
    """
    lam, count = np.unique(np.round(_modes(lam), 12), return_counts=True)
    sigma = np.geomspace(*sigma_range(), 401)[::-1]
    low, high = np.minimum.outer(sigma, sigma), np.maximum.outer(sigma, sigma)
    cost = sum(n * klub([value], low, high) for value, n in zip(lam, count, strict=True))
    return _vp(sigma[shortest_path(cost, S)][::-1])


# --- all of them --------------------------------------------------------------------------------


def rivals(lam: ArrayLike, S: int) -> dict[str, Array]:
    """All laws of this module at S steps and common ends, as ``alpha_bar``, by name."""
    found = {law: constant_speed(lam, S, law) for law in SPEEDS}
    found["GITS"] = gits(lam, S)
    found["GITS, local errors"] = gits(lam, S, metric="l2", coefficient=1.0)
    found["KLUB (AYS)"] = klub_schedule(lam, S)
    return found


def rival_ratios(lam: ArrayLike, steps: Sequence[int], loss: Loss = "w2") -> dict[str, Array]:
    """Distance of DDIM's output under every rival law, relative to the optimum, over the steps.

    The fixed point and the tangent are those of this loss; the other laws do not know it.
    """
    problem = make_problem(lam, loss=loss)
    table: dict[str, list[float]] = {}
    for S in steps:
        density = step_density(problem, *sigma_range(), S)
        laws = {"fixed point": sigma_to_alpha_bar(limit_schedule(density, S))} | rivals(lam, S)
        values = {name: score(lam, alpha_bar, loss=loss) for name, alpha_bar in laws.items()}
        values["tangent (best c)"] = distance(tune(problem, S, "tangent").objective, loss)
        best = distance(design_schedule(lam, S, loss=loss).objective, loss)
        for name, value in values.items():
            table.setdefault(name, []).append(value / best)
    return {name: np.array(values) for name, values in table.items()}


def _modes(lam: ArrayLike) -> Array:
    """Variances as a flat array, checked: no law here knows what to do with a constant mode."""
    lam = np.asarray(lam, dtype=np.float64).ravel()
    if lam.size == 0 or not np.all(np.isfinite(lam)) or np.any(lam <= 0):
        raise ValueError("lam must be finite and positive; drop modes without variance")
    return lam


def _vp(sigma: Array) -> Array:
    """``alpha_bar`` of a schedule, with the book's ends to the last bit."""
    alpha_bar = sigma_to_alpha_bar(sigma)
    alpha_bar[[0, -1]] = 1.0 - EPS_0, EPS_S
    return validate_alpha_bar(alpha_bar)
