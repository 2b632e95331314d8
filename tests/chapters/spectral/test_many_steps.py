"""Laws for many steps on the chapter's spectra."""

import numpy as np
import pytest

from chapters.spectral import many_steps
from diffbook.priors.distances import w2_spectral
from diffbook.priors.gaussian import GaussianPrior
from diffbook.samplers.transfer import flow_gain, transfer
from diffbook.schedules.design import limit_density, limit_schedule, make_problem
from diffbook.schedules.families import cosine
from diffbook.schedules.levels import alpha_bar_to_sigma, sigma_range, sigma_to_alpha_bar


def test_edm_on_a_pure_power_law():
    alpha, predicted, best, *ratios, wide = many_steps.edm_on_spectrum(
        np.arange(1, 257) ** -2.0, (8, 64)
    )
    assert alpha == pytest.approx(2.0)
    assert predicted == pytest.approx(3.0)
    assert best == pytest.approx(3.4, abs=0.1)
    assert ratios[2] <= min(ratios)
    assert 1.0 < ratios[2] < 1.02 < wide


def test_law_errors_against_the_law_written_out():
    """Sampled W2 of the limiting schedule against gains that shrink by exp(-E / S)."""
    lam = GaussianPrior.ramp(d=10).lam
    limit = limit_density(make_problem(lam), *sigma_range())
    u = np.exp(2 * limit.log_sigma) / lam[:, None]
    E = np.trapezoid(u / (2 * (1 + u) ** 2) / limit.density, limit.log_sigma, axis=1)
    for S, error in zip((10, 50), many_steps.law_errors(lam, (10, 50)), strict=True):
        alpha_bar = sigma_to_alpha_bar(limit_schedule(limit, S))
        actual = w2_spectral(lam, transfer(lam, alpha_bar).std)
        law = w2_spectral(lam, flow_gain(lam, alpha_bar) * np.exp(-E / S))
        assert error == pytest.approx(abs(law / actual - 1), rel=1e-4)


def test_power_law_slopes_are_those_of_the_claim():
    found = many_steps.power_law_slopes([1.5, 2.0])
    alpha = np.array([1.5, 2.0])
    expected = {
        "W2, DDIM": 2 / 3 * (1 - 1 / alpha),
        "W2, Heun": 2 / 5 * (1 - 1 / alpha),
        "KL, DDIM": -2 / (3 * alpha),
    }
    assert list(found) == list(expected)
    for name, (at, measured, formula) in found.items():
        assert at == [1.5, 2.0]
        assert formula == pytest.approx(expected[name])
        assert measured == pytest.approx(expected[name], abs=1e-3)


def test_conservation_law():
    """The logarithmic loss over all eigenvalues is half the sum of squared steps."""
    sigma = alpha_bar_to_sigma(cosine(7))
    lost, steps = many_steps.conservation(sigma)
    assert lost == pytest.approx(steps, rel=1e-9)
