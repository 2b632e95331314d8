"""Speech with the place of every phone: clips, what is read off them, and an embedded corpus.

A **clip** is a piece of speech whose phones tile it: each sample belongs to one phone, silence is a
phone too. What a model of speech is told of a phone (who it is, how loud, how high) is one value a
phone, and `spread` makes one value a sample of it.

Source: Benita, Elad, Keshet 2023 (arXiv 2310.01381), with the definitions of its released code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from diffbook._checks import NON_NEGATIVE, POSITIVE, choice, real, reals, whole
from diffbook.datasets import sentences, speech

#: Name of silence among the phones of eSpeak NG.
SILENCE = "_:"
#: Phones of the synthetic corpus in any split, sorted; their indices count from 1.
SYMBOLS = (
    "0", "3", "3:", ";", "?", "@", "@2", "@L", "A:", "A@", "D", "E", "I", "I#", "I2", "N",
    "O2", "O:", "O@", "OI", "S", "T", "U", "V", "Z", "_:", "a", "a#", "aI", "aI3", "aI@", "aU",
    "aa", "b", "d", "dZ", "e@", "eI", "f", "g", "h", "i", "i:", "i@3", "j", "k", "l", "m",
    "n", "n-", "o@", "oU", "p", "r", "r-", "s", "t", "t#", "tS", "u:", "v", "w", "z",
)  # fmt: skip
# Seeds of the splits; a seed of the caller's own is mixed in.
_SPLITS = {"train": 0, "validation": 1, "test": 2}


@dataclass(frozen=True, eq=False)
class Clip:
    """Speech with its phones; whatever does not fit together is refused by its name.

    Parameters
    ----------
    samples
        Sound (n,) float32, finite, at full scale in [-1, 1], not normalised.
    phones
        Names of the p phones in order, without stress where the alphabet has silence `SILENCE`.
    intervals
        First sample of each phone and the one after its last, shape (p, 2) int64. They tile the
        clip: the first begins at 0, each begins where the one before ends, the last ends at n.
    sample_rate
        Samples a second.
    speaker
        Who speaks; None where there is only one.
    f0
        Constant pitch in hertz, if the clip has one that is known.
    text
        What is said, where that is known.
    """

    samples: np.ndarray
    phones: tuple[str, ...]
    intervals: np.ndarray
    sample_rate: int
    speaker: str | None = None
    f0: float | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        reals(self.samples, "samples", ndim=1)
        if np.asarray(self.samples).dtype != np.float32:
            raise ValueError(
                f"samples: got dtype {np.asarray(self.samples).dtype}, expected float32"
            )
        phones, intervals = _names(self.phones, "phones"), tiling(self.intervals)
        if len(phones) != len(intervals):
            raise ValueError(
                f"intervals: got {len(intervals)} of them, expected one for each of {len(phones)} phones"
            )
        if intervals[-1, 1] != len(self.samples):
            raise ValueError(
                f"intervals: the last ends at {intervals[-1, 1]}, expected the end of the samples, "
                f"{len(self.samples)}"
            )
        whole(self.sample_rate, "sample_rate")
        if not (self.speaker is None or isinstance(self.speaker, str)):
            raise ValueError(f"speaker: got {self.speaker!r}, expected a name or None")
        if self.f0 is not None:
            real(self.f0, "f0", POSITIVE)
        if not (self.text is None or isinstance(self.text, str)):
            raise ValueError(f"text: got {self.text!r}, expected words or None")


def _names(phones: Sequence[str], name: str) -> tuple[str, ...]:
    found = () if isinstance(phones, str) else tuple(phones)
    if not found or not all(isinstance(one, str) for one in found):
        raise ValueError(f"{name}: got {phones!r:.80}, expected at least one name, each a string")
    return found


def tiling(intervals: ArrayLike) -> np.ndarray:
    """Return intervals (p, 2) int64 that tile [0, n); the error for others says where they do not."""
    found = np.asarray(reals(intervals, "intervals", NON_NEGATIVE, ndim=2))
    if found.shape[1] != 2 or np.asarray(intervals).dtype.kind not in "iu":
        raise ValueError(
            f"intervals: got dtype {np.asarray(intervals).dtype} and shape {found.shape}, expected "
            "whole numbers of shape (p, 2)"
        )
    starts, ends = np.asarray(intervals, np.int64).T
    if starts[0] != 0:
        raise ValueError(f"intervals: the first begins at {starts[0]}, expected 0")
    for bad, words in (
        (starts >= ends, "is empty"),
        (starts[1:] != ends[:-1], "does not end where the next begins"),
    ):
        if bad.any():
            i = int(np.argmax(bad))
            raise ValueError(
                f"intervals[{i}] = [{starts[i]}, {ends[i]}) {words}, expected intervals that tile"
            )
    return np.stack([starts, ends], axis=1)


def indices(phones: Sequence[str], symbols: Sequence[str]) -> np.ndarray:
    """Return the place of each phone among the symbols, counted from 1, shape (p,) int64.

    Parameters
    ----------
    phones
        Names; one that is no symbol is refused.
    symbols
        The alphabet, each name once, such as `SYMBOLS`.
    """
    phones, symbols = _names(phones, "phones"), _names(symbols, "symbols")
    place = {name: i for i, name in enumerate(symbols, start=1)}
    if len(place) != len(symbols):
        twice = next(name for name in symbols if symbols.count(name) > 1)
        raise ValueError(f"symbols: got {twice!r} twice, expected each name once")
    unknown = sorted(set(phones) - set(place))
    if unknown:
        raise ValueError(
            f"phones: got {', '.join(map(repr, unknown))}, expected names among the {len(place)} symbols"
        )
    return np.array([place[name] for name in phones], np.int64)


def energy(samples: ArrayLike, intervals: ArrayLike) -> np.ndarray:
    """Energy of each phone as the paper has it: the root of the mean absolute value, shape (p,).

    That is no RMS: `E = sqrt(mean |x_n|)` over the samples of the phone (released code of Benita,
    Elad, Keshet 2023).

    Parameters
    ----------
    samples
        Sound (n,), any scale.
    intervals
        Places of the phones (p, 2), which tile [0, n).
    """
    samples, intervals = reals(samples, "samples", ndim=1), tiling(intervals)
    if intervals[-1, 1] != len(samples):
        raise ValueError(
            f"intervals: the last ends at {intervals[-1, 1]}, expected the end of the samples, "
            f"{len(samples)}"
        )
    sums = np.add.reduceat(np.abs(samples), intervals[:, 0])
    return np.sqrt(sums / np.diff(intervals)[:, 0])


def spread(
    values: ArrayLike, intervals: ArrayLike, start: int = 0, stop: int | None = None
) -> np.ndarray:
    """Repeat the value of each phone over its samples: shape (..., stop - start), dtype kept.

    Parameters
    ----------
    values
        One value a phone, shape (p,), or several, shape (..., p).
    intervals
        Places of the phones (p, 2), which tile [0, n).
    start, stop
        First sample and the one after the last, `0 <= start < stop <= n`; None for n.
    """
    reals(values, "values")
    values, intervals = np.asarray(values), tiling(intervals)
    if values.ndim == 0 or values.shape[-1] != len(intervals):
        raise ValueError(
            f"values: got shape {values.shape}, expected one for each of {len(intervals)} intervals"
        )
    n = int(intervals[-1, 1])
    start = whole(start, "start", 0, n - 1)
    stop = n if stop is None else whole(stop, "stop", start + 1, n)
    lengths = np.diff(np.clip(intervals, start, stop))[:, 0]
    return np.repeat(values, lengths, axis=-1)


def from_spoken(
    spoken: speech.Spoken,
    sample_rate: int,
    lead: float = 0.25,
    tail: float = 0.1,
    f0: float | None = None,
    speaker: str | None = None,
    text: str | None = None,
) -> Clip:
    """Make a clip of what eSpeak NG spoke, between two pieces of exact silence.

    Stress is taken off the names of the phones. What comes before the first phone is silence;
    silences that touch are one phone, and phones without a sample are left out.

    Parameters
    ----------
    spoken
        What :func:`diffbook.datasets.speech.speak` returned at this rate.
    sample_rate
        Samples a second of `spoken`.
    lead, tail
        Seconds of silence before and after, at least 0.
    f0, speaker, text
        Constant pitch in hertz, name of the voice, and words, where known.
    """
    if not isinstance(spoken, speech.Spoken):
        raise ValueError(f"spoken: got {type(spoken).__name__}, expected what speech.speak returns")
    sample_rate = whole(sample_rate, "sample_rate")
    before = round(real(lead, "lead", NON_NEGATIVE) * sample_rate)
    after = round(real(tail, "tail", NON_NEGATIVE) * sample_rate)
    samples = np.pad(spoken.samples, (before, after))
    names = np.array([SILENCE, *map(_plain, spoken.phones), SILENCE])
    starts = np.array([0, *(before + spoken.starts), before + len(spoken.samples)])
    lasts = np.diff(starts, append=len(samples)) > 0
    names, starts = names[lasts], starts[lasts]
    silent = names == SILENCE
    first = np.append(True, ~(silent[1:] & silent[:-1]))
    starts, phones = starts[first], tuple(names[first].tolist())
    intervals = np.stack([starts, np.append(starts[1:], len(samples))], axis=1)
    return Clip(samples, phones, intervals, sample_rate, speaker, f0, text)


def _plain(phone: str) -> str:
    """Name without stress; some voices call the last pause `_`."""
    name = phone.lstrip("',")
    return SILENCE if name == "_" else name


def synthetic(
    split: str,
    n: int,
    *,
    sample_rate: int = 8000,
    f0: tuple[int, int] | None = (85, 150),
    voices: Sequence[str | None] = (None,),
    seed: int = 0,
    cache: Path | None = None,
) -> list[Clip]:
    """Speak n sentences of :func:`diffbook.datasets.sentences.texts`: the embedded corpus.

    The same arguments always give the same clips, and n of them begin with those of a smaller n
    (eSpeak NG speaks them in this order in one fresh process). 500 take about three seconds once.

    Parameters
    ----------
    split : {"train", "validation", "test"}
        Whose sentences; the splits differ also in pitches and voices drawn.
    n
        Number of sentences.
    sample_rate
        8000, 16000 or 22050 Hz.
    f0
        Lowest and highest pitch in whole hertz, 40 to 500. Each sentence has a constant one, drawn
        uniformly in its logarithm and rounded. None for the pitch of the voice, which moves; then
        clips have none.
    voices
        Names of eSpeak NG's variants, None for the plain voice; each sentence has one at random.
        `"croak"` is creaky with `f0=None` alone: a constant pitch makes it as regular as the plain
        voice. The voices of Klatt's synthesiser, which ignore a constant pitch, need `f0=None`.
    seed
        For another corpus from the same words.
    cache
        Folder for what was made, as in :func:`diffbook.datasets.speech.speak`.
    """
    place = _SPLITS[choice(split, "split", _SPLITS)]
    n, seed = whole(n, "n"), whole(seed, "seed", 0)
    choice(sample_rate, "sample_rate", (8000, 16000, speech.RATE))
    if f0 is not None and (not isinstance(f0, tuple | list) or len(f0) != 2):
        raise ValueError(f"f0: got {f0!r}, expected the lowest and the highest pitch, or None")
    low = f0 and whole(f0[0], "f0[0]", 40, 500)
    high = f0 and whole(f0[1], "f0[1]", low, 500)
    voices = () if isinstance(voices, str) else tuple(voices)
    if not voices:
        raise ValueError("voices: expected at least one name, or None for the plain voice")
    for voice in voices:
        choice(voice, "voices", (None, *speech.voices()))
        speech.Utterance("a", voice, f0=low)  # refuses a pitch that the voice would ignore
    # One stream each, so that the first sentences do not depend on n.
    texts, pitches, speakers = (np.random.default_rng([seed, place, i]) for i in range(3))
    draws = zip(
        sentences.texts(n, split, texts), speakers.random(n), pitches.random(n), strict=True
    )
    drawn = [
        speech.Utterance(
            text, voices[int(who * len(voices))], f0=f0 and round(low * (high / low) ** height)
        )
        for text, who, height in draws
    ]
    spoken = speech.speak(drawn, sample_rate, cache=cache)
    return [
        from_spoken(
            one, sample_rate, f0=said.f0 and float(said.f0), speaker=said.voice, text=said.text
        )
        for one, said in zip(spoken, drawn, strict=True)
    ]
