"""Laws for many steps: kernels, densities, sum rule, power laws, the law with ends."""

import numpy as np
import pytest

from diffbook.priors.gaussian import GaussianPrior
from diffbook.samplers.transfer import flow_gain
from diffbook.schedules import laws
from diffbook.schedules.design import limit_density, limit_schedule, make_problem, objective
from diffbook.schedules.families import cosine, edm, linear_alpha_bar
from diffbook.schedules.levels import alpha_bar_to_sigma, sigma_range

LAM = GaussianPrior.ramp().lam


@pytest.mark.parametrize("solver", ["ddim", "ddpm", "heun"])
def test_kernels_are_the_errors_of_short_steps(solver):
    """Relative error of the standard deviation after one short step, against the kernel."""
    lam, x, dx = np.array([0.3, 2.0, 50.0]), 0.4, 1e-3
    sigma = np.exp([x - dx / 2, x + dx / 2])
    exact = np.sqrt((lam + sigma[0] ** 2) / (lam + sigma[1] ** 2))
    if solver == "ddpm":
        V = lam + sigma[:, None] ** 2
        tau2 = sigma[0] ** 2 * (1 - sigma[0] ** 2 / sigma[1] ** 2)
        variance = (V[0] / V[1]) ** 2 * V[1] + tau2
        # An error made at sigma reaches the output damped by the later gains V_0 / V.
        error = 0.5 * (1 - variance / V[0]) * lam / V[0]
    else:
        slope = lambda s: s / (lam + s**2)  # noqa: E731 - y' = slope y, from the noise end
        step = sigma[0] - sigma[1]
        first = slope(sigma[1])
        gain = 1 + step * first
        if solver == "heun":
            gain = 1 + step * (first + slope(sigma[0]) * gain) / 2
        error = np.abs(1 - gain / exact)
    order = laws.ORDER[solver]
    kernel = laws.kernel(lam, [x], solver)[:, 0]
    assert error / dx ** (order + 1) == pytest.approx(kernel, rel=5e-3)


def test_density_agrees_with_the_design_module_and_is_stationary():
    problem = make_problem(LAM)
    theirs = limit_density(problem, *sigma_range())
    ours = laws.optimal_density(LAM, theirs.log_sigma)
    assert ours.density == pytest.approx(theirs.density, rel=1e-8)
    assert ours.constant == pytest.approx(theirs.constant, rel=1e-9)
    speed = np.sqrt((LAM * ours.E) @ laws.kernel(LAM, ours.log_sigma))
    assert np.trapezoid(speed, ours.log_sigma) ** 2 == pytest.approx(ours.constant, rel=1e-9)


@pytest.mark.parametrize(("loss", "solver"), [("w2", "ddim"), ("kl", "ddim"), ("w2", "heun")])
def test_density_is_a_minimum(loss, solver):
    x = np.linspace(-4.0, 4.0, 401)
    best = laws.optimal_density(LAM, x, loss=loss, solver=solver)
    base = LAM if loss == "w2" else np.ones_like(LAM)
    rng = np.random.default_rng(0)
    for _ in range(20):
        bump = np.exp(0.3 * np.interp(x, np.linspace(-4, 4, 9), rng.standard_normal(9)))
        other = best.density * bump
        other /= np.trapezoid(other, x)
        value = base @ laws.step_error(LAM, x, other, solver) ** 2
        assert value > best.constant


def test_conservation_law():
    """The logarithmic loss over all eigenvalues is half the sum of squared steps."""
    sigma = alpha_bar_to_sigma(cosine(7))
    lost, steps = laws.conservation(sigma)
    assert lost == pytest.approx(steps, rel=1e-9)


@pytest.mark.parametrize("alpha", [1.0, 14 / 11, 2.0])
@pytest.mark.parametrize("loss", ["w2", "kl"])
@pytest.mark.parametrize("solver", ["ddim", "ddpm", "heun"])
def test_power_law_slopes(alpha, loss, solver):
    found = laws.power_law_density(alpha, solver=solver, loss=loss)
    slope = laws.fit_exponent(found.log_sigma, found.density, -4.0, 4.0)
    expected = laws.power_law_exponent(alpha, loss, laws.ORDER[solver])
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
        assert laws.edm_excess(LAM, x, inverse_rho) == pytest.approx(actual, rel=5e-3)
    found, excess = laws.best_edm(LAM, x)
    assert excess == laws.edm_excess(LAM, x, found)
    assert 1.0 < excess < laws.edm_excess(LAM, x, 0.0)
    for other in (found - 0.01, found + 0.01):
        assert laws.edm_excess(LAM, x, other) > excess


def test_rho_seven():
    assert 1 / laws.power_law_exponent(14 / 11) == pytest.approx(7.0)
    assert 1 / laws.power_law_exponent(14 / 9, order=2) == pytest.approx(7.0)
    assert 1 / laws.power_law_exponent(2.0, "kl") == pytest.approx(-3.0)


def test_law_with_ends():
    problem = make_problem(LAM)
    limit = limit_density(problem, *sigma_range())
    E = laws.step_error(LAM, limit.log_sigma, limit.density)
    for S, tolerance in ((20, 5e-3), (112, 2e-4), (500, 2e-5)):
        actual = np.sqrt(objective(problem, limit_schedule(limit, S)))
        law = laws.w2_law(LAM, E, S, eps_0=1e-4, eps_S=4e-5)
        assert law == pytest.approx(actual, rel=tolerance)
    floor = np.sum((np.sqrt(LAM) - flow_gain(LAM, linear_alpha_bar(1))) ** 2)
    far = laws.w2_law(LAM, E, 1e9, eps_0=1e-4, eps_S=4e-5)
    assert far**2 == pytest.approx(floor, rel=1e-6)


def test_errors():
    with pytest.raises(ValueError, match="even, increasing grid"):
        laws.optimal_density(LAM, [0.0, 1.0, 3.0])
    with pytest.raises(ValueError, match="count must be 50 numbers, not all zero"):
        laws.optimal_density(LAM, [0.0, 1.0, 2.0], count=0 * LAM)
    with pytest.raises(ValueError, match="low, high: fewer than 3 grid points"):
        laws.fit_exponent([0.0, 1.0, 2.0], np.ones(3), 0.5, 2.5)
