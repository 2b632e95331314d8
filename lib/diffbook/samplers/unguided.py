"""Diffusion samplers as pure functions of a denoiser, a starting noise and a schedule.

All samplers share one signature::

    sample(denoiser, x_T, schedule, *, process="vp", noise=None,
           callback=None, keep_trajectory=False) -> Result

and run on NumPy and torch arrays alike: they only form linear combinations. Each is a pair
(start, step) that `diffbook.samplers.protocol.walk` applies. The denoiser follows one protocol, ``denoiser(x_t, level_t, cond=None) -> x0_hat``, where ``level_t`` is ``alpha_bar_t``
for a VP and ``sigma_t`` for a VE process. Conditioning and devices are the denoiser's business.

Sources: Song, Meng, Ermon 2021 (DDIM, arXiv 2010.02502); Ho, Jain, Abbeel 2020 (DDPM, arXiv
2006.11239); Karras et al. 2022 (Heun, arXiv 2206.00364, Algorithm 1); Lu et al. 2022 (DPM-Solver++,
arXiv 2211.01095, Algorithm 2).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from diffbook.samplers.protocol import Callback, Denoiser, Noise, Result, Sampler, walk
from diffbook.samplers.transfer import step_coefficients
from diffbook.schedules.levels import Process, sigma_and_scale


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
    coefficients = step_coefficients(schedule, process, eta).tolist()
    if eta > 0.0 and noise is None:
        raise ValueError("noise is needed when eta > 0; use step_noise(seeds)")

    def step(s: int, x: Any, ask: Any, draw: Noise) -> tuple[Any, Any]:
        a, b, c = coefficients[s - 1]
        x0_hat = ask(s, x)
        # In place on the new array: the update must stay cheap beside the denoiser.
        x = a * x
        x += b * x0_hat
        if c > 0.0:
            x += c * draw(s, x)
        return x, x0_hat

    return walk(
        Sampler(lambda x_T: x_T, step), denoiser, x_T, schedule,
        noise=noise, callback=callback, keep_trajectory=keep_trajectory,
    )  # fmt: skip


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

    def start(x_T: Any) -> tuple[Any, Any]:
        return x_T, x_T / scale[-1]

    def step(s: int, state: tuple[Any, Any], ask: Any, draw: Noise) -> tuple[Any, Any]:
        _, y = state
        x0_hat = ask(s, scale[s] * y)
        slope = (y - x0_hat) / sigma[s]
        width = sigma[s - 1] - sigma[s]
        y_next = y + width * slope
        if sigma[s - 1] > 0.0:
            x0_hat = ask(s - 1, scale[s - 1] * y_next)
            y_next = y + 0.5 * width * (slope + (y_next - x0_hat) / sigma[s - 1])
        return (scale[s - 1] * y_next, y_next), x0_hat

    return walk(
        Sampler(start, step), denoiser, x_T, schedule,
        callback=callback, keep_trajectory=keep_trajectory,
    )  # fmt: skip


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

    def start(x_T: Any) -> tuple[Any, ...]:
        return x_T, x_T / scale[-1], None, None

    def step(s: int, state: tuple[Any, ...], ask: Any, draw: Noise) -> tuple[Any, Any]:
        _, y, previous, h_previous = state
        x0_hat, h = ask(s, scale[s] * y), h_previous
        shrink = sigma[s - 1] / sigma[s]
        target = x0_hat
        if sigma[s - 1] > 0.0:
            h = -np.log(shrink).item()  # step in log(1 / sigma)
            if previous is not None:
                target = x0_hat + 0.5 * h / h_previous * (x0_hat - previous)
        y = shrink * y + (1.0 - shrink) * target
        return (scale[s - 1] * y, y, x0_hat, h), x0_hat

    return walk(
        Sampler(start, step), denoiser, x_T, schedule,
        callback=callback, keep_trajectory=keep_trajectory,
    )  # fmt: skip
