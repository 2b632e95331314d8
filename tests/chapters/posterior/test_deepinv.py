"""An independent library on the same problems: deepinv's samplers against ours and the closed forms.

deepinv is optional (`book/how_to_rerun.md`, "Comparing with deepinv"); without it these tests are
skipped. Its denoisers run in single precision, which bounds the agreement.
"""

import numpy as np
import pytest
import torch

from chapters.posterior import deepinv as peer
from chapters.posterior.deepinv import SIGMA_Y, SIZE, S, lorentzian, relative
from diffbook import inverse
from diffbook.inverse import gains, published
from diffbook.inverse.exact import gaussian_vjp
from diffbook.inverse.operators import Blur, gaussian_kernel, gaussian_transfer, measure
from diffbook.schedules.families import ddpm_chain
from diffbook.schedules.levels import alpha_bar_to_sigma

needs_deepinv = pytest.mark.skipif(bool(peer.missing()), reason=peer.missing() or "installed")
SINGLE = 1e-5
"""Allowed difference, relative to the largest value: single precision over S steps."""


@pytest.fixture(scope="module")
def case():
    return peer.make_case()


def ours(case, method, **options):
    sample = getattr(published, method)
    return sample(
        case.prior.denoise, case.x_T, case.alpha_bar, y=case.y, operator=case.operator,
        sigma_y=SIGMA_Y, **options,
    ).sample  # fmt: skip


def test_schedule_is_the_linear_chain_in_continuous_time():
    alpha_bar = peer.schedule(1000)
    assert alpha_bar[0] == 1.0 and len(alpha_bar) == 1001
    # A product of factors 1 - beta and its exponential limit; the first levels are half a step apart.
    np.testing.assert_allclose(np.log(alpha_bar[51:]), np.log(ddpm_chain()[50:]), rtol=0.02)
    with pytest.raises(ValueError, match="S must be at least 1, got 0"):
        peer.schedule(0)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"method must be one of .* got 'magic'"):
        peer.sampler("magic", lorentzian(8), 2)
    with pytest.raises(ValueError, match=r"operator must be for images, got one for \(8,\)"):
        peer.physics(Blur.from_kernel([0.2, 0.6, 0.2], 8), 0.1)


@needs_deepinv
def test_the_blurs_are_the_same_even_for_asymmetric_kernels():
    kernel = np.random.default_rng(1).random((4, 3))
    operator = Blur.from_kernel(kernel, (8, 9))
    x = torch.from_numpy(np.random.default_rng(2).standard_normal((2, 1, 8, 9)))
    physics = peer.physics(operator, 0.1)
    torch.testing.assert_close(physics.A(x)[:, 0], operator.forward(x[:, 0]))
    torch.testing.assert_close(physics.A_adjoint(x)[:, 0], operator.adjoint(x[:, 0]))


@needs_deepinv
def test_annealed_dps_agrees(case):
    weights = case.annealed()
    x = case.theirs("dps")
    vjp = gaussian_vjp(case.prior)
    assert relative(x, ours(case, "dps", weights=weights, vjp=vjp)) < SINGLE
    assert relative(x, case.closed(gains.dps, weights)) < SINGLE


@needs_deepinv
def test_dps_weight_multiplies_the_score_not_the_state(case):
    kappa, vjp = gains.kappa(case.alpha_bar), gaussian_vjp(case.prior)
    x = case.theirs("dps_norm", weight=2.0)

    def in_the_score(s, norm):  # 2 grad |r| = (2 / 2|r|) grad |r|^2, times kappa
        return 2.0 * kappa[s - 1] / (2.0 * norm)

    assert relative(x, ours(case, "dps", weights=in_the_score, vjp=vjp)) < SINGLE
    on_the_state = published.normalised(1.0)  # the official code's scale 2
    assert relative(x, ours(case, "dps", weights=on_the_state, vjp=vjp)) > 0.1


@needs_deepinv
def test_pigdm_agrees_with_the_score_consistent_weight(case):
    kappa, vjp = gains.kappa(case.alpha_bar), gaussian_vjp(case.prior)
    x = case.theirs("pigdm")
    assert relative(x, ours(case, "pigdm", weights=kappa, vjp=vjp)) < SINGLE
    assert relative(x, case.closed(gains.pigdm, kappa)) < SINGLE


@needs_deepinv
def test_ald_agrees(case):
    x = case.theirs("ald")
    assert relative(x, ours(case, "ald")) < SINGLE
    assert relative(x, case.closed(gains.ald, np.ones(S))) < SINGLE


@needs_deepinv
def test_moment_matching_is_the_ideal_sampler_if_its_solver_converges(case):
    prior, operator, alpha_bar, x_T, y = case
    ideal = published.ideal(prior, x_T, alpha_bar, y=y, operator=operator, sigma_y=SIGMA_Y).sample
    converged = case.theirs("moment_matching", cg_max_iter=60, cg_tol=1e-7)
    assert relative(converged, ideal) < SINGLE
    assert relative(case.theirs("moment_matching"), ideal) > 1e-2  # three iterations, default
    assert relative(ideal, case.closed(gains.ideal)) < 1e-12


