"""Figures of restored images: grids, quality over the number of steps, paired differences.

Pure functions from arrays to `Figure`, in the style of `chapters.spectral.figures`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from diffbook.draw.parts import (
    distinct,
    done,
    few_log_ticks,
    filled,
    legend_below,
    lowest,
    panels,
    positive,
    room,
    vector,
)
from diffbook.draw.style import INK, PANEL, SEQUENCE, label

__all__ = ["paired_differences", "quality", "restoration_grid"]

# Colour of pixels that were not measured: far enough from grey to survive a palette of 64 colours.
_HOLE = (0.60, 0.76, 0.91)


def restoration_grid(
    rows: Mapping[str, Mapping[str, ArrayLike]],
    std: Mapping[str, ArrayLike] | None = None,
    *,
    low: float = -1.0,
    high: float = 1.0,
    std_max: float | None = None,
    title: str | None = None,
) -> Figure:
    """Draw restorations as a grid of images, with the standard deviation of the samples at the end.

    Parameters
    ----------
    rows : mapping
        Label of a row to {heading of a column: image}; all rows have the same headings. An image is
        (h, w), (h, w, 3) or channels first, (1, h, w) or (3, h, w). Images of one row may differ in
        size (a downsampled measurement): all are drawn equally large. NaN pixels (not measured) are
        drawn in light blue.
    std : mapping, optional
        Label of a row to the standard deviation of every pixel, (h, w), not negative, in units of the
        data; a last column with a colour map of its own and its scale below the figure.
    low, high : float
        Values drawn as black and white; values beyond are drawn as these.
    std_max : float, optional
        Upper end of the colour map of `std`, by default its largest value.
    """
    images, headings = _cells(rows)
    if not high > low:
        raise ValueError(f"high must be above low = {low:g}; got {high:g}.")
    spread = _spread(std, list(images))
    first = images[next(iter(images))][headings[0]]
    fig, axes = _cells_of(
        (len(images), len(headings) + bool(spread)), first.shape[:2], above=0.58 if title else 0.26,
        below=0.72 if spread else 0.04,
    )  # fmt: skip
    for line, (name, group) in zip(axes, images.items(), strict=True):
        for ax, heading in zip(line, headings, strict=False):
            ax.imshow(_rgb(group[heading], low, high), interpolation="nearest", aspect="auto")
        line[0].set_ylabel(label(name).replace(" ", "\n", 1), fontsize=11, labelpad=3)
    for ax, heading in zip(axes[0], [*headings, "std"], strict=False):
        ax.set_title(heading, fontsize=11, fontweight="normal", loc="center", pad=4)
    if spread:
        top = max(float(v.max()) for v in spread.values()) if std_max is None else std_max
        scale = Normalize(0, max(top, 1e-12))
        for ax, value in zip(axes[:, -1], spread.values(), strict=True):
            ax.imshow(value, cmap=SEQUENCE, norm=scale, interpolation="nearest", aspect="auto")
        height = fig.get_figheight()
        place = fig.add_axes((0.08, 0.48 / height, 0.86, 0.13 / height), label="<colorbar>")
        bar = fig.colorbar(ScalarMappable(scale, SEQUENCE), cax=place, orientation="horizontal")
        bar.set_label("std: standard deviation of the samples (units of the data)")
        bar.locator = MaxNLocator(5)
        bar.update_ticks()
        bar.outline.set_visible(False)
    return done(fig, title)


def quality(
    steps: Sequence[int],
    measured: Mapping[str, Mapping[str, ArrayLike]],
    *,
    linear: Sequence[str] = (),
    floor: Mapping[str, float] | None = None,
    columns: int = 2,
    title: str | None = None,
) -> Figure:
    """Draw metrics over the number of steps: one panel per metric, mean and interval per method.

    Parameters
    ----------
    steps : sequence of int, length n
        Numbers of steps.
    measured : mapping
        Metric to {method: array of shape (n, 3), rows (mean, low, high)}; a row of NaN where not
        available.
    linear : sequence of str
        Metrics with a linear axis (PSNR in dB, SSIM), which may be negative; the others have a
        logarithmic one, need positive means, and show an interval no lower than half the mean.
    floor : mapping, optional
        Metric to the value of a reference (the MMSE estimate, true images), a dotted line.
    columns : int
        Panels in a row.
    """
    x = positive("steps", steps)
    tables = {
        metric: {k: _triples(f"measured[{metric!r}][{k!r}]", v, x.size) for k, v in group.items()}
        for metric, group in filled(measured).items()
    }
    unknown = sorted((set(linear) | set(floor or {})) - set(tables))
    if unknown:
        raise ValueError(f"linear and floor must name metrics of {list(tables)}; got {unknown}.")
    for metric, group in tables.items():
        if metric not in linear and any((v[:, 0] <= 0).any() for v in group.values()):
            raise ValueError(f"measured[{metric!r}] must have positive means; name it in linear.")
    names = {name: np.empty(0) for group in tables.values() for name in group}
    style_of = {key: look for key, _, look in distinct(names)}
    rows = -(-len(tables) // columns)
    fig, axes = panels(rows, columns, (7.2, 0.5 + 2.6 * rows + room(names)), sharex=True)
    for ax, (metric, group) in zip(axes.flat, tables.items(), strict=False):
        for i, (name, value) in enumerate(group.items()):
            mean, low, high = value.T
            low = low if metric in linear else np.maximum(low, 0.5 * mean)
            # Shifted sideways by a few per cent, so that intervals do not hide each other.
            ax.errorbar(
                x * 1.03 ** (i - (len(group) - 1) / 2), mean, yerr=(mean - low, high - mean),
                capsize=2.5, label=label(name), **style_of[name],
            )  # fmt: skip
        if floor and metric in floor:
            ax.axhline(floor[metric], color=INK, linewidth=1.2, linestyle=(0, (1, 1.5)))
        ax.set(xscale="log", title=metric)
        ax.set_xticks(x, [f"{S:g}" for S in x])
        ax.xaxis.set_minor_locator(NullLocator())
        if metric not in linear:
            ax.set_yscale("log")
            few_log_ticks(ax.yaxis)
    lowest(axes, len(tables), "number of steps S")
    legend_below(fig, max(axes.flat, key=lambda ax: len(ax.containers)), len(names))
    return done(fig, title)


def paired_differences(
    steps: Sequence[int],
    differences: Mapping[str, ArrayLike],
    *,
    xlabel: str,
    better: str | None = None,
    title: str | None = None,
) -> Figure:
    """Draw paired differences with their intervals, grouped by task, and the line of no difference.

    Parameters
    ----------
    steps : sequence of int, length n
        Numbers of steps, a colour and a marker each.
    differences : mapping
        Task or metric to an array of shape (n, 3), rows (mean, low, high); a row of NaN where not
        available. A point is filled where its interval excludes zero.
    better : str, optional
        Text at the right of the zero line ("designed better →").
    """
    counts = vector("steps", steps)
    groups = {
        k: _triples(f"differences[{k!r}]", v, counts.size) for k, v in filled(differences).items()
    }
    lines = len(groups) * counts.size
    texts = [f"S = {S:g}" for S in counts]
    fig, axes = panels(1, 1, (7.2, 1.1 + 0.2 * lines + 0.1 * len(groups) + room(texts)))
    ax = axes.flat[0]
    colors = SEQUENCE(np.linspace(0, 1, counts.size)) if counts.size > 1 else [SEQUENCE(0.1)]
    inside = (np.arange(counts.size) - (counts.size - 1) / 2) * 0.78 / counts.size
    for k, table in enumerate(groups.values()):
        for i, (mean, low, high) in enumerate(table):
            ax.errorbar(
                mean, k + inside[i], xerr=[[mean - low], [high - mean]], color=colors[i],
                marker="osD^v<>p"[i % 8], markersize=7, capsize=3, linestyle="none",
                markerfacecolor=colors[i] if low > 0 or high < 0 else PANEL,
                label=None,
            )  # fmt: skip
        if k:
            ax.axhline(k - 0.5, color="#c4c4bc", linewidth=0.8)
    for i, text in enumerate(texts):
        ax.plot([], [], color=colors[i], marker="osD^v<>p"[i % 8], markersize=7, label=text)
    ax.axvline(0, color=INK, linewidth=1.4, zorder=1)
    if better:
        ax.annotate(better, (1, 1), xycoords="axes fraction", xytext=(0, 3), ha="right",
                    textcoords="offset points", va="bottom", color=INK)  # fmt: skip
    ax.set(xlabel=xlabel, ylim=(len(groups) - 0.5, -0.5))
    ax.set_yticks(range(len(groups)), [label(k) for k in groups])
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
    legend_below(fig, ax, len(texts))
    return done(fig, title)


def _cells(
    rows: Mapping[str, Mapping[str, ArrayLike]],
) -> tuple[dict[str, dict[str, NDArray[np.float64]]], list[str]]:
    """Images with channels last, checked, and the headings of the columns."""
    headings = list(filled(next(iter(filled(rows).values()))))
    images: dict[str, dict[str, NDArray[np.float64]]] = {}
    for name, group in rows.items():
        if list(group) != headings:
            raise ValueError(f"rows[{name!r}] must have the columns {headings}; got {list(group)}.")
        images[name] = {}
        for heading, value in group.items():
            array = np.asarray(value, dtype=float)
            if array.ndim == 3 and array.shape[-1] != 3 and array.shape[0] in (1, 3):
                array = np.moveaxis(array, 0, -1)
            if array.ndim == 3 and array.shape[-1] == 1:
                array = array[..., 0]
            if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] != 3):
                raise ValueError(
                    f"rows[{name!r}][{heading!r}] must be (h, w), (h, w, 3) or channels first; got "
                    f"shape {np.shape(value)}."
                )
            images[name][heading] = array
    return images, headings


def _spread(
    std: Mapping[str, ArrayLike] | None, names: list[str]
) -> dict[str, NDArray[np.float64]]:
    """Return maps of standard deviations, checked."""
    if std is None:
        return {}
    if list(std) != names:
        raise ValueError(f"std must have the rows {names}; got {list(std)}.")
    arrays = {k: np.asarray(v, dtype=float) for k, v in std.items()}
    for name, value in arrays.items():
        if value.ndim != 2 or not (value >= 0).all():
            raise ValueError(
                f"std[{name!r}] must be (h, w) and not negative; got shape {value.shape}, minimum "
                f"{value.min():g}."
            )
    return arrays


def _rgb(image: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Colours of an image, (h, w, 3), pixels that were not measured included."""
    span = np.clip((image - low) / (high - low), 0, 1)
    span = np.repeat(span[..., None], 3, axis=-1) if span.ndim == 2 else span
    return np.where(np.isnan(span).any(axis=-1, keepdims=True), _HOLE, span)


