"""An exact network of a Markov source, and other numbers that the text states."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from diffbook import framewise
from diffbook.nets.diffar import DiffAR
from diffbook.samplers import heun
from diffbook.schedules import ddpm_chain

#: Correlation of neighbouring samples, samples of a frame, levels of the exact network.
A, FRAME, LEVELS = 0.9, 16, ddpm_chain(100, 1e-4, 0.15)


class MarkovNet(nn.Module):
    """The exact mean of the noise in a frame of x_t = A x_{t-1} + e_t (variance 1), given its known part."""

    phones, tracks, speakers = 1, 0, 0

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1, dtype=torch.float64))  # tells the precision

    def given(self, context: Tensor, *told: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and covariance of the frame, given the known samples."""
        at = torch.arange(context.shape[1], dtype=torch.float64)
        known = int(context.any(0).sum())
        cov, mean = A ** (at[:, None] - at).abs(), context.clone()
        if known:
            since = at - (known - 1)
            new = at >= known
            cov = (new[:, None] & new) * (cov - A ** (since[:, None] + since))
            mean[:, known:] = context[:, known - 1 : known] * A ** since[known:]
        return mean, cov

    def forward(self, x: Tensor, s: Tensor, given: tuple[Tensor, Tensor]) -> Tensor:
        """Return the mean of the noise given the noisy frame x (n, L)."""
        (mean, cov), level = given, float(LEVELS[round(s[0].item())])
        seen = level * cov + (1.0 - level) * torch.eye(len(cov), dtype=x.dtype)
        residual = torch.linalg.solve(seen, (x - level**0.5 * mean).T).T
        return (1.0 - level) ** 0.5 * residual


def markov_signals(n: int, seed: int, overlap: int, frames: int = 3) -> NDArray:
    """Generate n signals of a few frames with the exact network."""
    total = FRAME + (frames - 1) * (FRAME - overlap)
    seeds = range(n * seed, n * seed + n)
    return framewise.unconditional(
        MarkovNet(), total, FRAME, overlap, np.append(1.0, LEVELS), seeds=seeds,
        alpha_bar_train=LEVELS, sampler=heun,
    )  # fmt: skip


def covariance_z(x: NDArray) -> NDArray:
    """Deviation of sample covariances of x (n, d) from the source's, in standard errors."""
    lag = np.abs(np.arange(x.shape[1])[:, None] - np.arange(x.shape[1]))
    cov = A**lag
    return (x.T @ x / len(x) - cov) / np.sqrt((1.0 + cov**2) / len(x))


def released(channels: int = 256) -> DiffAR:
    """Make the paper's network at its sizes, without memory for its weights."""
    with torch.device("meta"):
        return DiffAR(channels=channels)


def merge_error(net: DiffAR, seed: int) -> float:
    """Largest difference, relative, of a network's answer and that of its merged form."""
    g = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        nn.init.normal_(net.leave.weight, std=0.1)
    x, context = torch.randn(2, 2, 800, generator=g)
    phones = torch.randint(1, net.phones + 1, (2, 800), generator=g)
    tracks, s = torch.rand(2, net.tracks, 800, generator=g), torch.tensor([3.0, 150.0])
    with torch.inference_mode():
        a, b = (m(x, s, m.given(context, phones, tracks)) for m in (net, net.merged()))
    return float((a - b).abs().max() / a.abs().max())
