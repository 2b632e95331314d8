"""Guidance weights: the adjoint gradient against finite differences, and how a design's cost grows.

The straightforward way is what a reader of the paper would write: the averaged distance as a
function of the weights, handed to SciPy with finite differences. Three people write it: one as the
recursion over steps with PyTorch tensors, one the same with NumPy, one with NumPy and products of
whole arrays instead of the recursion (possible without injected noise). All get SciPy's SLSQP with
the same scaling, which it needs to converge: logarithms of the weights relative to a reference, the
logarithm of the distance, a tight tolerance and enough iterations. Ours is that optimiser from that
start with our gradient, checks and merging of equal modes included. What the library itself does,
`design_weights` with its own optimiser and two starts, stands beside it.

The landscape has several minima (DPS on a blur), and rounding decides between them on the way, so
ways that are equal in exact arithmetic may end in different ones; the losses are listed.

Everything runs on one thread and is timed in CPU seconds, because minutes of finite differences
never have a shared machine for themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from time import process_time
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize

from benchmarks.timing import Report, Table, Target, cpu_seconds, fit_exponent, median
from diffbook import inverse, schedules
from diffbook.inverse.operators import gaussian_transfer
from diffbook.inverse.problem import Problem, binned, make_problem, merged
from diffbook.priors.gaussian import GaussianPrior

BINS = 64
SLSQP = {"maxiter": 1000, "ftol": 1e-12}


def line(d: int = 64) -> Problem:
    """One-dimensional deblurring: smooth prior of unit variance, Gaussian blur, noise 0.1."""
    k = np.abs(np.fft.fftfreq(d) * 64)
    lam = 1.0 / (1.0 + (k / 3.0) ** 2)
    mean = 0.05 + 0.3 * np.cos(2.0 * np.pi * np.arange(d) / d)
    prior = GaussianPrior.from_spectrum(lam / lam.mean(), mean)
    return make_problem(prior, gaussian_transfer(d, 1.5, shift=0.7), 0.1)


def image(size: int = 256) -> Problem:
    """Deblurring of images with a 1/f spectrum."""
    prior = GaussianPrior.inverse_f((size, size))
    return make_problem(prior, gaussian_transfer((size, size), 1.5), 0.05)


# --- the straightforward objectives -----------------------------------------------------------


def coefficients(problem: Problem, alpha_bar: np.ndarray) -> tuple[np.ndarray, ...]:
    """DDIM's a and b, the denoiser's slope w, and the exact posterior, each made once."""
    low, high = alpha_bar[:-1, None], alpha_bar[1:, None]
    a = np.sqrt((1.0 - low) / (1.0 - high))
    b = np.sqrt(low) - np.sqrt(high) * a
    w = np.sqrt(high) * problem.lam / (high * problem.lam + 1.0 - high)
    return a, b, w, np.sqrt(high), np.abs(problem.h), np.abs(problem.K), np.sqrt(problem.lam_p)


def numpy_recursion(problem: Problem, alpha_bar: np.ndarray) -> Callable[[np.ndarray], float]:
    """Averaged W2^2 of DPS, step by step, with all modes."""
    a, b, w, root, h, K, std_p = coefficients(problem, alpha_bar)
    mean2, S_y, count = np.abs(problem.mu0) ** 2, problem.S_y, problem.count

    def loss(zeta: np.ndarray) -> float:
        D1, D2, D3 = np.ones_like(h), np.zeros_like(h), np.zeros_like(h)
        for s in range(len(zeta) - 1, -1, -1):
            gain = 2.0 * zeta[s] * w[s] * h
            B = b[s] - gain * h
            G = a[s] + B * w[s]
            D1, D2, D3 = G * D1, G * D2 + B * (1.0 - root[s] * w[s]), G * D3 + gain
        bias, error = (D2 + h * D3 - 1.0) ** 2 * mean2, (D3 - K) ** 2 * S_y
        return float(count @ (bias + error + (np.abs(D1) - std_p) ** 2))

    return loss


def numpy_products(problem: Problem, alpha_bar: np.ndarray) -> Callable[[np.ndarray], float]:
    """Same with cumulative products, and the response to the mean from the mean identity."""
    a, b, w, root, h, K, std_p = coefficients(problem, alpha_bar)
    mean2, S_y, count = np.abs(problem.mu0) ** 2, problem.S_y, problem.count
    slope = 2.0 * w * h

    def loss(zeta: np.ndarray) -> float:
        gain = zeta[:, None] * slope
        P = np.cumprod(a + (b - gain * h) * w, axis=0)
        D1, D3 = P[-1], gain[0] + np.sum(P[:-1] * gain[1:], axis=0)
        bias, error = (root[-1] * D1) ** 2 * mean2, (D3 - K) ** 2 * S_y
        return float(count @ (bias + error + (np.abs(D1) - std_p) ** 2))

    return loss


def torch_recursion(
    problem: Problem, alpha_bar: np.ndarray
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Same step by step with tensors, so that PyTorch could differentiate it; merged modes."""
    problem = merged(problem)
    arrays = (*coefficients(problem, alpha_bar), np.abs(problem.mu0) ** 2, problem.S_y)
    a, b, w, root, h, K, std_p, mean2, S_y = (torch.from_numpy(np.asarray(v)) for v in arrays)
    count = torch.from_numpy(problem.count.astype(np.float64))

    def loss(zeta: torch.Tensor) -> torch.Tensor:
        D1, D2, D3 = torch.ones_like(h), torch.zeros_like(h), torch.zeros_like(h)
        for s in range(len(zeta) - 1, -1, -1):
            gain = 2.0 * zeta[s] * w[s] * h
            B = b[s] - gain * h
            G = a[s] + B * w[s]
            D1, D2, D3 = G * D1, G * D2 + B * (1.0 - root[s] * w[s]), G * D3 + gain
        bias, error = (D2 + h * D3 - 1.0) ** 2 * mean2, (D3 - K) ** 2 * S_y
        return torch.sum(count * (bias + error + (D1.abs() - std_p) ** 2))

    return loss


