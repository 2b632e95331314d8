"""Problems, composition of steps and measures, against dense matrices and Monte Carlo."""

from __future__ import annotations

import warnings

import numpy as np
import oracles_posterior as oracle
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from posterior_cases import (
    ASYMMETRIC,
    CASES,
    FAST,
    SMALL,
    dense,
    fft,
    library,
    noises,
    over_cases,
    over_small,
    spectra,
    steps_of,
    weights_of,
)
from scipy.stats import norm
from torch.distributions import Independent, Normal, kl_divergence

from diffbook import inverse
from diffbook import inverse as ps
from diffbook import samplers as sm
from diffbook import schedules as sc
from diffbook.inverse import gains
from diffbook.priors.gaussian import GaussianPrior
from diffbook.samplers.transfer import ddim_gain

# --- the unified recursion is every published algorithm ---------------------------------------


@over_small
@over_cases
@pytest.mark.parametrize("S", [1, 4])
def test_steps_are_the_published_algorithm(setting, case, S):
    """Same starting noise, same measurement, same noise in every step."""
    g, ab = SMALL[setting], oracle.schedule(S)
    rng = np.random.default_rng(1)
    x, y, *z = rng.standard_normal((S + 3, 5, g.d))
    method, options = CASES[case]
    expected = oracle.sample(
        method, g, ab, x.T, g.mu0[:, None], y.T, lambda s: z[s].T,
        **weights_of(method, S), **options,
    )  # fmt: skip
    p = library(g)
    got = ps.run(p, ab, steps_of(p, ab, case), fft(x), fft(y), lambda s: fft(z[s]))
    np.testing.assert_allclose(got, fft(expected.T), rtol=0, atol=1e-10 * np.abs(got).max())


@over_cases
def test_schedules_may_end_with_noise(case):
    """``alpha_bar[0] < 1``: the last step draws noise, and the output keeps a part of it."""
    g, ab = SMALL["with a zero"], np.array([0.97, 0.6, 0.1, 1e-3])
    p = library(g)
    t, M = ps.compose(p, ab, steps_of(p, ab, case)), dense(g, ab, case)
    size = np.abs(M.V).max()
    np.testing.assert_allclose(oracle.circulant(t.V), M.V, rtol=0, atol=1e-10 * size)
    np.testing.assert_allclose(
        oracle.circulant(t.D2), M.D2, atol=1e-10 * np.abs(M.D2).max() + 1e-12
    )
    np.testing.assert_allclose(t.mse, M.mse(), rtol=1e-9)
    np.testing.assert_allclose(t.consistency, M.consistency(), rtol=1e-8)