@needs_deepinv
def test_diffpir_uses_twice_the_papers_rho():
    """Its proximal step has gamma = 1 / (2 rho) on a data term that carries 1/2 already.

    It also keeps images and sigma_y in [0, 1] but noise levels on [-1, 1], as the authors' code
    does; on [-1, 1] throughout its ``lambda_`` is therefore 2 / 4 of ours, not 1 / 4.
    """
    deepinv = peer.load()
    unit, lambda_, sigma_y = lorentzian(SIZE, scale=0.1**2, mean=0.5), 7.0, 0.05
    operator = Blur.from_kernel(gaussian_kernel(1.5, ndim=2), (SIZE, SIZE))
    rng = np.random.default_rng(3)
    x0 = unit.sample(2, rng)
    y = measure(operator, x0, sigma_y, rng.standard_normal(x0.shape))
    model = deepinv.sampling.DiffPIR(
        peer.Denoiser(unit), deepinv.optim.data_fidelity.L2(), sigma=sigma_y, max_iter=S,
        zeta=0.0, lambda_=lambda_,
    )  # fmt: skip
    start = torch.full((2, 1, SIZE, SIZE), 0.5, dtype=torch.float64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        z = torch.randn_like(start)[:, 0].numpy()
        torch.manual_seed(4)
        x = model(torch.from_numpy(y)[:, None], peer.physics(operator, sigma_y), x_init=start)
    x = x[:, 0].numpy()
    assert np.abs(2.0 * x - 1.0).max() < 1.0  # its clamp to [-1, 1] has not been at work

    alpha_bar = ddpm_chain()[np.sort(999 - model.seq.numpy())]
    sigma_S = alpha_bar_to_sigma(alpha_bar)[-1]
    x_T = np.sqrt(alpha_bar[-1]) * np.sqrt(sigma_S**2 - 4.0 * sigma_y**2) * z
    both = lorentzian(SIZE, scale=0.2**2, mean=0.0)  # the same images in [-1, 1]

    def ours_with(factor):
        found = published.diffpir(
            both.denoise, x_T, alpha_bar, y=2.0 * y - 1.0, operator=operator,
            sigma_y=2.0 * sigma_y, weights=np.full(len(alpha_bar) - 1, factor * lambda_), zeta=0.0,
        )  # fmt: skip
        return 0.5 * found.sample + 0.5

    assert relative(x, ours_with(2.0 / 4.0)) < SINGLE
    assert relative(x, ours_with(1.0 / 4.0)) > 5e-2


@needs_deepinv
def test_ddrm_halves_the_variance_of_self_paired_columns():
    """Noise of a half-plane spectrum needs variance 1/2 per part except where modes pair up."""
    deepinv, size, n, steps, sigma_y = peer.load(), 16, 3000, 10, 0.1
    prior = lorentzian(size)
    # Above sigma_y everywhere: deepinv treats modes below it as not measured.
    operator = Blur.from_transfer(0.6 + 0.4 * gaussian_transfer((size, size), 1.5))
    alpha_bar = peer.schedule(steps)
    rng = np.random.default_rng(5)
    y = measure(operator, prior.sample(1, rng), sigma_y, rng.standard_normal((1, size, size)))
    model = deepinv.sampling.DDRM(
        peer.Denoiser(prior), sigmas=alpha_bar_to_sigma(alpha_bar)[::-1].copy()
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        repeated = torch.from_numpy(np.repeat(y, n, axis=0))[:, None]
        x = model(repeated, peer.physics(operator, sigma_y))[:, 0].numpy()

    problem = inverse.make_problem(prior, operator.spectrum, sigma_y)
    t = inverse.compose(problem, alpha_bar, gains.ddrm(problem, alpha_bar))
    modes = prior.to_spectral(x)
    mean = (t.D2 * problem.mu0 + t.D3 * prior.to_spectral(y).ravel()).reshape(size, size)
    z = np.abs(modes.mean(axis=0) - mean) / np.sqrt(t.V.reshape(size, size) / n)
    share = modes.var(axis=0) / t.V.reshape(size, size)
    paired = np.zeros(size, dtype=bool)
    paired[[0, size // 2]] = True
    assert np.sqrt(np.mean(z[:, ~paired] ** 2)) == pytest.approx(1.0, abs=0.1)
    assert share[:, ~paired].mean() == pytest.approx(1.0, abs=0.01)
    assert share[:, paired].mean() == pytest.approx(0.5, abs=0.02)


@needs_deepinv
def test_recorded_comparison_can_be_repeated():
    found = peer.differences()
    assert set(found) == set(peer.recorded()["differences"])
    assert max(found.values()) < SINGLE


def test_record_holds_small_differences():
    recorded = peer.recorded()
    assert recorded["deepinv"] == "0.5.0"
    assert 0 < max(recorded["differences"].values()) < SINGLE
