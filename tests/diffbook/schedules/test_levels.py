"""Noise schedules: formulas, exact ends, conversions, equivariances, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from diffbook import schedules as sc

FAST = settings(max_examples=60, deadline=None, derandomize=True)
SIGMA = sc.sigma_range()

VP_FAMILIES = {
    "linear_alpha_bar": sc.linear_alpha_bar,
    "linear_beta": sc.linear_beta,
    "cosine": sc.cosine,
    "cosine(.2,1,2)": lambda S, **ends: sc.cosine(S, 0.2, 1.0, 2.0, **ends),
    "sigmoid": sc.sigmoid,
    "sigmoid(0,3,.3)": lambda S, **ends: sc.sigmoid(S, 0.0, 3.0, 0.3, **ends),
}
VE_FAMILIES = {
    "edm": sc.edm,
    "edm(-2)": lambda S, lo, hi: sc.edm(S, lo, hi, rho=-2.0),
    "log_linear": sc.log_linear,
    "tangent": sc.tangent,
    "tangent(.3)": lambda S, lo, hi: sc.tangent(S, lo, hi, 0.3),
    "align_your_steps": lambda S, lo, hi: sc.align_your_steps(S, sigma_min=lo, sigma_max=hi),
    "constant_rate": lambda S, lo, hi: sc.constant_rate(
        S, np.linspace(np.log(lo), np.log(hi), 301), 2.0 + np.sin(np.linspace(0.0, 9.0, 301))
    ),
}

sigmas = hnp.arrays(float, st.integers(1, 20), elements=st.floats(1e-5, 1e5))
widths = st.tuples(st.floats(1e-4, 0.5), st.floats(2.0, 500.0))


# --- formulas ---------------------------------------------------------------------------------


def naive(f, S: int, eps_0: float, eps_S: float) -> list[float]:
    """Chen's rescaling, one level at a time, then mapped onto the ends."""
    raw = [(f(1.0) - f(s / S)) / (f(1.0) - f(0.0)) for s in range(S + 1)]
    return [eps_S + a * (1.0 - eps_0 - eps_S) for a in raw]


@pytest.mark.parametrize(("start", "end", "tau"), [(0, 1, 1), (0.2, 1, 2), (0.1, 0.8, 0.5)])
def test_cosine_is_chens_formula(start, end, tau):
    def f(t):
        return math.cos((t * (end - start) + start) * math.pi / 2) ** (2 * tau)

    expected = naive(f, 17, 1e-3, 2e-3)
    np.testing.assert_allclose(
        sc.cosine(17, start, end, tau, eps_0=1e-3, eps_S=2e-3), expected, rtol=1e-12
    )


@pytest.mark.parametrize(("start", "end", "tau"), [(-3, 3, 1), (0, 3, 0.3), (-3, 1, 0.9)])
def test_sigmoid_is_chens_formula(start, end, tau):
    def f(t):
        return 1 / (1 + math.exp(-(t * (end - start) + start) / tau))

    expected = naive(f, 17, sc.EPS_0, sc.EPS_S)
    np.testing.assert_allclose(sc.sigmoid(17, start, end, tau), expected, rtol=1e-11)


def test_linear_alpha_bar_is_linear():
    assert np.ptp(np.diff(sc.linear_alpha_bar(40))) < 1e-15


def test_cosine_is_the_tangent_law_of_unit_variance():
    # alpha_bar = cos^2(pi t / 2)  <=>  sigma = tan(pi t / 2); the ends are as good as exact here.
    sigma = sc.alpha_bar_to_sigma(sc.cosine(20, eps_0=2e-16, eps_S=2e-16))
    t = np.arange(1, 20) / 20
    np.testing.assert_allclose(sigma[1:-1], np.tan(np.pi * t / 2), rtol=1e-12)


