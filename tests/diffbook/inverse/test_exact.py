"""The exact conditional denoiser and its Jacobian against dense algebra."""

from __future__ import annotations

import numpy as np
import torch

from diffbook import samplers as sm
from diffbook.inverse import published as zs_published
from diffbook.inverse.exact import conditional_denoiser
from diffbook.inverse.operators import (
    Blur,
    Downsampling,
    Mask,
    gaussian_transfer,
    identity,
    matrix,
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


def test_conditional_denoiser_solves_the_precision_equations():
    """``[Sigma0^-1 + ab / (1 - ab) + H^T H / sig2] x0 = ...``, any H, stationary prior or not."""
    rng = np.random.default_rng(5)
    root = rng.standard_normal((12, 12))
    general = GaussianPrior.from_covariance(root @ root.T + np.eye(12), rng.standard_normal(12))
    blur = Blur.from_transfer(gaussian_transfer(12, 0.8, 0.7))
    cases = [(problem_prior(op.shape), op) for op in (*DENSE.values(), blur)]
    for prior, operator in [*cases, (general, blur), (general, DENSE["mask"])]:
        x_t, y, _, _ = arrays(operator.shape, operator.measurement_shape)
        denoiser, H, ab = conditional_denoiser(prior, operator, y, SIGMA_Y), matrix(operator), 0.3
        precision = np.linalg.inv(prior.covariance())
        left = precision + ab / (1 - ab) * np.eye(len(precision)) + H.T @ H / SIGMA_Y**2
        right = (
            (precision @ prior.mu0.ravel())[:, None]
            + np.sqrt(ab) / (1 - ab) * columns(x_t)
            + H.T @ columns(y) / SIGMA_Y**2
        )
        want = np.linalg.solve(left, right)
        np.testing.assert_allclose(columns(denoiser(x_t, ab)), want, atol=1e-11)
        tensor = conditional_denoiser(prior, operator, torch.tensor(y, dtype=torch.float32), 0.1)
        got = tensor(torch.tensor(x_t, dtype=torch.float32), ab)
        assert got.dtype == torch.float32
        np.testing.assert_allclose(columns(got.numpy()), want, atol=2e-4)


def test_ideal_without_measurement_noise_hits_the_measurement():
    prior, h = problem_prior((16,)), TRANSFERS["zeros"]
    x_T, y, _, _ = arrays((16,), (16,))
    operator = Blur.from_transfer(h)
    y = operator.forward(y)
    result = zs_published.ideal(prior, x_T, TO_ONE, y=y, operator=operator, sigma_y=0.0).sample
    np.testing.assert_allclose(operator.forward(result), y, atol=1e-12)
    lost = np.abs(h) == 0
    free = sm.ddim(prior.denoise, x_T, TO_ONE).sample
    np.testing.assert_allclose(modes(result, 1)[:, lost], modes(free, 1)[:, lost], atol=1e-12)
    mask = DENSE["mask"]
    x_T, y, _, _ = arrays((12,), mask.measurement_shape)
    result = zs_published.ideal(
        problem_prior((12,)), x_T, TO_ONE, y=y, operator=mask, sigma_y=0.0
    ).sample  # fmt: skip
    np.testing.assert_allclose(mask.forward(result), y, atol=1e-7)
