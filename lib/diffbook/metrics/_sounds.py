"""Checks of single sounds, shared by the metrics of voices."""

from __future__ import annotations

from numpy.typing import ArrayLike, NDArray

from diffbook._checks import choice, reals

SAMPLE_RATES = (8000, 16000)


def pair(
    x: ArrayLike, x0: ArrayLike, sample_rate: int, *, same: bool = True
) -> tuple[NDArray, NDArray]:
    """Return two sounds, of one length if `same`."""
    x, x0 = sound(x, "x", sample_rate), sound(x0, "x0", sample_rate)
    if same and x.shape != x0.shape:
        raise ValueError(f"x: expected {len(x0)} samples as in x0, got {len(x)}")
    return x, x0


def sound(x: ArrayLike, name: str, sample_rate: int) -> NDArray:
    """Return one sound (N,) of a known rate, long enough for a window."""
    choice(sample_rate, "sample_rate", SAMPLE_RATES)
    x = reals(x, name, ndim=1)
    if len(x) < 64 * sample_rate // 1000:
        raise ValueError(f"{name}: expected at least 64 ms of sound, got {len(x)} samples")
    return x
