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

from chapters.posterior.restoration import CLIP, measured, network
from chapters.posterior.tasks import (
    block_problem,
    designed_weights,
    images,
    make_task,
    noise_seeds,
    prior,
    state_power,
)
from diffbook.inverse import published
from diffbook.inverse.blocks.chain import Chain
from diffbook.inverse.guidance import differentiated
from diffbook.samplers.protocol import initial_noise
from diffbook.samplers.transfer import step_coefficients
from diffbook.schedules.families import ddpm_respaced


@dataclass(frozen=True, eq=False)
class Mismatch:
    """Network against Gaussian model at some noise levels.

    Attributes
    ----------
    sigma
        Noise levels sigma_s (VE units), shape (m,).
    radius
        Radial frequencies in cycles per image, shape (r,).
    slope, model_slope
        Mean over images and directions of the diagonal of `F J F*`, and w_s, both times
        `sqrt(alpha_bar_s)` (a number in [0, 1] in the model), shape (m, r).
    answer_gap
        Root mean square of `x0_hat(network) - x0_hat(Wiener)`, on noisy test images, (m,).
    error, model_error
        Root mean square errors of both denoisers, (m,).
    """

    sigma: NDArray
    radius: NDArray
    slope: NDArray
    model_slope: NDArray
    answer_gap: NDArray
    error: NDArray
    model_error: NDArray


def mismatch(
    data: str, k: int, levels: Sequence[float], *, n: int = 64, probes: int = 4, seed: int = 0
) -> Mismatch:
    """Measure a network's answers and its mean Jacobian on noisy validation images.

    Parameters
    ----------
    data, k
        Which network: data set and training seed.
    levels
        Values of alpha_bar in (0, 1).
    n, probes
        Images per level, and random directions per image.
    seed
        Of noise and directions.
    """
    x0, model, net = images(data, "validation", n), prior(data), network(data, k)
    f = np.fft.fftfreq(x0.shape[-1], 1.0 / x0.shape[-1])
    radius = np.rint(np.hypot(f[:, None], f[None, :])).astype(int)
    count = np.bincount(radius.ravel())
    rows = []
    for i, ab in enumerate(levels):
        eps = initial_noise(noise_seeds(seed, k, n, 100 + i), x0.shape[1:])
        x = np.sqrt(ab) * x0 + np.sqrt(1.0 - ab) * eps
        state = torch.as_tensor(x, dtype=torch.float32)
        answer = net(state, ab).numpy().astype(np.float64)
        wiener = model.denoise(x, ab)
        diagonal = np.zeros(x0.shape[1:])
        rng = np.random.default_rng([seed, k, i])
        for _ in range(probes):
            v = rng.standard_normal(x.shape)
            u = differentiated(net, state, ab)[1](torch.as_tensor(v, dtype=torch.float32))
            # White v: the cross-spectrum of v and J^T v is the diagonal of F J F*, on average.
            cross = np.fft.fft2(u.numpy(), norm="ortho") * np.conj(np.fft.fft2(v, norm="ortho"))
            diagonal += cross.real.mean(0) / probes
        w = np.sqrt(ab) * model.lam / (ab * model.lam + 1.0 - ab)
        rows.append(
            (
                np.sqrt((1.0 - ab) / ab),
                np.bincount(radius.ravel(), np.sqrt(ab) * diagonal.ravel()) / count,
                np.bincount(radius.ravel(), np.sqrt(ab) * w.ravel()) / count,
                *(np.sqrt(np.mean(e**2)) for e in (answer - wiener, answer - x0, wiener - x0)),
            )
        )
    sigma, slope, model_slope, gap, error, model_error = (
        np.array(v) for v in zip(*rows, strict=True)
    )
    return Mismatch(sigma, np.arange(len(count)), slope, model_slope, gap, error, model_error)


