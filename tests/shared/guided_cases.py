"""Priors, operators and noises that tests of guided samplers share."""

from __future__ import annotations

import numpy as np

from diffbook.inverse.operators import (
    Blur,
    Downsampling,
    Mask,
    gaussian_transfer,
    identity,
)
from diffbook.priors.gaussian import GaussianPrior
from diffbook.schedules.families import ddpm_respaced, linear_beta

SIGMA_Y = 0.1


S = 6


TO_ONE, SHORT_OF_ONE = ddpm_respaced(S), linear_beta(S)


def problem_prior(shape):
    """Spectrum ``1 / (1 + (|k| / 3)^2)`` of mean 1, and a mean that is not constant."""
    k = np.meshgrid(*(np.fft.fftfreq(n) * n for n in shape), indexing="ij")
    lam = 1.0 / (1.0 + sum(g**2 for g in k) / 9.0)
    n = np.arange(shape[-1])
    return GaussianPrior.from_spectrum(
        lam / lam.mean(), np.broadcast_to(0.05 + 0.3 * np.cos(2 * np.pi * n / len(n)), shape)
    )


def with_zeros(h):
    """A transfer function that loses every frequency of the upper half."""
    f = sum(g**2 for g in np.meshgrid(*map(np.fft.fftfreq, h.shape), indexing="ij"))
    return np.where(f < 0.1, h, 0.0)


TRANSFERS = {
    "even": gaussian_transfer(16, 0.8, 0.7),
    "odd": gaussian_transfer(15, 0.8, -1.2),
    "image": gaussian_transfer((5, 6), 0.6, 0.4),
    "zeros": with_zeros(gaussian_transfer(16, 1.0, 0.7)),
    "identity": identity(9).spectrum,
}


def arrays(shape, measurement_shape, n=3):
    """Start, measurement, and the noises of all steps, each its own."""
    rng = np.random.default_rng(7)
    draw = rng.standard_normal
    Z = {s: draw((n, *shape)) for s in range(1, S + 1)}
    Z_y = {s: draw((n, *measurement_shape)) for s in range(1, S + 1)}
    return draw((n, *shape)), 0.5 + draw((n, *measurement_shape)), Z, Z_y


def modes(x, ndim):
    return np.fft.fftn(np.asarray(x), axes=tuple(range(-ndim, 0)), norm="ortho")


DENSE = {
    "mask": Mask(np.random.default_rng(2).random(12) < 0.6),
    "mask-image": Mask(np.random.default_rng(3).random((4, 5)) < 0.5),
    "down": Downsampling(12, 3, Blur.from_transfer(gaussian_transfer(12, 0.9, 0.4))),
    "down-image": Downsampling((6, 4), 2),
}


def columns(x):
    return np.asarray(x).reshape(len(x), -1).T
