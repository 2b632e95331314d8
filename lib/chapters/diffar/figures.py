"""Figures that the drawing kit has no function for; pure functions from arrays to `Figure`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from numpy.typing import NDArray
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from chapters.diffar.steps import RATE
from diffbook.datasets.aligned import SILENCE, Clip
from diffbook.draw.parts import done, panels
from diffbook.draw.style import COLORS, GREY, INK, PANEL
from diffbook.framewise import Frame

OLD, NEW = COLORS["parallel"], COLORS["alternating"]
WINDOW = ShortTimeFFT(hann(256), hop=32, fs=RATE)


def decibels(x: NDArray, below: float = 70.0) -> NDArray:
    """Power of a short-time Fourier transform in decibel below the loudest, (frequencies, frames)."""
    power = np.abs(WINDOW.stft(x.astype(float))) ** 2
    return 10.0 * np.log10(np.maximum(power / power.max(), 10.0 ** (-below / 10.0)))


def spectrograms(
    sounds: Mapping[str, NDArray], clip: Clip, frames: Mapping[str, Sequence[Frame]] | None = None
) -> Figure:
    """Draw spectrograms of sounds of one text, the joints of their frames and the phones below."""
    fig, axes = panels(len(sounds), 1, (7.2, 1.1 * len(sounds) + 0.6), sharex=True)
    seconds = len(clip.samples) / RATE
    for ax, (name, x) in zip(axes.flat, sounds.items(), strict=True):
        ax.imshow(
            decibels(x), origin="lower", aspect="auto", cmap="magma", interpolation="nearest",
            extent=(0, seconds, 0, RATE / 2000),
        )  # fmt: skip
        ax.set(ylabel="kHz", yticks=[0, 2, 4], xlim=(0, seconds))
        ax.set_title(name, loc="left")
        ax.grid(False)
        for frame in (frames or {}).get(name, ())[1:]:
            ax.axvline((frame.start + frame.overlap) / RATE, color="white", ls="--", lw=0.9)
    last = axes.flat[-1]
    for phone, (a, b) in zip(clip.phones, clip.intervals / RATE, strict=True):
        if phone != SILENCE:
            last.text((a + b) / 2, -0.25, phone, ha="center", va="top", fontsize=9, color=INK)
    last.tick_params(axis="x", pad=18)
    last.set_xlabel("seconds")
    return done(fig, None)


def scheme(clip: Clip, before: Frame, frame: Frame, context: NDArray) -> Figure:
    """Draw a frame, what the next one knows of it, and the next one."""
    fig, axes = panels(3, 1, (7.2, 3.4), sharex=True)
    size = max(before.stop - before.start, frame.stop - frame.start)
    x = clip.samples
    shown = (
        ("$x^{l-1}$", x[before.start : before.stop], before.stop - before.start - frame.overlap),
        ("$Hx^{l-1}$", context, 0),
        ("$x^{l}$", x[frame.start : frame.stop], 0),
    )
    for ax, (name, wave, known) in zip(axes.flat, shown, strict=True):
        at = np.arange(len(wave)) * 1000 / RATE
        ax.axvspan(at[known], (known + frame.overlap) * 1000 / RATE, color=OLD, alpha=0.15, lw=0)
        ax.plot(at, wave, lw=0.6, color=NEW if name == "$x^{l}$" else OLD)
        ax.set(yticks=[], xlim=(0, size * 1000 / RATE))
        ax.set_ylabel(name, rotation=0, ha="right", va="center")
        ax.grid(False)
    axes.flat[-1].set_xlabel("ms of the frame; shaded: the overlap")
    return done(fig, None)


def network() -> Figure:
    """Draw the stack of layers and one of them."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.7), width_ratios=(1, 1.7))
    for ax in (left, right):
        ax.set(xlim=(0, 10), ylim=(0, 10))
        ax.axis("off")
    for y, name in ((0.9, "noisy frame $x_s$"), (9.1, "noise $\\epsilon_\\theta$")):
        left.text(5, y, name, ha="center", va="center", color=INK)
    rows = (
        (2.2, "1 x 1, ReLU"),
        (3.7, "layer 1"),
        (5.0, "layer 2"),
        (6.6, "layer $N$"),
        (7.9, "head"),
    )
    for y, name in rows:
        _box(left, 5, y, 4.2, 0.9, name)
    left.text(5, 5.8, "...", ha="center", va="center", color=INK)
    for a, b in ((1.2, 1.75), (2.65, 3.25), (4.15, 4.55), (7.05, 7.45), (8.35, 8.8)):
        _arrow(left, (5, a), (5, b))
    for y in (3.7, 5.0, 6.6):
        left.plot([7.1, 9, 9], [y, y, 7.9], color=GREY, lw=1)
    _arrow(left, (9, 7.9), (7.1, 7.9), GREY)
    left.text(9.2, 5.8, "skip", rotation=90, va="center", color=GREY)
    _box(right, 2.3, 1.6, 3.4, 0.9, "$h + W_i\\,e_s$")
    _box(right, 2.3, 3.2, 3.4, 0.9, "MRB")
    inputs = (("$Hx^{l-1}$", 5.4), ("phone", 7.3), ("energy", 9.2))
    for name, x in inputs:
        right.text(x, 1.6, name, ha="center", va="center", color=INK)
        _box(right, x, 3.2, 1.5, 0.9, "MRB", shaded=True)
        _arrow(right, (x, 2.0), (x, 2.75))
        _arrow(right, (x, 3.65), (5.0, 4.75), GREY)
    _arrow(right, (2.3, 2.05), (2.3, 2.75))
    _arrow(right, (2.3, 3.65), (4.6, 4.75))
    _box(right, 4.8, 5.2, 5.4, 0.9, "sum, then $\\sigma(g)\\odot\\tanh f$")
    _box(right, 4.8, 6.8, 2.2, 0.9, "1 x 1")
    _arrow(right, (4.8, 5.65), (4.8, 6.35))
    for x, name in ((2.9, "$h\\leftarrow(h+r)/\\sqrt{2}$"), (7.0, "skip $k$")):
        _arrow(right, (4.8, 7.25), (x, 8.35))
        right.text(x, 8.7, name, ha="center", va="center", color=INK)
    return done(fig, None)


