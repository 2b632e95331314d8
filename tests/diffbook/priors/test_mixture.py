"""The exact mixture denoiser against autograd, Monte Carlo, and the single-Gaussian case."""

import numpy as np
import pytest
import torch

from diffbook.priors.gaussian import GaussianPrior
from diffbook.priors.mixture import GaussianMixture


@pytest.fixture
def mixture():
    rng = np.random.default_rng(4)
    a = rng.standard_normal((3, 4, 4))
    covariances = a @ a.transpose(0, 2, 1) / 4 + 0.1 * np.eye(4)
    weights = np.array([0.2, 0.5, 0.3])
    return GaussianMixture(weights, 2 * rng.standard_normal((3, 4)), covariances, (2, 2))


@pytest.mark.parametrize("ab", [4e-5, 0.1, 0.7, 0.9999])
def test_one_component_is_the_gaussian_denoiser(mixture, ab):
    one = GaussianMixture(np.ones(1), mixture.means[:1], mixture.covariances[:1], (4,))
    prior = GaussianPrior.from_covariance(mixture.covariances[0], mixture.means[0])
    x = 3 * np.random.default_rng(0).standard_normal((50, 4))
    np.testing.assert_allclose(one.denoise(x, ab), prior.denoise(x, ab), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("ab", [0.05, 0.5, 0.95])
def test_against_tweedie_by_autograd(mixture, ab):
    """E[x0|x] = (x + (1 - ab) grad log p(x)) / sqrt(ab), with torch's own mixture density."""
    d = torch.distributions
    means = torch.as_tensor(mixture.means) * ab**0.5
    covariances = ab * torch.as_tensor(mixture.covariances) + (1 - ab) * torch.eye(
        4, dtype=torch.float64
    )
    density = d.MixtureSameFamily(
        d.Categorical(torch.as_tensor(mixture.weights)),
        d.MultivariateNormal(means, covariance_matrix=covariances),
    )
    x = torch.as_tensor(np.random.default_rng(1).standard_normal((40, 4))).requires_grad_()
    log_p = density.log_prob(x)
    (score,) = torch.autograd.grad(log_p.sum(), x)
    expected = ((x + (1 - ab) * score) / ab**0.5).detach().numpy().reshape(-1, 2, 2)
    images = x.detach().numpy().reshape(-1, 2, 2)
    np.testing.assert_allclose(mixture.denoise(images, ab), expected, rtol=1e-9, atol=1e-9)


def test_against_monte_carlo(mixture):
    """Self-normalised importance sampling from the prior, at one point."""
    ab, x = 0.5, np.array([[0.3, -0.8], [1.0, 0.2]])
    x0 = mixture.sample(400_000, 0)
    log_w = -((x - np.sqrt(ab) * x0) ** 2).sum((1, 2)) / (2 * (1 - ab))
    w = np.exp(log_w - log_w.max())
    w /= w.sum()
    estimate = np.einsum("n,nij->ij", w, x0)
    error = np.sqrt(np.einsum("n,nij->ij", w**2, (x0 - estimate) ** 2))
    got = mixture.denoise(x[None], ab)[0]
    assert np.abs((got - estimate) / error).max() < 4.5
    assert error.max() < 0.02


def test_moments_against_samples(mixture):
    x = mixture.sample(200_000, 0).reshape(-1, 4)
    np.testing.assert_allclose(x.mean(0), mixture.mean(), atol=0.03)
    np.testing.assert_allclose(np.cov(x.T), mixture.covariance(), atol=0.06)


def test_stable_far_from_the_data(mixture):
    x = np.full((2, 2, 2), 1e6)
    for ab in (1e-9, 0.5, 1 - 1e-12):
        assert np.isfinite(mixture.denoise(x, ab)).all()


def test_clean_limit_returns_the_input(mixture):
    x = mixture.sample(20, 0)
    np.testing.assert_allclose(mixture.denoise(x, 1 - 1e-10), x, atol=1e-6)


def test_noisy_limit_returns_the_mean(mixture):
    x = np.random.default_rng(0).standard_normal((20, 2, 2))
    expected = np.broadcast_to(mixture.mean().reshape(2, 2), x.shape)
    np.testing.assert_allclose(mixture.denoise(x, 1e-14), expected, atol=1e-5)


def test_chunks_agree_with_one_by_one(mixture):
    x = np.random.default_rng(0).standard_normal((600, 2, 2))
    one = np.concatenate([mixture.denoise(x[i : i + 1], 0.4) for i in range(0, 600, 50)])
    np.testing.assert_allclose(mixture.denoise(x, 0.4)[::50], one, rtol=1e-10, atol=1e-12)


def test_torch_in_torch_out(mixture):
    x = np.random.default_rng(0).standard_normal((5, 2, 2))
    out = mixture.denoise(torch.as_tensor(x, dtype=torch.float32), 0.4)
    assert out.dtype == torch.float32
    np.testing.assert_allclose(out.numpy(), mixture.denoise(x, 0.4), atol=1e-5)


def test_fit_recovers_two_clusters():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 2)) * 0.3 + np.where(rng.random(600) < 0.3, 2.0, -2.0)[:, None]
    fit = GaussianMixture.fitted(x, components=2, floor=1e-3, seed=0)
    order = np.argsort(fit.means[:, 0])
    np.testing.assert_allclose(fit.means[order], [[-2, -2], [2, 2]], atol=0.1)
    assert fit.weights[order][1] == pytest.approx(0.3, abs=0.06)
    np.testing.assert_allclose(fit.covariance(), np.cov(x.T), rtol=0.02)


def test_fit_is_reproducible_and_floored():
    from diffbook.datasets import digits

    x = digits.images("train")[:400]
    a, b = (GaussianMixture.fitted(x, 4, floor=1e-2, seed=1) for _ in range(2))
    np.testing.assert_array_equal(a.means, b.means)
    assert not np.array_equal(a.means, GaussianMixture.fitted(x, 4, floor=1e-2, seed=2).means)
    assert np.linalg.eigvalsh(a.covariances).min() > 0.99e-2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": np.array([0.5, 0.6, 0.3])}, "weights: expected positive"),
        ({"weights": np.ones(2) / 2}, "weights, means, covariances: got shapes"),
        ({"covariances": -np.stack([np.eye(4)] * 3)}, "covariances: smallest eigenvalue is -1"),
        ({"shape": (3, 2)}, r"shape: got \(3, 2\)"),
    ],
)
def test_bad_parameters(mixture, change, message):
    parts = {k: getattr(mixture, k) for k in ("weights", "means", "covariances", "shape")}
    with pytest.raises(ValueError, match=message):
        GaussianMixture(**(parts | change))


def test_bad_calls(mixture):
    with pytest.raises(ValueError, match=r"x_t must be .*\(n, 2, 2\)"):
        mixture.denoise(np.zeros((1, 4)), 0.5)
    with pytest.raises(ValueError, match="cond: got a condition"):
        mixture.denoise(np.zeros((1, 2, 2)), 0.5, cond=1)