def test_ddpm_chain_is_the_product_of_its_betas():
    product, chain = 1.0, sc.ddpm_chain()
    for t in range(1, 1001):
        product *= 1.0 - (1e-4 + (0.02 - 1e-4) * (t - 1) / 999)
        assert chain[t - 1] == pytest.approx(product, rel=1e-11)
    # The default ends are this chain's.
    assert chain[0] == 1.0 - sc.EPS_0
    assert chain[-1] == pytest.approx(4.0358e-5, rel=1e-4)


def test_linear_beta_reads_the_chain():
    chain, S = sc.ddpm_chain(), 999
    read = sc.linear_beta(S, eps_0=1.0 - chain[0], eps_S=chain[-1])
    np.testing.assert_allclose(read, chain, rtol=1e-9)
    short = sc.ddpm_chain(50)
    read = sc.linear_beta(49, T=50, eps_0=1.0 - short[0], eps_S=short[-1])
    np.testing.assert_allclose(read, short, rtol=1e-9)


@pytest.mark.parametrize(("offset", "max_beta"), [(0.008, 0.999), (0.1, 0.2)])
def test_cosine_chain_is_iddpms(offset, max_beta):
    T = 50

    def bar(t):
        return math.cos((t / T + offset) / (1.0 + offset) * math.pi / 2) ** 2

    product = 1.0
    for t, value in enumerate(sc.cosine_chain(T, offset, max_beta), start=1):
        product *= 1.0 - min(1.0 - bar(t) / bar(t - 1), max_beta)
        assert value == pytest.approx(product, rel=1e-10)


def test_edm_is_eq_5_of_karras():
    S, lo, hi, rho = 18, 0.002, 80.0, 7.0
    expected = [  # their index runs from noise to data
        (hi ** (1 / rho) + i / S * (lo ** (1 / rho) - hi ** (1 / rho))) ** rho for i in range(S + 1)
    ]
    np.testing.assert_allclose(sc.edm(S, lo, hi, rho), expected[::-1], rtol=1e-12)


def test_edm_tends_to_log_linear():
    np.testing.assert_allclose(sc.edm(20, *SIGMA, 1e7), sc.log_linear(20, *SIGMA), rtol=1e-5)
    np.testing.assert_allclose(sc.edm(20, *SIGMA, -1e7), sc.log_linear(20, *SIGMA), rtol=1e-5)


def test_tangent_has_equal_angles():
    phi = np.arctan(sc.tangent(33, 0.01, 100.0, 0.7) / 0.7)
    np.testing.assert_allclose(np.diff(phi), np.diff(phi)[0], rtol=1e-9)


def test_constant_rate_covers_equal_shares():
    x = np.linspace(-4.0, 5.0, 4001)
    speed = np.exp(-0.1 * x**2) + 0.05
    levels = np.log(sc.constant_rate(30, x, speed))
    arc = np.concatenate([[0.0], np.cumsum(0.5 * (speed[1:] + speed[:-1]) * np.diff(x))])
    shares = np.diff(np.interp(levels, x, arc)) / arc[-1]
    np.testing.assert_allclose(shares, 1 / 30, rtol=1e-6)


def test_constant_rate_contains_the_other_laws():
    x = np.linspace(*np.log(SIGMA), 20_001)
    np.testing.assert_allclose(
        sc.constant_rate(25, x, np.ones_like(x)), sc.log_linear(25, *SIGMA), rtol=1e-10
    )
    # tan law: d phi / d log(sigma) = c sigma / (c^2 + sigma^2); EDM: sigma^(1 / rho).
    speed = 0.5 * np.exp(x) / (0.25 + np.exp(2 * x))
    np.testing.assert_allclose(
        sc.constant_rate(25, x, speed), sc.tangent(25, *SIGMA, 0.5), rtol=1e-4
    )
    np.testing.assert_allclose(
        sc.constant_rate(25, x, np.exp(x / 7)), sc.edm(25, *SIGMA, 7.0), rtol=1e-6
    )


def test_constant_rate_skips_where_nothing_changes():
    x = np.linspace(0.0, 3.0, 301)
    levels = np.log(sc.constant_rate(8, x, np.where(np.abs(x - 1.5) > 0.5, 1.0, 0.0)))
    assert not np.any((levels > 1.02) & (levels < 1.98))


