"""An exact network of a Markov source, and other numbers that the text states."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import norm
from torch import Tensor, nn

from chapters.diffar.steps import ALPHA_BAR
from diffbook import framewise
from diffbook.datasets import aligned
from diffbook.datasets.aligned import Clip
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


def chain(cov: NDArray, length: int, overlap: int) -> tuple[NDArray, NDArray]:
    """Covariance of the chain of frames whose factors are those of N(0, cov), and the information it lacks.

    The information, in nats, is that of the far past on the new samples of each frame after the first.
    """
    p, lost = cov.copy(), []
    for first in range(length, len(cov), length - overlap):
        known, past = np.arange(first - overlap, first), np.arange(first)
        new = np.arange(first, min(first + length - overlap, len(cov)))
        gain, spread = _given(cov, new, known)
        p[np.ix_(new, past)] = gain @ p[np.ix_(known, past)]
        p[np.ix_(past, new)] = p[np.ix_(new, past)].T
        p[np.ix_(new, new)] = spread + gain @ p[np.ix_(known, known)] @ gain.T
        less = np.linalg.slogdet(_given(cov, new, past)[1])[1]
        lost.append(0.5 * (np.linalg.slogdet(spread)[1] - less))
    return p, np.array(lost)


def _given(cov: NDArray, new: NDArray, known: NDArray) -> tuple[NDArray, NDArray]:
    gain = np.linalg.solve(cov[np.ix_(known, known)], cov[np.ix_(known, new)]).T
    return gain, cov[np.ix_(new, new)] - gain @ cov[np.ix_(known, new)]


def recursion(a: float, b: float, n: int) -> NDArray:
    """Covariance of n samples of x_t = a x_{t-1} + b x_{t-2} + e_t at variance 1."""
    rho = [1.0, a / (1.0 - b)]
    while len(rho) < n:
        rho.append(a * rho[-1] + b * rho[-2])
    return np.array(rho)[np.abs(np.subtract.outer(np.arange(n), np.arange(n)))]


def wiener(lam: NDArray) -> float:
    """Mean absolute error of the noise, over the steps of training, by the Wiener filter of a Gaussian signal."""
    level = ALPHA_BAR[:, None]
    left = (
        level * lam / (level * lam + 1.0 - level)
    )  # variances of the modes of the noise, given x_s
    return float(np.mean(np.sqrt(2.0 / np.pi * left.mean(axis=1))))


def pitch_guessed(train: list[Clip], test: list[Clip]) -> float:
    """Share of test clips whose pitch, of those of training, follows from phones and energies (naive Bayes)."""
    laws = {}
    for f0 in sorted({clip.f0 for clip in train}):
        clips = [clip for clip in train if clip.f0 == f0]
        names = np.concatenate([clip.phones for clip in clips])
        level = np.concatenate([aligned.energy(clip.samples, clip.intervals) for clip in clips])
        laws[f0] = {
            p: (level[names == p].mean(), level[names == p].std() + 1e-3) for p in set(names)
        }
    right = 0
    for clip in test:
        level = aligned.energy(clip.samples, clip.intervals)
        likely = {
            f0: sum(
                norm.logpdf(e, *law[p]) for e, p in zip(level, clip.phones, strict=True) if p in law
            )
            for f0, law in laws.items()
        }
        right += max(likely, key=likely.get) == clip.f0
    return right / len(test)


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
