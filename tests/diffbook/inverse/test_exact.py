"""The exact conditional denoiser and its Jacobian against dense algebra."""

from __future__ import annotations

import numpy as np
import torch
from guided_cases import (
    DENSE,
    SIGMA_Y,
    TO_ONE,
    TRANSFERS,
    arrays,
    columns,
    modes,
    problem_prior,
)

from diffbook import samplers as sm
from diffbook.inverse import published as zs
from diffbook.inverse.exact import conditional_denoiser
from diffbook.inverse.operators import (
    Blur,
    gaussian_transfer,
    matrix,
)
from diffbook.priors.gaussian import GaussianPrior


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
    result = zs.ideal(prior, x_T, TO_ONE, y=y, operator=operator, sigma_y=0.0).sample
    np.testing.assert_allclose(operator.forward(result), y, atol=1e-12)
    lost = np.abs(h) == 0
    free = sm.ddim(prior.denoise, x_T, TO_ONE).sample
    np.testing.assert_allclose(modes(result, 1)[:, lost], modes(free, 1)[:, lost], atol=1e-12)
    mask = DENSE["mask"]
    x_T, y, _, _ = arrays((12,), mask.measurement_shape)
    result = zs.ideal(
        problem_prior((12,)), x_T, TO_ONE, y=y, operator=mask, sigma_y=0.0
    ).sample  # fmt: skip
    np.testing.assert_allclose(mask.forward(result), y, atol=1e-7)
