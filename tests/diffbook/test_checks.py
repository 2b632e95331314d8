"""The checks at the door: what they give back, and what they refuse."""

import numpy as np
import pytest

from diffbook._checks import NON_NEGATIVE, choice, complexes, generator, real, reals, whole


def test_numbers_come_back_in_their_type():
    assert real(np.float32(0.5), "eta", "[0, 1]") == 0.5
    assert type(real(1, "eta", "[0, 1]")) is float
    assert real(np.array(2.0), "rho") == 2.0
    assert real(np.inf, "sigma", "(0, inf]") == np.inf
    assert type(whole(np.int64(3), "S")) is int
    found = reals([1, 2], "lam", NON_NEGATIVE)
    assert found.dtype == np.float64
    given = np.ones(3)
    assert reals(given, "lam") is given
    assert choice("vp", "process", ("vp", "ve")) == "vp"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1j, "1", None, True, [1.0], 1.5, -0.1])
def test_a_number_outside_its_interval_is_refused(bad):
    with pytest.raises(ValueError, match=r"^eta: got .*, expected a number in \[0, 1\] \(why\)$"):
        real(bad, "eta", "[0, 1]", "why")


@pytest.mark.parametrize(
    ("interval", "inside", "outside"),
    [("(0, 1)", 0.5, (0, 1)), ("[0, 1)", 0, (1,)), ("(0, 1]", 1, (0,)), ("(0, inf)", 1, (np.inf,))],
)
def test_the_ends_are_in_as_the_bracket_says(interval, inside, outside):
    assert real(inside, "x", interval) == inside
    assert reals([inside], "x", interval) == [inside]
    for value in outside:
        with pytest.raises(ValueError, match="x: got"):
            real(value, "x", interval)
        with pytest.raises(ValueError, match=r"x\[0\] = "):
            reals([value], "x", interval)


@pytest.mark.parametrize("bad", [0, 11, 2.0, 1.5, np.nan, np.inf, 1j, "2", None, True])
def test_a_count_is_a_whole_number_in_range(bad):
    with pytest.raises(ValueError, match=r"S: got .*, expected a whole number from 1 to 10"):
        whole(bad, "S", 1, 10)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ([1.0, np.nan], r"lam\[1\] = nan: expected numbers in \[0, inf\)"),
        ([[1.0, -2.0]], r"lam\[0, 1\] = -2.0: expected"),
        (np.array(-1.0), r"lam = -1.0: expected"),
        ([1j], "lam: expected real numbers, got dtype complex128"),
        ([True], "lam: expected real numbers, got dtype bool"),
        (["a"], "lam: expected real numbers"),
        ([[1.0], [1.0, 2.0]], "lam: expected an array of real numbers"),
        ([], r"lam: expected at least one number, got shape \(0,\)"),
    ],
)
def test_an_array_of_something_else_is_refused_with_the_place(bad, words):
    with pytest.raises(ValueError, match=words):
        reals(bad, "lam", NON_NEGATIVE)


def test_an_array_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"lam: expected 1 or 2 dimensions, got shape \(\)"):
        reals(1.0, "lam", ndim=(1, 2))
    with pytest.raises(ValueError, match=r"lam: expected shape \(2,\), got \(1,\)"):
        reals([1.0], "lam", shape=(2,))


def test_complex_numbers_pass_where_they_make_sense_and_text_does_not():
    assert complexes([1, 2], "mu0").dtype == np.float64
    np.testing.assert_array_equal(complexes([1j, 2.0], "mu0"), [1j, 2.0])
    for bad in ([1j, np.nan], [1j * np.inf], [complex(np.inf, 1)], ["a"], np.ones(0, complex)):
        with pytest.raises(ValueError, match=r"^mu0"):
            complexes(bad, "mu0")
    with pytest.raises(ValueError, match=r"mu0: expected shape \(2,\), got \(1,\)"):
        complexes([1j], "mu0", shape=(2,))


def test_a_generator_is_kept_and_a_seed_makes_one():
    rng = np.random.default_rng(3)
    assert generator(rng) is rng
    assert generator(3).integers(10**9) == np.random.default_rng(3).integers(10**9)
    for bad in (-1, 0.5, None, 1j):
        with pytest.raises(ValueError, match=r"^seed: got .*whole number"):
            generator(bad, "seed")


def test_a_wrong_choice_gets_the_nearest():
    with pytest.raises(ValueError, match=r"process: got 'vpp', .*did you mean 'vp'\?"):
        choice("vpp", "process", ("vp", "ve"))
    with pytest.raises(ValueError, match="flag: got 1, expected one of"):
        choice(1, "flag", (True, False))


def test_gaps_are_let_through_where_they_may_be():
    found = reals([1.0, np.nan], "curve", NON_NEGATIVE, nan=True)
    np.testing.assert_array_equal(found, [1.0, np.nan])
    with pytest.raises(ValueError, match=r"curve\[0\] = -1.0: expected numbers in \[0, inf\)"):
        reals([-1.0, np.nan], "curve", NON_NEGATIVE, nan=True)
    with pytest.raises(ValueError, match=r"curve\[1\] = inf"):
        reals([1.0, np.inf], "curve", nan=True)
