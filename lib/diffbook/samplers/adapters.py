"""Other parametrisations and foreign models as denoisers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from diffbook._arrays import array_namespace
from diffbook._checks import real
from diffbook.samplers.protocol import Denoiser
from diffbook.schedules.levels import (
    alpha_bar_to_log_snr,
    alpha_bar_to_sigma,
    validate_alpha_bar,
)

# --- adapters ---------------------------------------------------------------------------------


def clipped(denoiser: Denoiser, low: float, high: float) -> Denoiser:
    """Denoiser whose answers are clipped to [low, high].

    Networks need it: at high noise an error of theirs is amplified by ``1 / sqrt(alpha_bar_t)``,
    and guidance feeds it back. It breaks the linearity that all closed forms rest on, and the
    gradient of a clipped value is zero.
    """
    if real(low, "low", "[-inf, inf]") >= real(high, "high", "[-inf, inf]"):
        raise ValueError(f"low must be below high, got {low!r} and {high!r}")

    def clip(x_t: Any, alpha_bar_t: float, cond: Any = None) -> Any:
        x0_hat = denoiser(x_t, alpha_bar_t, cond)
        return array_namespace(x0_hat).clip(x0_hat, low, high)

    return clip


# --- adapters ---------------------------------------------------------------------------------


def vp_from_ve(denoiser_ve: Denoiser) -> Denoiser:
    """VP denoiser (takes ``alpha_bar``) from a VE one (takes ``sigma``)."""

    def denoiser(x_t: Any, alpha_bar_t: float, cond: Any = None) -> Any:
        return denoiser_ve(x_t / alpha_bar_t**0.5, float(alpha_bar_to_sigma(alpha_bar_t)), cond)

    return denoiser


def x0_from_eps(eps_model: Denoiser) -> Denoiser:
    """VP denoiser from a model of the noise, ``eps_model(x_t, alpha_bar_t, cond) -> eps_hat``."""

    def denoiser(x_t: Any, alpha_bar_t: float, cond: Any = None) -> Any:
        eps_hat = eps_model(x_t, alpha_bar_t, cond)
        return (x_t - (1.0 - alpha_bar_t) ** 0.5 * eps_hat) / alpha_bar_t**0.5

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
        training levels (see `diffbook.schedules.families.nearest_timesteps`).
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