@dataclass(frozen=True, eq=False)
class Curvature:
    """How strongly one unit of guidance turns the state around, for a network and in the model.

    Attributes
    ----------
    sigma
        Noise levels of the steps, (S,).
    weights
        Guidance weights that were examined, (S,).
    bound
        The model's no-overshoot bound, (S,).
    network_bound
        The same bound from the network's Jacobian at each validation image, (S, n).
    """

    sigma: NDArray
    weights: NDArray
    bound: NDArray
    network_bound: NDArray

    def overshoot(self, quantile: float = 0.5) -> NDArray:
        """Weight over the network's bound at a quantile of the images, (S,); above 1 is too much."""
        return self.weights / np.quantile(self.network_bound, 1.0 - quantile, axis=1)


def curvature(
    data: str, name: str, S: int, k: int, *, n: int = 32, iterations: int = 10, seed: int = 0
) -> Curvature:
    """Compare the no-overshoot bound of the model with a network's, at noisy validation images.

    In the direction v a step turns the state by `a + b v^T J v - 2 zeta |H J v|^2`; the bound is
    where that is zero for the v with the largest `|H J v|`, found by power iteration on
    `J^T H^T H J`, with J taken symmetric (that of an exact denoiser is a covariance).

    Parameters
    ----------
    data, name, S, k
        Task, number of steps, training seed.
    n
        Validation images.
    iterations
        Of the power method. Too few make the bound too generous.
    seed
        Of noise and starts.
    """
    task, alpha_bar = make_task(data, name), ddpm_respaced(S)
    x0, net = images(data, "validation", n), network(data, k)
    a, b, _ = step_coefficients(alpha_bar, "vp", 0.0).T
    found = []
    for s in range(1, S + 1):
        ab = float(alpha_bar[s])
        eps = initial_noise(noise_seeds(seed, k, n, 200 + s), x0.shape[1:])
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
    model_bound = Chain(block_problem(data, name), alpha_bar).bound("no-overshoot")
    sigma = np.sqrt((1.0 - alpha_bar[1:]) / alpha_bar[1:])
    return Curvature(sigma, designed_weights(data, name, S), model_bound, np.array(found))


@dataclass(frozen=True, eq=False)
class Path:
    """Mean power of the states of a guided run, relative to that of noisy data; all arrays (S,).

    Row s - 1 is the state after the step from s to s - 1, about the mean path.

    Attributes
    ----------
    network
        Of a run with the network.
    model
        Closed form with the Wiener denoiser (`restoration_tasks.state_power`).
    clipped
        Share of the pixels of the network's answer that were clamped.
    """

    network: NDArray
    model: NDArray
    clipped: NDArray


def path(
    data: str, name: str, S: int, k: int, weights: NDArray, *, n: int = 64, seed: int = 0
) -> Path:
    """Run DPS on validation images with a network, and compare its states with the closed form.

    Parameters
    ----------
    data, name, S, k
        Task, number of steps, training seed.
    weights
        Guidance weights (S,).
    n, seed
        Images, and seed of the noise.
    """
    task, alpha_bar, model = make_task(data, name), ddpm_respaced(S), prior(data)
    x0 = images(data, "validation", n)
    y = torch.as_tensor(measured(task, x0, seed, k), dtype=torch.float32)
    x_T = initial_noise(noise_seeds(seed, k, n, 1), x0.shape[1:], y)
    nominal = alpha_bar * model.lam.mean() + 1.0 - alpha_bar
    mu0 = torch.as_tensor(model.mu0, dtype=torch.float32)
    power, clipped = np.empty(S), np.empty(S)

    def note(at: dict[str, Any]) -> None:
        s = at["s"]
        centred = at["x"] - float(np.sqrt(alpha_bar[s])) * mu0
        power[s] = float(centred.square().mean()) / nominal[s]
        clipped[s] = float((at["x0_hat"].abs() >= CLIP[1]).float().mean())

    published.dps(
        network(data, k), x_T, alpha_bar, y=y, operator=task.operator, sigma_y=task.sigma_y,
        weights=weights, callback=note,
    )  # fmt: skip
    return Path(power, state_power(block_problem(data, name), alpha_bar, weights), clipped)
