"""Schedule design: this library against the straightforward way, and how its cost scales.

The straightforward way is what a reader of the paper would write: the unknowns are the interior
values of ``alpha_bar``, the loss is a vectorised evaluation of the product formula, and SciPy's
SLSQP minimises it under the ordering constraints with finite differences. It is given every help
that keeps it straightforward: the constraints' constant Jacobian, the loss scaled by 1e-3 and a
tight tolerance, without which it stops far from the optimum (SLSQP starts from an identity
Hessian, and the loss is steep at the clean end).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from benchmarks.timing import (
    Report,
    Table,
    Target,
    cpu_seconds,
    fit_exponent,
    median,
    seconds,
)
from diffbook import schedules
from diffbook.priors.gaussian import GaussianPrior
from diffbook.schedules import design

LOSS_SCALE = 1e-3
SLSQP = {"maxiter": 1000, "ftol": 1e-12}


def w2_squared(alpha_bar: np.ndarray, lam: np.ndarray) -> float:
    """W2^2 of DDIM by the paper's product formula, one vectorised expression."""
    low, high = alpha_bar[:-1, None], alpha_bar[1:, None]
    a = np.sqrt((1 - low) / (1 - high))
    b = np.sqrt(low) - np.sqrt(high) * a
    gain = np.prod(a + b * np.sqrt(high) * lam / (high * lam + 1 - high), axis=0)
    return float(np.sum((np.sqrt(lam) - gain) ** 2))


def straightforward(lam: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, object]:
    """SLSQP on the interior of ``alpha_bar``, with finite differences."""
    S = len(start) - 1
    steps = np.eye(S, S - 1) - np.eye(S, S - 1, k=-1)
    offset = np.zeros(S)
    offset[0], offset[-1] = start[0], -start[-1]

    def full(interior: np.ndarray) -> np.ndarray:
        return np.concatenate([start[:1], interior, start[-1:]])

    result = minimize(
        lambda interior: LOSS_SCALE * w2_squared(full(interior), lam),
        start[1:-1],
        method="SLSQP",
        bounds=[(start[-1], start[0])] * (S - 1),
        constraints={
            "type": "ineq",
            "fun": lambda interior: offset - steps @ interior,
            "jac": lambda interior: -steps,
        },
        options=SLSQP,
    )
    return np.sort(full(result.x))[::-1], result


def compare(sizes: dict[int, int], repeats: int = 9) -> Table:
    """Time both ways from the same plain start; ``sizes`` maps S to the baseline's repeats."""
    lam = GaussianPrior.ramp().lam
    table = Table(
        "Schedule design: W2, ramp prior d = 50, both started from linear alpha_bar",
        [
            "S",
            "SLSQP s",
            "ours s",
            "ours, own start s",
            "times faster",
            "ours / SLSQP loss - 1",
            "SLSQP status",
        ],
    )
    for S, baseline_repeats in sizes.items():
        start = schedules.linear_alpha_bar(S)
        slow, fast, own = [], [], []
        # Interleaved, so that a busy moment of the machine falls on both.
        for _ in range(baseline_repeats):
            elapsed, (found, result) = seconds(lambda start=start: straightforward(lam, start))
            slow.append(elapsed)
            for _ in range(repeats):
                elapsed, ours = seconds(
                    lambda S=S, start=start: design.design_schedule(lam, S, init=start)
                )
                fast.append(elapsed)
                own.append(seconds(lambda S=S: design.design_schedule(lam, S))[0])
        table.add(
            S,
            median(slow),
            median(fast),
            median(own),
            median(slow) / median(fast),
            ours.objective / w2_squared(found, lam) - 1.0,
            f"{result.status} ({result.nit} it.)",
        )
    return table


