"""Rival laws: each is what its description says, and none beats the optimum."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from chapters.spectral import rivals
from diffbook.priors.gaussian import GaussianPrior
from diffbook.samplers.transfer import transfer
from diffbook.schedules.design import design_schedule, make_problem, objective
from diffbook.schedules.families import cosine, edm, log_linear, tangent
from diffbook.schedules.levels import alpha_bar_to_sigma, sigma_range

LAM = GaussianPrior.ramp().lam


@pytest.mark.parametrize("law", sorted(rivals.SPEEDS))
def test_speeds_are_rates_of_what_they_name(law):
    """Each closed form against a difference quotient of the quantity in its description."""
    lam, x, h = np.array([0.2, 1.7, 30.0]), 0.3, 1e-5

    def variance(t):  # VE marginal
        return lam + np.exp(2 * t)

    def difference(f):
        return (f(x + h) - f(x - h)) / (2 * h)

    vp = lambda t: variance(t) / (1 + np.exp(2 * t))  # noqa: E731
    expected = {
        # score -y / V at fixed y, of variance V; velocity scaling sigma turns d/dx into sigma^2
        "score-optimal (VE)": np.sqrt(
            np.sum(variance(x) * difference(lambda t: -1 / variance(t)) ** 2) * np.exp(2 * x)
        ),
        "Fisher-Rao (VE)": np.linalg.norm(difference(lambda t: np.log(variance(t)))),
        "Fisher-Rao (VP)": np.linalg.norm(difference(lambda t: np.log(vp(t)))),
        "constant rate of x_t": np.linalg.norm(difference(lambda t: np.sqrt(vp(t)))),
        "constant rate of the denoised": np.linalg.norm(
            difference(lambda t: lam / np.sqrt(variance(t)))
        ),
        "entropic time": np.sum(
            difference(lambda t: 0.5 * np.log(lam * np.exp(2 * t) / variance(t)))
        ),
    }[law]
    factor = {"score-optimal (VE)": 2.0, "Fisher-Rao (VE)": 2.0, "Fisher-Rao (VP)": 2.0}.get(
        law, 1.0
    )
    assert factor * rivals.speed(lam, [x], law)[0] == pytest.approx(expected, rel=1e-8)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(3, 8).flatmap(
        lambda m: st.tuples(
            st.lists(st.floats(0.0, 5.0), min_size=m * m, max_size=m * m),
            st.just(m),
            st.integers(1, m - 1),
            st.sampled_from([0.9, 1.0, 1.15]),
        )
    )
)
def test_shortest_path_is_the_best_of_all_paths(case):
    entries, m, S, c = case
    cost = np.array(entries).reshape(m, m)

    def price(path):
        return sum(c**k * cost[i, j] for k, (i, j) in enumerate(pairwise(path)))

    best = min(price((0, *inner, m - 1)) for inner in combinations(range(1, m - 1), S - 1))
    path = rivals.shortest_path(cost, S, c)
    assert len(path) == S + 1
    assert np.all(np.diff(path) > 0)
    assert price(path) == pytest.approx(best, rel=1e-12, abs=1e-12)


def test_jump_cost_is_the_distance_of_a_sampled_jump():
    """One DDIM step from the exact trajectory, on many signals, against the closed form."""
    prior = GaussianPrior.ramp(d=8)
    sigma = np.geomspace(0.05, 40.0, 6)[::-1]
    rng = np.random.default_rng(0)
    start = prior.to_spectral(rng.standard_normal((40_000, 8))) * np.sqrt(1 + sigma[0] ** 2)
    V = prior.lam + sigma[:, None] ** 2
    i, j = 1, 4
    exact_i, exact_j = (start * np.sqrt(V[k] / V[0]) for k in (i, j))
    x0_hat = prior.lam / V[i] * exact_i
    landed = x0_hat + sigma[j] / sigma[i] * (exact_i - x0_hat)
    rms = np.sqrt(np.mean(np.sum(np.abs(landed - exact_j) ** 2, axis=1)))
    assert rivals.jump_cost(prior.lam, sigma)[i, j] == pytest.approx(rms, rel=0.02)


def test_deviation_cost_vanishes_for_short_jumps_and_is_positive_for_long_ones():
    sigma = edm(60, *sigma_range())[::-1]
    cost = rivals.jump_cost(LAM, sigma, "deviation")
    assert np.all(np.abs(np.diag(cost)) < 1e-9)
    assert cost[0, 40] > 1.0


def test_klub_against_quadrature_and_above_the_divergence_of_ddpm():
    lam, a, b = 2.3, 0.4, 1.7
    mmse = lambda t: lam * t**2 / (lam + t**2)  # noqa: E731
    integral = quad(lambda t: (mmse(b) - mmse(t)) / t**3, a, b)[0]
    assert rivals.klub([lam], a, b) == pytest.approx(integral, rel=1e-10)
    # The bound is for the marginal at the clean end: the data with noise sigma_0.
    alpha_bar = cosine(12)
    sigma = alpha_bar_to_sigma(alpha_bar)
    var = transfer(LAM, alpha_bar, eta=1.0).var[0] / alpha_bar[0]
    ratio, ends = (LAM + sigma[0] ** 2) / var, (LAM + sigma[-1] ** 2) / (1 + sigma[-1] ** 2)
    divergence = 0.5 * np.sum(ratio - 1 - np.log(ratio))
    start = 0.5 * np.sum(ends - 1 - np.log(ends))
    assert divergence <= rivals.klub(LAM, sigma[:-1], sigma[1:]).sum() + start


def test_klub_schedule_has_the_smallest_bound():
    total = lambda s: rivals.klub(LAM, s[:-1], s[1:]).sum()  # noqa: E731
    best = total(alpha_bar_to_sigma(rivals.klub_schedule(LAM, 10)))
    for other in (log_linear(10, *sigma_range()), edm(10, *sigma_range()), tangent(10, 0.01, 158)):
        assert best < total(other)


def test_rivals_respect_ends_and_do_not_beat_the_optimum():
    S = 10
    optimum = design_schedule(LAM, S).objective
    problem = make_problem(LAM)
    laws = [rivals.constant_speed(LAM, S, law) for law in rivals.SPEEDS]
    laws += [rivals.gits(LAM, S), rivals.klub_schedule(LAM, S)]
    for alpha_bar in laws:
        assert alpha_bar.shape == (S + 1,)
        assert (alpha_bar[0], alpha_bar[-1]) == (1 - 1e-4, 4e-5)
        assert objective(problem, alpha_bar_to_sigma(alpha_bar)) >= optimum * (1 - 1e-9)


def test_relative_jump_costs_of_one_eigenvalue_give_the_tangent_law():
    lam = [3.0]
    sigma = np.sqrt(3.0) * np.tan(np.linspace(0.01, 1.56, 121))[::-1]
    path = rivals.shortest_path(rivals.jump_cost(lam, sigma) / np.sqrt(lam[0] + sigma**2), 10)
    assert np.all(np.diff(path) == 12)


def test_related_errors():
    with pytest.raises(ValueError, match="law must be one of"):
        rivals.speed(LAM, [0.0], "fast")
    with pytest.raises(ValueError, match="lam must be finite and positive"):
        rivals.speed([1.0, 0.0], [0.0], "entropic time")
    with pytest.raises(ValueError, match="1 <= S <= m - 1"):
        rivals.shortest_path(np.zeros((4, 4)), 4)
    with pytest.raises(ValueError, match="metric must be"):
        rivals.jump_cost(LAM, [3.0, 1.0], "l1")


def test_rivals_are_named_schedules_of_s_steps():
    laws = rivals.rivals(LAM, 6)
    assert "GITS" in laws
    assert all(alpha_bar.shape == (7,) for alpha_bar in laws.values())


def test_rival_ratios_are_at_least_one_and_the_fixed_point_leads():
    for loss in ("w2", "kl"):
        table = rivals.rival_ratios(LAM, (5, 10), loss)
        assert all(np.all(values >= 1 - 1e-9) for values in table.values())
        assert min(table, key=lambda name, t=table: t[name][1]) == "fixed point"


@pytest.mark.parametrize("loss", ["w2", "kl"])
def test_rival_ratios_against_the_distances_written_out(loss):
    lam = GaussianPrior.ramp(d=10).lam

    def distance(alpha_bar):
        std = transfer(lam, alpha_bar).std
        if loss == "w2":
            return np.linalg.norm(np.sqrt(lam) - std)
        return 0.5 * np.sum(lam / std**2 - 1 - np.log(lam / std**2))

    table = rivals.rival_ratios(lam, (6,), loss)
    optimum = distance(design_schedule(lam, 6, loss=loss).schedule)
    for name, alpha_bar in rivals.rivals(lam, 6).items():
        assert table[name] == pytest.approx([distance(alpha_bar) / optimum], rel=1e-6)
