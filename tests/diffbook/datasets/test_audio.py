"""Sound: pitch and decay of notes, segments, and spoken digits from a file."""

import numpy as np
import pytest

from diffbook.datasets import audio


def test_note_has_the_right_pitch_and_decays():
    x = audio.note(69, 1.0, 16000)
    power = np.abs(np.fft.rfft(x * np.hanning(len(x)))) ** 2
    assert abs(np.argmax(power) - 440) <= 1  # bins of 1 Hz
    assert np.mean(x[-4000:] ** 2) < 0.5 * np.mean(x[1000:5000] ** 2)


def test_note_does_not_alias():
    # MIDI 100 is 2637 Hz: at 8 kHz only the fundamental fits below Nyquist.
    x = audio.note(100, 1.0, 8000)
    power = np.abs(np.fft.rfft(x * np.hanning(len(x)))) ** 2
    peak = np.argmax(power)
    near = power[peak - 40 : peak + 41].sum()
    assert near > 0.99 * power.sum()


def test_segments_are_stretches_at_places_that_the_seed_picks():
    x = audio.segments(np.arange(1000.0), 200, 5, rng=1)
    np.testing.assert_array_equal(np.diff(x, axis=1), 1)
    assert 0 <= x.min() < 20
    assert 980 < x.max() <= 999
    assert np.any(x != audio.segments(np.arange(1000.0), 200, 5, rng=2))
    rng = np.random.default_rng(1)
    np.testing.assert_array_equal(x, audio.segments(np.arange(1000.0), 200, 5, rng=rng))


def test_piano_segments():
    x = audio.piano(200, rng=1)
    assert x.shape == (200, 400)
    assert 0.6 < np.mean(x**2) < 1.5
    np.testing.assert_array_equal(x[:3], audio.piano(200, rng=1)[:3])
    assert np.any(audio.piano(3, split="test") != audio.piano(3))


def test_speech_reads_the_local_folder(data, monkeypatch):
    monkeypatch.setenv("DIFFBOOK_DATA", str(data))
    x = audio.speech(100, split="test")
    assert x.shape == (100, 400)
    assert np.mean(x**2) == pytest.approx(1.0, abs=0.1)


def test_speech_takes_the_recordings_of_its_split(changed):
    """Takes 0 to 4 are the test set, 5 to 9 validation; each recording holds its own take's number."""
    take = np.arange(60) % 50
    changed("fsdd", samples=np.repeat(take + 1, 500).astype(np.int16))
    for split, takes in {
        "train": range(10, 50),
        "validation": range(5, 10),
        "test": range(5),
    }.items():
        values = np.concatenate(
            [np.full(500 * np.count_nonzero(take == t), t + 1.0) for t in takes]
        )
        allowed = (np.array(takes) + 1.0) / np.sqrt(np.mean(values**2))
        found = np.unique(audio.speech(400, 1, split))
        np.testing.assert_allclose(found, allowed, rtol=1e-12)


OFFSETS = np.arange(61) * 500


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"samples": np.zeros(30_000, np.int16)}, r"power of test: got 0\.0, .*silence"),
        ({"samples": np.ones(30_000)}, r"samples: expected int16 of shape .*, got float64"),
        ({"samples": np.ones((300, 100), np.int16)}, r"got int16 of shape \(300, 100\)"),
        ({"samples": np.ones(29_999, np.int16)}, r"offsets\[60\] = 30000: .*\[0, 29999\]"),
        ({"offsets": OFFSETS[::-1].copy()}, r"lengths between offsets\[0\] = -500"),
        ({"offsets": np.r_[OFFSETS[:-1], OFFSETS[-2]]}, r"lengths between offsets\[59\] = 0"),
        ({"offsets": OFFSETS - 1}, r"offsets\[0\] = -1"),
        ({"offsets": OFFSETS[1:]}, r"offsets: expected shape \(61,\), got \(60,\)"),
        ({"offsets": OFFSETS / 1.0}, "offsets: expected integer of shape .*, got float64"),
        ({"take": np.full(60, 50)}, r"take\[0\] = 50: expected numbers in \[0, 49\]"),
        ({"take": np.full(60, 9)}, r"take: expected 0 to 4 for test, got none"),
        ({"take": np.zeros(0, int), "offsets": OFFSETS[:1]}, "take: expected at least one number"),
        ({"sample_rate": np.array(16000)}, r"sample_rate: got 16000, expected one of \[8000\]"),
    ],
)  # fmt: skip
def test_speech_from_a_wrong_file_is_refused_with_its_name(changed, changes, words):
    path = changed("fsdd", **changes)
    with pytest.raises(ValueError, match=words) as error:
        audio.speech(2, split="test")
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.realdata
def test_real_speech_has_the_shape_and_scale_that_the_chapters_expect():
    x = audio.speech(200, split="test")
    assert x.shape == (200, 400)
    assert np.all(np.isfinite(x))


def test_absent_speech_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.delenv("DIFFBOOK_DATA", raising=False)
    monkeypatch.setenv("DIFFBOOK_CACHE", str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match=r"To get it: python -m diffbook\.datasets\.fetch fsdd\."
    ):
        audio.speech(2)