PUBLISHED_AYS = {
    "sd15": [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029],
    "sdxl": [14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029],
}


@pytest.mark.parametrize("model", PUBLISHED_AYS)
def test_align_your_steps_publishes_ten_steps(model):
    table = np.array(PUBLISHED_AYS[model])
    np.testing.assert_allclose(sc.align_your_steps(10, model), table[::-1], rtol=1e-12)
    np.testing.assert_allclose(  # halfway between two levels, log-linearly
        sc.align_your_steps(20, model)[::-1][1::2], np.sqrt(table[1:] * table[:-1]), rtol=1e-12
    )


def test_align_your_steps_between_other_ends_keeps_its_shape():
    moved = np.log(sc.align_your_steps(15, sigma_min=0.1, sigma_max=200.0))
    slope = np.diff(moved) / np.diff(np.log(sc.align_your_steps(15)))
    np.testing.assert_allclose(slope, np.log(2000.0) / np.log(14.615 / 0.029), rtol=1e-9)


# --- ends and order ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", VP_FAMILIES)
@pytest.mark.parametrize("S", [1, 2, 5, 112, 1000])
@pytest.mark.parametrize("ends", [{}, {"eps_0": 1e-9, "eps_S": 1e-9}, {"eps_0": 0.1, "eps_S": 0.2}])
def test_vp_families_have_exact_ends_and_order(name, S, ends):
    alpha_bar = VP_FAMILIES[name](S, **ends)
    assert alpha_bar.shape == (S + 1,)
    assert alpha_bar.dtype == np.float64
    assert alpha_bar[0] == 1.0 - ends.get("eps_0", sc.EPS_0)
    assert alpha_bar[-1] == ends.get("eps_S", sc.EPS_S)
    assert np.all(np.diff(alpha_bar) < 0)


@pytest.mark.parametrize("name", VE_FAMILIES)
@pytest.mark.parametrize("S", [1, 2, 5, 112, 1000])
@given(ends=widths)
@settings(max_examples=8, deadline=None, derandomize=True)
def test_ve_families_have_exact_ends_and_order(name, S, ends):
    sigma = VE_FAMILIES[name](S, *ends)
    assert sigma.shape == (S + 1,)
    assert sigma.dtype == np.float64
    # A law that is given over log(sigma) knows its ends up to the round-off of the logarithm.
    rtol = 1e-14 if name == "constant_rate" else 0.0
    np.testing.assert_allclose(sigma[[0, -1]], ends, rtol=rtol)
    assert np.all(np.diff(sigma) > 0)


@given(c=st.floats(1e-3, 1e3), ends=widths)
@FAST
def test_ve_families_scale_with_their_ends(c, ends):
    lo, hi = ends
    for name in ("edm", "log_linear", "align_your_steps", "constant_rate"):
        family = VE_FAMILIES[name]
        np.testing.assert_allclose(family(9, c * lo, c * hi), c * family(9, lo, hi), rtol=1e-9)
    np.testing.assert_allclose(
        sc.tangent(9, c * lo, c * hi, 0.3 * c), c * sc.tangent(9, lo, hi, 0.3), rtol=1e-9
    )


@given(hnp.arrays(float, st.integers(2, 12), elements=st.floats(0.01, 1.0)))
@FAST
def test_match_ends_is_affine_and_idempotent(drops):
    raw = 5.0 - np.cumsum(drops)
    matched = sc.match_ends(raw, 0.01, 0.02)
    slope = np.diff(matched) / np.diff(raw)
    np.testing.assert_allclose(slope, slope[0], rtol=1e-9)
    np.testing.assert_allclose(sc.match_ends(matched, 0.01, 0.02), matched, rtol=1e-12)


