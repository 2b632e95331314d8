"""What a room does to speech: reverberation, and noise at a given strength.

Everything is drawn clip by clip from its own seed, so that a clip is degraded in the same way in any
batch, and all clips are computed together: 64 of them within milliseconds.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._checks import ANY, POSITIVE, real, reals, whole

SAMPLE_RATE = 8000


def impulse_responses(
    seeds: ArrayLike,
    length: int,
    rt60: Sequence[float] = (0.25, 0.8),
    direct_db: Sequence[float] = (0.0, 0.0),
    sample_rate: int = SAMPLE_RATE,
) -> NDArray[np.float32]:
    """Impulse responses of rooms: the direct path, then noise that decays exponentially.

    Polack's statistical model: `h = delta + a w(t) 10^(-3 t / RT60)` with white Gaussian w. It has no
    early reflections and one decay for all frequencies.

    Source: Polack 1988 (doctoral thesis, Le Mans); Habets 2007 (Eindhoven), section 2.4.

    Parameters
    ----------
    seeds
        One whole number of at least 0 for each room, shape (n,).
    length
        Samples of a response; what would come later is left out.
    rt60
        Lowest and highest time (s) after which the tail is weaker by 60 dB; uniform between.
    direct_db
        Lowest and highest energy of the direct path against the tail, in decibel; uniform between.
    sample_rate
        In hertz.

    Returns
    -------
    ndarray, shape (n, length), float32
        The direct path is 1 at sample 0.
    """
    seeds, length = _seeds(seeds), whole(length, "length", 2)
    rt60, direct_db = _range(rt60, "rt60", POSITIVE), _range(direct_db, "direct_db", ANY)
    t = np.arange(1, length, dtype=np.float32) / whole(sample_rate, "sample_rate")
    tails = np.empty((len(seeds), length), np.float32)
    for tail, seed in zip(tails, seeds, strict=True):
        rng = np.random.default_rng([0, seed])
        decay, ratio = rng.uniform(*rt60), rng.uniform(*direct_db)
        rng.standard_normal(out=tail[1:], dtype=np.float32)
        tail[1:] *= np.exp(t * np.float32(-3.0 * np.log(10.0) / decay))
        tail[1:] *= 10.0 ** (-ratio / 20.0) / np.linalg.norm(tail[1:])
    tails[:, 0] = 1.0
    return tails


def reverberate(
    x: ArrayLike,
    seeds: ArrayLike,
    rt60: Sequence[float] = (0.25, 0.8),
    direct_db: Sequence[float] = (0.0, 0.0),
    before: ArrayLike | None = None,
    sample_rate: int = SAMPLE_RATE,
) -> NDArray:
    """Play clips in random rooms, each in its own; the direct sound stays where and as it was.

    A short word in a silent room stays clear. What makes rooms hard is the tail of what was said
    before, so a word of `before` may end where the clip begins.

    Parameters
    ----------
    x
        Clips, shape (n, N).
    seeds, rt60, direct_db, sample_rate
        Rooms, as in `impulse_responses`.
    before
        Clips of which one is played before each of x, shape (m, N); None for silence. For a fair
        test they come from the split of x; all are checked each time, so some hundred are best.

    Returns
    -------
    ndarray, shape (n, N), of the kind of x
        What is heard during the clip; its peak may be above 1.
    """
    from scipy.fft import irfft, next_fast_len, rfft

    x, seeds = _clips(x, "x"), _seeds(seeds, len(x))
    n, reach = x.shape[1], x.shape[1]
    if before is not None:
        before, reach = _clips(before, "before", x), 2 * n
        x = np.concatenate([np.zeros_like(x), x], axis=1)
        for past, seed in zip(x[:, :n], seeds, strict=True):
            word = before[np.random.default_rng([2, seed]).integers(len(before))]
            word = word[: np.flatnonzero(word)[-1] + 1]
            past[n - len(word) :] = word
    h = impulse_responses(seeds, reach, rt60, direct_db, sample_rate).astype(x.dtype, copy=False)
    # What wraps around lands before the n samples that are kept.
    size = next_fast_len(reach + n, real=True)
    return irfft(rfft(x, size) * rfft(h, size), size)[:, reach - n : reach]


def add_noise(
    x: ArrayLike,
    seeds: ArrayLike,
    snr_db: Sequence[float],
    pool: ArrayLike | None = None,
    talkers: int = 6,
) -> NDArray:
    """Add noise of a random strength to clips: white, or a babble of other clips.

    Parameters
    ----------
    x
        Clips, shape (n, N), none silent.
    seeds
        One whole number of at least 0 for each clip, shape (n,).
    snr_db
        Lowest and highest ratio of signal to noise in decibel, uniform between; both powers are
        means over the whole clip.
    pool
        Clips to make babble of, shape (m, N): the sum of some of them, turned in time; None for white
        Gaussian noise. For a fair test they come from the split of x; some hundred are enough, and
        checked faster than thousands.
    talkers
        Clips in a babble.

    Returns
    -------
    ndarray, shape (n, N), of the kind of x
    """
    x, seeds = _clips(x, "x"), _seeds(seeds, len(x))
    snr_db, talkers = _range(snr_db, "snr_db", ANY), whole(talkers, "talkers")
    pool = None if pool is None else _clips(pool, "pool", x)
    noise = np.zeros_like(x)
    ratio = np.empty((len(x), 1), x.dtype)
    for i, seed in enumerate(seeds):
        rng = np.random.default_rng([1, seed])
        ratio[i] = rng.uniform(*snr_db)
        if pool is None:
            rng.standard_normal(out=noise[i], dtype=x.dtype)
        else:
            _babble(noise[i], pool, talkers, rng)
    power = np.mean(x**2, axis=1, keepdims=True) / np.mean(noise**2, axis=1, keepdims=True)
    return x + noise * np.sqrt(power) * 10.0 ** (-ratio / 20.0)


def to_peak(u: ArrayLike, x: ArrayLike) -> tuple[NDArray, NDArray]:
    """Scale what was heard to peak 1, and the clean clip by the same factor: what one would record.

    Parameters
    ----------
    u, x
        Degraded and clean clips, both (n, N), no u silent.

    Returns
    -------
    tuple of ndarray
        u and x, both divided by the largest modulus in u.
    """
    u = _clips(u, "u")
    x = _clips(x, "x", u)
    if len(u) != len(x):
        raise ValueError(f"x: got shape {x.shape}, expected that of u, {u.shape}")
    peak = np.abs(u).max(axis=1, keepdims=True)
    return u / peak, x / peak


def _babble(out: NDArray, pool: NDArray, talkers: int, rng: np.random.Generator) -> None:
    """Add random clips of equal power, each turned by a random time."""
    for k, shift in zip(rng.integers(len(pool), size=talkers),
                        rng.integers(pool.shape[1], size=talkers), strict=True):  # fmt: skip
        voice = pool[k] / np.linalg.norm(pool[k])
        out[shift:] += voice[: len(voice) - shift]
        out[:shift] += voice[len(voice) - shift :]


def _clips(clips: ArrayLike, name: str, like: NDArray | None = None) -> NDArray:
    """Clips (n, N) of float32 or float64, each with a sound; as long and of the kind of others."""
    reals(clips, name, ndim=2)
    found = np.asarray(clips)
    if like is not None:
        if found.shape[1] != like.shape[1]:
            raise ValueError(f"{name}: got shape {found.shape}, expected {like.shape[1]} samples")
        found = found.astype(like.dtype, copy=False)
    elif found.dtype not in (np.float32, np.float64):
        found = found.astype(np.float64)
    silent = np.flatnonzero(~found.any(axis=1))
    if silent.size:
        raise ValueError(f"{name}[{silent[0]}]: expected a sound, got silence")
    return found


def _seeds(seeds: ArrayLike, n: int | None = None) -> NDArray:
    found = np.asarray(seeds)
    if found.dtype.kind not in "iu" or found.ndim != 1 or not found.size or found.min() < 0:
        raise ValueError(
            f"seeds: got {seeds!r:.80}, expected whole numbers of at least 0, shape (n,)"
        )
    if n is not None and len(found) != n:
        raise ValueError(f"seeds: got {len(found)}, expected one for each of {n} clips")
    return found


def _range(ends: Sequence[float], name: str, interval: str) -> tuple[float, float]:
    low, high = reals(ends, name, interval, shape=(2,))
    if low > high:
        raise ValueError(f"{name}: got {ends!r}, expected the lowest first")
    return real(low, name), real(high, name)
