"""Transfer functions against the paper's recursions, dense matrices, an ODE solver and autograd."""

from __future__ import annotations

import numpy as np
import oracles
import oracles_posterior as posterior_oracle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from diffbook import schedules as sc
from diffbook.priors import distances as ds
from diffbook.priors.gaussian import GaussianPrior
from diffbook.samplers.transfer import (
    Transfer,
    ddim_gain,
    flow_gain,
    step_coefficients,
    transfer,
)
from diffbook.schedules.levels import sigma_and_scale

FAST = settings(max_examples=60, deadline=None, derandomize=True)
RAMP = GaussianPrior.ramp()
LAM = RAMP.lam
STEPS = (1, 2, 5, 10, 20, 50, 112)
SCHEDULES = {
    "linear_alpha_bar": sc.linear_alpha_bar,
    "linear_beta": sc.linear_beta,
    "cosine": sc.cosine,
    "sigmoid": sc.sigmoid,
    "edm": lambda S: sc.sigma_to_alpha_bar(sc.edm(S, *sc.sigma_range())),
}
over_schedules = pytest.mark.parametrize("name", SCHEDULES)
over_steps = pytest.mark.parametrize("S", STEPS)


@st.composite
def alpha_bars(draw, max_steps: int = 10) -> np.ndarray:
    """Monotone VP schedules of any shape, with log(sigma) roughly in [-6, 6]."""
    steps = draw(st.lists(st.floats(0.02, 3.0), min_size=1, max_size=max_steps))
    log_sigma = draw(st.floats(-6.0, 2.0)) + np.concatenate([[0.0], np.cumsum(steps)])
    return sc.log_snr_to_alpha_bar(-2.0 * np.minimum(log_sigma, 6.0 + 0.01 * log_sigma))


spectra = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=5).map(np.array)
etas = st.sampled_from([0.0, 0.2, 0.7, 1.0])


