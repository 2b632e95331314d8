"""Tuned families."""

import numpy as np
import pytest

from chapters.spectral import tuned
from diffbook.priors.gaussian import GaussianPrior
from diffbook.samplers.transfer import transfer
from diffbook.schedules.design import design_schedule, make_problem, objective
from diffbook.schedules.families import cosine, edm, log_linear, tangent
from diffbook.schedules.levels import alpha_bar_to_sigma, sigma_range, sigma_to_alpha_bar

LAM = GaussianPrior.ramp().lam


@pytest.mark.parametrize("family", tuned.FAMILIES)
def test_tuning_beats_defaults_and_not_the_optimum(family):
    S, ends = 8, sigma_range()
    problem = make_problem(LAM)
    default = {
        "cosine": alpha_bar_to_sigma(cosine(S)),
        "sigmoid": log_linear(S, *ends),
        "EDM": edm(S, *ends),
        "tangent": tangent(S, *ends),
    }[family]
    best = tuned.tune(problem, S, family)
    assert design_schedule(LAM, S).objective <= best.objective <= objective(problem, default)
    assert best.objective == pytest.approx(objective(problem, best.sigma), rel=1e-12)


def test_tuned_tangent_finds_the_scale_of_one_eigenvalue():
    best = tuned.tune(make_problem([7.0]), 10, "tangent")
    assert best.parameters[0] == pytest.approx(np.sqrt(7.0), rel=1e-2)


def test_unknown_family():
    with pytest.raises(ValueError, match="family must be one of"):
        tuned.tune(make_problem(LAM), 5, "polynomial")


def test_heuristic_ratios():
    untuned, best, tried = tuned.heuristic_ratios(LAM, (6,))
    assert best["cosine"][0] <= untuned["cosine"][0]
    assert best["EDM"][0] <= untuned["EDM rho=7"][0]
    assert min(values[0] for values in (*best.values(), *untuned.values())) > 1.0
    assert all(count > 10 for count in tried.values())


def test_heuristic_ratios_against_the_distance_written_out():
    lam = GaussianPrior.ramp(d=10).lam
    untuned, best, _ = tuned.heuristic_ratios(lam, (6,))

    def distance(alpha_bar):
        return np.linalg.norm(np.sqrt(lam) - transfer(lam, alpha_bar).std)

    optimum = distance(design_schedule(lam, 6).schedule)
    assert untuned["cosine"] == pytest.approx([distance(cosine(6)) / optimum], rel=1e-6)
    found = tuned.tune(make_problem(lam), 6, "EDM")
    alpha_bar = sigma_to_alpha_bar(edm(6, *sigma_range(), rho=found.parameters[0]))
    assert best["EDM"] == pytest.approx([distance(alpha_bar) / optimum], rel=1e-6)
