"""Figures of the parts on real signals: tables as dots and maps, and measured quality over steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axis import Axis
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import ArrayLike

from diffbook.draw.parts import done, filled, legend_below, panels, plain_log_ticks, vector
from diffbook.draw.style import INK, SEQUENCE, label, style


def ratio_dots(ratios: Mapping[str, Mapping[str, float]], *, xlabel: str) -> Figure:
    """Draw one line per signal with a dot per schedule, on a logarithmic axis that starts at 1.

    Parameters
    ----------
    ratios : mapping
        Signal to {schedule: ratio to the optimum, >= 1}.
    xlabel : str
        What the ratio is.
    """
    signals = list(filled(ratios))
    fig, axes = panels(1, 1, (7.2, 1.7 + 0.55 * len(signals)))
    ax = axes.flat[0]
    names = list(dict.fromkeys(name for group in ratios.values() for name in group))
    for i, name in enumerate(names):
        where = [k for k, signal in enumerate(signals) if name in ratios[signal]]
        x = [ratios[signals[k]][name] for k in where]
        look = style(name, i) | {"linestyle": "none", "markersize": 8}
        ax.plot(x, where, label=label(name), clip_on=False, **look)
    ax.axvline(1.0, color=INK, linewidth=1.2)
    ax.set(xscale="log", xlabel=xlabel, ylim=(len(signals) - 0.5, -0.5))
    ax.set_yticks(range(len(signals)), signals)
    plain_log_ticks(ax.xaxis)
    legend_below(fig, ax, len(names))
    return done(fig, None)


def cost_map(costs: Mapping[str, Mapping[str, float]], *, xlabel: str, ylabel: str) -> Figure:
    """Draw a square table of ratios as a map with the numbers written in it.

    Parameters
    ----------
    costs : mapping
        Row name to {column name: ratio, >= 1}; rows and columns have the same names.
    xlabel, ylabel : str
        What columns and rows are.
    """
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


def quality(
    steps: Sequence[int],
    measured: Mapping[str, Mapping[str, Sequence[tuple[float, float, float]]]],
    *,
    floor: Mapping[str, float] | None = None,
    columns: int = 2,
) -> Figure:
    """Draw metrics over the number of steps: one panel per metric, mean and interval per schedule.

    Parameters
    ----------
    steps : sequence of int
        Numbers of steps.
    measured : mapping
        Metric to {schedule: [(mean, low, high), one per number of steps]}, positive means. An
        interval is drawn no lower than half the mean: the axis is logarithmic.
    floor : mapping, optional
        Metric to the value that true data have, drawn as a horizontal line.
    columns : int
        Panels in a row.
    """
    names = list(dict.fromkeys(n for group in filled(measured).values() for n in group))
    rows = -(-len(measured) // columns)
    fig, axes = panels(rows, columns, (7.2, 0.9 + 2.9 * rows), sharex=True)
    for ax, (metric, group) in zip(axes.flat, measured.items(), strict=False):
        for i, name in enumerate(group):
            mean, low, high = np.array(group[name]).T
            # Shifted sideways by a few percent, so that intervals do not hide each other.
            x = np.asarray(steps) * 1.02 ** (i - len(group) / 2)
            low = np.maximum(low, 0.5 * mean)  # a logarithmic axis cannot show less
            look = style(name, i)
            ax.errorbar(
                x, mean, yerr=(mean - low, high - mean), capsize=2.5, label=label(name), **look
            )
        if floor and metric in floor:
            ax.axhline(floor[metric], color=INK, linewidth=1.2, linestyle=(0, (1, 1.5)))
        ax.set(xscale="log", yscale="log", title=metric)
        ax.set_xticks(list(steps), [str(S) for S in steps])
        ax.xaxis.set_minor_locator(NullLocator())
        _round_log_ticks(ax.yaxis)
    for ax in axes.flat[len(measured) :]:
        ax.set_visible(False)
    for ax in axes[-1]:
        ax.set_xlabel("number of steps S")
    legend_below(fig, axes.flat[0], len(names))
    return done(fig, None)


def agreement(
    predicted: Mapping[str, ArrayLike], measured: Mapping[str, ArrayLike], *, band: float, unit: str
) -> Figure:
    """Draw measured over predicted values, one curve per schedule, with the identity and a band.

    Parameters
    ----------
    predicted, measured : mapping
        Schedule to positive values, in the same order.
    band : float
        Relative half-width of the band about the identity.
    unit : str
        Name of the quantity, for both axes.
    """
    fig, axes = panels(1, 1, (7.2, 5.0))
    ax = axes.flat[0]
    everything = np.concatenate([vector(k, v) for k, v in filled(predicted).items()])
    ends = np.array([0.85 * everything.min(), 1.15 * everything.max()])
    ax.plot(ends, ends, color=INK, linewidth=1.2)
    ax.fill_between(ends, (1 - band) * ends, (1 + band) * ends, color=INK, alpha=0.08, linewidth=0)
    for i, name in enumerate(predicted):
        look = style(name, i) | {"linestyle": "none", "markersize": 8}
        ax.plot(predicted[name], measured[name], label=label(name), **look)
    ax.set(xscale="log", yscale="log", xlabel=f"{unit}, predicted", ylabel=f"{unit}, measured")
    for axis in (ax.xaxis, ax.yaxis):
        plain_log_ticks(axis)
    legend_below(fig, ax, len(predicted))
    return done(fig, None)


def _round_log_ticks(axis: Axis) -> None:
    """Label a logarithmic axis of any magnitude with a few round numbers that do not touch."""
    low, high = axis.get_view_interval()
    decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    steps = (1, 2, 5) if high / low > 4 else (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
    ticks = [step * decade for decade in decades for step in steps if low < step * decade < high]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter("{x:.3g}")
    axis.set_minor_locator(NullLocator())
