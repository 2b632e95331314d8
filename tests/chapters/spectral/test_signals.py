"""What schedules cost in the Gaussian model of a signal."""

import numpy as np
import pytest

from chapters.spectral import signals
from diffbook.priors.gaussian import GaussianPrior
from diffbook.schedules.families import cosine_chain, ddpm_chain
from diffbook.schedules.levels import EPS_0, EPS_S, validate_alpha_bar

RNG = np.random.default_rng


@pytest.fixture(scope="module")
def prior():
    rng = RNG(0)
    a = rng.standard_normal((16, 16)) * np.geomspace(3, 0.05, 16)
    return GaussianPrior.from_covariance(a.T @ a / 16, rng.standard_normal(16))


def test_all_schedules_share_their_ends(prior):
    for S in (3, 7):
        group = signals.candidates(prior, S)
        assert set(group) == {*signals.HEURISTICS, "spectral W2", "spectral KL"}
        group["fixed point"] = signals.fixed_point(prior, S)
        for name, alpha_bar in group.items():
            validate_alpha_bar(alpha_bar, name)
            assert alpha_bar[0] == 1 - EPS_0
            assert alpha_bar[-1] == EPS_S


def test_ratios_on_the_synthetic_prior():
    """Known values for the paper's ramp (d = 50, l = 0.1) at S = 20, within 1 %."""
    ratios = signals.w2_ratios(GaussianPrior.ramp(), 20)
    expected = {"linear beta": 1.23, "cosine": 4.42, "sigmoid": 6.11, "EDM rho=7": 1.28}
    expected |= {"log-linear": 1.56, "fixed point": 1.001}
    for name, value in expected.items():
        assert ratios[name] == pytest.approx(value, rel=0.01)
    assert ratios["share"] == pytest.approx(1.87017 / np.sqrt(616.84), rel=1e-3)


def test_best_rho_is_a_minimum(prior):
    rho, ratio = signals.best_rho(prior, 10)
    assert 1.0 <= ratio <= signals.w2_ratios(prior, 10)["EDM rho=7"]
    assert rho > 0


def test_cross_use_has_ones_on_the_diagonal(prior):
    table = signals.cross_use({"a": prior, "b": GaussianPrior.ramp()}, 8)
    assert table["a"]["a"] == table["b"]["b"] == 1.0
    assert table["a"]["b"] > 1.0
    assert table["b"]["a"] > 1.0


def test_estimation_excess_falls_with_n():
    ramp = GaussianPrior.ramp()
    excess = signals.estimation_excess(ramp, lambda n, s: ramp.sample(n, RNG(s)), (5, 200), 10, 4)
    assert np.all(excess[5] >= -1e-9)
    assert excess[200].mean() < 0.01 < excess[5].mean()


def test_rounding_cost():
    chains = {"linear": ddpm_chain(1000), "coarse": cosine_chain(50)}
    table = signals.rounding_cost(GaussianPrior.ramp(), chains, (10, 40))
    ratio, left = table["linear"][10]
    assert left == 10
    assert ratio == pytest.approx(1.0, abs=0.01)
    assert table["coarse"][40][1] < 40  # repeated levels were dropped
