"""What the trained network says, and how it is scored: scripts, samplers, scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from chapters.diffar.steps import ALPHA_BAR, LENGTH, LIMIT, RATE, TOLD, corpus, tracks
from diffbook import framewise, schedules
from diffbook.datasets import aligned
from diffbook.datasets.aligned import SILENCE, SYMBOLS, Clip
from diffbook.framewise import Script, plan
from diffbook.metrics import audio, intonation, seams, voice
from diffbook.priors import GaussianPrior
from diffbook.samplers import ddim, ddpm

#: Samples of a window of the log-spectral distance: 64 ms, as for the authors' audio.
WINDOW = 512


class Setting(NamedTuple):
    """How utterances are generated."""

    told: str = "+P"  # a kind of TOLD
    sampler: str = (
        "ddpm"  # or "ddim", on all levels of training or every so many; see `levels` for more
    )
    S: int = 200
    limit: int = LIMIT  # longest overlap in samples; with 0 frames share nothing
    context: str = "own"  # what was generated before, or "recording", or "none": zeros


def script(clip: Clip, told: str = "+P") -> Script:
    """Tell what a clip says, as far as `told` allows."""
    flags = TOLD[told]
    level = tracks(clip) * np.array(flags[1:], float)[:, None]
    return Script(aligned.indices(clip.phones, SYMBOLS) * flags[0], clip.intervals, level)


def cut(clip: Clip, first: int, last: int) -> Clip:
    """Phones first to last of a clip, with their samples."""
    places = clip.intervals[first:last]
    samples = clip.samples[places[0, 0] : places[-1, 1]]
    here = {"phones": clip.phones[first:last], "intervals": places - places[0, 0]}
    return replace(clip, samples=samples, **here)


def joined(clips: list[Clip]) -> Clip:
    """Say several clips one after the other, with the pitch of the first."""
    places, end = [], 0
    for clip in clips:
        places.append(clip.intervals + end)
        end += len(clip.samples)
    samples = np.concatenate([clip.samples for clip in clips])
    phones = sum((clip.phones for clip in clips), ())
    return Clip(samples, phones, np.concatenate(places), RATE, f0=clips[0].f0)


@cache
def spectrum() -> NDArray:
    """Variances of the Fourier modes of 50 ms of training speech, silences included."""
    sound = np.concatenate([clip.samples for clip in corpus("train", 100)])
    pieces = sound[: len(sound) // 400 * 400].reshape(-1, 400).astype(float)
    return GaussianPrior.estimated(pieces, mean="zero").lam


@cache
def levels(sampler: str, S: int) -> NDArray:
    """Schedule of a sampler: levels of training, and the clean end.

    "spectral" is DDIM on the schedule designed for speech, "even" on steps even in the logarithm of the
    signal-to-noise ratio between the same ends; those that fall on one level of training are one.
    """
    if sampler == "spectral":
        lam = spectrum()
        ends = {"eps_0": 1.0 - ALPHA_BAR[0], "eps_S": ALPHA_BAR[-1]}
        wanted = schedules.design_schedule(lam[lam > 0.0], S - 1, **ends).schedule
    elif sampler == "even":
        odds = ALPHA_BAR[[0, -1]] / (1.0 - ALPHA_BAR[[0, -1]])
        snr = np.geomspace(*odds, S)
        wanted = snr / (1.0 + snr)
    else:
        return schedules.ddpm_respaced(S, len(ALPHA_BAR))
    # A step between two of training is embedded unlike any that the network has seen.
    _, trained = schedules.nearest_timesteps(wanted, ALPHA_BAR)
    return np.concatenate([[1.0], trained])


def say(
    net: Any, clips: list[Clip], setting: Setting, seeds: list[int],
    scripts: list[Script] | None = None, limits: Sequence[int] | None = None,
) -> list[NDArray]:  # fmt: skip
    """Generate each clip again; with a merged network, and what is told of it by `setting`.

    `scripts` tell something else, `limits` give each its own longest overlap.
    """
    scripts = [script(clip, setting.told) for clip in clips] if scripts is None else scripts
    limits = [setting.limit] * len(scripts) if limits is None else limits
    places = [list(plan(s.intervals, LENGTH, n)) for s, n in zip(scripts, limits, strict=True)]
    return framewise.generate(
        net, scripts, levels(setting.sampler, setting.S), seeds=seeds, frames=places,
        sampler=ddpm if setting.sampler == "ddpm" else ddim,
        context="none" if setting.context == "none" else "overlap",
        history=[clip.samples for clip in clips] if setting.context == "recording" else None,
    )  # fmt: skip


def understood(clip: Clip, recognised: list[str]) -> dict[str, int]:
    """Phone errors of a recogniser's answer, and the number of phones spoken."""
    spoken = [phone for phone in clip.phones if phone != SILENCE]
    found = voice.phone_error_rate([recognised], [spoken])
    return {
        "errors": found.substitutions + found.deletions + found.insertions,
        "phones": len(spoken),
    }


