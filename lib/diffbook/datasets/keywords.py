"""Ten spoken words to recognise: made by many synthetic voices, or digits spoken by six people.

Both come as clips of one length at 8 kHz, the word at a random place in silence, peak 1.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from diffbook._checks import choice, reals
from diffbook.datasets import audio, fetch, speech

SAMPLE_RATE = 8000
#: Samples of a clip (0.768 s): the longest synthetic word has 0.66 s.
LENGTH = 6144
#: The ten words of the paper's subset of Google Speech Commands.
WORDS = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
#: Voices of eSpeak NG; none is in two splits, and no two of different splits are near copies.
VOICES = {
    "train": (
        "f1", "f3", "aunty", "belinda", "steph", "Annie", "Andrea", "Alicia",
        "m1", "m3", "m5", "m6", "m8", "Alex", "Denis", "Diogo", "adam", "edward", "boris", "Lee",
    ),
    "validation": ("f4", "m7", "david"),
    "test": ("f2", "linda", "m2", "m4", "quincy"),
}  # fmt: skip
#: Words a minute, and heights of the pitch: each voice says each word in all nine ways.
RATES = (145, 170, 200)
PITCHES = (30, 50, 70)
#: Takes of the spoken digits, first and one after the last; the test set is the authors'.
TAKES = {"train": (10, 50), "validation": (5, 10), "test": (0, 5)}
# What is softer than this, against the peak, is silence around a word.
_SILENCE = 0.003


class Clips(NamedTuple):
    """Clips with what is said in them, and by whom."""

    signals: np.ndarray
    labels: np.ndarray
    speakers: np.ndarray


def clips(split: str) -> Clips:
    """Ten words by synthetic voices (eSpeak NG through :mod:`diffbook.datasets.speech`).

    Made within seconds and kept in the cache; nothing is downloaded, nobody was recorded.

    Parameters
    ----------
    split
        `"train"` (20 voices), `"validation"` (3) or `"test"` (5); each has 90 clips of a voice.

    Returns
    -------
    Clips
        Signals (n, LENGTH) float32 with peak 1, labels (n,) into `WORDS`, speakers (n,) into the
        split's `VOICES`; n is 1,800, 270 and 450.
    """
    choice(split, "split", VOICES)
    whole, labels, speakers = _spoken()[split]
    return Clips(whole.copy(), labels.copy(), speakers.copy())


@cache
def _spoken() -> dict[str, Clips]:
    """All splits, spoken in one go."""
    ways = [
        (split, label, speaker, speech.Utterance(word, voice, rate, pitch))
        for split, voices in VOICES.items()
        for speaker, voice in enumerate(voices)
        for label, word in enumerate(WORDS)
        for rate in RATES
        for pitch in PITCHES
    ]
    spoken = speech.speak([way[-1] for way in ways], SAMPLE_RATE)
    found = {}
    for split in VOICES:
        inside = [i for i, way in enumerate(ways) if way[0] == split]
        words = [_without_silence(spoken[i].samples) for i in inside]
        labels, speakers = np.array([ways[i][1:3] for i in inside]).T
        found[split] = Clips(_placed(words, list(VOICES).index(split)), labels, speakers)
    return found


def digits(split: str) -> Clips:
    """Ten digits by six people (FSDD, 8 kHz, CC BY-SA 4.0) from `DIFFBOOK_DATA` or the cache.

    **Every person is in every split**: they share takes, not voices. Raises FileNotFoundError if the
    set is absent, ValueError if its file holds something else.

    Parameters
    ----------
    split
        `"train"` (takes 10 to 49), `"validation"` (5 to 9) or `"test"` (0 to 4, as its authors say).

    Returns
    -------
    Clips
        Signals (n, LENGTH) float32 with peak 1, labels (n,) into `DIGITS`, speakers (n,) from 0;
        of the whole set n is 2,400, 300 and 300. The 2 % that are longer are cut to the part with
        the most energy.
    """
    low, high = TAKES[choice(split, "split", TAKES)]
    (path,) = fetch.files("fsdd")
    samples, offsets, take = audio._recordings(path)
    n = (len(take),)
    digit, speaker = fetch.arrays(path, digit=(np.integer, n), speaker=(np.integer, n))
    reals(digit, f"{path}: digit", "[0, 9]")
    inside = np.flatnonzero((low <= take) & (take < high))
    if not inside.size:
        raise ValueError(f"{path}: take: expected {low} to {high - 1} for {split}, got none")
    words = [samples[offsets[i] : offsets[i + 1]] for i in inside]
    silent = [i for i, word in zip(inside, words, strict=True) if not word.any()]
    if silent:
        raise ValueError(f"{path}: samples: expected sound, got silence in recording {silent[0]}")
    labels, speakers = digit[inside].astype(np.int64), speaker[inside].astype(np.int64)
    return Clips(_placed(words, list(TAKES).index(split)), labels, speakers)


def _without_silence(x: np.ndarray) -> np.ndarray:
    loud = np.flatnonzero(np.abs(x) > _SILENCE * np.abs(x).max())
    return x[loud[0] : loud[-1] + 1]


def _placed(words: list[np.ndarray], seed: int) -> np.ndarray:
    """Words at random places in silence, scaled to peak 1; the loudest part of those too long."""
    rng = np.random.default_rng(seed)
    out = np.zeros((len(words), LENGTH), np.float32)
    for row, word in zip(out, words, strict=True):
        word = word.astype(np.float64)
        if len(word) > LENGTH:
            energy = np.cumsum(np.append(0.0, word**2))
            first = int(np.argmax(energy[LENGTH:] - energy[:-LENGTH]))
            word = word[first : first + LENGTH]
        onset = rng.integers(LENGTH - len(word) + 1)
        row[onset : onset + len(word)] = word / np.abs(word).max()
    return out
