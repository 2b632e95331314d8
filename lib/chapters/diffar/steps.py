"""What one training step sees: frames of speech with their overlap, what is told of them, and the loss."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from diffbook.datasets import aligned
from diffbook.datasets.aligned import Clip
from diffbook.framewise.frames import training_overlap
from diffbook.nets.diffar import DiffAR
from diffbook.schedules.families import ddpm_chain

RATE = 8000
#: Samples of a frame, and of the longest overlap: 500 and 250 ms as in the paper.
LENGTH, LIMIT = RATE // 2, RATE // 4
#: Pitches of the corpus in hertz: their periods, 64 and 32 samples, are 4 and 2 positions of the network,
#: so that a layer of this dilation looks one period back.
PITCHES = (125, 250)
#: Noise levels of training.
ALPHA_BAR = ddpm_chain(200)
#: Phones, then the tracks energy and pitch: what a frame is told, from nothing to everything.
TOLD = {"none": (0, 0, 0), "-E": (1, 0, 0), "base": (1, 1, 0), "+P": (1, 1, 1)}


@dataclass(frozen=True)
class Recipe:
    """All that determines a training, apart from the seed.

    `pitches` are those of the corpus, `told` the chances of the kinds of `TOLD`, and `blind` that of a context of zeros: so that one
    network answers with and without them. `masked` counts the new samples only, `corrupt` is the
    largest standard deviation of noise on the context.
    """

    name: str
    steps: int
    batch: int = 16
    pitches: tuple[int, int] = PITCHES
    told: dict[str, float] = field(
        default_factory=lambda: {"none": 0.15, "-E": 0.2, "base": 0.25, "+P": 0.4}
    )
    blind: float = 0.1
    masked: bool = False
    corrupt: float = 0.0
    channels: int = 112
    layers: int = 10
    kernels: tuple[int, ...] = (3,)
    cycle: int = 6
    embedding: int = 32
    fold: int = 16
    c_emb: int = 128
    gain: bool = True
    learning_rate: float = 4e-3
    hidden_rate: float = 4e-3
    warmup: int = 200
    weight_decay: float = 1e-3
    ema: float = 0.999

    def network(self) -> DiffAR:
        """Make the network, with random weights."""
        how = {k: getattr(self, k) for k in ("channels", "layers", "kernels", "cycle", "embedding")}
        more = {k: getattr(self, k) for k in ("fold", "c_emb", "gain")}
        return DiffAR(len(aligned.SYMBOLS), tracks=2, **how, **more)


class Batch(NamedTuple):
    """Frames (n, L) with what is known of them; `new` is one where samples are not in the overlap."""

    x0: Tensor
    phones: Tensor
    tracks: Tensor
    context: Tensor
    new: Tensor
    s: Tensor
    eps: Tensor


class Heard(NamedTuple):
    """A clip as the training sees it: one value a sample."""

    samples: np.ndarray
    phones: np.ndarray
    tracks: np.ndarray
    ends: np.ndarray


def corpus(split: str, n: int, pitches: tuple[int, int] = PITCHES) -> list[Clip]:
    """Sentences of a split, spoken low and high in turn; n is even. The texts do not hang on the pitches."""
    parts = [
        aligned.synthetic(split, n // 2, f0=(f0, f0), seed=seed)
        for f0, seed in zip(pitches, PITCHES, strict=True)
    ]
    return [clip for pair in zip(*parts, strict=True) for clip in pair]


def tracks(clip: Clip) -> np.ndarray:
    """Return what is told of each phone beside its name, (2, p): energy and pitch; 0 is not told."""
    level = as_level(aligned.energy(clip.samples, clip.intervals))
    return np.stack([level, np.full(len(level), clip.f0 / 100.0)])


def as_level(energy: np.ndarray) -> np.ndarray:
    """Turn energies into what is told of them, above 1: silence is told as well."""
    return 1.0 + 3.0 * energy


def heard(clip: Clip) -> Heard:
    """Spread what is known of a clip over its samples."""
    place = clip.intervals
    phones = aligned.spread(aligned.indices(clip.phones, aligned.SYMBOLS), place)
    level = aligned.spread(tracks(clip), place).astype(np.float32)
    return Heard(clip.samples, phones, level, place[:, 1])


def draw(
    pool: list[Heard], recipe: Recipe, rng: np.random.Generator, n: int | None = None
) -> Batch:
    """Draw frames at random places, with overlaps by the paper's rule, noise and its steps."""
    n = recipe.batch if n is None else n
    x0, eps = np.zeros((2, n, LENGTH), np.float32)
    phones, new = np.zeros((n, LENGTH), np.int64), np.ones((n, LENGTH), np.float32)
    level, context = np.zeros((n, 2, LENGTH), np.float32), np.zeros((n, LENGTH), np.float32)
    kinds = rng.choice(list(recipe.told), size=n, p=list(recipe.told.values()))
    for i, kind in enumerate(kinds):
        clip = pool[rng.integers(len(pool))]
        first = int(rng.integers(len(clip.samples) - LENGTH + 1))
        here = slice(first, first + LENGTH)
        overlap = training_overlap(clip.ends, first, LENGTH, LIMIT)
        x0[i], phones[i], level[i] = clip.samples[here], clip.phones[here], clip.tracks[:, here]
        new[i, :overlap] = 0.0
        context[i] = x0[i] * (1.0 - new[i])
        context[i, :overlap] += recipe.corrupt * rng.random() * rng.standard_normal(overlap)
        told = TOLD[kind]
        phones[i] *= told[0]
        level[i] *= np.array(told[1:], np.float32)[:, None]
    context *= (rng.random(n) >= recipe.blind)[:, None]
    # One step in each n-th part of the chain takes noise out of the loss.
    s = ((np.arange(n) + rng.random(n)) / n * len(ALPHA_BAR)).astype(np.int64)
    eps[:] = rng.standard_normal(eps.shape)
    return Batch(*map(torch.from_numpy, (x0, phones, level, context, new, s, eps)))


def errors(net: torch.nn.Module, b: Batch) -> Tensor:
    """Absolute error of the predicted noise at every sample, (n, L)."""
    kept = torch.as_tensor(ALPHA_BAR, dtype=b.x0.dtype, device=b.x0.device)[b.s][:, None]
    x_s = kept.sqrt() * b.x0 + (1.0 - kept).sqrt() * b.eps
    given = net.given(b.context, b.phones, b.tracks)
    return (net(x_s, b.s, given) - b.eps).abs()


def trivial(b: Batch) -> Tensor:
    """Error of the guess that all is noise, (n, L): what a network has to beat."""
    kept = torch.as_tensor(ALPHA_BAR, dtype=b.x0.dtype)[b.s][:, None]
    return (kept / (1.0 - kept)).sqrt() * b.x0.abs()


def loss(net: torch.nn.Module, b: Batch, masked: bool = False) -> Tensor:
    """Mean absolute error over the frames, or over their new samples."""
    found = errors(net, b)
    return (found * b.new).sum() / b.new.sum() if masked else found.mean()
