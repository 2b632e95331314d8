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
