"""Arrays of several kinds: NumPy's need nothing else, others go through the array API."""

from __future__ import annotations

from typing import Any

import numpy as np

from diffbook._optional import need


def array_namespace(x: Any) -> Any:
    """Functions for arrays of this kind; NumPy 2 itself speaks the array API."""
    if isinstance(x, np.ndarray | np.generic):
        return np
    need("array_api_compat", "torch", "an array that is not NumPy's")
    import array_api_compat

    return array_api_compat.array_namespace(x)


def device(x: Any) -> Any:
    """Device that holds an array."""
    if isinstance(x, np.ndarray | np.generic):
        return "cpu"
    need("array_api_compat", "torch", "an array that is not NumPy's")
    import array_api_compat

    return array_api_compat.device(x)


def check_signals(x: Any, name: str, shape: tuple[int, ...] | None = None) -> None:
    """Refuse anything but a batch of real floating signals, of this shape or of any.

    Their numbers are not looked at: a sampler that diverges shows as such.
    """
    found = tuple(getattr(x, "shape", ()))
    fits = len(found) > 1 if shape is None else len(found) > 0 and found[1:] == tuple(shape)
    if not fits or 0 in found or not array_namespace(x).isdtype(x.dtype, "real floating"):
        words = "*shape" if shape is None else ", ".join(map(str, shape))
        raise ValueError(
            f"{name} must be a real floating array (n, {words}), got shape {found} and dtype "
            f"{getattr(x, 'dtype', type(x).__name__)}"
        )
