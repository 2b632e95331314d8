"""Gaussian mixtures with their exact denoiser: data that are not Gaussian and yet fully known.

For `x_t = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps` and `x0` from a Gaussian mixture, the posterior
given a component is Gaussian (the optimal denoiser of Benita, Elad, Keshet 2025, arXiv 2502.00180) and
the posterior of the component is the softmax of the marginal log-densities. So the posterior mean is
exact, without training.
"""

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from diffbook._arrays import check_signals
from diffbook._checks import ANY, NON_NEGATIVE, POSITIVE, generator, real, reals, whole
from diffbook._optional import need

# Signals denoised at a time: the coordinates of a chunk stay in the processor's cache.
_CHUNK = 256


@dataclass(frozen=True)
class GaussianMixture:
    """Mixture of K Gaussians in d dimensions, for signals of any shape.

    Parameters
    ----------
    weights
        Shape (K,), positive, sum 1.
    means
        Shape (K, d).
    covariances
        Shape (K, d, d), symmetric and positive definite.
    shape
        Shape of one signal; its size is d.

    Raises
    ------
    ValueError
        If shapes disagree, weights do not sum to one, or a covariance is not positive definite.
    """

    weights: NDArray
    means: NDArray
    covariances: NDArray
    shape: tuple[int, ...]

    def __post_init__(self):
        parts = (("weights", POSITIVE, 1), ("means", ANY, 2), ("covariances", ANY, 3))
        for name, interval, ndim in parts:
            object.__setattr__(self, name, reals(getattr(self, name), name, interval, ndim=ndim))
        k, d = self.means.shape
        if self.weights.shape != (k,) or self.covariances.shape != (k, d, d):
            raise ValueError(
                f"weights, means, covariances: got shapes {self.weights.shape}, {self.means.shape}, "
                f"{self.covariances.shape}, expected (K,), (K, d), (K, d, d)"
            )
        if prod(whole(n, "shape") for n in self.shape) != d:
            raise ValueError(f"shape: got {self.shape}, expected {d} elements in all")
        if abs(self.weights.sum() - 1.0) > 1e-9:
            raise ValueError("weights: expected positive numbers that sum to one")
        lowest = self._eigen[0].min()
        if lowest <= 0:
            raise ValueError(f"covariances: smallest eigenvalue is {lowest:.3g}, expected positive")

    @cached_property
    def _eigen(self) -> tuple[NDArray, NDArray]:
        return np.linalg.eigh(self.covariances)

    @classmethod
    def fitted(cls, x: NDArray, components: int = 10, floor: float = 1e-2, seed: int = 0):
        """Fit a mixture to signals x ``(n, *shape)`` by expectation maximisation (scikit-learn).

        Parameters
        ----------
        x
            Signals, batch first.
        components
            Number of Gaussians.
        floor
            Added to the diagonal of every covariance: pixels that never vary within a component would
            make it singular otherwise. In squared units of the signal.
        seed
            Seed of the initialisation.
        """
        need("sklearn", "data", "priors.GaussianMixture.fit")
        from sklearn.mixture import GaussianMixture as Fit

        x = np.atleast_1d(reals(x, "x"))
        whole(components, "components", 1, len(x), "no more than signals")
        real(floor, "floor", NON_NEGATIVE)
        whole(seed, "seed", 0)
        flat = x.reshape(len(x), -1)
        fit = Fit(components, covariance_type="full", reg_covar=floor, random_state=seed).fit(flat)
        weights = fit.weights_ / fit.weights_.sum()
        return cls(weights, fit.means_, fit.covariances_, x.shape[1:])

    def mean(self) -> NDArray:
        """Mean of the mixture, shape (d,)."""
        return self.weights @ self.means

    def covariance(self) -> NDArray:
        """Covariance of the mixture, shape (d, d): within plus between components."""
        centred = self.means - self.mean()
        within = np.einsum("k,kij->ij", self.weights, self.covariances)
        return within + (self.weights[:, None] * centred).T @ centred

    def sample(self, n: int, rng: int | np.random.Generator = 0) -> NDArray:
        """Draw signals, shape ``(n, *shape)``."""
        rng = generator(rng)
        lam, basis = self._eigen
        k = rng.choice(len(self.weights), size=whole(n, "n"), p=self.weights)
        white = rng.standard_normal((n, self.means.shape[1]))
        x = np.empty_like(white)
        for j in range(len(self.weights)):
            mine = k == j
            # The symmetric root does not depend on the signs of the eigenvectors.
            root = (basis[j] * np.sqrt(lam[j])) @ basis[j].T
            x[mine] = self.means[j] + white[mine] @ root
        return x.reshape(n, *self.shape)

    def denoise(self, x_t, alpha_bar_t: float, cond=None):
        """Return the posterior mean E[x0 | x_t], exactly.

        Parameters
        ----------
        x_t
            Shape ``(n, *shape)``, numpy or torch; the computation is in float64 numpy.
        alpha_bar_t
            Number in (0, 1).
        cond
            Must be None.

        Returns
        -------
        array of the kind, shape and dtype of `x_t`
        """
        check_signals(x_t, "x_t", self.shape)
        alpha_bar_t = real(alpha_bar_t, "alpha_bar_t", "(0, 1)")
        if cond is not None:
            raise ValueError("cond: got a condition, expected None")
        x = np.asarray(x_t, dtype=np.float64).reshape(len(x_t), -1)
        parts = [
            self._posterior_mean(x[i : i + _CHUNK], alpha_bar_t) for i in range(0, len(x), _CHUNK)
        ]
        x0 = np.concatenate(parts).reshape(np.shape(x_t))
        if isinstance(x_t, np.ndarray):
            return x0.astype(x_t.dtype, copy=False)
        import torch

        return torch.as_tensor(x0, dtype=x_t.dtype, device=x_t.device)

    @cached_property
    def _axes(self) -> NDArray:
        """Axes of all components side by side, shape (d, K d)."""
        return np.concatenate(list(self._eigen[1]), axis=1)

    def _axes_coordinates(self, x: NDArray, ab: float) -> NDArray:
        """Coordinates of x about every component's mean, along its own axes; shape (n, K d)."""
        centres = np.einsum("kd,kde->ke", self.means, self._eigen[1]).ravel()
        return x @ self._axes - np.sqrt(ab) * centres

    def _log_joint(self, z: NDArray, ab: float) -> NDArray:
        """Log of weight times marginal density of every component, shape (n, K)."""
        total = ab * self._eigen[0] + 1.0 - ab  # variances of x_t along the axes, (K, d)
        squares = (z**2).reshape(len(z), *total.shape)
        mahalanobis = np.einsum("nkd,kd->nk", squares, 1.0 / total)
        return np.log(self.weights) - 0.5 * (mahalanobis + np.log(2.0 * np.pi * total).sum(1))

    def _posterior_mean(self, x: NDArray, ab: float) -> NDArray:
        z, lam = self._axes_coordinates(x, ab), self._eigen[0]
        log_p = self._log_joint(z, ab)
        r = np.exp(log_p - logsumexp(log_p, axis=1, keepdims=True))
        z *= (np.sqrt(ab) * lam / (ab * lam + 1.0 - ab)).ravel()
        z *= np.repeat(r, lam.shape[1], axis=1)
        return r @ self.means + z @ self._axes.T
