"""Whether a joint of two frames can be told from any other place of a sound.

At each seam a measure of change is ranked among the same measure in its neighbourhood. Where a joint
is like any other place the ranks have mean 0.5: for a stationary sound exactly, whatever its spectrum;
a click has rank 1. Speech is not stationary and seams may lie at places of their own kind, so the
ranks at random places of the same sounds (:func:`random_ranks`) are the ones to compare with.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._checks import choice, generator, real, reals, whole
from diffbook._optional import need

MEASURES = ("difference", "residual", "flux")
#: Order of the linear prediction.
ORDER = 16
# Samples a second below which 10 ms are too few for the prediction.
_SLOWEST = 4000


def seam_ranks(
    x: ArrayLike, seams: ArrayLike, sample_rate: int, measure: str, *, window_ms: float = 50.0
) -> NDArray:
    """Rank in [0, 1] of the change at each seam among the places around it.

    The share of the other places that change less; a place that changes as much counts half.

    Parameters
    ----------
    x
        Sound (N,).
    seams
        Whole numbers (n,): the first sample of what is new. Each at least `window_ms` and 10 ms more
        from both ends.
    sample_rate
        Samples a second, at least 4000.
    measure
        `"difference"`: absolute difference to the sample before. A jump of the wave.
        `"residual"`: error of a linear prediction of order 16 (Burg's, of this neighbourhood), the
        larger one of two neighbouring samples. A jump, or a kink, of a wave that goes on smoothly.
        `"flux"`: difference of the spectra of the 10 ms before and after (Hann windows), root mean
        square over frequencies in decibel, 80 dB below the loudest as the floor; places are 1 ms
        apart. A change of the sound.
    window_ms
        Half the width of the neighbourhood, from 5 to 1000 ms.

    Returns
    -------
    ndarray, shape (n,)
    """
    x, sample_rate, window, margin = _door(x, sample_rate, measure, window_ms)
    seams = np.asarray(seams)
    if seams.dtype.kind not in "iu":
        raise ValueError(f"seams: expected whole numbers, got dtype {seams.dtype}")
    inside = f"[{margin}, {len(x) - margin}]"
    reals(seams, "seams", inside, ndim=1, hint="window_ms and 10 ms more from the ends")
    if measure == "residual":
        need("librosa", "metrics", "metrics.seam_ranks")
    change = {"difference": _difference, "residual": _residual, "flux": _flux}[measure]
    return np.array([_rank(change(x, int(place), window, sample_rate)) for place in seams])


def random_ranks(
    x: ArrayLike,
    n: int,
    sample_rate: int,
    measure: str,
    *,
    rng: int | np.random.Generator,
    window_ms: float = 50.0,
) -> NDArray:
    """Ranks at n random places, all equally likely, for comparison; parameters as in `seam_ranks`.

    The same generator gives the same places for each measure.
    """
    x, sample_rate, _, margin = _door(x, sample_rate, measure, window_ms)
    n, rng = whole(n, "n"), generator(rng)
    places = rng.integers(margin, len(x) - margin, size=n, endpoint=True)
    return seam_ranks(x, places, sample_rate, measure, window_ms=window_ms)


def _door(
    x: ArrayLike, sample_rate: int, measure: str, window_ms: float
) -> tuple[NDArray, int, int, int]:
    """Sound and rate, checked; samples of half a neighbourhood, and from the ends of the sound."""
    x, sample_rate = reals(x, "x", ndim=1), whole(sample_rate, "sample_rate", _SLOWEST)
    choice(measure, "measure", MEASURES)
    window = round(real(window_ms, "window_ms", "[5, 1000]") * sample_rate / 1000)
    margin = window + sample_rate // 100
    if len(x) < 2 * margin:
        raise ValueError(f"x: got {len(x)} samples, expected at least {2 * margin} for window_ms")
    return x, sample_rate, window, margin


def _rank(changes: NDArray) -> float:
    """Rank of the middle one among the others."""
    middle = len(changes) // 2
    others = np.delete(changes, middle)
    return float(np.mean(others < changes[middle]) + np.mean(others == changes[middle]) / 2.0)


def _difference(x: NDArray, place: int, window: int, _: int) -> NDArray:
    return np.abs(np.diff(x[place - window - 1 : place + window + 1]))


def _residual(x: NDArray, place: int, window: int, _: int) -> NDArray:
    from librosa import lpc
    from scipy.signal import lfilter

    part = x[place - window - ORDER : place + window + 2]
    error = np.abs(lfilter(lpc(part, order=ORDER), [1.0], part))[ORDER:]
    # Two samples at every place, not at the seam alone, whose rank would else be above 0.5.
    return np.maximum(error[:-1], error[1:])


def _flux(x: NDArray, place: int, window: int, sample_rate: int) -> NDArray:
    frame, step = sample_rate // 100, sample_rate // 1000
    places = place + step * np.arange(-(window // step), window // step + 1)
    hann = np.sin(np.pi * (np.arange(frame) + 0.5) / frame) ** 2
    frames = np.lib.stride_tricks.sliding_window_view(x, frame)
    before, after = (np.abs(np.fft.rfft(frames[at] * hann)) for at in (places - frame, places))
    loudest = max(before.max(), after.max())
    if loudest == 0.0:  # silence changes nowhere
        return np.zeros(len(places))
    before, after = (20.0 * np.log10(np.maximum(a, 1e-4 * loudest)) for a in (before, after))
    return np.sqrt(np.mean((after - before) ** 2, axis=1))