def _cells_of(
    grid: tuple[int, int], shape: tuple[int, int], above: float, below: float
) -> tuple[Figure, NDArray]:
    """Return a figure of bare axes, if possible a whole number of screen pixels per image pixel.

    Placed by hand: uneven pixels would blur in the small palette, and cost three times the bytes.
    `above` and `below` are in inches.
    """
    rows, columns = grid
    left, gap, dpi = 0.44, 0.04, 100
    span = 7.2 - left - 0.04
    width = int(dpi * (span - gap * (columns - 1)) / columns)
    whole = width // shape[1] * shape[1]
    width = (whole if whole > 0.85 * width else width) / dpi
    height = width * shape[0] / shape[1]
    step = width + ((span - columns * width) / (columns - 1) if columns > 1 else 0.0)
    total = above + rows * (height + gap) + below
    fig = plt.figure(figsize=(7.2, total), layout="none")
    axes = np.empty(grid, dtype=object)
    for i, j in np.ndindex(grid):
        bottom = total - above - i * (height + gap) - height
        place = (left + j * step) / 7.2, bottom / total, width / 7.2, height / total
        ax = axes[i, j] = fig.add_axes(place)
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        ax.spines[:].set_visible(False)
    return fig, axes


def _triples(name: str, value: ArrayLike, size: int) -> NDArray[np.float64]:
    """Rows (mean, low, high) with low <= mean <= high, or NaN."""
    array = np.asarray(value, dtype=float)
    if array.shape != (size, 3):
        raise ValueError(
            f"{name} must have shape ({size}, 3), rows (mean, low, high); got {array.shape}."
        )
    mean, low, high = array.T
    if (low > mean).any() or (mean > high).any():
        raise ValueError(f"{name} must have low <= mean <= high in every row.")
    return array
