"""Schedule design: exact gradients, the optimum, its certificate, and its limit for many steps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracles
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles_posterior import numerical_gradient
from scipy.optimize import minimize, minimize_scalar

from diffbook import schedules as sc
from diffbook.priors import distances as ds
from diffbook.priors.gaussian import GaussianPrior
from diffbook.samplers.transfer import flow_gain, transfer
from diffbook.schedules import design as dg
from diffbook.schedules import laws

LAM = GaussianPrior.ramp().lam
STEPS = oracles.STEPS
SIGMA = sc.sigma_range()
LOSSES = ("w2", "kl", "kl_reverse", "weighted")
over_losses = pytest.mark.parametrize("loss", LOSSES)
over_processes = pytest.mark.parametrize("process", ["vp", "ve"])


def w2(alpha_bar, **kwargs) -> float:
    """W2 of a VP schedule on the ramp prior, through the transfer functions."""
    return ds.w2_spectral(LAM, transfer(LAM, alpha_bar, **kwargs).std)


def kl(alpha_bar) -> float:
    return ds.kl_spectral(LAM, transfer(LAM, alpha_bar).std)


@pytest.fixture(scope="module")
def optimum():
    """Designs of the ramp prior, by (loss, eta, S)."""
    cache = {}

    def get(S: int, loss: str = "w2", eta: float = 0.0) -> dg.ScheduleDesign:
        key = (S, loss, eta)
        if key not in cache:
            cache[key] = dg.design_schedule(LAM, S, loss=loss, eta=eta)
        return cache[key]

    return get


# --- objective and gradient -------------------------------------------------------------------


def small_problem(loss: str, eta: float, process: str):
    """A prior with repeated variances, a complex mean and uneven weights; and a schedule."""
    rng = np.random.default_rng(1)
    lam = np.array([9.0, 0.4, 0.4, 2.0, 0.03, 2.0])
    mu = rng.standard_normal(6) + 1j * rng.standard_normal(6)
    weights = rng.uniform(0.5, 2.0, 6) if loss == "weighted" else None
    problem = dg.make_problem(
        lam, loss=loss, mu0_spectral=mu, weights=weights, eta=eta, process=process
    )
    interior = np.sort(rng.uniform(*np.log(SIGMA), 6))
    sigma = np.concatenate([SIGMA[:1], np.exp(interior), SIGMA[1:]])
    return problem, sigma, lam, mu, weights


def torch_loss(loss, lam, mu, weights, sigma, eta, process):
    """Loss by a plain recursion in torch, mode by mode, for autograd; ends' scales held fixed."""
    lam = torch.from_numpy(lam)
    mu2 = torch.from_numpy(np.abs(mu) ** 2)
    root0 = (1 - sc.EPS_0) ** 0.5 if process == "vp" else 1.0
    var = torch.ones_like(lam) * (1 / sc.EPS_S if process == "vp" else SIGMA[1] ** 2)
    mean = torch.zeros_like(lam)
    for s in range(len(sigma) - 1, 0, -1):
        hi, lo = sigma[s], sigma[s - 1]
        sd2 = eta**2 * lo**2 * (1 - lo**2 / hi**2)
        keep = torch.sqrt(lo**2 - sd2) / hi
        wiener = lam / (lam + hi**2)
        factor = wiener + keep * (1 - wiener)
        mean = factor * mean + (1 - wiener) * (1 - keep)
        var = factor**2 * var + sd2
    var, bias2 = root0**2 * var, (1 - root0 * mean) ** 2 * mu2
    if loss == "w2":
        return torch.sum((torch.sqrt(lam) - torch.sqrt(var)) ** 2 + bias2)
    if loss == "kl":
        return 0.5 * torch.sum(lam / var - 1 - torch.log(lam / var) + bias2 / var)
    if loss == "kl_reverse":
        return 0.5 * torch.sum(var / lam - 1 - torch.log(var / lam) + bias2 / lam)
    return torch.sum(torch.from_numpy(weights) * torch.abs(lam - var) + bias2)


@over_losses
@over_processes
@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_gradient_is_exact(loss, eta, process):
    problem, sigma, lam, mu, weights = small_problem(loss, eta, process)
    value, grad = dg.objective_and_grad(problem, sigma)
    alpha_bar = sc.sigma_to_alpha_bar(sigma)
    naive = oracles.loss_of_schedule(loss, lam, alpha_bar, mu, weights, eta, process)
    assert value == pytest.approx(naive, rel=1e-8)
    assert value == pytest.approx(dg.objective(problem, sigma), rel=1e-15)

    leaf = torch.from_numpy(sigma).requires_grad_()
    by_torch = torch_loss(loss, lam, mu, weights, leaf, eta, process)
    by_torch.backward()
    assert value == pytest.approx(by_torch.item(), rel=1e-10)
    # Relative to log(sigma), so that no entry hides behind a bigger one.
    np.testing.assert_allclose(
        grad * sigma, leaf.grad.numpy() * sigma, rtol=1e-8, atol=1e-10 * np.abs(grad * sigma).max()
    )

    for s in range(len(sigma)):
        up, down = sigma.copy(), sigma.copy()
        up[s], down[s] = sigma[s] * (1 + 1e-6), sigma[s] * (1 - 1e-6)
        central = (dg.objective(problem, up) - dg.objective(problem, down)) / (2e-6 * sigma[s])
        scale = np.abs(grad * sigma).max() / sigma[s]
        assert abs(central - grad[s]) < 1e-5 * max(abs(grad[s]), scale * 1e-2)