def _box(ax: Axes, x: float, y: float, w: float, h: float, text: str, shaded: bool = False) -> None:
    shape = FancyBboxPatch(
        (x - w / 2, y - h / 2), w, h, boxstyle="round,pad=0.05", lw=1,
        fc=PANEL if shaded else "white", ec=NEW if shaded else INK,
    )  # fmt: skip
    ax.add_patch(shape)
    ax.text(x, y, text, ha="center", va="center", color=INK)


def _arrow(
    ax: Axes, start: tuple[float, float], end: tuple[float, float], color: str = INK
) -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": color, "lw": 1})


def several(
    kinds: Mapping[str, Sequence[NDArray]], recording: NDArray, ylabels: Sequence[str]
) -> Figure:
    """Draw tracks of several utterances of one text, a row a track and a column a kind, over the recording's."""
    fig, axes = panels(len(ylabels), len(kinds), (7.2, 3.4), sharex=True, sharey="row")
    for j, (name, tracks) in enumerate(kinds.items()):
        axes[0, j].set_title(name)
        for i, label in enumerate(ylabels):
            ax = axes[i, j]
            at = np.arange(len(recording[i])) / 100
            for track in tracks:
                ax.plot(at[: len(track[i])], track[i], lw=0.9, color=NEW, alpha=0.8)
            ax.plot(at, recording[i], lw=1.3, color=INK)
            ax.set_ylabel(label if j == 0 else "")
    for ax in axes[-1]:
        ax.set_xlabel("seconds")
    return done(fig, None)
