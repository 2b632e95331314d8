"""Small conditional networks for signals and logits: two denoisers and the classifier between them.

One family for images (n, channels, h, w), `dims=2`, and for spectrograms (n, channels, frames),
`dims=1`, whose frequencies are channels. All work in VE coordinates, v = x0 + sigma eps.

Sources: coupled denoisers, Nurko et al. 2026 (arXiv 2602.15405), with networks of our own;
preconditioning, Karras, Aittala, Aila, Laine 2022 (arXiv 2206.00364), Table 1; modulation by
conditions, Perez et al. 2018 (arXiv 1709.07871).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffbook._checks import POSITIVE, choice, real, whole
from diffbook.nets.unet import tensor, torch_device

#: Standard deviation of standardised logits, which is their scale in the preconditioning.
SPREAD = 0.8

_CONV = {1: nn.Conv1d, 2: nn.Conv2d}
_GROW = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d}
_POOL = {1: partial(nn.AdaptiveAvgPool1d, 4), 2: partial(nn.AdaptiveAvgPool2d, 2)}  # four cells


class _Block(nn.Module):
    """Residual block of two convolutions, modulated per channel by an embedding."""

    def __init__(self, width: int, c_emb: int, dims: int, dilation: int = 1, kernel: int = 3):
        super().__init__()
        how = {"kernel_size": kernel, "padding": kernel // 2 * dilation, "dilation": dilation}
        self.norm1, self.norm2 = nn.GroupNorm(8, width), nn.GroupNorm(8, width)
        self.conv1, self.conv2 = (_CONV[dims](width, width, **how) for _ in range(2))
        self.modulate = nn.Linear(c_emb, 2 * width)
        nn.init.zeros_(self.conv2.weight)  # every block starts as the identity
        nn.init.zeros_(self.conv2.bias)

    def forward(self, h: Tensor, emb: Tensor) -> Tensor:
        scale, shift = self.modulate(emb)[(..., *(None,) * (h.ndim - 2))].chunk(2, dim=1)
        r = self.conv1(F.silu(self.norm1(h)))
        return h + self.conv2(F.silu(self.norm2(r) * (1 + scale) + shift))


class _Trunk(nn.Module):
    """Patches of side `fold` become features (n, width, ...), then residual blocks.

    Along time the blocks look ever further apart: an echo lasts longer than a frame.
    """

    def __init__(self, channels: int, width: int, dims: int, fold: int, depth: int, c_emb: int):
        super().__init__()
        if whole(width, "width") % 8:
            raise ValueError(f"width: got {width!r}, expected a multiple of 8")
        channels, fold, depth = (
            whole(channels, "channels"),
            whole(fold, "fold"),
            whole(depth, "depth"),
        )
        self.enter = _CONV[choice(dims, "dims", _CONV)](channels, width, fold, stride=fold)
        steps = [2 ** (i % 4) if dims == 1 else 1 for i in range(depth)]
        self.blocks = nn.ModuleList(_Block(width, c_emb, dims, step) for step in steps)
        self.leave = nn.Sequential(nn.GroupNorm(8, width), nn.SiLU())

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        if any(side % self.enter.stride[0] for side in x.shape[2:]):
            fold, shape = self.enter.stride[0], tuple(x.shape)
            raise ValueError(f"fold: got {fold}, expected a divisor of the sides of {shape}")
        h = self.enter(x)
        for block in self.blocks:
            h = block(h, emb)
        return self.leave(h)


class _Level(nn.Module):
    """Embedding of noise levels (n,) -> (n, c_emb)."""

    def __init__(self, c_emb: int):
        super().__init__()
        # Fixed frequencies: ln(sigma)/4 spans about 3, the slowest sine covers it in half a turn.
        self.register_buffer("frequencies", torch.exp(torch.linspace(0.0, math.log(16.0), 12)))
        self.net = nn.Sequential(nn.Linear(24, c_emb), nn.SiLU(), nn.Linear(c_emb, c_emb))

    def forward(self, sigma: Tensor) -> Tensor:
        angles = sigma.log()[:, None] / 4 * self.frequencies
        return self.net(torch.cat([angles.sin(), angles.cos()], dim=1))


def _preconditioned(raw: Callable, v: Tensor, sigma: Tensor, sigma_data: float) -> Tensor:
    """EDM's denoiser around `raw(c_in v)`."""
    sigma = sigma.reshape(-1, *(1,) * (v.ndim - 1))
    total = (sigma**2 + sigma_data**2).sqrt()
    return (sigma_data / total) ** 2 * v + sigma * sigma_data / total * raw(v / total)


