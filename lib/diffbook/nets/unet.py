"""A small convolutional U-Net denoiser with EDM preconditioning, for 8 x 8 and 16 x 16 grey images.

Sources: U-Net, Ronneberger, Fischer, Brox 2015 (arXiv 1505.04597); preconditioning, Karras, Aittala,
Aila, Laine 2022 (arXiv 2206.00364), Table 1.
"""

import math
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffbook._checks import POSITIVE, real, whole


class _Block(nn.Module):
    """Residual block: two 3 x 3 convolutions, modulated per channel by the noise level."""

    def __init__(self, c_in: int, c_out: int, c_emb: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(8, c_in)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.modulate = nn.Linear(c_emb, 2 * c_out)
        self.norm2 = nn.GroupNorm(8, c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.skip = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()
        nn.init.zeros_(self.conv2.weight)  # every block starts as the identity
        nn.init.zeros_(self.conv2.bias)

    def forward(self, h: Tensor, emb: Tensor) -> Tensor:
        """Map features (n, c_in, h, w) and noise embedding (n, c_emb) to (n, c_out, h, w)."""
        scale, shift = self.modulate(emb)[:, :, None, None].chunk(2, dim=1)
        r = self.conv1(F.silu(self.norm1(h)))
        r = self.conv2(F.silu(self.norm2(r) * (1 + scale) + shift))
        return self.skip(h) + r


class UNet(nn.Module):
    """U-Net on two resolutions, with space-to-depth at the input to keep it cheap.

    Parameters
    ----------
    channels
        Widths at the fine and the coarse resolution (multiples of 8).
    fold
        Side of the pixel blocks that become channels at the input (1: none). Images of
        16 x 16 with `fold=2` are processed as 8 x 8 with 4 channels.
    c_emb
        Width of the noise embedding.
    """

    def __init__(self, channels: tuple[int, int] = (32, 64), fold: int = 1, c_emb: int = 64):
        super().__init__()
        widths = [whole(c, "channels", 8) for c in channels]
        if len(widths) != 2 or any(c % 8 for c in widths):
            raise ValueError(f"channels: got {channels!r}, expected two multiples of 8")
        fine, coarse = widths
        self.fold, c_emb = whole(fold, "fold"), whole(c_emb, "c_emb")
        # Fixed frequencies: ln(sigma)/4 spans about 2.5, the slowest sine covers it in half a turn.
        self.register_buffer("frequencies", torch.exp(torch.linspace(0.0, math.log(32.0), 16)))
        self.embed = nn.Sequential(nn.Linear(32, c_emb), nn.SiLU(), nn.Linear(c_emb, c_emb))
        self.enter = nn.Conv2d(fold**2, fine, 3, padding=1)
        self.down1 = _Block(fine, fine, c_emb)
        self.shrink = nn.Conv2d(fine, coarse, 3, stride=2, padding=1)
        self.down2 = _Block(coarse, coarse, c_emb)
        self.middle = _Block(coarse, coarse, c_emb)
        self.grow = nn.Conv2d(coarse, fine, 1)
        self.up1 = _Block(2 * fine, fine, c_emb)
        self.leave = nn.Sequential(
            nn.GroupNorm(8, fine), nn.SiLU(), nn.Conv2d(fine, fold**2, 3, padding=1)
        )

    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        """Map images (n, 1, h, w) and noise codes (n,) to images (n, 1, h, w)."""
        angles = c_noise[:, None] * self.frequencies
        emb = F.silu(self.embed(torch.cat([angles.sin(), angles.cos()], dim=1)))
        h1 = self.down1(self.enter(F.pixel_unshuffle(x, self.fold)), emb)
        h2 = self.middle(self.down2(self.shrink(h1), emb), emb)
        h = F.interpolate(self.grow(h2), scale_factor=2.0, mode="nearest")
        return F.pixel_shuffle(self.leave(self.up1(torch.cat([h, h1], dim=1), emb)), self.fold)


class Preconditioned(nn.Module):
    """EDM preconditioning (arXiv 2206.00364, Table 1) around a raw network.

    The denoiser is `mean + c_skip (y - mean) + c_out net(c_in (y - mean), ln(sigma)/4)` for
    `y = x0 + sigma eps`. `mean` is one number, the average grey level of the training set, so that the
    network sees centred data.

    Parameters
    ----------
    net
        Raw network `net(x, c_noise)`.
    data_mean, sigma_data
        Mean and standard deviation of all training pixels.
    """

    def __init__(self, net: nn.Module, data_mean: float, sigma_data: float):
        super().__init__()
        self.net, self.data_mean = net, real(data_mean, "data_mean")
        self.sigma_data = real(sigma_data, "sigma_data", POSITIVE)

    def forward(self, y: Tensor, sigma: Tensor) -> Tensor:
        """Denoise y (n, 1, h, w) = x0 + sigma eps at noise levels sigma (n,)."""
        sigma = sigma.to(y.dtype).reshape(-1, 1, 1, 1)
        total = (sigma**2 + self.sigma_data**2).sqrt()
        centred = y - self.data_mean
        raw = self.net(centred / total, sigma.flatten().log() / 4)
        c_skip, c_out = self.sigma_data**2 / total**2, sigma * self.sigma_data / total
        return self.data_mean + c_skip * centred + c_out * raw


def tensor(x_t: np.ndarray | Tensor) -> Tensor:
    """Return states as a torch tensor; integers would round the answer, complex numbers be cut."""
    x = torch.as_tensor(x_t)
    if not x.is_floating_point() or x.numel() == 0:
        found = f"{x.dtype} of shape {tuple(x.shape)}"
        raise ValueError(f"x_t: got {found}, expected images in real floating point")
    return x


def torch_device(device: str | torch.device) -> torch.device:
    """Return a device by its name, if it can be used here."""
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        raise ValueError(f"device: got {device!r}, expected one usable here ({error})") from error


def as_denoiser(
    model: nn.Module, device: str = "cpu", batch: int = 256, differentiable: bool = False
) -> Callable:
    """Adapt a VE network `model(y, sigma)` to the protocol `denoiser(x_t, alpha_bar_t, cond=None)`.

    Parameters
    ----------
    model
        Network on images (n, 1, h, w); moved to `device` and set to evaluation mode.
    device
        Torch device that runs the network.
    batch
        Largest number of images in one pass.
    differentiable
        Whether gradients flow from the answer back to a torch `x_t`, as samplers that are guided
        through the denoiser need them. The parameters of `model` are frozen then. Without it the
        network runs in inference mode.

    Returns
    -------
    callable
        `denoiser(x_t, alpha_bar_t, cond=None) -> x0_hat`. `x_t` of shape (n, h, w) or (n, 1, h, w),
        numpy or torch, real floating point (a diverging sampler may hand in infinite values); the
        answer has its shape, type, dtype and device. The network itself runs in float32.
        `alpha_bar_t` is a float in (0, 1); `cond` must be None.
    """
    device, batch = torch_device(device), whole(batch, "batch")
    model = model.to(device).eval()
    if differentiable:
        # Otherwise every answer would hold a graph, and a sampler would pile up those of all steps.
        model.requires_grad_(False)

    def denoiser(x_t, alpha_bar_t, cond=None):
        alpha_bar_t = real(alpha_bar_t, "alpha_bar_t", "(0, 1)")
        if cond is not None:
            raise ValueError("cond: got a condition, expected None (the network is unconditional)")
        x, parts = tensor(x_t), []
        if x.ndim != 3 and (x.ndim != 4 or x.shape[1] != 1):
            raise ValueError(f"x_t: got shape {tuple(x.shape)}, expected (n, h, w) or (n, 1, h, w)")
        flat = x.reshape(-1, 1, *x.shape[-2:])
        sigma = math.sqrt((1.0 - alpha_bar_t) / alpha_bar_t)
        # A numpy array has no graph to record, whatever the caller asked for.
        graph = differentiable and isinstance(x_t, Tensor)
        with nullcontext() if graph else torch.inference_mode():
            for part in flat.split(batch):
                # Rescale before the cast, so that float64 callers lose no more than the network does.
                y = (part / math.sqrt(alpha_bar_t)).to(device=device, dtype=torch.float32)
                parts.append(model(y, torch.full((len(y),), sigma, device=device)))
            x0 = torch.cat(parts).reshape(x.shape).to(device=x.device, dtype=x.dtype)
        return x0.numpy() if isinstance(x_t, np.ndarray) else x0

    return denoiser
