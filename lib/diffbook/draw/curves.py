"""Curves and dots with names: most figures of the book are one call of a function here.

A curve is an array (n,), or (n, 3) with rows (mean, low, high) of an interval. Names choose the look
(`diffbook.draw.style`): a known name has its colour, numbers of steps become a sequence of colours. Every
function returns a `Figure` that is detached from pyplot, so a cell shows it once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from diffbook._checks import ANY, NON_NEGATIVE, POSITIVE, choice, real, reals, whole
from diffbook.draw.parts import (
    LOSS,
    distinct,
    done,
    filled,
    fixed_ticks,
    legend_below,
    log_sparse,
    lowest,
    narrow_log_ticks,
    positive,
    room,
    thin,
)
from diffbook.draw.parts import panels as axes_of
from diffbook.draw.style import GREY, INK, PANEL, label

_DOTTED, _DASHED = (0, (1, 1.5)), (0, (2, 2))


def lines(
    x: ArrayLike | Mapping[Any, ArrayLike],
    curves: Mapping[Any, ArrayLike],
    *,
    xlabel: str,
    ylabel: str,
    log: str = "",
    reference: Any = None,
    points: Mapping[Any, tuple[ArrayLike, ArrayLike]] | None = None,
    marks: Mapping[str, float] | None = None,
    levels: Mapping[str, float] | None = None,
    floor: float | None = None,
    ticks: Sequence[float] | None = None,
    xlim: tuple[float | None, float | None] | None = None,
    ylim: tuple[float | None, float | None] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw named curves in one panel, and their ratio to one of them in a second below it.

    Parameters
    ----------
    x : array, shape (n,), or mapping
        Abscissa of all curves, or name of a curve to its own.
    curves : mapping
        Name (or number of steps, as an int) to values, shape (n,) or (n, 3) as in (mean, low, high); NaN
        where not available.
    log : {"", "x", "y", "xy"}
        Which axes are logarithmic; values must be positive there.
    reference : optional
        Name of a curve to which the lower panel refers.
    points : mapping, optional
        Name to (x, y) of points without a line; in the colour of the curve of that name if there is one.
    marks, levels : mapping, optional
        Text to a value of x or of y, drawn as a thin vertical or horizontal line with the text.
    floor : float, optional
        Values below (zeros on a logarithmic axis) are drawn here, as open triangles that point down.
    ticks : sequence of float, optional
        Values of x to label; they are thinned where labels would touch.
    xlim, ylim : tuple, optional
        Ends of the axes; a curve beyond runs out of the panel.
    """
    data = _checked(x, curves, log, floor)
    if reference is not None:
        choice(reference, "reference", data)
    across, up = (POSITIVE if axis in log else ANY for axis in "xy")
    if ticks is not None:
        reals(ticks, "ticks", across, ndim=1)
    loose = {k: _point(f"points[{k!r}]", pair, across, up) for k, pair in (points or {}).items()}
    _check_values("marks", marks, across), _check_values("levels", levels, up)
    _check_values("xlim", xlim, across), _check_values("ylim", ylim, up)
    names = [*data, *(name for name in loose if name not in data)]
    two = reference is not None
    size = (7.2, (5.9 if two else 3.9) + room(names))
    fig, axes = axes_of(1 + two, 1, size, sharex=True, heights=[1.7, 1] if two else None)
    _extras(axes.flat[0], marks or {}, levels or {})
    for ax, divide in zip(axes.flat, (None, reference), strict=False):
        ax.set(xscale="log" if "x" in log else "linear", yscale="log" if "y" in log else "linear")
        _draw(ax, data, divide=divide, floor=floor)
        if ylim is not None:
            below = 1.0 if divide is None else np.nanmin(data[reference][1][:, 0])
            ax.set_ylim(*(None if end is None else end / below for end in ylim))
    _draw_points(axes.flat[0], loose, data)
    axes.flat[0].set_ylabel(ylabel)
    if two:
        axes.flat[1].set_ylabel(f"ratio to\n{label(reference)}")
    last = axes.flat[-1]
    last.set_xlabel(xlabel)
    if xlim is not None:
        last.set_xlim(xlim)
    if ticks is not None:
        step_ticks(last, ticks)
    for axis in (last.xaxis, *(ax.yaxis for ax in axes.flat))[ticks is not None :]:
        narrow_log_ticks(axis)
    legend_below(fig, axes.flat[0], len(names))
    return done(fig, title)


