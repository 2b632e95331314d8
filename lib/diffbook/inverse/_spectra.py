"""Checks of transfer functions: one number for each mode of a signal."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._checks import complexes


def hermitian(values: ArrayLike, name: str) -> NDArray[np.complex128]:
    """Return a copy of a transfer function (d,) or (h, w); refuse one that makes real signals complex."""
    h = np.array(complexes(values, name, ndim=(1, 2)), dtype=np.complex128)
    gap = np.abs(h - np.conj(mirrored(h)))
    if gap.max() > 1e-10 * np.abs(h).max():
        k = tuple(int(i) for i in np.argwhere(gap == gap.max())[0])
        raise ValueError(
            f"{name} must be Hermitian ({name}[-k] = conj({name}[k])) for real signals; "
            f"{name}{list(k)} = {h[k]} differs from the conjugate of its mirror image "
            f"{mirrored(h)[k]}"
        )
    return h


def mirrored(h: NDArray) -> NDArray:
    """Values at the opposite frequencies, ``h[-k]``."""
    return h[np.ix_(*(-np.arange(n) % n for n in h.shape))]
