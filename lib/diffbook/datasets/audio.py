"""Sound: synthesised piano-like notes, and real spoken digits through `DIFFBOOK_DATA` or the cache."""

from pathlib import Path

import numpy as np

from diffbook._checks import NON_NEGATIVE, POSITIVE, choice, generator, real, reals, whole
from diffbook.datasets import fetch

#: Length of the segments used in the chapters, in samples.
SEGMENT = 400


def note(
    midi: float,
    seconds: float,
    sample_rate: int = 8000,
    *,
    velocity: float = 1.0,
    inharmonicity: float = 4e-4,
    rng: int | np.random.Generator = 0,
) -> np.ndarray:
    """Synthesise one struck-string note by additive synthesis.

    Partial k has the frequency `k f0 sqrt(1 + B k^2)` of a stiff string (Fletcher 1964), amplitude
    1/k (steeper for soft notes) and an exponential decay that is faster for high partials and high
    notes. Phases are random.

    Parameters
    ----------
    midi
        MIDI note number, 0 to 127; 69 is 440 Hz.
    seconds, sample_rate
        Length and rate (Hz).
    velocity
        Loudness in (0, 1]; soft notes have weaker high partials.
    inharmonicity
        B, dimensionless; a few 1e-4 in the middle of a piano.
    rng
        Seed or generator of the phases.

    Returns
    -------
    ndarray, shape (round(seconds * sample_rate),), float64
        Not normalised; amplitudes of order `velocity`.
    """
    midi, seconds = real(midi, "midi", "[0, 127]"), real(seconds, "seconds", POSITIVE)
    sample_rate, velocity = whole(sample_rate, "sample_rate"), real(velocity, "velocity", "(0, 1]")
    inharmonicity = real(inharmonicity, "inharmonicity", NON_NEGATIVE)
    rng = generator(rng)
    f0 = 440.0 * 2.0 ** ((midi - 69.0) / 12.0)
    k = np.arange(1, 41)
    f = k * f0 * np.sqrt(1.0 + inharmonicity * k**2)
    # Partials above Nyquist would fold back as false tones.
    k, f = k[f < 0.48 * sample_rate], f[f < 0.48 * sample_rate]
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    decay = (0.6 + f / 900.0) * 2.0 ** ((midi - 60.0) / 24.0)
    amplitude = velocity * k ** -(1.0 + 0.8 * (1.0 - velocity))
    phase = rng.uniform(0.0, 2.0 * np.pi, len(k))
    waves = np.sin(2.0 * np.pi * f[:, None] * t + phase[:, None])
    attack = 1.0 - np.exp(-t / 0.004)
    return attack * ((amplitude[:, None] * np.exp(-decay[:, None] * t)) * waves).sum(0)


def melody(seconds: float = 3.0, sample_rate: int = 8000, rng: int | np.random.Generator = 0):
    """Play random notes of a major scale, overlapping, as a mono signal.

    Parameters
    ----------
    seconds, sample_rate
        Length (at least 0.1) and rate (Hz, at least 4000).
    rng
        Seed or generator of notes, loudness and onsets.

    Returns
    -------
    ndarray, shape (round(seconds * sample_rate),), float64
        Peak 0.9.
    """
    # The highest note needs 2,100 Hz; what is shorter may be silent.
    sample_rate = whole(sample_rate, "sample_rate", 4000)
    seconds, rng = real(seconds, "seconds", "[0.1, inf)"), generator(rng)
    n = round(seconds * sample_rate)
    scale = np.array([0, 2, 4, 5, 7, 9, 11])
    out = np.zeros(n)
    onset = 0.0
    while onset < seconds - 0.05:
        pitch = 48 + 12 * rng.integers(0, 3) + rng.choice(scale)
        sound = note(pitch, 1.5, sample_rate, velocity=rng.uniform(0.3, 1.0), rng=rng)
        first = round(onset * sample_rate)
        part = sound[: n - first]
        out[first : first + len(part)] += part
        onset += rng.choice([0.12, 0.25, 0.25, 0.5])
    return 0.9 * out / np.abs(out).max()


