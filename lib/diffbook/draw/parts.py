"""Parts that the figures of posterior sampling share: styles of variants, axes, checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from diffbook._checks import POSITIVE, real, reals, whole
from diffbook.draw.style import label, looks

LOSS = r"$E_y\,W_2^2$ (units of the data squared)"


_LINES = ((0, (2, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (6, 2)), (0, (1, 1.2)), "-")


_MARKERS = "osD^vXP*"


def distinct(arrays: Mapping[Any, NDArray]) -> list[tuple[Any, NDArray, dict[str, Any]]]:
    """Pair curves with styles as `plotstyle.looks` does, but give no style to two of them.

    Variants of one method (``"DPS 0.3"``, ``"DPS 1"``) keep its colour and take the next line and
    marker that are free.
    """
    used: list[tuple[Any, ...]] = []
    result = []
    for key, value, look in looks(arrays):
        color = tuple(np.atleast_1d(look["color"]))
        choice = (look["linestyle"], look["marker"])
        if (color, *choice) in used:
            lines = [line for line in _LINES if all((color, line) != u[:2] for u in used)]
            free = product(lines or _LINES, _MARKERS[len(used) % 8 :] + _MARKERS)
            choice = next(c for c in free if (color, *c) not in used)
        used.append((color, *choice))
        result.append((key, value, look | {"linestyle": choice[0], "marker": choice[1]}))
    return result


def room(labels: Iterable[Any], width: float = 7.2) -> float:
    """Return the height in inches that `plotstyle.legend_below` will take for these labels."""
    return 0.22 * _rows([label(key) for key in labels], real(width, "width", POSITIVE)) + 0.1


def _rows(texts: Sequence[str], width: float) -> int:
    """Rows of a legend of this width in inches, by its longest text at 11 pt."""
    columns = max(1, int(width / (0.085 * max(map(len, texts), default=0) + 0.75)))
    return -(-len(texts) // columns)


def lowest(axes: NDArray[Any], count: int, xlabel: str) -> None:
    """Label the lowest panel of every column, and hide those from number `count` on."""
    count, columns = whole(count, "count"), axes.shape[1]
    for i, ax in enumerate(axes.flat):
        ax.set_visible(i < count)
        if i < count <= i + columns:
            ax.set_xlabel(xlabel)
            ax.tick_params(labelbottom=True)


def fixed_ticks(axis: Axis, ticks: Sequence[float]) -> None:
    """Label an axis at these values alone."""
    axis.set_major_locator(FixedLocator(reals(ticks, "ticks", ndim=1)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def narrow_log_ticks(axis: Axis) -> None:
    """Label a logarithmic axis of less than two decades with at most six round numbers.

    Others are left alone, and tiny numbers to powers of ten as well.
    """
    low, high = axis.get_view_interval()
    if axis.get_scale() != "log" or not 1e-3 < high < 100 * low:
        return
    decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    fine = [np.arange(10, 100, by) / 10 for by in (1, 2, 5)]
    for steps in (*fine, (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8), (1, 2, 5), (1, 3), (1,)):
        ticks = [
            step * decade for decade in decades for step in steps if low < step * decade < high
        ]
        if len(ticks) <= 6:
            break
    ticks = ticks[:: -(-len(ticks) // 6)] if ticks else [low, high]
    # A last tick just below a round one (0.98 and 1) would touch it.
    if len(ticks) > 1 and ticks[1] / ticks[0] < (high / low) ** 0.07:
        ticks = ticks[1:]
    fixed_ticks(axis, ticks)


def filled(mapping: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return a mapping of curves unchanged; raise if there is nothing in it."""
    if not mapping:
        raise ValueError("nothing to draw: the mapping of curves is empty; give at least one entry")
    return mapping


def vector(name: str, value: ArrayLike, size: int | None = None) -> NDArray[np.float64]:
    """Return a 1-D float array, of length `size` if given; NaN where not available."""
    shape = None if size is None else (whole(size, "size"),)
    return reals(value, name, ndim=1, shape=shape, nan=True)


def positive(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """Return a 1-D array of positive numbers, as a logarithmic axis needs."""
    return reals(value, name, POSITIVE, ndim=1, hint="on a logarithmic axis")


def panels(
    rows: int,
    columns: int,
    size: tuple[float, float],
    *,
    sharex: bool = False,
    sharey: bool = False,
    heights: Sequence[float] | None = None,
) -> tuple[Figure, NDArray[Any]]:
    """Return a figure and its 2-D array of axes; `heights` are relative heights of the rows."""
    rows, columns = whole(rows, "rows"), whole(columns, "columns")
    reals(size, "size", POSITIVE, shape=(2,))
    if heights is not None:
        reals(heights, "heights", POSITIVE, shape=(rows,))
    fig, axes = plt.subplots(
        rows, columns, figsize=size, squeeze=False, sharex=sharex, sharey=sharey,
        layout="constrained", gridspec_kw={"height_ratios": heights} if heights else None,
    )  # fmt: skip
    return fig, axes


def sparse(size: int, count: int = 9) -> int:
    """Distance between markers, so that a curve of `size` points carries about `count` of them."""
    return max(1, whole(size, "size") // whole(count, "count"))


def log_sparse(x: NDArray[np.float64], count: int = 9) -> list[int]:
    """Positions of markers that look evenly spaced on a logarithmic axis."""
    x = reals(x, "x", POSITIVE, ndim=1)
    targets = np.geomspace(x[0], x[-1], min(whole(count, "count"), x.size))
    return sorted({int(np.abs(np.log(x) - np.log(target)).argmin()) for target in targets})


def thin(steps: NDArray[np.float64]) -> list[float]:
    """Keep tick positions that are at least a factor 1.3 apart, so labels do not touch."""
    kept: list[float] = []
    for step in np.sort(reals(steps, "steps", POSITIVE, ndim=1)):
        if not kept or step / kept[-1] > 1.3:
            kept.append(float(step))
    return kept


def plain_log_ticks(axis: mpl.axis.Axis) -> None:
    """Label a logarithmic axis of ratios with plain numbers that do not touch."""
    low, high = axis.get_view_interval()
    candidates = [0.5, 0.7, 1, 1.1, 1.2, 1.3, 1.5, 2, 3, 5, 10, 20, 50, 100]
    inside = [value for value in candidates if low <= value <= high]
    kept: list[float] = []
    for value in inside:
        if not kept or np.log(value / kept[-1]) > 0.11 * np.log(high / low):
            kept.append(value)
    fixed_ticks(axis, kept)


def legend_below(fig: Figure, ax: Axes, count: int) -> None:
    """One legend under the figure: it never hides a curve, and it wraps before it overflows."""
    handles, labels = ax.get_legend_handles_labels()
    if whole(count, "count", 0) < 1 or not handles:
        return
    rows = _rows(labels, fig.get_size_inches()[0])
    fig.legend(
        handles, labels, loc="outside lower center", ncols=-(-len(labels) // rows),
        handlelength=2.8, columnspacing=1.6,
    )  # fmt: skip


def done(fig: Figure, title: str | None) -> Figure:
    """Set the title and detach the figure from pyplot."""
    if title:
        fig.suptitle(title, fontsize=13, fontweight="bold", x=0.01, ha="left")
    plt.close(fig)
    return fig
