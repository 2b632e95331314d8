"""What one optimiser step of the coupled networks sees: batches, losses, and pools of estimates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from diffbook.coupled import Coupling, Switches, alternating, batch_noise, enhance, standardise
from diffbook.nets.conditional import SPREAD, as_logits_denoiser, as_signal_denoiser

#: Rounds of a pool of alternating, and the part of nested's chain in which it refreshes the signal.
ROUNDS, WINDOW = 4, 2 / 3


class Task(NamedTuple):
    """A degradation of a data set, with the networks that suit it."""

    name: str
    classes: int
    draw: Callable  # draw(rng, n) -> clean signals, observations, labels: arrays for a step
    examples: Callable  # examples(split) -> the same for an evaluation: tensors, labels an array
    levels: Callable[[int], NDArray]  # levels(S), sigma of the chains
    T: int  # levels of the whole chain
    steps: tuple[int, ...]  # numbers of levels that are tried, the default first
    networks: dict[str, Callable[[], nn.Module]]  # "classifier", "signal", "logits"
    decide: Callable  # decide(f, x_hat) -> logits of an enhanced signal
    quality: Callable  # quality(x_hat, x) in decibel, (n,)
    start: str = "zero"  # of the chains, as in `Switches`
    limit: float = 1.0  # signals are in [-limit, limit]


@dataclass(frozen=True)
class Recipe:
    """What determines a training, apart from task and seed."""

    training: str
    task: str
    steps: int
    batch: int = 64
    learning_rate: float = 3e-3
    warmup: int = 100
    weight_decay: float = 1e-2
    ema: float = 0.998
    pool: int = 256  # examples that get estimates from chains ...
    every: int = 100  # ... every so many steps, when a checkpoint is written as well
    chain: int = 15  # levels of these chains


class Batch(NamedTuple):
    """Clean signals, observations, labels, noise levels, noise, logits; estimates from a pool."""

    x: Tensor
    u: Tensor
    labels: Tensor
    sigma: Tensor
    eps_x: Tensor
    eps_y: Tensor
    y: Tensor | None = None
    x_hat: Tensor | None = None
    y_hat: Tensor | None = None

    def half(self, k: int) -> Batch:
        """Every other example: both halves see all noise levels."""
        return Batch(*(a if a is None else a[k::2] for a in self))


def generator(seed: int, step: int, purpose: int = 0) -> np.random.Generator:
    """Return the generator of one step."""
    return np.random.default_rng([seed, step, purpose])


def sigma_at(task: Task, place: NDArray) -> NDArray:
    """Noise levels at places in [0, 1] of the chain, between its levels on a logarithmic scale."""
    known = np.log(task.levels(task.T)[1:])
    return np.exp(np.interp(place, np.linspace(0.0, 1.0, len(known)), known))


def draw(
    task: Task, n: int, rng: np.random.Generator, device: torch.device, f: Callable | None,
    pool: Batch | None = None, reach: float = 1.0,
) -> Batch:  # fmt: skip
    """Draw a batch, from the task or a pool; levels are spread over a part of the chain."""
    sigma = sigma_at(task, reach * (np.arange(n) + rng.random(n)) / n)
    if pool is None:
        x, u, labels = (torch.as_tensor(a).to(device) for a in task.draw(rng, n))
        y = None if f is None else standardise(f(x.float()))
        more = (None, None)
    else:
        index = torch.as_tensor(rng.integers(len(pool.x), size=n), device=device)
        x, u, labels, y, *more = (a[index] for a in (*pool[:3], *pool[6:]))
    noise = rng.standard_normal(x.shape), rng.standard_normal((n, task.classes))
    sigma, *noise = (torch.as_tensor(a).to(device).float() for a in (sigma, *noise))
    return Batch(x.float(), u.float(), labels, sigma, *noise, y, *more)


def denoising_loss(net: Callable, z: Tensor, eps: Tensor, sigma: Tensor, spread: float) -> Tensor:
    """EDM's weighted loss of `net(z + sigma eps)`: near 1 at every level in the beginning."""
    level = sigma.reshape(-1, *(1,) * (z.ndim - 1))
    weight = (level**2 + spread**2) / (level * spread) ** 2
    return (weight * (net(z + level * eps) - z).square()).mean()


