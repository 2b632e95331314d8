"""The exact denoiser of a Gaussian prior that also knows a measurement, and its Jacobian.

Seeing ``y = H x0 + sigma_y n`` turns a Gaussian prior into a Gaussian posterior. The denoiser
``E[x0 | x_t, y]`` is then the ordinary Wiener denoiser of that posterior: what every zero-shot
method tries to approximate without knowing the prior.

Source: the conditional mean of a joint Gaussian; see Pierret and Galerne 2025 (arXiv 2507.07008).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffbook._arrays import array_namespace, device
from diffbook.inverse.operators import Degradation, _filter, check_measurement, matrix
from diffbook.priors.colour import ChannelPriors
from diffbook.priors.gaussian import GaussianPrior
from diffbook.samplers.protocol import Denoiser

Vjp = Callable[[Any, float, Any], Any]
"""``vjp(x_t, alpha_bar_t, v) -> J^T v`` for the Jacobian J of the denoiser at ``x_t``."""


def conditional_denoiser(
    prior: GaussianPrior | ChannelPriors, operator: Degradation, y: Any, sigma_y: float
) -> Denoiser:
    """Exact denoiser ``E[x0 | x_t, y]`` of a Gaussian prior.

    Measuring first turns the prior N(mu0, Sigma0) into the posterior N(mu_p, Sigma_p) with
    ``K = Sigma0 H^T (H Sigma0 H^T + sigma_y^2 I)^{-1}``, ``mu_p = mu0 + K (y - H mu0)`` and
    ``Sigma_p = Sigma0 - K H Sigma0``; what is left is the denoiser of that Gaussian.

    Parameters
    ----------
    prior : GaussianPrior or ChannelPriors
        Mode by mode if it is stationary and H circulant, by dense matrices (d, d) otherwise.
    operator : Degradation
        H, for signals of the prior's shape (of one channel for `ChannelPriors`).
    y : array, shape (n, *measurement_shape), or (n, 3, *measurement_shape)
        Measurements, numpy or torch.
    sigma_y : float
        Standard deviation of the measurement noise; may be 0.

    Returns
    -------
    callable
        ``denoiser(x_t, alpha_bar_t, cond=None)`` for batches of n.
    """
    check_measurement(operator, y, sigma_y)
    if isinstance(prior, ChannelPriors):
        return _conditional_colour(prior, operator, y, sigma_y)
    if tuple(operator.shape) != tuple(prior.shape):
        raise ValueError(
            f"operator must be for signals of the prior's shape {prior.shape}, got one for "
            f"{tuple(operator.shape)}"
        )
    if y.ndim != 1 + len(operator.measurement_shape):
        raise ValueError(
            f"y must have shape (n, {', '.join(map(str, operator.measurement_shape))}), got "
            f"{tuple(y.shape)}"
        )
    mu0 = array_namespace(y).asarray(prior.mu0, dtype=y.dtype, device=device(y))
    centred = y - operator.forward(mu0)
    if prior.basis is None and operator.spectrum is not None:
        h, lam = operator.spectrum, prior.lam
        S_y = np.abs(h) ** 2 * lam + sigma_y**2
        # Without noise a mode that is not seen, or does not vary, has S_y = 0 and stays as it is.
        gain = np.divide(lam * h.conj(), S_y, out=np.zeros_like(h), where=S_y > 0)
        lam_p = np.divide(lam * sigma_y**2, S_y, out=lam.copy(), where=S_y > 0)
        posterior, shift = replace(prior, lam=lam_p), _filter(centred, gain)
    else:
        posterior, K = _dense_posterior(prior, operator, sigma_y)
        xp = array_namespace(y)
        K = xp.asarray(K.T.copy(), dtype=y.dtype, device=device(y))
        shift = xp.reshape(xp.reshape(centred, (y.shape[0], -1)) @ K, (-1, *prior.shape))
    residual_prior = replace(posterior, mu0=np.zeros(prior.shape))
    mu_p = mu0 + shift

    def denoiser(x_t: Any, alpha_bar_t: float, cond: Any = None) -> Any:
        if tuple(x_t.shape) != tuple(mu_p.shape):
            raise ValueError(f"x_t must have shape {tuple(mu_p.shape)}, got {tuple(x_t.shape)}")
        return mu_p + residual_prior.denoise(x_t - alpha_bar_t**0.5 * mu_p, alpha_bar_t)

    return denoiser


def _dense_posterior(
    prior: GaussianPrior, operator: Degradation, sigma_y: float
) -> tuple[GaussianPrior, NDArray]:
    """Posterior covariance in its eigenbasis, and the gain K (d, m)."""
    H, cov = matrix(operator), prior.covariance()
    # The pseudo-inverse serves the case without noise, where S_y may be singular.
    K = cov @ H.T @ np.linalg.pinv(H @ cov @ H.T + sigma_y**2 * np.eye(len(H)), hermitian=True)
    lam, basis = np.linalg.eigh(cov - K @ H @ cov)
    return replace(prior, lam=np.maximum(lam, 0.0), basis=basis), K


def _conditional_colour(
    prior: ChannelPriors, operator: Degradation, y: Any, sigma_y: float
) -> Denoiser:
    # H acts on each channel alone, so it commutes with the rotation, which leaves noise white.
    rotated = prior.to_channels(y)
    parts = [
        conditional_denoiser(channel, operator, rotated[:, i], sigma_y)
        for i, channel in enumerate(prior.priors)
    ]

    def denoiser(x_t: Any, alpha_bar_t: float, cond: Any = None) -> Any:
        x_t = prior.to_channels(x_t)
        answers = [part(x_t[:, i], alpha_bar_t) for i, part in enumerate(parts)]
        return prior.from_channels(array_namespace(x_t).stack(answers, axis=1))

    return denoiser


def gaussian_vjp(prior: GaussianPrior | ChannelPriors) -> Vjp:
    """``vjp`` of a Gaussian prior's denoiser, which is affine with a symmetric Jacobian."""

    def centred(one: GaussianPrior) -> GaussianPrior:
        return replace(one, mu0=np.zeros_like(one.mu0))

    if isinstance(prior, ChannelPriors):
        linear = replace(prior, priors=tuple(centred(one) for one in prior.priors))
    else:
        linear = centred(prior)
    return lambda x_t, alpha_bar_t, v: linear.denoise(v, alpha_bar_t)
