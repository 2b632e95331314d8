"""Sound as an image: the compressed complex spectrogram with its exact inverse, and log-mel energies.

The compressed spectrogram is what diffusion models of speech work on, the log-mel energies are what
classifiers of speech look at.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._arrays import array_namespace, check_signals, device
from diffbook._checks import POSITIVE, choice, real, reals, whole

#: Samples of a window and between two of them; at 8 kHz 32 ms and 16 ms.
WINDOW, HOP = 254, 128
#: Frequencies, from 0 to half the sample rate.
BINS = WINDOW // 2 + 1
#: Compression `FACTOR |X|^EXPONENT e^(i angle)`.
EXPONENT, FACTOR = 0.5, 0.15
#: No number of the spectrogram of a sound in [-1, 1] is larger.
LIMIT = FACTOR * (WINDOW / 2) ** EXPONENT
# A frame reaches over its hop by this on either side, so that N samples make exactly N / HOP frames.
_MARGIN = (WINDOW - HOP) // 2
_HANN = np.sin(np.pi * np.arange(WINDOW) / WINDOW) ** 2


def spectrogram(x: ArrayLike) -> NDArray:
    """Compressed complex short-time Fourier transform, as real numbers.

    With X the transform (Hann window of `WINDOW` samples, every `HOP`), `z = 0.15 |X|^0.5 e^(i angle X)`.

    Source: Richter, Welker, Lemercier, Lay, Gerkmann 2023 (SGMSE+), section III-C; Nurko et al. 2026
    take it over.

    Parameters
    ----------
    x
        Sounds, shape (n, N); N is a multiple of `HOP`.

    Returns
    -------
    ndarray, shape (n, 2 BINS, N / HOP), of the kind of x
        Real parts of all frequencies, then imaginary parts; in [-LIMIT, LIMIT] if x is in [-1, 1].
    """
    from scipy.fft import rfft

    reals(x, "x", ndim=2)
    x = np.asarray(x)
    x = x if x.dtype in (np.float32, np.float64) else x.astype(np.float64)
    if x.shape[1] % HOP:
        raise ValueError(f"x: got {x.shape[1]} samples, expected a multiple of {HOP}")
    padded = np.pad(x, ((0, 0), (_MARGIN, _MARGIN)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=1)[:, ::HOP]
    z = rfft(frames * _HANN.astype(x.dtype))
    z *= FACTOR * _power(np.abs(z), EXPONENT - 1.0)
    z = np.moveaxis(z, 2, 1)
    return np.concatenate([z.real, z.imag], axis=1)


def waveform(z: ArrayLike) -> NDArray:
    """Sound of a compressed spectrogram, the inverse of `spectrogram`.

    A z that is no sound's spectrogram gives the sound whose transform is nearest in least squares
    (before compression).

    Source: Griffin, Lim 1984, equation 6.

    Parameters
    ----------
    z
        Shape (n, 2 BINS, T), as `spectrogram` gives it.

    Returns
    -------
    ndarray, shape (n, T HOP), of the kind of z
    """
    from scipy.fft import irfft

    z = _parts(z)
    x = np.moveaxis(z[:, :BINS] + 1j * z[:, BINS:], 1, 2) / FACTOR
    x *= _power(np.abs(x), 1.0 / EXPONENT - 1.0)
    frames = irfft(x, WINDOW) * _HANN.astype(z.dtype)
    weights = np.broadcast_to(_HANN.astype(z.dtype) ** 2, frames[:1].shape)
    inside = slice(_MARGIN, _MARGIN + HOP * frames.shape[1])
    return _overlap(frames)[:, inside] / _overlap(weights)[:, inside]


def mel_filters(mels: int = 32, sample_rate: int = 8000) -> NDArray[np.float64]:
    """Triangles of height 1, evenly spaced in mel from 0 to half the sample rate.

    `mel = 2595 log10(1 + f / 700)`.

    Source: O'Shaughnessy 1987; the triangles as in Davis, Mermelstein 1980.

    Parameters
    ----------
    mels
        Number of filters, 2 to 40: more would lie between the frequencies.
    sample_rate
        In hertz.

    Returns
    -------
    ndarray, shape (mels, BINS)
    """
    mels = whole(mels, "mels", 2, 40)
    half = whole(sample_rate, "sample_rate") / 2.0
    edges = 700.0 * (10.0 ** (np.linspace(0, 2595 * np.log10(1 + half / 700), mels + 2) / 2595) - 1)
    f = np.linspace(0.0, half, BINS)
    rise = (f - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - f) / np.diff(edges)[1:, None]
    return np.maximum(0.0, np.minimum(rise, fall))


def log_mel(z: Any, mels: int = 32, range_db: float = 40.0, sample_rate: int = 8000) -> Any:
    """Log-mel energies of compressed spectrograms, against the loudest of each clip.

    0 dB is 1, and `range_db` below it and all that is weaker is 0: the loudness of a clip is of no
    importance, and silence is no infinity. Whisper's input is made in this way, with 80 dB; clips in
    perfect silence need less, or the faintest noise is news to a classifier.

    Source: Radford et al. 2022, section 2.2, and their code.

    Parameters
    ----------
    z
        Shape (n, 2 BINS, T), NumPy or torch, as `spectrogram` gives it.
    mels, sample_rate
        As in `mel_filters`.
    range_db
        Decibels from 1 to 0, positive.

    Returns
    -------
    array, shape (n, mels, T), of the kind of z, in [0, 1]
    """
    range_db = real(range_db, "range_db", POSITIVE)
    filters = mel_filters(mels, sample_rate)
    if isinstance(z, np.ndarray):
        z = _parts(z)
    check_signals(z, "z", tuple(z.shape[1:]))
    choice(z.shape[1], "z: channels", (2 * BINS,))
    xp = array_namespace(z)
    weights = xp.asarray(filters, dtype=z.dtype, device=device(z))
    power = ((z[:, :BINS] ** 2 + z[:, BINS:] ** 2) / FACTOR**2) ** (1.0 / EXPONENT)
    mel = weights @ power
    loudest = xp.max(xp.reshape(mel, (mel.shape[0], -1)), axis=1)[:, None, None]
    # The floor is far below the weakest sound, and lets silence be silent.
    floor = loudest * 10.0 ** (-range_db / 10.0) + 1e-20
    level = 10.0 * xp.log10(xp.maximum(mel, floor) / (loudest + 1e-20))
    return xp.clip(1.0 + level / range_db, 0.0, 1.0)


def _power(modulus: NDArray, exponent: float) -> NDArray:
    """Power of moduli; 0 where they are 0, whatever the exponent."""
    with np.errstate(divide="ignore"):
        return np.where(modulus > 0.0, modulus**exponent, 0.0).astype(modulus.dtype)


def _overlap(frames: NDArray) -> NDArray:
    """Add frames (n, T, WINDOW) at their places."""
    n, count, _ = frames.shape
    out = np.zeros((n, count + 1, HOP), frames.dtype)
    out[:, :-1] += frames[..., :HOP]
    out[:, 1:, : WINDOW - HOP] += frames[..., HOP:]
    return out.reshape(n, -1)


def _parts(z: ArrayLike) -> NDArray:
    reals(z, "z", ndim=3)
    z = np.asarray(z)
    if z.shape[1] != 2 * BINS:
        raise ValueError(f"z: got shape {z.shape}, expected (n, {2 * BINS}, T)")
    return z if z.dtype in (np.float32, np.float64) else z.astype(np.float64)
