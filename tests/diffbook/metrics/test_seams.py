"""Ranks of joints in sounds with faults that are known, and in sounds without."""

import numpy as np
import pytest
from scipy.signal import lfilter

from diffbook.datasets import released
from diffbook.metrics import seams

RATES = (8000, 16000)


def resonance(rate, frequency, seconds=1.0, seed=0):
    """A vowel of one formant: stationary, smooth."""
    radius = 0.97
    poles = [1.0, -2 * radius * np.cos(2 * np.pi * frequency / rate), radius**2]
    noise = np.random.default_rng(seed).standard_normal(round(seconds * rate))
    return 0.02 * lfilter([1.0], poles, noise)


def ranks(x, places, rate, measure):
    return seams.seam_ranks(x, np.asarray(places), rate, measure)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("measure", seams.MEASURES)
def test_ranks_in_a_stationary_sound_have_mean_one_half(rate, measure):
    found = seams.random_ranks(resonance(rate, 500, 3.0), 300, rate, measure, rng=1)
    assert found.shape == (300,)
    assert np.mean(found) == pytest.approx(0.5, abs=0.06)
    assert found.min() < 0.1 < 0.9 < found.max()


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("measure", ["difference", "residual"])
def test_a_jump_has_rank_one_at_its_place_alone(rate, measure):
    x = resonance(rate, 500)
    x[rate // 2 :] += 10 * np.abs(x).max()
    early, before, at, after = ranks(x, rate // 2 + np.array([-2, -1, 0, 1]), rate, measure)
    if measure == "difference":
        assert at == 1.0
        assert max(early, before, after) < 1.0
    else:  # the larger error of two samples: as large one sample before, a tie
        assert at > 0.999
        assert before > 0.999
        assert early < 0.999


@pytest.mark.parametrize("rate", RATES)
def test_a_kink_is_seen_by_the_prediction_alone(rate):
    """Two slow tones that meet in value and not in slope."""
    t = np.arange(rate) / rate
    x = np.where(t < 0.5, np.sin(2 * np.pi * 100 * t), -np.sin(2 * np.pi * 100 * t))
    x += 1e-5 * np.random.default_rng(0).standard_normal(rate)
    # The sample after the first new one is the first that is not as predicted.
    assert ranks(x, [rate // 2], rate, "residual") > 0.999
    assert ranks(x, [rate // 2], rate, "difference") < 0.999


@pytest.mark.parametrize("rate", RATES)
def test_a_change_of_sound_is_seen_by_the_flux(rate):
    hiss = 0.1 * np.random.default_rng(1).standard_normal(rate)
    x = np.where(np.arange(rate) < rate // 2, resonance(rate, 300), hiss)
    assert ranks(x, [rate // 2], rate, "flux") > 0.9
    # 20 ms away neither piece of 10 ms has any of the other sound.
    away = ranks(x, [rate // 2 - rate // 50, rate // 2 + rate // 50], rate, "flux")
    assert np.all(away < 0.9)


@pytest.mark.parametrize("measure", seams.MEASURES)
def test_loudness_does_not_matter_and_silence_ranks_in_the_middle(measure):
    x, places = resonance(8000, 500), [1000, 3000]
    np.testing.assert_allclose(
        ranks(x, places, 8000, measure), ranks(-0.01 * x, places, 8000, measure), atol=1e-12
    )
    np.testing.assert_array_equal(ranks(0 * x, places, 8000, measure), 0.5)


def test_ranks_by_hand():
    x = np.zeros(1000)
    x[500:] = np.arange(500) % 3  # differences 0 below; 1, 1, -2, 1, 1, -2 above
    found = seams.seam_ranks(x, np.array([500, 501, 503]), 8000, "difference", window_ms=10.0)
    # At 500: 0 -> 0. The neighbourhood has 80 places before and 80 after.
    steps = np.abs(np.diff(x))
    for place, rank in zip((500, 501, 503), found, strict=True):
        here = steps[place - 1]
        others = [steps[place - 1 + k] for k in range(-80, 81) if k]
        below, equal = sum(o < here for o in others), sum(o == here for o in others)
        assert rank == pytest.approx((below + equal / 2) / 160)


def test_the_window_says_what_is_around():
    """Loud noise 30 ms away: within 50 ms, not within 20."""
    x = 0.01 * np.random.default_rng(0).standard_normal(8000)
    x[4000] = 0.1
    x[4240:] *= 100
    assert seams.seam_ranks(x, [4000], 8000, "difference")[0] < 0.9
    assert seams.seam_ranks(x, [4000], 8000, "difference", window_ms=20.0)[0] == 1.0


def test_random_places_are_the_same_for_each_measure_and_everywhere_inside():
    x = np.zeros(2000)
    x[980:] = 1.0  # a jump that one place alone sees
    x += 1e-9 * np.random.default_rng(0).standard_normal(2000)
    first, second = (seams.random_ranks(x, 50, 8000, "difference", rng=3) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    places = np.random.default_rng(3).integers(480, 1520, size=50, endpoint=True)
    np.testing.assert_array_equal(first, ranks(x, places, 8000, "difference"))


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ([479], r"seams\[0\] = 479: expected numbers in \[480, 7520\] \(window_ms and 10 ms more"),
        ([600, 7521], r"seams\[1\] = 7521: expected"),
        ([600.0], "seams: expected whole numbers, got dtype float64"),
        ([], "seams: expected whole numbers"),
    ],
)
def test_seams_near_the_ends_are_refused(place, words):
    with pytest.raises(ValueError, match=words):
        ranks(resonance(8000, 500), place, 8000, "flux")


@pytest.mark.parametrize("measure", seams.MEASURES)
def test_the_outermost_seams_can_be_ranked(measure):
    assert np.all(np.isfinite(ranks(resonance(8000, 500), [480, 7520], 8000, measure)))


def test_short_sounds_are_refused():
    with pytest.raises(ValueError, match="x: got 959 samples, expected at least 960 for window_ms"):
        seams.random_ranks(np.ones(959), 1, 8000, "flux", rng=0)


@pytest.mark.realdata
def test_joints_of_published_audio_do_not_click_and_change_its_spectrum_a_little():
    whole = [one for one in released.babbles() if one.joints is not None]
    assert sum(len(one.joints) for one in whole) == 35
    found = {
        measure: np.mean(
            np.concatenate(
                [seams.seam_ranks(one.samples, one.joints, 16000, measure) for one in whole]
            )
        )
        for measure in seams.MEASURES
    }
    assert found["difference"] == pytest.approx(0.495, abs=0.02)  # also measured by other code
    assert found["residual"] == pytest.approx(0.555, abs=0.02)
    assert found["flux"] == pytest.approx(0.65, abs=0.02)
