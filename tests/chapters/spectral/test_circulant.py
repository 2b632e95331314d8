"""Circulant models of covariances that are not circulant."""

import numpy as np
import pytest

from chapters.spectral import circulant
from diffbook import samplers
from diffbook.priors.distances import w2_gaussian, w2_spectral
from diffbook.priors.gaussian import GaussianPrior
from diffbook.samplers.transfer import transfer
from diffbook.schedules.design import design_schedule
from diffbook.schedules.families import cosine


@pytest.mark.parametrize("shape", [(6,), (3, 4)])
def test_nearest_circulant_is_the_diagonal_in_the_fourier_basis(shape):
    d = int(np.prod(shape))
    A = np.random.default_rng(1).standard_normal((d, d))
    cov = A @ A.T
    F = np.fft.fftn(np.eye(d).reshape(d, *shape), axes=tuple(range(1, len(shape) + 1)))
    F = F.reshape(d, d).T / np.sqrt(d)
    expected = np.diag(F @ cov @ F.conj().T).real.reshape(shape)
    assert circulant.nearest_circulant(cov, shape).lam == pytest.approx(expected, rel=1e-10)


def test_nearest_circulant_minimises_kl_and_keeps_circulant_covariances():
    prior = GaussianPrior.ramp(d=12)
    assert circulant.nearest_circulant(prior.covariance()).lam == pytest.approx(prior.lam)
    cov = circulant.ar1_covariance(12, 0.8)
    best = circulant.nearest_circulant(cov)
    kl = lambda lam: np.sum(best.lam / lam + np.log(lam))  # noqa: E731 - up to constants
    for factor in (0.9, 1.1):
        for k in range(7):
            lam = best.lam.copy()
            lam[[k, -k]] *= factor
            assert kl(lam) > kl(best.lam)


def test_mismatch_w2_equals_the_sampler():
    cov = circulant.ar1_covariance(10, 0.9)
    model, alpha_bar = circulant.nearest_circulant(cov), cosine(6)
    matrix = samplers.ddim(model.denoise, np.eye(10), alpha_bar).sample
    expected = w2_gaussian(np.zeros(10), cov, np.zeros(10), matrix.T @ matrix)
    assert circulant.mismatch_w2(cov, model, alpha_bar) == pytest.approx(expected, rel=1e-9)
    own = GaussianPrior.from_covariance(cov)
    exact = w2_spectral(own.lam, transfer(own.lam, alpha_bar).std)
    assert exact < expected


def test_circulant_errors():
    with pytest.raises(ValueError, match="-1 < r < 1"):
        circulant.ar1_covariance(5, 1.0)
    with pytest.raises(ValueError, match="cov must have shape"):
        circulant.nearest_circulant(np.eye(6), (2, 2))


def test_circulant_costs_columns():
    table = circulant.circulant_costs(circulant.ar1_covariance(16, 0.9), (16,), (5, 20))
    own, borrowed, model = table.values()
    assert np.all(own <= borrowed * (1 + 1e-9))
    assert np.all(borrowed < model)


def test_circulant_costs_against_the_samplers():
    """Every row by running DDIM on unit vectors, and the distance of matrices."""
    cov, zero = circulant.ar1_covariance(12, 0.8), np.zeros(12)
    own, ring = GaussianPrior.from_covariance(cov), circulant.nearest_circulant(cov)
    runs = {
        "exact denoiser, own schedule": (own, own),
        "exact denoiser, circulant schedule": (own, ring),
        "circulant denoiser": (ring, ring),
    }
    costs = circulant.circulant_costs(cov, (12,), (6,))
    assert list(costs) == list(runs)
    for name, (model, designed_for) in runs.items():
        alpha_bar = design_schedule(designed_for.lam, 6).schedule
        matrix = samplers.ddim(model.denoise, np.eye(12), alpha_bar).sample
        expected = w2_gaussian(zero, cov, zero, matrix.T @ matrix)
        assert costs[name] == pytest.approx([expected], rel=1e-8)