@over_small
@over_cases
def test_composition_and_measures_are_those_of_dense_matrices(setting, case):
    g, ab = SMALL[setting], oracle.schedule(4)
    p, M = library(g), dense(SMALL[setting], oracle.schedule(4), case)
    t = ps.compose(p, ab, steps_of(p, ab, case))
    size = max(np.abs(M.D3).max(), 1.0)
    for got, matrix in ((t.D1, M.D1), (t.D2, M.D2), (t.D3, M.D3)):
        whole = oracle.circulant(got)
        if got is t.D1 and case.startswith("mcg"):
            whole, matrix = np.abs(whole), np.abs(whole)  # the noise's phase is free
        np.testing.assert_allclose(whole, matrix, rtol=0, atol=1e-10 * size)
    np.testing.assert_allclose(oracle.circulant(t.V), M.V, atol=1e-10 * size**2)
    bias, gain, std = M.parts(commuting=True)
    np.testing.assert_allclose(t.bias.sum(), bias, rtol=1e-8, atol=1e-14)
    np.testing.assert_allclose(t.gain.sum(), gain, rtol=1e-9, atol=1e-14)
    # The root of a variance that is zero is known to the root of the rounding error only.
    np.testing.assert_allclose(t.std.sum(), std, rtol=1e-8, atol=1e-14)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # square roots of singular matrices: a point estimate
        np.testing.assert_allclose(t.w2_squared, M.w2(), rtol=1e-7)
        np.testing.assert_allclose(t.perception, M.perception(), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(t.mse, M.mse(), rtol=1e-9)
    np.testing.assert_allclose(t.consistency, M.consistency(), rtol=1e-8, atol=1e-20)


@over_cases
@pytest.mark.parametrize("name", "ABC")
def test_mean_identity(case, name):
    """``sqrt(ab_S) D1 + D2 + h D3 = sqrt(ab_0)``.

    DDRM is the exception: a mode that starts from y starts at the right mean and stays there.
    """
    p, ab = library(oracle.problem(name)), oracle.schedule(25)
    method, options = CASES[case]
    weights = weights_of(method, 25)
    if method in ("dps", "pigdm", "ald"):  # beyond the bound round-off would be amplified as well
        bound = inverse.stability_bound(p, ab, getattr(gains, method), **options)
        weights["weights"] = np.minimum(weights["weights"], bound)
    steps = getattr(gains, method)(p, ab, **weights, **options)
    t = ps.compose(p, ab, steps)
    response = t.D1 / np.sqrt(steps.start_var)
    if method == "ddrm":
        assert np.any(steps.start_y != 0.0)
        response = np.where(steps.start_y != 0.0, 0.0, response)
    error = np.abs(np.sqrt(ab[-1]) * response + t.D2 + p.h * t.D3 - 1.0)
    assert np.max(error / np.maximum(1.0, np.abs(t.D2))) < 1e-12


def test_shared_schedule_ends_at_the_denoisers_answer():
    """With ``alpha_bar[0] = 1`` the last step returns x0_hat of the last state."""
    g, ab = SMALL["odd"], oracle.schedule(1)
    x = np.random.default_rng(0).standard_normal((3, g.d))
    p = library(g)
    got = ps.run(p, ab, gains.prior(p, ab), fft(x), 0.0 * x)
    expected = oracle.denoise(x.T, ab[1], g.cov, g.mu0[:, None]).T
    np.testing.assert_allclose(got, fft(expected), atol=1e-13)


# --- problem ----------------------------------------------------------------------------------


@FAST
@given(spectra, noises, st.sampled_from(sorted(CASES)), st.integers(1, 4))
def test_variance_and_distance_are_never_negative(spectrum, sigma_y, case, S):
    lam, modulus, phase = map(np.array, spectrum)
    p = ps.make_problem(lam, modulus * np.exp(1j * phase), sigma_y, mu0=np.ones_like(lam))
    t = ps.compose(p, oracle.schedule(S), steps_of(p, oracle.schedule(S), case))
    assert np.all(t.V >= 0.0)
    assert t.w2_squared >= 0.0 and t.perception >= 0.0
    assert np.all(t.V >= np.abs(t.D1) ** 2 * (1.0 - 1e-9))
    # Triangle inequality for couplings: averaging over y can only hide errors.
    assert t.w2_squared >= t.perception * (1.0 - 1e-9) - 1e-9 * np.sum(lam)
    assert t.mse >= p.mmse * (1.0 - 1e-12)
    assert not np.isnan(t.kl) and t.kl >= -1e-9


@FAST
@given(spectra, st.floats(1e-3, 5.0), st.integers(1, 12), st.floats(0.0, 1.0))
def test_ideal_steps_shrink_every_mode_and_keep_its_sign(spectrum, sigma_y, S, eta):
    """In coordinates ``x / sqrt(alpha_bar)`` every gain of the exact sampler lies in (0, 1]."""
    lam, modulus, phase = map(np.array, spectrum)
    p = ps.make_problem(lam, modulus * np.exp(1j * phase), sigma_y)
    ab = oracle.schedule(S)
    steps = gains.ideal(p, ab, eta=eta)
    for s in range(1, S + 1):
        G = (steps.P[s - 1] + steps.Q[s - 1] * p.slope(ab[s])) * np.sqrt(ab[s] / ab[s - 1])
        assert np.all(G >= -1e-12)
        assert np.all(G <= 1.0 + 1e-12)
        if s > 1:
            assert np.all(G > 0.0)


# --- the exact posterior sampler --------------------------------------------------------------


@pytest.mark.parametrize("name", "ABC")
@pytest.mark.parametrize("S", [1, 5, 25])
def test_ideal_sampler_is_the_closed_product(name, S):
    p, ab = library(oracle.problem(name)), oracle.schedule(S)
    t = ps.compose(p, ab, gains.ideal(p, ab))
    D1 = ddim_gain(p.lam_p, ab)
    np.testing.assert_allclose(t.D1, D1, rtol=1e-11)
    D2 = 1.0 - np.sqrt(ab[-1]) * D1
    np.testing.assert_allclose(t.D3, p.K * D2, rtol=0, atol=1e-12)
    np.testing.assert_allclose(t.D2, (1.0 - p.K * p.h) * D2, rtol=0, atol=1e-12)


def test_ideal_sampler_tends_to_the_posterior():
    p = library(oracle.problem("A"))
    error = []
    for S in (10, 100, 1000):
        t = ps.compose(p, oracle.schedule(S), gains.ideal(p, oracle.schedule(S)))
        error.append(np.max(np.abs(t.D1 / np.sqrt(p.lam_p) - 1.0)))
        assert np.all(t.D1 < np.sqrt(p.lam_p))  # it always under-disperses
    np.testing.assert_allclose(error, [0.72, 0.141, 0.017], rtol=0.02)
    np.testing.assert_allclose(t.D3, p.K, rtol=0.01)  # the rest is the start, sqrt(ab_S)


@pytest.mark.parametrize("setting", ["odd", "with a zero", "denoising"])
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_ddim_on_the_posterior_prior_is_the_ideal_sampler(setting, eta):
    """In the signal domain, with the sampler and the denoiser of the unconditional case."""
    g, ab = SMALL[setting], oracle.schedule(6)
    prior = GaussianPrior.from_spectrum(g.lam, mu0=g.mu0)
    rng = np.random.default_rng(2)
    y, x, *z = rng.standard_normal((9, g.d))
    conditional = ps.posterior_prior(prior, g.h, g.sigma_y, y)
    K, C = dense(g, ab, "prior").posterior
    np.testing.assert_allclose(conditional.mu0, g.mu0 + K @ (y - g.H @ g.mu0), atol=1e-12)
    np.testing.assert_allclose(conditional.covariance(), C, atol=1e-12)
    got = sm.ddim(conditional.denoise, x[None], ab, eta=eta, noise=lambda s, _: z[s][None]).sample
    expected = oracle.sample(
        "ideal", g, ab, x[:, None], g.mu0[:, None], y[:, None], lambda s: z[s][:, None], eta=eta
    )
    np.testing.assert_allclose(got[0], expected[:, 0], atol=1e-12)
    p = ps.make_problem(prior, g.h, g.sigma_y)
    steps = gains.ideal(p, ab, eta=eta)
    spectral = ps.run(p, ab, steps, fft(x[None]), fft(y[None]), lambda s: fft(z[s][None]))
    np.testing.assert_allclose(fft(got), spectral, atol=1e-12)


def test_posterior_prior_of_an_image():
    """Two axes, even and odd: shape, symmetry and mean of the posterior."""
    rng = np.random.default_rng(3)
    prior = GaussianPrior.inverse_f((4, 5), beta=2.0)
    kernel = np.zeros((4, 5))
    kernel[0, 0], kernel[1, 0], kernel[0, 1] = 0.5, 0.3, 0.2
    y, h = rng.standard_normal((4, 5)), np.fft.fft2(kernel)
    found = ps.posterior_prior(prior, h, 0.2, y)
    H = np.stack([
        np.real(np.fft.ifft2(h * np.fft.fft2(e.reshape(4, 5)))).ravel() for e in np.eye(20)
    ], axis=1)  # fmt: skip
    cov = prior.covariance()
    K = cov @ H.T @ np.linalg.inv(H @ cov @ H.T + 0.04 * np.eye(20))
    np.testing.assert_allclose(found.mu0.ravel(), K @ y.ravel(), atol=1e-12)
    np.testing.assert_allclose(found.covariance(), cov - K @ H @ cov, atol=1e-12)


# --- measures ---------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["ideal", "dps, eta 0.6", "ddrm", "diffpir", "pigdm"])
def test_kl_is_torchs(case):
    """Mean over y of a quadratic in y: the mean over two points at one standard deviation."""
    p, ab = ps.merged(library(SMALL["even"])), oracle.schedule(4)
    t = ps.compose(p, ab, steps_of(p, ab, case))
    law = [torch.as_tensor(np.sqrt(v)) for v in (t.V, p.lam_p)]
    total = 0.0
    for sign in (1.0, -1.0):
        error = (t.mean_response - 1.0) * p.mu0 + sign * (t.D3 - p.K) * np.sqrt(p.S_y)
        sampler = Independent(Normal(torch.as_tensor(error), law[0]), 0)
        each = kl_divergence(sampler, Independent(Normal(torch.zeros(len(error)), law[1]), 0))
        total += 0.5 * float(each.numpy() @ p.count)
    assert t.kl == pytest.approx(total, rel=1e-6)


def test_kl_of_a_point_estimate_and_of_a_deterministic_posterior():
    p = ps.make_problem([1.0, 2.0], [1.0, 1.0], 0.5)
    point = ps.PosteriorTransfer(p, np.zeros(2), 1.0 - p.K, p.K, np.zeros(2))
    assert point.kl == np.inf
    assert point.w2_squared == pytest.approx(p.mmse)
    # Without measurement noise the posterior is a point: any spread is infinitely far in KL.
    exact = ps.make_problem([1.0, 2.0], [1.0, 1.0], 0.0)
    spread = ps.PosteriorTransfer(exact, np.ones(2), np.zeros(2), np.ones(2), np.ones(2))
    assert spread.kl == np.inf
    wrong = ps.PosteriorTransfer(exact, np.zeros(2), np.ones(2), np.zeros(2), np.zeros(2))
    assert wrong.kl == np.inf
    right = ps.PosteriorTransfer(exact, np.zeros(2), np.zeros(2), np.ones(2), np.zeros(2))
    assert right.kl == 0.0


@pytest.mark.parametrize(
    "case", ["ideal, eta 1", "dps, eta 0.6", "pigdm", "diffpir", "ddnm_plus", "ddrm", "ald", "mcg"]
)
def test_measures_against_monte_carlo(case):
    """20,000 runs of the published algorithm; every z-score below 5."""
    g, S, n = oracle.small(6, ASYMMETRIC), 4, 20_000
    ab, rng = oracle.schedule(S), np.random.default_rng(7)
    root = np.linalg.cholesky(g.cov)
    x0 = g.mu0[:, None] + root @ rng.standard_normal((g.d, n))
    y = g.H @ x0 + g.sigma_y * rng.standard_normal((g.d, n))
    method, options = CASES[case]
    out = oracle.sample(
        method, g, ab, rng.standard_normal((g.d, n)), g.mu0[:, None], y,
        lambda s: rng.standard_normal((g.d, n)), **weights_of(method, S), **options,
    )  # fmt: skip
    p = library(g)
    t = ps.compose(p, ab, steps_of(p, ab, case))

    def z_score(samples, expected):
        return (samples.mean() - expected) / (samples.std() / np.sqrt(n))

    assert abs(z_score(np.sum((out - x0) ** 2, axis=0), t.mse)) < 5.0
    residual = np.sum((y - g.H @ out) ** 2, axis=0)
    if not case.startswith("mcg"):  # an invertible blur leaves MCG no residual
        assert abs(z_score(residual, t.consistency)) < 5.0
    else:
        assert residual.max() < 1e-20 and t.consistency < 1e-20
    # Of the output over all measurements: mean, and variance of every mode.
    mean = np.fft.ifft(t.mean_response * g.mu0_spectral, norm="ortho").real
    for i in range(g.d):
        assert abs(z_score(out[i], mean[i])) < 5.0
    power = np.abs(np.fft.fft(out - mean[:, None], axis=0, norm="ortho")) ** 2
    for i in range(g.d):
        assert abs(z_score(power[i], t.output_spectrum[i])) < 5.0
    # The distance between laws, from the sampled spectrum and mean.
    sampled = np.sum((out.mean(axis=1) - g.mu0) ** 2)
    sampled += np.sum((np.sqrt(g.lam) - np.sqrt(power.mean(axis=1))) ** 2)
    assert sampled == pytest.approx(t.perception, rel=0.1, abs=5e-3)


@pytest.mark.parametrize("case", ["ideal", "dps, eta 0.6", "ddrm", "diffpir", "ddnm"])
def test_coverage_against_monte_carlo(case):
    g, S, n = oracle.small(10, ASYMMETRIC), 4, 20_000
    ab, rng = oracle.schedule(S), np.random.default_rng(8)
    x0 = g.mu0[:, None] + np.linalg.cholesky(g.cov) @ rng.standard_normal((g.d, n))
    y = g.H @ x0 + g.sigma_y * rng.standard_normal((g.d, n))
    M, p = dense(g, ab, case), library(g)
    t = ps.compose(p, ab, steps_of(p, ab, case))
    mean = (M.D2 @ g.mu0)[:, None] + M.D3 @ y
    spread = np.sqrt(np.diag(M.V))[:, None]
    levels = np.array([0.5, 0.9])
    inside = [np.mean(np.abs(x0 - mean) < norm.ppf(0.5 + 0.5 * q) * spread) for q in levels]
    np.testing.assert_allclose(t.coverage(levels), inside, atol=0.01)
    assert t.coverage(0.5) == pytest.approx(t.coverage(levels)[0])


def test_bias_lowers_coverage():
    """A wrong mean is an error of every pixel; intervals do not widen for it."""
    p = ps.make_problem(np.ones(4), np.ones(4), 1.0, mu0=[4.0, 0.0, 0.0, 0.0])
    off = ps.PosteriorTransfer(p, np.zeros(4), 0.75 - p.K, p.K, np.full(4, 0.5))
    assert off.bias.sum() == pytest.approx(1.0)
    # Mean variance 1/2, mean squared error 1/2 + 1/4.
    expected = 2.0 * norm.cdf(norm.ppf(0.95) * np.sqrt(0.5 / 0.75)) - 1.0
    assert off.coverage(0.9) == pytest.approx(expected, rel=1e-12)


def test_coverage_of_reference_methods():
    """Nominal 50 and 90 per cent at 25 steps of problem A."""
    p, ab = library(oracle.problem("A")), oracle.schedule(25)
    expected = {
        "ideal": (gains.ideal(p, ab), (0.43, 0.84)),
        "pigdm": (gains.pigdm(p, ab), (0.37, 0.76)),
        "dps": (gains.dps(p, ab, inverse.dps_normalised(p, ab, 1.0)), (0.43, 0.83)),
        "ddrm": (gains.ddrm(p, ab), (0.268, 0.596)),
        "diffpir": (gains.diffpir(p, ab, np.full(25, 7.0)), (0.50, 0.90)),
    }
    for name, (steps, values) in expected.items():
        got = ps.compose(p, ab, steps).coverage([0.5, 0.9])
        np.testing.assert_allclose(got, values, atol=0.006, err_msg=name)


@pytest.mark.parametrize("name", "ABC")
def test_distortion_perception_identities(name):
    """The four estimators of the Gaussian problem, with their gains put in by hand."""
    p = ps.merged(library(oracle.problem(name)))
    zero = np.zeros(p.lam.size)

    def estimator(gain, V=zero):
        return ps.PosteriorTransfer(p, zero, 1.0 - p.h * gain, gain, V)

    bounds = ps.distortion_perception(p, points=11)
    mmse, sample = estimator(p.K), estimator(p.K, p.lam_p)
    stretch = 1.0 / np.sqrt(p.rho)
    transport = estimator(stretch * p.K)
    near = {"rel": 1e-8, "abs": 1e-8}
    assert mmse.mse == pytest.approx(bounds["d_min"], **near)
    assert mmse.perception == pytest.approx(bounds["p_max"], **near)
    assert mmse.w2_squared == pytest.approx(bounds["d_min"], **near)
    assert sample.mse == pytest.approx(bounds["d_posterior"], **near)
    assert sample.perception == pytest.approx(0.0, abs=1e-8)
    assert sample.w2_squared == pytest.approx(0.0, abs=1e-8)
    assert transport.mse == pytest.approx(bounds["d_map"], **near)
    assert transport.perception == pytest.approx(0.0, abs=1e-8)
    assert transport.w2_squared == pytest.approx(bounds["d_map"], **near)
    for i, share in enumerate(np.linspace(1.0, 0.0, 11)):
        t = estimator((share + (1.0 - share) * stretch) * p.K)
        assert t.mse == pytest.approx(bounds["mse"][i], **near)
        assert t.perception == pytest.approx(bounds["perception"][i], **near)
    if name == "A":
        assert bounds["p_max"] == pytest.approx(oracle.P_MAX_A, rel=1e-4)


# --- what is refused --------------------------------------------------------------------------


def test_other_bad_arguments_are_refused():
    p, ab = library(SMALL["odd"]), oracle.schedule(4)
    prior = GaussianPrior.from_spectrum(SMALL["odd"].lam)
    steps = gains.prior(p, ab)
    with pytest.raises(ValueError, match=r"^alpha_bar"):
        ps.compose(p, ab[::-1], steps)
    with pytest.raises(ValueError, match=r"^alpha_bar"):
        ps.compose(p, [1.0, 0.5, 0.7], steps)
    with pytest.raises(ValueError, match=r"^alpha_bar"):
        ps.run(p, [1.0, 0.5, np.nan], steps, np.zeros((1, 9)), np.zeros((1, 9)))
    with pytest.raises(ValueError, match=r"^steps has 4 rows"):
        ps.compose(p, oracle.schedule(5), steps)
    with pytest.raises(ValueError, match=r"^steps has 4 rows"):
        ps.run(p, oracle.schedule(3), steps, np.zeros((1, 9)), np.zeros((1, 9)))
    with pytest.raises(ValueError, match=r"^noise is needed"):
        ps.run(p, ab, gains.prior(p, ab, eta=1.0), np.zeros((1, 9)), np.zeros((1, 9)))
    with pytest.raises(ValueError, match=r"^y: expected shape \(9,\)"):
        ps.posterior_prior(prior, SMALL["odd"].h, 0.1, np.zeros((1, 9)))
    with pytest.raises(ValueError, match=r"^h must be Hermitian"):
        ps.posterior_prior(prior, 1j * SMALL["odd"].h, 0.1, np.zeros(9))


def test_schedule_of_the_reference_table():
    for S in oracle.STEPS:
        np.testing.assert_allclose(sc.ddpm_respaced(S), oracle.schedule(S), rtol=1e-12)