@over_losses
@pytest.mark.parametrize("eta", [0.0, 0.6])
def test_gradient_knows_the_scale_of_the_clean_end(loss, eta):
    """The default ``root0`` is so near 1 that a factor of it would hide; here it is 0.6."""
    problem, sigma, *_ = small_problem(loss, eta, "vp")
    problem = problem._replace(root0=0.6, mean_power=20.0 * problem.mean_power)
    _, grad = dg.objective_and_grad(problem, sigma)
    expected = numerical_gradient(lambda s: dg.objective(problem, s), sigma)
    np.testing.assert_allclose(
        grad * sigma, expected * sigma, rtol=1e-6, atol=1e-8 * np.abs(grad * sigma).max()
    )


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_treating_modes_in_blocks_changes_nothing(eta, monkeypatch):
    problem = dg.make_problem(np.geomspace(0.01, 50.0, 40), eta=eta, mu0_spectral=np.ones(40))
    sigma = sc.edm(9, *SIGMA)
    value, grad = dg.objective_and_grad(problem, sigma)
    monkeypatch.setattr(dg, "_BLOCK", 70)  # 7 modes at a time, the last block smaller
    blocked = dg.objective_and_grad(problem, sigma)
    assert blocked[0] == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(blocked[1], grad, rtol=1e-10, atol=1e-13)


def test_equal_modes_are_merged_with_their_weights_and_means():
    mu = np.arange(6.0) * (1 + 1j)
    lam = np.array([2.0, 5.0, 2.0 * (1 + 1e-15), 5.0, 2.0, 7.0])
    problem = dg.make_problem(lam, loss="weighted", weights=np.arange(1.0, 7.0), mu0_spectral=mu)
    np.testing.assert_allclose(problem.lam, [2.0, 5.0, 7.0])
    np.testing.assert_allclose(problem.count, [1 + 3 + 5, 2 + 4, 6])
    np.testing.assert_allclose(problem.mean_power, 2 * np.array([0 + 4 + 16, 1 + 9, 25.0]))
    assert dg.make_problem(LAM).lam.size == 26  # 50 Fourier modes of a real signal
    # Close is not equal.
    assert dg.make_problem([1.0, 1.0 + 1e-9]).lam.size == 2


# --- the optimum ------------------------------------------------------------------------------


@pytest.mark.parametrize("S", STEPS)
def test_golden_optima(optimum, S):
    best = optimum(S)
    assert np.sqrt(best.objective) <= oracles.GOLDEN_W2[S] * (1 + 1e-4)
    assert np.sqrt(best.objective) >= oracles.GOLDEN_W2[S] * (1 - 1e-4)
    assert w2(best.schedule) ** 2 == pytest.approx(best.objective, rel=1e-9)
    best = optimum(S, "kl")
    assert best.objective == pytest.approx(oracles.GOLDEN_KL[S], rel=1e-3)
    assert kl(best.schedule) == pytest.approx(best.objective, rel=1e-8)
    if S in oracles.GOLDEN_W2_DDPM:
        best = optimum(S, eta=1.0)
        assert np.sqrt(best.objective) == pytest.approx(oracles.GOLDEN_W2_DDPM[S], rel=3e-4)
        assert w2(best.schedule, eta=1.0) ** 2 == pytest.approx(best.objective, rel=1e-8)


