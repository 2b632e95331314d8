"""Methods and heuristic weights: the reference table, limits, equivalences, bounds."""

from __future__ import annotations

import numpy as np
import oracles_posterior as oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from posterior_cases import LINEAR, OPTIONS, library, setting, step_gains, w2

from diffbook import inverse
from diffbook import inverse as ps
from diffbook.inverse import gains

FAST = settings(max_examples=40, deadline=None, derandomize=True)
GOLDEN_RCOND = 1e-17
"""The reference values of DDNM+ and DDRM keep nearly all singular values of problem C, down to
5e-20 of the largest; a usual threshold of 1e-8 drops most of them and gives other numbers."""
over_cells = pytest.mark.parametrize(("name", "S"), oracle.GOLDEN)
over_small_cells = pytest.mark.parametrize(("name", "S"), [k for k in oracle.GOLDEN if k[1] <= 10])


# --- the reference table ----------------------------------------------------------------------


@over_cells
def test_reference_table(name, S):
    """Every column that needs no optimiser, to 1e-5."""
    p, ab = setting(name, S)
    p = ps.merged(p)

    def dps(weights):
        return w2(p, ab, gains.dps(p, ab, weights))

    got = {
        "ideal": w2(p, ab, gains.ideal(p, ab)),
        "ideal_1": w2(p, ab, gains.ideal(p, ab, eta=1.0)),
        "dps_0.3": dps(inverse.dps_normalised(p, ab, 0.3)),
        "dps_1": dps(inverse.dps_normalised(p, ab, 1.0)),
        "pigdm_published": w2(p, ab, gains.pigdm(p, ab)),
        "pigdm_kappa": w2(p, ab, gains.pigdm(p, ab, gains.kappa(ab))),
        "ddnm_plus": w2(p, ab, gains.ddnm_plus(p, ab, rcond=GOLDEN_RCOND)),
        "diffpir": w2(p, ab, gains.diffpir(p, ab, np.full(S, 7.0))),
    }
    zeta, got["best_normalised"] = inverse.best_normalised(p, ab)
    _, got["best_constant"] = inverse.best_constant(p, ab)
    for column, value in got.items():
        assert value == pytest.approx(oracle.GOLDEN[name, S][column], rel=1e-5), column
    # DDRM and DDNM+ differ in their initial state alone.
    ddrm = w2(p, ab, gains.ddrm(p, ab, rcond=GOLDEN_RCOND))
    assert ddrm == pytest.approx(got["ddnm_plus"], rel=1e-5)
    assert zeta == pytest.approx(oracle.BEST_ZETA[name][oracle.STEPS.index(S)], rel=7e-3)


@over_small_cells
def test_reference_table_from_dense_matrices(name, S):
    """The table is not the library's own: some of its columns with published algorithms."""
    if S == 10 and name != "A":
        return
    g, ab = oracle.problem(name), oracle.schedule(S)
    row = oracle.GOLDEN[name, S]
    if name != "C":  # its blur is singular to rounding, as a matrix
        got = oracle.matrices("ideal", g, ab).w2(commuting=True)
        assert got == pytest.approx(row["ideal"], rel=1e-5)
    for column, method, weights in (
        ("dps_0.3", "dps", "mean-field 0.3"),
        ("dps_1", "dps", "mean-field 1"),
        ("diffpir", "diffpir", np.full(S, 7.0)),
    ):
        got = oracle.matrices(method, g, ab, weights).w2(commuting=True)
        assert got == pytest.approx(row[column], rel=1e-5), column


def test_dropping_singular_values_changes_the_table():
    p, ab = setting("C", 10)
    kept, dropped = (w2(p, ab, gains.ddnm_plus(p, ab, rcond=r)) for r in (GOLDEN_RCOND, 1e-2))
    assert abs(dropped / kept - 1.0) > 0.1


def test_plain_ddnm_amplifies_the_noise():
    p, ab = setting("A", 25)
    assert w2(p, ab, gains.ddnm(p, ab)) > 100.0 * w2(p, ab, gains.ddnm_plus(p, ab))


@pytest.mark.parametrize("S", [10, 25, 50])
def test_literal_score_weight_diverges_unless_the_noise_is_large(S):
    for name, low, high in (("A", 1e15, 1e195), ("C", 1e15, np.inf), ("B", 1.0, 1.5e5)):
        p, ab = setting(name, S)
        with np.errstate(over="ignore"):
            assert low < w2(p, ab, gains.dps(p, ab, inverse.dps_literal(p, ab))) <= high


def test_published_pigdm_weight_gets_worse_with_more_steps():
    values = [w2(*setting("A", S), gains.pigdm(*setting("A", S))) for S in (10, 25, 50, 100)]
    np.testing.assert_allclose(values, [0.88, 1.49, 4.0, 8.9], rtol=0.01)