def test_heuristics_share_their_ends_and_are_the_families():
    named = sc.heuristics(12, eps_0=1e-3, eps_S=2e-3)
    for alpha_bar in named.values():
        assert (alpha_bar[0], alpha_bar[-1]) == (1.0 - 1e-3, 2e-3)
        sc.validate_alpha_bar(alpha_bar)
    sigmas = sc.sigma_range(1e-3, 2e-3)
    for name, sigma in (
        ("EDM rho=7", sc.edm(12, *sigmas, 7.0)),
        ("log-linear", sc.log_linear(12, *sigmas)),
        ("tangent (AYS)", sc.tangent(12, *sigmas)),
    ):
        np.testing.assert_allclose(sc.alpha_bar_to_sigma(named[name]), sigma, rtol=1e-9)
    np.testing.assert_array_equal(named["cosine"], sc.cosine(12, eps_0=1e-3, eps_S=2e-3))
    assert list(named) == list(sc.heuristics(3))


# --- conversions ------------------------------------------------------------------------------


@given(sigmas)
@FAST
def test_conversions_round_trip(sigma):
    log_snr = -2.0 * np.log(sigma)
    alpha_bar = sc.sigma_to_alpha_bar(sigma)
    np.testing.assert_allclose(alpha_bar * (1.0 + sigma**2), 1.0, rtol=1e-14)
    np.testing.assert_allclose(sc.log_snr_to_alpha_bar(log_snr), alpha_bar, rtol=1e-12)
    # 1 - alpha_bar is known to 1e-16 only, which bounds what can come back.
    rtol = 1e-12 + 1e-15 * (1.0 + sigma.min() ** -2)
    np.testing.assert_allclose(sc.alpha_bar_to_sigma(alpha_bar), sigma, rtol=rtol)
    np.testing.assert_allclose(
        sc.alpha_bar_to_log_snr(alpha_bar), log_snr, rtol=1e-12, atol=2 * rtol
    )


def test_conversions_preserve_shape_and_input():
    alpha_bar = np.full((2, 3), 0.5)
    assert sc.alpha_bar_to_sigma(alpha_bar).shape == (2, 3)
    np.testing.assert_allclose(sc.alpha_bar_to_sigma(0.5), 1.0)
    assert np.all(alpha_bar == 0.5)


def test_sigma_range_is_that_of_the_ends():
    ends = np.array([1.0 - 0.01, 0.02])
    np.testing.assert_allclose(sc.sigma_range(0.01, 0.02), sc.alpha_bar_to_sigma(ends), rtol=1e-14)


# --- validation -------------------------------------------------------------------------------


def test_validators_return_a_float64_copy():
    given_ = np.array([0.9, 0.5, 0.1], dtype=np.float32)
    checked = sc.validate_alpha_bar(given_)
    assert checked.dtype == np.float64
    assert checked is not given_
    np.testing.assert_array_equal(sc.validate_sigma([0, 1, 2]), [0.0, 1.0, 2.0])


BAD_ALPHA_BAR = [
    ([0.9, 0.5, 0.5, 0.1], r"alpha_bar\[2\] = 0\.5 >= alpha_bar\[1\]"),
    ([0.9, 0.5, 0.6, 0.7], r"alpha_bar\[2\]"),
    ([0.1, 0.5, 0.9], r"alpha_bar\[1\].*reverse"),
    ([1.0, 0.5, 0.1], r"alpha_bar\[0\].*\(0, 1\)"),
    ([0.9, 0.5, 0.0], r"alpha_bar\[2\].*\(0, 1\)"),
    ([0.9, -0.5, -0.6], r"alpha_bar\[1\].*\(0, 1\)"),
    ([0.9], r"alpha_bar: got shape \(1,\), expected at least 2 noise levels"),
    (0.9, r"alpha_bar: expected 1 dimensions"),
    ([[0.9, 0.5]], r"alpha_bar: expected 1 dimensions, got shape \(1, 2\)"),
]


