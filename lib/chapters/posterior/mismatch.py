"""Where a network departs from the Gaussian model that its guidance weights were designed on.

Guidance acts through the denoiser's Jacobian J. In the Gaussian model J is the Wiener filter w_s, the
same for every image; of a network it is only that on average, if at all. Two measurements: the mean of
J in the Fourier basis against w_s, and the states of a guided run against the closed form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from chapters.posterior import tasks
from chapters.posterior.restoration import measured, network
from diffbook.inverse import published
from diffbook.inverse.blocks.design import state_power
from diffbook.inverse.guidance import differentiated
from diffbook.samplers.protocol import initial_noise
from diffbook.schedules.families import ddpm_respaced


@dataclass(frozen=True, eq=False)
class Mismatch:
    """Network against Gaussian model at some noise levels."""

    sigma: NDArray  # noise levels (m,)
    radius: NDArray  # radial frequencies (r,), cycles per image
    slope: NDArray  # mean diagonal of sqrt(alpha_bar) F J F*, (m, r)
    model_slope: NDArray  # the same of the Wiener filter


def mismatch(
    data: str, k: int, levels: Sequence[float], *, n: int = 64, probes: int = 4, seed: int = 0
) -> Mismatch:
    """Measure a network's mean Jacobian on noisy validation images, with random directions."""
    x0, model, net = tasks.images(data, "validation", n), tasks.prior(data), network(data, k)
    f = np.fft.fftfreq(x0.shape[-1], 1.0 / x0.shape[-1])
    radius = np.rint(np.hypot(f[:, None], f[None, :])).astype(int)
    count = np.bincount(radius.ravel())
    slopes, models = [], []
    for i, ab in enumerate(levels):
        eps = initial_noise(tasks.noise_seeds(seed, k, n, 100 + i), x0.shape[1:])
        x = np.sqrt(ab) * x0 + np.sqrt(1.0 - ab) * eps
        state = torch.as_tensor(x, dtype=torch.float32)
        diagonal = np.zeros(x0.shape[1:])
        rng = np.random.default_rng([seed, k, i])
        for _ in range(probes):
            v = rng.standard_normal(x.shape)
            u = differentiated(net, state, ab)[1](torch.as_tensor(v, dtype=torch.float32))
            # White v: the cross-spectrum of v and J^T v is the diagonal of F J F*, on average.
            cross = np.fft.fft2(u.numpy(), norm="ortho") * np.conj(np.fft.fft2(v, norm="ortho"))
            diagonal += cross.real.mean(0) / probes
        w = np.sqrt(ab) * model.lam / (ab * model.lam + 1.0 - ab)
        slopes.append(np.bincount(radius.ravel(), np.sqrt(ab) * diagonal.ravel()) / count)
        models.append(np.bincount(radius.ravel(), np.sqrt(ab) * w.ravel()) / count)
    levels = np.asarray(levels)
    sigma = np.sqrt((1.0 - levels) / levels)
    return Mismatch(sigma, np.arange(len(count)), np.array(slopes), np.array(models))


def path(
    data: str, name: str, S: int, k: int, weights: NDArray, *, n: int = 64, seed: int = 0
) -> tuple[NDArray, NDArray]:
    """Mean power (S,) of DPS's states relative to noisy data: with a network, and in the model."""
    task, alpha_bar, model = tasks.make_task(data, name), ddpm_respaced(S), tasks.prior(data)
    x0 = tasks.images(data, "validation", n)
    y = torch.as_tensor(measured(task, x0, seed, k), dtype=torch.float32)
    x_T = initial_noise(tasks.noise_seeds(seed, k, n, 1), x0.shape[1:], y)
    nominal = alpha_bar * model.lam.mean() + 1.0 - alpha_bar
    mu0 = torch.as_tensor(model.mu0, dtype=torch.float32)
    power = np.empty(S)

    def note(at: dict[str, Any]) -> None:
        s = at["s"]
        centred = at["x"] - float(np.sqrt(alpha_bar[s])) * mu0
        power[s] = float(centred.square().mean()) / nominal[s]

    published.dps(
        network(data, k), x_T, alpha_bar, y=y, operator=task.operator, sigma_y=task.sigma_y,
        weights=weights, callback=note,
    )  # fmt: skip
    return power, state_power(tasks.block_problem(data, name), alpha_bar, weights)
