"""Circulant approximation of general covariances, and what it costs.

A covariance that is not circulant (a finite stretch of a stationary signal, a photograph's patch
with its borders) has an eigenbasis of its own. Replacing it by the Fourier basis is convenient;
this module measures the price, separately for the schedule and for the denoiser.

Background: Gray 2006, "Toeplitz and Circulant Matrices: A Review".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook.priors.distances import w2_gaussian
from diffbook.priors.gaussian import GaussianPrior
from diffbook.samplers.comparison import score
from diffbook.samplers.transfer import transfer
from diffbook.schedules.design import design_schedule

Array = NDArray[np.float64]


def ar1_covariance(d: int, r: float) -> Array:
    """Covariance ``r^|i-j|`` of d samples of a stationary AR(1) process, not circulant."""
    if d < 2 or not -1.0 < r < 1.0:
        raise ValueError(f"need d >= 2 and -1 < r < 1, got d = {d!r}, r = {r!r}")
    return r ** np.abs(np.subtract.outer(np.arange(d), np.arange(d))).astype(np.float64)


def nearest_circulant(cov: ArrayLike, shape: tuple[int, ...] | None = None) -> GaussianPrior:
    """Circulant prior whose spectrum is the diagonal of ``F cov F*``, for signals of `shape`.

    Among all circulant covariances it is nearest both in Frobenius norm and in
    ``KL(data || circulant)``; it is also what the average periodogram estimates.
    """
    cov = np.asarray(cov, dtype=np.float64)
    shape = (len(cov),) if shape is None else tuple(shape)
    d = int(np.prod(shape))
    if cov.shape != (d, d):
        raise ValueError(f"cov must have shape ({d}, {d}) for signals of {shape}, got {cov.shape}")
    axes = tuple(range(1, len(shape) + 1))
    half = np.fft.fftn(cov.reshape(d, *shape), axes=axes, norm="ortho").reshape(d, d)
    # Row k of F applied to the conjugate: (F cov F*)_kk without forming F.
    full = np.fft.fftn(half.conj().T.reshape(d, *shape), axes=axes, norm="ortho").reshape(d, d)
    lam = np.maximum(np.einsum("kk->k", full).real, 0.0).reshape(shape)
    mirrored = lam[np.ix_(*(-np.arange(n) % n for n in shape))]
    return GaussianPrior.from_spectrum(0.5 * (lam + mirrored))


def mismatch_w2(cov: ArrayLike, model: GaussianPrior, alpha_bar: ArrayLike) -> float:
    """W2 between centred data of covariance `cov` and DDIM run with the denoiser of `model`."""
    std = transfer(model.lam, alpha_bar).std.reshape(model.lam.shape)
    output = GaussianPrior(std**2, np.zeros(model.shape), model.basis, model.shape).covariance()
    zero = np.zeros(len(output))
    return w2_gaussian(zero, cov, zero, 0.5 * (output + output.T))


def circulant_costs(
    cov: ArrayLike, shape: tuple[int, ...], steps: Sequence[int]
) -> dict[str, Array]:
    """W2 over the steps, with and without a circulant model: {what is approximated: (len(steps),)}."""
    own, ring = GaussianPrior.from_covariance(cov), nearest_circulant(cov, shape)
    table: dict[str, list[float]] = {}
    for S in steps:
        mine, theirs = (design_schedule(prior.lam, S).schedule for prior in (own, ring))
        values = {
            "exact denoiser, own schedule": score(own.lam, mine),
            "exact denoiser, circulant schedule": score(own.lam, theirs),
            "circulant denoiser": mismatch_w2(cov, ring, theirs),
        }
        for name, value in values.items():
            table.setdefault(name, []).append(value)
    return {name: np.array(values) for name, values in table.items()}
