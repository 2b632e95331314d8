"""Alignments of phones with sound in Praat's TextGrid files, as the Montreal Forced Aligner writes them.

The files are read by praatio (both of Praat's text formats, UTF-8 and UTF-16). What is added here:
places in samples, and the refusal of an alignment that does not tile its sound.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from diffbook._checks import NON_NEGATIVE, POSITIVE, real, reals, whole
from diffbook._optional import need
from diffbook.datasets.aligned import tiling

#: Seconds by which an alignment may end before or after its sound: decimals that were cut in the
#: file, and a resampled length that was rounded up.
SLACK = 0.001


def read_textgrid(path: Path, tier: str | int = "phones") -> tuple[tuple[str, ...], np.ndarray]:
    """Read the labels and intervals of one tier; an empty label is silence and stays.

    Raises ValueError, with the file's name, for what is no TextGrid, for intervals that overlap or
    end before they begin, and for a tier that is not there.

    Parameters
    ----------
    path
        The file.
    tier
        Name of an interval tier, or its number from 0. With several speakers the Montreal Forced
        Aligner calls it "speaker - phones".

    Returns
    -------
    labels
        p names without blanks around them.
    seconds
        Where each begins and ends, shape (p, 2).
    """
    need("praatio", "data", "datasets.textgrid")
    from praatio.data_classes.interval_tier import IntervalTier
    from praatio.textgrid import openTextgrid

    try:
        grid = openTextgrid(str(path), includeEmptyIntervals=True, reportingMode="error")
    except OSError:
        raise
    except Exception as error:  # praatio has a dozen kinds for damaged files
        raise ValueError(
            f"{path}: expected a TextGrid of Praat, got {type(error).__name__}: {error}"
        ) from error
    names = list(grid.tierNames)
    if not isinstance(tier, str):
        tier = names[whole(tier, "tier", 0, len(names) - 1, hint=f"{path} has {names}")]
    found = grid.getTier(tier) if tier in names else None
    if not isinstance(found, IntervalTier) or not found.entries:
        raise ValueError(f"tier: got {tier!r}, expected one with intervals among {names} of {path}")
    labels = tuple(entry.label for entry in found.entries)
    return labels, np.array([(entry.start, entry.end) for entry in found.entries], np.float64)


def to_samples(seconds: ArrayLike, sample_rate: float, n: int) -> np.ndarray:
    """Places in samples, each bound rounded to the nearest one, shape (p, 2) int64; they tile [0, n).

    Parameters
    ----------
    seconds
        Where each phone begins and ends, shape (p, 2): from 0 to the end of the sound without gaps
        or overlaps. The last end may be off by `SLACK` and is then put at n; more is refused.
    sample_rate
        Samples a second.
    n
        Samples of the sound.
    """
    seconds = reals(seconds, "seconds", NON_NEGATIVE, ndim=2)
    sample_rate, n = real(sample_rate, "sample_rate", POSITIVE), whole(n, "n")
    if seconds.shape[1] != 2:
        raise ValueError(f"seconds: got shape {seconds.shape}, expected (p, 2)")
    last, end = seconds[-1, 1], n / sample_rate
    if abs(last - end) > SLACK:
        word = "longer" if last > end else "shorter"
        raise ValueError(
            f"seconds: the alignment is {word} than the sound: it ends at {last:.4f} s, the sound of n "
            f"= {n} samples at {end:.4f} s; align this very file"
        )
    places = np.rint(seconds * sample_rate).astype(np.int64)
    places[-1, 1] = n
    gaps = np.flatnonzero(places[1:, 0] != places[:-1, 1])
    if gaps.size:
        i = int(gaps[0])
        raise ValueError(
            f"seconds: a phone ends at {seconds[i, 1]:.4f} s and the next begins at "
            f"{seconds[i + 1, 0]:.4f} s, expected the same time (silence is a phone too)"
        )
    try:
        return tiling(places)
    except ValueError as error:
        raise ValueError(f"seconds: {error} (in samples at sample_rate {sample_rate:g})") from None