def signal_loss(net: nn.Module, b: Batch, y_hat: Tensor | None = None) -> Tensor:
    """Loss of a signal network that sees the observation, and logits or none."""
    return denoising_loss(
        lambda v: net(v, b.sigma, b.u, y_hat), b.x, b.eps_x, b.sigma, net.sigma_data
    )


def logits_loss(net: nn.Module, b: Batch, view: Tensor, c: Tensor) -> Tensor:
    """Loss of a logits network that sees one view and its logits c."""
    return denoising_loss(lambda v: net(v, b.sigma, (view,), c), b.y, b.eps_y, b.sigma, SPREAD)


def one_shot(task: Task, net: nn.Module, u: Tensor, c: Tensor) -> Tensor:
    """Logits of the student: a logits network asked once, at zero and the noisiest level."""
    sigma = float(task.levels(task.T)[-1])
    return net(torch.zeros_like(c), c.new_full((len(c),), sigma), (u,), c)


def losses(task: Task, training: str, nets: nn.ModuleDict, f: Callable, b: Batch) -> list[Tensor]:
    """Losses of one step; no two share a parameter."""
    if training == "classifier":
        return [F.cross_entropy(nets["classifier"](b.x), b.labels, label_smoothing=0.1)]
    if training == "baselines":
        c = standardise(f(b.u))
        student = (one_shot(task, nets["student"], b.u, c) - b.y).square().mean() / SPREAD**2
        logits = logits_loss(nets["logits"], b, b.u, c), logits_loss(nets["clean"], b, b.x, b.y)
        return [signal_loss(nets["signal"], b), *logits, student]
    alone, paired = b.half(0), b.half(1)
    if training == "parallel":
        # As in self-conditioning: estimates of this very step, without a gradient, for one half; the
        # other half sees what a closed gate shows.
        x_hat, y_hat = estimates(task, nets, f, paired)
        views = torch.cat([alone.u, x_hat])
        b = Batch(*(torch.cat(pair) for pair in zip(alone[:7], paired[:7], strict=True)))
    else:
        views, y_hat = b.x_hat, paired.y_hat
    signal = signal_loss(nets["signal"], alone) + signal_loss(nets["signal"], paired, y_hat)
    return [signal / 2, logits_loss(nets["logits"], b, views, standardise(f(views)))]


@torch.no_grad()
def estimates(
    task: Task, nets: nn.ModuleDict, f: Callable, b: Batch, x_hat: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """One-step estimates at a batch's levels: of the signal without logits, of the logits from it."""
    if x_hat is None:
        level = b.sigma.reshape(-1, *(1,) * (b.x.ndim - 1))
        x_hat = nets["signal"](b.x + level * b.eps_x, b.sigma, b.u).clip(-task.limit, task.limit)
    y = b.y + b.sigma[:, None] * b.eps_y
    return x_hat, standardise(nets["logits"](y, b.sigma, (x_hat,), standardise(f(x_hat))))


def make_pool(
    task: Task, recipe: Recipe, nets: nn.ModuleDict, f: Callable, b: Batch, seed: int
) -> Batch:
    """Give a batch what the chains of alternating or nested show their networks."""
    coupling, levels = couple(task, nets, f), task.levels(recipe.chain)
    how = {"noise": batch_noise(seed), "switches": Switches(start=task.start)}
    if recipe.training == "alternating":
        found = alternating(coupling, b.u, levels, rounds=ROUNDS, **how).rounds
    else:
        x_hat = enhance(coupling, b.u, levels, **how).signal
        _, y_hat = estimates(task, nets, f, b, x_hat)
        again = enhance(coupling, b.u, levels, y_hat=y_hat, round=1, **how).signal
        found = [(x_hat, y_hat), (again, y_hat)]
    copies = (torch.cat([a] * len(found)) for a in b[:7])
    return Batch(*copies, *(torch.cat(column) for column in zip(*found, strict=True)))


def couple(task: Task, nets: nn.ModuleDict | dict[str, nn.Module], f: Callable) -> Coupling:
    """Denoisers of two networks, on the device that they are on, and the classifier."""
    device = str(next(nets["signal"].parameters()).device)
    signal = as_signal_denoiser(nets["signal"], -task.limit, task.limit, device)
    return Coupling(signal, as_logits_denoiser(nets["logits"], device), f)
