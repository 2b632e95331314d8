r"""Frames of a long signal: what each knows of the one before, and where each begins and ends.

A signal is cut into frames x^l that overlap, and is modelled as a Markov chain over frames,

    p(x | y) = p(x^1 | y^1) prod_{l >= 2} p(x^l | x^{l-1}, y^l),

where x^{l-1} enters by its last samples alone: the known overlap H x^{l-1}.

Source: Benita, Elad, Keshet 2023 (arXiv 2310.01381), eqs. 1 and 2; the rules of overlaps and of the
schedule are those of its released code, with its faults mended (see `plan`).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._checks import POSITIVE, reals, whole
from diffbook.datasets.aligned import tiling


@dataclass(frozen=True)
class Frame:
    """Samples [start, stop) of a signal; the first `overlap` of them are known when it is made."""

    start: int
    stop: int
    overlap: int

    def __post_init__(self) -> None:
        start = whole(self.start, "start", 0)
        size = whole(self.stop, "stop", start + 1, hint="no frame is empty") - start
        whole(self.overlap, "overlap", 0, size - 1, "every frame has a new sample")

    @property
    def new(self) -> int:
        """Number of samples that this frame adds to the signal."""
        return self.stop - self.start - self.overlap


# --- the known overlap --------------------------------------------------------------------------


def known(x_before: ArrayLike, overlap: int, length: int) -> NDArray:
    """Return what a frame knows of the one before: H x^{l-1} (eq. 2).

    Parameters
    ----------
    x_before : array_like, shape (..., m)
        Frame before, or any end of the signal that holds the overlap.
    overlap : int
        Number of samples L_o that the two frames share, from 0 to m and below `length`.
    length : int
        Length L of the new frame.

    Returns
    -------
    ndarray, shape (..., length)
        The last `overlap` samples of `x_before` at the front, zeros behind them; dtype kept.
    """
    reals(x_before, "x_before", hint="the signal so far must be finite")
    before, length = np.asarray(x_before), whole(length, "length")
    if before.ndim == 0:
        raise ValueError("x_before: got a single number, expected samples (..., m)")
    m = before.shape[-1]
    overlap = whole(overlap, "overlap", 0, min(m, length - 1), "x_before must hold it")
    found = np.zeros((*before.shape[:-1], length), before.dtype)
    found[..., :overlap] = before[..., m - overlap :]
    return found


def overlap_matrix(length: int, overlap: int) -> NDArray[np.float64]:
    """H as a matrix (length, length) of zeros and ones: ``H @ x == known(x, overlap, length)``."""
    length = whole(length, "length")
    return np.eye(length, k=length - whole(overlap, "overlap", 0, length - 1))


def training_overlap(ends: ArrayLike, start: int, length: int, limit: int) -> int:
    """Overlap of a training pair: about a third of the phones in a crop of a recording.

    The n phones that intersect the crop are counted, those that its borders cut included. The known
    part ends with the k-th of them, ``k = ceil(n / 3)``, with fewer where that is more than `limit`, and
    inside the first where even one is too long. A pair is the crop and the crop with zeros from there.

    Parameters
    ----------
    ends : array_like, shape (p,)
        Where the phones of the recording end, in samples, strictly increasing from above 0.
    start, length : int
        The crop [start, start + length), which must lie in the recording.
    limit : int
        Most samples that may be known, from 0 to `length`; half of the crop in the paper.

    Returns
    -------
    int
    """
    found = reals(ends, "ends", POSITIVE, ndim=1)
    if np.asarray(ends).dtype.kind not in "iu" or np.any(found[1:] <= found[:-1]):
        raise ValueError("ends: expected whole numbers that increase strictly, one for each phone")
    n = int(found[-1])
    start = whole(start, "start", 0, n - 1)
    length = whole(length, "length", 1, n - start, "the crop must lie in the recording")
    limit = whole(limit, "limit", 0, length)
    return _training_overlap(np.asarray(ends), start, start + length, limit)


def _training_overlap(ends: Sequence[int], start: int, stop: int, limit: int) -> int:
    first, last = bisect_right(ends, start), bisect_left(ends, stop)
    k = -(-(last - first + 1) // 3)
    while k > 1 and ends[first + k - 1] - start > limit:
        k -= 1
    return min(int(ends[first + k - 1]) - start, limit)


# --- the schedule of generation -----------------------------------------------------------------


def plan(
    intervals: Iterable[Sequence[int]], length: int, limit: int | None = None
) -> Iterator[Frame]:
    """Plan the frames of an utterance from the places of its phones.

    1. **End.** A frame ends with the phone that brings its length nearest to `length`, the later at a
       tie, among lengths above ``length / 2`` and up to ``5 length / 4``. Where the rest of the
       utterance is not longer than that, it ends with the utterance. Where a phone is so long that
       no end is in that range, the phone is cut and the frame has `length` samples.
    2. **Overlap.** Of the n phones of a frame, the next frame knows the last ``ceil(n / 3)``, fewer
       where they have more than `limit` samples, and the last `limit` samples where even one phone has.
    3. **As in training.** While the overlap is longer than `training_overlap` would allow in the new
       frame, within half of that frame, the frame begins one phone later; one phone is kept.

    **Bounds.** By 1 no frame is longer than ``length + length // 4``, and a frame that is not the last
    has more than ``length // 2`` samples before 3 moves its beginning. An overlap has at most
    ``length // 2``, and 3 moves the beginning within it. So each frame ends later than the one before:
    it has at least one new sample, every sample is new once, and the plan ends. A phone of at most
    ``length / 2`` is never cut by an end, and an overlap is at most
    ``training_overlap(ends, start, stop - start, limit)``.

    These are the rules of the released code with its faults mended. There most utterances end with a
    frame without new samples, a last phone of ``length / 2`` or more is planned for ever, and frames have
    no longest length. The last frame takes a short rest here: it would be a frame of its own, much
    shorter than those of training.

    Parameters
    ----------
    intervals : iterable of (int, int)
        First sample of each phone and the one after its last, tiling [0, n). An array is checked at
        once. Of an iterator no more is read than a frame needs: `length` + ``length // 4`` samples from
        the frame's beginning and the phone after them, so a plan needs no more memory for a long text.
    length : int
        Wanted length L of a frame in samples, at least 2; that of training.
    limit : int, optional
        Longest overlap, from 0 to ``length // 2``, which is the default. With 0 frames are independent.

    Returns
    -------
    iterator of Frame
        The first frame has no overlap.

    Raises
    ------
    ValueError
        Naming the argument at fault; for an iterator of intervals when the fault is read.
    """
    length = whole(length, "length", 2)
    half = length // 2
    limit = half if limit is None else whole(limit, "limit", 0, half, "half a frame")
    if hasattr(intervals, "__len__"):
        return _plan(iter(tiling(intervals)[:, 1].tolist()), length, limit)
    return _plan(_ends(intervals), length, limit)


def _ends(intervals: Iterable[Sequence[int]]) -> Iterator[int]:
    """Hand on ends of intervals as they come, each of which must begin where the one before ends."""
    end, i = 0, -1
    for i, (first, last) in enumerate(intervals):
        if first != end:
            raise ValueError(f"intervals[{i}]: begins at {first!r}, expected {end}")
        end = whole(last, f"intervals[{i}][1]", end + 1, hint="no phone is empty")
        yield end
    if i < 0:
        raise ValueError("intervals: got none, expected at least one phone")


def _plan(coming: Iterator[int], length: int, limit: int) -> Iterator[Frame]:
    longest = length + length // 4
    ends, start, stop = deque(), 0, 0  # phones that end after `start`, as far as they are read
    more = True
    while True:
        while more and not (ends and ends[-1] > start + longest):
            end = next(coming, None)
            more = end is not None
            if more:
                ends.append(end)
        overlap, stop = stop - start, _stop(ends, start, length)
        while overlap > _training_overlap(ends, start, stop, min(limit, (stop - start) // 2)):
            if ends[0] >= start + overlap:
                break
            overlap -= ends[0] - start
            start = ends.popleft()
        yield Frame(start, stop, overlap)
        if not more and stop == ends[-1]:
            return
        inside = [end for end in ends if end < stop]
        share = -(-(len(inside) + 1) // 3)
        start = next((end for end in inside[-share:] if stop - end <= limit), stop - limit)
        while ends[0] <= start:
            ends.popleft()


def _stop(ends: Sequence[int], start: int, length: int) -> int:
    """Return the end of a frame: `ends` reach further than its longest, or to the last phone."""
    longest = length + length // 4
    if ends[-1] - start <= longest:
        return ends[-1]
    near = (end for end in ends if length // 2 < end - start <= longest)
    return min(near, key=lambda end: (abs(end - start - length), -end), default=start + length)


def plan_fixed(total: int, length: int, overlap: int) -> Iterator[Frame]:
    """Plan frames of one length with one overlap; the last is cut where `total` samples are met.

    Parameters
    ----------
    total : int
        Samples of the signal.
    length : int
        Samples of a frame.
    overlap : int
        Samples that it shares with the one before, from 0 (independent frames) to ``length - 1``.

    Returns
    -------
    iterator of Frame
    """
    total, length = whole(total, "total"), whole(length, "length")
    overlap = whole(overlap, "overlap", 0, length - 1)

    def frames() -> Iterator[Frame]:
        yield Frame(0, min(length, total), 0)
        for start in range(length - overlap, total - overlap, length - overlap):
            yield Frame(start, min(start + length, total), overlap)

    return frames()
