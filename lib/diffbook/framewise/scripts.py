"""What is to be said: phones, their places, and what else is told of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffbook._checks import NON_NEGATIVE, reals, whole
from diffbook.datasets.aligned import spread, tiling


@dataclass(frozen=True, eq=False)
class Script:
    """What an utterance is conditioned on; whatever does not fit together is refused by its name.

    Parameters
    ----------
    phones : array_like, shape (p,), int64
        Indices from 1; 0 stands for none, as in generation without a text.
    intervals : array_like, shape (p, 2), int64
        First sample of each phone and the one after its last; they tile [0, n) and none is empty.
    tracks : array_like, shape (T, p), float64
        What else is told: one value for each phone in each of T tracks (energy, pitch), T = 0 for none.
    speaker : int, optional
        Index from 0; None for a network of one voice.
    """

    phones: NDArray[np.int64]
    intervals: NDArray[np.int64]
    tracks: NDArray[np.float64]
    speaker: int | None = None

    def __post_init__(self) -> None:
        phones = reals(self.phones, "phones", NON_NEGATIVE, ndim=1, hint="0 stands for none")
        if np.asarray(self.phones).dtype.kind not in "iu":
            raise ValueError(f"phones: got {self.phones!r:.80}, expected whole numbers")
        p, tracks = len(phones), np.asarray(self.tracks)
        if tracks.shape != (0, p):
            tracks = reals(tracks, "tracks", ndim=2)
        intervals = tiling(self.intervals)
        for name, found in (("intervals", len(intervals)), ("tracks", tracks.shape[1])):
            if found != p:
                raise ValueError(f"{name}: got {found}, expected one for each of {p} phones")
        if self.speaker is not None:
            object.__setattr__(self, "speaker", whole(self.speaker, "speaker", 0))
        object.__setattr__(self, "phones", phones.astype(np.int64))
        object.__setattr__(self, "intervals", intervals)
        object.__setattr__(self, "tracks", tracks.astype(np.float64, copy=False))

    @property
    def total(self) -> int:
        """Number of samples of the utterance."""
        return int(self.intervals[-1, 1])

    def within(self, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Conditions of the samples [start, stop): phones (stop - start,), tracks (T, stop - start).

        Only the phones that intersect them are looked at.
        """
        start = whole(start, "start", 0, self.total - 1)
        stop = whole(stop, "stop", start + 1, self.total)
        first = np.searchsorted(self.intervals[:, 1], start, side="right")
        last = np.searchsorted(self.intervals[:, 0], stop)
        begin = int(self.intervals[first, 0])
        where = self.intervals[first:last] - begin, start - begin, stop - begin
        tracks = self.tracks[:, first:last]
        # `spread` takes no empty array.
        told = spread(tracks, *where) if len(tracks) else np.zeros((0, stop - start))
        return spread(self.phones[first:last], *where), told
