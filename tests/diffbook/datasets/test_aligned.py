"""Clips that are tiled by their phones, what is read off them, and the embedded corpus."""

import numpy as np
import pytest

from diffbook.datasets import aligned, speech
from diffbook.datasets.aligned import SILENCE, SYMBOLS, Clip

X = np.arange(10, dtype=np.float32) / 10
INTERVALS = np.array([[0, 3], [3, 4], [4, 10]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("aligned")


@pytest.fixture(scope="module")
def train(folder):
    return aligned.synthetic("train", 60, cache=folder)


def clip(**changes):
    given = {"samples": X, "phones": ("a", "b", "a"), "intervals": INTERVALS, "sample_rate": 8000}
    return Clip(**{**given, **changes})


def test_a_clip_keeps_what_fits():
    one = clip(speaker="m3", f0=110.0)
    assert one.samples is X
    assert (one.phones, one.sample_rate, one.speaker, one.f0) == (("a", "b", "a"), 8000, "m3", 110)
    assert clip().speaker is None
    assert clip().f0 is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"samples": X.astype(np.float64)}, "samples: got dtype float64, expected float32"),
        ({"samples": np.append(X[:9], np.float32(np.nan))}, r"samples\[9\] = nan"),
        ({"samples": X[None]}, "samples: expected 1 dimensions"),
        ({"phones": "aba"}, "phones: got 'aba', expected at least one name"),
        ({"phones": ("a", 2, "a")}, "phones: .*each a string"),
        ({"phones": ("a", "b")}, "intervals: got 3 of them, expected one for each of 2 phones"),
        ({"intervals": INTERVALS + 0.5}, "intervals: got dtype float64"),
        ({"intervals": INTERVALS.T}, r"intervals: got dtype int64 and shape \(2, 3\)"),
        ({"intervals": [[1, 3], [3, 4], [4, 10]]}, "intervals: the first begins at 1, expected 0"),
        ({"intervals": [[0, 3], [3, 3], [3, 10]]}, r"intervals\[1\] = \[3, 3\) is empty"),
        ({"intervals": [[0, 2], [3, 4], [4, 10]]}, r"intervals\[0\] = \[0, 2\) does not end where"),
        ({"intervals": [[0, 3], [3, 5], [4, 10]]}, r"intervals\[1\] = \[3, 5\) does not end where"),
        ({"intervals": [[0, 3], [3, 4], [4, 9]]}, "intervals: the last ends at 9, .* 10"),
        ({"sample_rate": 8000.5}, "sample_rate: got 8000.5, expected a whole number"),
        ({"speaker": 3}, "speaker: got 3, expected a name or None"),
        ({"f0": 0.0}, "f0: got 0.0"),
    ],
)
def test_a_clip_that_does_not_fit_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        clip(**changes)


def test_indices_count_from_one_and_name_what_is_unknown():
    np.testing.assert_array_equal(aligned.indices(("c", "a", "c"), ("a", "b", "c")), [3, 1, 3])
    with pytest.raises(
        ValueError, match="phones: got 'x', 'y', expected names among the 2 symbols"
    ):
        aligned.indices(("y", "a", "x"), ("a", "b"))
    with pytest.raises(ValueError, match="symbols: got 'a' twice"):
        aligned.indices(("a",), ("a", "b", "a"))


def test_energy_is_the_root_of_the_mean_absolute_value():
    x = np.array([-1.0, 3.0, 0.5, -9.0])
    np.testing.assert_allclose(
        aligned.energy(x, [[0, 2], [2, 3], [3, 4]]), np.sqrt([2.0, 0.5, 9.0]), rtol=1e-15
    )
    with pytest.raises(ValueError, match=r"intervals: the last ends at 3, .* 4"):
        aligned.energy(x, [[0, 2], [2, 3]])


