"""Zero-shot posterior sampling, one frequency at a time.

A stationary Gaussian prior N(mu0, Sigma0) and a circulant degradation ``y = H x0 + n`` are diagonal
in the same Fourier basis. There the exact posterior, and every sampler whose denoiser is the optimal
one and whose guidance is linear in the residual, are scalars per frequency. This module holds the
inverse problem (`Problem`), one unified form of a sampler's steps (`Steps`), their composition
(`compose`) and what follows from it: distances to the exact posterior, distortion, perception,
consistency, coverage.

A step of any method reads

    x_{s-1} = P_s x_s + Q_s x0_hat(x_s) + Y_s y + sqrt(C2_s) z,

and S of them are ``x0_hat = D1 x_S + D2 mu0 + D3 y + noise``, Gaussian with variance V given y.

Sources: the setting and the averaged Wasserstein objective, Benita, Elad, Keshet 2026 (arXiv
2602.07715); exact distances of guided samplers on Gaussian data, Pierret and Galerne 2025 (arXiv
2507.07008). The unified form, and everything that is derived from it, is this book's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from diffbook._checks import complexes, reals, whole
from diffbook.inverse._spectra import hermitian, mirrored
from diffbook.inverse.problem import Problem, make_problem
from diffbook.priors.gaussian import GaussianPrior
from diffbook.schedules.levels import validate_alpha_bar

Array = NDArray[np.float64]


# --- the unified recursion --------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Steps:
    """Coefficients of a sampler's steps; row ``s - 1`` is the step from s to s - 1.

    Parameters
    ----------
    P, Q : ndarray, shape (S, m)
        Weights of the state and of the denoiser's answer.
    Y : ndarray, shape (S, m)
        Weight of the measurement (complex if ``h`` is).
    C2 : ndarray, shape (S, m)
        Variance of the injected noise.
    start_y : ndarray, shape (m,)
        The sampler starts at ``start_y y + sqrt(start_var) z``; 0 for all methods but DDRM.
    start_var : ndarray, shape (m,)
        Variance of the starting noise.
    """

    P: Array
    Q: Array
    Y: NDArray
    C2: Array
    start_y: NDArray
    start_var: Array


@dataclass(frozen=True, eq=False)
class PosteriorTransfer:
    """A sampler as one filter, ``x0_hat = D1 z + D2 mu0 + D3 y + noise``, and its quality.

    ``D1`` is the gain from the starting noise, ``V`` the variance given y (injected noise
    included). All arrays have shape (m,); sums over modes count repeated ones.
    """

    problem: Problem
    D1: Array
    D2: NDArray
    D3: NDArray
    V: Array

    @property
    def mean_response(self) -> Array:
        """``D2 + h D3``: response of the average output to the prior mean; 1 is right."""
        return np.real(self.D2 + self.problem.h * self.D3)

    @property
    def bias(self) -> Array:
        """Squared error of the average output, per entry and for all its modes."""
        p = self.problem
        return p.count * (self.mean_response - 1.0) ** 2 * np.abs(p.mu0) ** 2

    @property
    def gain(self) -> Array:
        """Mean squared error of the response to the measurement, ``|D3 - K|^2 S_y``."""
        p = self.problem
        return p.count * np.abs(self.D3 - p.K) ** 2 * p.S_y

    @property
    def std(self) -> Array:
        """Squared error of the standard deviation, ``(sqrt(V) - sqrt(lam_p))^2``."""
        p = self.problem
        return p.count * (np.sqrt(self.V) - np.sqrt(p.lam_p)) ** 2

    @property
    def w2_squared(self) -> float:
        """Objective of the paper, W2^2 to the exact posterior, averaged over measurements."""
        return float(np.sum(self.bias + self.gain + self.std))

    @property
    def kl(self) -> float:
        """``KL(sampler || posterior)`` averaged over measurements, in nats.

        Infinite for a mode without output variance (a point estimate).
        """
        p = self.problem
        error = self.bias + self.gain
        with np.errstate(divide="ignore", invalid="ignore"):
            q = self.V / p.lam_p
            terms = 0.5 * (p.count * (q - 1.0 - np.log(q)) + error / p.lam_p)
        # A posterior without variance is infinitely far from anything but itself.
        agree = (self.V == 0) & (error == 0)
        return float(np.sum(np.where(p.lam_p > 0, terms, np.where(agree, 0.0, np.inf))))

    @property
    def mse(self) -> float:
        """``E |x0_hat - x0|^2 = mmse + bias + gain + sum V``."""
        return self.problem.mmse + float(
            np.sum(self.bias + self.gain) + self.problem.count @ self.V
        )

    @property
    def output_spectrum(self) -> Array:
        """Variance of the output's modes over measurements and noise, ``V + |D3|^2 S_y``."""
        return self.V + np.abs(self.D3) ** 2 * self.problem.S_y

    @property
    def perception(self) -> float:
        """W2^2 between the law of the data and the law of the output, over all measurements."""
        gap = np.sqrt(self.problem.lam) - np.sqrt(self.output_spectrum)
        return float(np.sum(self.bias) + self.problem.count @ gap**2)

    @property
    def consistency(self) -> float:
        """``E |y - H x0_hat|^2``."""
        p, response = self.problem, 1.0 - self.mean_response
        per_mode = np.abs(1.0 - p.h * self.D3) ** 2 * p.S_y + np.abs(p.h) ** 2 * (
            self.V + response**2 * np.abs(p.mu0) ** 2
        )
        return float(p.count @ per_mode)

    def coverage(self, level: ArrayLike) -> Array:
        """Share of true pixels inside the sampler's central intervals of a nominal level.

        The interval of a pixel is ``E[x0_hat | y] +- z s`` with the sampler's own standard
        deviation s; the pixel's true error has another one. Both are equal for all pixels, as
        everything is stationary (the error of the mean is spread evenly over them).
        """
        level, p = reals(level, "level", "(0, 1)"), self.problem
        s2 = p.count @ self.V / p.d
        e2 = (p.mmse + np.sum(self.bias + self.gain)) / p.d
        z = ndtri(0.5 + 0.5 * level)
        return 2.0 * ndtr(z * np.sqrt(s2 / e2)) - 1.0