# --- equivalences -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", "ABC")
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_pigdm_with_the_true_variance_is_ideal(name, eta):
    """Mode by mode, as the variance of x0 given x_s differs between frequencies."""
    p, ab = setting(name, 10)
    exact = gains.ideal(p, ab, eta=eta)
    for i in (0, 1, 7, 32):
        one = ps.make_problem(p.lam[i : i + 1], p.h[i : i + 1], p.sigma_y)
        r2 = one.var_x0(ab[1:])
        got = gains.pigdm(one, ab, gains.kappa(ab, eta), eta=eta, r2=r2)
        np.testing.assert_allclose(got.Y[:, 0], exact.Y[:, i], rtol=1e-12)
        np.testing.assert_allclose(got.Q[:, 0], exact.Q[:, i], rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("name", "ABC")
def test_dps_with_the_exact_weight_of_one_mode_is_ideal(name):
    p, ab = setting(name, 10)
    exact = gains.ideal(p, ab)
    for i in (0, 3, 11):
        one = ps.make_problem(p.lam[i : i + 1], p.h[i : i + 1], p.sigma_y)
        h2 = np.abs(one.h) ** 2
        weights = gains.kappa(ab) / (2.0 * (p.sigma_y**2 + h2 * one.var_x0(ab[1:])))
        got = gains.dps(one, ab, weights)
        np.testing.assert_allclose(got.Y[:, 0], exact.Y[:, i], rtol=1e-12)


def test_diffpir_is_the_kalman_step_of_a_flat_prior():
    """With lambda = 1 and a huge prior variance, ``Var(x0 | x_s) = sigma_s^2``."""
    p, ab = ps.make_problem([1e12, 1e12], [0.7, 0.2 + 0.4j], 0.3), oracle.schedule(8)
    exact, got = gains.ideal(p, ab), gains.diffpir(p, ab, np.ones(8), zeta=0.0)
    np.testing.assert_allclose(got.Y, exact.Y, rtol=1e-9)
    np.testing.assert_allclose(got.P, exact.P, rtol=1e-12)


def test_denoising_makes_dps_and_pigdm_one_family():
    """Without blur PiGDM's denominator is the same at all frequencies."""
    p, ab = setting("B", 10)
    theta = np.linspace(0.1, 0.6, 10)
    zeta = 0.5 * theta / (1.0 - ab[1:] + p.sigma_y**2)
    np.testing.assert_allclose(gains.pigdm(p, ab, theta).Y, gains.dps(p, ab, zeta).Y, rtol=1e-13)


@pytest.mark.parametrize("d", [9, 10])
def test_gain_of_dps_is_the_gradient_through_the_denoiser(d):
    """Of the squared norm, and of the norm, whose gradient is smaller by ``2 |r|``."""
    g, ab, rng = oracle.small(d), oracle.schedule(5), np.random.default_rng(d)
    p = library(g)
    x, y = rng.standard_normal((2, d, 4))
    mu0 = g.mu0[:, None]
    unit = gains.dps(p, ab, np.ones(5)).Y
    for s in (1, 3, 5):
        r = y - g.H @ oracle.denoise(x, ab[s], g.cov, mu0)
        closed = -np.fft.ifft(unit[s - 1][:, None] * np.fft.fft(r, axis=0), axis=0).real
        squared = oracle.squared_residual_grad(x, y, ab[s], g, mu0)
        np.testing.assert_allclose(closed, squared, rtol=0, atol=1e-11 * np.abs(squared).max())
        plain = oracle.norm_grad(x, y, ab[s], g, mu0)
        np.testing.assert_allclose(closed / (2 * np.linalg.norm(r, axis=0)), plain, atol=1e-11)


def test_kappa_turns_a_score_into_an_increment():
    """Moving the denoiser's answer by (1 - ab) / sqrt(ab) g moves the next state by kappa g."""
    ab, lam, x, g = oracle.schedule(6), 2.0, 0.7, 0.3
    for eta in (0.0, 0.6, 1.0):
        for s in range(1, 7):
            a, b, _ = oracle.coefficients(ab, s, eta)
            x0 = np.sqrt(ab[s]) * lam / (ab[s] * lam + 1 - ab[s]) * x
            moved = a * x + b * (x0 + (1 - ab[s]) / np.sqrt(ab[s]) * g) - (a * x + b * x0)
            assert gains.kappa(ab, eta)[s - 1] * g == pytest.approx(moved, rel=1e-12)
            if eta == 0.0:
                low, high = (np.sqrt((1 - v) / v) for v in (ab[s - 1], ab[s]))
                direct = np.sqrt(ab[s - 1] / ab[s]) * (1 - ab[s]) * (1 - low / high)
                assert gains.kappa(ab)[s - 1] == pytest.approx(direct, rel=1e-12)


@pytest.mark.parametrize("method", LINEAR)
def test_linear_methods_are_linear_in_their_weights(method):
    p, ab = library(oracle.small(10, (0.5, 0.5))), oracle.schedule(6)
    function, options = getattr(gains, method), OPTIONS[method]
    base, slope = inverse.affine(function, p, ab, **options)
    weights = np.linspace(0.2, 3.0, 6)
    whole = function(p, ab, weights, **options)
    for part in ("P", "Q", "Y"):
        expected = getattr(base, part) + weights[:, None] * getattr(slope, part)
        np.testing.assert_allclose(getattr(whole, part), expected, atol=1e-12)
    np.testing.assert_array_equal(whole.C2, base.C2)
    np.testing.assert_array_equal(slope.C2, 0.0)


@pytest.mark.parametrize("method", ["ddnm_plus", "ddrm"])
def test_total_noise_of_svd_methods_is_that_of_the_level(method):
    """Carried noise of the measurement and fresh noise add up to 1 - alpha_bar of the next level."""
    p, ab = setting("A", 12)
    steps = getattr(gains, method)(p, ab)
    carried = np.abs(steps.Y) ** 2 * p.sigma_y**2
    known = np.abs(p.h) > 1e-8
    total = (carried + steps.C2)[:, known]
    expected = np.broadcast_to(1.0 - ab[:-1, None], total.shape)
    np.testing.assert_allclose(total, expected, rtol=1e-9, atol=1e-15)
    assert np.all(steps.P[:, known] == 0.0)


def test_mcg_of_an_invertible_blur_is_the_inverse_filter():
    p, ab = library(oracle.small(9)), oracle.schedule(6)
    t = ps.compose(p, ab, gains.mcg(p, ab, inverse.reference(p, ab)))
    np.testing.assert_allclose(t.D3, 1.0 / p.h, rtol=1e-12)
    np.testing.assert_allclose(t.V, 0.0, atol=1e-20)


def test_lost_modes_are_left_to_the_prior():
    """Where h = 0 the pseudo-inverse methods are plain sampling with their own noise."""
    p = ps.make_problem([2.0, 3.0], [0.0, 0.8], 0.1)
    ab = oracle.schedule(6)
    for method in ("ddnm", "ddnm_plus", "ddrm"):
        steps = getattr(gains, method)(p, ab, eta=0.0)
        plain = gains.prior(p, ab)
        for part in ("P", "Q", "Y", "C2"):
            got, expected = (getattr(v, part)[:, 0] for v in (steps, plain))
            np.testing.assert_allclose(got, expected, atol=1e-13)
    np.testing.assert_allclose(gains.mcg(p, ab, np.ones(6)).P[:, 0], plain.P[:, 0], atol=1e-13)
    np.testing.assert_array_equal(gains.pseudo_inverse([0.0, 1e-9, 2.0], 1e-8), [0.0, 0.0, 0.5])


# --- bounds -----------------------------------------------------------------------------------


@FAST
@given(st.lists(st.floats(1e-6, 1e6), min_size=5, max_size=5), st.floats(0.0, 1.0))
def test_diffpir_never_overshoots(weights, zeta):
    """Its weights need no cap."""
    p, ab = library(oracle.small(10, (0.5, 0.5))), oracle.schedule(5)
    assert step_gains(p, ab, gains.diffpir(p, ab, weights, zeta=zeta)).min() >= -1e-12


# --- what is refused --------------------------------------------------------------------------


def test_checked_weights_are_a_column():
    found = gains.check_weights([0, 2, 1], 3)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [[0.0], [2.0], [1.0]])
    with pytest.raises(ValueError, match=r"^mine\[1\] = -2: expected numbers in \[0, inf\)"):
        gains.check_weights([0, -2, 1], 3, "mine")