def _modulus(z: Tensor) -> Tensor:
    re, im = z.chunk(2, dim=1)
    return (re**2 + im**2).sqrt()


class SignalNet(nn.Module):
    """Denoiser of signals that sees the observation, and logits if there are any.

    Parameters
    ----------
    channels, classes
        Channels of the signals; number K of logits.
    width
        Width of the features, a multiple of 8.
    dims : {1, 2}
        Spectrograms (n, channels, frames) or images (n, channels, h, w).
    fold
        Side of the patches that become features at the input; divides every side of the signals.
    depth
        Number of residual blocks.
    sigma_data
        Standard deviation of the clean signals; observations are divided by it as well.
    polar
        Whether the channels are the real and then the imaginary parts of a complex spectrum. The
        network then sees moduli too, and its gates keep the phase of what they let through.
    """

    def __init__(
        self, channels: int, classes: int, width: int = 32, dims: int = 2, fold: int = 1,
        depth: int = 3, sigma_data: float = 0.5, polar: bool = False,
    ):  # fmt: skip
        super().__init__()
        if choice(polar, "polar", (False, True)) and whole(channels, "channels", 2) % 2:
            raise ValueError(f"channels: got {channels}, expected an even number (polar)")
        self.polar = polar
        self.sigma_data = real(sigma_data, "sigma_data", POSITIVE)
        self.level, self.null = _Level(64), nn.Parameter(torch.zeros(64))
        enter = nn.Linear(whole(classes, "classes", 2), 64)
        self.logits = nn.Sequential(enter, nn.SiLU(), nn.Linear(64, 64))
        self.trunk = _Trunk((3 if polar else 2) * channels, width, dims, fold, depth, 64)
        self.leave = _GROW[dims](width, (2 if polar else 3) * channels, fold, stride=fold)

    def forward(self, v: Tensor, sigma: Tensor, u: Tensor, y_hat: Tensor | None = None) -> Tensor:
        """Estimate x0 from v = x0 + sigma eps, sigma (n,), the observation u and logits (n, K) or None."""
        known = self.null if y_hat is None else self.logits(y_hat)
        emb = F.silu(self.level(sigma) + known)

        def raw(scaled):
            seen = u / self.sigma_data
            moduli = [_modulus(scaled), _modulus(seen)] if self.polar else []
            found = self.leave(self.trunk(torch.cat([scaled, seen, *moduli], dim=1), emb))
            # Detail that would not pass through the features is let through by gates.
            new, gates = found[:, : v.shape[1]], found[:, v.shape[1] :].chunk(2, dim=1)
            gate_v, gate_u = (torch.cat([g, g], dim=1) if self.polar else g for g in gates)
            return new + gate_v * scaled + gate_u * seen

        return _preconditioned(raw, v, sigma, self.sigma_data)


