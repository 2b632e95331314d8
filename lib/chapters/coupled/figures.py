"""Figures that the drawing kit has no function for; pure functions from arrays to `Figure`."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from diffbook.draw.curves import step_ticks
from diffbook.draw.parts import done, legend_below, panels
from diffbook.draw.style import COLORS, GREY, INK, PANEL, STYLES, style

Interval = tuple[float, float, float]

SIGNAL, LOGITS = COLORS["parallel"], COLORS["alternating"]


def couplings() -> Figure:
    """Draw who sees whom in the three couplings: time runs from noise (left) to data (right)."""
    fig, axes = panels(3, 1, (7.2, 4.6), sharex=True)
    names = (
        "parallel: one loop, two chains",
        "alternating: whole chains in turn, five rounds",
        "nested: one logits chain, whole signal chains inside",
    )
    for ax, name in zip(axes.flat, names, strict=True):
        ax.set(title=name, xlim=(-1.1, 10.4), ylim=(-0.55, 1.55), xticks=[], yticks=[])
        ax.grid(False)
        ax.spines[:].set_visible(False)
        for y, text, colour in ((1, "signal", SIGNAL), (0, "logits", LOGITS)):
            ax.text(-0.2, y, text, color=colour, ha="right", va="center", weight="bold")
    parallel, alternating, nested = axes.flat
    _chain(parallel, 0, 10, 1, SIGNAL)
    _chain(parallel, 0, 10, 0, LOGITS)
    for x in (5.5, 6.5, 7.5, 8.5, 9.5):
        _arrow(parallel, x, 1, x, 0, SIGNAL)
        _arrow(parallel, x + 0.25, 0, x + 0.5, 1, LOGITS)
    parallel.text(2.5, 0.5, "not coupled yet", ha="center", va="center", color=INK)
    for i in range(5):
        _chain(alternating, 2 * i, 2 * i + 0.9, 1, SIGNAL)
        _chain(alternating, 2 * i + 1, 2 * i + 1.9, 0, LOGITS)
        _arrow(alternating, 2 * i + 0.9, 1, 2 * i + 1, 0, SIGNAL)
        if i < 4:
            _arrow(alternating, 2 * i + 1.9, 0, 2 * i + 2, 1, LOGITS)
    _chain(nested, 0.8, 10, 0, LOGITS)
    _chain(nested, 0, 0.7, 1, SIGNAL)
    _arrow(nested, 0.7, 1, 0.9, 0, SIGNAL)
    for x in (3.9, 5.1, 6.3, 7.5, 8.7):
        _chain(nested, x + 0.1, x + 0.8, 1, SIGNAL)
        _arrow(nested, x, 0, x + 0.1, 1, LOGITS)
        _arrow(nested, x + 0.8, 1, x + 0.95, 0, SIGNAL)
    return done(fig, None)


def _chain(ax: Axes, start: float, end: float, y: float, colour: str) -> None:
    """Draw a chain from noise to data as a bar that grows darker."""
    pieces = 24
    for i in range(pieces):
        left, right = (start + (end - start) * j / pieces for j in (i, i + 1))
        ax.fill_between([left, right], y - 0.13, y + 0.13, color=colour, lw=0,
                        alpha=0.15 + 0.85 * i / (pieces - 1))  # fmt: skip


def _arrow(ax: Axes, x0: float, y0: float, x1: float, y1: float, colour: str) -> None:
    """Draw an arrow from one bar to the other."""
    edge = 0.16 if y1 > y0 else -0.16
    ax.annotate("", (x1, y1 - edge), (x0, y0 + edge),
                arrowprops={"arrowstyle": "->", "color": colour, "lw": 1.4, "shrinkA": 0, "shrinkB": 0})  # fmt: skip


def opening(
    rows: Mapping[str, NDArray], accuracies: Mapping[str, Mapping[str, Interval]]
) -> Figure:
    """Draw rows of pictures (n, h, w), and below them a panel of right decisions for each task."""
    fig = plt.figure(figsize=(7.2, 5.6), layout="constrained")
    top, bottom = fig.subfigures(2, 1, height_ratios=[1.15, 1])
    axes = top.subplots(len(rows), len(next(iter(rows.values()))))
    for line, (name, pictures) in zip(axes, rows.items(), strict=True):
        for ax, picture in zip(line, pictures, strict=True):
            ax.imshow(picture, cmap="gray", vmin=-1, vmax=1)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    axes = bottom.subplots(1, len(accuracies), sharey=True)
    for ax, (title, values) in zip(axes, accuracies.items(), strict=True):
        for i, (name, (mean, low, high)) in enumerate(values.items()):
            look = STYLES[name]
            filled = name in ("parallel", "alternating", "nested")
            ax.hlines(i, low, high, color=look["color"], linewidth=2)
            ax.plot(mean, i, marker=look["marker"], color=look["color"], markersize=8,
                    markerfacecolor=look["color"] if filled else PANEL)  # fmt: skip
        ax.set(title=title, xlabel="right decisions (%)")
        ax.set_yticks(range(len(values)), list(values))
    axes[0].invert_yaxis()
    return done(fig, None)


def over_calls(
    curves: Mapping[str, Mapping[int, float]], extra: Mapping[str, Mapping[int, float]]
) -> Figure:
    """Draw accuracy over network calls; methods have their own look, `extra` curves are grey."""
    fig, axes = panels(1, 1, (7.2, 4.2))
    ax = axes.flat[0]
    for name, curve in curves.items():
        ax.plot(*zip(*sorted(curve.items()), strict=True), **style(name), label=name)
    for name, curve in extra.items():
        ax.plot(*zip(*sorted(curve.items()), strict=True), color=GREY, marker="s", label=name)
    ax.set(xscale="log", xlabel="network calls", ylabel="right decisions (%)")
    step_ticks(ax, [1, 3, 10, 30, 100, 300])
    legend_below(fig, ax, 4)
    return done(fig, None)