@pytest.mark.parametrize("method", [*LINEAR, "diffpir"])
def test_bad_weights_are_refused(method):
    p, ab = library(oracle.small(9)), oracle.schedule(4)
    function = getattr(gains, method)
    for weights in (np.ones(5), np.ones((4, 1)), 1.0):
        with pytest.raises(ValueError, match=r"^weights: expected shape \(4,\)"):
            function(p, ab, weights)
    with pytest.raises(ValueError, match=r"^alpha_bar must decrease"):
        function(p, [1.0, 0.5, 0.6], np.ones(2))
    option = "zeta" if method == "diffpir" else "eta"
    with pytest.raises(ValueError, match=rf"^{option}: got 1.5, expected a number in \[0, 1\]"):
        function(p, ab, np.ones(4), **{option: 1.5})


def test_other_bad_arguments_are_refused():
    p, ab = library(oracle.small(9)), oracle.schedule(4)
    with pytest.raises(ValueError, match=r"^eta_b"):
        gains.ddrm(p, ab, eta_b=1.5)
    for rcond in (-1.0, 1.0, 2.0):
        with pytest.raises(ValueError, match=r"^rcond: got .*, expected a number in \[0, 1\)"):
            gains.pseudo_inverse(p.h, rcond)
    with pytest.raises(ValueError, match=r"^r2"):
        gains.pigdm(p, ab, r2=np.ones(3))
    with pytest.raises(ValueError, match="sigma_y must be positive"):
        inverse.dps_literal(ps.make_problem([1.0], 1.0, 0.0), ab)
    with pytest.raises(ValueError, match=r"^alpha_bar"):
        inverse.dps_normalised(p, [1.0, 0.0], 1.0)
