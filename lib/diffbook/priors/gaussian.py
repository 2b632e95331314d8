"""Gaussian priors by their spectrum: construction, estimation, sampling, optimal denoising.

A prior N(mu0, Sigma0) is kept as the eigenvalues ``lam`` of ``Sigma0`` and the basis that
diagonalises it: the unitary discrete Fourier transform for a stationary (circulant) covariance in
one or two dimensions, an orthogonal matrix otherwise. All that follows in the book happens mode
by mode in that basis.

Source: Benita, Elad, Keshet 2025 (arXiv 2502.00180), Section 3.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._arrays import array_namespace, check_signals, device
from diffbook._checks import NON_NEGATIVE, POSITIVE, choice, complexes, real, reals, whole
from diffbook._optional import need

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class GaussianPrior:
    """A Gaussian prior in the eigenbasis of its covariance.

    Parameters
    ----------
    lam : ndarray
        Eigenvalues of the covariance (variance of every mode), non-negative. Shape: the signal's
        for a stationary prior, in the order of ``numpy.fft.fftn``; ``(d,)`` otherwise.
    mu0 : ndarray
        Mean, in the signal domain, of shape ``shape``.
    basis : ndarray or None
        ``None`` for the unitary DFT; else an orthogonal matrix ``(d, d)`` with eigenvectors as
        columns.
    shape : tuple of int
        Shape of one signal.
    n_samples : int or None
        Number of signals the prior was estimated from.
    shrinkage : float
        Weight in [0, 1] of the white covariance mixed in by the estimate.
    """

    lam: Array
    mu0: Array
    basis: Array | None
    shape: tuple[int, ...]
    n_samples: int | None = None
    shrinkage: float = 0.0

    # --- construction -------------------------------------------------------------------------

    @classmethod
    def from_spectrum(cls, lam: ArrayLike, mu0: ArrayLike | float = 0.0) -> GaussianPrior:
        """Make a stationary prior from the variances of its Fourier modes.

        Parameters
        ----------
        lam : array_like, shape (d,) or (h, w)
            Variance per mode in ``fftn`` order, non-negative and symmetric (``lam[k] = lam[-k]``),
            as the covariance of a real signal must be.
        mu0 : array_like or float
            Mean in the signal domain.

        Raises
        ------
        ValueError
            If a value is negative or the spectrum is not symmetric.
        """
        lam = reals(lam, "lam", NON_NEGATIVE, ndim=(1, 2), hint="variances")
        if not np.any(lam > 0):
            raise ValueError("lam must not be zero everywhere")
        mirrored = lam[np.ix_(*(-np.arange(n) % n for n in lam.shape))]
        if not np.allclose(lam, mirrored, rtol=1e-8, atol=1e-12 * lam.max()):
            gap = np.abs(lam - mirrored) - 1e-8 * mirrored
            k = tuple(int(i) for i in np.argwhere(gap > 1e-12 * lam.max())[0])
            raise ValueError(
                f"lam must be symmetric (lam[k] = lam[-k]) for real signals; lam{list(k)} = "
                f"{lam[k]} differs from its mirror image {mirrored[k]}"
            )
        return cls(lam, _mean(mu0, lam.shape), None, lam.shape)

    @classmethod
    def from_covariance(cls, cov: ArrayLike, mu0: ArrayLike | float = 0.0) -> GaussianPrior:
        """Make a prior of a general covariance (d, d) through its eigenbasis."""
        cov = reals(cov, "cov", ndim=2)
        if cov.shape[0] != cov.shape[1]:
            raise ValueError(f"cov must be square, got shape {cov.shape}")
        if not np.allclose(cov, cov.T, rtol=1e-8, atol=1e-12 * np.abs(cov).max()):
            raise ValueError("cov must be symmetric")
        lam, basis = np.linalg.eigh(cov)
        if lam[0] < -1e-9 * lam[-1]:
            raise ValueError(
                f"cov must be positive semi-definite; smallest eigenvalue {lam[0]:.3g}"
            )
        lam, basis = np.maximum(lam[::-1], 0.0), np.ascontiguousarray(basis[:, ::-1])
        return cls(lam, _mean(mu0, (len(lam),)), basis, (len(lam),))

    @classmethod
    def estimated(
        cls,
        x: ArrayLike,
        *,
        stationary: bool = True,
        mean: Literal["constant", "signal", "zero"] | None = None,
        shrinkage: float | Literal["ledoit-wolf"] = 0.0,
    ) -> GaussianPrior:
        """Estimate a prior from signals.

        Parameters
        ----------
        x : array_like, shape (n, *shape)
            Signals; one or two dimensions for a stationary prior, any otherwise.
        stationary : bool
            ``True``: the average periodogram (circulant covariance); ``False``: the sample
            covariance in its eigenbasis (PCA).
        mean : {"constant", "signal", "zero"}, optional
            One value for all positions (default if stationary), one for each (default
            otherwise), or none.
        shrinkage : float in [0, 1] or "ledoit-wolf"
            Weight of the white covariance with the same trace; ``"ledoit-wolf"`` (PCA only)
            estimates it (scikit-learn).

        Returns
        -------
        GaussianPrior
            With ``n_samples`` and the ``shrinkage`` used.
        """
        x = reals(x, "x")
        if x.ndim < 2 or len(x) < 2:
            raise ValueError(f"x must be (n, *shape) with n >= 2 signals, got shape {x.shape}")
        if stationary and x.ndim > 3:
            raise ValueError(
                f"x must hold signals of one or two dimensions, got shape {x.shape}; use "
                "stationary=False, or estimate each channel by itself"
            )
        mean = mean or ("constant" if stationary else "signal")
        means = {"constant": x.mean(), "signal": x.mean(0), "zero": 0.0}
        mu0 = _mean(means[choice(mean, "mean", means)], x.shape[1:])
        # One degree of freedom per mode is spent on a mean that is estimated for each position.
        weight = len(x) / (len(x) - 1) if mean == "signal" else 1.0
        if isinstance(shrinkage, str):
            if stationary or shrinkage != "ledoit-wolf":
                raise ValueError(
                    f"shrinkage must be a number in [0, 1], or 'ledoit-wolf' with "
                    f"stationary=False; got {shrinkage!r}"
                )
            need("sklearn", "data", "shrinkage='ledoit-wolf'")
            from sklearn.covariance import ledoit_wolf_shrinkage

            shrinkage = float(ledoit_wolf_shrinkage((x - mu0).reshape(len(x), -1)))
        shrinkage = real(shrinkage, "shrinkage", "[0, 1]")
        if stationary:
            axes = tuple(range(1, x.ndim))
            power = np.abs(np.fft.fftn(x - mu0, axes=axes, norm="ortho")) ** 2
            prior = cls.from_spectrum(weight * power.mean(0), mu0)
        else:
            flat = (x - mu0).reshape(len(x), -1)
            prior = cls.from_covariance(weight * flat.T @ flat / len(x), mu0.ravel())
            prior = replace(prior, mu0=mu0, shape=x.shape[1:])
        lam = (1.0 - shrinkage) * prior.lam + shrinkage * prior.lam.mean()
        return replace(prior, lam=lam, n_samples=len(x), shrinkage=shrinkage)

    @classmethod
    def ramp(cls, d: int = 50, l: float = 0.1, mu0: ArrayLike | float = 0.0) -> GaussianPrior:  # noqa: E741 - the paper's symbol
        """Make the synthetic prior of the paper: ``Sigma0 = A^T A`` with a circulant ramp ``A``.

        The first row of A is ``-l + j / (d - 1)`` for j = 0..d-1; at d = 50, l = 0.1 the DC mode
        has variance 400 and the others fall off like ``1 / sin(pi k / d)^2`` to 0.26.
        """
        row = -real(l, "l") + np.arange(whole(d, "d", 2)) / (d - 1)
        return cls.from_spectrum(np.abs(np.fft.fft(row)) ** 2, mu0)

    @classmethod
    def inverse_f(
        cls, shape: int | tuple[int, ...], beta: float = 2.0, variance: float = 1.0
    ) -> GaussianPrior:
        """Make the ``1 / f^beta`` prior of natural signals, in one or two dimensions.

        Parameters
        ----------
        shape : int or tuple of int
            Shape of a signal.
        beta : float
            Exponent of the power spectrum; photographs are near 2, white noise is 0.
        variance : float
            Average variance per sample; the DC mode gets the power of the lowest frequency.
        """
        sizes = shape if isinstance(shape, tuple | list) else (shape,)
        shape = tuple(whole(n, "shape", 2) for n in sizes)
        if len(shape) not in (1, 2):
            raise ValueError(f"shape must have one or two sizes, got {shape}")
        real(beta, "beta")
        real(variance, "variance", POSITIVE)
        f = np.sqrt(sum(g**2 for g in np.meshgrid(*map(np.fft.fftfreq, shape), indexing="ij")))
        f.flat[0] = np.min(f[f > 0])
        lam = f**-beta
        return cls.from_spectrum(lam * variance / lam.mean())

    # --- properties ---------------------------------------------------------------------------

    @property
    def d(self) -> int:
        """Number of modes."""
        return prod(self.shape)

    @property
    def mu0_spectral(self) -> NDArray:
        """Mean in the eigenbasis, shape of ``lam`` (complex for the DFT)."""
        return self.to_spectral(self.mu0[None])[0]

    def to_spectral(self, x: ArrayLike) -> NDArray:
        """Coordinates of signals ``(n, *shape)`` in the eigenbasis; unitary."""
        x = reals(x, "x")
        if x.shape[1:] != self.shape:
            raise ValueError(
                f"x must have shape (n, {', '.join(map(str, self.shape))}), got {x.shape}"
            )
        if self.basis is None:
            return np.fft.fftn(x, axes=tuple(range(1, x.ndim)), norm="ortho")
        return x.reshape(len(x), -1) @ self.basis

    def from_spectral(self, x: ArrayLike) -> Array:
        """Signals ``(n, *shape)`` from their coordinates in the eigenbasis."""
        if self.basis is None:
            x = complexes(x, "x")
            return np.fft.ifftn(x, axes=tuple(range(1, x.ndim)), norm="ortho").real
        x = reals(x, "x")
        return (x @ self.basis.T).reshape(len(x), *self.shape)

    def covariance(self) -> Array:
        """Matrix ``Sigma0`` of shape (d, d), in the signal domain (row-major for images)."""
        columns = self._filter(np.eye(self.d).reshape(self.d, *self.shape), self.lam)
        return columns.reshape(self.d, self.d)

    # --- use ----------------------------------------------------------------------------------

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw ``n`` signals, shape ``(n, *shape)``."""
        noise = rng.standard_normal((whole(n, "n"), *self.shape))
        return self.mu0 + self._filter(noise, np.sqrt(self.lam))

    def denoise(self, x_t: Any, alpha_bar_t: float, cond: Any = None) -> Any:
        """Return the optimal (MMSE = MAP) denoiser ``E[x0 | x_t]`` of VP noise.

        ``mu0 + sqrt(alpha_bar) lam / (alpha_bar lam + 1 - alpha_bar) (x_t - sqrt(alpha_bar) mu0)``
        in the eigenbasis; valid for singular covariances.

        Parameters
        ----------
        x_t : array, shape (n, *shape), numpy or torch, real
            Noisy signals ``sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) noise``.
        alpha_bar_t : float in (0, 1)
            Signal level.
        cond : None
            Part of the denoiser protocol; unused.

        Returns
        -------
        array
            Of the kind, dtype and device of ``x_t``.
        """
        check_signals(x_t, "x_t", self.shape)
        alpha_bar_t = real(alpha_bar_t, "alpha_bar_t", "(0, 1)")
        root = alpha_bar_t**0.5
        gain = root * self.lam / (alpha_bar_t * self.lam + 1.0 - alpha_bar_t)
        mu0 = self._like(self.mu0, x_t)
        return mu0 + self._filter(x_t - root * mu0, gain)

    def denoise_ve(self, x_t: Any, sigma_t: float, cond: Any = None) -> Any:
        """Return the optimal denoiser of VE noise, ``x_t = x0 + sigma noise``; see `denoise`."""
        check_signals(x_t, "x_t", self.shape)
        # A mode without variance sits at its mean; 0 / 0 at sigma = 0 is resolved that way.
        total = self.lam + real(sigma_t, "sigma_t", NON_NEGATIVE) ** 2
        gain = np.divide(self.lam, total, out=np.zeros_like(self.lam), where=total > 0)
        mu0 = self._like(self.mu0, x_t)
        return mu0 + self._filter(x_t - mu0, gain)

    def _like(self, values: Array, x: Any) -> Any:
        xp = array_namespace(x)
        return xp.asarray(values, dtype=x.dtype, device=device(x))

    def _filter(self, x: Any, gain: Array) -> Any:
        """Multiply every mode of signals ``(n, *shape)`` by ``gain``."""
        xp = array_namespace(x)
        if self.basis is None:
            axes = tuple(range(1, x.ndim))
            half = self._like(gain[..., : self.shape[-1] // 2 + 1], x)
            modes = xp.fft.rfftn(x, axes=axes)
            return xp.fft.irfftn(half * modes, s=self.shape, axes=axes)
        basis = self._like(self.basis, x)
        flat = xp.reshape(x, (x.shape[0], -1))
        return xp.reshape(((flat @ basis) * self._like(gain, x)) @ basis.T, x.shape)


def _mean(mu0: ArrayLike | float, shape: tuple[int, ...]) -> Array:
    mu0 = reals(mu0, "mu0")
    if mu0.shape not in ((), shape):
        raise ValueError(f"mu0 must be a number or have shape {shape}, got shape {mu0.shape}")
    return np.broadcast_to(mu0, shape).copy()