def compose(problem: Problem, alpha_bar: ArrayLike, steps: Steps) -> PosteriorTransfer:
    """Compose the steps of a sampler into one filter.

    Parameters
    ----------
    problem : Problem
    alpha_bar : array_like, shape (S + 1,)
        Schedule, clean end first; ``alpha_bar[0]`` may be 1.
    steps : Steps
        Of S steps.
    """
    alpha_bar = _schedule_of(steps, alpha_bar)
    D1 = np.sqrt(steps.start_var)
    D2, D3, V = np.zeros(problem.lam.size), steps.start_y, steps.start_var
    slopes = problem.slope(alpha_bar[1:, None])
    for s in range(len(alpha_bar) - 1, 0, -1):
        w, Q = slopes[s - 1], steps.Q[s - 1]
        G = steps.P[s - 1] + Q * w
        D1, V = G * D1, G**2 * V + steps.C2[s - 1]
        D2 = G * D2 + Q * (1.0 - np.sqrt(alpha_bar[s]) * w)
        D3 = G * D3 + steps.Y[s - 1]
    return PosteriorTransfer(problem, D1, D2, D3, V)


def _schedule_of(steps: Steps, alpha_bar: ArrayLike) -> Array:
    """Check a schedule, and that the steps are as many as its own."""
    alpha_bar = validate_alpha_bar(alpha_bar, allow_one=True)
    S = len(alpha_bar) - 1
    if len(steps.P) != S:
        raise ValueError(f"steps has {len(steps.P)} rows for a schedule of {S} steps")
    return alpha_bar


