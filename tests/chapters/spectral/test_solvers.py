"""Gains of samplers of any order, and schedules designed for them."""

import numpy as np
import pytest

from chapters.spectral import solvers
from diffbook.priors.distances import w2_spectral
from diffbook.priors.gaussian import GaussianPrior
from diffbook.samplers import unguided
from diffbook.samplers.transfer import flow_gain
from diffbook.schedules import laws
from diffbook.schedules.families import constant_rate, cosine, linear_alpha_bar, log_linear
from diffbook.schedules.levels import sigma_range, sigma_to_alpha_bar

LAM = GaussianPrior.ramp().lam


@pytest.mark.parametrize("solver", ["ddim", "heun", "dpmpp_2m"])
def test_scalar_recursions_equal_the_samplers(solver):
    prior, alpha_bar = GaussianPrior.ramp(), cosine(9)
    x = np.random.default_rng(0).standard_normal((2, prior.d))
    out = prior.to_spectral(getattr(unguided, solver)(prior.denoise, x, alpha_bar).sample)
    gain = np.abs(out / prior.to_spectral(x))
    expected = solvers.output_std(LAM, alpha_bar, solver)
    assert gain == pytest.approx(np.broadcast_to(expected, gain.shape), rel=1e-9)


def test_exact_integrator_is_the_flow_for_any_schedule():
    for alpha_bar in (linear_alpha_bar(1), cosine(7)):
        exact = solvers.exact_integrator_std(LAM, alpha_bar)
        assert exact == pytest.approx(flow_gain(LAM, alpha_bar), rel=1e-12)


@pytest.mark.parametrize("solver", ["heun", "dpmpp_2m"])
def test_design_without_closed_form_improves_on_its_starts(solver):
    S, ends = 8, sigma_range()
    designed = solvers.design_for(LAM, S, solver, init=[log_linear(S, *ends)])
    w2 = lambda ab: w2_spectral(LAM, solvers.output_std(LAM, ab, solver))  # noqa: E731
    assert w2(designed) < w2(sigma_to_alpha_bar(log_linear(S, *ends)))


def test_heun_overdisperses():
    x = np.linspace(*np.log(sigma_range(1e-6, 1e-6)), 801)
    best = laws.optimal_density(LAM, x, solver="heun")
    sigma = constant_rate(200, best.log_sigma, best.density)
    exact = np.sqrt((LAM + sigma[0] ** 2) / (LAM + sigma[-1] ** 2))
    excess = np.log(solvers.y_gain(LAM, sigma, "heun") / exact) * 200**2
    assert np.all(excess > 0)
    assert excess == pytest.approx(best.E, rel=0.05)


def test_solver_errors():
    with pytest.raises(ValueError, match="even for Heun"):
        solvers.steps_for("heun", 7)
    with pytest.raises(ValueError, match="solver must be"):
        solvers.design_for(LAM, 5, "rk4")


def test_solver_scores_order():
    table = solvers.solver_scores(LAM, (10, 20), eps_0=1e-6, eps_S=1e-6)
    assert np.all(table["DDPM"] > table["DDIM"])
    assert table["Heun"][0] > table["DDIM"][0]
    assert table["Heun"][1] < table["DDIM"][1]
    share, uneven = solvers.free_multistep(LAM, 10, eps_0=1e-6, eps_S=1e-6)
    assert share < 0.05
    assert uneven > 20


def test_solver_scores_against_the_samplers():
    """The log-linear rows by running the samplers on noise, mode by mode."""
    prior, ends = GaussianPrior.ramp(d=10), {"eps_0": 1e-4, "eps_S": 1e-4}
    table = solvers.solver_scores(prior.lam, (6,), **ends)
    alpha_bar = sigma_to_alpha_bar(log_linear(6, *sigma_range(**ends)))
    x = np.random.default_rng(0).standard_normal((1, 10))
    for name, sampler in (("DDIM", unguided.ddim), ("DPM-Solver++(2M)", unguided.dpmpp_2m)):
        out = prior.to_spectral(sampler(prior.denoise, x, alpha_bar).sample)
        std = np.abs(out / prior.to_spectral(x))[0]
        expected = np.sqrt(np.sum((np.sqrt(prior.lam) - std) ** 2))
        assert table[f"{name}, log-linear"] == pytest.approx([expected], rel=1e-8)
    assert table["DDIM"] < table["DDIM, log-linear"]
