"""How a voice speaks: timbre, loudness, noise, intelligibility, and errors of phones.

For speech that was generated, beside a recording of the same text (`x` and `x0`) or beside other
draws of it: no wave is expected to agree, as in :mod:`diffbook.metrics.audio`. Sounds are single
utterances (N,) of 8,000 or 16,000 Hz, full scale 1, at least 64 ms long; utterances differ in length,
so there are no batches. Definitions keep their milliseconds at either rate. Pitch is in
:mod:`diffbook.metrics.intonation`, joints are in :mod:`diffbook.metrics.seams`.

Left out, since they come as C code to be compiled: PESQ, and analysis with synthesis by WORLD.
librosa compiles itself when it is used first, which takes up to a minute, once for an installation.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._checks import real
from diffbook._optional import need
from diffbook.metrics._sounds import pair, sound

#: Bands of the mel spectrum: as wide at 8 kHz as at 16 kHz, so fewer.
MEL_BANDS = {8000: 64, 16000: 80}
#: Cosines of the log-mel spectrum that count; the one before them is loudness.
CEPSTRA = slice(1, 14)
#: Levels count as at least so high, in dB of full scale: silence in a computer has none.
LOWEST_DB = -100.0
# Amplitudes in a mel band count as at least so much, what white noise of about -95 dB has there.
_LEAST = 1e-5


@dataclass(frozen=True)
class PhoneErrors:
    """Errors over all utterances: `rate` is their sum over the number of phones that were spoken."""

    rate: float
    substitutions: int
    deletions: int
    insertions: int
    spoken: int


def mel_cepstral_distance(
    x: ArrayLike, x0: ArrayLike, sample_rate: int, *, aligned: bool = True
) -> float:
    """Mel-cepstral distortion (MCD), mean over frames, in decibel; loudness is left out.

    `20 / (ln(10) sqrt(B)) |d - d0|` with the cosines 1 to 13 (orthonormal DCT) of the natural
    logarithm of B mel amplitudes: the root mean square over bands of the difference in decibel of the
    two smooth spectra. Windows of 25 ms, 5 ms apart; B is 80 at 16 kHz, 64 of the same width at 8 kHz.

    Source: Kubichek 1993, with filters instead of a mel-generalised cepstrum, so that values compare
    with each other and not with those of other definitions.

    Parameters
    ----------
    x, x0
        Sounds (N,) and (M,); of one length if `aligned`.
    sample_rate
        8000 or 16000 Hz.
    aligned
        Compare frames of the same time, or else those that dynamic time warping brings together
        (least sum of distances, steps of one frame); then the mean is over the steps of the path.
    """
    x, x0 = pair(x, x0, sample_rate, same=aligned)
    need("librosa", "metrics", "metrics.mel_cepstral_distance")
    a, b = _cepstra(x, sample_rate), _cepstra(x0, sample_rate)
    if not aligned:
        from librosa.sequence import dtw

        path = dtw(a, b)[1]
        a, b = a[:, path[:, 0]], b[:, path[:, 1]]
    scale = 20.0 / (np.log(10.0) * np.sqrt(MEL_BANDS[sample_rate]))
    return float(scale * np.linalg.norm(a - b, axis=0).mean())


def _cepstra(x: NDArray, sample_rate: int) -> NDArray:
    from librosa.feature import melspectrogram
    from scipy.fft import dct

    mel = melspectrogram(
        y=x, sr=sample_rate, power=1.0, n_mels=MEL_BANDS[sample_rate], n_fft=64 * sample_rate // 1000,
        win_length=sample_rate // 40, hop_length=sample_rate // 200,
    )  # fmt: skip
    return dct(np.log(np.maximum(mel, _LEAST)), axis=0, norm="ortho")[CEPSTRA]


def energy_rmse(
    x: ArrayLike, x0: ArrayLike, sample_rate: int, *, threshold_db: float = -60.0
) -> float:
    """Root mean square difference of the levels of 10 ms pieces, in decibel.

    Parameters
    ----------
    x, x0
        Sounds (N,).
    sample_rate
        8000 or 16000 Hz.
    threshold_db
        Pieces count where x0 is louder than this, in dB of full scale; x0 must have some.
    """
    x, x0 = pair(x, x0, sample_rate)
    threshold_db = real(threshold_db, "threshold_db")
    level, level0 = _levels(x, sample_rate), _levels(x0, sample_rate)
    loud = level0 > threshold_db
    if not loud.any():
        raise ValueError(
            f"x0: got {level0.max():.0f} dB at most, expected a sound above threshold_db = {threshold_db:g}"
        )
    return float(np.sqrt(np.mean((level[loud] - level0[loud]) ** 2)))


def noise_floor(x: ArrayLike, sample_rate: int) -> float:
    """5th percentile of the level of 10 ms pieces of x (N,), in dB of full scale: noise in pauses."""
    return float(np.percentile(_levels(sound(x, "x", sample_rate), sample_rate), 5.0))


def _levels(x: NDArray, sample_rate: int) -> NDArray:
    """Levels of pieces of 10 ms, in dB of full scale; a rest is left out."""
    size = sample_rate // 100
    power = np.mean(x[: len(x) // size * size].reshape(-1, size) ** 2, axis=1)
    return 10.0 * np.log10(np.maximum(power, 10.0 ** (LOWEST_DB / 10.0)))


def intelligibility(x: ArrayLike, x0: ArrayLike, sample_rate: int) -> float:
    """Return the extended short-time objective intelligibility (ESTOI), 1 for equal sounds.

    Needs 0.4 s of x0 that are within 40 dB of its loudest place. At 8 kHz the highest of its bands
    (3.4 to 4.3 kHz) is cut.

    Source: Jensen, Taal 2016, by pystoi.

    Parameters
    ----------
    x, x0
        Sounds (N,).
    sample_rate
        8000 or 16000 Hz; resampled to 10 kHz.
    """
    x, x0 = pair(x, x0, sample_rate)
    if not x0.any():
        raise ValueError("x0: expected a sound, got silence")
    need("pystoi", "metrics", "metrics.intelligibility")
    from pystoi import stoi

    # pystoi adds global noise of 1e-16, which alone would rule where a band is silent. This noise
    # (-160 dB), the same in both sounds and at every call, is there first.
    dither = 1e-8 * np.random.default_rng(2016).standard_normal(x.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(stoi(x0 + dither, x + dither, sample_rate, extended=True))
        except RuntimeWarning:
            raise ValueError(
                "x0: expected 0.4 s of speech within 40 dB of its loudest place; join short sounds"
            ) from None


def phone_error_rate(
    found: Sequence[Sequence[str]], spoken: Sequence[Sequence[str]]
) -> PhoneErrors:
    """Errors of recognised phones per spoken phone, over all utterances; least edits (jiwer).

    Parameters
    ----------
    found, spoken
        Names of phones, a list for each utterance, without blanks; nothing may be found, but
        something must be spoken. Take silences out before, or they count.
    """
    spoken = _texts(spoken, "spoken")
    found = _texts(found, "found")
    if len(found) != len(spoken):
        raise ValueError(f"found: got {len(found)} utterances, expected {len(spoken)} as in spoken")
    if not all(spoken):
        raise ValueError(f"spoken[{spoken.index('')}]: expected at least one phone, got none")
    need("jiwer", "metrics", "metrics.phone_error_rate")
    from jiwer import process_words

    edits = process_words(spoken, found)
    return PhoneErrors(
        edits.wer, edits.substitutions, edits.deletions, edits.insertions,
        edits.hits + edits.substitutions + edits.deletions,
    )  # fmt: skip


def _texts(utterances: Sequence[Sequence[str]], name: str) -> list[str]:
    """Each utterance as one text, phones between blanks."""
    if isinstance(utterances, str) or not len(utterances):
        raise ValueError(
            f"{name}: got {utterances!r}, expected a list of phones for each utterance"
        )
    for i, phones in enumerate(utterances):
        if isinstance(phones, str):
            raise ValueError(f"{name}[{i}]: got {phones!r}, expected a list of names of phones")
        for phone in phones:
            if not isinstance(phone, str) or phone.split() != [phone]:
                raise ValueError(
                    f"{name}[{i}]: got the phone {phone!r}, expected a name without blanks (silence "
                    "without a name is to be taken out)"
                )
    return [" ".join(phones) for phones in utterances]


def pairwise(metric: Callable[[Any, Any], float], sounds: Sequence[Any]) -> float:
    """Mean of a metric over all pairs of draws of one text: how much a model varies.

    Parameters
    ----------
    metric
        Takes two of the draws, the earlier one first, and returns a number.
    sounds
        At least two draws: sounds, or what was found of them before, such as pitch tracks.
    """
    if len(sounds) < 2:
        raise ValueError(f"sounds: got {len(sounds)}, expected at least two to compare")
    return float(np.mean([metric(a, b) for a, b in combinations(sounds, 2)]))
