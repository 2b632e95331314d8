"""Gaussian inverse problems mode by mode: posterior, merging, binning, what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracles_posterior as oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from posterior_cases import (
    FAST,
    SMALL,
    dense,
    fft,
    library,
    noises,
    over_cases,
    over_small,
    spectra,
    steps_of,
)

from diffbook import inverse as ps
from diffbook.inverse import gains
from diffbook.priors.gaussian import GaussianPrior

MEASURES = ("w2_squared", "mse", "consistency", "perception", "kl")


@pytest.mark.parametrize("name", "ABC")
def test_posterior_of_the_reference_problems(name):
    p = library(oracle.problem(name))
    assert p.mmse == pytest.approx(oracle.D_MIN[name], rel=1e-6)
    assert p.count @ p.lam == pytest.approx(64.0, rel=1e-12)
    assert p.d == 64


@over_small
def test_wiener_gain_and_posterior_covariance(setting):
    g = SMALL[setting]
    p = library(g)
    K, C = dense(g, oracle.schedule(1), "prior").posterior
    np.testing.assert_allclose(oracle.circulant(p.K), K, atol=1e-12)
    np.testing.assert_allclose(oracle.circulant(p.lam_p), C, atol=1e-12)
    np.testing.assert_allclose(p.rho, np.real(p.K * p.h), atol=1e-12)
    y = np.random.default_rng(0).standard_normal((4, g.d))
    mean = g.mu0 + (y - g.H @ g.mu0) @ K.T
    np.testing.assert_allclose(p.mean_given(fft(y)), fft(mean), atol=1e-12)


@FAST
@given(spectra, noises, st.floats(1e-4, 0.9999))
def test_ranges_of_a_random_problem(spectrum, sigma_y, ab):
    lam, modulus, phase = map(np.array, spectrum)
    p = ps.make_problem(lam, modulus * np.exp(1j * phase), sigma_y)
    assert np.all((p.rho >= 0.0) & (p.rho <= 1.0 + 1e-12))
    assert np.all((p.lam_p >= 0.0) & (p.lam_p <= lam))
    np.testing.assert_allclose(p.lam_p, lam * (1.0 - p.rho), atol=1e-9 * max(lam.max(), 1e-300))
    v, w = p.var_x0(ab), p.slope(ab)
    assert np.all((v >= 0.0) & (v <= lam * (1.0 + 1e-12)))
    np.testing.assert_allclose((1.0 - ab) * w / np.sqrt(ab), v, rtol=1e-12, atol=1e-300)


def measures(t) -> np.ndarray:
    return np.array([*(getattr(t, k) for k in MEASURES), *t.coverage([0.5, 0.9])])


@over_cases
def test_merging_leaves_every_measure_unchanged(case):
    """1-D pairs, 2-D octets; complex h, whose phase goes into y."""
    ab = oracle.schedule(5)
    f = np.fft.fftfreq(8)
    f2 = f[:, None] ** 2 + f**2
    lam = 1.0 / (0.01 + f2)
    h = np.exp(-4.0 * f2 - 2j * np.pi * (0.3 * f[:, None] + 0.7 * f))
    mu0 = np.fft.fft2(np.random.default_rng(0).standard_normal((8, 8)), norm="ortho")
    for p, size in (
        (library(oracle.problem("A")), 33),
        (ps.make_problem(lam, h, 0.2, mu0), 15),
    ):
        m = ps.merged(p)
        assert m.lam.size == size
        assert m.d == 64
        assert not np.iscomplexobj(m.h)
        got, expected = (
            measures(ps.compose(q, ab, steps_of(q, ab, case))) for q in (m, p)
        )  # fmt: skip
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-20)


@over_cases
def test_complex_transfer_equals_its_modulus(case):
    """The phase of h moves into y: same variances and errors, D3 turned by the phase."""
    ab, p = oracle.schedule(5), library(SMALL["even"])
    q = replace(p, h=np.abs(p.h))
    t, u = (ps.compose(r, ab, steps_of(r, ab, case)) for r in (p, q))
    phase = np.exp(-1j * np.angle(p.h))
    np.testing.assert_allclose(t.D3, phase * u.D3, atol=1e-12)
    np.testing.assert_allclose(t.V, u.V, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(measures(t), measures(u), rtol=1e-9, atol=1e-20)


def test_merging_keeps_different_modes_apart():
    p = ps.make_problem([1.0, 1.0, 1.0 + 1e-8, 0.0, 0.0], [1.0, -1.0, 1.0, 0.5, 0.5], 0.1)
    m = ps.merged(p)
    order = np.argsort(m.lam)
    np.testing.assert_array_equal(m.count[order], [2.0, 2.0, 1.0])
    np.testing.assert_allclose(m.lam[order], [0.0, 1.0, 1.0 + 1e-8], rtol=0, atol=1e-15)
    again = ps.merged(m)
    np.testing.assert_array_equal(again.count, m.count)


@FAST
@given(spectra, st.floats(0.0, 2.0), st.integers(1, 40))
def test_grouping_keeps_the_total_power(spectrum, sigma_y, n_bins):
    lam, modulus, phase = map(np.array, spectrum)
    p = ps.make_problem(lam, modulus * np.exp(1j * phase), sigma_y, mu0=1.0 + np.arange(len(lam)))
    for q in (ps.merged(p), ps.binned(p, n_bins)):
        assert q.count.sum() == pytest.approx(len(lam), rel=1e-12)
        for get in (lambda r: r.lam, lambda r: np.abs(r.h) ** 2, lambda r: np.abs(r.mu0) ** 2):
            assert q.count @ get(q) == pytest.approx(p.count @ get(p), rel=1e-9, abs=1e-12)


def test_bins_get_close_to_all_modes():
    f = np.fft.fftfreq(32)
    f2 = f[:, None] ** 2 + f**2
    p = ps.make_problem(1.0 / (1e-3 + f2), np.exp(-30.0 * f2), 0.1)
    ab = oracle.schedule(10)
    exact = ps.compose(p, ab, gains.ideal(p, ab)).w2_squared
    gap = []
    for n_bins in (8, 32, 256):
        q = ps.binned(p, n_bins)
        gap.append(abs(ps.compose(q, ab, gains.ideal(q, ab)).w2_squared / exact - 1.0))
        assert q.lam.size < n_bins**2
    assert gap[2] < 1e-3 < gap[0] < 0.2
    assert ps.binned(p, 1).lam.size == 1
    # Far below the noise nothing is told apart.
    weak = [1.0, 1e-5, 1e-6]
    assert ps.binned(ps.make_problem(weak, 1.0, 1.0), 50).lam.size == 2
    assert ps.binned(ps.make_problem(weak, 1.0, 1e-6), 50).lam.size == 3


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("prior", (GaussianPrior.from_covariance(np.diag([1.0, 2.0, 3.0])), 1.0, 0.1)),
        ("h", ([1.0, 2.0], [1.0, 2.0, 3.0], 0.1)),
        ("mu0", ([1.0, 2.0], 1.0, 0.1, [0.0, 1.0, 2.0])),
        ("mu0", (GaussianPrior.from_spectrum(np.ones(3)), 1.0, 0.1, 0.5)),
    ],
)
def test_what_does_not_fit_together_is_refused(name, arguments):
    with pytest.raises(ValueError, match=rf"^{name}"):
        ps.make_problem(*arguments)