@pytest.mark.parametrize("S", [2, 10, 112])
@over_losses
@over_processes
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_designs_are_stationary_monotone_and_better_than_every_heuristic(S, loss, eta, process):
    weights = np.sqrt(LAM) if loss == "weighted" else None
    setting = {"loss": loss, "weights": weights, "eta": eta, "process": process}
    best = dg.design_schedule(LAM, S, **setting)
    assert best.grad_norm < 2e-5
    assert np.all(np.diff(best.sigma) > 0)
    ends = best.schedule[[0, -1]]
    if process == "vp":
        assert np.all(np.diff(best.schedule) < 0)
        np.testing.assert_array_equal(ends, [1 - sc.EPS_0, sc.EPS_S])
        np.testing.assert_allclose(sc.alpha_bar_to_sigma(best.schedule), best.sigma, rtol=1e-9)
    else:
        np.testing.assert_allclose(ends, SIGMA, rtol=1e-14)
        np.testing.assert_array_equal(best.schedule, best.sigma)
    assert best.schedule.shape == best.sigma.shape == (S + 1,)
    assert best.history[-1] == pytest.approx(best.objective, rel=1e-12)
    assert np.all(np.diff(best.history) <= 1e-14 * best.history[:-1])
    assert best.starts_reached == 1.0
    problem = dg.make_problem(LAM, **setting)
    for heuristic in sc.heuristics(S).values():
        assert best.objective <= dg.objective(problem, sc.alpha_bar_to_sigma(heuristic))
    # Nothing in the neighbourhood is better either.
    rng = np.random.default_rng(0)
    for size in (1e-3, 0.1):
        nearby = best.sigma.copy()
        nearby[1:-1] = np.sort(nearby[1:-1] * np.exp(size / S * rng.standard_normal(S - 1)))
        assert best.objective <= dg.objective(problem, nearby) * (1 + 1e-12)


@pytest.mark.parametrize("S", [5, 10, 20, 50, 112])
@pytest.mark.parametrize("loss", ["w2", "kl"])
def test_every_random_monotone_start_reaches_the_optimum(optimum, S, loss):
    found = dg.design_schedule(LAM, S, loss=loss, n_starts=31, rng=np.random.default_rng(S))
    assert found.start_objectives.shape == (31,)
    assert found.starts_reached == 1.0
    assert found.start_objectives.max() <= found.objective * (1 + 1e-9)
    assert found.objective == pytest.approx(optimum(S, loss).objective, rel=1e-9)


def test_the_best_of_several_unfinished_starts_is_returned():
    """Cut off early, the starts end apart; the certificate says so."""
    found = dg.design_schedule(LAM, 20, n_starts=6, rng=np.random.default_rng(1), max_iter=2)
    assert np.ptp(found.start_objectives) > 0.01 * found.objective
    assert found.objective == found.start_objectives.min()
    assert found.starts_reached < 0.5
    assert found.grad_norm > 1e-4
    assert found.n_iter <= 2
    assert found.history.size == found.n_iter + 1
    assert found.history[-1] == pytest.approx(found.objective, rel=1e-12)


def test_starts_count_as_reached_within_a_millionth():
    found = dg.design_schedule([1.0, 2.0], 3)
    for excess, share in (([0.0, 5e-7], 1.0), ([0.0, 2e-6], 0.5), ([0.0, 0.1, 0.2, 5e-7], 0.5)):
        ends = found.objective * (1.0 + np.array(excess))
        assert replace(found, start_objectives=ends).starts_reached == share


@pytest.mark.parametrize("S", [5, 20, 112])
def test_plain_starts_reach_the_optimum(optimum, S):
    rng = np.random.default_rng(S)
    uniform = np.sort(rng.uniform(sc.EPS_S, 1 - sc.EPS_0, S - 1))[::-1]
    starts = [*sc.heuristics(S).values(), np.concatenate([[1 - sc.EPS_0], uniform, [sc.EPS_S]])]
    for start in starts:
        found = dg.design_schedule(LAM, S, init=start)
        assert found.objective == pytest.approx(optimum(S).objective, rel=1e-9)


@pytest.mark.parametrize("S", [5, 10])
def test_an_independent_optimiser_agrees(optimum, S):
    """SLSQP on log(sigma) with finite differences of the naive loss, from two plain starts."""
    for start in (sc.cosine(S), sc.sigma_to_alpha_bar(sc.log_linear(S, *SIGMA))):
        result = minimize(
            lambda x: oracles.w2_squared(
                LAM, oracles.ddim_d1_sigma(LAM, np.r_[1 - sc.EPS_0, x_to_ab(x), sc.EPS_S])
            ),
            np.log(sc.alpha_bar_to_sigma(start))[1:-1],
            method="SLSQP",
            options={"maxiter": 500, "ftol": 1e-11},
        )
        assert result.fun == pytest.approx(optimum(S).objective, rel=1e-6)
        np.testing.assert_allclose(np.exp(result.x), optimum(S).sigma[1:-1], rtol=1e-2)


def x_to_ab(x):
    return sc.sigma_to_alpha_bar(np.exp(x))


