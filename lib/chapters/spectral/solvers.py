"""Gains of samplers of any order on Gaussian data, and schedules designed for them.

Every sampler that forms linear combinations of its states and of denoiser calls multiplies each
mode of centred Gaussian data by one number. Here that number is computed by the sampler's own
recursion on scalars, for many schedules at once, so that schedules can be designed for samplers
without a closed form (Heun, DPM-Solver++(2M)) with finite-difference gradients.

The samplers are those of `diffbook.samplers.unguided`; the comparison of solvers on exact
Gaussians follows Pierret and Galerne 2025 (arXiv 2405.14250).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from diffbook.priors.distances import w2_spectral
from diffbook.samplers.transfer import transfer
from diffbook.schedules.design import design_schedule, limit_density, limit_schedule, make_problem
from diffbook.schedules.families import constant_rate, edm, log_linear
from diffbook.schedules.laws import optimal_density
from diffbook.schedules.levels import (
    EPS_0,
    EPS_S,
    alpha_bar_to_sigma,
    sigma_range,
    sigma_to_alpha_bar,
    validate_alpha_bar,
)

Array = NDArray[np.float64]
Solver = Literal["ddim", "ddpm", "heun", "dpmpp_2m"]
SOLVERS = ("ddim", "ddpm", "heun", "dpmpp_2m")


def steps_for(solver: Solver, nfe: int) -> int:
    """Return the number of steps that spend ``nfe`` denoiser calls (two a step for Heun)."""
    if solver not in SOLVERS:
        raise ValueError(f"solver must be one of {SOLVERS}, got {solver!r}")
    if nfe < 1 or (solver == "heun" and nfe % 2):
        raise ValueError(f"nfe must be positive, and even for Heun, got {nfe!r}")
    return nfe // 2 if solver == "heun" else nfe


def y_gain(lam: Array, sigma: Array, solver: Literal["ddim", "heun", "dpmpp_2m"]) -> Array:
    """Gain of a deterministic sampler in the coordinates ``y = x / sqrt(alpha_bar)``, (..., d).

    One or many schedules, shape (..., S + 1), clean end first, positive.
    """
    low, high = sigma[..., :-1, None], sigma[..., 1:, None]
    if solver == "ddim":
        return np.prod((lam + low * high) / (lam + high**2), axis=-2)
    if solver == "heun":
        slope_high, slope_low = high / (lam + high**2), low / (lam + low**2)
        step = low - high
        return np.prod(
            1.0 + 0.5 * step * (slope_high + slope_low * (1.0 + step * slope_high)), axis=-2
        )
    if solver != "dpmpp_2m":
        raise ValueError(f"solver must be 'ddim', 'heun' or 'dpmpp_2m', got {solver!r}")
    shrink, h = low / high, np.log(high / low)
    wiener = lam / (lam + high**2)
    y = np.ones((*sigma.shape[:-1], lam.size))
    previous = None
    for s in range(sigma.shape[-1] - 2, -1, -1):
        x0_hat = wiener[..., s, :] * y
        target = x0_hat
        if previous is not None:
            target = x0_hat + 0.5 * (h[..., s, :] / h[..., s + 1, :]) * (x0_hat - previous)
        y = shrink[..., s, :] * y + (1.0 - shrink[..., s, :]) * target
        previous = x0_hat
    return y


def output_std(lam: ArrayLike, alpha_bar: ArrayLike, solver: Solver) -> Array:
    """Return the standard deviation of a sampler's output per mode, for a VP schedule."""
    lam = np.asarray(lam, dtype=np.float64).ravel()
    alpha_bar = validate_alpha_bar(alpha_bar)
    if solver in ("ddim", "ddpm"):
        return transfer(lam, alpha_bar, eta=float(solver == "ddpm")).std
    gain = y_gain(lam, alpha_bar_to_sigma(alpha_bar), solver)
    return np.sqrt(alpha_bar[0] / alpha_bar[-1]) * np.abs(gain)


def exact_integrator_std(lam: ArrayLike, alpha_bar: ArrayLike) -> Array:
    """Output of an integrator that treats each mode by itself: exact for any schedule.

    Each step multiplies a mode by ``sqrt(V_{s-1} / V_s)``, ``V = lam + sigma^2``. It needs the
    eigenbasis, and one number per mode and step in place of the sampler's single number.
    """
    lam = np.asarray(lam, dtype=np.float64).ravel()
    alpha_bar = validate_alpha_bar(alpha_bar)
    V = lam + alpha_bar_to_sigma(alpha_bar)[:, None] ** 2
    return np.sqrt(alpha_bar[0] / alpha_bar[-1]) * np.prod(np.sqrt(V[:-1] / V[1:]), axis=0)


def _starts(lam: Array, S: int, ends: dict[str, float]) -> list[Array]:
    """Limiting densities of DDIM and Heun, EDM with rho = 7, and the log-linear schedule."""
    sigmas = sigma_range(**ends)
    first = limit_density(make_problem(lam, **ends), *sigmas)
    second = optimal_density(lam, first.log_sigma, solver="heun")
    return [
        limit_schedule(first, S),
        constant_rate(S, second.log_sigma, second.density),
        edm(S, *sigmas),
        log_linear(S, *sigmas),
    ]


