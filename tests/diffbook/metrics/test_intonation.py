"""Pitch tracks against sounds of known pitch, errors against known tracks, and published audio."""

from dataclasses import astuple

import numpy as np
import pytest

from diffbook.datasets import released
from diffbook.metrics import intonation

NAN = np.nan


def buzz(f0, rate, seconds=0.4):
    """A voice of eight harmonics whose frequency, a number or an array, is known."""
    f0 = np.broadcast_to(f0, round(seconds * rate))
    phase = 2 * np.pi * np.cumsum(f0) / rate
    return 0.1 * sum(np.cos(k * phase) / k for k in range(1, 9))


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("f0", [85.0, 210.0, 333.0])
def test_a_tone_has_its_pitch(rate, f0):
    track, voiced = intonation.pitch(buzz(f0, rate), rate)
    inside = slice(4, -4)  # windows of 64 ms reach over the ends
    assert voiced[inside].all()
    np.testing.assert_allclose(1200 * np.log2(track[inside] / f0), 0.0, atol=10.0)
    assert len(track) == 41  # every 10 ms, both ends


def test_noise_and_silence_have_none():
    hiss = 0.1 * np.random.default_rng(0).standard_normal(4000)
    for x in (hiss, np.zeros(4000)):
        track, voiced = intonation.pitch(x, 8000)
        assert voiced.mean() < 0.1
        np.testing.assert_array_equal(np.isnan(track), ~voiced)


def test_only_the_span_is_looked_at():
    x = buzz(60.0, 8000)
    track, voiced = intonation.pitch(x, 8000, span=(50.0, 450.0))
    assert np.median(track[voiced]) == pytest.approx(60.0, rel=0.01)
    low, voiced = intonation.pitch(x, 8000)
    assert not voiced.any() or np.nanmin(low) >= 70.0
    with pytest.raises(ValueError, match=r"span: got \(450.0, 70.0\), expected the lower"):
        intonation.pitch(x, 8000, span=(450.0, 70.0))
    with pytest.raises(ValueError, match=r"span\[1\] = 1001.0: expected numbers in \[40, 1000\]"):
        intonation.pitch(x, 8000, span=(70.0, 1001.0))


@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_semitone_more_is_100_cents(rate):
    glide = np.linspace(120.0, 180.0, round(0.4 * rate))
    errors = intonation.pitch_errors(buzz(glide * 2 ** (1 / 12), rate), buzz(glide, rate), rate)
    assert errors.median_cents == pytest.approx(100.0, abs=10.0)
    assert errors.fine_cents == pytest.approx(100.0, abs=15.0)
    assert errors.rmse_hz == pytest.approx(150.0 * (2 ** (1 / 12) - 1), rel=0.15)
    assert errors.log_correlation > 0.99
    assert errors.gross == 0.0
    assert errors.voicing_error < 0.1


def test_errors_of_known_tracks():
    track0 = np.array([100.0, 100.0, 200.0, 200.0, 100.0, NAN, NAN, 150.0, 100.0, 200.0])
    track = np.array([110.0, 100.0, 200.0, 100.0, 121.0, NAN, 90.0, NAN, 119.0, 241.0])
    found = intonation.track_errors(track, track0)
    f, f0 = (t[~np.isnan(track + track0)] for t in (track, track0))
    cents = 1200 * np.log2(f / f0)
    assert found.rmse_hz == pytest.approx(np.sqrt((100 + 100**2 + 21**2 + 19**2 + 41**2) / 7))
    # 20 % more is 120 Hz: 121 and 241 are beyond, 119 is not; 20 % less is not the octave alone.
    assert found.gross == pytest.approx(3 / 7)
    assert found.fine_cents == pytest.approx(np.sqrt((cents[0] ** 2 + cents[5] ** 2) / 4))
    assert found.median_cents == pytest.approx(np.sort(np.abs(cents))[3])
    deviation = (np.log(f) - np.log(f).mean(), np.log(f0) - np.log(f0).mean())
    expected = (deviation[0] @ deviation[1]) / np.prod([np.linalg.norm(d) for d in deviation])
    assert found.log_correlation == pytest.approx(expected)
    assert found.voicing_error == pytest.approx(2 / 10)


def test_equal_tracks_have_no_errors():
    track = np.array([100.0, NAN, 120.0])
    assert astuple(intonation.track_errors(track, track)) == (
        0.0,
        0.0,
        0.0,
        0.0,
        pytest.approx(1.0),
        0.0,
    )


def test_what_cannot_be_compared_is_no_number():
    never = intonation.track_errors([100.0, NAN], [NAN, 100.0])
    assert np.isnan(astuple(never)[:5]).all()
    assert never.voicing_error == 1.0
    constant = intonation.track_errors([100.0, 100.0], [100.0, 110.0])
    assert np.isnan(constant.log_correlation)
    assert constant.rmse_hz == pytest.approx(10 / np.sqrt(2))
    assert np.isnan(intonation.track_errors([100.0], [300.0]).fine_cents)
    with pytest.raises(ValueError, match=r"track0: expected shape \(1,\), got \(2,\)"):
        intonation.track_errors([100.0], [100.0, 100.0])


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("model", "rmse", "gross", "cents", "correlation", "voicing"),
    [
        ("diffar_p_200", 4.0, 0.0, 10.0, 0.997, 0.134),
        ("diffar_e_200", 63.2, 0.575, 363, 0.173, 0.188),
    ],
)
def test_published_audio_has_the_pitch_of_an_independent_measurement(
    model, rmse, gross, cents, correlation, voicing
):
    each = [
        intonation.pitch_errors(one.runs[model][0], one.original, 16000)
        for one in released.sentences("ljspeech")
    ]
    found = np.mean([astuple(errors) for errors in each], axis=0)
    assert found[0] == pytest.approx(rmse, abs=0.05)
    np.testing.assert_allclose(found[[1, 4, 5]], [gross, correlation, voicing], atol=0.0011)
    assert found[3] == pytest.approx(cents, abs=0.6)