def run(
    problem: Problem,
    alpha_bar: ArrayLike,
    steps: Steps,
    x_S: ArrayLike,
    y: ArrayLike,
    noise: Callable[[int], ArrayLike] | None = None,
) -> NDArray:
    """Run a sampler mode by mode, in the Fourier domain.

    Parameters
    ----------
    problem, alpha_bar, steps
        As in `compose`.
    x_S : array_like, shape (n, m)
        Spectrum of the standard normal starting noise.
    y : array_like, shape (n, m)
        Spectra of the measurements.
    noise : callable, optional
        ``noise(s)``: spectrum of the noise of the step from s to s - 1, needed if any is injected.

    Returns
    -------
    ndarray, shape (n, m)
    """
    alpha_bar = _schedule_of(steps, alpha_bar)
    if noise is None and np.any(steps.C2):
        raise ValueError("noise is needed: these steps inject noise")
    shape = (*np.shape(y)[:1], problem.lam.size)
    y, x_S = complexes(y, "y", shape=shape), complexes(x_S, "x_S", shape=shape)
    x = steps.start_y * y + np.sqrt(steps.start_var) * x_S
    for s in range(len(alpha_bar) - 1, 0, -1):
        w = problem.slope(alpha_bar[s])
        x0_hat = problem.mu0 + w * (x - np.sqrt(alpha_bar[s]) * problem.mu0)
        x = steps.P[s - 1] * x + steps.Q[s - 1] * x0_hat + steps.Y[s - 1] * y
        if np.any(steps.C2[s - 1]):
            x = x + np.sqrt(steps.C2[s - 1]) * np.asarray(noise(s))
    return x


# --- the exact posterior ----------------------------------------------------------------------


def posterior_prior(
    prior: GaussianPrior, h: ArrayLike, sigma_y: float, y: ArrayLike
) -> GaussianPrior:
    """Return the exact posterior of one measurement as a Gaussian of its own, N(mu_p, lam_p).

    Plain DDIM on it is the ideal posterior sampler, and chapter 1's schedule design applies to it.

    Parameters
    ----------
    prior : GaussianPrior
        Stationary prior.
    h : array_like
        Transfer function, of the signal's shape.
    sigma_y : float
        Standard deviation of the measurement noise.
    y : array_like, shape of a signal
        The measurement, in the signal domain.
    """
    p = make_problem(prior, hermitian(h, "h"), sigma_y)
    y = reals(y, "y", shape=prior.shape)
    mean = p.mean_given(prior.to_spectral(y[None]).ravel()).reshape(1, *prior.shape)
    lam_p = p.lam_p.reshape(prior.shape)
    return replace(
        GaussianPrior.from_spectrum(0.5 * (lam_p + mirrored(lam_p))),
        mu0=prior.from_spectral(mean)[0],
    )


def distortion_perception(problem: Problem, points: int = 101) -> dict[str, Array | float]:
    """Bounds of the distortion-perception plane of a Gaussian problem.

    Parameters
    ----------
    points : int
        Number of points on the curve, at least 2.

    Returns
    -------
    dict
        ``mse`` and ``perception`` (W2^2): the optimal trade-off, from the MMSE estimate (perception
        ``p_max``) to the best estimator with the right law (mse ``d_map``); ``d_min``, ``p_max``,
        ``d_map``, and ``d_posterior = 2 d_min``, the distortion of an exact posterior sample.

    Notes
    -----
    Source: Blau, Michaeli 2018 (arXiv 1711.06077); Freirich, Michaeli, Meir 2021 (arXiv 2107.02555):
    the optimal estimators lie on a geodesic, so the curve is a parabola in the W2 distance.
    """
    points = whole(points, "points", 2)
    # Spectrum of the MMSE estimate: lam - lam_p = rho lam, without the cancellation.
    p_max = float(problem.count @ (problem.lam * (1.0 - np.sqrt(problem.rho)) ** 2))
    share = np.linspace(1.0, 0.0, points)
    return {
        "mse": problem.mmse + (1.0 - share) ** 2 * p_max,
        "perception": share**2 * p_max,
        "d_min": problem.mmse,
        "p_max": p_max,
        "d_map": problem.mmse + p_max,
        "d_posterior": 2.0 * problem.mmse,
    }
