"""The recogniser and the predictors of the book: what they are trained on, and how good they are."""

import numpy as np
import pytest

from chapters.diffar import auxiliary
from chapters.diffar.steps import RATE, corpus, tracks
from diffbook.datasets import aligned, sentences, speech
from diffbook.datasets.aligned import SILENCE, SYMBOLS
from diffbook.nets import predict, timing

pytest.importorskip("espeakng_loader")
CLIPS = 6


@pytest.fixture(scope="module")
def clips():
    return corpus("test", CLIPS)


def test_coined_words_are_no_words_of_the_test(monkeypatch):
    said = []
    speak = speech.speak
    monkeypatch.setattr(
        speech, "speak", lambda texts, rate: said.extend(texts) or speak(texts, rate)
    )
    made = auxiliary.coined(8)
    held_out = {word for some in sentences.words("test").values() for word in some}
    known = {word for some in sentences.words("train").values() for word in some}
    words = [word for text in said for word in text.text.split()]
    assert len(words) == 48
    assert not held_out & set(words)
    assert len(set(words) - known) > 40
    assert 0 < len(made) <= 8
    assert {phone for clip in made for phone in clip.phones} <= set(SYMBOLS)
    assert {clip.sample_rate for clip in made} == {RATE}


def test_the_book_s_recogniser_hears_words_it_never_met(clips):
    """At most 8 errors in 100 phones, and noise does harm."""
    clean, noisy = (auxiliary.heard(auxiliary.ears(), clips, snr) for snr in (None, 10.0))
    assert clean["merged"] <= clean["per"] <= 8.0
    assert clean["per"] < noisy["per"] < 40.0


def test_predicted_durations_beat_the_mean_of_a_phone(clips):
    net = auxiliary.predictors()["duration"]
    found = auxiliary.errors_of(net, corpus("train", 100), clips)
    errors = [found[way]["error_ms"] for way in ("network", "phone", "global")]
    assert errors == sorted(errors)
    assert errors[0] < 0.8 * errors[1]


@pytest.mark.parametrize("predicted", auxiliary.PARTS)
def test_a_script_has_the_parts_predicted_that_were_asked_for(clips, predicted):
    clip, nets = clips[0], auxiliary.predictors()
    found = auxiliary.predicted_script(clip, predicted)
    np.testing.assert_array_equal(found.phones, aligned.indices(clip.phones, SYMBOLS))
    place, level = clip.intervals, tracks(clip)
    if predicted in ("duration", "everything"):
        place = timing(predict(nets["duration"], [clip.phones])[0][1:], RATE)
        assert not np.array_equal(place, clip.intervals)
    np.testing.assert_array_equal(found.intervals, place)
    if predicted in ("energy", "everything"):
        said = np.array(clip.phones) != SILENCE
        assert 0.0 < np.abs(found.tracks[0] - level[0])[said].mean() < 0.3
    else:
        np.testing.assert_array_equal(found.tracks[0], level[0])
    np.testing.assert_array_equal(found.tracks[1], level[1])


def test_forgetting_the_gradients_is_tried_both_ways(monkeypatch):
    seen = []

    def train(kind, clips, seed, zero_grad):
        seen.append((kind, len(clips), seed, zero_grad))
        return auxiliary.predictors()[kind], []

    monkeypatch.setattr(auxiliary.frontend, "train_predictor", train)
    rows = auxiliary.forgetting((0, 4))
    assert seen == [("duration", 500, seed, z) for seed in (0, 4) for z in (True, False)]
    assert [(row["seed"], row["zero_grad"]) for row in rows] == [s[2:] for s in seen]
    assert {row["error_ms"] for row in rows} == {rows[0]["error_ms"]}