class LogitsNet(nn.Module):
    """Denoiser of standardised logits that sees one or more views of the signal and its logits.

    Called once, at v = 0 and a large sigma, it is a one-shot network. Parameters as in
    :class:`SignalNet`; `views` is the number of signals seen.
    """

    def __init__(
        self, channels: int, classes: int, width: int = 32, dims: int = 2, views: int = 1,
        fold: int = 1, depth: int = 1, hidden: int = 128, sigma_data: float = 0.5,
    ):  # fmt: skip
        super().__init__()
        self.sigma_data = real(sigma_data, "sigma_data", POSITIVE)
        self.views, hidden = whole(views, "views"), whole(hidden, "hidden", 8)
        self.level, classes = _Level(hidden), whole(classes, "classes", 2)
        self.trunk = _Trunk(self.views * channels, width, dims, fold, depth, classes)
        self.pool, self.features = _POOL[dims](), nn.Linear(4 * width, hidden)
        self.enter = nn.Linear(2 * classes, hidden)
        self.blocks = nn.ModuleList(_Block(hidden, hidden, 1, kernel=1) for _ in range(2))
        self.leave = nn.Linear(hidden, classes)

    def forward(self, v_y: Tensor, sigma: Tensor, views: tuple[Tensor, ...], c: Tensor) -> Tensor:
        """Estimate y0 from v_y = y0 + sigma eps (n, K), the views, and the logits c of the last one."""
        if len(views) != self.views:
            raise ValueError(f"views: got {len(views)}, expected {self.views}")
        seen = self.pool(self.trunk(torch.cat(views, dim=1) / self.sigma_data, c)).flatten(1)
        emb = F.silu(self.level(sigma) + self.features(seen))

        def raw(scaled):
            h = self.enter(torch.cat([scaled, c], dim=1))[..., None]
            for block in self.blocks:
                h = block(h, emb)
            return self.leave(h[..., 0])

        return _preconditioned(raw, v_y, sigma, SPREAD)


class Classifier(nn.Module):
    """The small classifier f: signals to logits (n, K). Parameters as in :class:`SignalNet`."""

    def __init__(
        self, channels: int, classes: int, width: int = 32, dims: int = 2, fold: int = 1, depth: int = 2
    ):  # fmt: skip
        super().__init__()
        self.trunk = _Trunk(channels, width, dims, fold, depth, 1)
        self.pool, self.leave = _POOL[dims](), nn.Linear(4 * width, whole(classes, "classes", 2))

    def forward(self, x: Tensor) -> Tensor:
        """Map signals to logits."""
        return self.leave(self.pool(self.trunk(x, x.new_zeros(len(x), 1))).flatten(1))


def as_signal_denoiser(
    net: SignalNet, low: float = -1.0, high: float = 1.0, device: str = "cpu", batch: int = 256
) -> Callable:
    """Adapt a network to `signal(v_x, sigma, (u, y_hat)) -> x0_hat`, clipped to [low, high].

    Arrays are numpy or torch, `sigma` is a positive number, `y_hat` (n, K) or None; the network runs
    in inference mode on `device`, at most `batch` signals at once.
    """
    low = real(low, "low")
    high = real(high, "high", f"({low}, inf)")
    run = _runner(net, device, batch)

    def signal(v_x, sigma, cond):
        u, y_hat = cond
        return run(net, v_x, sigma, [u] if y_hat is None else [u, y_hat]).clip(low, high)

    return signal


def as_logits_denoiser(net: LogitsNet, device: str = "cpu", batch: int = 256) -> Callable:
    """Adapt a network to `logits(v_y, sigma, (views, c)) -> y0_hat`; as :func:`as_signal_denoiser`."""
    run = _runner(net, device, batch)

    def call(v, sigma, c, *views):
        return net(v, sigma, views, c)

    def logits(v_y, sigma, cond):
        views, c = cond
        return run(call, v_y, sigma, [c, *views])

    return logits


def _runner(net: nn.Module, device: str, batch: int) -> Callable:
    """Run a network on arrays of either kind, in batches; the answer is like the first array."""
    device, batch = torch_device(device), whole(batch, "batch")
    net = net.to(device).eval()

    def run(call, v, sigma, more):
        sigma, like = real(sigma, "sigma", POSITIVE), tensor(v)
        arrays = [torch.as_tensor(a).to(device, torch.float32) for a in (like, *more)]
        if any(len(a) != len(like) for a in arrays):
            found = [tuple(a.shape) for a in arrays]
            raise ValueError(f"cond: got state and conditions {found}, expected as many of each")
        with torch.inference_mode():
            level = torch.full((len(like),), sigma, device=device)
            parts = zip(*(a.split(batch) for a in (arrays[0], level, *arrays[1:])), strict=True)
            found = torch.cat([call(*part) for part in parts]).to(like.device, like.dtype)
        return found.numpy() if isinstance(v, np.ndarray) else found

    return run
