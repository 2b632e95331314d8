"""A classifier that stays as it is, and the one map from the diffusion's range to its input."""

from __future__ import annotations

import hashlib
from typing import Any

from numpy.typing import ArrayLike

from diffbook._checks import POSITIVE, real, reals, whole
from diffbook._optional import need
from diffbook.coupled._checks import check_finite

need("torch", "torch", "coupled.frozen")

import torch  # noqa: E402 -- the error above names the extra
from torch import Tensor, nn  # noqa: E402


class Frozen:
    """A module as the classifier of a coupling: evaluation mode, no gradients, a checked range.

    It is no module itself: no ``model.train()`` of a trainer reaches the classifier through it. A
    module that someone else puts into training mode is refused, since its batch normalisation would
    go on learning.

    Parameters
    ----------
    module : nn.Module
        Classifier of inputs (n, channels, ...); it is frozen in place.
    low, high : float
        Range of the diffusion's signals.
    mean, std : float or array_like, shape (channels,)
        What the module's inputs were normalised with, on a scale from 0 (`low`) to 1 (`high`).
    batch : int
        Largest number of signals in one pass.
    """

    def __init__(
        self,
        module: nn.Module,
        low: float = -1.0,
        high: float = 1.0,
        mean: ArrayLike = 0.5,
        std: ArrayLike = 0.5,
        batch: int = 512,
    ):
        self.low = real(low, "low")
        self.high = real(high, "high", f"({self.low}, inf)")
        self.mean, self.std = (
            reals(mean, "mean", ndim=(0, 1)),
            reals(std, "std", POSITIVE, ndim=(0, 1)),
        )
        self.batch = whole(batch, "batch")
        self.module = module.eval().requires_grad_(False)

    def __call__(self, z: Any) -> Any:
        """Logits of signals in [low, high], NumPy or torch; the answer is of the same kind."""
        self.check_ready()
        weight = next(self.module.parameters(), torch.empty(0))
        x = torch.as_tensor(self.to_input(z)).to(weight.device, weight.dtype)
        with torch.inference_mode():
            found = torch.cat([self.module(part) for part in x.split(self.batch)])
        if isinstance(z, Tensor):
            return found.to(z.device, z.dtype)
        return found.cpu().numpy().astype(z.dtype)

    def check_ready(self) -> None:
        """Refuse a module that was put into training mode, or whose parameters ask for gradients."""
        odd = [name or "the whole" for name, m in self.module.named_modules() if m.training]
        odd += [name for name, p in self.module.named_parameters() if p.requires_grad]
        if odd:
            raise ValueError(
                f"classifier: {odd[0]} is in training mode or unfrozen, expected a frozen module; "
                "do not train it after Frozen(module)"
            )

    def to_input(self, z: Any) -> Any:
        """Map signals from [low, high] to the module's input; none outside, up to 1e-4, is taken."""
        check_finite(z, "z")
        least, most = z.min().item(), z.max().item()
        if least < self.low - 1e-4 or most > self.high + 1e-4:
            raise ValueError(
                f"z: got signals in [{least:.4g}, {most:.4g}], expected [{self.low}, {self.high}]"
            )
        mean, std = self._like(z)
        return ((z - self.low) / (self.high - self.low) - mean) / std

    def from_input(self, x: Any) -> Any:
        """Map the module's input back to signals."""
        check_finite(x, "x")
        mean, std = self._like(x)
        return (x * std + mean) * (self.high - self.low) + self.low

    def digest(self) -> str:
        """SHA-256 of all parameters and buffers: the same before and after, to the bit."""
        found = hashlib.sha256()
        for name, value in (*self.module.named_parameters(), *self.module.named_buffers()):
            found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            found.update(value.detach().cpu().contiguous().numpy().tobytes())
        return found.hexdigest()

    def _like(self, x: Any) -> tuple[Any, Any]:
        """Mean and deviation along the channels, of the kind of x."""
        wide = [v.reshape(-1, *(1,) * (x.ndim - 2)) for v in (self.mean, self.std)]
        if not isinstance(x, Tensor):
            return tuple(v.astype(x.dtype) for v in wide)
        return tuple(torch.as_tensor(v, dtype=x.dtype, device=x.device) for v in wide)
