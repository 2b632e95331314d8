"""Spectra of signals and images, several channels included: what a schedule needs to know of data."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._checks import choice, reals

#: Values of images beyond this, none of them negative, are grey levels and no model's units.
_GREY_LEVELS = 32.0
_BATCH = 64


def spectrum_of(
    data: ArrayLike, *, channels: Literal["first", "last"] | None = None
) -> tuple[NDArray[np.float64], NDArray]:
    """Estimate the variance of every mode of the data, and the mean's part in it.

    The covariance is taken as stationary: it falls into one small matrix for each frequency, of
    as many rows as there are channels, and the eigenvalues of all of them are the spectrum. Nothing
    is assumed of how channels hang together; `diffbook.priors.ChannelPriors` takes one rotation
    of them for all frequencies.

    Parameters
    ----------
    data : array_like
        In the units that the model was trained on, usually [-1, 1]: signals (n, d), grey images
        (n, h, w), or images with channels, (n, c, h, w) or (n, h, w, c); n is at least 2.
    channels : {"first", "last"}, optional
        Where the channels are; needed only if sizes do not say it: exactly one of the two places
        must have a size of at most 4.

    Returns
    -------
    lam : ndarray, shape (modes,)
        Variances, non-negative.
    mu0_spectral : ndarray, shape (modes,)
        Mean (one value for each channel) in the eigenbasis.

    Raises
    ------
    ValueError
        If the data are whole numbers or grey levels, of another shape, or all alike.
    """
    x = _channels_first(examples(data), channels)
    n, c, shape = len(x), x.shape[1], x.shape[2:]
    axes = tuple(range(2, x.ndim))
    mean = x.mean(axis=(0, *axes))
    if np.ptp(x) == 0.0 or not np.any(x.var(axis=(0, *axes))):
        raise ValueError("data: got values that are all alike, expected examples that differ")
    cross = np.zeros((*shape, c, c), complex)
    for i in range(0, n, _BATCH):  # a spectrum of all examples at once would take much memory
        part = x[i : i + _BATCH] - mean.reshape(c, *(1 for _ in axes))
        modes = np.fft.fftn(part, axes=axes, norm="ortho")
        cross += np.einsum("nc...,nd...->...cd", modes, modes.conj()) / n
    lam, basis = np.linalg.eigh(cross)
    mu = np.zeros(lam.shape, complex)
    corner = (0,) * len(shape)
    mu[corner] = basis[corner].conj().T @ mean * np.sqrt(np.prod(shape))
    return np.maximum(lam, 0.0).ravel(), mu.ravel()


def examples(data: ArrayLike) -> NDArray[np.float64]:
    """Return examples (n, ...) in a model's units; whole numbers and grey levels are refused.

    Raises
    ------
    ValueError
        If there are less than two of them, of less than two or more than four axes.
    """
    kind = np.asarray(data).dtype
    if kind.kind in "iub":
        raise ValueError(
            f"data: got {kind}, whole numbers, expected floating point in the model's units; images "
            "of 8 bits for a model of [-1, 1]: data / 127.5 - 1"
        )
    x = reals(data, "data", ndim=(2, 3, 4))
    if len(x) < 2:
        raise ValueError(f"data: got shape {x.shape}, expected (n, ...) with at least 2 examples")
    if x.ndim > 2 and x.min() >= 0.0 and x.max() > _GREY_LEVELS:
        raise ValueError(
            f"data: got images with values in [{x.min():g}, {x.max():g}], expected the model's "
            "units; grey levels for a model of [-1, 1]: data / 127.5 - 1"
        )
    return x


def _channels_first(x: NDArray, channels: str | None) -> NDArray:
    if x.ndim < 4:
        if channels is not None:
            raise ValueError(
                f"channels: got {channels!r} for data of shape {x.shape}, expected None"
            )
        return x[:, None]
    if channels is None:
        fits = [place for place, axis in (("first", 1), ("last", 3)) if x.shape[axis] <= 4]
        if len(fits) != 1:
            raise ValueError(
                f"channels: got None, expected 'first' or 'last', as sizes of data {x.shape} do not "
                "say where the channels are"
            )
        channels = fits[0]
    choice(channels, "channels", ("first", "last"))
    return x if channels == "first" else np.moveaxis(x, 3, 1)