RATIOS = {  # W2 over the optimum at S = 5, 10, 20, 50, 112
    "sigmoid(0,3,0.3)": (1.03, 1.07, 1.12, 1.17, 1.18),
    "linear beta": (1.18, 1.22, 1.23, 1.22, 1.20),
    "EDM rho=7": (1.24, 1.27, 1.28, 1.26, 1.22),
    "log-linear": (1.45, 1.54, 1.56, 1.53, 1.46),
    "cosine": (2.54, 3.64, 4.42, 4.39, 4.00),
    "sigmoid": (2.57, 4.03, 6.11, 9.43, 11.4),
    "linear alpha_bar": (2.79, 4.71, 7.84, 14.1, 20.1),
}
TUNED = {  # one-parameter families with their best parameter
    "tangent": (lambda S, c: sc.tangent(S, *SIGMA, np.exp(c)), (-1.0, 4.0)),
    "edm": (lambda S, rho: sc.edm(S, *SIGMA, rho), (2.0, 9.0)),
}
TUNED_RATIOS = {
    "tangent": (1.09, 1.18, 1.21, 1.20, 1.17),
    "edm": (1.18, 1.23, 1.23, 1.22, 1.18),
}


@pytest.mark.parametrize("S", STEPS)
def test_ratio_table_of_the_heuristics(optimum, S):
    best, column = np.sqrt(optimum(S).objective), STEPS.index(S)
    named = sc.heuristics(S)
    for name, ratios in RATIOS.items():
        assert w2(named[name]) / best == pytest.approx(ratios[column], rel=0.01), name
    for name, (family, bounds) in TUNED.items():
        tuned = minimize_scalar(
            lambda p, family=family: w2(sc.sigma_to_alpha_bar(family(S, p))),
            bounds=bounds,
            method="bounded",
        )
        assert tuned.fun / best == pytest.approx(TUNED_RATIOS[name][column], rel=0.01), name


@pytest.mark.parametrize("S", STEPS)
def test_which_heuristic_is_good_depends_on_the_loss(optimum, S):
    best, named = optimum(S, "kl").objective, sc.heuristics(S)
    for name, low, high in (
        ("linear beta", 1.84, 2.30),
        ("cosine", 1.89, 2.32),
        ("EDM rho=7", 2.9, 3.4),
        ("sigmoid(0,3,0.3)", 15.0, 25.0),
    ):
        assert 0.99 * low <= kl(named[name]) / best <= 1.02 * high, name
    assert kl(optimum(S).schedule) > 2.0 * best
    assert w2(optimum(S, "kl").schedule) > 1.3 * np.sqrt(optimum(S).objective)


@pytest.mark.parametrize("S", [10, 20, 50])
def test_ddpm_ratios(optimum, S):
    best = np.sqrt(optimum(S, eta=1.0).objective)
    named = sc.heuristics(S)
    for name, low, high in (
        ("linear beta", 1.26, 1.29),
        ("sigmoid(0,3,0.3)", 1.10, 1.17),
        ("cosine", 2.7, 3.3),
    ):
        assert 0.99 * low <= w2(named[name], eta=1.0) / best <= 1.01 * high, name
    borrowed = w2(optimum(S).schedule, eta=1.0) / best
    assert 1.05 < borrowed < 1.10  # DDIM's schedule used for DDPM


