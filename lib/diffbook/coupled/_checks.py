"""Checks of signals and logits."""

from __future__ import annotations

from typing import Any

from diffbook._arrays import array_namespace, check_signals


def check_finite(x: Any, name: str) -> None:
    """Refuse anything but a batch of finite signals."""
    check_signals(x, name)
    xp = array_namespace(x)
    if not xp.all(xp.isfinite(x)):
        raise ValueError(f"{name} must hold finite numbers")


def check_shape(y: Any, name: str, n: int) -> Any:
    """Refuse logits of another shape than (n, K), K of at least 2; their numbers are not looked at."""
    if len(y.shape) != 2 or y.shape[0] != n or y.shape[1] < 2:
        raise ValueError(f"{name}: got shape {tuple(y.shape)}, expected ({n}, K), K of at least 2")
    return y


def check_logits(y: Any, name: str, n: int | None = None) -> None:
    """Refuse anything but finite logits of n samples, or of any number of them."""
    check_finite(y, name)
    check_shape(y, name, y.shape[0] if n is None else n)
