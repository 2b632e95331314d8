"""Diffusion samplers as pure functions of a denoiser, a starting noise and a schedule.

All samplers share one signature,

    sample(denoiser, x_T, schedule, *, process="vp", noise=None, callback=None,
           keep_trajectory=False) -> Result

and run on NumPy and torch arrays alike: they only form linear combinations. The denoiser follows
one protocol, ``denoiser(x_t, level_t, cond=None) -> x0_hat``, where ``level_t`` is ``alpha_bar_t``
for a VP and ``sigma_t`` for a VE process. Conditioning and devices are the denoiser's business.

Sources: Song, Meng, Ermon 2021 (DDIM, arXiv 2010.02502); Ho, Jain, Abbeel 2020 (DDPM, arXiv
2006.11239); Karras et al. 2022 (Heun, arXiv 2206.00364, Algorithm 1); Lu et al. 2022 (DPM-Solver++,
arXiv 2211.01095, Algorithm 2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import ArrayLike, NDArray

from diffbook.samplers.transfer import Process, sigma_and_scale, step_coefficients
from diffbook.schedules.levels import alpha_bar_to_log_snr, alpha_bar_to_sigma, validate_alpha_bar

Denoiser = Callable[..., Any]
Noise = Callable[[int, Any], Any]
"""``noise(s, x) -> z``: the standard normal noise of the step from s to s - 1, like ``x``."""
Callback = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, eq=False)
class Result:
    """What a sampler returns.

    Parameters
    ----------
    sample : array, shape (n, *shape)
        State at the clean end.
    trajectory : list of array or None
        States from ``x_S`` to ``x_0`` (S + 1 of them) if they were asked for.
    nfe : int
        Number of denoiser calls.
    """

    sample: Any
    trajectory: list[Any] | None
    nfe: int


# --- noise ------------------------------------------------------------------------------------


def initial_noise(seeds: Iterable[int], shape: tuple[int, ...], like: Any = None) -> Any:
    """Draw standard normal noise with one generator per sample.

    Parameters
    ----------
    seeds : iterable of int
        One seed per sample. A sample's noise depends on its own seed only, not on the batch it is
        drawn in nor on the device.
    shape : tuple of int
        Shape of one sample.
    like : array, optional
        Array whose kind, dtype and device are wanted; float64 NumPy by default.

    Returns
    -------
    array, shape (n, *shape)
    """
    noise = np.stack([np.random.default_rng(s).standard_normal(shape) for s in seeds])
    return noise if like is None else _like(noise, like)


def step_noise(seeds: Iterable[int]) -> Noise:
    """Make the noise for the steps of a stochastic sampler, one independent stream per sample and step.

    Parameters
    ----------
    seeds : iterable of int
        One seed per sample, which may be those of `initial_noise`: the streams differ.
    """
    seeds = list(seeds)

    def noise(s: int, x: Any) -> Any:
        if len(seeds) != x.shape[0]:
            raise ValueError(f"noise has {len(seeds)} seeds for a batch of {x.shape[0]}")
        draws = [np.random.default_rng([seed, s]).standard_normal(x.shape[1:]) for seed in seeds]
        return _like(np.stack(draws), x)

    return noise


def _like(values: NDArray, x: Any) -> Any:
    return array_namespace(x).asarray(values, dtype=x.dtype, device=device(x))


# --- samplers ---------------------------------------------------------------------------------


def ddim(
    denoiser: Denoiser,
    x_T: Any,
    schedule: ArrayLike,
    *,
    process: Process = "vp",
    eta: float = 0.0,
    noise: Noise | None = None,
    callback: Callback | None = None,
    keep_trajectory: bool = False,
) -> Result:
    """Sample with DDIM, or with any member of its family up to DDPM.

    Parameters
    ----------
    denoiser : callable
        ``denoiser(x_t, level_t, cond=None) -> x0_hat``.
    x_T : array, shape (n, *shape), NumPy or torch
        Initial noise: N(0, I) for VP, N(0, sigma_S^2 I) for VE.
    schedule : array_like, shape (S + 1,)
        ``alpha_bar`` (VP) or ``sigma`` (VE), clean end first.
    process : {"vp", "ve"}
        What the schedule holds.
    eta : float in [0, 1]
        0 is deterministic DDIM (Euler's method on the probability-flow ODE in VE coordinates), 1
        is DDPM's ancestral sampler with the variance ``beta_tilde``.
    noise : callable, optional
        ``noise(s, x)``, needed if ``eta > 0``; see `step_noise`.
    callback : callable, optional
        Called after every step with ``{"s", "x", "level", "x0_hat"}``.
    keep_trajectory : bool
        Whether all states are kept.

    Returns
    -------
    Result

    Raises
    ------
    ValueError
        Naming the argument at fault, before any denoiser call.
    """
    if not 0.0 <= eta <= 1.0:
        raise ValueError(f"eta must lie in [0, 1] (0 is DDIM, 1 is DDPM), got {eta!r}")
    if eta > 0.0 and noise is None:
        raise ValueError("noise is needed when eta > 0; use step_noise(seeds)")
    coefficients = step_coefficients(schedule, process, eta).tolist()
    levels, x = _start(x_T, schedule)
    trajectory = [x] if keep_trajectory else None
    for s in range(len(coefficients), 0, -1):
        a, b, c = coefficients[s - 1]
        x0_hat = ask(denoiser, x, levels[s])
        # In place on the new array: the update must stay cheap beside the denoiser.
        x = a * x
        x += b * x0_hat
        if c > 0.0:
            x += c * same_shape("noise", noise(s, x), x)
        report(s - 1, x, levels, x0_hat, trajectory, callback)
    return Result(x, trajectory, len(coefficients))


def ddpm(denoiser: Denoiser, x_T: Any, schedule: ArrayLike, **kwargs: Any) -> Result:
    """Sample with DDPM's ancestral sampler: `ddim` with ``eta = 1``; needs ``noise``."""
    return ddim(denoiser, x_T, schedule, eta=1.0, **kwargs)


def heun(
    denoiser: Denoiser,
    x_T: Any,
    schedule: ArrayLike,
    *,
    process: Process = "vp",
    noise: Noise | None = None,
    callback: Callback | None = None,
    keep_trajectory: bool = False,
) -> Result:
    """Sample with Heun's second-order method (EDM's deterministic sampler).

    Two denoiser calls a step, one in a last step that ends at ``sigma = 0``. Parameters as in
    `ddim`; ``noise`` is not used.
    """
    sigma, scale = (v.tolist() for v in sigma_and_scale(schedule, process))
    levels, x = _start(x_T, schedule)
    trajectory, nfe = [x] if keep_trajectory else None, 0
    y = x / scale[-1]
    for s in range(len(levels) - 1, 0, -1):
        x0_hat = ask(denoiser, scale[s] * y, levels[s])
        nfe += 1
        slope = (y - x0_hat) / sigma[s]
        step = sigma[s - 1] - sigma[s]
        y_next = y + step * slope
        if sigma[s - 1] > 0.0:
            x0_hat = ask(denoiser, scale[s - 1] * y_next, levels[s - 1])
            nfe += 1
            y_next = y + 0.5 * step * (slope + (y_next - x0_hat) / sigma[s - 1])
        y = y_next
        report(s - 1, scale[s - 1] * y, levels, x0_hat, trajectory, callback)
    return Result(scale[0] * y, trajectory, nfe)


def dpmpp_2m(
    denoiser: Denoiser,
    x_T: Any,
    schedule: ArrayLike,
    *,
    process: Process = "vp",
    noise: Noise | None = None,
    callback: Callback | None = None,
    keep_trajectory: bool = False,
) -> Result:
    """Sample with DPM-Solver++(2M): second order with one denoiser call a step.

    The first step, and a last step that ends at ``sigma = 0``, are of first order. Parameters as
    in `ddim`; ``noise`` is not used.
    """
    sigma, scale = (v.tolist() for v in sigma_and_scale(schedule, process))
    levels, x = _start(x_T, schedule)
    trajectory = [x] if keep_trajectory else None
    y, previous, h_previous = x / scale[-1], None, None
    for s in range(len(levels) - 1, 0, -1):
        x0_hat = ask(denoiser, scale[s] * y, levels[s])
        shrink = sigma[s - 1] / sigma[s]
        target = x0_hat
        if sigma[s - 1] > 0.0:
            h = -np.log(shrink).item()  # step in log(1 / sigma)
            if previous is not None:
                target = x0_hat + 0.5 * h / h_previous * (x0_hat - previous)
            h_previous = h
        y = shrink * y + (1.0 - shrink) * target
        previous = x0_hat
        report(s - 1, scale[s - 1] * y, levels, x0_hat, trajectory, callback)
    return Result(scale[0] * y, trajectory, len(levels) - 1)


def _start(x_T: Any, schedule: ArrayLike) -> tuple[list[float], Any]:
    xp = array_namespace(x_T)
    if x_T.ndim < 2 or not xp.isdtype(x_T.dtype, "real floating"):
        raise ValueError(
            f"x_T must be a real floating array (n, *shape), got shape {tuple(x_T.shape)} and "
            f"dtype {x_T.dtype}"
        )
    return np.asarray(schedule, dtype=np.float64).tolist(), x_T


def ask(denoiser: Denoiser, x: Any, level: float) -> Any:
    """Call the denoiser, and refuse an answer of another shape."""
    return same_shape("denoiser", denoiser(x, level), x)


def same_shape(name: str, answer: Any, x: Any) -> Any:
    """Refuse an answer of another shape: it must not broadcast into the update."""
    if tuple(answer.shape) != tuple(x.shape):
        raise ValueError(
            f"{name} returned shape {tuple(answer.shape)} for an input of shape {tuple(x.shape)}"
        )
    return answer


def report(
    s: int,
    x: Any,
    levels: list[float],
    x0_hat: Any,
    trajectory: list[Any] | None,
    callback: Callback | None,
) -> None:
    """Keep the state after a step, and hand it to the callback."""
    if trajectory is not None:
        trajectory.append(x)
    if callback is not None:
        callback({"s": s, "x": x, "level": levels[s], "x0_hat": x0_hat})


# --- adapters ---------------------------------------------------------------------------------


def vp_from_ve(denoiser_ve: Denoiser) -> Denoiser:
    """VP denoiser (takes ``alpha_bar``) from a VE one (takes ``sigma``)."""

    def denoiser(x_t: Any, alpha_bar_t: float, cond: Any = None) -> Any:
        return denoiser_ve(x_t / alpha_bar_t**0.5, float(alpha_bar_to_sigma(alpha_bar_t)), cond)

    return denoiser


def ve_from_vp(denoiser_vp: Denoiser) -> Denoiser:
    """VE denoiser (takes ``sigma``) from a VP one (takes ``alpha_bar``)."""

    def denoiser(x_t: Any, sigma_t: float, cond: Any = None) -> Any:
        alpha_bar_t = 1.0 / (1.0 + sigma_t**2)
        return denoiser_vp(alpha_bar_t**0.5 * x_t, alpha_bar_t, cond)

    return denoiser


def x0_from_eps(eps_model: Denoiser) -> Denoiser:
    """VP denoiser from a model of the noise, ``eps_model(x_t, alpha_bar_t, cond) -> eps_hat``."""

    def denoiser(x_t: Any, alpha_bar_t: float, cond: Any = None) -> Any:
        eps_hat = eps_model(x_t, alpha_bar_t, cond)
        return (x_t - (1.0 - alpha_bar_t) ** 0.5 * eps_hat) / alpha_bar_t**0.5

    return denoiser


def x0_from_v(v_model: Denoiser) -> Denoiser:
    """VP denoiser from a v-model, ``v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x0``."""

    def denoiser(x_t: Any, alpha_bar_t: float, cond: Any = None) -> Any:
        v_hat = v_model(x_t, alpha_bar_t, cond)
        return alpha_bar_t**0.5 * x_t - (1.0 - alpha_bar_t) ** 0.5 * v_hat

    return denoiser


def at_timesteps(model: Denoiser, alpha_bar_train: ArrayLike) -> Denoiser:
    """Level-indexed model from one that takes integer time steps, ``model(x_t, t, cond)``.

    Parameters
    ----------
    model : callable
        Takes the index ``t`` into ``alpha_bar_train``.
    alpha_bar_train : array_like, shape (T,)
        Levels the model was trained on.

    Returns
    -------
    callable
        ``(x_t, alpha_bar_t, cond=None)``; raises ``ValueError`` for a level that is not one of the
        training levels (see `diffbook.schedules.levels.nearest_timesteps`).
    """
    train = alpha_bar_to_log_snr(validate_alpha_bar(alpha_bar_train, "alpha_bar_train"))

    def levelled(x_t: Any, alpha_bar_t: float, cond: Any = None) -> Any:
        gap = np.abs(train - alpha_bar_to_log_snr(alpha_bar_t))
        t = int(np.argmin(gap))
        if gap[t] > 1e-6:
            raise ValueError(
                f"alpha_bar_t = {alpha_bar_t!r} is no training level; the nearest is t = {t}. Use "
                "nearest_timesteps() to choose a schedule of training levels"
            )
        return model(x_t, t, cond)

    return levelled