@given(
    lam=st.lists(st.floats(1e-2, 1e2), min_size=1, max_size=6).map(np.array),
    S=st.integers(1, 12),
    loss=st.sampled_from(["w2", "kl", "kl_reverse"]),
    eta=st.sampled_from([0.0, 1.0]),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_designs_for_any_spectrum(lam, S, loss, eta):
    best = dg.design_schedule(lam, S, loss=loss, eta=eta)
    sc.validate_alpha_bar(best.schedule)
    assert best.grad_norm < 1e-4
    for heuristic in sc.heuristics(S).values():
        problem = dg.make_problem(lam, loss=loss, eta=eta)
        value = dg.objective(problem, sc.alpha_bar_to_sigma(heuristic))
        assert best.objective <= value * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize("c", [0.01, 4.0, 300.0])
def test_a_rescaled_signal_has_the_rescaled_schedule(c):
    """Variances c lam and ends sqrt(c) sigma: the schedule shifts in log(sigma), W2^2 by c."""

    def ends(scale: float) -> dict[str, float]:
        low, high = sc.sigma_to_alpha_bar(np.sqrt(scale) * np.array([0.05, 80.0]))
        return {"eps_0": 1.0 - low, "eps_S": high}

    for loss, power in (("w2", 1.0), ("kl", 0.0)):
        one, other = (
            dg.design_schedule(k * LAM, 15, loss=loss, process="ve", **ends(k)) for k in (1.0, c)
        )
        np.testing.assert_allclose(other.sigma, np.sqrt(c) * one.sigma, rtol=1e-4)
        assert other.objective == pytest.approx(c**power * one.objective, rel=1e-8)


def test_repeating_every_mode_changes_nothing():
    one, twice = (dg.design_schedule(lam, 12) for lam in (LAM, np.repeat(LAM, 2)))
    np.testing.assert_allclose(twice.schedule, one.schedule, rtol=1e-4)
    assert twice.objective == pytest.approx(2 * one.objective, rel=1e-9)


def test_order_and_shape_of_the_modes_do_not_matter():
    image = GaussianPrior.inverse_f((6, 8))
    shuffled = np.random.default_rng(0).permutation(image.lam.ravel())
    one, other = dg.design_schedule(image.lam, 7), dg.design_schedule(shuffled, 7)
    np.testing.assert_allclose(other.schedule, one.schedule, rtol=1e-6)


def test_general_covariance_with_a_mean_against_the_matrix_distance():
    rng = np.random.default_rng(2)
    factor = rng.standard_normal((20, 25))
    prior = GaussianPrior.from_covariance(factor @ factor.T / 8, rng.standard_normal(20))
    data = (prior.mu0, prior.covariance())
    for loss, distance in (
        ("w2", lambda *output: ds.w2_gaussian(*data, *output) ** 2),
        ("kl", lambda *output: ds.kl_gaussian(*data, *output)),
        ("kl_reverse", lambda *output: ds.kl_gaussian(*output, *data)),
    ):
        best = dg.design_schedule(prior.lam, 6, loss=loss, mu0_spectral=prior.mu0_spectral)
        t = transfer(prior.lam, best.schedule)
        mean, cov = t.output_gaussian(prior.mu0_spectral, prior.basis)
        assert distance(mean, 0.5 * (cov + cov.T)) == pytest.approx(best.objective, rel=1e-9)


def test_the_mean_enters_the_design():
    # A large mean in the DC mode: losing less of it is worth a different schedule.
    mu = np.zeros(50)
    mu[0] = 100.0
    with_mean = dg.design_schedule(LAM, 10, mu0_spectral=mu)
    without = dg.design_schedule(LAM, 10)
    problem = dg.make_problem(LAM, mu0_spectral=mu)
    assert with_mean.objective < dg.objective(problem, without.sigma) * (1 - 1e-3)
    bias = 1 - transfer(LAM, with_mean.schedule).D2[0]
    assert bias == pytest.approx(
        1 - np.sqrt(1 - sc.EPS_0) + np.sqrt(sc.EPS_S) * transfer(LAM, with_mean.schedule).D1[0]
    )


def test_mean_bias_at_the_optimum(optimum):
    assert 1 - transfer(LAM, optimum(10).schedule).D2[0] == pytest.approx(0.110, abs=0.002)
    assert 1 - transfer(LAM, optimum(112).schedule).D2[0] == pytest.approx(0.124, abs=0.002)


def test_schedules_from_a_few_hundred_signals_are_nearly_optimal(optimum):
    prior = GaussianPrior.ramp()
    for seed in range(5):
        signals = prior.sample(200, np.random.default_rng(seed))
        estimated = GaussianPrior.estimated(signals)
        designed = dg.design_schedule(estimated.lam, 20)
        assert w2(designed.schedule) ** 2 <= 1.01 * optimum(20).objective


def test_cost_of_rounding_to_training_levels(optimum):
    for chain, ratios in (
        (sc.ddpm_chain(), {10: 1.000, 20: 1.000, 50: 1.002, 112: 1.006}),
        (sc.cosine_chain(), {10: 1.002, 20: 1.005, 50: 1.019, 112: 1.087}),
    ):
        for S, ratio in ratios.items():
            _, used = sc.nearest_timesteps(optimum(S).schedule, chain)
            assert w2(used) / np.sqrt(optimum(S).objective) == pytest.approx(ratio, abs=0.01)


# --- special cases ----------------------------------------------------------------------------


@pytest.mark.parametrize("lam", [0.05, 1.0, 30.0])
@pytest.mark.parametrize("S", [1, 2, 7, 50])
def test_one_eigenvalue_has_the_tangent_law(lam, S):
    """Equal angles are optimal for every S: ``D1 = g cos^S(Phi / S)``."""
    best = dg.design_schedule([lam], S)
    law = sc.tangent(S, *SIGMA, np.sqrt(lam))
    angle = np.arctan(SIGMA[1] / np.sqrt(lam)) - np.arctan(SIGMA[0] / np.sqrt(lam))
    g = flow_gain([lam], best.schedule)[0]
    expected = g * np.cos(angle / S) ** S
    assert transfer([lam], best.schedule).D1[0] == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(np.log(best.sigma), np.log(law), atol=1e-3)
    same = transfer([lam], sc.sigma_to_alpha_bar(law)).D1[0]
    assert same == pytest.approx(expected, rel=1e-10)


def test_ddpm_with_one_eigenvalue_tends_to_the_sine_law():
    """``sin(phi)`` uniform is asymptotically optimal, with relative variance error 4 / S."""
    lam, ends = 1.0, {"eps_0": 1e-9, "eps_S": 1e-9}
    for S, published in ((10, 0.278), (40, 0.0878), (160, 0.0240)):
        best = dg.design_schedule([lam], S, loss="weighted", weights=[1.0], eta=1.0, **ends)
        assert best.objective == pytest.approx(published, rel=0.01)
    sine = np.linspace(*np.sin(np.arctan(sc.sigma_range(**ends))), 161)
    law = sine / np.sqrt(1 - sine**2)
    problem = dg.make_problem([lam], loss="weighted", weights=[1.0], eta=1.0, **ends)
    assert dg.objective(problem, law) == pytest.approx(0.0242, rel=0.01)


def test_a_single_step_has_nothing_to_choose():
    for process in ("vp", "ve"):
        only = dg.design_schedule(LAM, 1, process=process)
        assert only.n_iter == 0
        assert only.grad_norm == 0.0
        np.testing.assert_allclose(only.sigma, SIGMA, rtol=1e-14)
        assert only.history.tolist() == [only.objective]


def test_warm_start_across_step_counts(optimum):
    family = dg.design_family(LAM, STEPS)
    assert list(family) == list(STEPS)
    for S, found in family.items():
        assert found.objective == pytest.approx(optimum(S).objective, rel=1e-9)
        assert found.schedule.size == S + 1
    # The start is the neighbour's schedule, and it is a good one.
    warm = dg.design_schedule(LAM, 112, init=family[50].schedule).history[0]
    assert family[112].history[0] == pytest.approx(warm, rel=1e-12)
    assert optimum(112).history[0] != pytest.approx(warm, rel=1e-6)
    assert warm < 1.1 * family[112].objective
    back = dg.design_family(LAM, (112, 20, 1, 10), loss="kl", eta=1.0)
    for S, found in back.items():
        assert found.objective == pytest.approx(optimum(S, "kl", 1.0).objective, rel=1e-8)


def test_an_initial_schedule_keeps_the_ends_of_the_design():
    start = sc.cosine(33, eps_0=1e-6, eps_S=1e-2)
    found = dg.design_schedule(LAM, 8, init=start)
    np.testing.assert_array_equal(found.schedule[[0, -1]], [1 - sc.EPS_0, sc.EPS_S])
    sigma = dg.design_schedule(LAM, 8, init=sc.edm(5, 0.3, 9.0), process="ve").sigma
    np.testing.assert_allclose(sigma[[0, -1]], SIGMA, rtol=1e-14)


def test_inputs_are_left_alone(optimum):
    lam, init = LAM.copy(), sc.cosine(10)
    dg.design_schedule(lam, 10, init=init)
    np.testing.assert_array_equal(lam, LAM)
    np.testing.assert_array_equal(init, sc.cosine(10))


def test_a_thousand_steps(optimum):
    best = dg.design_schedule(LAM, 1000)
    floor = w2_floor()
    assert best.grad_norm < 1e-5
    assert np.all(np.diff(best.schedule) < 0)
    # C / S^2 above the floor of the ends: beyond S = 112 both ends together set the loss.
    assert floor < best.objective < floor + 0.012
    assert best.objective <= dg.design_schedule(LAM, 500).objective


def w2_floor() -> float:
    return float(np.sum((np.sqrt(LAM) - flow_gain(LAM, sc.cosine(2))) ** 2))


def test_floor_is_set_by_the_ends():
    assert w2_floor() == pytest.approx(oracles.FLOOR_W2, abs=1e-5)
    for eps, floor in ((1e-2, 130.0), (1e-3, 9.74), (1e-6, 1.6e-5)):
        g = flow_gain(LAM, [1 - eps, eps])
        assert np.sum((np.sqrt(LAM) - g) ** 2) == pytest.approx(floor, rel=0.02)


def test_sixteen_thousand_modes():
    prior = GaussianPrior.inverse_f((126, 127), beta=2.2)
    assert prior.d > 16_000
    best = dg.design_schedule(prior.lam, 10)
    assert best.grad_norm < 1e-5
    assert np.all(np.diff(best.schedule) < 0)
    named = sc.heuristics(10)
    assert all(
        best.objective <= ds.w2_spectral(prior.lam.ravel(), transfer(prior.lam, s).std) ** 2
        for s in named.values()
    )


# --- many steps -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wide():
    """Optima with both ends at 1e-9, where the ends' floor is negligible."""
    ends = {"eps_0": 1e-9, "eps_S": 1e-9}
    return {
        loss: {S: dg.design_schedule(LAM, S, loss=loss, **ends) for S in (50, 112, 250, 500)}
        for loss in ("w2", "kl")
    }


def wide_limit(loss: str, eta: float = 0.0) -> laws.Density:
    ends = sc.sigma_range(1e-9, 1e-9)
    return dg.limit_density(dg.make_problem(LAM, loss=loss, eta=eta), *ends, m=4001)


@pytest.mark.parametrize(
    ("loss", "constant", "last"), [("w2", oracles.C_W2, 0.006), ("kl", oracles.C_KL, 0.005)]
)
def test_loss_falls_like_the_square_of_the_step_count(wide, loss, constant, last):
    S = np.array(list(wide[loss]))
    value = np.array([best.objective for best in wide[loss].values()])
    slope = np.polyfit(np.log(S), np.log(value), 1)[0]
    assert -2.03 <= slope <= -1.95
    scaled = S**2 * value
    assert scaled[-1] == pytest.approx(constant, rel=last)
    assert np.all(np.diff(np.abs(scaled - constant)) < 0)
    assert wide_limit(loss).constant == pytest.approx(constant, rel=1e-5)


def test_first_order_errors_predict_every_mode(wide):
    """``E_i = lim S (1 - D1_i / g_i)``, the error of the exact flow's gain."""
    limit, ends = wide_limit("w2"), sc.sigma_to_alpha_bar(np.array(sc.sigma_range(1e-9, 1e-9)))
    lam = dg.make_problem(LAM).lam
    measured = []
    for S in (2000, 4000):
        alpha_bar = sc.sigma_to_alpha_bar(dg.limit_schedule(limit, S))
        measured.append(S * (1 - transfer(lam, alpha_bar).D1 / flow_gain(lam, ends)))
    np.testing.assert_allclose(2 * measured[1] - measured[0], limit.E, rtol=2e-3)


def test_first_order_errors_of_ddpm():
    limit = wide_limit("w2", eta=1.0)
    lam = dg.make_problem(LAM).lam
    measured = []
    for S in (4000, 8000):
        alpha_bar = sc.sigma_to_alpha_bar(dg.limit_schedule(limit, S))
        measured.append(S * (1 - transfer(lam, alpha_bar, eta=1.0).std / np.sqrt(lam)))
    np.testing.assert_allclose(2 * measured[1] - measured[0], limit.E, rtol=5e-3)


@pytest.mark.parametrize("S", STEPS)
def test_limiting_schedule_is_nearly_optimal(optimum, S):
    limit = dg.limit_density(dg.make_problem(LAM), *SIGMA)
    assert limit.n_iter <= 30
    ratio = w2(sc.sigma_to_alpha_bar(dg.limit_schedule(limit, S))) / np.sqrt(optimum(S).objective)
    published = dict(zip(STEPS, (1.002, 1.001, 1.001, 1.002, 1.005), strict=True))[S]
    assert 1.0 <= ratio <= 1.01
    assert ratio == pytest.approx(published, abs=1e-3)
    assert dg.limit_density(dg.make_problem(LAM, loss="kl"), *SIGMA).n_iter <= 30


@pytest.mark.parametrize(("S", "excess"), [(10, 0.07), (20, 0.04), (50, 0.02)])
def test_limiting_schedule_of_ddpm(optimum, S, excess):
    limit = dg.limit_density(dg.make_problem(LAM, eta=1.0), *SIGMA)
    found = w2(sc.sigma_to_alpha_bar(dg.limit_schedule(limit, S)), eta=1.0)
    assert found / np.sqrt(optimum(S, eta=1.0).objective) - 1 == pytest.approx(excess, abs=0.01)


@pytest.mark.parametrize("loss", ["w2", "kl", "weighted"])
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_limiting_density_minimises_the_first_order_error(loss, eta):
    """The functional is convex: no other density does better, and random ones do worse."""
    weights = 1.0 / LAM if loss == "weighted" else None
    problem = dg.make_problem(LAM, loss=loss, eta=eta, weights=weights)
    limit = dg.limit_density(problem, *SIGMA)
    x, p = limit.log_sigma, limit.density
    assert np.trapezoid(p, x) == pytest.approx(1.0, rel=1e-10)
    s2, lam = np.exp(2 * x), problem.lam[:, None]
    kernel = lam * s2 / (2 * (lam + s2) ** 2)
    if eta == 1.0:
        kernel = 2 * lam**2 * s2 / (lam + s2) ** 3

    def functional(density: np.ndarray) -> float:
        E = np.trapezoid(kernel / density, x, axis=1)
        if loss == "weighted":
            return float(2 * problem.count * problem.lam @ E)
        return float(problem.count * (problem.lam if loss == "w2" else 1.0) @ E**2)

    assert functional(p) == pytest.approx(limit.constant, rel=1e-9)
    rng = np.random.default_rng(0)
    for _ in range(20):
        bump = 1 + 0.3 * np.sin(rng.uniform(0.5, 6) * x + rng.uniform(0, 6))
        other = p * bump / np.trapezoid(p * bump, x)
        assert functional(other) > limit.constant
    for other in (np.ones_like(p), kernel[0] + 1e-6):
        assert functional(other / np.trapezoid(other, x)) > limit.constant


def power_law(alpha: float, **kwargs) -> dg.ScheduleProblem:
    """``lam_k = k^-alpha`` for k = 1 .. 1e12, its integers binned on a log grid."""
    k = np.geomspace(1.0, 1e12 ** (1 / max(alpha, 1.0)), 1200)
    return dg.make_problem(k**-alpha, **kwargs)._replace(count=k[::-1].copy())


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("alpha", [1.0, 14 / 11, 1.5, 2.0])
def test_power_laws_have_the_edm_family(alpha, eta):
    """Density of steps ``sigma^(1 / rho)``: W2 gives ``1 / rho = 2/3 (1 - 1/alpha)``, so 7 at 14/11."""
    for loss, expected in (("w2", 2 / 3 * (1 - 1 / alpha)), ("kl", -2 / (3 * alpha))):
        problem = power_law(alpha, loss=loss, eta=eta)
        low, high = np.sqrt(problem.lam[[0, -1]])
        limit = dg.limit_density(problem, low * 1e-2, high * 1e2, m=1601)
        x = limit.log_sigma
        centre, width = 0.5 * np.log(low * high), 0.1 * np.log(high / low)
        middle = np.abs(x - centre) < width
        slope = np.polyfit(x[middle], np.log(limit.density[middle]), 1)[0]
        assert slope == pytest.approx(expected, abs=0.005)


def test_limit_schedule_follows_its_density():
    limit = dg.limit_density(dg.make_problem(LAM), *SIGMA)
    sigma = dg.limit_schedule(limit, 40)
    arc = np.concatenate([[0.0], np.cumsum(
        0.5 * (limit.density[1:] + limit.density[:-1]) * np.diff(limit.log_sigma)
    )])  # fmt: skip
    np.testing.assert_allclose(
        np.interp(np.log(sigma), limit.log_sigma, arc), np.arange(41) / 40, atol=1e-6
    )


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lam": [1.0, 0.0, 2.0]}, r"lam\[1\] = 0.0: .*drop modes without variance"),
        ({"loss": "weighted"}, "weights are needed with loss='weighted'"),
        ({"weights": [1.0, 1.0]}, "weights are needed with loss='weighted', and only there"),
        ({"loss": "weighted", "weights": [1.0]}, "weights must be 2 numbers"),
        ({"loss": "weighted", "weights": [0.0, 0.0]}, "not all zero"),
        ({"mu0_spectral": [1.0, 2.0, 3.0]}, "mu0_spectral: got 3 numbers, expected 2"),
        ({"eps_0": 0.6, "eps_S": 0.5}, "must be below 1"),
        ({"init": [0.1, 0.9]}, r"init\[1\]"),
        ({"init": [0.0, 0.9], "process": "ve"}, r"init\[0\].*no level may be 0"),
        ({"n_starts": 3}, "rng is needed"),
    ],
)
def test_bad_arguments_are_named(change, message):
    arguments = {"lam": [1.0, 2.0], "S": 4} | change
    with pytest.raises(ValueError, match=message):
        dg.design_schedule(**arguments)