def torch_value(problem: Problem, alpha_bar: np.ndarray) -> Callable[[np.ndarray], float]:
    """Value of the torch objective alone, without recording a graph."""
    loss = torch_recursion(problem, alpha_bar)

    def value(zeta: np.ndarray) -> float:
        with torch.inference_mode():
            return float(loss(torch.from_numpy(zeta)))

    return value


def autograd(problem: Problem, alpha_bar: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Gradient of the torch objective by automatic differentiation."""
    loss = torch_recursion(problem, alpha_bar)

    def gradient(zeta: np.ndarray) -> np.ndarray:
        variable = torch.from_numpy(zeta).requires_grad_()
        return torch.autograd.grad(loss(variable), variable)[0].numpy()

    return gradient


# --- the comparison ---------------------------------------------------------------------------


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process for one call, and what it returned."""
    start = process_time()
    result = work()
    return process_time() - start, result


def slsqp(fun: Callable, reference: np.ndarray, jac: bool) -> Any:
    """Minimise over the logarithms of the weights from the reference, in the library's box."""
    return minimize(
        fun,
        np.zeros(len(reference)),
        jac=jac or None,
        method="SLSQP",
        bounds=[inverse.BOX] * len(reference),
        options=SLSQP,
    )


def ours(problem: Problem, alpha_bar: np.ndarray) -> Any:
    """SLSQP with the adjoint gradient, from a cold call."""
    small = merged(problem)
    evaluate = inverse.objective("dps", small, alpha_bar, {})
    reference = inverse.reference_weights(small, alpha_bar)

    def fun(x: np.ndarray) -> tuple[float, np.ndarray]:
        zeta = reference * np.exp(x)
        value, gradient = evaluate(zeta)
        return np.log(value), gradient * zeta / value

    return slsqp(fun, reference, jac=True)


def theirs(make: Callable, problem: Problem, alpha_bar: np.ndarray) -> Any:
    """SLSQP with finite differences of a straightforward objective."""
    loss = make(problem, alpha_bar)
    reference = inverse.reference_weights(merged(problem), alpha_bar)
    return slsqp(lambda x: np.log(loss(reference * np.exp(x))), reference, jac=False)


WAYS = {
    "torch, recursion": torch_value,
    "NumPy, recursion": numpy_recursion,
    "NumPy, products": numpy_products,
}


def compare(sizes: dict[int, int], repeats: int = 7) -> Table:
    """Time all ways from the same start; ``sizes`` maps S to the repeats of the quicker ones."""
    problem = line()
    table = Table(
        "Weight design: DPS, deblurring, d = 64, SLSQP with the adjoint gradient against SLSQP with "
        "finite differences; CPU seconds",
        [
            "S", "finite differences of", "s", "ours s", "times faster", "loss", "ours loss / - 1",
            "status", "design_weights s", "its loss / - 1",
        ],
    )  # fmt: skip
    for S, slow_repeats in sizes.items():
        alpha_bar = schedules.ddpm_respaced(S)
        for name, make in WAYS.items():
            slow, fast, whole = [], [], []
            # Interleaved, so that a busy moment of the machine falls on all.
            for _ in range(1 if name.startswith("torch") else slow_repeats):
                elapsed, found = timed(lambda m=make, ab=alpha_bar: theirs(m, problem, ab))
                slow.append(elapsed)
                for _ in range(repeats):
                    elapsed, mine = timed(lambda ab=alpha_bar: ours(problem, ab))
                    fast.append(elapsed)
                    elapsed, design = timed(
                        lambda ab=alpha_bar: inverse.design_weights(problem, ab)
                    )
                    whole.append(elapsed)
            loss = float(np.exp(found.fun))
            table.add(
                S, name, median(slow), median(fast), median(slow) / median(fast), loss,
                float(np.exp(mine.fun)) / loss - 1.0, f"{found.status} ({found.nit} it.)",
                median(whole), design.objective / loss - 1.0,
            )  # fmt: skip
    return table


def evaluation(sizes: list[tuple[int, int]], repeats: int = 21) -> Table:
    """Cost of one evaluation with its gradient, ours and by automatic differentiation."""
    table = Table(
        "Cost of one evaluation, best CPU time (S steps, m distinct modes)",
        [
            "S", "d", "m", "loss and gradient ms", "autograd ms", "times faster",
            "gradient difference", "ns per S m", "exponent of S m",
        ],
    )  # fmt: skip
    products, times = [], []
    for i, (S, d) in enumerate(sizes):
        problem, alpha_bar = line(d), schedules.ddpm_respaced(S)
        small = merged(problem)
        evaluate = inverse.objective("dps", small, alpha_bar, {})
        zeta = inverse.reference_weights(small, alpha_bar)
        tape = autograd(problem, alpha_bar)
        mine = min(cpu_seconds(lambda e=evaluate, z=zeta: e(z)) for _ in range(repeats))
        other = min(cpu_seconds(lambda t=tape, z=zeta: t(z)) for _ in range(repeats))
        exact = tape(zeta)
        gap = float(np.abs(evaluate(zeta)[1] - exact).max() / np.abs(exact).max())
        products.append(S * small.lam.size)
        times.append(mine)
        last = fit_exponent(products, times) if i == len(sizes) - 1 > 0 else None
        table.add(
            S, d, small.lam.size, 1e3 * mine, 1e3 * other, other / mine, gap,
            1e9 * mine / products[-1], last,
        )  # fmt: skip
    return table


def whole(steps: tuple[int, ...], cases: list[tuple[str, Problem, int | None]]) -> Table:
    """Whole designs from a cold call: checks, merging, two starts, the 1-D search for one of them."""
    table = Table(
        "Whole designs of DPS weights, from a cold call, all starts; CPU seconds",
        ["S", "problem", "d", "modes", "s", "iterations", "evaluations", "loss", "best zeta'/|r|"],
    )
    for name, problem, n_bins in cases:
        small = merged(problem)
        treated = small if n_bins is None else binned(small, n_bins)
        for S in steps:
            alpha_bar = schedules.ddpm_respaced(S)
            elapsed, found = timed(
                lambda p=problem, ab=alpha_bar, n=n_bins: inverse.design_weights(p, ab, n_bins=n)
            )
            heuristic = inverse.guidance.best_normalised(treated, alpha_bar)[1]
            table.add(
                S, name, problem.d, treated.lam.size, elapsed, found.n_iter, found.n_eval,
                found.objective, heuristic,
            )  # fmt: skip
    return table


def run(quick: bool = False) -> Report:
    """Everything about weight design; ``quick`` drops the slow rows."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        versus = compare({10: 1} if quick else {10: 5, 50: 3}, repeats=3 if quick else 7)
        sizes = [(10, 64), (50, 64), (100, 64), (50, 1024), (100, 8192)]
        cost = evaluation(sizes[:2] if quick else sizes)
        cases = [("line", line(), None), ("line", line(1024), None), ("image", image(), BINS)]
        designs = whole((5, 10), cases[:2]) if quick else whole((5, 10, 25, 50, 100), cases)
    finally:
        torch.set_num_threads(threads)
    found = {
        row[1]: dict(zip(versus.columns, row, strict=True)) for row in versus.rows[-len(WAYS) :]
    }
    S = versus.rows[-1][0]
    at_50 = dict(zip(cost.columns, cost.rows[1], strict=True))
    targets = [
        Target(
            f"weight design at S = {S}, times faster than finite differences of {name}",
            found[name]["times faster"],
            1.0 if quick else bound,
            at_least=True,
        )
        for name, bound in (("torch, recursion", 50.0), ("NumPy, recursion", 25.0))
    ]
    name = "gradient at S = 50, d = 64, times faster than autograd"
    targets.append(Target(name, at_50["times faster"], 10.0, at_least=True))
    if quick:
        return Report([versus, cost, designs], targets)
    # At S = 10 rounding leads the ways to different minima; at S = 50 they find the same one.
    excess = max(row["ours loss / - 1"] for row in found.values())
    targets.append(Target("loss of the design over finite differences', excess", excess, 1e-6))
    seconds = designs.column("s")[-1]
    targets.append(Target("256 x 256 spectrum at S = 100, binned, seconds", seconds, 2.0))
    return Report([versus, cost, designs], targets)
