"""Heuristic weights and bounds: searches, averages, closed expressions."""

from __future__ import annotations

import numpy as np
import oracles_posterior as oracle
import pytest
from posterior_cases import LINEAR, OPTIONS, library, setting, step_gains, w2

from diffbook import inverse
from diffbook import inverse as ps
from diffbook.inverse import gains, rules


@pytest.mark.parametrize("eta", [0.0, 0.7])
def test_mean_field_norm_is_the_root_mean_square_residual(eta):
    """Against the residual's response to every input, and against samples."""
    g, ab, n = oracle.small(10), oracle.schedule(5), 20_000
    p, rng = library(g), np.random.default_rng(0)
    weights = inverse.dps_normalised(p, ab, 0.4, eta=eta)
    rule, seen = oracle.mean_field_rule(g, 0.4), {}

    def recorded(s, response):
        seen[s] = rule(s, response)
        return seen[s]

    blocks = np.split(np.eye(10 * 8), 8, axis=0)
    oracle.sample("dps", g, ab, *blocks[:3], lambda s: blocks[2 + s], recorded, eta=eta)
    np.testing.assert_allclose(weights, [seen[s] for s in range(1, 6)], rtol=1e-10)
    x0 = g.mu0[:, None] + np.linalg.cholesky(g.cov) @ rng.standard_normal((10, n))
    y = g.H @ x0 + g.sigma_y * rng.standard_normal((10, n))

    def measured(s, r):
        power = np.sum(r**2, axis=0)
        z = (power.mean() - (0.4 / weights[s - 1]) ** 2) / (power.std() / np.sqrt(n))
        assert abs(z) < 5.0
        return weights[s - 1]

    oracle.sample("dps", g, ab, rng.standard_normal((10, n)), g.mu0[:, None], y,
                  lambda s: rng.standard_normal((10, n)), measured, eta=eta)  # fmt: skip


@pytest.mark.parametrize("eta", [0.0, 0.6])
def test_rules_of_the_literature(eta):
    p, ab = setting("A", 7)
    sigma2 = (1.0 - ab[1:]) / ab[1:]
    kappa = gains.kappa(ab, eta)
    np.testing.assert_allclose(inverse.dps_literal(p, ab, eta=eta), kappa / 0.02, rtol=1e-12)
    np.testing.assert_allclose(
        inverse.dps_annealed(p, ab, eta=eta), kappa / (2 * (0.01 + sigma2)), rtol=1e-12
    )
    np.testing.assert_allclose(
        gains.pigdm_published(ab), np.sqrt(ab[1:]) * (1 - ab[1:]), rtol=1e-12
    )
    np.testing.assert_array_equal(
        gains.pigdm(p, ab).Y, gains.pigdm(p, ab, gains.pigdm_published(ab)).Y
    )


@pytest.mark.parametrize("search", [inverse.best_normalised, inverse.best_constant])
@pytest.mark.parametrize(("name", "S", "eta"), [("A", 5, 0.0), ("B", 25, 0.0), ("C", 10, 1.0)])
def test_one_dimensional_searches_find_their_minimum(search, name, S, eta):
    p, ab = setting(name, S)
    p = ps.merged(p)
    zeta, best = search(p, ab, eta=eta)

    def value(z):
        if search is inverse.best_constant:
            weights = np.full(S, z)
        else:
            weights = inverse.dps_normalised(p, ab, z, eta=eta)
        return w2(p, ab, gains.dps(p, ab, weights, eta=eta))

    assert value(zeta) == pytest.approx(best, rel=1e-12)
    for factor in (0.99, 0.9999, 1.0001, 1.01):
        assert value(factor * zeta) > best
    for z in np.geomspace(1e-3, 30.0, 40):
        assert value(z) >= best * (1.0 - 1e-12)


@pytest.mark.parametrize("eta", [0.0, 0.9])
@pytest.mark.parametrize("name", "ABC")
def test_reference_weight_is_an_average_of_exact_weights(name, eta):
    p, ab = setting(name, 25)
    exact = gains.kappa(ab, eta)[:, None] / 2.0 / (0.0 + p.sigma_y**2 + np.abs(p.h) ** 2 * np.stack(
        [p.var_x0(v) for v in ab[1:]]))  # fmt: skip
    got = inverse.reference(p, ab, eta=eta)
    assert np.all(got <= exact.max(axis=1) * (1.0 + 1e-12))
    cap = 0.5 * inverse.stability_bound(p, ab, eta=eta)
    free = got < cap * (1.0 - 1e-9)
    assert np.all(got <= cap * (1.0 + 1e-12))
    assert np.all(got[free] >= exact.min(axis=1)[free])
    for s in range(25):
        share = p.slope(ab[s + 1]) ** 2 * np.abs(p.h) ** 2 * p.S_y
        average = np.average(exact[s], weights=share)
        assert got[s] == pytest.approx(min(average, cap[s]), rel=1e-12)


