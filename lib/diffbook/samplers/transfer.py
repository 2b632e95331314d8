"""Spectral transfer functions of diffusion samplers driven by the optimal Gaussian denoiser.

With a Gaussian prior every update of DDIM and DDPM is affine and commutes with the covariance.
In the covariance's eigenbasis the whole sampler is therefore one number per mode,

    x0_hat = D1 * x_S + D2 * mu0 + noise,

and its output is exactly Gaussian. This module gives ``D1``, ``D2``, the output variance, every
intermediate state, and the limit of infinitely many steps, for the family of samplers between
DDIM (``eta = 0``) and DDPM (``eta = 1``) and for VP and VE processes.

Sources: Benita, Elad, Keshet 2025 (arXiv 2502.00180), Sections 3.3-3.4 and appendices on DDPM and
VE; the eta family is Song, Meng, Ermon 2021 (arXiv 2010.02502), eq. 12 and 16. Everything is
computed in the coordinates ``y = x / sqrt(alpha_bar)``, where both processes read
``y_s = x0 + sigma_s noise`` and one step is

    y_{s-1} - mu0 = (lam + sigma_s sqrt(sigma_{s-1}^2 - tau_s^2)) / (lam + sigma_s^2) (y_s - mu0)
                    + tau_s z,        tau_s = eta sigma_{s-1} sqrt(1 - sigma_{s-1}^2 / sigma_s^2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._checks import complexes, real
from diffbook.schedules.levels import (
    Process,
    alpha_bar_to_sigma,
    check_mean,
    check_modes,
    sigma_and_scale,
    validate_alpha_bar,
)

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Transfer:
    """Transfer functions of a sampler, for every mode and every state from noise to data.

    All arrays have shape (S + 1, d); row ``s`` describes the state ``x_s``. Row ``S`` is the
    initial noise (gain 1), row 0 the output.

    Parameters
    ----------
    gain : ndarray
        Response of ``x_s`` to the initial noise ``x_S``. Real: the sampler's gain carries its
        sign, see :attr:`phase`.
    mean_gain : ndarray
        Response of ``E[x_s]`` to the mean ``mu0`` (the initial noise has mean zero).
    var : ndarray
        Variance of ``x_s``.
    lam : ndarray, shape (d,)
        Variance of the data's modes.
    """

    gain: Array
    mean_gain: Array
    var: Array
    lam: Array

    @property
    def D1(self) -> Array:
        """Gain from the initial noise to the output, shape (d,)."""
        return self.gain[0]

    @property
    def D2(self) -> Array:
        """Gain from the mean ``mu0`` to the output's mean, shape (d,)."""
        return self.mean_gain[0]

    @property
    def std(self) -> Array:
        """Standard deviation of the output's modes, shape (d,)."""
        return np.sqrt(self.var[0])

    @property
    def phase(self) -> Array:
        """Phase of ``D1`` in radians, shape (d,): 0, or pi where a gain is negative."""
        return np.where(self.D1 < 0.0, np.pi, 0.0)

    def mean_error(self, mu0_spectral: ArrayLike) -> NDArray:
        """Error ``(D2 - 1) mu0`` of the output's mean per mode."""
        return (self.D2 - 1.0) * check_mean(mu0_spectral, self.lam.size)

    def output_gaussian(
        self, mu0_spectral: ArrayLike, basis: ArrayLike | None = None
    ) -> tuple[NDArray, NDArray]:
        """Mean and covariance of the output.

        Parameters
        ----------
        mu0_spectral : array_like, shape (d,)
            Mean of the data in the eigenbasis.
        basis : array_like, shape (d, d), optional
            Eigenvectors as columns. Without it the result stays in the eigenbasis, where the
            covariance is diagonal.
        """
        d = self.lam.size
        mean, cov = self.D2 * check_mean(mu0_spectral, d), np.diag(self.var[0])
        if basis is None:
            return mean, cov
        basis = complexes(basis, "basis", shape=(d, d))
        return basis @ mean, (basis * self.var[0]) @ basis.conj().T