def design_for(
    lam: ArrayLike,
    S: int,
    solver: Solver,
    *,
    eps_0: float = EPS_0,
    eps_S: float = EPS_S,
    init: Sequence[ArrayLike] | None = None,
) -> Array:
    """Schedule with the smallest W2 for a given sampler, as ``alpha_bar``, shape (S + 1,).

    DDIM and DDPM use the exact gradients of `diffbook.schedules.design`; Heun and DPM-Solver++(2M)
    the same softmax increments of ``log(sigma)`` with central differences, all of them in one
    batch. Their loss is not convex: the best of several starts is returned, a local optimum in
    general. The starts are those of `init` (``sigma``), or four schedules of different kinds.
    """
    ends = {"eps_0": eps_0, "eps_S": eps_S}
    if solver in ("ddim", "ddpm"):
        return design_schedule(lam, S, eta=float(solver == "ddpm"), **ends).schedule
    if solver not in SOLVERS:
        raise ValueError(f"solver must be one of {SOLVERS}, got {solver!r}")
    problem = make_problem(lam, **ends)  # validates, and merges equal modes
    lam, count = problem.lam, problem.count
    x_0, x_S = np.log(sigma_range(**ends))
    scale = problem.root0 * np.sqrt(problem.start)

    def log_sigma(z: Array) -> Array:
        share = np.exp(z - z.max(axis=-1, keepdims=True))
        # No step may vanish: the multistep method divides by the length of the last one.
        share = share / share.sum(axis=-1, keepdims=True) + 1e-6
        share = np.cumsum(share / share.sum(axis=-1, keepdims=True), axis=-1)
        return np.concatenate([np.full((*z.shape[:-1], 1), x_0), x_0 + (x_S - x_0) * share], -1)

    def log_loss(z: Array) -> Array:
        x = log_sigma(z)
        gap = scale * np.abs(y_gain(lam, np.exp(x), solver)) - np.sqrt(lam)
        return np.log(gap**2 @ count)

    step = 1e-5
    shifts = step * np.concatenate([np.zeros((1, S)), np.eye(S), -np.eye(S)])

    def value_and_grad(z: Array) -> tuple[float, Array]:
        values = log_loss(z + shifts)
        return values[0], (values[1 : S + 1] - values[S + 1 :]) / (2.0 * step)

    runs = []
    for sigma in _starts(lam, S, ends) if init is None else init:
        z = np.log(np.diff(np.log(np.asarray(sigma, dtype=np.float64))))
        options = {"maxiter": 300, "maxcor": 20, "ftol": 1e-12, "gtol": 1e-6}
        runs.append(minimize(value_and_grad, z, jac=True, method="L-BFGS-B", options=options))
    z = min(runs, key=lambda run: run.fun).x
    alpha_bar = sigma_to_alpha_bar(np.exp(log_sigma(z)))
    alpha_bar[[0, -1]] = 1.0 - eps_0, eps_S
    return validate_alpha_bar(alpha_bar)


def _w2(lam: Array, alpha_bar: Array, solver: Solver) -> float:
    return w2_spectral(lam, output_std(lam, alpha_bar, solver))


def solver_scores(
    lam: Array, nfes: Sequence[int], *, eps_0: float, eps_S: float
) -> dict[str, Array]:
    """W2 of four samplers at equal (even) numbers of denoiser calls: {name: (len(nfes),)}.

    DDIM, DDPM and Heun have the schedule that is optimal for them, DPM-Solver++(2M) the
    log-linear one, which is also given for DDIM.
    """
    ends = {"eps_0": eps_0, "eps_S": eps_S}
    table: dict[str, list[float]] = {}
    for nfe in nfes:
        for name, solver in (("DDIM", "ddim"), ("DDPM", "ddpm"), ("Heun", "heun")):
            own = design_for(lam, steps_for(solver, nfe), solver, **ends)
            table.setdefault(name, []).append(_w2(lam, own, solver))
        even = sigma_to_alpha_bar(log_linear(nfe, *sigma_range(**ends)))
        table.setdefault("DPM-Solver++(2M), log-linear", []).append(_w2(lam, even, "dpmpp_2m"))
        table.setdefault("DDIM, log-linear", []).append(_w2(lam, even, "ddim"))
    return {name: np.array(values) for name, values in table.items()}


def free_multistep(lam: Array, S: int, *, eps_0: float, eps_S: float) -> tuple[float, float]:
    """Let DPM-Solver++(2M) have any schedule, and see what the optimiser makes of it.

    Gives W2 relative to that of the log-linear schedule, from which the search starts, and the
    largest ratio of neighbouring steps in ``log(sigma)``, at least 1.
    """
    ends = {"eps_0": eps_0, "eps_S": eps_S}
    start = log_linear(S, *sigma_range(**ends))
    free = design_for(lam, S, "dpmpp_2m", init=[start], **ends)
    share = _w2(lam, free, "dpmpp_2m") / _w2(lam, sigma_to_alpha_bar(start), "dpmpp_2m")
    steps = np.abs(np.diff(np.log(alpha_bar_to_sigma(free))))
    return share, float(np.exp(np.abs(np.diff(np.log(steps))).max()))
