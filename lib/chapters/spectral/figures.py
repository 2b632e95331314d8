"""Figures of this chapter that are no single call of `diffbook.draw`: pure functions to `Figure`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from diffbook.draw.parts import done, filled, legend_below, panels, positive, sparse
from diffbook.draw.style import COLORS, GREY, INK, SEQUENCE, label, looks
from diffbook.schedules.levels import alpha_bar_to_log_snr, validate_alpha_bar


def schedules(curves: Mapping[str | int, ArrayLike]) -> Figure:
    """Draw `alpha_bar` of schedules, and their log SNR, over the relative step s/S."""
    arrays = {
        key: validate_alpha_bar(value, f"curves[{key!r}]") for key, value in filled(curves).items()
    }
    fig, axes = panels(1, 2, (7.8, 4.1))
    left, right = axes.flat
    for key, alpha_bar, look in looks(arrays):
        t, look = np.linspace(0, 1, alpha_bar.size), look | {"markevery": sparse(alpha_bar.size)}
        left.plot(t, alpha_bar, label=label(key), **look)
        right.plot(t, alpha_bar_to_log_snr(alpha_bar), label=label(key), **look)
    left.set_ylabel(r"$\bar\alpha_s$ (signal power share)")
    right.set_ylabel(r"log SNR $=-2\,\log\sigma_s$ (nats)")
    for ax in (left, right):
        ax.set(xlabel="relative step s/S  (0 clean, 1 noise)", xlim=(0, 1))
    legend_below(fig, left, len(arrays))
    return done(fig, None)


def quarter_circles(curves: Mapping[str, ArrayLike], modes: Mapping[str, float]) -> Figure:
    """Draw DDIM's steps as angles, a row for each mode (its variance) and a column for each schedule (sigma).

    A step to the next ray keeps the cosine of the angle between them: the path that turns onto
    every ray at a right angle ends at the product of cosines, ``D1 / g``, which is written there.
    """
    fig, axes = panels(len(filled(modes)), len(filled(curves)), (7.4, 2.35 * len(modes) + 0.3))
    colors = (COLORS["spectral W2"], COLORS["linear beta"], COLORS["cosine"])
    arc = np.linspace(0, np.pi / 2, 91)
    for row, (mode, lam), color in zip(axes, modes.items(), colors, strict=False):
        for ax, (name, sigma) in zip(row, curves.items(), strict=True):
            phi = np.arctan(positive(f"curves[{name!r}]", sigma) / np.sqrt(lam))
            kept = np.append(np.cumprod(np.cos(np.diff(phi))[::-1])[::-1], 1.0)
            ax.plot(np.cos(arc), np.sin(arc), color=INK, linewidth=1.2)
            for angle in phi:
                ax.plot([0, np.cos(angle)], [0, np.sin(angle)], color=GREY, linewidth=0.8)
            ax.plot(kept * np.cos(phi), kept * np.sin(phi), color=color, marker="o")
            ax.annotate(f"{kept[0]:.2f}", (kept[0], 0), xytext=(5, 5), color=color, fontsize=13,
                        fontweight="bold", textcoords="offset points")  # fmt: skip
            ax.set(aspect="equal", xlim=(0, 1.04), ylim=(0, 1.04), xticks=(0, 1), yticks=())
            ax.grid(False)
        row[0].set_ylabel(mode.replace(": ", "\n"))
    for ax, name in zip(axes[0], curves, strict=True):
        ax.set_title(label(name))
    fig.supxlabel("share of the deviation that is kept  (angle 90°: noise, 0°: data)", fontsize=11)
    return done(fig, None)


def fading(states: Mapping[str, Mapping[float, NDArray]], spectrum: NDArray) -> Figure:
    """Draw square images by noise level, a row for each name, and below them their radial spectra.

    The dotted line is the noise, the grey one the `spectrum` of the prior by whole frequencies from 0.
    """
    levels = list(next(iter(filled(states).values())))
    fig, axes = panels(len(states) + 1, len(levels), (8.2, 1.72 * len(states) + 2.1), sharex="row",
                       sharey="row")  # fmt: skip
    colors = (COLORS["linear beta"], COLORS["spectral W2"])
    for row, (name, images) in zip(axes, states.items(), strict=False):
        for ax, image in zip(row, images.values(), strict=True):
            ax.imshow(image, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
            ax.set(xticks=(), yticks=())
            ax.grid(False)
        row[0].set_ylabel(name.replace(": ", "\n"))
    for ax, sigma in zip(axes[-1], levels, strict=True):
        ax.plot(np.arange(1, spectrum.size), spectrum[1:], color=GREY, linewidth=1.4, label="prior")
        for color, (name, images) in zip(colors, states.items(), strict=False):
            power = radial(np.abs(np.fft.fft2(images[sigma], norm="ortho")) ** 2)
            ax.plot(np.arange(1, power.size), power[1:], color=color, label=name.split(": ")[0])
        ax.axhline(sigma**2, color=INK, linestyle=":", label="noise, σ²")
        ax.set(xscale="log", yscale="log", ylim=(1e-3, 2e2))
    for ax, sigma in zip(axes[0], levels, strict=True):
        ax.set_title(f"σ = {sigma:g}", fontsize=11.5)
    axes[-1, 0].set_ylabel("power")
    axes[-1, len(levels) // 2].set_xlabel("spatial frequency (cycles per image)")
    legend_below(fig, axes[-1, 0], 4)
    return done(fig, None)


def radial(power: NDArray) -> NDArray:
    """Mean of a square spectrum over rings of equal rounded frequency, up to half the side."""
    side = len(power)
    f = np.fft.fftfreq(side, 1.0 / side)
    ring = np.rint(np.hypot(f[:, None], f)).astype(int).ravel()
    return (np.bincount(ring, power.ravel()) / np.bincount(ring))[: side // 2 + 1]


def cost_map(costs: Mapping[str, Mapping[str, float]], *, xlabel: str, ylabel: str) -> Figure:
    """Draw a square table of ratios, {row: {column: at least 1}}, with the numbers in it."""
    names = list(filled(costs))
    table = np.array([[costs[a][b] for b in names] for a in names])
    fig, axes = panels(1, 1, (7.2, 1.6 + 0.62 * len(names)))
    ax = axes.flat[0]
    ax.imshow(table, cmap=SEQUENCE, norm=LogNorm(1.0, max(2.0, table.max())), aspect="auto")
    for (i, j), value in np.ndenumerate(table):
        box = {"facecolor": "white", "edgecolor": "none", "boxstyle": "round,pad=0.25"}
        ax.text(j, i, f"{value:.2f}", ha="center", va="center", color=INK, bbox=box)
    ax.set_xticks(range(len(names)), [name.replace(" ", "\n") for name in names])
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.grid(False)
    return done(fig, None)
