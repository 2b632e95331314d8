"""Processes in native coordinates: faults in the coefficients show; variances against simulation."""

import numpy as np
import pytest

from chapters.coupled import checks
from diffbook import coupled


def test_native_chains_are_the_chain_in_v():
    errors = checks.native_chains(3)
    assert set(errors) == {"VP", "CARD", "OU-VE"}
    assert max(errors.values()) < 1e-10


def test_a_wrong_coefficient_of_the_prior_mean_shows(monkeypatch):
    card = checks._card

    def wrong(ab):
        step = card(ab)
        return lambda s: (*step(s)[:2], 1.01 * step(s)[2], step(s)[3])

    monkeypatch.setattr(checks, "_card", wrong)
    assert checks.native_chains(3)["CARD"] > 1e-4


@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "zero-variance"])
def test_unit_variance_is_that_of_samples(sampler):
    sigma, n = coupled.vp_levels(12), 40_000
    net = coupled.Coupling(lambda v, s, _cond: v / (1 + s**2), None, lambda x: x)
    switches = coupled.Switches(sampler=sampler)
    x = coupled.enhance(
        net, np.zeros((n, 1)), sigma, noise=coupled.batch_noise(0), switches=switches
    ).signal
    expected = checks.unit_variance(sigma, sampler)
    assert x.var() == pytest.approx(expected, abs=4 * expected * np.sqrt(2 / n) + 1e-9)


def test_z_score_counts_standard_errors():
    assert checks.z_score(np.zeros(5)) == 0.0
    values = np.array([1.0, 2.0, 3.0, 4.0])
    assert checks.z_score(values) == pytest.approx(2.5 / (values.std(ddof=1) / 2))
