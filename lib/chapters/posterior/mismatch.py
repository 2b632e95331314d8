"""Where a network departs from the Gaussian model that its guidance weights were designed on.

Guidance acts through the denoiser's Jacobian J. In the Gaussian model J is the Wiener filter w_s, the
same for every image; of a network it is only that on average, if at all. Three measurements: the mean
of J in the Fourier basis against w_s; the largest curvature of `|y - H x0_hat|^2` against the model's,
which decides how large a weight may be; and the states of a guided run against the closed form.
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
from diffbook.inverse.blocks.chain import Chain
from diffbook.inverse.blocks.design import state_power
from diffbook.inverse.guidance import differentiated
from diffbook.samplers.protocol import initial_noise
from diffbook.samplers.transfer import step_coefficients
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


@dataclass(frozen=True, eq=False)
class Curvature:
    """How strongly one unit of guidance turns the state around, for a network and in the model."""

    sigma: NDArray  # (S,)
    weights: NDArray  # guidance weights that were examined, (S,)
    bound: NDArray  # the model's no-overshoot bound, (S,)
    network_bound: NDArray  # the same from the network's Jacobian at each image, (S, n)

    def overshoot(self, quantile: float = 0.5) -> NDArray:
        """Weight over the network's bound at a quantile of the images, (S,); above 1 is too much."""
        return self.weights / np.quantile(self.network_bound, 1.0 - quantile, axis=1)


def curvature(
    data: str, name: str, S: int, k: int, *, n: int = 32, iterations: int = 10, seed: int = 0
) -> Curvature:
    """Compare the no-overshoot bound of the model with a network's, at noisy validation images."""
    # In the direction v a step turns the state by a + b v^T J v - 2 zeta |H J v|^2. The bound is where
    # that is zero for the v with the largest |H J v|, by power iteration on J^T H^T H J with J taken
    # symmetric (that of an exact denoiser is a covariance); too few iterations make it too generous.
    task, alpha_bar = tasks.make_task(data, name), ddpm_respaced(S)
    x0, net = tasks.images(data, "validation", n), network(data, k)
    a, b, _ = step_coefficients(alpha_bar, "vp", 0.0).T
    found = []
    for s in range(1, S + 1):
        ab = float(alpha_bar[s])
        eps = initial_noise(tasks.noise_seeds(seed, k, n, 200 + s), x0.shape[1:])
        x = torch.as_tensor(np.sqrt(ab) * x0 + np.sqrt(1.0 - ab) * eps, dtype=torch.float32)
        start = np.random.default_rng([seed, k, s]).standard_normal(x.shape)
        v = torch.as_tensor(start, dtype=torch.float32)
        for _ in range(iterations):
            v = v / torch.linalg.vector_norm(v, dim=(1, 2), keepdim=True)
            Jv = differentiated(net, x, ab)[1](v)
            HJv = task.operator.forward(Jv)
            v_next = differentiated(net, x, ab)[1](task.operator.adjoint(HJv))
            rayleigh, strength = (v * Jv).sum((1, 2)), HJv.reshape(n, -1).square().sum(1)
            v = v_next
        with np.errstate(divide="ignore"):
            found.append(
                np.maximum(a[s - 1] + b[s - 1] * rayleigh.numpy(), 0) / (2 * strength.numpy())
            )
    model_bound = Chain(tasks.block_problem(data, name), alpha_bar).bound("no-overshoot")
    sigma = np.sqrt((1.0 - alpha_bar[1:]) / alpha_bar[1:])
    return Curvature(sigma, tasks.designed_weights(data, name, S), model_bound, np.array(found))


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
