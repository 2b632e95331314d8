"""Gaussian priors of colour images: three channels that are rotated until they are uncorrelated.

Red, green and blue of a photograph are almost copies of each other. A rotation of the colour space
to the principal axes of the pixels (close to brightness, blue-yellow, green-magenta) leaves three
channels of which each gets a prior of its own. The rotation leaves white noise white, so denoising
and every degradation that acts on each channel alone commute with it. What is neglected: the
principal axes may differ from one frequency to the next, and one rotation serves them all.

Background: Ruderman, Cronin, Chiao 1998, "Statistics of cone responses to natural images".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._arrays import array_namespace, check_signals, device
from diffbook._checks import reals
from diffbook.priors.gaussian import GaussianPrior


@dataclass(frozen=True, eq=False)
class ChannelPriors:
    """One Gaussian prior for each rotated colour channel.

    Parameters
    ----------
    rotation : ndarray, shape (3, 3)
        Orthogonal; row i holds the colour direction of rotated channel i.
    priors : tuple of 3 GaussianPrior
        Of the rotated channels, for images of one shape.
    """

    rotation: NDArray[np.float64]
    priors: tuple[GaussianPrior, GaussianPrior, GaussianPrior]

    def __post_init__(self) -> None:
        rotation = reals(self.rotation, "rotation", shape=(3, 3))
        if not np.allclose(rotation @ rotation.T, np.eye(3)):
            raise ValueError(f"rotation must be orthogonal, got {rotation!r}")
        shapes = [prior.shape for prior in self.priors]
        if len(shapes) != 3 or len(set(shapes)) != 1:
            raise ValueError(f"priors must be three of one shape, got the shapes {shapes}")
        object.__setattr__(self, "rotation", rotation)

    @classmethod
    def estimated(
        cls, x: ArrayLike, *, channels: Literal["first", "last"] | None = None, **kwargs: Any
    ) -> ChannelPriors:
        """Estimate rotation and priors from colour images.

        Parameters
        ----------
        x : array_like, shape (n, h, w, 3) or (n, 3, h, w)
            Images.
        channels : {"first", "last"}, optional
            Where the channels are; needed only if both places have size 3.
        **kwargs
            For `GaussianPrior.estimated`, of every rotated channel.
        """
        x = reals(x, "x", ndim=4)
        fits = [place for place, axis in (("first", 1), ("last", 3)) if x.shape[axis] == 3]
        if channels is None and len(fits) == 1:
            channels = fits[0]
        if channels not in fits:
            raise ValueError(
                f"channels must say where the axis of size 3 is ('first' or 'last'); got "
                f"{channels!r} for x of shape {x.shape}"
            )
        if channels == "last":
            x = np.moveaxis(x, -1, 1)
        pixels = np.moveaxis(x, 1, 0).reshape(3, -1)
        _, directions = np.linalg.eigh(np.cov(pixels))
        rotation = directions[:, ::-1].T
        # Eigenvectors come with an arbitrary sign; let the largest entry be positive.
        largest = np.take_along_axis(rotation, np.abs(rotation).argmax(1)[:, None], axis=1)
        rotation = rotation * np.sign(largest)
        rotated = np.einsum("ij,njhw->nihw", rotation, x)
        return cls(
            rotation, tuple(GaussianPrior.estimated(rotated[:, i], **kwargs) for i in range(3))
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one colour image, (3, h, w)."""
        return (3, *self.priors[0].shape)

    @property
    def lam(self) -> NDArray[np.float64]:
        """Spectra of the rotated channels, (3, h, w)."""
        return np.stack([prior.lam for prior in self.priors])

    @property
    def mu0(self) -> NDArray[np.float64]:
        """Mean colour image, (3, h, w)."""
        return self.from_channels(np.stack([prior.mu0 for prior in self.priors])[None])[0]

    def to_channels(self, x: Any) -> Any:
        """Rotated channels (n, 3, ...) of colour images (n, 3, ...), numpy or torch."""
        return _rotate(x, self.rotation)

    def from_channels(self, x: Any) -> Any:
        """Colour images (n, 3, ...) from their rotated channels."""
        return _rotate(x, self.rotation.T)

    def denoise(self, x_t: Any, alpha_bar_t: float, cond: Any = None) -> Any:
        """Return ``E[x0 | x_t]`` of VP noise for colour images.

        Parameters
        ----------
        x_t : array, shape (n, 3, h, w), numpy or torch, real
            Noisy images.
        alpha_bar_t : float in (0, 1)
            Signal level.
        cond : None
            Part of the denoiser protocol; unused.

        Returns
        -------
        array
            Of the kind, dtype and device of ``x_t``.
        """
        check_signals(x_t, "x_t", self.shape)
        rotated = self.to_channels(x_t)
        denoised = [
            prior.denoise(rotated[:, i], alpha_bar_t) for i, prior in enumerate(self.priors)
        ]
        return self.from_channels(array_namespace(x_t).stack(denoised, axis=1))

    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw ``n`` colour images (n, 3, h, w)."""
        return self.from_channels(np.stack([prior.sample(n, rng) for prior in self.priors], axis=1))


def _rotate(x: Any, rotation: NDArray[np.float64]) -> Any:
    check_signals(x, "x")
    if x.shape[1] != 3:
        raise ValueError(f"x must have shape (n, 3, ...), got {tuple(x.shape)}")
    xp = array_namespace(x)
    rotation = xp.asarray(np.ascontiguousarray(rotation), dtype=x.dtype, device=device(x))
    flat = xp.reshape(x, (x.shape[0], 3, -1))
    return xp.reshape(rotation @ flat, x.shape)
