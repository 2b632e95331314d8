"""One frame of several utterances: conditions, noise, and the walk from noise to signal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._optional import need
from diffbook.framewise.denoiser import noise_level_denoiser
from diffbook.framewise.frames import Frame
from diffbook.framewise.scripts import Script
from diffbook.samplers.protocol import Denoiser, Result, initial_noise, step_noise

need("torch", "torch", "framewise.generation")

import torch  # noqa: E402 -- the error above names the extra


class Run(NamedTuple):
    """What all frames share."""

    net: Any
    schedule: NDArray
    alpha_bar_train: ArrayLike | None
    sampler: Callable[..., Result]
    told: bool  # whether frames know the end of the one before


@dataclass
class Utterance:
    """An utterance under way; of its signal only the last frame is kept."""

    script: Script
    seed: int
    history: NDArray | None = None  # recording from which contexts are taken
    count: int = 0  # frames so far
    before: NDArray | None = None  # the last frame

    def frame_seed(self) -> int:
        """Seed of the frame to come: independent for each pair of seed and frame."""
        words = np.random.SeedSequence(self.seed, spawn_key=(self.count,)).generate_state(4)
        return sum(int(word) << 32 * i for i, word in enumerate(words))

    def add(self, frame: Frame, found: NDArray) -> NDArray:
        """Join a frame to the signal; return a copy of its new samples."""
        new = found[frame.overlap :]
        if self.history is not None:
            self.before = self.history[frame.start : frame.stop]
        elif frame.overlap:
            self.before = np.concatenate([self.before[-frame.overlap :], new])
        else:
            self.before = new
        self.count += 1
        return new.copy()


@torch.inference_mode()
def advance(run: Run, group: Sequence[tuple[Utterance, Frame]]) -> list[NDArray]:
    """Generate a frame of each utterance of a group as one batch; return their new samples."""
    weight = next(run.net.parameters())
    sizes = [frame.stop - frame.start for _, frame in group]
    n, longest = len(group), max(sizes)

    def tensor(values: NDArray) -> torch.Tensor:
        return torch.as_tensor(values, dtype=weight.dtype, device=weight.device)

    context, x_T = np.zeros((n, longest)), np.zeros((n, longest))
    phones, tracks = np.zeros((n, longest), np.int64), np.zeros((n, run.net.tracks, longest))
    draws = []
    for i, (one, frame) in enumerate(group):
        size, seed = sizes[i], one.frame_seed()
        if run.told and frame.overlap:
            context[i, : frame.overlap] = one.before[-frame.overlap :]
        phones[i, :size], tracks[i, :, :size] = one.script.within(frame.start, frame.stop)
        x_T[i, :size] = initial_noise([seed], (size,))[0]
        draws.append((i, size, step_noise([seed])))

    def noise(s: int, x: Any) -> Any:
        z = np.zeros((n, longest))
        for i, size, draw in draws:
            z[i, :size] = draw(s, z[i : i + 1, :size])[0]
        return tensor(z)

    ragged = min(sizes) < longest
    lengths = torch.tensor(sizes, device=weight.device) if ragged else None
    speakers = [one.script.speaker for one, _ in group]
    given = run.net.given(
        tensor(context),
        torch.as_tensor(phones, device=weight.device),
        tensor(tracks) if run.net.tracks else None,
        torch.tensor(speakers, device=weight.device) if run.net.speakers else None,
        lengths,
    )
    denoiser = noise_level_denoiser(run.net, given, run.alpha_bar_train)
    if ragged:
        denoiser = _inside(denoiser, torch.arange(longest, device=weight.device) < lengths[:, None])
    found = run.sampler(denoiser, tensor(x_T), run.schedule, noise=noise).sample.cpu().numpy()
    return [one.add(frame, found[i, : sizes[i]]) for i, (one, frame) in enumerate(group)]


def _inside(denoiser: Denoiser, inside: torch.Tensor) -> Denoiser:
    """Keep what fills a frame up at zero, where nothing else would keep it from diverging."""
    return lambda x_t, level, cond=None: denoiser(x_t, level, cond) * inside
