"""Pitch tracks of voices, and how one differs from another.

Sounds are single utterances (N,) as in :mod:`diffbook.metrics.voice`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._checks import reals
from diffbook._optional import need
from diffbook.metrics._sounds import pair, sound


@dataclass(frozen=True)
class PitchErrors:
    """How one pitch track differs from another; all but the last where both are voiced.

    Parameters
    ----------
    rmse_hz
        Root mean square difference, in Hz.
    gross
        Share of frames that are more than 20 % off (GPE20), in [0, 1].
    fine_cents
        Root mean square difference of the other frames, in cents (1,200 are an octave).
    median_cents
        Median of the absolute difference, in cents.
    log_correlation
        Correlation of the logarithms, in [-1, 1].
    voicing_error
        Share of frames that are voiced in one track only, in [0, 1].
    """

    rmse_hz: float
    gross: float
    fine_cents: float
    median_cents: float
    log_correlation: float
    voicing_error: float


def pitch(
    x: ArrayLike, sample_rate: int, *, span: tuple[float, float] = (70.0, 450.0)
) -> tuple[NDArray, NDArray]:
    """Track of the fundamental frequency, every 10 ms: (f0, voiced).

    Source: Mauch, Dixon 2014 (pYIN), as in librosa, windows of 64 ms; f0 comes in steps of 10 cents.

    Parameters
    ----------
    x
        Sound (N,).
    sample_rate
        8000 or 16000 Hz.
    span
        Lowest and highest frequency that are looked for, in Hz, from 40 to an eighth of the rate.

    Returns
    -------
    f0 : ndarray, shape (frames,), float64
        In Hz; not-a-number where no voice is heard.
    voiced : ndarray, shape (frames,), bool
    """
    x = sound(x, "x", sample_rate)
    low, high = reals(span, "span", f"[40, {sample_rate // 8}]", shape=(2,), hint="Hz")
    if low >= high:
        raise ValueError(f"span: got {span!r}, expected the lower frequency first")
    need("librosa", "metrics", "metrics.pitch")
    from librosa import pyin

    f0, voiced, _ = pyin(
        x, fmin=low, fmax=high, sr=sample_rate, frame_length=64 * sample_rate // 1000,
        hop_length=sample_rate // 100,
    )  # fmt: skip
    return f0, voiced


def pitch_errors(x: ArrayLike, x0: ArrayLike, sample_rate: int) -> PitchErrors:
    """Errors of the pitch of x, beside that of x0 at the same time; both (N,), tracked by `pitch`."""
    x, x0 = pair(x, x0, sample_rate)
    return track_errors(pitch(x, sample_rate)[0], pitch(x0, sample_rate)[0])


def track_errors(track: ArrayLike, track0: ArrayLike) -> PitchErrors:
    """Errors of a pitch track, for tracks that are there already.

    A value is not-a-number where no frame is left for it (for the correlation: not two, or one track
    is constant there).

    Parameters
    ----------
    track, track0
        Frequencies in Hz (frames,), positive; not-a-number where nothing is voiced.
    """
    form = {"nan": True, "hint": "Hz, or not-a-number where nothing is voiced"}
    track = reals(track, "track", "(0, inf)", ndim=1, **form)
    track0 = reals(track0, "track0", "(0, inf)", shape=track.shape, **form)
    voiced, voiced0 = ~np.isnan(track), ~np.isnan(track0)
    f, f0 = track[voiced & voiced0], track0[voiced & voiced0]
    cents = 1200.0 * np.log2(f / f0)
    gross = np.abs(f / f0 - 1.0) > 0.2
    varied = f.size > 1 and np.ptp(f) > 0 and np.ptp(f0) > 0
    return PitchErrors(
        rmse_hz=_or_nan(f - f0, _rms),
        gross=_or_nan(gross, np.mean),
        fine_cents=_or_nan(cents[~gross], _rms),
        median_cents=_or_nan(np.abs(cents), np.median),
        log_correlation=float(np.corrcoef(np.log(f), np.log(f0))[0, 1]) if varied else np.nan,
        voicing_error=float(np.mean(voiced != voiced0)),
    )


def _rms(values: NDArray) -> float:
    return np.sqrt(np.mean(values**2))


def _or_nan(values: NDArray, statistic: Callable[[NDArray], float]) -> float:
    return float(statistic(values)) if values.size else np.nan