@pytest.mark.parametrize(("levels", "message"), BAD_ALPHA_BAR)
def test_validate_alpha_bar_names_the_first_offender(levels, message):
    with pytest.raises(ValueError, match=message):
        sc.validate_alpha_bar(levels)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ([0.1, 1.0, 1.0], r"sigma\[2\] = .*1\.0.* <= sigma\[1\]"),
        ([2.0, 1.0, 0.5], r"sigma\[1\].*reverse"),
        ([-0.1, 1.0], r"sigma\[0\].*\[0, inf\)"),
        ([0.0, 0.0, 1.0], r"sigma\[1\] = 0.0 <= sigma\[0\]"),
        ([1.0], "sigma: got shape"),
    ],
)
def test_validate_sigma_names_the_first_offender(levels, message):
    with pytest.raises(ValueError, match=message):
        sc.validate_sigma(levels)


def test_validate_sigma_may_forbid_zero():
    with pytest.raises(
        ValueError, match=r"sigma\[0\] = 0\.0: expected .* \(no level may be 0 here\)"
    ):
        sc.validate_sigma([0.0, 1.0], allow_zero=False)


def test_error_messages_show_plain_numbers():
    """A reader should see 1.2, not numpy's ``np.float64(1.2)``."""
    for call, bad in [
        (sc.validate_alpha_bar, [1.2, 0.5]),
        (sc.validate_alpha_bar, [0.5, 0.6]),
        (sc.validate_sigma, [-1.0, 2.0]),
        (sc.validate_sigma, [2.0, 1.0]),
        (sc.match_ends, [0.1, 0.5]),
    ]:
        with pytest.raises(ValueError) as error:
            call(bad)
        assert "float64" not in str(error.value)