def segments(signal: np.ndarray, n: int, length: int = SEGMENT, rng=0) -> np.ndarray:
    """Cut n segments at random places out of a signal; shape (n, length)."""
    signal, n = reals(signal, "signal", ndim=1), whole(n, "n")
    length = whole(length, "length", 1, len(signal), hint="the signal's length")
    starts = generator(rng).integers(len(signal) - length + 1, size=n)
    return signal[starts[:, None] + np.arange(length)]


def piano(
    n: int,
    length: int = SEGMENT,
    sample_rate: int = 8000,
    split: str = "train",
    rng: int | np.random.Generator = 0,
) -> np.ndarray:
    """Draw segments of synthesised piano-like music, scaled to unit average power.

    Parameters
    ----------
    n, length
        Number and length (samples) of the segments.
    sample_rate
        8000 or 16000 Hz.
    split
        `"train"`, `"validation"` or `"test"`: music made from different seeds.
    rng
        Seed or generator that picks the places.

    Returns
    -------
    ndarray, shape (n, length), float64
        The 32 s of music that the segments are cut from have mean power 1, so that the noise levels of
        a schedule mean the same as for images scaled to [-1, 1].
    """
    n, length, rng = whole(n, "n"), whole(length, "length"), generator(rng)
    seeds = {"train": 100, "validation": 200, "test": 300}
    first = seeds[choice(split, "split", seeds)]
    choice(sample_rate, "sample_rate", (8000, 16000))
    music = np.concatenate([melody(4.0, sample_rate, first + i) for i in range(8)])
    return segments(music / np.sqrt(np.mean(music**2)), n, length, rng)


def speech(
    n: int,
    length: int = SEGMENT,
    split: str = "train",
    rng: int | np.random.Generator = 0,
) -> np.ndarray:
    """Draw segments of real spoken digits (FSDD, 8 kHz, CC BY-SA 4.0) from `DIFFBOOK_DATA` or the cache.

    Raises FileNotFoundError if the set is absent, ValueError if its file holds something else.

    Parameters
    ----------
    n, length
        Number and length (samples) of the segments.
    split
        `"train"` (takes 10 to 49), `"validation"` (5 to 9) or `"test"` (0 to 4, as its authors say).
    rng
        Seed or generator that picks the places.

    Returns
    -------
    ndarray, shape (n, length), float64
        Scaled to unit average power over all recordings of the split.
    """
    n, length, rng = whole(n, "n"), whole(length, "length"), generator(rng)
    takes = {"train": (10, 50), "validation": (5, 10), "test": (0, 5)}
    low, high = takes[choice(split, "split", takes)]
    (path,) = fetch.files("fsdd")
    samples, offsets, take = _recordings(path)
    inside = np.flatnonzero((low <= take) & (take < high))
    if not inside.size:
        raise ValueError(
            f"{path}: take: expected {low} to {high - 1} for {split}, got none of them"
        )
    clips = [samples[offsets[i] : offsets[i + 1]] for i in inside]
    signal = np.concatenate(clips).astype(np.float64)
    power = real(float(np.mean(signal**2)), f"{path}: power of {split}", POSITIVE, hint="silence")
    return segments(signal / np.sqrt(power), n, length, rng)


def _recordings(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read samples, the places where recordings begin and end, and the take of each."""
    integers = (np.integer, (None,))
    kinds = {"samples": (np.int16, (None,)), "offsets": integers, "take": integers}
    samples, offsets, take, rate = fetch.arrays(path, **kinds, sample_rate=(np.integer, ()))
    choice(int(rate), f"{path}: sample_rate", (8000,))
    reals(take, f"{path}: take", "[0, 49]")
    reals(offsets, f"{path}: offsets", f"[0, {len(samples)}]", shape=(len(take) + 1,))
    reals(np.diff(offsets.astype(np.int64)), f"{path}: lengths between offsets", POSITIVE)
    return samples, offsets, take
