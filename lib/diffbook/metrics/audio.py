"""How well speech was restored: the whole wave, its frames, its spectrum.

All compare with the clean sound of the same length, clip by clip. STOI and PESQ are left out: the
former needs 0.4 s of uninterrupted speech, more than a word has, the latter compiled code.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._checks import POSITIVE, real, reals, whole


def si_sdr(x: ArrayLike, x0: ArrayLike) -> NDArray:
    """Scale-invariant signal-to-distortion ratio of every sound, in decibel; larger is better.

    With `p` the projection of x on x0, `10 log10(|p|^2 / |x - p|^2)`. It is about the wave, phases
    included: a sound that is right but late has a poor ratio. Infinite where x is x0 times a number,
    minus infinity where nothing of x0 is in it.

    Source: Le Roux, Wisdom, Erdogan, Hershey 2019, equation 3.

    Parameters
    ----------
    x, x0
        Restored and clean sounds, both (n, N), none silent.

    Returns
    -------
    ndarray, shape (n,)
    """
    x, x0 = _pair(x, x0)
    silent = np.flatnonzero(~x.any(axis=1))
    if silent.size:
        raise ValueError(f"x[{silent[0]}]: expected a sound, got silence")
    factor = np.sum(x * x0, axis=1, keepdims=True) / np.sum(x0**2, axis=1, keepdims=True)
    target = factor * x0
    with np.errstate(divide="ignore"):
        return 10.0 * np.log10(np.sum(target**2, axis=1) / np.sum((x - target) ** 2, axis=1))


def segmental_snr(x: ArrayLike, x0: ArrayLike, frame: int = 256, range_db: float = 40.0) -> NDArray:
    """Mean over the frames with speech of their signal-to-noise ratio, in decibel; larger is better.

    Each frame counts with -10 dB at least and 35 dB at most, so that soft ones neither rule nor vanish.

    Source: Hansen, Pellom 1998; limits as in Hu, Loizou 2008, section II.

    Parameters
    ----------
    x, x0
        Restored and clean sounds, both (n, N), no x0 silent; N is at least `frame`.
    frame
        Samples of a frame, 256 are 32 ms at 8 kHz; they do not overlap, the rest is left out.
    range_db
        Frames of x0 that are weaker than its loudest by more than this, in decibel, are silence and
        left out.

    Returns
    -------
    ndarray, shape (n,), in [-10, 35]
    """
    x, x0 = _pair(x, x0)
    frame = whole(frame, "frame", 1, x.shape[1], hint="the sounds' length")
    range_db = real(range_db, "range_db", POSITIVE)
    count = x.shape[1] // frame
    noise, signal = (
        np.sum(part[:, : count * frame].reshape(len(x), count, frame) ** 2, axis=2)
        for part in (x - x0, x0)
    )
    spoken = signal > signal.max(axis=1, keepdims=True) * 10.0 ** (-range_db / 10.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = np.clip(10.0 * np.log10(signal / noise), -10.0, 35.0)
    return np.mean(snr, axis=1, where=spoken)


def log_spectral_distance(
    x: ArrayLike, x0: ArrayLike, window: int = 256, range_db: float = 60.0
) -> NDArray:
    """Distance of the spectra in decibel, phases left out; smaller is better, 0 for equal ones.

    Root mean square over frequencies of the difference of `20 log10 |X|`, mean over the frames of a
    short-time Fourier transform (Hann window, a quarter of it between frames). A faint hiss, instead of
    any word, may be nearer than a noisy word: it is to be read beside the other metrics.

    Source: Gray, Markel 1976.

    Parameters
    ----------
    x, x0
        Restored and clean sounds, both (n, N), no x0 silent; N is at least `window`.
    window
        Samples of a window, at least 4.
    range_db
        What is weaker than the loudest place of x0 by more than this, in decibel, counts as so weak,
        in both sounds: else silence would rule.

    Returns
    -------
    ndarray, shape (n,), in decibel
    """
    x, x0 = _pair(x, x0)
    window = whole(window, "window", 4, x.shape[1], hint="the sounds' length")
    range_db = real(range_db, "range_db", POSITIVE)
    a, b = _modulus(x, window), _modulus(x0, window)
    floor = b.max(axis=(1, 2), keepdims=True) * 10.0 ** (-range_db / 20.0)
    difference = 20.0 * np.log10(np.maximum(a, floor) / np.maximum(b, floor))
    return np.sqrt(np.mean(difference**2, axis=2)).mean(axis=1)


def _modulus(x: NDArray, window: int) -> NDArray:
    """Moduli of a short-time Fourier transform, shape (n, frames, frequencies)."""
    hann = np.sin(np.pi * np.arange(window) / window) ** 2
    frames = np.lib.stride_tricks.sliding_window_view(x, window, axis=1)[:, :: window // 4]
    return np.abs(np.fft.rfft(frames * hann))


def _pair(x: ArrayLike, x0: ArrayLike) -> tuple[NDArray, NDArray]:
    x0 = reals(x0, "x0", ndim=2)
    x = reals(x, "x", shape=x0.shape)
    silent = np.flatnonzero(~x0.any(axis=1))
    if silent.size:
        raise ValueError(f"x0[{silent[0]}]: expected a sound, got silence")
    return x, x0
