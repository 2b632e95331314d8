"""The picture of the landing page: a photograph emerging from noise, frequency by frequency.

One drawing, three layers over one axis (the noise level, large on the left): what the ideal denoiser
of a 1/f prior sees of a photograph; for each spatial frequency, where it leaves the noise; and where
a spectral schedule and two heuristics place their steps.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from diffbook import schedules
from diffbook.schedules.design import design_schedule

Array = NDArray[np.float64]

NIGHT = "#0e1320"
PAPER = "#e9e6dc"
GLOW = LinearSegmentedColormap.from_list(
    "glow", ["#6f6bff", "#3fa9e8", "#3fd0a4", "#f0c24b", "#ff8a3c", "#ff5f57"]
)


@dataclass(frozen=True)
class Picture:
    """Data behind the picture.

    Parameters
    ----------
    log_sigma : ndarray, shape (m,)
        Noise levels, natural logarithm, increasing.
    rates : ndarray, shape (n, m)
        For n frequencies, low to high, the rate ``lam sigma^2 / (lam + sigma^2)^2`` at which the
        frequency leaves the noise, per unit of log sigma; at most 1/4.
    sigmas : ndarray, shape (k,)
        Noise levels of the images, decreasing.
    images : ndarray, shape (k, h, w, 3)
        The ideal denoiser's estimate at these levels, values in [0, 1].
    steps : mapping
        Name of a schedule to its sigma, shape (S+1,).
    """

    log_sigma: Array
    rates: Array
    sigmas: Array
    images: Array
    steps: Mapping[str, Array]


def picture_data(S: int = 24, n_images: int = 9, seed: int = 3) -> Picture:
    """Compute the landing picture's data from the photograph "coffee" of scikit-image (CC0).

    The prior is Gaussian and stationary under reflecting ends (its eigenbasis is the cosine
    transform), with the power law fitted to the photograph; the estimate at each noise level is
    the posterior mean given one noisy copy. All levels share the noise sample.
    """
    from scipy.fft import dctn, idctn
    from skimage import data, transform

    crop = data.coffee()[20:390, 110:480]
    photo = 2.0 * transform.resize(crop, (256, 256), anti_aliasing=True) - 1.0
    n = photo.shape[0]
    index = np.arange(n)
    f = np.hypot(index[:, None], index)  # half-cycles per image width
    coefficients = dctn(photo, axes=(0, 1), norm="ortho")
    band = (f >= 4) & (f <= 200)
    slope, level = np.polyfit(np.log(f[band]), np.log((coefficients**2).mean(-1)[band]), 1)
    lam = np.exp(level) * np.maximum(f, 1.0) ** slope

    noise = np.random.default_rng(seed).standard_normal(photo.shape)
    sigmas = np.geomspace(86.0, 0.0125, n_images)
    estimates = []
    for sigma in sigmas:
        shrink = (lam / (lam + sigma**2))[..., None]
        noisy = dctn(photo + sigma * noise, axes=(0, 1), norm="ortho")
        estimates.append(idctn(shrink * noisy, axes=(0, 1), norm="ortho"))
    images = np.clip(0.5 * (np.array(estimates) + 1.0), 0.0, 1.0)

    frequencies = np.geomspace(1.0, n, 34)
    x = np.linspace(np.log(0.006), np.log(150.0), 900)
    s2 = np.exp(2.0 * x)
    power = np.exp(level) * frequencies[:, None] ** slope
    rates = power * s2 / (power + s2) ** 2
    low, high = schedules.sigma_range()
    steps = {
        "spectral": design_schedule(lam.ravel(), S).sigma,
        "cosine": schedules.alpha_bar_to_sigma(schedules.cosine(S)),
        "log-linear": schedules.log_linear(S, low, high),
    }
    return Picture(x, rates, sigmas, images, steps)


def landing(picture: Picture) -> Figure:
    """Draw the landing picture: 12 x 6 inches, dark, no frame; looks right on any page."""
    fig = plt.figure(figsize=(12, 6), dpi=150, facecolor=NIGHT, layout="none")
    left, right = picture.log_sigma[-1], picture.log_sigma[0]
    ax = fig.add_axes((0.085, 0.0, 0.895, 1.0), facecolor="none")
    ax.set(xlim=(left, right), ylim=(0, 6))
    ax.axis("off")

    half = 0.475 * abs(np.diff(np.log(picture.sigmas)).mean())
    aspect = (0.895 * 12 / abs(left - right)) / (6 / 6)  # inches per unit of x over inches per y
    for sigma, image in zip(picture.sigmas, picture.images, strict=True):
        x = np.log(sigma)
        top = 5.83
        frame = (x + half, x - half, top - 2 * half * aspect, top)
        ax.imshow(image, extent=frame, aspect="auto", interpolation="lanczos", zorder=5)
        ax.plot([x, x], [frame[2] - 0.03, frame[2] - 0.1], color=PAPER, linewidth=1, alpha=0.5)

    count = len(picture.rates)
    base, span, height = 1.28, 2.45, 3.1
    colors = GLOW(np.linspace(0, 1, count))
    for i, (rate, color) in enumerate(zip(picture.rates, colors, strict=True)):
        foot = base + span * (1 - i / (count - 1))
        ridge = foot + height * rate
        ax.fill_between(picture.log_sigma, foot, ridge, color=NIGHT, zorder=6 + i, linewidth=0)
        ax.fill_between(
            picture.log_sigma, foot, ridge, color=color, alpha=0.16, zorder=6 + i, linewidth=0
        )
        ax.plot(picture.log_sigma, ridge, color=color, linewidth=1.25, zorder=6 + i + 0.5)

    rows = zip(picture.steps.items(), (0.98, 0.7, 0.42), ("#ff8a3c", PAPER, PAPER), strict=True)
    for (name, sigma), y, color in rows:
        inside = np.log(sigma)[(np.log(sigma) < left) & (np.log(sigma) > right)]
        strong = name == "spectral"
        ax.vlines(
            inside, y - 0.085, y + 0.085, color=color, linewidth=2.6 if strong else 1.6,
            alpha=1 if strong else 0.6, zorder=60,
        )  # fmt: skip
        ax.annotate(
            name, (0.0, y), xycoords=("axes fraction", "data"), xytext=(-8, 0),
            textcoords="offset points", ha="right", va="center", color=color, fontsize=12,
            fontweight="bold" if strong else "normal", annotation_clip=False,
        )  # fmt: skip
    words = {
        "ha": "right",
        "va": "center",
        "color": PAPER,
        "fontsize": 12,
        "annotation_clip": False,
    }
    for y, text in ((base + span + 0.1, "coarse"), (base + 0.08, "fine")):
        ax.annotate(
            text, (0.0, y), xycoords=("axes fraction", "data"), xytext=(-8, 0),
            textcoords="offset points", **words,
        )  # fmt: skip
    for level in (100, 10, 1, 0.1, 0.01):
        ax.text(
            np.log(level), 0.13, f"σ = {level:g}", color=PAPER, alpha=0.75, fontsize=11.5,
            ha="center", va="center",
        )  # fmt: skip
    plt.close(fig)
    return fig


def main(arguments: list[str]) -> int:
    """Write the picture: ``python book/landing.py OUT.png``; return the exit status."""
    if len(arguments) != 1 or not arguments[0].endswith(".png"):
        sys.stderr.write("usage: python book/landing.py OUT.png\n")
        return 2
    landing(picture_data()).savefig(arguments[0], facecolor=NIGHT, dpi=150)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