def test_objective_refuses_schedules_that_are_not_monotone():
    problem = dg.make_problem(LAM)
    with pytest.raises(ValueError, match=r"sigma\[2\]"):
        dg.objective(problem, [0.1, 2.0, 1.0])


# --- faint modes, merged levels -------------------------------------------------------------------


def test_levels_that_fall_together_are_left_out_and_said():
    lam = np.arange(1, 257) ** -2.0
    with pytest.warns(UserWarning, match="S: 3 of 10 steps have levels that fall together"):
        found = dg.design_schedule(lam, 10, eps_0=1.5e-5, eps_S=0.5)
    assert found.merged == 3
    assert found.schedule.shape == found.sigma.shape == (8,)
    sc.validate_alpha_bar(found.schedule)
    assert (found.schedule[0], found.schedule[-1]) == (1 - 1.5e-5, 0.5)
    assert (
        dg.objective(dg.make_problem(lam, eps_0=1.5e-5, eps_S=0.5), found.sigma) == found.objective
    )


def test_many_faint_modes_are_warned_of_and_a_cleaner_end_is_the_remedy():
    lam = 0.05 * np.arange(1, 40) ** -2.0
    with pytest.warns(UserWarning, match="lam: 17 modes lie below the noise of the clean end"):
        found = dg.design_schedule(lam, 13, n_starts=40, rng=np.random.default_rng(0))
    assert found.start_objectives.max() > 1.05 * found.objective  # local minima
    better = dg.design_schedule(lam, 13, eps_0=1e-6, n_starts=40, rng=np.random.default_rng(0))
    assert better.start_objectives.max() < 1.0001 * better.objective
