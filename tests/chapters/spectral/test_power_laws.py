"""Power laws and the EDM family."""

import numpy as np
import pytest

from chapters.spectral import power_laws
from diffbook.priors.gaussian import GaussianPrior
from diffbook.schedules import laws
from diffbook.schedules.design import limit_density, limit_schedule, make_problem, objective
from diffbook.schedules.families import edm
from diffbook.schedules.levels import sigma_range

LAM = GaussianPrior.ramp().lam


@pytest.mark.parametrize("alpha", [1.0, 14 / 11, 2.0])
@pytest.mark.parametrize("loss", ["w2", "kl"])
@pytest.mark.parametrize("solver", ["ddim", "ddpm", "heun"])
def test_power_law_slopes(alpha, loss, solver):
    found = power_laws.density(alpha, solver=solver, loss=loss)
    slope = power_laws.slope(found.log_sigma, found.density, -4.0, 4.0)
    expected = power_laws.exponent(alpha, loss, laws.ORDER[solver])
    assert slope == pytest.approx(expected, abs=1e-3)
    ends = 7.0 * np.log(10.0)
    np.testing.assert_allclose(found.log_sigma, np.linspace(-ends, ends, 401), atol=1e-12)


def test_excess_of_the_edm_family_is_that_of_its_schedules():
    """In the limit of many steps, between ends so good that they cost nothing."""
    ends = {"eps_0": 1e-9, "eps_S": 1e-9}
    sigmas, problem = sigma_range(**ends), make_problem(LAM, **ends)
    x = np.linspace(*np.log(sigmas), 801)
    best = objective(problem, limit_schedule(limit_density(problem, *sigmas), 4000))
    for inverse_rho in (1 / 7, -0.1):
        actual = np.sqrt(objective(problem, edm(4000, *sigmas, 1 / inverse_rho)) / best)
        assert power_laws.edm_excess(LAM, x, inverse_rho) == pytest.approx(actual, rel=5e-3)
    found, excess = power_laws.best_edm(LAM, x)
    assert excess == power_laws.edm_excess(LAM, x, found)
    assert 1.0 < excess < power_laws.edm_excess(LAM, x, 0.0)
    for other in (found - 0.01, found + 0.01):
        assert power_laws.edm_excess(LAM, x, other) > excess


def test_rho_seven():
    assert 1 / power_laws.exponent(14 / 11) == pytest.approx(7.0)
    assert 1 / power_laws.exponent(14 / 9, order=2) == pytest.approx(7.0)
    assert 1 / power_laws.exponent(2.0, "kl") == pytest.approx(-3.0)


@pytest.mark.parametrize(
    ("loss", "order", "least"),
    [("w2", 1, 2 / 5), ("kl", 1, 2 / 3), ("w2", 2, 3 / 8), ("kl", 2, 3 / 5)],
)
def test_an_exponent_whose_sum_diverges_is_refused(loss, order, least):
    power_laws.exponent(least + 1e-9, loss, order)
    for alpha in (least - 1e-9, least - 0.05, -1.0):
        with pytest.raises(ValueError, match=rf"alpha: got .*above {least:.4g}"):
            power_laws.exponent(alpha, loss, order)


def test_below_that_exponent_the_formula_is_wrong_and_above_it_is_right():
    for alpha, right in ((0.5, False), (0.8, True)):
        found = power_laws.density(alpha, loss="kl")
        measured = power_laws.slope(found.log_sigma, found.density, -4.0, 4.0)
        assert (abs(measured + 2 / (3 * alpha)) < 0.02) == right


def test_few_points_are_refused():
    with pytest.raises(ValueError, match="low, high: fewer than 3"):
        power_laws.slope([0.0, 1.0, 2.0], np.ones(3), 0.5, 2.5)