def close(actual, expected, tolerance: float = 1e-10) -> None:
    """Largest relative error per array."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert np.all(np.abs(actual - expected) <= tolerance * np.abs(expected) + 1e-300)


def continuous_limit(lam, schedule, *, eta=0.0, process="vp") -> Transfer:
    """Output and initial noise in the limit of infinitely many steps between a schedule's ends.

    In y coordinates the mean response tends to ``(V_0 / V_S)^((1 + eta^2) / 2)`` and the variance
    to ``V_0 (1 - (V_0 / V_S)^(eta^2) (1 - v_S / V_S))`` with ``V_s = lam + sigma_s^2`` and initial
    variance ``v_S``: what remains of the error is the ends' alone.
    """
    lam = np.asarray(lam, dtype=float)
    sigma, scale = (a[[0, -1]] for a in sigma_and_scale(schedule, process))
    V0, VS = (lam + s**2 for s in sigma)
    start = 1.0 / scale[1] ** 2 if process == "vp" else sigma[1] ** 2
    gain = (V0 / VS) ** (0.5 * (1.0 + eta**2))
    var = V0 * (1.0 - (V0 / VS) ** (eta**2) * (1.0 - start / VS))
    ones = np.ones_like(lam)
    return Transfer(
        np.stack([gain * scale[0] / scale[1], ones]),
        np.stack([scale[0] * (1.0 - gain), 0.0 * ones]),
        np.stack([var * scale[0] ** 2, start * scale[1] ** 2 * ones]),
        lam,
    )


# --- DDIM -------------------------------------------------------------------------------------


@over_schedules
@over_steps
def test_ddim_gain_has_three_equal_forms(name, S):
    alpha_bar = SCHEDULES[name](S)
    product, _ = oracles.ddim_d1_d2(LAM, alpha_bar)
    close(oracles.ddim_d1_sigma(LAM, alpha_bar), product)
    close(transfer(LAM, alpha_bar).D1, product)
    close(ddim_gain(LAM, alpha_bar), product)


@over_schedules
@over_steps
def test_ddim_mean_gain_is_the_papers_sum_of_products(name, S):
    alpha_bar = SCHEDULES[name](S)
    D1, D2 = oracles.ddim_d1_d2(LAM, alpha_bar)
    close(transfer(LAM, alpha_bar).D2, D2)
    close(np.sqrt(alpha_bar[0]) - np.sqrt(alpha_bar[-1]) * D1, D2)


@given(lam=spectra, alpha_bar=alpha_bars())
@FAST
def test_ddim_properties_for_any_schedule(lam, alpha_bar):
    t = transfer(lam, alpha_bar)
    D1, D2 = oracles.ddim_d1_d2(lam, alpha_bar)
    np.testing.assert_allclose(t.D1, D1, rtol=1e-9)
    np.testing.assert_allclose(t.D2, D2, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(t.D1, ddim_gain(lam, alpha_bar), rtol=1e-9)
    np.testing.assert_allclose(t.std, t.D1, rtol=1e-12)
    # DDIM loses variance in every mode, whatever the schedule.
    assert np.all(t.D1 <= flow_gain(lam, alpha_bar) * (1 + 1e-12))
    assert np.all(t.D1 > 0)
    assert np.all(t.phase == 0)


@given(lam=spectra, alpha_bar=alpha_bars(8), where=st.floats(0.05, 0.95), step=st.integers(0, 7))
@FAST
def test_an_extra_step_never_hurts_the_gain(lam, alpha_bar, where, step):
    """Splitting an angle increment raises the product of cosines."""
    log_snr = sc.alpha_bar_to_log_snr(alpha_bar)
    s = step % (len(log_snr) - 1)
    between = (1 - where) * log_snr[s] + where * log_snr[s + 1]
    finer = sc.log_snr_to_alpha_bar(np.insert(log_snr, s + 1, between))
    assert np.all(transfer(lam, finer).D1 >= transfer(lam, alpha_bar).D1 * (1 - 1e-9))


def test_flow_gain_solves_the_probability_flow_ode():
    """``dy/dsigma = (y - E[x0 | y]) / sigma = sigma y / (lam + sigma^2)``, integrated by SciPy."""
    alpha_bar = sc.cosine(3)
    sigma, scale = sigma_and_scale(alpha_bar, "vp")
    lam = np.array([0.05, 1.0, 30.0, 400.0])
    flow = solve_ivp(
        lambda x, y: np.exp(2 * x) / (lam + np.exp(2 * x)) * y,
        np.log(sigma[[-1, 0]]),
        np.ones(4),
        method="DOP853",
        rtol=1e-11,
        atol=1e-14,
    )
    close(flow_gain(lam, alpha_bar), flow.y[:, -1] * scale[0] / scale[-1], 1e-8)


def test_one_step_by_hand():
    # S = 1, lam = 2, alpha_bar = (0.8, 0.2): x0_hat = E[x0 | x], eps_hat from the same x.
    lam, ab = 2.0, np.array([0.8, 0.2])
    wiener = np.sqrt(0.2) * 2.0 / (0.2 * 2.0 + 0.8)
    by_hand = np.sqrt(0.8) * wiener + np.sqrt(0.2 / 0.8) * (1 - np.sqrt(0.2) * wiener)
    assert transfer([lam], ab).D1[0] == pytest.approx(by_hand, rel=1e-14)


# --- DDPM and the family between --------------------------------------------------------------


@over_schedules
@over_steps
def test_ddpm_is_the_ancestral_recursion_at_every_state(name, S):
    alpha_bar = SCHEDULES[name](S)
    gain, mean_gain, var = oracles.ddpm_recursion(LAM, alpha_bar)
    t = transfer(LAM, alpha_bar, eta=1.0)
    close(t.gain, gain, 1e-9)
    close(t.var, var, 1e-9)
    np.testing.assert_allclose(t.mean_gain, mean_gain, rtol=1e-9, atol=1e-15)
    close(t.var[0], oracles.ddpm_closed_sum(LAM, alpha_bar), 1e-8)


@over_steps
def test_ddpm_gains_do_not_depend_on_the_interior_schedule(S):
    reference = transfer(LAM, sc.linear_beta(S), eta=1.0)
    ab_0, ab_S = 1 - sc.EPS_0, sc.EPS_S
    closed = np.sqrt(ab_0 * ab_S) * (LAM + sc.EPS_0 / ab_0) / (ab_S * LAM + 1 - ab_S)
    close(reference.D1, closed)
    for schedule in SCHEDULES.values():
        t = transfer(LAM, schedule(S), eta=1.0)
        close(t.D1, reference.D1)
        close(t.D2, reference.D2)
    rng = np.random.default_rng(S)
    random = np.sort(rng.uniform(ab_S, ab_0, S + 1))[::-1]
    random[[0, -1]] = ab_0, ab_S
    close(transfer(LAM, random, eta=1.0).D1, reference.D1)


@given(lam=spectra, alpha_bar=alpha_bars(), eta=etas)
@FAST
def test_eta_family_properties_for_any_schedule(lam, alpha_bar, eta):
    t = transfer(lam, alpha_bar, eta=eta)
    D2, var = oracles.eta_output(lam, alpha_bar, eta)
    np.testing.assert_allclose(t.var[0], var, rtol=1e-8)
    np.testing.assert_allclose(t.D2, D2, rtol=1e-8, atol=1e-10)
    ends = np.sqrt(alpha_bar[[0, -1]])
    np.testing.assert_allclose(t.D2, ends[0] - ends[1] * t.D1, rtol=1e-9, atol=1e-12)
    # Both ends of the family lose variance against the exact reverse process between the ends.
    if eta in (0.0, 1.0):
        assert np.all(t.var[0] <= continuous_limit(lam, alpha_bar, eta=eta).var[0] * (1 + 1e-9))


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("kind", ["circulant", "general"])
def test_every_state_against_dense_matrices(eta, kind):
    """Any covariance: nothing uses stationarity beyond the basis."""
    rng = np.random.default_rng(3)
    if kind == "circulant":
        prior = GaussianPrior.ramp(12, mu0=0.4)
        basis = oracles.dft_matrix(12).conj().T
    else:
        factor = rng.standard_normal((20, 30))
        prior = GaussianPrior.from_covariance(factor @ factor.T / 10, rng.standard_normal(20))
        basis = prior.basis
    alpha_bar = sc.cosine(6)
    mean, cov = oracles.eta_matrices(prior.covariance(), prior.mu0, alpha_bar, eta)
    t = transfer(prior.lam, alpha_bar, eta=eta)
    for s in range(7):
        predicted_mean = basis @ (t.mean_gain[s] * prior.mu0_spectral)
        np.testing.assert_allclose(predicted_mean, mean[s], atol=1e-12)
        np.testing.assert_allclose(
            (basis * t.var[s]) @ basis.conj().T, cov[s], atol=1e-11 * cov[s].max()
        )
    out_mean, out_cov = t.output_gaussian(prior.mu0_spectral, basis)
    np.testing.assert_allclose(out_mean, mean[0], atol=1e-12)
    np.testing.assert_allclose(out_cov, cov[0], atol=1e-10)

    # The distances by modes are those of the matrices.
    data = (prior.mu0, prior.covariance())
    output = (mean[0], 0.5 * (cov[0] + cov[0].T))
    error = t.mean_error(prior.mu0_spectral)
    assert ds.w2_spectral(prior.lam, t.std, error) == pytest.approx(
        ds.w2_gaussian(*data, *output), rel=1e-9
    )
    assert ds.kl_spectral(prior.lam, t.std, error) == pytest.approx(
        ds.kl_gaussian(*data, *output), rel=1e-9
    )
    assert ds.kl_spectral(prior.lam, t.std, error, reverse=True) == pytest.approx(
        ds.kl_gaussian(*output, *data), rel=1e-9
    )


@pytest.mark.parametrize(
    ("eta", "gain", "tau2"), [(1.0, 3.25 / 7.0, 0.25 * 3.75 / 4.0), (0.0, 4.0 / 7.0, 0.0)]
)
def test_one_ve_step_by_hand(eta, gain, tau2):
    t = transfer([3.0], [0.5, 2.0], eta=eta, process="ve")
    assert t.D1[0] == pytest.approx(gain)
    assert t.var[0, 0] == pytest.approx(gain**2 * 4.0 + tau2)


def test_a_single_long_ddpm_step_keeps_its_digits():
    """``keep = sqrt(sigma_0^2 - tau^2)`` is a difference of nearly equal numbers at eta = 1."""
    low, high = 1e-3, 1e5
    t = transfer([0.0], [low, high], eta=1.0, process="ve")
    assert t.D1[0] == pytest.approx((low / high) ** 2, rel=1e-12)


# --- VE ---------------------------------------------------------------------------------------


@over_schedules
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ve_against_its_recursion_and_vp(name, eta):
    alpha_bar = SCHEDULES[name](10)
    sigma = sc.alpha_bar_to_sigma(alpha_bar)
    ve, vp = transfer(LAM, sigma, eta=eta, process="ve"), transfer(LAM, alpha_bar, eta=eta)
    D2, var = oracles.eta_output(LAM, alpha_bar, eta, "ve")
    close(ve.D2, D2, 1e-9)
    close(ve.var[0], var, 1e-9)
    # Same path: the gains differ by the scales of the ends only.
    scale = np.sqrt(alpha_bar[0] / alpha_bar[-1])
    close(vp.D1, scale * ve.D1)
    close(ve.D2, 1 - ve.D1, 1e-9)
    # The initial variances differ by 1 in y: sigma_S^2 against sigma_S^2 + 1.
    extra = alpha_bar[0] * ve.D1**2
    np.testing.assert_allclose(vp.var[0], alpha_bar[0] * ve.var[0] + extra, rtol=1e-10)
    if eta == 0.0:
        close(ve.std, sigma[-1] * ve.D1)
    if eta == 1.0:
        close(ve.var[0], oracles.ddpm_closed_sum(LAM, alpha_bar, "ve"), 1e-8)


def test_a_schedule_may_end_without_noise():
    sigma = np.concatenate([[0.0], sc.edm(17, 0.002, 80.0)])
    for eta in (0.0, 0.5, 1.0):
        t = transfer(LAM, sigma, eta=eta, process="ve")
        # The last step returns the denoiser's answer, so its Wiener gain is the step's.
        wiener = LAM / (LAM + 0.002**2)
        close(t.gain[0], wiener * t.gain[1])
        close(t.var[0], wiener**2 * t.var[1])


def test_a_mode_without_variance_decays_with_the_noise():
    sigma = sc.log_linear(7, 0.01, 50.0)
    t = transfer([0.0, 1.0], sigma, process="ve")
    close(t.gain[:, 0], sigma / 50.0)
    close(t.D2[0], 1 - 0.01 / 50.0)


# --- limits, mean bias ------------------------------------------------------------------------


@pytest.mark.parametrize("process", ["vp", "ve"])
@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_many_steps_tend_to_the_continuous_limit_at_rate_one(eta, process):
    def error(S: int) -> np.ndarray:
        sigma = sc.edm(S, *sc.sigma_range())
        schedule = sigma if process == "ve" else sc.sigma_to_alpha_bar(sigma)
        limit = continuous_limit(LAM, schedule, eta=eta, process=process)
        t = transfer(LAM, schedule, eta=eta, process=process)
        return np.stack([t.D1 / limit.D1, t.var[0] / limit.var[0]]) - 1.0

    coarse, fine = error(2000), error(4000)
    assert np.abs(fine).max() < 0.02
    moving = np.abs(coarse) > 1e-5  # DDPM's gain is exact at any S
    np.testing.assert_allclose(coarse[moving] / fine[moving], 2.0, rtol=0.05)


def test_continuous_limit_of_ddim_is_the_flow():
    for schedule in SCHEDULES.values():
        limit = continuous_limit(LAM, schedule(5))
        close(limit.D1, flow_gain(LAM, schedule(5)))
        close(limit.std, limit.D1)
        close(limit.D2, np.sqrt(1 - sc.EPS_0) - np.sqrt(sc.EPS_S) * limit.D1)
        assert limit.gain.shape == (2, 50)
        np.testing.assert_array_equal(limit.gain[1], 1.0)
        np.testing.assert_array_equal(limit.mean_gain[1], 0.0)
        np.testing.assert_allclose(limit.var[1], 1.0)


def test_exact_reverse_process_started_right_ends_at_the_datas_variance():
    # With VE and v_S = sigma_S^2 the start lacks lam only; a huge sigma_S removes the error.
    for eta in (0.0, 1.0):
        limit = continuous_limit(LAM, [1e-8, 1e8], eta=eta, process="ve")
        np.testing.assert_allclose(limit.var[0], LAM, rtol=1e-8)


def test_mean_bias_is_that_of_the_terminal_level():
    """The paper's mean bias: ``(1 - D2) mu = (1 - sqrt(ab_0) + sqrt(ab_S) D1) mu``."""
    prior = GaussianPrior.ramp(mu0=0.05)
    for S in STEPS:
        alpha_bar = sc.linear_beta(S)
        t = transfer(prior.lam, alpha_bar)
        bias = 1 - np.sqrt(alpha_bar[0]) + np.sqrt(alpha_bar[-1]) * t.D1
        np.testing.assert_allclose(
            t.mean_error(prior.mu0_spectral), -bias * prior.mu0_spectral, atol=1e-10
        )
    # It does not vanish with S, but with eps_S: about sqrt(lam eps_S).
    for eps_S, expected in ((4e-5, 0.126), (1e-6, 0.0200), (1e-9, 0.00068)):
        limit = continuous_limit([400.0], [1 - sc.EPS_0, eps_S])
        assert 1 - limit.D2[0] == pytest.approx(expected, rel=0.02)


