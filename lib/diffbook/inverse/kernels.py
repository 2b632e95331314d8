"""Kernels of blurs, and the transfer function of a Gaussian one.

A kernel is a real array, one number per sample and axis; `diffbook.inverse.operators.Blur.from_kernel` makes a
circular convolution of it, `diffbook.inverse.operators.Blur.from_transfer` of a transfer function.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def gaussian_kernel(std: float, ndim: int = 1, radius: int | None = None) -> NDArray[np.float64]:
    """Gaussian kernel of standard deviation ``std`` (samples), sum 1.

    Parameters
    ----------
    std : float
        Positive.
    ndim : {1, 2}
        Number of dimensions.
    radius : int, optional
        Half-length: the sizes are ``2 radius + 1``; four standard deviations by default.
    """
    if not (np.isfinite(std) and std > 0):
        raise ValueError(f"std must be positive and finite, got {std!r}")
    radius = int(np.ceil(4.0 * std)) if radius is None else radius
    if radius < 0:
        raise ValueError(f"radius must be non-negative, got {radius!r}")
    line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / std) ** 2)
    return _power(line / line.sum(), ndim)


def box_kernel(size: int, ndim: int = 1) -> NDArray[np.float64]:
    """Mean over ``size`` samples of every axis."""
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size!r}")
    return _power(np.full(size, 1.0 / size), ndim)


def motion_kernel(length: float, angle: float, size: int) -> NDArray[np.float64]:
    """Straight motion with constant speed during the exposure, sum 1.

    Parameters
    ----------
    length : float in [1, size]
        Length of the path in samples; 1 is no motion.
    angle : float
        Degrees from the horizontal axis, counter-clockwise as seen.
    size : int
        Odd size of the square kernel.

    Returns
    -------
    ndarray, shape (size, size)
        The path, bilinearly spread over the grid.
    """
    if size < 1 or size % 2 == 0:
        raise ValueError(f"size must be odd and at least 1, got {size!r}")
    if not 1.0 <= length <= size:
        raise ValueError(f"length must lie in [1, size = {size}], got {length!r}")
    if not np.isfinite(angle):
        raise ValueError(f"angle must be finite, got {angle!r}")
    # The path's points, dense beside the grid; rows count downwards.
    path = np.linspace(-0.5, 0.5, 20 * size + 1) * (length - 1.0)
    direction = np.array([[-np.sin(np.deg2rad(angle))], [np.cos(np.deg2rad(angle))]])
    points = direction * path + size // 2
    grid = np.arange(size)
    rows, columns = np.maximum(0.0, 1.0 - np.abs(points[:, None] - grid[:, None]))
    kernel = rows @ columns.T
    return kernel / kernel.sum()


def gaussian_transfer(
    shape: int | Sequence[int], std: float, shift: float = 0.0
) -> NDArray[np.complex128]:
    """Transfer function ``exp(-(std w)^2 / 2 - i shift w)`` of a Gaussian blur with a shift.

    Parameters
    ----------
    shape : int or tuple of int
        Shape of a signal.
    std : float
        Standard deviation in samples, non-negative (0: the shift alone).
    shift : float
        Displacement along every axis in samples. Where a size is even, the Nyquist frequency
        takes the real part, as it must for real signals.
    """
    shape = signal_shape(shape)
    if not (np.isfinite(std) and std >= 0):
        raise ValueError(f"std must be non-negative and finite, got {std!r}")
    if not np.isfinite(shift):
        raise ValueError(f"shift must be finite, got {shift!r}")
    h = np.ones((1,) * len(shape), dtype=np.complex128)
    for axis, n in enumerate(shape):
        w = 2.0 * np.pi * np.fft.fftfreq(n)
        line = np.exp(-0.5 * (std * w) ** 2 - 1j * shift * w)
        if n % 2 == 0:
            line[n // 2] = line[n // 2].real
        h = h * np.expand_dims(line, [i for i in range(len(shape)) if i != axis])
    return h


def signal_shape(shape: int | Sequence[int], name: str = "shape") -> tuple[int, ...]:
    """Check the shape of a signal, one or two sizes, and return it as a tuple."""
    sizes = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    if len(sizes) not in (1, 2) or any(n < 1 for n in sizes):
        raise ValueError(f"{name} must be one or two sizes of at least 1, got {shape!r}")
    return tuple(int(n) for n in sizes)


def _power(line: NDArray[np.float64], ndim: int) -> NDArray[np.float64]:
    if ndim not in (1, 2):
        raise ValueError(f"ndim must be 1 or 2, got {ndim!r}")
    return line if ndim == 1 else np.outer(line, line)
