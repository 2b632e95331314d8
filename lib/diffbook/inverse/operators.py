"""Degradations as linear operators, with their spectra where they have one.

A measurement is ``y = H x0 + sigma_y noise``. `Blur` is circulant: the DFT diagonalises it.
`Downsampling` couples the frequencies that fall onto each other, but ``H H^T`` is circulant on the
coarse grid. A `Mask` has no spectrum; its ``H H^T`` is the identity. All three answer the same few
calls (`Degradation`), act on the trailing axes of NumPy and torch arrays and leave leading axes
(batch, colour) alone, and everything else in this module is written once for all of them.

Sources: Kawar et al. 2022 (DDRM, arXiv 2201.11793), singular value decompositions of the usual
degradations; Golub and Van Loan, "Matrix Computations", for the pseudo-inverse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._arrays import array_namespace, device
from diffbook._checks import NON_NEGATIVE, real, reals, whole
from diffbook.inverse._spectra import hermitian
from diffbook.inverse.kernels import (
    box_kernel,
    gaussian_kernel,
    gaussian_transfer,
    motion_kernel,
    signal_shape,
)

__all__ = [
    "RCOND",
    "Blur",
    "Degradation",
    "Downsampling",
    "Mask",
    "adjoint_solve",
    "box_kernel",
    "check_measurement",
    "from_range",
    "gaussian_kernel",
    "gaussian_transfer",
    "identity",
    "kept",
    "matrix",
    "measure",
    "motion_kernel",
    "pinv",
    "solve",
    "times",
    "to_range",
]

Shape = tuple[int, ...]

RCOND = 1e-8
"""Singular values below this fraction of the largest one count as zero."""

_FLOATING = ("real floating", "complex floating")


class Degradation(Protocol):
    """What a linear degradation H offers.

    Attributes
    ----------
    shape, measurement_shape : tuple of int
        Of one signal and one measurement (trailing axes; any leading axes are allowed).
    spectrum : complex ndarray of ``shape`` or None
        Transfer function (``F H F*`` of the unitary DFT F, in ``fftn`` order) of a circulant H.
    singular_values : ndarray of ``measurement_shape``
        Square roots of the eigenvalues of ``H H^T``, in the order of the coordinates.
    """

    shape: Shape
    measurement_shape: Shape
    spectrum: NDArray[np.complex128] | None
    singular_values: NDArray[np.float64]

    def forward(self, x: Any) -> Any:
        """Return ``H x`` of signals ``(..., *shape)``."""

    def adjoint(self, y: Any) -> Any:
        """Return ``H^T y`` of measurements ``(..., *measurement_shape)``."""

    def to_coords(self, y: Any) -> Any:
        """Unitary transform of measurements that makes ``H H^T`` diagonal."""

    def from_coords(self, u: Any) -> Any:
        """Inverse of ``to_coords``; real."""


# --- the operators ----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Blur:
    """Circular convolution, in one or two dimensions.

    Parameters
    ----------
    spectrum : complex ndarray, shape (d,) or (h, w)
        Transfer function in ``fftn`` order; Hermitian, ``h[-k] = conj(h[k])``, as a real signal
        must stay real.
    """

    spectrum: NDArray[np.complex128]

    def __post_init__(self) -> None:
        # A copy: what is derived from it is kept.
        object.__setattr__(self, "spectrum", hermitian(self.spectrum, "spectrum"))

    @classmethod
    def from_kernel(cls, kernel: ArrayLike, shape: int | Sequence[int]) -> Blur:
        """Make the blur of a kernel whose centre is at index ``size // 2`` of every axis.

        Parameters
        ----------
        kernel : array_like, one or two dimensions
            Real kernel, on no axis longer than the signal.
        shape : int or tuple of int
            Shape of a signal.
        """
        shape = signal_shape(shape)
        kernel = reals(kernel, "kernel", ndim=len(shape))
        if any(k > n for k, n in zip(kernel.shape, shape, strict=True)):
            raise ValueError(
                f"kernel must not be longer than the signal of shape {shape}, got {kernel.shape}"
            )
        padded = np.zeros(shape)
        padded[tuple(slice(k) for k in kernel.shape)] = kernel
        centred = np.roll(padded, [-(k // 2) for k in kernel.shape], tuple(range(len(shape))))
        return cls(np.fft.fftn(centred))

    @classmethod
    def from_transfer(cls, h: ArrayLike) -> Blur:
        """Make the blur of a transfer function (d,) or (h, w) in ``fftn`` order.

        One without ``h[-k] = conj(h[k])`` is refused: a real signal would not stay real.
        """
        return cls(hermitian(h, "h"))

    @property
    def shape(self) -> Shape:
        """Shape of one signal."""
        return self.spectrum.shape

    @property
    def measurement_shape(self) -> Shape:
        """Shape of one measurement, the same as a signal's."""
        return self.spectrum.shape

    @cached_property
    def singular_values(self) -> NDArray[np.float64]:
        """``|h|``."""
        return np.abs(self.spectrum)

    def forward(self, x: Any) -> Any:
        """Convolve signals ``(..., *shape)``."""
        return _filter(_checked(x, self.shape, "x"), self.spectrum)

    def adjoint(self, y: Any) -> Any:
        """Correlate measurements ``(..., *shape)``."""
        return _filter(_checked(y, self.shape, "y"), np.conj(self.spectrum))

    def to_coords(self, y: Any) -> Any:
        """Unitary DFT ``(..., *shape)``, complex."""
        return _dft(_checked(y, self.shape, "y"), len(self.shape))

    def from_coords(self, u: Any) -> Any:
        """Real part of the inverse unitary DFT."""
        return _inverse_dft(_checked(u, self.measurement_shape, "u", _FLOATING), len(self.shape))