# --- autograd, interface ----------------------------------------------------------------------


@pytest.mark.parametrize("eta", [0.0, 0.6])
def test_gain_is_the_jacobian_of_the_sampler(eta):
    prior, alpha_bar = GaussianPrior.ramp(8, mu0=0.3), sc.cosine(5)
    ab = torch.from_numpy(alpha_bar)

    def sample(x_S: torch.Tensor) -> torch.Tensor:
        x = x_S
        for s in range(5, 0, -1):
            x0_hat = prior.denoise(x[None], float(ab[s]))[0]
            x = oracles.eta_step_song(x, x0_hat, ab[s], ab[s - 1], eta, 0.0)
        return x

    jacobian = torch.autograd.functional.jacobian(sample, torch.zeros(8, dtype=torch.double))
    F = oracles.dft_matrix(8)
    t = transfer(prior.lam, alpha_bar, eta=eta)
    np.testing.assert_allclose(F @ jacobian.numpy() @ F.conj().T, np.diag(t.D1), atol=1e-12)
    np.testing.assert_allclose(
        F @ sample(torch.zeros(8, dtype=torch.double)).numpy(),
        t.D2 * prior.mu0_spectral,
        atol=1e-12,
    )


def test_arrays_have_one_row_per_state():
    image = GaussianPrior.inverse_f((4, 6))
    t = transfer(image.lam, sc.cosine(9))
    for array in (t.gain, t.mean_gain, t.var):
        assert array.shape == (10, 24)
    for array in (t.D1, t.D2, t.std, t.phase, t.lam):
        assert array.shape == (24,)
    np.testing.assert_array_equal(t.gain[9], 1.0)
    np.testing.assert_array_equal(t.mean_gain[9], 0.0)
    np.testing.assert_allclose(t.var[9], 1.0)
    np.testing.assert_array_equal(t.D1, t.gain[0])
    np.testing.assert_array_equal(t.D2, t.mean_gain[0])
    mean, cov = t.output_gaussian(np.ones(24))
    np.testing.assert_array_equal(mean, t.D2)
    np.testing.assert_allclose(cov, np.diag(t.std**2), rtol=1e-14)


