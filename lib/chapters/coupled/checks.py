"""Processes in the coordinates of their papers, against the one chain of this chapter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from diffbook import coupled, schedules
from diffbook.samplers.transfer import step_coefficients

#: Mean and variance of the signals that the chains denoise exactly.
MEAN, LAM = 0.7, 0.3


def denoise(v: NDArray, sigma: float, _cond: object = None) -> NDArray:
    """Exact estimate of a normal signal from v = x0 + sigma eps."""
    return MEAN + LAM / (LAM + sigma**2) * (v - MEAN)


def native_chains(seed: int, T: int = 150) -> dict[str, float]:
    """Relative difference of VP, CARD and OU-VE as their papers step, and the chain in v; same noise."""
    ab = np.concatenate([[1.0], schedules.cosine_chain(T)])
    times = np.concatenate([[0.0], np.linspace(0.03, 1.0, 50)])
    scale, std = schedules.ouve_kernel(times)
    mu = np.random.default_rng(seed).standard_normal((4, 3))
    return {
        "VP": _difference(np.sqrt(ab), np.sqrt(1 - ab), 0 * mu, _ddpm(ab), seed),
        "CARD": _difference(np.sqrt(ab), np.sqrt(1 - ab), mu, _card(ab), seed),
        "OU-VE": _difference(scale, std, mu, _conditional(scale, std), seed),
    }


def _difference(m: NDArray, k: NDArray, mu: NDArray, step: Callable, seed: int) -> float:
    """Run one process in its own coordinates, and as the chain in v that starts at mu."""
    noise, S = coupled.batch_noise(seed), len(m) - 1
    switches = coupled.Switches(sampler="ancestral", start="observation")
    net = coupled.Coupling(denoise, None, lambda x: x)
    ours = coupled.enhance(net, mu, k / m, noise=noise, switches=switches).signal
    zeta = mu + k[-1] * noise("signal", 0, S, mu)
    for s in range(S, 0, -1):
        hat = denoise(mu + (zeta - mu) / m[s], k[s] / m[s])
        of_hat, of_zeta, of_mu, spread = step(s)
        zeta = of_hat * hat + of_zeta * zeta + of_mu * mu
        zeta = zeta + spread * noise("signal", 0, s - 1, mu)
    return float(np.abs(zeta - ours).max() / np.abs(ours).max())


def _ddpm(ab: NDArray) -> Callable:
    """Coefficients of Ho, Jain, Abbeel 2020, eq. 7, of estimate, state, prior mean and noise."""

    def step(s: int) -> tuple[float, float, float, float]:
        beta = 1 - ab[s] / ab[s - 1]
        of_hat = np.sqrt(ab[s - 1]) * beta / (1 - ab[s])
        of_state = np.sqrt(1 - beta) * (1 - ab[s - 1]) / (1 - ab[s])
        return of_hat, of_state, 0.0, np.sqrt(beta * (1 - ab[s - 1]) / (1 - ab[s]))

    return step


def _card(ab: NDArray) -> Callable:
    """Coefficients of Han, Zheng, Zhou 2022: DDPM's, and their third one for the prior mean."""

    def step(s: int) -> tuple[float, float, float, float]:
        of_hat, of_state, _, spread = _ddpm(ab)(s)
        root = np.sqrt(ab[s] / ab[s - 1])
        of_mu = 1 + (np.sqrt(ab[s]) - 1) * (root + np.sqrt(ab[s - 1])) / (1 - ab[s])
        return of_hat, of_state, of_mu, spread

    return step


def _conditional(m: NDArray, k: NDArray) -> Callable:
    """Coefficients by the conditional of two joint Gaussians, zeta at s - 1 given x0 and zeta at s."""

    def step(s: int) -> tuple[float, float, float, float]:
        decay = m[s] / m[s - 1]
        gain = decay * k[s - 1] ** 2 / k[s] ** 2
        of_hat = m[s - 1] - gain * m[s]
        spread = np.sqrt(k[s - 1] ** 2 * (1 - gain * decay))
        return of_hat, gain, 1 - of_hat - gain, spread

    return step


def unit_variance(sigma: NDArray, sampler: str) -> float:
    """Variance of what a sampler makes of standard normal data with the exact denoiser."""
    a, b, c = step_coefficients(sigma, "ve", 0.0 if sampler == "ddim" else 1.0).T
    gain = a + b / (1 + sigma[1:] ** 2)
    variance = sigma[-1] ** 2
    for s in range(len(gain), 0, -1):
        variance = gain[s - 1] ** 2 * variance
        variance += 0.0 if sampler == "zero-variance" else c[s - 1] ** 2
    return float(variance)


def z_score(differences: NDArray) -> float:
    """Mean of paired differences in standard errors; 0 where there are none."""
    spread = differences.std(ddof=1)
    return float(differences.mean() / spread * np.sqrt(len(differences))) if spread else 0.0
