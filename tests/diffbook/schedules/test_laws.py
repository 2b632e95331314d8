"""Laws for many steps: kernels, densities, sum rule, power laws, the law with ends."""

import numpy as np
import pytest

from diffbook.priors.gaussian import GaussianPrior
from diffbook.samplers.transfer import flow_gain
from diffbook.schedules import laws
from diffbook.schedules.design import (
    design_schedule,
    limit_density,
    limit_schedule,
    make_problem,
    objective,
    step_density,
)
from diffbook.schedules.families import linear_alpha_bar
from diffbook.schedules.levels import sigma_range

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


# --- the law's own weights ----------------------------------------------------------------------

SPECTRA = {
    "ramp": LAM,
    "power law": np.arange(1, 129) ** -1.6 * 20,
    "AR(1)": np.abs(1 / (1 - 0.9 * np.exp(2j * np.pi * np.arange(64) / 64))) ** 2,
}


def law_loss(lam, gain, E, S, loss):
    """Loss between Gaussians mode by mode, written out from its definition."""
    v = (gain * np.exp(-E / S)) ** 2
    if loss == "w2":
        return np.sum((np.sqrt(lam) - np.sqrt(v)) ** 2)
    if loss == "weighted":
        return np.sum(np.abs(lam - v))
    p, q = (lam, v) if loss == "kl" else (v, lam)
    return np.sum(0.5 * (p / q - 1 - np.log(p / q)))


@pytest.mark.parametrize("loss", ["w2", "kl", "kl_reverse", "weighted"])
@pytest.mark.parametrize("solver", ["ddim", "ddpm"])
@pytest.mark.parametrize("S", [8, 60])
def test_law_density_is_stationary_for_the_law_s_loss(loss, solver, S):
    """No small change of the density lowers the loss to first order, and none at all by much."""
    x, gain = np.linspace(-4.6, 5.1, 401), 0.999 * np.sqrt(LAM)
    found = laws.law_density(LAM, x, S, gain, solver=solver, loss=loss)
    assert found.residual < 1e-9
    assert found.constant == pytest.approx(law_loss(LAM, gain, found.E, S, loss), rel=1e-12)
    for wave in (np.cos(x), np.sin(2 * x), np.exp(-(x**2))):
        values = []
        for h in (-1e-3, 0.0, 1e-3):
            p = found.density * np.exp(h * wave)
            p /= np.trapezoid(p, x)
            E = laws.step_error(LAM, x, p, solver)
            values.append(law_loss(LAM, gain, E, S, loss) / found.constant)
        assert abs(values[2] - values[0]) < 1e-8
        assert values[0] >= values[1] <= values[2]


def excess(lam, S, loss="w2", eta=0.0):
    """Loss of the density's schedule over that of the optimum, less 1 (W2 not squared)."""
    problem = make_problem(lam, loss=loss, eta=eta)
    schedule = limit_schedule(step_density(problem, *sigma_range(), S), S)
    best = design_schedule(lam, S, loss=loss, eta=eta).objective
    ratio = objective(problem, schedule) / best
    return (np.sqrt(ratio) if loss == "w2" else ratio) - 1


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize(
    ("loss", "eta", "bounds"),
    [
        ("w2", 0.0, {5: 3e-3, 20: 2e-4, 100: 1e-5, 1000: 1e-5}),
        ("kl", 0.0, {5: 3e-2, 20: 5e-4, 100: 1e-5}),
        ("kl_reverse", 0.0, {5: 1e-2, 20: 5e-4, 100: 1e-5}),
        ("w2", 1.0, {5: 6e-2, 20: 4e-2, 100: 1e-2, 1000: 1e-3}),
    ],
)
def test_the_law_s_weights_come_near_the_optimum_at_every_number_of_steps(name, loss, eta, bounds):
    for S, bound in bounds.items():
        assert -1e-9 < excess(SPECTRA[name], S, loss, eta) < bound


def test_the_limit_does_not_where_the_ends_are_given():
    """With given ends the loss falls to a floor, and what is left is linear in E / S."""
    problem, S = make_problem(LAM), 500
    limit = limit_schedule(limit_density(problem, *sigma_range()), S)
    best = design_schedule(LAM, S).objective
    assert np.sqrt(objective(problem, limit) / best) - 1 > 1e-2 > 1e3 * excess(LAM, S)


def test_it_tends_to_the_limit_between_perfect_ends():
    x = np.linspace(-8.0, 8.0, 401)
    for loss in ("w2", "kl"):
        limit = laws.optimal_density(LAM, x, loss=loss)
        found = laws.law_density(LAM, x, 1e6, np.sqrt(LAM), loss=loss)
        np.testing.assert_allclose(found.density, limit.density, rtol=1e-4)
        assert found.constant * 1e12 == pytest.approx(limit.constant, rel=1e-4)


def test_it_fails_where_modes_have_too_much_variance_at_the_clean_end():
    """KL of a mode not far above the noise of the clean end: its weight would be negative."""
    lam = np.geomspace(1e-3, 60, 64)
    assert excess(lam, 20, "kl") < 1e-2
    assert excess(lam, 250, "kl") > 0.5
    x = np.linspace(-4.6, 5.1, 101)
    full = laws.law_density(lam, x, 10**6, 1.1 * np.sqrt(lam), loss="kl")  # no mode has a weight
    limit = laws.optimal_density(lam, x, loss="kl")
    np.testing.assert_array_equal(full.density, limit.density)