def test_phase_shows_a_negative_gain():
    gain = np.array([[-0.5, 0.5], [1.0, 1.0]])
    t = Transfer(gain, 0 * gain, gain**2, np.ones(2))
    np.testing.assert_array_equal(t.phase, [np.pi, 0.0])
    np.testing.assert_allclose(np.abs(t.D1) * np.exp(1j * t.phase), t.D1, atol=1e-15)


GOOD = [0.9, 0.1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: transfer([1.0], GOOD[::-1]), r"schedule\[1\] = 0.9 >= "),
        (lambda: transfer([1.0], GOOD, process="ve"), r"schedule\[1\] = 0.1 <= "),
        (
            lambda: transfer([1.0], GOOD, eta=1.1),
            r"eta: got 1.1, .*\[0, 1\] \(0 is DDIM, 1 is DDPM\)",
        ),
        (lambda: ddim_gain([1.0], GOOD[::-1]), r"alpha_bar\[1\]"),
        (lambda: flow_gain([1.0], GOOD[::-1]), r"alpha_bar\[1\]"),
        (lambda: transfer([1.0], GOOD).mean_error([1.0, 2.0]), "mu0_spectral: got 2 numbers"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- schedules that end without noise, and the coefficients of a step --------------------------


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("S", [1, 5, 40])
def test_step_coefficients_are_the_printed_ones(S, eta):
    alpha_bar = sc.ddpm_respaced(S)
    got = step_coefficients(alpha_bar, "vp", eta)
    expected = [posterior_oracle.coefficients(alpha_bar, s, eta) for s in range(1, S + 1)]
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-15)
    np.testing.assert_array_equal(got[0], [0.0, 1.0, 0.0])  # the last step is the denoiser's answer
    sigma = sc.alpha_bar_to_sigma(alpha_bar)
    ve, root = step_coefficients(sigma, "ve", eta), np.sqrt(alpha_bar)
    scaled = ve * np.stack([root[:-1] / root[1:], root[:-1], root[:-1]], axis=1)
    np.testing.assert_allclose(got, scaled, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_schedule_that_ends_at_one_is_the_limit_of_small_ends(eta):
    """Gains, variances and the closed product are continuous there."""
    alpha_bar = sc.ddpm_respaced(12)
    near = alpha_bar.copy()
    near[0] = 1.0 - 1e-12
    exact, close_by = (transfer(LAM, a, eta=eta) for a in (alpha_bar, near))
    np.testing.assert_allclose(exact.D1, close_by.D1, rtol=1e-4)
    np.testing.assert_allclose(exact.var, close_by.var, rtol=1e-4)
    np.testing.assert_allclose(exact.D2, 1.0 - np.sqrt(alpha_bar[-1]) * exact.D1, rtol=1e-13)
    if eta == 0.0:
        close(ddim_gain(LAM, alpha_bar), exact.D1)
        product = np.ones_like(LAM)
        for s in range(1, 13):
            a, b, _ = posterior_oracle.coefficients(alpha_bar, s, 0.0)
            ab = alpha_bar[s]
            product = product * (a + b * np.sqrt(ab) * LAM / (ab * LAM + 1 - ab))
        close(exact.D1, product)
        assert np.all(exact.D1 <= flow_gain(LAM, alpha_bar))
    close(flow_gain(LAM, alpha_bar), np.sqrt(LAM / (alpha_bar[-1] * LAM + 1 - alpha_bar[-1])))
    limit = continuous_limit(LAM, alpha_bar, eta=eta)
    many = transfer(LAM, sc.ddpm_respaced(1000), eta=eta)
    np.testing.assert_allclose(limit.var[0], many.var[0], rtol=0.05)


def test_modes_without_variance_end_at_the_mean():
    t = transfer([0.0, 1.0], sc.ddpm_respaced(5))
    assert t.D1[0] == 0.0
    assert t.D2[0] == 1.0


def test_ddim_coefficients():
    row = step_coefficients([0.9, 0.2], "vp", 0.0)[0]
    a = np.sqrt(0.1 / 0.8)
    np.testing.assert_allclose(row, [a, np.sqrt(0.9) - np.sqrt(0.2) * a, 0.0], rtol=1e-14)
    a, b, c = step_coefficients([0.9, 0.2], "vp", 1.0)[0]
    al = 0.2 / 0.9
    assert a == pytest.approx(np.sqrt(al) * 0.1 / 0.8)
    assert b == pytest.approx(np.sqrt(0.9) * (1 - al) / 0.8)
    assert c**2 == pytest.approx(0.1 * (1 - al) / 0.8)


def test_coefficients_of_a_single_long_ddpm_step_keep_their_digits():
    a, b, c = step_coefficients([1e-3, 1e5], "ve", 1.0)[0]
    assert a == pytest.approx(1e-16, rel=1e-12)
    assert b == pytest.approx(1.0)
    assert c == pytest.approx(1e-3)
