"""A network of the noise, which knows numbered steps, as a denoiser at noise levels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook.samplers.adapters import x0_from_eps
from diffbook.samplers.protocol import Denoiser
from diffbook.schedules.families import ddpm_chain
from diffbook.schedules.levels import alpha_bar_to_log_snr, log_snr_to_alpha_bar, validate_alpha_bar

#: Number of noise levels that the paper's smaller model was trained on.
STEPS = 200


def noise_level_denoiser(
    net: Any, given: Any, alpha_bar_train: ArrayLike | None = None
) -> Denoiser:
    """Make a denoiser of a frame, at any noise level between the ends of training.

    Parameters
    ----------
    net : callable
        ``net(x, s, given) -> eps_hat`` with steps s (n,), real numbers from 0.
    given : Given
        What ``net.given`` made of the frame.
    alpha_bar_train : array_like, shape (S,), optional
        Level of each step of training, strictly decreasing; those of the paper, ``ddpm_chain(200)``.

    Returns
    -------
    callable
        ``(x_t, alpha_bar_t, cond=None) -> x0_hat``. A level between two of training is told as a step
        between theirs, linear in log-SNR; a ValueError refuses a level outside. A network that embeds
        steps by fast sines, as DiffAR's does, has to be given levels of its training: see
        `diffbook.schedules.nearest_timesteps`.
    """
    grid = _training_grid(alpha_bar_train)

    def eps(x_t: Any, alpha_bar_t: float, cond: Any = None) -> Any:
        s = float(_steps(alpha_bar_t, grid, "alpha_bar_t"))
        return net(x_t, x_t.new_full((len(x_t),), s), given)

    return x0_from_eps(eps)


def _training_grid(alpha_bar_train: ArrayLike | None) -> NDArray:
    """Log-SNR of the levels of training, noise end first: increasing, the steps fall."""
    levels = ddpm_chain(STEPS) if alpha_bar_train is None else alpha_bar_train
    return alpha_bar_to_log_snr(validate_alpha_bar(levels, "alpha_bar_train"))[::-1]


def _steps(alpha_bar: ArrayLike, grid: NDArray, name: str) -> NDArray:
    """Translate levels into steps, real numbers; what lies outside of training is refused."""
    log_snr = alpha_bar_to_log_snr(alpha_bar)
    # A schedule computed in another way differs from the levels of training by rounding.
    if np.any((log_snr < grid[0] - 1e-6) | (log_snr > grid[-1] + 1e-6)):
        low, high = log_snr_to_alpha_bar(grid[[0, -1]])
        raise ValueError(
            f"{name}: got levels from {np.min(alpha_bar):.6g} to {np.max(alpha_bar):.6g}, expected "
            f"those of training, from {low:.6g} to {high:.6g}, and a clean end before them"
        )
    return np.interp(log_snr, grid, np.arange(len(grid))[::-1])