def test_validators_use_the_name_they_are_given():
    with pytest.raises(ValueError, match=r"init\[1\]"):
        sc.validate_alpha_bar([0.5, 0.6], "init")
    with pytest.raises(ValueError, match=r"init\[1\]"):
        sc.validate_sigma([0.5, 0.4], "init")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sc.linear_beta(5, eps_0=0.7, eps_S=0.3), "eps_0 . eps_S must be below 1"),
        (lambda: sc.cosine(5, 0.5, 0.5), "start must be below end"),
        (lambda: sc.sigmoid(5, 3.0, -3.0), "start must be below end"),
        (lambda: sc.match_ends([0.2, 0.5]), "alpha_bar must decrease"),
        (lambda: sc.ddpm_chain(beta_min=0.1, beta_max=0.05), "beta_min must be below beta_max"),
        (lambda: sc.edm(5, 2.0, 1.0), "sigma_min must be below sigma_max"),
        (lambda: sc.edm(5, 0.1, 1.0, rho=0.0), "rho must not be zero"),
        (lambda: sc.log_linear(5, 1.0, 1.0), "sigma_min must be below sigma_max"),
        (lambda: sc.tangent(5, 2.0, 1.0), "sigma_min must be below sigma_max"),
        (lambda: sc.constant_rate(5, [0.0, 1.0], [1.0]), r"speed: expected shape \(2,\)"),
        (lambda: sc.constant_rate(5, [0.0, 0.0], [1.0, 1.0]), "log_sigma must increase"),
        (lambda: sc.constant_rate(5, [0.0, 1.0], [0.0, 0.0]), "speed must not be zero everywhere"),
        (lambda: sc.align_your_steps(5, sigma_min=1.0), "both sigma_min and sigma_max"),
        (lambda: sc.align_your_steps(5, sigma_min=2.0, sigma_max=1.0), "sigma_min must be below"),
    ],
)
def test_families_refuse_bad_parameters(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- time steps of trained models -------------------------------------------------------------


@pytest.mark.parametrize("chain", [sc.ddpm_chain(), sc.cosine_chain(), sc.ddpm_chain(37)])
@pytest.mark.parametrize("S", [5, 20, 112])
def test_nearest_timesteps_is_the_nearest_in_log_snr(chain, S):
    wanted = sc.sigma_to_alpha_bar(sc.edm(S, *SIGMA))
    t, used = sc.nearest_timesteps(wanted, chain)
    snr = np.log(chain / (1 - chain))
    brute = [int(np.argmin(np.abs(snr - np.log(a / (1 - a))))) for a in wanted]
    assert t.tolist() == sorted(set(brute))
    assert np.all(np.diff(t) > 0)
    np.testing.assert_array_equal(used, chain[t])
    sc.validate_alpha_bar(used)


def test_nearest_timesteps_is_the_identity_on_training_levels():
    chain, picked = sc.ddpm_chain(), np.array([0, 1, 17, 500, 998, 999])
    t, used = sc.nearest_timesteps(chain[picked], chain)
    np.testing.assert_array_equal(t, picked)
    np.testing.assert_array_equal(used, chain[picked])


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_nearest_timesteps_rounds_to_the_nearer_side(side):
    snr = np.array([4.0, 2.0, 0.0, -3.0])
    wanted = sc.log_snr_to_alpha_bar(np.array([3.0, -1.5]) + side * 0.01)
    t, _ = sc.nearest_timesteps(wanted, sc.log_snr_to_alpha_bar(snr))
    assert t.tolist() == ([0, 2] if side > 0 else [1, 3])


def test_nearest_timesteps_drops_repeats_and_refuses_a_single_level():
    chain = sc.ddpm_chain()
    close = np.array([chain[3], chain[3] * (1.0 - 1e-6), chain[900]])
    assert len(sc.nearest_timesteps(close, chain)[0]) == 2
    with pytest.raises(ValueError, match="all levels of alpha_bar fall on one training level"):
        sc.nearest_timesteps([1e-7, 1e-8, 1e-9], chain)
    with pytest.raises(ValueError, match=r"alpha_bar_train\[1\]"):
        sc.nearest_timesteps([0.9, 0.1], chain[::-1])


@pytest.mark.parametrize(
    ("convert", "value", "message"),
    [
        (sc.alpha_bar_to_sigma, [0.5, 0.0], r"alpha_bar\[1\] = 0.0: .*\(0, 1\]"),
        (sc.alpha_bar_to_log_snr, [1.0], r"alpha_bar\[0\] = 1.0: .*\(0, 1\)"),
    ],
)
def test_conversions_refuse_levels_that_do_not_exist(convert, value, message):
    with pytest.raises(ValueError, match=message):
        convert(value)


# --- schedules that end without noise ---------------------------------------------------------


@pytest.mark.parametrize("S", [1, 2, 7, 100, 1000])
def test_respaced_chain_holds_training_levels_and_ends_at_one(S):
    alpha_bar = sc.ddpm_respaced(S)
    assert alpha_bar.shape == (S + 1,)
    assert alpha_bar[0] == 1.0
    sc.validate_alpha_bar(alpha_bar, allow_one=True)
    beta = [1e-4 + t / 999 * (0.02 - 1e-4) for t in range(1000)]
    for s in range(1, S + 1):
        expected = math.prod(1.0 - b for b in beta[: round(s * 1000 / S)])
        assert alpha_bar[s] == pytest.approx(expected, rel=1e-11)


def test_respaced_chain_of_another_length():
    np.testing.assert_array_equal(sc.ddpm_respaced(50, 50)[1:], sc.ddpm_chain(50))
    with pytest.raises(ValueError, match=r"^S: got 11, expected a whole number from 1 to 10"):
        sc.ddpm_respaced(11, 10)


def test_one_is_accepted_at_the_clean_end_only_and_on_request():
    levels = [1.0, 0.5, 0.1]
    np.testing.assert_array_equal(sc.validate_alpha_bar(levels, allow_one=True), levels)
    with pytest.raises(ValueError, match=r"alpha_bar\[0\] = 1.0: .*clip the ends"):
        sc.validate_alpha_bar(levels)
    for bad in ([1.0, 1.0, 0.5], [0.5, 1.0], [1.0, 0.5, 0.0], [1.1, 0.5]):
        with pytest.raises(ValueError, match=r"alpha_bar\[\d\] = "):
            sc.validate_alpha_bar(bad, allow_one=True)


def test_the_clean_end_has_sigma_zero():
    np.testing.assert_array_equal(sc.alpha_bar_to_sigma([1.0, 0.5]), [0.0, 1.0])
    np.testing.assert_array_equal(sc.sigma_to_alpha_bar([0.0, 1.0]), [1.0, 0.5])
