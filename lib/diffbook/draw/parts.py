"""Parts that the figures of posterior sampling share: styles of variants, axes, checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from diffbook.draw.style import label, looks, thin, vector

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
    texts = [label(key) for key in labels]
    columns = max(1, int(width / (0.085 * max(map(len, texts)) + 0.75)))
    return 0.22 * -(-len(texts) // columns) + 0.1


def step_axis(ax: Axes, steps: NDArray[np.float64]) -> None:
    """Give a panel a logarithmic axis with the numbers of steps as ticks."""
    ax.set_xscale("log")
    ax.set_xlabel("number of steps S")
    ax.xaxis.set_major_locator(FixedLocator(thin(steps)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_locator(NullLocator())


def lowest(axes: NDArray[Any], count: int, xlabel: str) -> None:
    """Label the lowest panel of every column, and hide those from number `count` on."""
    columns = axes.shape[1]
    for i, ax in enumerate(axes.flat):
        ax.set_visible(i < count)
        if i < count <= i + columns:
            ax.set_xlabel(xlabel)
            ax.tick_params(labelbottom=True)


def few_log_ticks(axis: Axis) -> None:
    """Label a logarithmic axis of any magnitude with at most six round numbers."""
    low, high = axis.get_view_interval()
    decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    for steps in ((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8), (1, 2, 5), (1, 3), (1,)):
        ticks = [
            step * decade for decade in decades for step in steps if low < step * decade < high
        ]
        if len(ticks) <= 6:
            break
    ticks = ticks[:: -(-len(ticks) // 6)] if ticks else [low, high]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def narrow_log_ticks(axis: Axis) -> None:
    """Label a logarithmic axis of less than two decades with plain numbers; leave others alone."""
    low, high = axis.get_view_interval()
    if axis.get_scale() == "log" and high < 100 * low:
        few_log_ticks(axis)


def gaps(name: str, value: ArrayLike, size: int) -> NDArray[np.float64]:
    """Return values for a logarithmic axis: positive, or NaN where not available."""
    array = vector(name, value, size)
    if np.any(array <= 0):
        raise ValueError(f"{name} must be positive for a logarithmic axis; got {array.min():g}.")
    return array
