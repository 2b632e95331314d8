"""Kernels of blurs, and the transfer function of a Gaussian one.

A kernel is a real array, one number per sample and axis; `diffbook.inverse.operators.Blur.from_kernel` makes a
circular convolution of it, `diffbook.inverse.operators.Blur.from_transfer` of a transfer function.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from diffbook._checks import NON_NEGATIVE, POSITIVE, real, whole


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
    std = real(std, "std", POSITIVE)
    radius = int(np.ceil(4.0 * std)) if radius is None else whole(radius, "radius", 0)
    line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / std) ** 2)
    return _power(line / line.sum(), ndim)


def box_kernel(size: int, ndim: int = 1) -> NDArray[np.float64]:
    """Mean over ``size`` samples of every axis."""
    size = whole(size, "size")
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
    size = whole(size, "size")
    if size % 2 == 0:
        raise ValueError(f"size: got {size}, expected an odd number")
    length, angle = real(length, "length", f"[1, {size}]", "at most the size"), real(angle, "angle")
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
    std, shift = real(std, "std", NON_NEGATIVE), real(shift, "shift")
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
    sizes = (shape,) if np.ndim(shape) == 0 else tuple(shape)
    if len(sizes) not in (1, 2):
        raise ValueError(f"{name}: got {shape!r}, expected one or two sizes")
    return tuple(whole(n, name) for n in sizes)


def _power(line: NDArray[np.float64], ndim: int) -> NDArray[np.float64]:
    return line if whole(ndim, "ndim", 1, 2) == 1 else np.outer(line, line)
