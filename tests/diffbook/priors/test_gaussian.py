"""Gaussian priors: spectra, estimation, sampling, and the optimal denoiser (Theorem 1)."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbook.priors.gaussian import GaussianPrior

LEVELS = (1 - 1e-4, 0.9, 0.5, 0.03, 4e-5)


def random_covariance(d: int, seed: int, rank: int | None = None) -> np.ndarray:
    factor = np.random.default_rng(seed).standard_normal((d, rank or 2 * d))
    return factor @ factor.T / factor.shape[1]


def symmetric_spectrum(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Periodogram of noise: symmetric as a real signal's spectrum must be."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    return np.abs(np.fft.fftn(noise, norm="ortho")) ** 2 + 0.01


def some_priors() -> dict[str, GaussianPrior]:
    rng = np.random.default_rng(11)
    return {
        "ramp": GaussianPrior.ramp(mu0=0.05),
        "odd": GaussianPrior.from_spectrum(symmetric_spectrum((9,), 0), rng.normal(size=9)),
        "image": GaussianPrior.from_spectrum(
            symmetric_spectrum((6, 5), 1), rng.normal(size=(6, 5))
        ),
        "wide image": GaussianPrior.from_spectrum(symmetric_spectrum((3, 8), 2)),
        "pca": GaussianPrior.from_covariance(random_covariance(12, 3), rng.normal(size=12)),
        "1/f": GaussianPrior.inverse_f((8, 6), beta=2.2),
    }


PRIORS = some_priors()
over_priors = pytest.mark.parametrize("name", PRIORS)


# --- the paper's prior ------------------------------------------------------------------------


def test_ramp_is_the_papers_covariance():
    prior = GaussianPrior.ramp()
    np.testing.assert_allclose(prior.covariance(), oracles.ramp_matrix(), rtol=0, atol=1e-11)
    assert prior.lam[0] == pytest.approx(400.0, abs=1e-9)
    assert prior.lam.min() == pytest.approx(0.2603, abs=1e-4)
    assert prior.lam.sum() == pytest.approx(616.84, abs=0.01)
    k = np.arange(1, 50)
    expected = (50 / 49) ** 2 / (4 * np.sin(np.pi * k / 50) ** 2)
    np.testing.assert_allclose(prior.lam[1:], expected, rtol=1e-10)


@pytest.mark.parametrize(("d", "l"), [(2, 0.0), (7, 0.3), (64, 0.1)])
def test_ramp_of_other_sizes(d, l):  # noqa: E741 - the paper's symbol
    np.testing.assert_allclose(
        GaussianPrior.ramp(d, l).covariance(), oracles.ramp_matrix(d, l), rtol=0, atol=1e-11
    )


def test_dft_diagonalises_the_circulant_covariance():
    F = oracles.dft_matrix(50)
    spectral = F @ oracles.ramp_matrix() @ F.conj().T
    assert np.abs(spectral - np.diag(np.diag(spectral))).max() < 1e-10
    np.testing.assert_allclose(np.diag(spectral).real, GaussianPrior.ramp().lam, rtol=1e-10)


# --- construction -----------------------------------------------------------------------------


@over_priors
def test_covariance_is_symmetric_with_the_eigenvalues(name):
    prior = PRIORS[name]
    cov = prior.covariance()
    assert cov.shape == (prior.d, prior.d)
    np.testing.assert_allclose(cov, cov.T, atol=1e-12 * cov.max())
    np.testing.assert_allclose(
        np.linalg.eigvalsh(cov), np.sort(prior.lam.ravel()), rtol=1e-9, atol=1e-12
    )


@over_priors
def test_covariance_round_trip(name):
    prior = PRIORS[name]
    again = GaussianPrior.from_covariance(prior.covariance(), prior.mu0.ravel())
    np.testing.assert_allclose(again.lam, np.sort(prior.lam.ravel())[::-1], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(again.covariance(), prior.covariance(), atol=1e-11)


def test_stationary_covariance_depends_on_the_shift_only():
    prior = PRIORS["image"]
    cov = prior.covariance().reshape(6, 5, 6, 5)
    for i, j in [(0, 0), (2, 3), (5, 4)]:
        shifted = np.roll(cov[i, j], (-i, -j), axis=(0, 1))
        np.testing.assert_allclose(shifted, cov[0, 0], atol=1e-13)


@over_priors
def test_spectral_coordinates_are_unitary(name):
    prior = PRIORS[name]
    x = np.random.default_rng(4).standard_normal((3, *prior.shape))
    v = prior.to_spectral(x)
    np.testing.assert_allclose(prior.from_spectral(v), x, atol=1e-13)
    energy = np.sum(np.abs(v.reshape(3, -1)) ** 2, axis=1)
    np.testing.assert_allclose(energy, np.sum(x.reshape(3, -1) ** 2, axis=1), rtol=1e-12)
    np.testing.assert_allclose(
        np.linalg.norm(prior.mu0_spectral), np.linalg.norm(prior.mu0), rtol=1e-12
    )


def test_spectral_coordinates_are_the_dft():
    x = np.random.default_rng(5).standard_normal((2, 50))
    np.testing.assert_allclose(
        GaussianPrior.ramp().to_spectral(x), x @ oracles.dft_matrix(50).T, atol=1e-12
    )


def test_constant_mean_lives_in_the_dc_mode():
    spectral = GaussianPrior.ramp(mu0=0.05).mu0_spectral
    assert spectral[0] == pytest.approx(0.05 * np.sqrt(50))
    assert np.abs(spectral[1:]).max() < 1e-14


@pytest.mark.parametrize("shape", [(40,), (15,), (12, 10)])
@pytest.mark.parametrize("beta", [0.0, 1.0, 2.5])
def test_inverse_f_follows_the_power_law(shape, beta):
    prior = GaussianPrior.inverse_f(shape, beta, variance=2.0)
    assert prior.lam.mean() == pytest.approx(2.0)
    np.testing.assert_allclose(np.diag(prior.covariance()), 2.0, rtol=1e-10)
    axes = np.meshgrid(*(np.fft.fftfreq(n) for n in shape), indexing="ij")
    f = np.sqrt(sum(a**2 for a in axes)).ravel()
    lam = prior.lam.ravel()
    np.testing.assert_allclose(lam[1:] * f[1:] ** beta, lam[1] * f[1] ** beta, rtol=1e-10)
    assert lam[0] == pytest.approx(lam.max())
    assert GaussianPrior.inverse_f(shape[0], beta).shape == (shape[0],)


# --- the denoiser -----------------------------------------------------------------------------


@over_priors
@pytest.mark.parametrize("ab", LEVELS)
def test_denoiser_equals_three_matrix_forms(name, ab):
    prior = PRIORS[name]
    x = np.random.default_rng(6).standard_normal((2, *prior.shape)) * 2.0
    x0_hat = prior.denoise(x, ab).reshape(2, -1)
    mu0, cov = prior.mu0.ravel(), prior.covariance()
    for form in (
        oracles.denoiser_normal_equations,
        oracles.denoiser_theorem,
        oracles.denoiser_regression,
    ):
        expected = [form(row, ab, mu0, cov) for row in x.reshape(2, -1)]
        np.testing.assert_allclose(x0_hat, expected, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize("ab", LEVELS)
def test_denoiser_of_a_singular_covariance(ab):
    cov = random_covariance(10, 7, rank=4)
    prior = GaussianPrior.from_covariance(cov, np.arange(10.0))
    x = np.random.default_rng(8).standard_normal((3, 10))
    for form in (oracles.denoiser_theorem, oracles.denoiser_regression):
        expected = [form(row, ab, prior.mu0, cov) for row in x]
        np.testing.assert_allclose(prior.denoise(x, ab), expected, atol=1e-10)


def test_denoiser_obeys_tweedies_formula():
    """``E[x0 | x] = (x + (1 - ab) grad log p(x)) / sqrt(ab)``, the gradient by autograd."""
    prior, ab = PRIORS["pca"], 0.37
    cov = torch.from_numpy(ab * prior.covariance()) + (1 - ab) * torch.eye(12, dtype=torch.double)
    marginal = torch.distributions.MultivariateNormal(torch.from_numpy(ab**0.5 * prior.mu0), cov)
    x = torch.randn(5, 12, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    x.requires_grad_()
    (score,) = torch.autograd.grad(marginal.log_prob(x).sum(), x)
    expected = (x + (1 - ab) * score) / ab**0.5
    np.testing.assert_allclose(prior.denoise(x, ab).detach(), expected.detach(), atol=1e-11)


@over_priors
@given(sigma=st.floats(1e-3, 1e3))
@settings(max_examples=10, deadline=None, derandomize=True)
def test_ve_and_vp_denoisers_agree(name, sigma):
    prior = PRIORS[name]
    y = np.random.default_rng(9).standard_normal((2, *prior.shape)) * (1 + sigma)
    ab = 1 / (1 + sigma**2)
    np.testing.assert_allclose(
        prior.denoise_ve(y, sigma), prior.denoise(ab**0.5 * y, ab), rtol=1e-7, atol=1e-8
    )


def test_denoiser_without_noise_is_the_identity():
    x = np.random.default_rng(10).standard_normal((2, 50))
    np.testing.assert_allclose(GaussianPrior.ramp(mu0=1.0).denoise_ve(x, 0.0), x, atol=1e-12)
    # A mode without variance stays at its mean even there.
    flat = GaussianPrior.from_covariance(np.diag([1.0, 0.0]), np.array([5.0, 7.0]))
    np.testing.assert_allclose(flat.denoise_ve(np.array([[1.0, 2.0]]), 0.0), [[1.0, 7.0]])


@over_priors
def test_denoiser_error_is_orthogonal_to_its_input_and_has_the_wiener_variance(name):
    prior, ab, n = PRIORS[name], 0.4, 20_000
    rng = np.random.default_rng(12)
    x0 = prior.sample(n, rng)
    x_t = ab**0.5 * x0 + (1 - ab) ** 0.5 * rng.standard_normal(x0.shape)
    error = (x0 - prior.denoise(x_t, ab)).reshape(n, -1)
    square = np.sum(error**2, axis=1)
    lam = prior.lam.ravel()
    expected = np.sum(lam * (1 - ab) / (ab * lam + 1 - ab))
    assert abs(square.mean() - expected) < 4.5 * square.std() / np.sqrt(n)
    product = error * (x_t.reshape(n, -1) - ab**0.5 * prior.mu0.ravel())
    assert np.abs(product.mean(0) / (product.std(0) / np.sqrt(n))).max() < 4.5


@over_priors
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_denoiser_treats_torch_like_numpy(name, dtype):
    prior = PRIORS[name]
    x = np.random.default_rng(13).standard_normal((3, *prior.shape))
    tolerance = {torch.float64: 1e-12, torch.float32: 2e-5}[dtype]
    for method, level in ((prior.denoise, 0.3), (prior.denoise_ve, 0.7)):
        out = method(torch.from_numpy(x).to(dtype), level)
        assert isinstance(out, torch.Tensor)
        assert out.dtype == dtype
        np.testing.assert_allclose(out, method(x, level), atol=tolerance)
    half = prior.denoise(x.astype(np.float32), 0.3)
    assert half.dtype == np.float32


def test_denoiser_is_differentiable_with_the_wiener_filter_as_jacobian():
    prior, ab = PRIORS["odd"], 0.6
    jacobian = torch.autograd.functional.jacobian(
        lambda v: prior.denoise(v[None], ab)[0], torch.zeros(9, dtype=torch.double)
    )
    cov = prior.covariance()
    expected = np.sqrt(ab) * cov @ np.linalg.inv(ab * cov + (1 - ab) * np.eye(9))
    np.testing.assert_allclose(jacobian, expected, atol=1e-12)


# --- samples ----------------------------------------------------------------------------------


@over_priors
def test_samples_have_the_priors_moments(name):
    prior, n = PRIORS[name], 20_000
    x = prior.sample(n, np.random.default_rng(14)).reshape(n, -1)
    cov, lam = prior.covariance(), prior.lam.ravel()
    z_mean = (x.mean(0) - prior.mu0.ravel()) / np.sqrt(np.diag(cov) / n)
    assert np.abs(z_mean).max() < 4.5
    centred = x - prior.mu0.ravel()
    standard_error = np.sqrt((cov**2 + np.outer(np.diag(cov), np.diag(cov))) / n)
    assert np.abs((centred.T @ centred / n - cov) / standard_error).max() < 5.0
    modes = prior.to_spectral(x.reshape(n, *prior.shape) - prior.mu0).reshape(n, -1)
    _, z_var = oracles.z_scores(modes, 0.0, lam, real=np.ones(prior.d, bool))
    assert np.abs(z_var).max() < 4.5


def test_samples_are_set_by_the_generator():
    prior = PRIORS["image"]
    one, two, other = (prior.sample(3, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.any(one == other)
    assert one.shape == (3, 6, 5)


# --- estimation -------------------------------------------------------------------------------


def test_estimate_of_a_stationary_prior_is_the_average_periodogram():
    x = PRIORS["image"].sample(40, np.random.default_rng(15)) + 3.0
    prior = GaussianPrior.estimated(x)
    assert prior.n_samples == 40
    assert prior.shrinkage == 0.0
    np.testing.assert_allclose(prior.mu0, x.mean(), rtol=1e-12)
    expected = sum(np.abs(np.fft.fft2(signal - x.mean())) ** 2 / 30 for signal in x) / 40
    np.testing.assert_allclose(prior.lam, expected, rtol=1e-10)


def test_estimate_of_a_general_prior_is_the_unbiased_sample_covariance():
    x = np.random.default_rng(16).standard_normal((30, 2, 4)) * np.arange(1, 9).reshape(2, 4)
    prior = GaussianPrior.estimated(x, stationary=False)
    assert prior.shape == (2, 4)
    np.testing.assert_allclose(prior.mu0, x.mean(0), rtol=1e-12)
    np.testing.assert_allclose(prior.covariance(), np.cov(x.reshape(30, -1).T), atol=1e-10)
    assert prior.sample(5, np.random.default_rng(0)).shape == (5, 2, 4)
    assert prior.denoise(x, 0.5).shape == x.shape


def test_estimates_without_and_with_a_mean_for_each_position():
    x = PRIORS["odd"].sample(25, np.random.default_rng(17))
    zero = GaussianPrior.estimated(x, mean="zero")
    assert not np.any(zero.mu0)
    np.testing.assert_allclose(
        zero.lam, np.mean(np.abs(np.fft.fft(x, norm="ortho")) ** 2, axis=0), rtol=1e-10
    )
    signal = GaussianPrior.estimated(x, mean="signal")
    np.testing.assert_allclose(signal.mu0, x.mean(0))
    centred = np.fft.fft(x - x.mean(0), norm="ortho")
    np.testing.assert_allclose(signal.lam, np.sum(np.abs(centred) ** 2, axis=0) / 24, rtol=1e-10)


@pytest.mark.parametrize("mean", ["zero", "signal"])
@pytest.mark.parametrize("stationary", [True, False])
def test_estimates_are_unbiased(mean, stationary):
    truth = GaussianPrior.from_spectrum(symmetric_spectrum((5,), 18))
    rng, repeats = np.random.default_rng(19), 800
    covs = np.stack(
        [
            GaussianPrior.estimated(
                truth.sample(4, rng), mean=mean, stationary=stationary
            ).covariance()
            for _ in range(repeats)
        ]
    )
    z = (covs.mean(0) - truth.covariance()) / (covs.std(0) / np.sqrt(repeats))
    assert np.abs(z).max() < 4.5


@pytest.mark.parametrize("stationary", [True, False])
def test_shrinkage_mixes_in_white_noise_of_the_same_trace(stationary):
    x = PRIORS["odd"].sample(20, np.random.default_rng(20))
    raw = GaussianPrior.estimated(x, stationary=stationary).covariance()
    shrunk = GaussianPrior.estimated(x, stationary=stationary, shrinkage=0.3)
    assert shrunk.shrinkage == 0.3
    expected = 0.7 * raw + 0.3 * np.trace(raw) / 9 * np.eye(9)
    np.testing.assert_allclose(shrunk.covariance(), expected, atol=1e-11)


def test_ledoit_wolf_is_scikit_learns():
    from sklearn.covariance import ledoit_wolf_shrinkage

    x = np.random.default_rng(21).standard_normal((15, 12)) * np.linspace(0.1, 2.0, 12)
    prior = GaussianPrior.estimated(x, stationary=False, shrinkage="ledoit-wolf")
    assert prior.shrinkage == pytest.approx(ledoit_wolf_shrinkage(x))
    assert 0.0 < prior.shrinkage < 1.0
    assert prior.lam.min() > 0.0


# --- what is refused --------------------------------------------------------------------------


def spectrum_with(index: int, value: float) -> np.ndarray:
    lam = np.ones(6)
    lam[index] = value
    return lam


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GaussianPrior.from_spectrum(spectrum_with(2, 5.0)), r"symmetric.*lam\[2\] = .*5"),
        (lambda: GaussianPrior.from_spectrum([0.0, 0.0]), "lam must not be zero everywhere"),
        (
            lambda: GaussianPrior.from_spectrum(np.ones((2, 2, 2))),
            "lam: expected 1 or 2 dimensions",
        ),
        (lambda: GaussianPrior.from_spectrum(np.ones(4), np.ones(3)), r"mu0.*\(4,\).*\(3,\)"),
        (lambda: GaussianPrior.from_covariance(np.ones((2, 3))), r"cov must be square.*\(2, 3\)"),
        (lambda: GaussianPrior.from_covariance([[1.0, 0.5], [0.4, 1.0]]), "cov must be symmetric"),
        (lambda: GaussianPrior.from_covariance([[1.0, 2.0], [2.0, 1.0]]), "positive semi-definite"),
        (lambda: GaussianPrior.estimated(np.ones(5)), r"x must be \(n, \*shape\)"),
        (lambda: GaussianPrior.estimated(np.ones((1, 5))), "n >= 2"),
        (lambda: GaussianPrior.estimated(np.eye(4), shrinkage=1.5), r"shrinkage.*\[0, 1\]"),
        (lambda: GaussianPrior.estimated(np.eye(4), shrinkage="ledoit-wolf"), "stationary=False"),
        (lambda: GaussianPrior.estimated(np.ones((3, 2, 2, 2))), "x must .*stationary=False"),
        (lambda: GaussianPrior.ramp(1), "d: got 1, expected a whole number of at least 2"),
        (lambda: GaussianPrior.inverse_f((4, 4, 4)), "shape must have one or two sizes"),
        (lambda: GaussianPrior.inverse_f(1), "shape: got 1, expected .* at least 2"),
        (lambda: GaussianPrior.ramp().denoise(np.ones((2, 50)), 1.0), r"alpha_bar_t.*\(0, 1\)"),
        (lambda: GaussianPrior.ramp().denoise(np.ones((2, 49)), 0.5), r"x_t .*50.*\(2, 49\)"),
        (lambda: GaussianPrior.ramp().denoise(np.ones(50), 0.5), r"x_t .*\(n, 50\).*\(50,\)"),
        (lambda: GaussianPrior.ramp().denoise(np.ones((2, 50), int), 0.5), "x_t must .*floating"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_asymmetry_is_found_at_any_scale(scale):
    """Audio in [-1, 1] has variances near 1e-9; a spectrum in 8-bit units is near 1e9."""
    with pytest.raises(ValueError, match=r"lam\[2\]"):
        GaussianPrior.from_spectrum(scale * spectrum_with(2, 1.01))


def test_to_spectral_refuses_signals_of_another_shape():
    with pytest.raises(ValueError, match=r"x must have shape \(n, 8\), got \(2, 7\)"):
        GaussianPrior.ramp(8).to_spectral(np.zeros((2, 7)))