def test_spread_gives_each_sample_the_value_of_its_phone():
    values = np.array([5, 7, 2])
    whole = aligned.spread(values, INTERVALS)
    np.testing.assert_array_equal(whole, [5, 5, 5, 7, 2, 2, 2, 2, 2, 2])
    assert whole.dtype == values.dtype
    for start in range(10):
        for stop in range(start + 1, 11):
            part = aligned.spread(values, INTERVALS, start, stop)
            np.testing.assert_array_equal(part, whole[start:stop])
    both = aligned.spread(np.stack([values, -values]).astype(np.float32), INTERVALS, 2, 5)
    np.testing.assert_array_equal(both, [[5, 7, 2], [-5, -7, -2]])
    assert both.dtype == np.float32


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([1, 2], INTERVALS), r"values: got shape \(2,\), expected one for each of 3"),
        ((3, INTERVALS), r"values: got shape \(\), expected one"),
        (([1, 2, 3], INTERVALS, 10), "start: got 10, .* from 0 to 9"),
        (([1, 2, 3], INTERVALS, 4, 4), "stop: got 4, .* from 5 to 10"),
        (([1, 2, 3], INTERVALS, 4, 11), "stop: got 11"),
    ],
)
def test_spread_stays_inside(arguments, words):
    with pytest.raises(ValueError, match=words):
        aligned.spread(*arguments)


def test_what_was_spoken_stands_between_silences():
    """Silences that touch are one phone; a phone without samples is none."""
    x = np.arange(1, 11, dtype=np.float32) / 10
    names = ("'a", "b", ",OI", "_:", "_")
    spoken = speech.Spoken(x, names, np.array([2, 5, 5, 7, 9]))
    one = aligned.from_spoken(spoken, 10, lead=0.4, tail=0.3, f0=100.0, speaker="f2")
    assert one.phones == (SILENCE, "a", "OI", SILENCE)
    np.testing.assert_array_equal(one.intervals, [[0, 6], [6, 9], [9, 11], [11, 17]])
    np.testing.assert_array_equal(one.samples, [0] * 4 + x.tolist() + [0] * 3)
    assert one.samples.dtype == np.float32
    assert (one.sample_rate, one.f0, one.speaker) == (10, 100.0, "f2")


def test_no_silence_is_made_up():
    spoken = speech.Spoken(X, ("a", "b"), np.array([0, 4]))
    one = aligned.from_spoken(spoken, 10, lead=0, tail=0)
    assert one.phones == ("a", "b")
    np.testing.assert_array_equal(one.intervals, [[0, 4], [4, 10]])
    with pytest.raises(ValueError, match="spoken: got tuple, expected what"):
        aligned.from_spoken((), 10)


def test_the_corpus_begins_and_ends_silent(train):
    for one in train:
        assert one.phones[0] == one.phones[-1] == SILENCE
        np.testing.assert_array_equal(one.samples[:2000], 0)
        np.testing.assert_array_equal(one.samples[-800:], 0)
        # The first phone has sound from its first millisecond on.
        assert one.samples[one.intervals[1, 0] :][:12].any()
        assert set(one.phones) <= set(SYMBOLS)