def step_coefficients(schedule: ArrayLike, process: Process, eta: float) -> Array:
    """Coefficients of ``x_{s-1} = a x_s + b x0_hat + c z``, shape (S, 3), row ``s - 1``."""
    sigma, scale = sigma_and_scale(schedule, process)
    eta = real(eta, "eta", "[0, 1]", "0 is DDIM, 1 is DDPM")
    low, high = sigma[:-1], sigma[1:]
    ratio2 = (low / high) ** 2
    c = eta * low * np.sqrt(1.0 - ratio2)
    # sqrt(low^2 - c^2) without the cancellation of a long stochastic step.
    keep = low / high * np.sqrt(1.0 - eta**2 + eta**2 * ratio2)
    a = keep * scale[:-1] / scale[1:]
    return np.stack([a, scale[:-1] * (1.0 - keep), c * scale[:-1]], axis=1)


def transfer(
    lam: ArrayLike, schedule: ArrayLike, *, eta: float = 0.0, process: Process = "vp"
) -> Transfer:
    """Transfer functions of the sampler, all states included.

    Parameters
    ----------
    lam : array_like, shape (d,)
        Variance of the data's modes; other shapes are flattened.
    schedule : array_like, shape (S + 1,)
        ``alpha_bar`` for VP, ``sigma`` for VE, clean end first.
    eta : float in [0, 1]
        0 for DDIM, 1 for DDPM.
    process : {"vp", "ve"}
        VP starts from N(0, I), VE from N(0, sigma_S^2 I).

    Returns
    -------
    Transfer
    """
    lam = check_modes(lam, eta, process)
    sigma, scale = sigma_and_scale(schedule, process)
    # Gain of y_s - mu0 and added variance of every step, in the coordinates y = x / sqrt(alpha_bar).
    low, high = sigma[:-1], sigma[1:]
    ratio2 = (low / high) ** 2
    tau2 = (eta * low) ** 2 * (1.0 - ratio2)
    # sqrt(low^2 - tau2) without the cancellation of a long stochastic step.
    keep = (high * low * np.sqrt(1.0 - eta**2 + eta**2 * ratio2))[:, None]
    gains = (lam + keep) / (lam + high[:, None] ** 2)
    S = len(tau2)
    gain = np.ones((S + 1, lam.size))
    var = np.empty_like(gain)
    var[S] = 1.0 / scale[S] ** 2 if process == "vp" else sigma[S] ** 2
    for s in range(S, 0, -1):
        gain[s - 1] = gains[s - 1] * gain[s]
        var[s - 1] = gains[s - 1] ** 2 * var[s] + tau2[s - 1]
    # A sampler started at the exact mean sqrt(alpha_bar_S) mu0 would stay exact; starting at zero
    # it lacks that part, damped by the gain. This is D2 = sqrt(ab_0) - sqrt(ab_S) D1 at s = 0.
    mean_gain = scale[:, None] * (1.0 - gain)
    gain = gain * (scale / scale[S])[:, None]
    return Transfer(gain, mean_gain, var * scale[:, None] ** 2, lam)


def ddim_gain(lam: ArrayLike, alpha_bar: ArrayLike) -> Array:
    """``D1`` of DDIM as exact flow times a product of cosines, shape (d,).

    With ``tan(phi_s) = sigma_s / sqrt(lam)`` the product of the paper's theorem telescopes to
    ``D1 = sqrt((ab_0 lam + 1 - ab_0) / (ab_S lam + 1 - ab_S)) prod_s cos(phi_s - phi_{s-1})``.
    An independent form of ``transfer(lam, alpha_bar).D1``.
    """
    lam = check_modes(lam, 0.0, "vp")
    alpha_bar = validate_alpha_bar(alpha_bar, allow_one=True)
    phi = np.arctan2(alpha_bar_to_sigma(alpha_bar)[:, None], np.sqrt(lam))
    return flow_gain(lam, alpha_bar) * np.prod(np.cos(np.diff(phi, axis=0)), axis=0)


def flow_gain(lam: ArrayLike, alpha_bar: ArrayLike) -> Array:
    """Gain of the exact probability-flow ODE between the ends of a VP schedule, shape (d,)."""
    lam = check_modes(lam, 0.0, "vp")
    ab = validate_alpha_bar(alpha_bar, allow_one=True)[[0, -1]]
    ends = ab[:, None] * lam + 1.0 - ab[:, None]
    return np.sqrt(ends[0] / ends[1])
