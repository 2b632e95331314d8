"""Spoken keywords and digits: splits that share nothing they should not, places, levels."""

import numpy as np
import pytest

from diffbook.datasets import keywords, spectrograms

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def sets():
    return {split: keywords.clips(split) for split in SPLITS}


def test_no_voice_is_in_two_splits():
    everyone = [voice for split in SPLITS for voice in keywords.VOICES[split]]
    assert len(everyone) == len(set(everyone)) == 28


def test_no_two_clips_are_spoken_alike(sets, monkeypatch):
    """Voice, word, rate and pitch; what differs by the random breath alone is no other clip."""
    asked = []

    def listen(utterances, sample_rate):
        asked.extend(utterances)
        raise InterruptedError

    monkeypatch.setattr(keywords.speech, "speak", listen)
    with pytest.raises(InterruptedError):
        keywords._spoken.__wrapped__()
    assert len(set(asked)) == len(asked) == sum(len(found.labels) for found in sets.values())


@pytest.mark.parametrize(("split", "voices"), [("train", 20), ("validation", 3), ("test", 5)])
def test_every_voice_says_every_word_in_nine_ways(sets, split, voices):
    signals, labels, speakers = sets[split]
    assert signals.shape == (90 * voices, keywords.LENGTH)
    assert signals.dtype == np.float32
    counts = np.zeros((voices, 10), int)
    np.add.at(counts, (speakers, labels), 1)
    np.testing.assert_array_equal(counts, 9)
    assert len(np.unique(signals, axis=0)) == len(signals)


def test_words_are_whole_and_anywhere(sets):
    """Peak 1, silence on both sides, and onsets that no classifier can rely on."""
    for signals, labels, _ in sets.values():
        np.testing.assert_array_equal(np.abs(signals).max(1), 1.0)
        loud = np.abs(signals) > 0.01
        first, last = loud.argmax(1), loud.shape[1] - 1 - loud[:, ::-1].argmax(1)
        assert np.all(last - first < 0.67 * keywords.SAMPLE_RATE)
        inside = np.count_nonzero((first > 8) & (last < keywords.LENGTH - 8))
        assert inside > 0.95 * len(signals)
        onsets = [first[labels == k].mean() for k in range(10)]
        assert first.std() > 600
        assert np.ptp(onsets) < 1200


def test_the_label_is_what_is_said(sets):
    """The nearest mean of other voices: far above one in ten, whatever the voice."""

    def features(split):
        signals, labels, _ = sets[split]
        centred = [np.roll(x, keywords.LENGTH // 2 - _middle(x)) for x in signals]
        mel = spectrograms.log_mel(spectrograms.spectrogram(np.stack(centred)))
        return mel.reshape(len(mel), -1), labels

    x, labels = features("train")
    means = np.stack([x[labels == k].mean(0) for k in range(10)])
    x, labels = features("test")
    nearest = np.argmin(((x[:, None] - means) ** 2).sum(-1), axis=1)
    assert np.mean(nearest == labels) > 0.75


def _middle(x):
    return round(np.average(np.arange(len(x)), weights=x**2))


def test_nobody_changes_what_others_get():
    clips = keywords.clips("validation")
    clips.signals[:] = 0.0
    assert keywords.clips("validation").signals.any()


# --- digits -----------------------------------------------------------------------------------


def test_digits_come_with_labels_and_speakers_of_their_split(changed):
    take = np.arange(60) % 50
    numbers = np.arange(60)
    sounds = np.concatenate([np.full(500, k + 1) for k in numbers]).astype(np.int16)
    changed("fsdd", samples=sounds, digit=numbers % 10, speaker=numbers % 6)
    for split, takes in {"train": (10, 50), "validation": (5, 10), "test": (0, 5)}.items():
        inside = np.flatnonzero((takes[0] <= take) & (take < takes[1]))
        signals, labels, speakers = keywords.digits(split)
        assert signals.shape == (len(inside), keywords.LENGTH)
        np.testing.assert_array_equal(labels, inside % 10)
        np.testing.assert_array_equal(speakers, inside % 6)
        np.testing.assert_array_equal(signals.sum(1), 500.0)  # all samples, at peak 1
        assert len(np.unique(signals.argmax(1))) > 1


def test_what_is_too_long_is_cut_to_its_loudest_part(changed):
    long = np.ones(60 * 500, np.int16)
    long[7000 : 7000 + keywords.LENGTH] = np.arange(keywords.LENGTH) + 100
    offsets = np.r_[0, 20_000 + np.arange(60) * 160]
    changed("fsdd", samples=long, offsets=offsets)
    first = keywords.digits("test").signals[0]
    expected = (np.arange(keywords.LENGTH) + 100) / (keywords.LENGTH + 99)
    np.testing.assert_allclose(first, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"digit": np.full(60, 10)}, r"digit\[0\] = 10: .*\[0, 9\]"),
        ({"digit": np.full(60, -1)}, r"digit\[0\] = -1: "),
        ({"digit": np.zeros(59, int)}, r"digit: expected integer of shape \(60,\)"),
        ({"speaker": np.zeros(60)}, "speaker: expected integer"),
        ({"take": np.full(60, 9)}, "take: expected 0 to 4 for test, got none"),
        ({"samples": np.zeros(30_000, np.int16)}, "samples: expected sound, got silence in rec"),
        ({"sample_rate": np.array(16000)}, r"sample_rate: got 16000, expected one of \[8000\]"),
    ],
)  # fmt: skip
def test_digits_from_a_wrong_file_are_refused_with_its_name(changed, changes, words):
    path = changed("fsdd", **changes)
    with pytest.raises(ValueError, match=words) as error:
        keywords.digits("test")
    assert str(error.value).startswith(f"{path}: ")


def test_absent_digits_say_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.delenv("DIFFBOOK_DATA", raising=False)
    monkeypatch.setenv("DIFFBOOK_CACHE", str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match=r"To get it: python -m diffbook\.datasets\.fetch fsdd\."
    ):
        keywords.digits("test")


@pytest.mark.realdata
@pytest.mark.parametrize(("split", "n"), [("train", 2400), ("validation", 300), ("test", 300)])
def test_real_digits_are_the_set_that_the_chapters_expect(split, n):
    signals, labels, speakers = keywords.digits(split)
    assert signals.shape == (n, keywords.LENGTH)
    np.testing.assert_array_equal(np.bincount(labels), n // 10)
    np.testing.assert_array_equal(np.bincount(speakers), n // 6)
    np.testing.assert_array_equal(np.abs(signals).max(1), 1.0)
