"""The DDIM sampler's own cost, over the bare calls of its denoiser.

The bare calls see the very states that the sampler visited, in the same order. Both are timed in
turn, many times, in CPU seconds of this process, because on a shared machine the wall clock also
measures the others. The overhead is the median ratio of neighbours; the ratio of the best times
stands beside it.

The update of a step reads and writes the state twice. A denoiser that is itself hardly more than
that cannot hide it: the Fourier filter of the analytic denoiser is such a one, and is listed to
show where the overhead begins to matter. The targets are set for denoisers that do work: the
smallest convolutional network that is of any use, and the analytic denoiser of a general
covariance (two matrix products).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.timing import Report, Table, Target, cpu_seconds, median
from diffbook import schedules
from diffbook.priors.gaussian import GaussianPrior
from diffbook.samplers.protocol import initial_noise, step_noise
from diffbook.samplers.unguided import ddim

STEPS = 20


def convolutional(channels: int = 32, seed: int = 0) -> Callable[..., torch.Tensor]:
    """Make a small residual convolutional denoiser, about the smallest that is of any use."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(2, channels, 3, padding=1),
        nn.SiLU(),
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.SiLU(),
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.SiLU(),
        nn.Conv2d(channels, 1, 3, padding=1),
    ).eval()

    @torch.inference_mode()
    def denoiser(x: torch.Tensor, alpha_bar: float, cond: Any = None) -> torch.Tensor:
        level = torch.full_like(x, alpha_bar)
        return net(torch.cat([x, level], dim=1))

    return denoiser


def overhead(denoiser, x_T, eta: float, repeats: int) -> tuple[float, float, float, float]:
    """Milliseconds of a call, overhead by medians and by minima, own microseconds of a step."""
    schedule = schedules.cosine(STEPS)
    noise = step_noise(range(len(x_T))) if eta else None
    states = ddim(denoiser, x_T, schedule, eta=eta, noise=noise, keep_trajectory=True).trajectory
    visited = list(zip(states, schedule[::-1].tolist(), strict=True))[:-1]

    def bare() -> None:
        for s, (x, level) in zip(range(STEPS, 0, -1), visited, strict=True):
            denoiser(x, level)
            if noise is not None:  # the caller's function, part of the bare cost
                noise(s, x)

    def sampler() -> None:
        ddim(denoiser, x_T, schedule, eta=eta, noise=noise)

    pairs = [(cpu_seconds(bare), cpu_seconds(sampler)) for _ in range(repeats)]
    best_bare, best_sampler = (min(times) for times in zip(*pairs, strict=True))
    return (
        1e3 * best_bare / STEPS,
        median(s / b for b, s in pairs) - 1.0,
        best_sampler / best_bare - 1.0,
        1e6 * (best_sampler - best_bare) / STEPS,
    )


def run(quick: bool = False) -> Report:
    """Overhead for a small convolutional network and for the analytic denoiser."""
    torch_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        digits = initial_noise(range(32), (1, 28, 28), like=torch.zeros(1))
        patches = initial_noise(range(64), (32, 32))
        general, photo = general_prior(), GaussianPrior.inverse_f((32, 32))
        cases = [
            ("convolutional, torch", "32 x 1 x 28 x 28", convolutional(), digits, 0.0),
            ("the same, eta = 1", "32 x 1 x 28 x 28", convolutional(), digits, 1.0),
            ("analytic, general covariance", "64 x 32 x 32", general.denoise, patches, 0.0),
            ("analytic, Fourier", "64 x 32 x 32", photo.denoise, patches, 0.0),
            ("the same, torch", "64 x 32 x 32", photo.denoise, torch.from_numpy(patches), 0.0),
        ]
        table = Table(
            f"DDIM's own cost over the bare denoiser calls, {STEPS} steps, one thread, CPU time",
            ["denoiser", "batch", "ms a call", "overhead", "of best times", "own us a step"],
        )
        for name, batch, denoiser, x_T, eta in cases:
            table.add(name, batch, *overhead(denoiser, x_T, eta, repeats=5 if quick else 31))
    finally:
        torch.set_num_threads(torch_threads)
    measured = table.column("overhead")
    return Report(
        [table],
        [
            Target("DDIM's overhead over a convolutional denoiser", measured[0], 0.05),
            Target("DDIM's overhead over the analytic denoiser (general)", measured[2], 0.05),
        ],
    )


def general_prior(size: int = 32) -> GaussianPrior:
    """Make a prior of a covariance that is not stationary: brighter in the middle."""
    smooth = GaussianPrior.inverse_f((size, size)).covariance()
    window = np.outer(*[1.0 + np.hanning(size)] * 2).ravel()
    return replace(
        GaussianPrior.from_covariance(smooth * np.outer(window, window)),
        mu0=np.zeros((size, size)),
        shape=(size, size),
    )