def over_steps(
    steps: ArrayLike, curves: Mapping[Any, ArrayLike], *, ylabel: str = LOSS, **options: Any
) -> Figure:
    """Draw positive values over the number of steps, log-log: `lines` with the axis of steps.

    Parameters
    ----------
    steps : array, shape (n,)
        Numbers of steps.
    curves, ylabel, **options
        As in `lines`.
    """
    steps = positive("steps", steps)
    settings = {"xlabel": "number of steps S", "log": "xy", "ticks": steps} | options
    return lines(steps, curves, ylabel=ylabel, **settings)


def panels(
    x: ArrayLike,
    groups: Mapping[str, Mapping[Any, ArrayLike]],
    *,
    xlabel: str = "number of steps S",
    log: str = "xy",
    linear: Sequence[str] = (),
    levels: Mapping[str, float] | None = None,
    columns: int = 2,
    title: str | None = None,
) -> Figure:
    """Draw one panel of curves for each metric, with one common abscissa and legend.

    Parameters
    ----------
    x : array, shape (n,)
        Abscissa, such as numbers of steps; every value is labelled.
    groups : mapping
        Title of a panel to {name: (n,), or (n, 3) as in (mean, low, high)}; NaN where not available.
    log : {"", "x", "y", "xy"}
        Which axes are logarithmic. On a logarithmic ordinate means must be positive, and an interval
        is drawn no lower than half the mean.
    linear : sequence of str
        Panels with a linear ordinate all the same (PSNR in dB), whose values may be negative.
    levels : mapping, optional
        Title of a panel to the value of a reference, a dotted line.
    columns : int
        Panels in a row.
    """
    columns = whole(columns, "columns")
    unknown = sorted((set(linear) | set(levels or {})) - set(filled(groups)))
    if unknown:
        raise ValueError(f"linear and levels must name panels of {list(groups)}; got {unknown}.")
    logs = {name: log.replace("y", "") if name in linear else log for name in groups}
    for name, value in (levels or {}).items():
        real(value, f"levels[{name!r}]", POSITIVE if "y" in logs[name] else ANY)
    tables = {name: _checked(x, group, logs[name], None) for name, group in groups.items()}
    every = {name: np.empty(0) for group in tables.values() for name in group}
    rows = -(-len(tables) // columns)
    fig, axes = axes_of(rows, columns, (7.2, 0.5 + 2.6 * rows + room(every)), sharex=True)
    for ax, (name, data) in zip(axes.flat, tables.items(), strict=False):
        ax.set(title=name, xscale="log" if "x" in log else "linear")
        ax.set_yscale("log" if "y" in logs[name] else "linear")
        _draw(ax, data, looks={key: look for key, _, look in distinct(every)})
        if levels and name in levels:
            ax.axhline(levels[name], color=INK, linewidth=1.2, linestyle=_DOTTED)
        step_ticks(ax, x)
        narrow_log_ticks(ax.yaxis)
    lowest(axes, len(tables), xlabel)
    fullest = max(axes.flat, key=lambda ax: len(ax.get_legend_handles_labels()[1]))
    legend_below(fig, fullest, len(every))
    return done(fig, title)


def dots(
    rows: Mapping[Any, Mapping[Any, ArrayLike]],
    *,
    xlabel: str,
    log: bool = False,
    line: float | None = None,
    join: bool = False,
    ends: Sequence[str] | None = None,
    note: str | None = None,
    title: str | None = None,
) -> Figure:
    """Draw one line of dots for each row, a dot for each name in it, with intervals if given.

    Parameters
    ----------
    rows : mapping
        Row to {name: a value, or (mean, low, high)}; one name alone needs no legend. A dot with an interval is filled where the interval
        excludes `line`; the dots of one row are then set apart.
    log : bool
        Logarithmic abscissa.
    line : float, optional
        Value of no difference, a vertical line.
    join : bool
        Whether a grey line joins the dots of a row.
    ends : sequence of str, optional
        A short text for the right end of every row.
    note : str, optional
        Text above the right end of the axis.
    """
    data = {
        row: {name: _dot(f"rows[{row!r}][{name!r}]", value, log) for name, value in group.items()}
        for row, group in filled(rows).items()
    }
    if line is not None:
        real(line, "line", POSITIVE if log else ANY)
    if ends is not None and len(ends) != len(data):
        raise ValueError(f"ends: got {len(ends)} texts, expected one for each of {len(data)} rows")
    names = list(dict.fromkeys(name for group in data.values() for name in group))
    apart = any(low < high for group in data.values() for _, low, high in group.values())
    height = (0.2 * len(names) + 0.1 if apart else 0.5) * len(data)
    legend = room(names) if len(names) > 1 else 0.0
    fig, axes = axes_of(1, 1, (7.2, 1.2 + height + legend))
    ax = axes.flat[0]
    if line is not None:
        ax.axvline(line, color=INK, linewidth=1.4, zorder=1)
    for i, (name, _, look) in enumerate(distinct({name: np.empty(0) for name in names})):
        shift = (i - (len(names) - 1) / 2) * 0.78 / len(names) if apart else 0.0
        look = look | {"linestyle": "none", "markersize": 7 if apart else 9}
        ax.plot([], [], label=label(name), **look)
        for k, group in enumerate(data.values()):
            if name in group:
                _range(ax, group[name], k + shift, look, line)
    for k, group in enumerate(data.values()):
        middles = [mean for mean, _, _ in group.values()]
        if join:
            ax.hlines(k, min(middles), max(middles), color=GREY, linewidth=2.5, alpha=0.6, zorder=1)
        if apart and k:
            ax.axhline(k - 0.5, color="#c4c4bc", linewidth=0.8)
    for k, text in enumerate(ends or ()):
        ax.annotate(text, (1.01, k), xycoords=("axes fraction", "data"), va="center", color=INK,
                    annotation_clip=False)  # fmt: skip
    if note:
        ax.annotate(note, (1, 1), xycoords="axes fraction", xytext=(0, 3), ha="right",
                    textcoords="offset points", va="bottom", color=INK)  # fmt: skip
    ax.set(xlabel=xlabel, xscale="log" if log else "linear", ylim=(len(data) - 0.5, -0.5))
    ax.set_yticks(range(len(data)), [label(row) for row in data])
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
    narrow_log_ticks(ax.xaxis)
    if legend:
        legend_below(fig, ax, len(names))
    return done(fig, title)


def step_ticks(ax: Axes, ticks: ArrayLike) -> None:
    """Label an axis at the given values, thinned where labels would touch."""
    log = ax.get_xscale() == "log"
    ticks = reals(ticks, "ticks", POSITIVE if log else ANY, ndim=1)
    fixed_ticks(ax.xaxis, thin(ticks) if log else ticks)


def _checked(
    x: ArrayLike | Mapping[Any, ArrayLike],
    curves: Mapping[Any, ArrayLike],
    log: str,
    floor: float | None,
) -> dict[Any, tuple[NDArray, NDArray]]:
    """Abscissa (n,) and rows (n, 3) of every curve; a curve without an interval repeats its values."""
    choice(log, "log", ("", "x", "y", "xy"))
    if floor is not None:
        real(floor, "floor", POSITIVE)
    across = POSITIVE if "x" in log else ANY
    up = (POSITIVE if floor is None else NON_NEGATIVE) if "y" in log else ANY
    if isinstance(x, Mapping) and list(x) != list(curves):
        raise ValueError(f"x must have the keys of curves, {list(curves)}; got {list(x)}.")
    data = {}
    for name, value in filled(curves).items():
        at = reals(x[name] if isinstance(x, Mapping) else x, "x", across, ndim=1)
        what = f"curves[{name!r}]"
        table = reals(value, what, nan=True)
        if table.shape != (at.size, 3):
            reals(table, what, shape=at.shape, nan=True)
            table = np.repeat(table[:, None], 3, axis=1)
        if (table[:, 1] > table[:, 0]).any() or (table[:, 0] > table[:, 2]).any():
            raise ValueError(f"{what} must have low <= mean <= high in every row.")
        reals(table[:, 0], what, up, nan=True, hint="on a logarithmic axis")
        order = np.argsort(at, kind="stable")
        data[name] = at[order], table[order]
    return data


def _draw(
    ax: Axes,
    data: Mapping[Any, tuple[NDArray, NDArray]],
    *,
    divide: Any = None,
    floor: float | None = None,
    looks: Mapping[Any, Mapping[str, Any]] | None = None,
) -> None:
    """Draw checked curves, or their ratios to one of them."""
    looks = looks or {key: look for key, _, look in distinct({k: v[0] for k, v in data.items()})}
    for i, (name, (x, table)) in enumerate(data.items()):
        y = table if divide is None else table / data[divide][1][:, :1]
        mean, low, high = y.T
        shown = mean if floor is None else np.maximum(mean, floor)
        look = dict(looks[name])
        above = np.flatnonzero(mean >= floor) if floor is not None else np.arange(x.size)
        every = _markers(ax, x, above)
        spread = np.any(high > low)
        if x.size > 12 or not spread:
            ax.plot(x, shown, label=label(name), markevery=every, **look)
        if x.size > 12 and spread:
            ax.fill_between(x, low, high, color=look["color"], alpha=0.15, linewidth=0)
        elif spread:
            # Shifted sideways by a few per cent, so that intervals do not hide each other.
            at = x * 1.03 ** (i - (len(data) - 1) / 2) if ax.get_xscale() == "log" else x
            low = np.maximum(low, 0.5 * mean) if ax.get_yscale() == "log" else low
            bars = np.stack([mean - low, high - mean])
            ax.errorbar(at, mean, yerr=bars, capsize=2.5, label=label(name), **look)
        if floor is not None:
            below = np.flatnonzero(mean < floor)
            below = below[:: max(1, below.size // 12)]
            ax.plot(x[below], shown[below], linestyle="none", marker="v", color=look["color"],
                    markerfacecolor=PANEL, markersize=7, zorder=3)  # fmt: skip


def _markers(ax: Axes, x: NDArray, above: NDArray) -> list[int]:
    """Positions of at most about 12 markers, evenly spaced to the eye."""
    if above.size <= 12:
        return [int(i) for i in above]
    if ax.get_xscale() == "log":
        return [int(above[i]) for i in log_sparse(x[above], 12)]
    return [int(i) for i in above[:: above.size // 12]]


def _point(
    name: str, pair: tuple[ArrayLike, ArrayLike], across: str, up: str
) -> tuple[NDArray, NDArray]:
    """Coordinates of points, each in its interval."""
    at = reals(pair[0], name, across, ndim=1)
    return at, reals(pair[1], name, up, shape=at.shape, nan=True)


def _check_values(
    name: str, values: Mapping[str, float] | tuple[float | None, ...] | None, interval: str
) -> None:
    """Check named lines, or the two ends of an axis, each of which may be open."""
    values = (None, None) if values is None else values
    if not isinstance(values, Mapping) and len(values) != 2:
        raise ValueError(f"{name}: got {values!r}, expected two ends, each of which may be None")
    for key, value in values.items() if isinstance(values, Mapping) else enumerate(values):
        if value is not None:
            real(value, f"{name}[{key!r}]", interval)


def _draw_points(
    ax: Axes, points: Mapping[Any, tuple[NDArray, NDArray]], data: Mapping[Any, Any]
) -> None:
    """Draw points without a line, open if no curve has their name."""
    keys = dict.fromkeys([*data, *points])
    looks = {key: look for key, _, look in distinct({key: np.empty(0) for key in keys})}
    for name, pair in points.items():
        look = looks[name] | {"linestyle": "none", "zorder": 4}
        if name not in data:
            look |= {"label": label(name), "markerfacecolor": "none"}
        ax.plot(*pair, **look)


def _extras(ax: Axes, marks: Mapping[str, float], levels: Mapping[str, float]) -> None:
    """Draw thin lines at values of x and of y, with their texts."""
    grey = "#5c5c5c"  # darker than the line, so that small text reads on the panel
    for text, value in marks.items():
        ax.axvline(value, color=INK, linewidth=1, linestyle=_DASHED)
        box = {"facecolor": PANEL, "edgecolor": "none", "alpha": 0.85, "pad": 1}
        ax.annotate(text, (value, 0.03), xycoords=("data", "axes fraction"), xytext=(4, 0), bbox=box,
                    textcoords="offset points", color=grey, rotation=90, va="bottom")  # fmt: skip
    for text, value in levels.items():
        ax.axhline(value, color=INK, linewidth=1)
        ax.annotate(text, (1, value), xycoords=("axes fraction", "data"), xytext=(-4, 4),
                    textcoords="offset points", color=INK, ha="right", va="bottom")  # fmt: skip


def _dot(name: str, value: ArrayLike, log: bool) -> tuple[float, float, float]:
    """Mean, low and high of a dot; a value without an interval three times."""
    array = reals(value, name)
    mean, low, high = reals(np.repeat(array, 3) if array.ndim == 0 else array, name, shape=(3,))
    if low > mean or mean > high:
        raise ValueError(f"{name} must have low <= mean <= high; got {array.tolist()}.")
    return real(mean, name, POSITIVE if log else ANY), low, high


def _range(
    ax: Axes,
    triple: tuple[float, float, float],
    y: float,
    look: Mapping[str, Any],
    line: float | None,
) -> None:
    """Draw one dot and its interval; open where the interval holds the line."""
    mean, low, high = triple
    if low < high:
        ax.hlines(y, low, high, color=look["color"], linewidth=2)
        if line is not None and low <= line <= high:
            look = {**look, "markerfacecolor": PANEL}
    ax.plot([mean], [y], clip_on=False, **look)
