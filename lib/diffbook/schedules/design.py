"""Optimal noise schedules for a Gaussian prior, for any number of steps.

The distance between a sampler's output and the data is an explicit function of the schedule
(`diffbook.samplers.transfer`). Here it is minimised with exact gradients. The unknowns are the increments
of ``log(sigma)`` between two fixed ends, passed through a softmax: every trial schedule is
monotone by construction, and the problem is well scaled where ``alpha_bar`` is not (its
derivatives blow up at the clean end).

A short fixed-point iteration finds the density of steps over ``log(sigma)`` that is best by the law
of many steps (`step_density`). It starts the optimiser and is almost optimal by itself. Between
perfect ends it tends, for many steps, to a limit (`limit_density`).

Sources: problem statement, Benita, Elad, Keshet 2025 (arXiv 2502.00180), Section 4; the softmax
parametrisation, the gradients and the fixed point are this book's.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from diffbook._checks import NON_NEGATIVE, POSITIVE, choice, reals, whole
from diffbook.schedules.families import constant_rate
from diffbook.schedules.laws import Density, law_density, optimal_density
from diffbook.schedules.levels import (
    EPS_0,
    EPS_S,
    Process,
    _check_below,
    alpha_bar_to_log_snr,
    check_mean,
    check_modes,
    sigma_range,
    sigma_to_alpha_bar,
    validate_alpha_bar,
    validate_sigma,
)

Array = NDArray[np.float64]
Loss = Literal["w2", "kl", "kl_reverse", "weighted"]
LOSSES = ("w2", "kl", "kl_reverse", "weighted")

# Modes are treated in blocks of about this many matrix entries, so that the temporaries stay in
# the processor's cache; 2**17 doubles are 1 MiB.
_BLOCK = 2**17


class ScheduleProblem(NamedTuple):
    """What a loss needs to know: distinct eigenvalues and what is attached to them.

    ``lam`` (m,) distinct variances; ``count`` (m,) number of modes (or sum of weights) of each;
    ``mean_power`` (m,) sum of ``|mu0|^2`` over them; ``loss``, ``eta``, ``process`` as in
    `design_schedule`; ``root0`` is the scale ``x / y`` of the clean end, ``start`` the variance
    of the initial noise in y coordinates.
    """

    lam: Array
    count: Array
    mean_power: Array
    loss: Loss
    eta: float
    process: Process
    root0: float
    start: float


@dataclass(frozen=True, eq=False)
class ScheduleDesign:
    """A designed schedule and the evidence that it is optimal.

    Parameters
    ----------
    schedule : ndarray, shape (S + 1 - merged,)
        ``alpha_bar`` (VP) or ``sigma`` (VE), clean end first.
    sigma : ndarray
        Its noise-to-signal ratios.
    objective : float
        Value of the loss: ``W2^2``, KL in nats, or the weighted sum.
    history : ndarray
        Objective at the start and after every iteration of the best run.
    grad_norm : float
        Largest ``|d log(objective) / d log(sigma_s)|`` over the free levels; 0 where no small
        change of levels that are apart lowers the loss. That is all it certifies: the schedule is
        the best that the starts led to, and no proof excludes a better one.
    n_iter, n_eval : int
        Iterations and evaluations of the best run.
    start_objectives : ndarray
        Objective reached from every start.
    merged : int
        Steps whose two levels fell together; they are left out.
    """

    schedule: Array
    sigma: Array
    objective: float
    history: Array
    grad_norm: float
    n_iter: int
    n_eval: int
    start_objectives: Array
    merged: int

    @property
    def starts_reached(self) -> float:
        """Share of starts that end within 1e-6 (relative) of the best objective."""
        return float(np.mean(self.start_objectives <= self.objective * (1.0 + 1e-6)))


# --- loss and gradient ------------------------------------------------------------------------


def _loss(problem: ScheduleProblem, var: Array, gain: Array) -> tuple[float, Array, Array]:
    """Loss and its derivatives by the output variance and by the y-gain, per distinct mode.

    ``var`` is the variance of the output, ``gain`` the product of the y-gains; the error of the
    mean is ``(1 - D2) mu0`` with ``D2 = root0 (1 - gain)``.
    """
    lam, count, power = problem.lam, problem.count, problem.mean_power
    bias = 1.0 - problem.root0 * (1.0 - gain)
    std = np.sqrt(var)
    if problem.loss == "w2":
        gap = std - np.sqrt(lam)
        value = count @ gap**2 + power @ bias**2
        return value, count * gap / std, 2.0 * power * bias * problem.root0
    if problem.loss == "weighted":
        gap = var - lam
        value = count @ np.abs(gap) + power @ bias**2
        return value, count * np.sign(gap), 2.0 * power * bias * problem.root0
    if problem.loss == "kl":
        q = lam / var
        value = 0.5 * (count @ (q - 1.0 - np.log(q)) + power @ (bias**2 / var))
        slope = 0.5 * (count * (1.0 - q) - power * bias**2 / var) / var
        return value, slope, power * bias / var * problem.root0
    q = var / lam
    value = 0.5 * (count @ (q - 1.0 - np.log(q)) + power @ (bias**2 / lam))
    return value, 0.5 * count * (1.0 / lam - 1.0 / var), power * bias / lam * problem.root0


def objective_and_grad(problem: ScheduleProblem, sigma: ArrayLike) -> tuple[float, Array]:
    """Loss of a schedule and its exact gradient by every ``sigma_s``, both ends included.

    The scales of the ends (``root0``, ``start``) are held fixed, as the ends are in the design.

    Parameters
    ----------
    problem : ScheduleProblem
    sigma : ndarray, shape (S + 1,)
        Strictly increasing.

    Returns
    -------
    value : float
    grad : ndarray, shape (S + 1,)
    """
    return _value_and_grad(problem, validate_sigma(sigma))


def _value_and_grad(problem: ScheduleProblem, sigma: Array) -> tuple[float, Array]:
    block = max(1, _BLOCK // len(sigma))
    parts = (
        problem._replace(
            lam=problem.lam[i : i + block],
            count=problem.count[i : i + block],
            mean_power=problem.mean_power[i : i + block],
        )
        for i in range(0, problem.lam.size, block)
    )
    evaluate = _ddim_value_grad if problem.eta == 0.0 else _eta_value_grad
    value, grad = 0.0, np.zeros_like(sigma)
    for part in parts:
        v, g = evaluate(part, sigma)
        value += v
        grad += g
    return float(value), grad


def _ddim_value_grad(problem: ScheduleProblem, sigma: Array) -> tuple[float, Array]:
    low, high = sigma[:-1], sigma[1:]
    cross = 1.0 / (problem.lam + (low * high)[:, None])
    total = 1.0 / (problem.lam + (high**2)[:, None])
    gain = np.prod(total / cross, axis=0)
    scale = problem.root0**2 * problem.start
    value, by_var, by_gain = _loss(problem, scale * gain**2, gain)
    w = gain * (by_gain + 2.0 * scale * gain * by_var)  # derivative by log(gain)
    pull, drag = cross @ w, total @ w
    grad = np.zeros_like(sigma)
    grad[1:] += low * pull - 2.0 * high * drag
    grad[:-1] += high * pull
    return value, grad


def _eta_value_grad(problem: ScheduleProblem, sigma: Array) -> tuple[float, Array]:
    e2, S = problem.eta**2, len(sigma) - 1
    low, high = sigma[:-1], sigma[1:]
    ratio2 = (low / high) ** 2
    u = low * np.sqrt(1.0 - e2 + e2 * ratio2)
    tau2 = e2 * low**2 * (1.0 - ratio2)
    total = 1.0 / (problem.lam + (high**2)[:, None])
    G = (problem.lam + (high * u)[:, None]) * total

    var = np.empty((S + 1, problem.lam.size))
    var[S] = problem.start
    for s in range(S, 0, -1):
        var[s - 1] = G[s - 1] ** 2 * var[s] + tau2[s - 1]
    gain = np.prod(G, axis=0)
    root2 = problem.root0**2
    value, by_var, by_gain = _loss(problem, root2 * var[0], gain)

    # Adjoint: damp[s] = d var_0 / d var_s is the product of the squared gains below s.
    damp = np.ones_like(var)
    np.cumprod(G**2, axis=0, out=damp[1:])
    by_v = root2 * by_var
    by_G = 2.0 * G * var[1:] * damp[:-1] * by_v + by_gain * gain / G
    by_tau2 = damp[:-1] @ by_v
    R, Q = np.sum(by_G * total, axis=1), np.sum(by_G * G * total, axis=1)
    u_low = low * (1.0 - e2 + 2.0 * e2 * ratio2) / u
    u_high = -e2 * low**2 * ratio2 / (high * u)
    grad = np.zeros_like(sigma)
    grad[1:] += R * (u + high * u_high) - 2.0 * high * Q + by_tau2 * 2.0 * e2 * low * ratio2**1.5
    grad[:-1] += R * high * u_low + by_tau2 * e2 * low * (2.0 - 4.0 * ratio2)
    return value, grad


# --- the problem ------------------------------------------------------------------------------


def make_problem(
    lam: ArrayLike,
    *,
    loss: Loss = "w2",
    mu0_spectral: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    eta: float = 0.0,
    process: Process = "vp",
    eps_0: float = EPS_0,
    eps_S: float = EPS_S,
) -> ScheduleProblem:
    """Validate the inputs of a design and merge modes of equal variance.

    Parameters are those of `design_schedule`. Real signals have their Fourier modes in pairs of
    equal variance, so merging halves the work.

    Raises
    ------
    ValueError
        Naming the argument at fault.
    """
    choice(loss, "loss", LOSSES)
    hint = "drop modes without variance: every schedule leaves the same error in them"
    lam = reals(check_modes(lam, eta, process), "lam", POSITIVE, hint=hint)
    _, sigma_S = sigma_range(eps_0, eps_S)
    if (weights is not None) != (loss == "weighted"):
        raise ValueError("weights are needed with loss='weighted', and only there")
    count = (
        np.ones_like(lam) if weights is None else reals(weights, "weights", NON_NEGATIVE).ravel()
    )
    if count.shape != lam.shape or not np.any(count > 0):
        raise ValueError(f"weights must be {lam.size} numbers, not all zero, got {count.shape}")
    mu = check_mean(0.0 if mu0_spectral is None else mu0_spectral, lam.size)
    power = np.broadcast_to(np.abs(mu) ** 2, lam.shape)

    # Equal up to round-off of an FFT: 12 significant digits.
    digits = 11 - np.floor(np.log10(lam)).astype(int)
    _, first, group = np.unique(
        np.round(lam * 10.0**digits) / 10.0**digits, return_index=True, return_inverse=True
    )
    return ScheduleProblem(
        lam[first],
        np.bincount(group, count),
        np.bincount(group, power),
        loss,
        float(eta),
        process,
        root0=float(np.sqrt(1.0 - eps_0)) if process == "vp" else 1.0,
        start=1.0 / eps_S if process == "vp" else sigma_S**2,
    )


def objective(problem: ScheduleProblem, sigma: ArrayLike) -> float:
    """Loss of a schedule given as sigma (see `ScheduleDesign.objective`)."""
    return objective_and_grad(problem, sigma)[0]


# --- the limit of many steps ------------------------------------------------------------------


def limit_density(
    problem: ScheduleProblem, sigma_0: float, sigma_S: float, m: int = 801
) -> Density:
    """Find the fixed point of ``p(x) ~ sqrt(sum_i w_i k_i(x))`` over ``x = log(sigma)``.

    A step of relative length ``1 / (S p)`` costs mode i the share ``k_i / (S p)`` of its standard
    deviation, with ``k = lam sigma^2 / (2 (lam + sigma^2)^2)`` for DDIM and
    ``2 lam^2 sigma^2 / (lam + sigma^2)^3`` for DDPM. The total squared error is convex in p; its
    stationarity condition is the fixed point, with ``w_i = lam_i E_i`` (W2) or ``E_i`` (KL).

    Parameters
    ----------
    problem : ScheduleProblem
        Its ``eta`` must be 0 or 1; others take the DDIM kernel, as a starting point only.
    sigma_0, sigma_S : float
        Ends.
    m : int
        Grid points.

    Returns
    -------
    Density
        ``E`` belongs to the distinct modes of the problem.
    """
    _check_below(sigma_0, sigma_S, "sigma_0", "sigma_S", POSITIVE)
    return optimal_density(
        problem.lam,
        np.linspace(np.log(sigma_0), np.log(sigma_S), whole(m, "m", 3)),
        count=problem.count,
        solver="ddpm" if problem.eta == 1.0 else "ddim",
        loss="kl" if problem.loss == "kl_reverse" else problem.loss,
    )


def step_density(
    problem: ScheduleProblem, sigma_0: float, sigma_S: float, S: int, m: int = 801
) -> Density:
    """Find the density of steps that is best for S steps between these ends (see `law_density`).

    A mean of the data is left out, and eta between 0 and 1 takes the DDIM kernel: then it is a
    starting point only.

    Parameters
    ----------
    problem, sigma_0, sigma_S, m
        As in `limit_density`.
    S : int
        Number of steps.
    """
    _check_below(sigma_0, sigma_S, "sigma_0", "sigma_S", POSITIVE)
    stochastic = problem.eta == 1.0
    # With fresh noise in every step the output forgets how the initial noise differs from the data.
    start = 1.0 if stochastic else problem.start / (problem.lam + sigma_S**2)
    return law_density(
        problem.lam,
        np.linspace(np.log(sigma_0), np.log(sigma_S), whole(m, "m", 3)),
        whole(S, "S"),
        problem.root0 * np.sqrt((problem.lam + sigma_0**2) * start),
        count=problem.count,
        solver="ddpm" if stochastic else "ddim",
        loss=problem.loss,
    )


def limit_schedule(limit: Density, S: int) -> Array:
    """``sigma`` of an S-step schedule that follows a density of steps."""
    return constant_rate(S, limit.log_sigma, limit.density)


# --- the design -------------------------------------------------------------------------------


def _to_sigma(z: Array, x_0: float, span: float) -> tuple[Array, Array]:
    share = np.exp(z - z.max())
    share /= share.sum()
    return x_0 + span * np.cumsum(share)[:-1], share


def _minimise(
    problem: ScheduleProblem, start: Array, max_iter: int
) -> tuple[Array, Array, int, int]:
    """L-BFGS on the softmax increments of log(sigma); returns sigma, history, iterations."""
    x = np.log(start)
    span = x[-1] - x[0]
    sigma = start.copy()

    def fun(z: Array) -> tuple[float, Array]:
        free, share = _to_sigma(z, x[0], span)
        sigma[1:-1] = np.exp(free)
        value, grad = _value_and_grad(problem, sigma)
        # The logarithm makes scipy's tests relative, so one tolerance serves every S.
        by_x = grad[1:-1] * sigma[1:-1] / value
        by_share = np.concatenate([np.cumsum(by_x[::-1])[::-1], [0.0]]) * span
        return np.log(value), share * (by_share - share @ by_share)

    z0 = np.log(np.diff(x))
    values = [np.exp(fun(z0)[0])]
    result = minimize(
        fun,
        z0,
        jac=True,
        method="L-BFGS-B",
        callback=lambda intermediate_result: values.append(np.exp(intermediate_result.fun)),
        options={"maxiter": max_iter, "maxcor": 20, "ftol": 1e-15, "gtol": 1e-7, "maxfun": 10**6},
    )
    fun(result.x)
    return sigma, np.array(values), int(result.nit), int(result.nfev)


def design_schedule(
    lam: ArrayLike,
    S: int,
    *,
    loss: Loss = "w2",
    mu0_spectral: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    eta: float = 0.0,
    process: Process = "vp",
    eps_0: float = EPS_0,
    eps_S: float = EPS_S,
    init: ArrayLike | None = None,
    n_starts: int = 1,
    rng: np.random.Generator | None = None,
    max_iter: int = 2000,
) -> ScheduleDesign:
    """Find the S-step schedule that minimises the distance between output and data.

    Parameters
    ----------
    lam : array_like, shape (d,)
        Variances of the data's modes, positive.
    S : int
        Number of steps; ``S - 1`` levels are free.
    loss : {"w2", "kl", "kl_reverse", "weighted"}
        ``W2^2``; KL(data || output); KL(output || data); ``sum_i weights_i |lam_i - var_i|``.
    mu0_spectral : array_like, shape (d,), optional
        Mean of the data in the eigenbasis (may be complex); zero by default.
    weights : array_like, shape (d,), optional
        Weights of the "weighted" loss.
    eta : float in [0, 1]
        Sampler: 0 is DDIM, 1 is DDPM.
    process : {"vp", "ve"}
        Process; VE uses the same range of sigma as VP.
    eps_0, eps_S : float
        Ends: ``alpha_bar_0 = 1 - eps_0`` and ``alpha_bar_S = eps_S``.
    init : array_like, optional
        A schedule of any length to start from (warm start across S); the limiting schedule by
        default.
    n_starts : int
        Number of starts; all but the first are random monotone schedules.
    rng : numpy.random.Generator, optional
        For the random starts; needed if ``n_starts > 1``.
    max_iter : int
        Bound on the iterations of one run.

    Returns
    -------
    ScheduleDesign

    Warns
    -----
    UserWarning
        Where more than a quarter of the modes lie below the noise of the clean end, ``eps_0``: there
        local minima exist, with levels that fall together (give several starts, or a cleaner end);
        and where steps were left out because their levels did.
    """
    problem = make_problem(
        lam,
        loss=loss,
        mu0_spectral=mu0_spectral,
        weights=weights,
        eta=eta,
        process=process,
        eps_0=eps_0,
        eps_S=eps_S,
    )
    for name, number in (("S", S), ("n_starts", n_starts), ("max_iter", max_iter)):
        whole(number, name)
    if n_starts > 1 and rng is None:
        raise ValueError(f"rng is needed for random starts, n_starts = {n_starts}")
    sigma_0, sigma_S = sigma_range(eps_0, eps_S)
    faint = np.count_nonzero(np.asarray(lam) < sigma_0**2)
    if faint > np.size(lam) / 4:
        words = f"lam: {faint} modes lie below the noise of the clean end, eps_0 = {eps_0:g}"
        warnings.warn(
            f"{words}: local minima exist; use n_starts, or a smaller eps_0", stacklevel=2
        )
    if init is None:
        first = limit_schedule(step_density(problem, sigma_0, sigma_S, S), S)
    else:
        first = _resample(init, S, process, sigma_0, sigma_S)
    starts = [first]
    for _ in range(n_starts - 1):
        cuts = np.sort(rng.uniform(np.log(sigma_0), np.log(sigma_S), S - 1))
        starts.append(np.exp(np.concatenate([[np.log(sigma_0)], cuts, [np.log(sigma_S)]])))
    runs = [_minimise(problem, start, max_iter) for start in starts] if S > 1 else []
    if not runs:
        runs = [(first, np.array([objective(problem, first)]), 0, 1)]
    finals = np.array([_value_and_grad(problem, run[0])[0] for run in runs])
    sigma, history, n_iter, n_eval = runs[int(np.argmin(finals))]
    sigma = _apart(sigma)
    merged = S + 1 - sigma.size
    if merged:
        words = "have levels that fall together at the optimum, and are left out"
        warnings.warn(f"S: {merged} of {S} steps {words}", stacklevel=2)
    value, grad = _value_and_grad(problem, sigma)
    free = (grad * sigma)[1:-1]
    schedule = sigma
    if process == "vp":
        schedule = sigma_to_alpha_bar(sigma)
        schedule[[0, -1]] = 1.0 - eps_0, eps_S
    return ScheduleDesign(
        schedule,
        sigma,
        value,
        history,
        float(np.max(np.abs(free), initial=0.0) / value),
        n_iter,
        n_eval,
        finals,
        merged,
    )


def _apart(sigma: Array) -> Array:
    """Leave out levels that an optimum put, up to rounding, where their neighbour is."""
    # Levels this close cannot be told apart as alpha_bar either.
    kept = [sigma[0]]
    for level in sigma[1:-1]:
        if np.log(level / kept[-1]) > 1e-9 and np.log(sigma[-1] / level) > 1e-9:
            kept.append(level)
    return np.array([*kept, sigma[-1]])


def design_family(
    lam: ArrayLike, steps: Sequence[int], **kwargs: object
) -> dict[int, ScheduleDesign]:
    """Design schedules for several step counts, each started from the one before.

    Parameters
    ----------
    lam : array_like
        Variances of the data's modes.
    steps : sequence of int
        Step counts, in the order in which they are solved.
    **kwargs
        Passed to `design_schedule`.
    """
    designs: dict[int, ScheduleDesign] = {}
    previous = None
    for S in [whole(S, "steps") for S in steps]:
        if previous is not None:
            kwargs["init"] = designs[previous].schedule
        designs[S] = design_schedule(lam, S, **kwargs)
        previous = S if S > 1 else None
    return designs


def _resample(init: ArrayLike, S: int, process: Process, sigma_0: float, sigma_S: float) -> Array:
    """Read a schedule at S + 1 equally spaced positions of s / S, with the ends of the design."""
    if process == "vp":
        log_sigma = -0.5 * alpha_bar_to_log_snr(validate_alpha_bar(init, "init"))
    else:
        log_sigma = np.log(validate_sigma(init, "init", allow_zero=False))
    read = np.interp(np.linspace(0, 1, S + 1), np.linspace(0, 1, len(log_sigma)), log_sigma)
    unit = (read - read[0]) / (read[-1] - read[0])
    return np.exp(np.log(sigma_0) + unit * (np.log(sigma_S) - np.log(sigma_0)))
