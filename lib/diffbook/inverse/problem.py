"""A Gaussian prior with a linear degradation, one frequency at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._checks import NON_NEGATIVE, complexes, real, reals, whole
from diffbook.priors.gaussian import GaussianPrior

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Problem:
    """An inverse problem in the Fourier domain; made by `make_problem`.

    Parameters
    ----------
    lam : ndarray, shape (m,)
        Prior variance of every mode.
    h : ndarray, shape (m,)
        Transfer function of the degradation, complex or real.
    sigma_y : float
        Standard deviation of the measurement's white noise, non-negative.
    mu0 : ndarray, shape (m,)
        Prior mean of every mode; only its modulus enters the measures.
    count : ndarray, shape (m,)
        Number of modes that each entry stands for.
    """

    lam: Array
    h: NDArray
    sigma_y: float
    mu0: NDArray
    count: Array

    @property
    def S_y(self) -> Array:
        """Variance of the measurement, ``|h|^2 lam + sigma_y^2``."""
        return np.abs(self.h) ** 2 * self.lam + self.sigma_y**2

    @property
    def K(self) -> NDArray:
        """Wiener gain; the posterior mean is ``mu0 + K (y - h mu0)``."""
        return ratio(self.lam * np.conj(self.h), self.S_y)

    @property
    def lam_p(self) -> Array:
        """Posterior variance ``lam sigma_y^2 / S_y``; ``lam`` where nothing is measured."""
        S_y = self.S_y
        share = np.divide(self.sigma_y**2, S_y, out=np.ones_like(S_y), where=S_y > 0)
        return self.lam * share

    @property
    def rho(self) -> Array:
        """Share of the prior variance that the measurement removes, in [0, 1]."""
        return ratio(np.abs(self.h) ** 2 * self.lam, self.S_y)

    @property
    def d(self) -> int:
        """Number of modes, repeated ones included."""
        return round(float(self.count.sum()))

    @property
    def mmse(self) -> float:
        """Smallest mean squared error, the sum of the posterior variances."""
        return float(self.count @ self.lam_p)

    def slope(self, alpha_bar_t: ArrayLike) -> Array:
        """Slope of the Wiener denoiser, ``w = sqrt(ab) lam / (ab lam + 1 - ab)``."""
        ab = reals(alpha_bar_t, "alpha_bar_t", "[0, 1]")
        return ratio(np.sqrt(ab) * self.lam, ab * self.lam + 1.0 - ab)

    def var_x0(self, alpha_bar_t: ArrayLike) -> Array:
        """``Var(x0 | x_t) = lam (1 - ab) / (ab lam + 1 - ab)``."""
        ab = reals(alpha_bar_t, "alpha_bar_t", "[0, 1]")
        return ratio(self.lam * (1.0 - ab), ab * self.lam + 1.0 - ab)

    def mean_given(self, y: ArrayLike) -> NDArray:
        """Posterior mean of measurements (n, m)."""
        return self.mu0 + self.K * (complexes(y, "y") - self.h * self.mu0)


def ratio(a: ArrayLike, b: ArrayLike) -> NDArray:
    """Divide by b >= 0, with 0 where b = 0: a mode that is neither present nor measured."""
    a, b = np.broadcast_arrays(complexes(a, "a"), reals(b, "b", "[0, inf]"))
    return np.divide(a, b, out=np.zeros(a.shape, np.result_type(a, b)), where=b > 0)


def make_problem(
    prior: GaussianPrior | ArrayLike, h: ArrayLike, sigma_y: float, mu0: ArrayLike = 0.0
) -> Problem:
    """Put a prior and a degradation together.

    Parameters
    ----------
    prior : GaussianPrior or array_like
        Stationary prior, or the variances of its modes.
    h : array_like
        Transfer function, of the spectrum's shape (or one number).
    sigma_y : float
        Standard deviation of the measurement noise.
    mu0 : array_like
        Spectral mean, only if `prior` is an array.
    """
    if isinstance(prior, GaussianPrior):
        if prior.basis is not None:
            raise ValueError("prior must be stationary (diagonal in the Fourier basis)")
        if np.any(mu0):
            raise ValueError("mu0 is for a prior given as variances; a GaussianPrior has its own")
        lam, mu0 = prior.lam, prior.mu0_spectral
    else:
        lam = reals(prior, "prior", NON_NEGATIVE, hint="variances")
    h, mu0 = (
        complexes(value, name, shape=lam.shape if np.ndim(value) else ())
        for name, value in (("h", h), ("mu0", mu0))
    )
    sigma_y = real(sigma_y, "sigma_y", NON_NEGATIVE)
    flat = [np.array(np.broadcast_to(v, lam.shape)).ravel() for v in (lam, h, mu0)]
    return Problem(flat[0], flat[1], sigma_y, flat[2], np.ones(lam.size))


def _grouped(problem: Problem, group: NDArray[np.intp]) -> Problem:
    """Average the modes of every group, keeping their total power."""
    count = np.bincount(group, problem.count)

    def mean(values: Array) -> Array:
        return np.bincount(group, problem.count * values) / count

    h = np.sqrt(mean(np.abs(problem.h) ** 2))
    mu0 = np.sqrt(mean(np.abs(problem.mu0) ** 2))
    return Problem(mean(problem.lam), h, problem.sigma_y, mu0, count)


def merged(problem: Problem) -> Problem:
    """Merge modes of equal ``(lam, |h|)``, equal to 11 significant digits.

    Real signals have their modes in pairs, isotropic images in groups of eight. Every measure of
    this module is the same for the merged problem; ``h`` becomes its modulus (a phase of ``h`` can
    be moved into y) and ``mu0`` the root mean square of its group.
    """
    keys = []
    for values in (problem.lam, np.abs(problem.h)):
        # Smaller values than this share of the largest one carry round-off, not information.
        floored = np.maximum(values, max(1e-14 * values.max(), 1e-250))
        digits = 10 - np.floor(np.log10(floored)).astype(int)
        keys.append(np.round(floored * 10.0**digits) / 10.0**digits)
    group = np.unique(np.stack(keys, axis=1), axis=0, return_inverse=True)[1].ravel()
    return _grouped(problem, group)


def binned(problem: Problem, n_bins: int = 256) -> Problem:
    """Group modes of similar prior variance, for a cheap approximate design on large images.

    Parameters
    ----------
    n_bins : int
        Number of intervals of equal width in ``log lam`` (and as many in ``log |h|^2 lam``) that
        modes are sorted into; empty ones are dropped.
    """
    n_bins = whole(n_bins, "n_bins")
    keys = []
    for power in (problem.lam, np.abs(problem.h) ** 2 * problem.lam):
        floor = max(1e-10 * power.max(), 1e-3 * problem.sigma_y**2, np.finfo(float).tiny)
        x = np.log(np.maximum(power, floor))
        width = max(np.ptp(x), 1e-12) / n_bins
        keys.append(np.minimum(((x - x.min()) / width).astype(int), n_bins - 1))
    group = np.unique(np.stack(keys, axis=1), axis=0, return_inverse=True)[1].ravel()
    return _grouped(problem, group)