def test_phones_are_where_they_are_heard(train):
    """Above 2 kHz an sh has most of its power, an m next to none."""

    def high(name):
        parts = [
            one.samples[a:b]
            for one in train
            for phone, (a, b) in zip(one.phones, one.intervals, strict=True)
            if phone == name
        ]
        power = np.abs(np.fft.rfft(np.concatenate(parts))) ** 2
        return power[len(power) // 2 :].sum() / power.sum()

    assert high("S") > 0.9
    assert high("m") < 0.1


def test_a_longer_corpus_begins_with_a_shorter_one(train, folder):
    mixed = {"voices": (None, "f2", "croak"), "seed": 3, "cache": folder}
    pairs = [
        (train[:20], aligned.synthetic("train", 20, cache=folder)),
        (aligned.synthetic("test", 30, **mixed)[:9], aligned.synthetic("test", 9, **mixed)),
    ]
    for long, short in pairs:
        for a, b in zip(long, short, strict=True):
            np.testing.assert_array_equal(a.samples, b.samples)
            np.testing.assert_array_equal(a.intervals, b.intervals)
            assert (a.phones, a.f0, a.speaker) == (b.phones, b.f0, b.speaker)
    assert {one.speaker for one in pairs[1][0]} == {None, "f2", "croak"}


def test_splits_and_seeds_differ(train, folder):
    said = {tuple(one.phones) for one in train}
    for split, seed in (("validation", 0), ("test", 0), ("train", 1)):
        other = aligned.synthetic(split, 60, seed=seed, cache=folder)
        assert not said & {tuple(one.phones) for one in other}
        assert [one.f0 for one in other] != [one.f0 for one in train]


def test_the_pitch_is_drawn_from_its_range_and_is_what_the_clip_has(train, folder):
    pitches = np.array([one.f0 for one in train])
    assert np.all((85 <= pitches) & (pitches <= 150) & (pitches == np.rint(pitches)))
    assert np.median(pitches) == pytest.approx(np.sqrt(85 * 150), abs=8)
    assert len(set(pitches)) > 25
    for one in aligned.synthetic("train", 4, f0=(120, 120), cache=folder):
        assert one.f0 == 120.0
        peak, pitch = periodicity([one])
        assert pitch == pytest.approx(120, abs=1)
        assert peak > 0.8


def periodicity(clips):
    """Median over vowels of the autocorrelation at its peak from 40 to 400 Hz, and of the pitch."""
    found = []
    for one in clips:
        for phone, (a, b) in zip(one.phones, one.intervals, strict=True):
            if phone[0] not in "aeiouAEIOUV03" or b - a < 640:
                continue
            x = one.samples[(a + b) // 2 - 320 :][:640].astype(np.float64)
            x = x - x.mean()
            r = np.correlate(x, x, "full")[639:] / np.arange(640, 0, -1)
            lag = 20 + np.argmax(r[20:200])
            found.append((r[lag] / r[0], 8000 / lag))
    return np.median(found, axis=0)


def test_creaky_voice_is_irregular_unless_its_pitch_is_held(folder):
    """Periods of a creaky voice differ; a constant pitch takes that away."""

    def peak(voice, f0):
        clips = aligned.synthetic("train", 12, f0=f0, voices=(voice,), cache=folder)
        assert all(one.f0 is None for one in clips) == (f0 is None)
        return periodicity(clips)[0]

    assert peak(None, None) > peak("croak", None) + 0.2
    assert peak("croak", (100, 100)) == pytest.approx(peak(None, (100, 100)), abs=0.03)


def test_voices_without_a_constant_pitch_are_refused_with_one(folder):
    with pytest.raises(ValueError, match="f0: got 85, expected None: voice 'klatt4' ignores it"):
        aligned.synthetic("train", 2, voices=(None, "klatt4"), cache=folder)
    (one,) = aligned.synthetic("train", 1, f0=None, voices=("klatt4",), cache=folder)
    assert (one.f0, one.speaker) == (None, "klatt4")
    for f0 in (90, (150, 85), (85, 150, 200)):
        with pytest.raises(ValueError, match="f0"):
            aligned.synthetic("train", 2, f0=f0, cache=folder)
    for voices in ("m3", ()):
        with pytest.raises(ValueError, match="voices: expected at least one name"):
            aligned.synthetic("train", 2, voices=voices, cache=folder)


@pytest.mark.slow
def test_symbols_are_those_of_every_split_and_none_is_rare(folder):
    train = aligned.synthetic("train", 1000, cache=folder)
    names, counts = np.unique([name for one in train for name in one.phones], return_counts=True)
    assert tuple(names.tolist()) == SYMBOLS
    assert len(SYMBOLS) == 63
    assert counts.min() >= 20
    for split in ("validation", "test"):
        clips = aligned.synthetic(split, 300, cache=folder)
        assert {name for one in clips for name in one.phones} <= set(SYMBOLS)