def random_starts(sizes: tuple[int, ...], n_starts: int = 100, seed: int = 0) -> Table:
    """Share of random monotone starts that end within 1e-6 of the best loss."""
    lam = GaussianPrior.ramp().lam
    table = Table(
        "Optimum reached from random monotone starts",
        ["S", "loss", "starts", "reached", "worst excess", "|grad| of the best"],
    )
    for S in sizes:
        for loss in ("w2", "kl"):
            found = design.design_schedule(
                lam, S, loss=loss, n_starts=n_starts, rng=np.random.default_rng(seed)
            )
            excess = found.start_objectives.max() / found.objective - 1.0
            table.add(S, loss, n_starts, found.starts_reached, excess, found.grad_norm)
    return table


def scaling(repeats: int = 11) -> tuple[Table, Table]:
    """Cost of one evaluation of loss and gradient, and of a whole design, up to large sizes."""
    cost = Table(
        "Cost of one evaluation (loss and exact gradient), best CPU time",
        ["S", "d", "ms", "ns per S d", "exponent of S d"],
    )
    sizes = [(10, 1000), (100, 1000), (1000, 1000), (20, 16_000), (100, 16_000), (1000, 16_000)]
    times = []
    for S, d in sizes:
        # Distinct variances: nothing to merge, so that d is the number of modes treated.
        problem = design.make_problem(np.arange(1, d + 1) ** -1.5)
        sigma = schedules.log_linear(S, *schedules.sigma_range())
        times.append(
            min(
                cpu_seconds(lambda p=problem, s=sigma: design.objective_and_grad(p, s))
                for _ in range(repeats)
            )
        )
    exponent = fit_exponent([S * d for S, d in sizes], times)
    for i, (S, d) in enumerate(sizes):
        last = exponent if i == len(sizes) - 1 else None
        cost.add(S, d, 1e3 * times[i], 1e9 * times[i] / (S * d), last)

    whole = Table(
        "Whole designs, from a cold call (own start)",
        ["S", "d", "distinct modes", "s", "iterations", "evaluations", "|grad|", "monotone"],
    )
    photo = GaussianPrior.inverse_f((126, 127), beta=2.2)  # d = 16,002, an image's spectrum
    line = np.arange(1, 16_001) ** -1.5  # d = 16,000 distinct variances, nothing to merge
    for lam, S in (
        (GaussianPrior.ramp().lam, 1000),
        (photo.lam, 20),
        (photo.lam, 112),
        (line, 20),
        (line, 112),
        (line, 1000),
    ):
        elapsed, found = seconds(lambda lam=lam, S=S: design.design_schedule(lam, S))
        distinct = design.make_problem(lam).lam.size
        monotone = bool(np.all(np.diff(found.schedule) < 0))
        whole.add(
            S,
            lam.size,
            distinct,
            elapsed,
            found.n_iter,
            found.n_eval,
            found.grad_norm,
            "yes" if monotone else "no",
        )
    return cost, whole


def run(quick: bool = False) -> Report:
    """Everything about schedule design; ``quick`` drops the slow rows."""
    versus = compare({10: 3, 50: 1} if quick else {10: 9, 50: 5, 112: 3})
    starts = random_starts((10, 50) if quick else (10, 50, 112, 250))
    last = versus.rows[-1][0]
    targets = [
        Target(
            f"schedule design at S = {last}, times faster than SLSQP",
            versus.column("times faster")[-1],
            300.0 if last == 112 else 1.0,
            at_least=True,
        ),
        Target(
            "loss of the designs over SLSQP's, relative excess",
            max(versus.column("ours / SLSQP loss - 1")),
            1e-9,
        ),
        Target(
            "share of random monotone starts that reach the optimum",
            min(starts.column("reached")),
            1.0,
            at_least=True,
        ),
    ]
    if quick:
        return Report([versus, starts], targets)
    cost, whole = scaling()
    exponent = cost.column("exponent of S d")[-1]
    targets.append(Target("cost of an evaluation, exponent of S d", exponent, 1.1))
    return Report([versus, starts, cost, whole], targets)