@dataclass(frozen=True, eq=False)
class Downsampling:
    """Circular blur, then every ``factor``-th sample of every axis.

    Parameters
    ----------
    shape : int or tuple of int
        Shape of a signal, one or two sizes.
    factor : int
        Divides every size.
    blur : Blur, optional
        Applied before; none by default.
    """

    shape: Shape
    factor: int
    blur: Blur | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", signal_shape(self.shape))
        object.__setattr__(self, "factor", whole(self.factor, "factor"))
        if any(n % self.factor for n in self.shape):
            raise ValueError(f"factor must divide every size of {self.shape}, got {self.factor}")
        if self.blur is not None and self.blur.shape != self.shape:
            raise ValueError(
                f"blur must be for signals of shape {self.shape}, got {self.blur.shape}"
            )

    @property
    def measurement_shape(self) -> Shape:
        """Shape of one measurement."""
        return tuple(n // self.factor for n in self.shape)

    @property
    def spectrum(self) -> None:
        """None, because frequencies couple in groups."""
        return None

    @cached_property
    def singular_values(self) -> NDArray[np.float64]:
        """Root mean square of ``|h|`` over the frequencies that fall onto each other."""
        h = np.ones(self.shape) if self.blur is None else self.blur.spectrum
        aliases = [n for m in self.measurement_shape for n in (self.factor, m)]
        over = tuple(range(0, len(aliases), 2))
        return np.sqrt(np.mean(np.abs(h.reshape(aliases)) ** 2, axis=over))

    def forward(self, x: Any) -> Any:
        """Blur and subsample signals ``(..., *shape)``."""
        x = _checked(x, self.shape, "x")
        x = x if self.blur is None else self.blur.forward(x)
        return x[self._samples]

    def adjoint(self, y: Any) -> Any:
        """Put zeros between the samples ``(..., *measurement_shape)``, and correlate."""
        y = _checked(y, self.measurement_shape, "y")
        batch = tuple(y.shape[: y.ndim - len(self.shape)])
        x = array_namespace(y).zeros((*batch, *self.shape), dtype=y.dtype, device=device(y))
        x[self._samples] = y
        return x if self.blur is None else self.blur.adjoint(x)

    def to_coords(self, y: Any) -> Any:
        """Unitary DFT of the coarse grid ``(..., *measurement_shape)``, complex."""
        return _dft(_checked(y, self.measurement_shape, "y"), len(self.shape))

    def from_coords(self, u: Any) -> Any:
        """Real part of the inverse unitary DFT."""
        return _inverse_dft(_checked(u, self.measurement_shape, "u", _FLOATING), len(self.shape))

    @property
    def _samples(self) -> tuple[Any, ...]:
        return (..., *(slice(None, None, self.factor) for _ in self.shape))


@dataclass(frozen=True, eq=False)
class Mask:
    """Keep some samples of a signal and lose the others (inpainting).

    Parameters
    ----------
    mask : ndarray of bool
        True where a sample is kept; its shape is the signal's. A measurement is the vector of the
        kept samples in row-major order.
    """

    mask: NDArray[np.bool_]

    def __post_init__(self) -> None:
        mask = np.array(self.mask)  # a copy: the kept indices are derived from it once
        if mask.dtype != np.bool_:
            raise ValueError(f"mask must be an array of booleans, got dtype {mask.dtype}")
        signal_shape(mask.shape, "the shape of mask")
        if not mask.any():
            raise ValueError("mask must keep at least one sample, but is False everywhere")
        object.__setattr__(self, "mask", mask)

    @property
    def shape(self) -> Shape:
        """Shape of one signal."""
        return self.mask.shape

    @property
    def measurement_shape(self) -> Shape:
        """Number of kept samples, as a tuple."""
        return (len(self._kept),)

    @property
    def spectrum(self) -> None:
        """None, because a mask has no transfer function."""
        return None

    @cached_property
    def singular_values(self) -> NDArray[np.float64]:
        """Ones."""
        return np.ones(self.measurement_shape)

    @cached_property
    def _kept(self) -> NDArray[np.intp]:
        return np.flatnonzero(self.mask)

    def forward(self, x: Any) -> Any:
        """Kept samples (..., m) of signals ``(..., *shape)``."""
        xp = array_namespace(x)
        x = _checked(x, self.shape, "x")
        flat = xp.reshape(x, (*x.shape[: x.ndim - len(self.shape)], -1))
        return xp.take(flat, xp.asarray(self._kept, device=device(x)), axis=-1)

    def adjoint(self, y: Any) -> Any:
        """Signals ``(..., *shape)`` with the samples (..., m) in their places and zeros elsewhere."""
        xp = array_namespace(y)
        y = _checked(y, self.measurement_shape, "y")
        batch = tuple(y.shape[:-1])
        x = xp.zeros((*batch, self.mask.size), dtype=y.dtype, device=device(y))
        x[..., xp.asarray(self._kept, device=device(y))] = y
        return xp.reshape(x, (*batch, *self.shape))

    def to_coords(self, y: Any) -> Any:
        """Return ``y``: ``H H^T`` is the identity."""
        return _checked(y, self.measurement_shape, "y")

    def from_coords(self, u: Any) -> Any:
        """Return ``u``."""
        return _checked(u, self.measurement_shape, "u")


def identity(shape: int | Sequence[int]) -> Blur:
    """Degradation that changes nothing: with noise, the denoising problem."""
    return Blur(np.ones(signal_shape(shape), dtype=np.complex128))


# --- calculations with any degradation --------------------------------------------------------


def kept(op: Degradation, rcond: float = RCOND) -> NDArray[np.bool_]:
    """Which singular values count as non-zero: those above ``rcond`` in [0, 1) times the largest."""
    rcond = real(rcond, "rcond", "[0, 1)")
    return op.singular_values > rcond * op.singular_values.max()


def solve(op: Degradation, r: Any, a: float, b: float) -> Any:
    """Return ``(a H H^T + b I)^{-1} r`` for measurements r ``(..., *measurement_shape)``.

    A negative a or b, and a singular matrix, are refused.
    """
    a, b = real(a, "a", NON_NEGATIVE), real(b, "b", NON_NEGATIVE)
    total = a * op.singular_values**2 + b
    if total.min() <= 0:
        raise ValueError(
            f"b must be positive where a singular value of H is zero; got {b!r} with "
            f" a = {a!r} and smallest singular value {op.singular_values.min():.3g}"
        )
    r = _checked(r, op.measurement_shape, "r")
    return op.from_coords(times(op.to_coords(r), 1.0 / total))


def adjoint_solve(op: Degradation, r: Any, a: float, b: float) -> Any:
    """Return ``H^T (a H H^T + b I)^{-1} r``; its limit for small b, ``H^+ r / a``, where ``b = 0``.

    For a strong blur it is more precise than ``adjoint(solve(...))``: modes that H hardly passes
    are not blown up on the way.
    """
    a, b = real(a, "a", NON_NEGATIVE), real(b, "b", NON_NEGATIVE)
    if a + b == 0:
        raise ValueError("a and b must not both be 0")
    r = _checked(r, op.measurement_shape, "r")
    s, rcond = op.singular_values, RCOND if b == 0.0 else 0.0
    gain = np.divide(s, a * s**2 + b, out=np.zeros_like(s), where=kept(op, rcond))
    return from_range(op, times(op.to_coords(r), gain), rcond)


def pinv(op: Degradation, y: Any, rcond: float = RCOND) -> Any:
    """Pseudo-inverse ``H^+ y``, signals ``(..., *shape)``; singular values below rcond are dropped."""
    gain = _inverse(op.singular_values, kept(op, rcond))
    return from_range(op, times(op.to_coords(y), gain), rcond)


def to_range(op: Degradation, x: Any, rcond: float = RCOND) -> Any:
    """Coordinates ``(H H^T)^{-1/2} H x`` of signals along the right singular vectors.

    Parameters
    ----------
    x : array, shape (..., *shape)
        Signals.
    rcond : float
        Coordinates with a singular value below this fraction of the largest are set to 0.

    Returns
    -------
    array, shape ``(..., *measurement_shape)``
        Complex where the coordinates are Fourier modes. In them a measurement is
        ``to_coords(y) = singular_values * to_range(x)`` plus white noise.
    """
    inverse = _inverse(op.singular_values, kept(op, rcond))
    if op.spectrum is not None:
        # The phase of h: one product, no detour through values that differ by orders of magnitude.
        return times(_dft(_checked(x, op.shape, "x"), len(op.shape)), op.spectrum * inverse)
    return times(op.to_coords(op.forward(x)), inverse)


def from_range(op: Degradation, u: Any, rcond: float = RCOND) -> Any:
    """Signals ``H^T (H H^T)^{-1/2} u`` with the coordinates ``u`` of `to_range`."""
    u = _checked(u, op.measurement_shape, "u", _FLOATING)
    inverse = _inverse(op.singular_values, kept(op, rcond))
    if op.spectrum is not None:
        return _inverse_dft(times(u, np.conj(op.spectrum) * inverse), len(op.shape))
    return op.adjoint(op.from_coords(times(u, inverse)))


def matrix(op: Degradation) -> NDArray[np.float64]:
    """Dense matrix H of shape (m, d), rows and columns in row-major order."""
    d = prod(op.shape)
    return op.forward(np.eye(d).reshape(d, *op.shape)).reshape(d, -1).T


def measure(op: Degradation, x0: Any, sigma_y: float, noise: Any = None) -> Any:
    """Make measurements ``H x0 + sigma_y noise``.

    Parameters
    ----------
    x0 : array, shape (..., *shape), numpy or torch
        Signals.
    sigma_y : float
        Standard deviation of the noise, non-negative.
    noise : array, shape of the measurements
        Standard normal numbers; may be missing if ``sigma_y = 0``.
    """
    real(sigma_y, "sigma_y", NON_NEGATIVE)
    y = op.forward(_finite(_checked(x0, op.shape, "x0"), "x0"))
    if noise is None:
        if sigma_y > 0:
            raise ValueError(f"noise is needed when sigma_y > 0, got sigma_y = {sigma_y!r}")
        return y
    if tuple(noise.shape) != tuple(y.shape):
        raise ValueError(f"noise must have shape {tuple(y.shape)}, got {tuple(noise.shape)}")
    return y + sigma_y * _finite(_checked(noise, op.measurement_shape, "noise"), "noise")


def check_measurement(op: Degradation, y: Any, sigma_y: float) -> None:
    """Refuse measurements that do not fit the degradation.

    These do not end in ``measurement_shape``, or are empty, not real floating or not finite; nor
    may ``sigma_y`` be negative or not finite.
    """
    real(sigma_y, "sigma_y", NON_NEGATIVE)
    _finite(_checked(y, op.measurement_shape, "y"), "y")


def times(u: Any, gain: NDArray) -> Any:
    """Product of an array with a NumPy array; keeps the kind and precision of the first."""
    if tuple(u.shape[max(0, u.ndim - gain.ndim) :]) != gain.shape:
        raise ValueError(f"gain must have the last axes of u, {tuple(u.shape)}, got {gain.shape}")
    if np.iscomplexobj(gain) and array_namespace(u).isdtype(u.dtype, "real floating"):
        raise ValueError("gain must be real like u, got complex numbers")
    return u * array_namespace(u).asarray(gain, dtype=u.dtype, device=device(u))


# --- helpers ----------------------------------------------------------------------------------


def _finite(x: Any, name: str) -> Any:
    """Refuse a batch without samples, and values that are infinite or not a number."""
    xp = array_namespace(x)
    if 0 in x.shape or not bool(xp.all(xp.isfinite(x))):
        raise ValueError(f"{name} must be finite and not empty, got shape {tuple(x.shape)}")
    return x


def _checked(x: Any, shape: Shape, name: str, kind: str | tuple = "real floating") -> Any:
    """Refuse what would broadcast, or lose its fraction to an integer dtype."""
    if tuple(x.shape[max(0, x.ndim - len(shape)) :]) != shape:
        raise ValueError(f"{name} must end in the axes {shape}, got shape {tuple(x.shape)}")
    if not array_namespace(x).isdtype(x.dtype, kind):
        words = " or ".join((kind,) if isinstance(kind, str) else kind)
        raise ValueError(f"{name} must be a {words} array, got dtype {x.dtype}")
    return x


def _inverse(values: NDArray[np.float64], where: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.divide(1.0, values, out=np.zeros_like(values), where=where)


def _axes(ndim: int) -> Shape:
    return tuple(range(-ndim, 0))


def _dft(x: Any, ndim: int) -> Any:
    return array_namespace(x).fft.fftn(x, axes=_axes(ndim), norm="ortho")


def _inverse_dft(u: Any, ndim: int) -> Any:
    xp = array_namespace(u)
    return xp.real(xp.fft.ifftn(u, axes=_axes(ndim), norm="ortho"))


def _filter(x: Any, h: NDArray[np.complex128]) -> Any:
    """Multiply the Fourier modes of real signals (..., *h.shape) by a Hermitian ``h``."""
    axes = _axes(h.ndim)
    fft = array_namespace(x).fft
    modes = fft.rfftn(x, axes=axes)
    return fft.irfftn(times(modes, h[..., : h.shape[-1] // 2 + 1]), s=h.shape, axes=axes)