def test_reference_weight_is_capped_at_half_the_stability_bound():
    """One strong mode sets the bound, many weak ones the average; the bound depends on eta."""
    p, ab = ps.make_problem(np.r_[1.0, np.full(200, 0.05)], 1.0, 0.02), oracle.schedule(10)
    capped = [inverse.reference(p, ab, eta=eta)[1] for eta in (0.8, 0.9)]
    expected = [0.5 * inverse.stability_bound(p, ab, eta=eta)[1] for eta in (0.8, 0.9)]
    np.testing.assert_allclose(capped, expected, rtol=1e-12)
    assert capped[0] != capped[1]


def test_reference_and_normalised_weights_have_different_shapes():
    """25 steps of problem A: one falls and rises with the step, the other rises monotonically."""
    p, ab = setting("A", 25)
    reference = inverse.reference(p, ab)
    assert reference[24] == pytest.approx(0.044, rel=0.02)
    assert reference.min() == pytest.approx(0.028, rel=0.02)
    sigma = np.sqrt((1.0 - ab[1:]) / ab[1:])
    assert 4.0 < sigma[np.argmin(reference)] < 9.0
    assert reference[0] == pytest.approx(0.36, rel=0.02)
    rule = inverse.dps_normalised(p, ab, 1.0)
    assert np.all(np.diff(rule) < 0.0)
    np.testing.assert_allclose(rule[[0, -1]], [1.3, 0.15], rtol=0.05)


def test_exact_weight_differs_between_frequencies():
    p, ab = setting("A", 10)
    exact = gains.kappa(ab)[:, None] / 2.0 / (p.sigma_y**2 + np.abs(p.h) ** 2 * np.stack(
        [p.var_x0(v) for v in ab[1:]]))  # fmt: skip
    np.testing.assert_allclose(np.ptp(np.log(exact[0])), np.log(5.4 / 0.44), rtol=0.01)
    np.testing.assert_allclose([exact[9].min(), exact[9].max()], [0.11, 81.0], rtol=0.03)


@pytest.mark.parametrize("method", LINEAR)
@pytest.mark.parametrize("S", [3, 12])
def test_bounds_are_reached_exactly(method, S):
    """At the bound the smallest gain of a step is 0 or -1; a little above, it is below."""
    p, ab = library(oracle.small(10, (0.5, 0.5))), oracle.schedule(S)
    function, options = getattr(gains, method), OPTIONS[method]
    for bound, limit in ((inverse.no_overshoot_bound, 0.0), (inverse.stability_bound, -1.0)):
        top = bound(p, ab, function, **options)
        assert top.shape == (S,)
        assert np.all(top > 0.0)
        finite = np.isfinite(top)
        for factor, sign in ((1.0, 0), (1.01, -1), (0.99, 1)):
            weights = np.where(finite, factor * np.where(finite, top, 1.0), 1.0)
            low = step_gains(p, ab, function(p, ab, weights, **options)).min(axis=1)
            if sign == 0:
                np.testing.assert_allclose(low[finite], limit, atol=1e-12)
            elif sign < 0:
                assert np.all(low[finite] < limit)
            else:
                assert np.all(low >= limit)


def test_bounds_of_dps_are_the_closed_expressions():
    p, ab = setting("A", 10)
    for s in range(1, 11):
        a, b, _ = oracle.coefficients(ab, s, 0.4)
        w, h2 = p.slope(ab[s]), np.abs(p.h) ** 2
        for bound, slack in ((inverse.stability_bound, 1.0), (inverse.no_overshoot_bound, 0.0)):
            expected = np.min((slack + a + b * w) / (2.0 * h2 * w**2))
            assert bound(p, ab, eta=0.4)[s - 1] == pytest.approx(expected, rel=1e-9)


def test_search_finds_the_minimum_past_values_that_are_no_numbers():
    where, value = rules.search(
        lambda z: np.log(z / 0.37) ** 2 + 2.0 if z < 20 else np.nan, 1e-2, 1e2, 21, 1e-9
    )
    assert where == pytest.approx(0.37, rel=1e-6)
    assert value == pytest.approx(2.0)
