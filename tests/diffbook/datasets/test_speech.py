"""Speech from text: phones in their places, voices, pitch, and a corpus that stays what it was."""

import subprocess
import sys

import numpy as np
import pytest

from diffbook.datasets import speech
from diffbook.datasets.speech import Utterance

SENTENCE = Utterance("Boxes, and cases.", pitch=40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("speech")


def say(folder, *utterances, **settings):
    return speech.speak(utterances, cache=folder, **settings)


def test_phones_follow_each_other_and_end_with_the_sound(folder):
    (spoken,) = say(folder, SENTENCE)
    names = [phone.strip("',") for phone in spoken.phones]
    assert names[:5] == ["b", "0", "k", "s", "I#"]
    assert names[-1] == "_:"
    lengths = np.diff(spoken.intervals, axis=1)
    assert np.all(lengths > 0)
    np.testing.assert_array_equal(spoken.intervals[1:, 0], spoken.intervals[:-1, 1])
    assert spoken.intervals[-1, 1] == len(spoken.samples)
    assert 0.5 < len(spoken.samples) / speech.RATE < 2.0


def test_pauses_are_silent_to_the_sample_and_nothing_else_is(folder):
    """A place that is wrong by one sample would take in a part of the sound."""
    (spoken,) = say(folder, SENTENCE)
    pauses = [name == "_:" for name in spoken.phones]
    assert sum(pauses) == 2
    for (first, end), pause in zip(spoken.intervals, pauses, strict=True):
        assert np.any(spoken.samples[first:end]) != pause
    first, end = spoken.intervals[pauses][0]
    assert spoken.samples[first - 3 : first].any()
    assert spoken.samples[end : end + 4].any()


def test_fricatives_are_higher_than_vowels(folder):
    """The places belong to the phones: high frequencies are where the s is."""
    (spoken,) = say(folder, Utterance("see saw see"))

    def centre(name):
        found = [
            spoken.samples[a:b]
            for (a, b), phone in zip(spoken.intervals, spoken.phones, strict=True)
            if phone.strip("',") == name
        ]
        power = np.abs(np.fft.rfft(np.concatenate(found))) ** 2
        return np.sum(power * np.linspace(0, speech.RATE / 2, len(power))) / power.sum()

    assert centre("s") > 4000 > 2000 > centre("i:")


def fundamental(x, place=0.35, length=2000):
    """Pitch at a place of a sound by autocorrelation, 60 to 400 Hz."""
    x = x[round(place * len(x)) :][:length]
    found = np.correlate(x, x, "full")[len(x) - 1 :]
    low = round(speech.RATE / 400)
    return speech.RATE / (low + np.argmax(found[low : round(speech.RATE / 60)]))


def test_constant_pitch_is_met_and_ends_with_its_utterance(folder):
    word = "no"
    ways = [Utterance(word, f0=f0) for f0 in (100, 160)]
    free, *fixed, after = say(folder, Utterance(word), *ways, Utterance(word))
    for spoken, f0 in zip(fixed, (100, 160), strict=True):
        assert fundamental(spoken.samples) == pytest.approx(f0, rel=0.03)
    assert fundamental(after.samples) == pytest.approx(fundamental(free.samples), rel=0.05)
    assert fundamental(free.samples) < 130


def test_voice_pitch_rate_and_range_are_heard(folder):
    plain, woman, high, fast, flat, lively = say(
        folder,
        Utterance("no"),
        Utterance("no", voice="f3"),
        Utterance("no", pitch=90),
        Utterance("no", rate=300),
        Utterance("no", intonation=0),
        Utterance("no", intonation=99),
    )
    assert fundamental(woman.samples) > 1.5 * fundamental(plain.samples)
    assert fundamental(high.samples) > 1.3 * fundamental(plain.samples)
    assert len(fast.samples) < 0.7 * len(plain.samples)
    begin, end = ([fundamental(x.samples, at) for x in (flat, lively)] for at in (0.15, 0.6))
    assert begin[0] == pytest.approx(end[0], rel=0.03)
    assert begin[1] > 1.15 * end[1]
    assert {"m3", "f3", "croak"} <= set(speech.voices())


@pytest.mark.parametrize("sample_rate", [8000, 16000])
def test_resampling_keeps_the_sound_and_its_places(folder, sample_rate):
    from scipy.signal import resample_poly

    (spoken,) = say(folder, SENTENCE)
    (low,) = say(folder, SENTENCE, sample_rate=sample_rate)
    factor = sample_rate / speech.RATE
    assert low.phones == spoken.phones
    assert low.samples.dtype == np.float32
    assert np.abs(low.starts - spoken.starts * factor).max() <= 0.5
    expected = resample_poly(spoken.samples, 2 * sample_rate // 100, speech.RATE // 50)
    np.testing.assert_allclose(low.samples, expected, atol=1e-6)


def test_a_fresh_process_says_the_same_noise_and_all(tmp_path, folder):
    """Voices with breath draw random numbers; two folders mean two processes."""
    ways = [Utterance("yes", voice="f2"), Utterance("stop", voice="adam"), SENTENCE]
    first, second = say(folder, *ways), say(tmp_path, *ways)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.samples, b.samples)
        np.testing.assert_array_equal(a.starts, b.starts)


def test_a_corpus_is_made_once_and_another_request_is_another_file(tmp_path, monkeypatch):
    (first,) = say(tmp_path, SENTENCE)
    (path,) = tmp_path.rglob("*.npz")
    with monkeypatch.context() as patch:
        patch.setattr(speech.subprocess, "run", lambda *a, **k: pytest.fail("spoken again"))
        (again,) = say(tmp_path, SENTENCE)
    np.testing.assert_array_equal(first.samples, again.samples)
    say(tmp_path, Utterance(SENTENCE.text, pitch=41))
    monkeypatch.setattr(speech, "version", lambda package: "0.0")
    say(tmp_path, SENTENCE)
    assert len(list(tmp_path.rglob("*.npz"))) == 3
    assert not list(tmp_path.rglob("*.part"))
    assert path.is_file()


@pytest.mark.parametrize("damage", [lambda b: b[:-40], lambda b: b"", lambda b: b"x" * len(b),
                                    lambda b: b[:1000] + b"\xff\x00\xff" + b[1003:]])  # fmt: skip
def test_a_damaged_corpus_is_made_again(tmp_path, damage):
    (first,) = say(tmp_path, SENTENCE)
    (path,) = tmp_path.rglob("*.npz")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    (again,) = say(tmp_path, SENTENCE)
    np.testing.assert_array_equal(first.samples, again.samples)
    assert path.stat().st_size == len(whole)


def test_the_cache_is_where_the_variable_says(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFBOOK_CACHE", str(tmp_path))
    speech.speak([SENTENCE])
    assert list((tmp_path / "speech").glob("*.npz"))


def test_what_fails_says_so(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"utterances\[1\]: '\.\.\.' has no sound"):
        say(tmp_path, SENTENCE, Utterance("..."))
    monkeypatch.setattr(speech, "LANGUAGE", "xx-nowhere")
    with pytest.raises(RuntimeError, match="refused voice 'xx-nowhere"):
        say(tmp_path, Utterance("no"))
    assert len(list(tmp_path.rglob("*.npz"))) == 1


@pytest.mark.parametrize(
    ("utterances", "words"),
    [([], "utterances: got .*at least one"), (["no"], "expected at least one Utterance")],
)
def test_only_utterances_are_spoken(utterances, words):
    with pytest.raises(ValueError, match=words):
        speech.speak(utterances)


@pytest.mark.parametrize("text", ["", " ", "a\0b", 7])
def test_a_text_has_something_to_say(text):
    with pytest.raises(ValueError, match=r"text: got .*, expected characters to speak"):
        Utterance(text)


def test_without_the_package_the_error_names_the_extra():
    """In a fresh interpreter that does not find it."""
    code = """
import importlib.util as u
found = u.find_spec
u.find_spec = lambda name, *a: None if name == "espeakng_loader" else found(name, *a)
import diffbook._optional
diffbook._optional.find_spec = u.find_spec
from diffbook.datasets import keywords
keywords.clips("test")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "datasets.speech needs espeakng_loader: pip install 'diffbook[data]'" in done.stderr


def test_a_pitch_that_a_voice_ignores_is_refused():
    assert Utterance("a", "klatt4").f0 is None
    with pytest.raises(ValueError, match=r"f0: got 120, expected None: voice 'klatt4' ignores it"):
        Utterance("a", "klatt4", f0=120)
    for voice in (None, "m3", "croak"):
        assert Utterance("a", voice, f0=120).f0 == 120
