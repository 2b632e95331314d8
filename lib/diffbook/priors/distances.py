"""Distances between Gaussians, in matrix form and per mode, and the Fréchet distance of samples.

The spectral forms (``*_spectral``) take what a sampler's transfer function predicts for every
mode: the output's standard deviation and the error of its mean. They equal the matrix forms
whenever both covariances share their eigenbasis, as they do for a sampler driven by the optimal
denoiser (Benita, Elad, Keshet 2025, arXiv 2502.00180, Section 4).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg

from diffbook._checks import NON_NEGATIVE, POSITIVE, complexes, reals

Array = NDArray[np.float64]


def _gaussian(mean: ArrayLike, cov: ArrayLike, name: str) -> tuple[Array, Array]:
    mean = np.atleast_1d(reals(mean, f"mean_{name}"))
    cov = np.atleast_2d(reals(cov, f"cov_{name}"))
    d = mean.size
    if mean.ndim != 1 or cov.shape != (d, d):
        raise ValueError(
            f"mean_{name} and cov_{name} must have shapes (d,) and (d, d), got {mean.shape} and "
            f"{cov.shape}"
        )
    if not np.allclose(cov, cov.T, rtol=1e-8, atol=1e-10 * max(1.0, np.abs(cov).max())):
        raise ValueError(f"cov_{name} must be symmetric")
    return mean, cov


def w2_gaussian(mean_x: ArrayLike, cov_x: ArrayLike, mean_y: ArrayLike, cov_y: ArrayLike) -> float:
    """2-Wasserstein distance of two Gaussians (not squared).

    ``W2^2 = |mean_x - mean_y|^2 + tr(cov_x) + tr(cov_y) - 2 tr((cov_x^1/2 cov_y cov_x^1/2)^1/2)``;
    singular covariances are allowed. Also the Fréchet distance of two samples' moments.

    Returns
    -------
    float
        In the unit of the data.
    """
    mean_x, cov_x = _gaussian(mean_x, cov_x, "x")
    mean_y, cov_y = _gaussian(mean_y, cov_y, "y")
    if mean_x.size != mean_y.size:
        raise ValueError(f"mean_x, mean_y: dimensions differ: {mean_x.size} and {mean_y.size}")
    values, vectors = linalg.eigh(cov_x)
    for name, spectrum in (("x", values), ("y", linalg.eigvalsh(cov_y))):
        # Round-off may push a zero eigenvalue below zero; anything larger is no covariance.
        if spectrum[0] < -1e-9 * max(spectrum[-1], 0.0):
            raise ValueError(
                f"cov_{name} must be positive semi-definite; smallest eigenvalue {spectrum[0]:.3g}"
            )
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    cross = np.sqrt(np.maximum(linalg.eigvalsh(root @ cov_y @ root), 0.0)).sum()
    squared = np.sum((mean_x - mean_y) ** 2) + np.trace(cov_x) + np.trace(cov_y) - 2.0 * cross
    return float(np.sqrt(max(squared, 0.0)))


def kl_gaussian(mean_p: ArrayLike, cov_p: ArrayLike, mean_q: ArrayLike, cov_q: ArrayLike) -> float:
    """Kullback-Leibler divergence KL(p || q) of two Gaussians, in nats.

    Raises
    ------
    ValueError
        If a covariance is not positive definite.
    """
    mean_p, cov_p = _gaussian(mean_p, cov_p, "p")
    mean_q, cov_q = _gaussian(mean_q, cov_q, "q")
    if mean_p.size != mean_q.size:
        raise ValueError(f"mean_p, mean_q: dimensions differ: {mean_p.size} and {mean_q.size}")
    try:
        chol_p, chol_q = linalg.cholesky(cov_p, lower=True), linalg.cholesky(cov_q, lower=True)
    except linalg.LinAlgError:
        raise ValueError("cov_p and cov_q must be positive definite") from None
    ratio = linalg.solve_triangular(chol_q, chol_p, lower=True)
    shift = linalg.solve_triangular(chol_q, mean_q - mean_p, lower=True)
    log_det = 2.0 * np.sum(np.log(np.diag(chol_q)) - np.log(np.diag(chol_p)))
    return float(0.5 * (np.sum(ratio**2) + shift @ shift - mean_p.size + log_det))


def _modes(
    lam: ArrayLike, std: ArrayLike, mean_error: ArrayLike, interval: str, hint: str = ""
) -> tuple[Array, Array, Array]:
    lam = reals(lam, "lam", interval, hint=hint)
    std = reals(std, "std", interval, shape=lam.shape, hint=hint)
    error = np.abs(complexes(mean_error, "mean_error"))
    if error.shape not in ((), lam.shape):
        raise ValueError(
            f"mean_error must be a number or have shape {lam.shape}, got {error.shape}"
        )
    return lam, std, np.broadcast_to(error, lam.shape)


def w2_spectral(lam: ArrayLike, std: ArrayLike, mean_error: ArrayLike = 0.0) -> float:
    """W2 between N(mu, lam) and N(mu + mean_error, std**2), mode by mode (not squared).

    Parameters
    ----------
    lam : array_like
        Variances of the data, any shape (one entry per mode).
    std : array_like, same shape
        Standard deviation of the sampler's output.
    mean_error : array_like
        Error of the output's mean per mode, ``(1 - D2) mu0``; complex values are allowed.
    """
    lam, std, error = _modes(lam, std, mean_error, NON_NEGATIVE)
    return float(np.sqrt(np.sum((np.sqrt(lam) - std) ** 2) + np.sum(error**2)))


def kl_spectral(
    lam: ArrayLike, std: ArrayLike, mean_error: ArrayLike = 0.0, *, reverse: bool = False
) -> float:
    """KL divergence between data N(mu, lam) and output N(mu + mean_error, std**2), in nats.

    ``reverse=False`` gives KL(data || output), ``reverse=True`` KL(output || data). Parameters as
    in :func:`w2_spectral`; variances must be positive.
    """
    lam, std, error = _modes(lam, std, mean_error, POSITIVE, "drop modes without variance first")
    ratio, scale = (std**2 / lam, lam) if reverse else (lam / std**2, std**2)
    return float(0.5 * np.sum(ratio - 1.0 - np.log(ratio) + error**2 / scale))


def frechet(x: ArrayLike, y: ArrayLike) -> float:
    """Fréchet distance of two samples: W2 of their fitted Gaussians (not squared).

    Parameters
    ----------
    x, y : array_like, shape (n, ...)
        Samples or features, flattened to vectors; at least two of each. The FID of the literature
        is the *square* of this in the feature space of an Inception network.
    """
    x, y = np.atleast_1d(reals(x, "x"), reals(y, "y"))
    x, y = x.reshape(len(x), -1), y.reshape(len(y), -1)
    if len(x) < 2 or len(y) < 2 or x.shape[1] != y.shape[1]:
        raise ValueError(
            f"x and y must be (n, d) with n >= 2 and equal d, got {x.shape} and {y.shape}"
        )
    return w2_gaussian(x.mean(0), np.cov(x.T), y.mean(0), np.cov(y.T))
