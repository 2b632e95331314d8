"""Muon for the hidden layers of a network, AdamW for the rest, as one optimiser.

Muon makes the step of a matrix orthogonal: it moves all directions alike, where Adam's step is ruled by
the strongest. Kernels of convolutions are matrices (c_out, c_in k) to it.

Source: Jordan, Jin, Boza, You, Cesista, Newhouse, Bernstein 2024 (Muon), as in torch; the step is scaled
to the size of AdamW's as in Liu et al. 2025 (arXiv 2502.16982).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from diffbook._checks import NON_NEGATIVE, POSITIVE, real


class MuonAdamW:
    """Optimiser with the methods that a training here uses.

    Parameters
    ----------
    hidden
        Parameters of at least two dimensions that Muon moves. The network may be filled or moved to
        another device afterwards.
    rest
        All other parameters of the network.
    lr, hidden_lr
        Learning rates of the rest and of the hidden ones. `scale` changes both.
    weight_decay
        Decoupled weight decay, for all.
    """

    def __init__(
        self, hidden: Iterable[nn.Parameter], rest: Iterable[nn.Parameter], lr: float,
        hidden_lr: float, weight_decay: float = 0.0,
    ):  # fmt: skip
        self.hidden, rest = list(hidden), list(rest)
        for name, found in (("hidden", self.hidden), ("rest", rest)):
            if not found or not all(isinstance(p, nn.Parameter) for p in found):
                kinds = sorted({type(p).__name__ for p in found}) or "none"
                raise ValueError(f"{name}: got {kinds}, expected parameters")
        low = [tuple(p.shape) for p in self.hidden if p.ndim < 2]
        if low:
            raise ValueError(f"hidden: got shapes {low[:3]}, expected at least two dimensions")
        decay = {"weight_decay": real(weight_decay, "weight_decay", NON_NEGATIVE)}
        # Matrices that share the memory of the kernels: what moves them moves the network.
        self.matrices = [nn.Parameter(p.data.view(len(p), -1)) for p in self.hidden]
        self.rates = real(hidden_lr, "hidden_lr", POSITIVE), real(lr, "lr", POSITIVE)
        self.parts = (
            torch.optim.Muon(self.matrices, lr=hidden_lr, adjust_lr_fn="match_rms_adamw", **decay),
            torch.optim.AdamW(rest, lr=lr, fused=True, **decay),
        )
        self.rest = rest

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for p in (*self.hidden, *self.rest):
            p.grad = None

    def scale(self, factor: float) -> None:
        """Set both learning rates to this multiple of what they began with."""
        factor = real(factor, "factor", NON_NEGATIVE)
        for part, rate in zip(self.parts, self.rates, strict=True):
            for group in part.param_groups:
                group["lr"] = factor * rate

    def step(self) -> None:
        """Move all parameters that have a gradient."""
        self._share()
        for p, matrix in zip(self.hidden, self.matrices, strict=True):
            matrix.grad = None if p.grad is None else p.grad.view_as(matrix)
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """State of all parameters, the hidden ones first."""
        muon, adam = (part.state_dict() for part in self.parts)
        shifted = {len(self.hidden) + i: v for i, v in adam["state"].items()}
        return {"state": {**muon["state"], **shifted}, "param_groups": []}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self._share()
        count, groups = len(self.hidden), [part.state_dict()["param_groups"] for part in self.parts]
        muon = {i: v for i, v in state["state"].items() if i < count}
        adam = {i - count: v for i, v in state["state"].items() if i >= count}
        for part, own, group in zip(self.parts, (muon, adam), groups, strict=True):
            part.load_state_dict({"state": own, "param_groups": group})

    def _share(self) -> None:
        """Look at the network's memory again: it is another one after `net.to(device)`."""
        for p, matrix in zip(self.hidden, self.matrices, strict=True):
            matrix.data = p.data.view(len(p), -1)


def hidden_and_rest(
    net: nn.Module, ends: Iterable[str]
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Split the parameters of a network: kernels and matrices but those of the named modules, and the rest.

    Parameters
    ----------
    net
        Network of which each parameter is in one of the two lists.
    ends
        Names of its first and last modules, without a dot; it need not have all of them.
    """
    if isinstance(ends, str):
        raise ValueError(f"ends: got {ends!r}, expected several names of modules")
    ends = tuple(ends)
    hidden, rest = [], []
    for name, p in net.named_parameters():
        (rest if p.ndim < 2 or name.split(".")[0] in ends else hidden).append(p)
    return hidden, rest
