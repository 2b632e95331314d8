"""How far a set of samples is from a reference set, in stated feature spaces.

None of these is the FID: that needs an Inception network, which says little about 8 x 8 digits. Each
metric here is one a reader can recompute from its docstring.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._checks import NON_NEGATIVE, reals, whole
from diffbook._optional import need
from diffbook.metrics.intervals import bootstrap_ci, mean_ci, paired_ci
from diffbook.priors.distances import frechet, w2_gaussian

__all__ = [
    "FEATURES",
    "bootstrap_ci",
    "frechet",
    "gabor_energies",
    "mean_ci",
    "paired_ci",
    "pixels",
    "power_spectrum",
    "sliced_w2",
    "spectrum_error",
]


#: Gabor filter bank: centre frequencies (cycles per pixel) and orientations (radians).
FREQUENCIES = (0.1, 0.2, 0.35)


ORIENTATIONS = tuple(np.pi * k / 4 for k in range(4))


def pixels(x: NDArray) -> NDArray:
    """Feature map: the pixels themselves; (n, h, w) to (n, h w)."""
    x = np.atleast_1d(reals(x, "x"))
    return x.reshape(len(x), -1)


def gabor_energies(x: NDArray) -> NDArray:
    """Feature map: local energies of a fixed Gabor filter bank, and the mean grey level.

    Twelve complex, zero-mean Gabor filters (frequencies 0.1, 0.2, 0.35 cycles per pixel, four
    orientations, bandwidth one octave, scikit-image's `gabor_kernel`), mirrored borders, modulus of
    the response (so the phase is forgotten), averaged over each quadrant of the image.

    Parameters
    ----------
    x
        Images (n, h, w), even sides.

    Returns
    -------
    ndarray, shape (n, 49)
    """
    x = reals(x, "x", ndim=3)
    n, h, w = x.shape
    if h % 2 or w % 2:
        raise ValueError(f"x: got images of {h} x {w}, expected even sides")
    flat = x.reshape(n, -1)
    quadrants = []
    for matrix in _gabor_matrices(h, w):
        modulus = np.hypot(*(flat @ part for part in matrix)).reshape(n, 2, h // 2, 2, w // 2)
        quadrants.append(modulus.mean(axis=(2, 4)).reshape(n, 4))
    return np.concatenate([*quadrants, flat.mean(1, keepdims=True)], axis=1)


@cache
def _gabor_matrices(h: int, w: int) -> tuple[tuple[NDArray, NDArray], ...]:
    """Each filter's real and imaginary part as a matrix (h w, h w): small images, wide filters."""
    from scipy.ndimage import convolve

    need("skimage", "metrics", "metrics.gabor_energies")
    from skimage.filters import gabor_kernel

    basis = np.eye(h * w).reshape(-1, h, w)
    matrices = []
    for frequency in FREQUENCIES:
        for theta in ORIENTATIONS:
            kernel = gabor_kernel(frequency, theta=theta, bandwidth=1.0)
            kernel = kernel - kernel.mean()  # no response to the mean grey level
            real, imag = (
                convolve(basis, part[None], mode="reflect").reshape(h * w, h * w)
                for part in (kernel.real, kernel.imag)
            )
            matrices.append((real, imag))
    return tuple(matrices)


#: Feature maps by the name that tables show.
FEATURES: dict[str, Callable[[NDArray], NDArray]] = {"pixels": pixels, "gabor": gabor_energies}


def sliced_w2(x: ArrayLike, y: ArrayLike, n_projections: int = 100, seed: int = 0) -> float:
    """Sliced 2-Wasserstein distance of two samples (POT), not squared.

    Unlike the Fréchet distance it sees more than means and covariances: it is zero only for equal
    distributions (up to the number of projections).

    Parameters
    ----------
    x, y
        Samples (n, ...) and (m, ...), flattened to vectors.
    n_projections, seed
        Random directions; the same seed gives the same directions, so differences between schedules
        carry no projection noise.

    Raises
    ------
    ValueError
        If the dimensions differ or there is no direction.
    """
    need("ot", "metrics", "metrics.sliced_w2")
    import ot

    whole(n_projections, "n_projections")
    whole(seed, "seed", 0)
    a, b = pixels(x), pixels(reals(y, "y"))
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"x, y: got {a.shape[1]} and {b.shape[1]} dimensions, expected equal numbers"
        )
    return float(ot.sliced_wasserstein_distance(a, b, n_projections=n_projections, p=2, seed=seed))


def power_spectrum(x: ArrayLike) -> NDArray:
    """Radially averaged power spectrum of images about their mean image.

    Parameters
    ----------
    x
        Images (n, h, h).

    Returns
    -------
    ndarray, shape (h // 2 + 1,)
        Mean of ``|unitary DFT|^2`` over images and over the frequencies whose rounded radius is
        0, 1, ..., h/2 cycles per image (corners beyond h/2 are left out). White noise of variance v
        has the value v everywhere.
    """
    return _power_spectrum(x, "x")


def _power_spectrum(x: ArrayLike, name: str) -> NDArray:
    x = reals(x, name, ndim=3)
    if x.shape[1] != x.shape[2] or len(x) < 2:
        raise ValueError(f"{name}: got shape {x.shape}, expected (n, h, h) with n >= 2")
    side = x.shape[1]
    # One degree of freedom per pixel went into the mean image.
    power = (np.abs(np.fft.fft2(x - x.mean(0), norm="ortho")) ** 2).sum(0) / (len(x) - 1)
    f = np.fft.fftfreq(side, 1.0 / side)
    radius = np.rint(np.hypot(f[:, None], f[None, :])).astype(int).ravel()
    total = np.bincount(radius, power.ravel())
    return (total / np.bincount(radius))[: side // 2 + 1]


def spectrum_error(x: ArrayLike, y: ArrayLike) -> float:
    """Root mean square, over radial frequencies, of the ratio of two power spectra in decibel."""
    ratio = _power_spectrum(x, "x") / _power_spectrum(y, "y")
    return float(np.sqrt(np.mean((10.0 * np.log10(ratio)) ** 2)))


Metric = Callable[[NDArray], float]


def moment_metric(mean: ArrayLike, covariance: ArrayLike) -> dict[str, Metric]:
    """Fréchet distance to exactly known moments: {"Fréchet": x -> float}."""
    mean, covariance = reals(mean, "mean"), np.atleast_2d(reals(covariance, "covariance"))
    reals(np.diag(covariance), "covariance", NON_NEGATIVE, hint="variances")

    def frechet(x: NDArray) -> float:
        flat = pixels(x)
        return w2_gaussian(mean, covariance, flat.mean(0), np.cov(flat.T))

    return {"Fréchet": frechet}


def image_metrics(reference: NDArray) -> dict[str, Metric]:
    """Distances to a reference set of images (n, h, w), by name.

    `"pixels"` and `"gabor"`: Fréchet distance (not squared) of these features; `"sliced W2"`;
    `"spectrum dB"`: rms error of the radial power spectrum.
    """
    from diffbook.metrics import samples as m

    reference = reals(reference, "reference", ndim=3)

    def against(features: Callable[[NDArray], NDArray]) -> Metric:
        y = features(reference)
        mean, cov = y.mean(0), np.cov(y.T)
        return lambda x: moment_metric(mean, cov)["Fréchet"](features(x))

    return {
        "pixels": against(m.pixels),
        "gabor": against(m.gabor_energies),
        "sliced W2": lambda x: m.sliced_w2(x, reference),
        "spectrum dB": lambda x: m.spectrum_error(x, reference),
    }
