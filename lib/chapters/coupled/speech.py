"""Speech tasks: spoken keywords in noise and in rooms, as compressed spectrograms."""

from __future__ import annotations

from functools import cache, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from chapters.coupled.steps import Task
from diffbook.coupled import ouve_levels
from diffbook.datasets import keywords, rooms
from diffbook.datasets.spectrograms import BINS, LIMIT, log_mel, spectrogram, waveform
from diffbook.metrics.audio import si_sdr
from diffbook.nets.conditional import Classifier, LogitsNet, SignalNet

#: What is done to the clips; chosen on validation clips.
DEGRADATIONS = ("noise", "reverberation")
SNR_DB, DIRECT_DB, RT60 = (-2.5, 17.5), (-9.0, -3.0), (0.25, 0.8)
#: Degraded versions of every training clip; clips that babble and earlier words are taken from.
VERSIONS, OTHERS = 6, 300
MELS = 32


class LogMel(nn.Module):
    """Classifier of spectrograms, scaled to [-1, 1], by their log-mel energies."""

    def __init__(self, width: int):
        super().__init__()
        self.net = Classifier(MELS, 10, width, 1, 2)

    def forward(self, z: Tensor) -> Tensor:
        """Map spectrograms to logits."""
        return self.net(heard(z))


class HeardLogits(nn.Module):
    """Logits network that hears its views as the classifier does."""

    def __init__(self, width: int):
        super().__init__()
        self.net = LogitsNet(MELS, 10, width, 1, 1, 2, 2, sigma_data=1.0)

    def forward(self, v_y: Tensor, sigma: Tensor, views: tuple[Tensor, ...], c: Tensor) -> Tensor:
        """Estimate y0, as `LogitsNet` does."""
        return self.net(v_y, sigma, tuple(heard(z) for z in views), c)


def heard(z: Tensor) -> Tensor:
    """Log-mel energies relative to the loudest, so that the scale of a spectrogram is free."""
    return 4.0 * log_mel(z, MELS) - 2.0


@cache
def clips(data: str, split: str) -> tuple[NDArray, NDArray]:
    """Clips (n, N) and their labels: of "synthetic" keywords, or of the recorded "digits"."""
    found = {"synthetic": keywords.clips, "digits": keywords.digits}[data](split)
    return found.signals, found.labels


def degrade(x: NDArray, name: str, seeds: NDArray, others: NDArray) -> tuple[NDArray, NDArray]:
    """Make what a microphone hears, scaled to peak 1, and the clean clips by the same factor."""
    if name == "noise":
        u = rooms.add_noise(x, seeds, SNR_DB, others)
    else:
        u = rooms.reverberate(x, seeds, RT60, DIRECT_DB, others)
    return rooms.to_peak(u, x)


@cache
def pool(data: str, name: str, split: str, versions: int) -> tuple[NDArray, NDArray, NDArray]:
    """Spectrograms of a split, degraded several times: clean, observed (float16), and labels."""
    x, labels = clips(data, split)
    others = x[:: max(1, len(x) // OTHERS)]
    clean, seen = [], []
    for k in range(versions):
        seeds = (
            10**6 * ["train", "validation", "test"].index(split) + len(x) * k + np.arange(len(x))
        )
        u, scaled = degrade(x, name, seeds, others)
        clean.append(spectrogram(scaled.clip(-1.0, 1.0)).astype(np.float16))
        seen.append(spectrogram(u).astype(np.float16))
    return np.concatenate(clean), np.concatenate(seen), np.tile(labels, versions)


def examples(data: str, name: str, split: str) -> tuple[Tensor, Tensor, NDArray]:
    """Clean spectrograms, observations and labels of a split."""
    # The synthetic voices say each word at three heights in turn; the middle one is left out.
    x, u, labels = (a[np.arange(len(a)) % 3 != 1] for a in pool(data, name, split, 1))
    return torch.as_tensor(x).float(), torch.as_tensor(u).float(), labels


def sound(z: Tensor) -> NDArray:
    """Waveforms of spectrograms, scaled to peak 1 where they are louder."""
    x = waveform(z.numpy())
    return x / np.maximum(np.abs(x).max(axis=1, keepdims=True), 1.0)


@cache
def task(data: str, name: str, width: int = 64) -> Task:
    """Make one task, of "noise" or "reverberation"."""
    x, u, labels = pool(data, name, "train", VERSIONS)

    def draw(rng: np.random.Generator, n: int) -> tuple[NDArray, NDArray, NDArray]:
        index = rng.integers(len(x), size=n)
        return x[index], u[index], labels[index]

    how = {"channels": 2 * BINS, "classes": 10, "width": width, "dims": 1, "fold": 2}
    how |= {"sigma_data": float(x[:2000].astype(np.float32).std()), "polar": True}
    return Task(
        name, 10, draw, partial(examples, data, name), ouve_levels, 50, (20, 5, 10, 50),
        {
            "classifier": partial(LogMel, 32),
            "signal": partial(SignalNet, **how),
            "logits": partial(HeardLogits, 48),
        },
        # A spectrogram that an estimate makes up is no sound's; the waveform's own one is.
        lambda f, z: f(torch.as_tensor(spectrogram(sound(z)))),
        lambda z, clean: si_sdr(waveform(z.numpy()), waveform(clean.numpy())),
        "observation",
        LIMIT,
    )  # fmt: skip