def score(x: NDArray, clip: Clip, recognised: list[str]) -> dict[str, float]:
    """Compare one generated utterance with its recording."""
    x, x0 = x.astype(float), clip.samples.astype(float)
    track, _ = intonation.pitch(x, RATE)
    away = 1200.0 * np.log2(track[np.isfinite(track)] / clip.f0)
    return {
        **understood(clip, recognised),
        "lsd": float(audio.log_spectral_distance(x[None], x0[None], WINDOW, 80.0)[0]),
        "mcd": voice.mel_cepstral_distance(x, x0, RATE),
        "energy": voice.energy_rmse(x, x0, RATE),
        "estoi": voice.intelligibility(x, x0, RATE),
        # Not-a-number where no pitch is found at all.
        "cents": float(np.median(np.abs(away))) if len(away) else np.nan,
        "wander": float(np.std(away)) if len(away) else np.nan,
    }


def spread_of(waves: list[NDArray], rate: int = RATE) -> dict[str, float]:
    """Mean distance of pairs of utterances of one text: energy, cepstra, pitch."""
    heights = [intonation.pitch(x, rate)[0] for x in waves]
    return {
        "energy": voice.pairwise(lambda a, b: voice.energy_rmse(a, b, rate), waves),
        "mcd": voice.pairwise(lambda a, b: voice.mel_cepstral_distance(a, b, rate), waves),
        "cents": voice.pairwise(lambda a, b: intonation.track_errors(a, b).median_cents, heights),
    }


def joints(clip: Clip, limit: int = LIMIT) -> list[int]:
    """First new samples of all frames of a clip but the first."""
    frames = list(plan(clip.intervals, LENGTH, limit))[1:]
    return [frame.start + frame.overlap for frame in frames]


def joint_ranks(x: NDArray, joints: list[int]) -> dict[str, float]:
    """Mean rank of the change at the joints of a signal among its neighbours, by measure."""
    margin = 6 * RATE // 100  # what a rank needs on both sides
    inner = [j for j in joints if margin <= j <= len(x) - margin]
    measures = ("difference", "residual", "flux")
    return {k: float(np.mean(seams.seam_ranks(x, inner, RATE, k))) for k in measures}


def stepped(x: NDArray, joints: list[int], step: float = 0.02) -> NDArray:
    """Return a signal with a step up and down at its joints in turn: what a click would be."""
    place = np.searchsorted(joints, np.arange(len(x)), side="right")
    return x + step * (place % 2)


def distances(several: Sequence[NDArray], x0: NDArray) -> dict[str, float]:
    """Log-spectral distances of utterances of one text: mean to the recording, and mean of the pairs.

    All spectra end at the same floor, 80 dB below the recording's loudest place, so that the first minus half
    of the second is an energy score: a mean over time of Euclidean distances is of negative type.
    """
    stft = ShortTimeFFT(hann(WINDOW), hop=WINDOW // 4, fs=RATE)
    moduli = [np.abs(stft.stft(x)) for x in (x0, *several)]
    levels = [20.0 * np.log10(np.maximum(m, 1e-4 * moduli[0].max())) for m in moduli]

    def distance(a: NDArray, b: NDArray) -> float:
        return float(np.sqrt(np.mean((a - b) ** 2, axis=0)).mean())

    to = float(np.mean([distance(level, levels[0]) for level in levels[1:]]))
    return {"to_recording": to, "apart": voice.pairwise(distance, levels[1:])}


def without_text(net: Any, length_ms: int, overlap_ms: int, seeds: list[int]) -> NDArray:
    """3.5 s of sound without a text, in frames of one length."""
    length, overlap = length_ms * RATE // 1000, overlap_ms * RATE // 1000
    return framewise.unconditional(
        net, 7 * RATE // 2, length, overlap, levels("ddpm", 50), seeds=seeds, sampler=ddpm
    )


def mean_spectrum(x: NDArray) -> NDArray:
    """Mean power of 32 ms windows in decibel, by frequency, of a signal scaled to power 1."""
    pieces = x[: len(x) // 256 * 256].reshape(-1, 256) / np.sqrt(np.mean(x**2)) * np.hanning(256)
    return 10.0 * np.log10(np.mean(np.abs(np.fft.rfft(pieces)) ** 2, axis=0))


def envelope_distance(x: NDArray, reference: NDArray) -> dict[str, float]:
    """Distance of mean spectra in decibel, and that of white noise, for comparison."""
    target = mean_spectrum(reference)
    noise = np.random.default_rng(0).standard_normal(len(x))
    away = {"distance": mean_spectrum(x), "of_noise": mean_spectrum(noise)}
    return {k: float(np.sqrt(np.mean((v - target) ** 2))) for k, v in away.items()}
