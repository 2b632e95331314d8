"""Figures of the quality of posterior samplers: losses, perception against distortion, coverage.

Pure functions from arrays to `Figure`, in the style of `chapters.spectral.figures`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from diffbook.draw.parts import (
    LOSS,
    distinct,
    done,
    filled,
    gaps,
    legend_below,
    narrow_log_ticks,
    panels,
    positive,
    room,
    sparse,
    step_axis,
    vector,
)
from diffbook.draw.style import COLORS, INK, label, style

__all__ = ["agreement", "coverage", "loss_vs_steps", "perception_distortion", "sensitivity"]


def loss_vs_steps(
    steps: ArrayLike,
    losses: Mapping[str, ArrayLike],
    *,
    reference: str | None = None,
    top: float | None = None,
    ylabel: str = LOSS,
    title: str | None = None,
) -> Figure:
    """Draw losses over the number of steps, log-log, and their ratio to one of them below.

    Parameters
    ----------
    steps : array, shape (n,)
        Numbers of steps, positive.
    losses : mapping
        Method to positive values, shape (n,); NaN where not available.
    reference : str, optional
        Key of `losses` to which a lower panel refers.
    top : float, optional
        Upper end of the ordinate; a method that diverges runs out of the panel there.
    """
    steps = positive("steps", steps)
    arrays = {k: gaps(f"losses[{k!r}]", v, steps.size) for k, v in filled(losses).items()}
    if reference is not None and reference not in arrays:
        raise ValueError(f"reference must be one of {list(arrays)}; got {reference!r}.")
    heights = [1] if reference is None else [1.7, 1]
    size = (7.2, 3.9 + 2.0 * (len(heights) - 1) + room(arrays))
    fig, axes = panels(len(heights), 1, size, sharex=True, heights=heights)
    for ax, below in zip(axes.flat, (1.0, arrays.get(reference)), strict=False):
        for key, value, look in distinct(arrays):
            ax.plot(steps, value / below, label=label(key), **look)
        ax.set_yscale("log")
    axes.flat[0].set_ylabel(ylabel)
    if top is not None:
        axes.flat[0].set_ylim(top=top)
    if reference is not None:
        axes.flat[1].set_ylabel(f"ratio to\n{label(reference)}")
        if top is not None:
            axes.flat[1].set_ylim(top=top / np.nanmin(arrays[reference]))
    for ax in axes.flat:
        narrow_log_ticks(ax.yaxis)
    step_axis(axes.flat[-1], steps)
    legend_below(fig, axes.flat[0], len(arrays))
    return done(fig, title)


def sensitivity(
    x: ArrayLike,
    losses: Mapping[str, ArrayLike],
    *,
    xlabel: str,
    ylabel: str = LOSS,
    log: str = "xy",
    mark: float | None = None,
    title: str | None = None,
) -> Figure:
    """Draw losses over a property of the problem (noise, width of the blur, slope of the spectrum).

    Parameters
    ----------
    x : array, shape (n,)
        Values of the property.
    losses : mapping
        Method to values, shape (n,); NaN where not available.
    log : {"", "x", "y", "xy"}
        Which axes are logarithmic.
    mark : float, optional
        Value of `x` that the rest of the text uses, drawn as a vertical line.
    """
    if log not in ("", "x", "y", "xy"):
        raise ValueError(f"log must be '', 'x', 'y' or 'xy'; got {log!r}.")
    x = positive("x", x) if "x" in log else vector("x", x)
    check = gaps if "y" in log else vector
    arrays = {k: check(f"losses[{k!r}]", v, x.size) for k, v in filled(losses).items()}
    fig, axes = panels(1, 1, (7.2, 3.8 + room(arrays)))
    ax = axes.flat[0]
    if mark is not None:
        ax.axvline(mark, color=INK, linewidth=1, linestyle=(0, (2, 2)))
    for key, value, look in distinct(arrays):
        ax.plot(x, value, label=label(key), markevery=sparse(x.size, 12), **look)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.set_xscale("log" if "x" in log else "linear")
    ax.set_yscale("log" if "y" in log else "linear")
    for axis in (ax.xaxis, ax.yaxis):
        narrow_log_ticks(axis)
    legend_below(fig, ax, len(arrays))
    return done(fig, title)


def perception_distortion(
    points: Mapping[str, tuple[float, float]],
    parabola: tuple[ArrayLike, ArrayLike],
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    designed: Mapping[str, tuple[float, float]] | None = None,
    *,
    xlim: tuple[float, float] | None = None,
    ylim: tuple[float, float] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw the plane of distortion (MSE) and perception (distance of the output's law to the data's).

    All arguments hold W2 squared, as the library computes it; the ordinate is W2, in which the best
    possible estimators lie on a parabola.

    Parameters
    ----------
    points : mapping
        Name of a reference estimator to (MSE, W2 squared), in units of the data squared.
    parabola : tuple of arrays
        (MSE, W2 squared) along the best trade-off; what lies beyond it is shaded.
    curves : mapping
        Method to (MSE, W2 squared) along its weight, arrays of one length.
    designed : mapping, optional
        Name to (MSE, W2 squared) of designed weights.
    xlim, ylim : tuple of float, optional
        Ends of the axes, of MSE and of W2. By default they hold points, parabola and designed points, and curves may
        run out of them.
    """
    best, index = _plane("parabola", parabola)
    arrays = {k: _plane(f"curves[{k!r}]", pair) for k, pair in filled(curves).items()}
    dots = {k: _plane(f"points[{k!r}]", np.reshape(v, (-1, 1))) for k, v in filled(points).items()}
    for k, v in (designed or {}).items():
        dots[k] = _plane(f"designed[{k!r}]", np.reshape(v, (-1, 1)))
    names = ["best possible", *arrays, *dots]
    fig, axes = panels(1, 1, (7.2, 4.4 + room(names)))
    ax = axes.flat[0]
    far = np.max([[best.max(), index.max()], *(dot.ravel() for dot in dots.values())], axis=0)
    left = best.min() - 0.06 * (far[0] - best.min())
    xlim = (left, far[0] + 0.4 * (far[0] - left)) if xlim is None else xlim
    ylim = (-0.05 * far[1], 1.3 * far[1]) if ylim is None else ylim
    order = np.argsort(index)
    ax.fill_betweenx(index[order], xlim[0], best[order], color=INK, alpha=0.1, linewidth=0)
    ax.fill_between(xlim, min(0.0, ylim[0]), 0, color=INK, alpha=0.1, linewidth=0)
    ax.fill_betweenx([index.max(), max(ylim[1], index.max())], xlim[0], best.min(), color=INK,
                     alpha=0.1, linewidth=0)  # fmt: skip
    ax.plot(best, index, color=INK, linewidth=1.4, label="best possible")
    for key, (mse, w2), look in distinct(arrays):
        ax.plot(mse, w2, label=label(key), markevery=sparse(mse.size, 8), **look)
    for i, (key, value) in enumerate(dots.items()):
        look = style(key, i) | {"linestyle": "none", "markersize": 11, "zorder": 5}
        ax.plot(*value, label=label(key), markeredgecolor=INK, clip_on=False, **look)
    ax.set(xlim=xlim, ylim=ylim)
    ax.set_xlabel(r"distortion $E|x_0-\hat{x}_0|^2$ (units of the data squared)")
    ax.set_ylabel(r"perception $W_2(p_x,p_{\hat{x}})$ (units of the data)")
    legend_below(fig, ax, len(names))
    return done(fig, title)


def coverage(
    nominal: ArrayLike,
    closed: Mapping[str, ArrayLike],
    measured: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]] | None = None,
    *,
    measured_at: ArrayLike | None = None,
    title: str | None = None,
) -> Figure:
    """Draw how often intervals of a sampler hold the truth, and the excess over what they promise.

    Parameters
    ----------
    nominal : array, shape (n,)
        Promised probabilities, in [0, 1].
    closed : mapping
        Method to probabilities by the closed form, shape (n,); lines.
    measured : mapping, optional
        Method to (mean, low, high) of simulations, shape (k,); points with intervals.
    measured_at : array, shape (k,), optional
        Promised probabilities of `measured`, by default `nominal`.
    """
    nominal = _share("nominal", nominal)
    at = nominal if measured_at is None else _share("measured_at", measured_at)
    arrays = {k: _share(f"closed[{k!r}]", v, nominal.size) for k, v in filled(closed).items()}
    bars = {
        k: np.stack([_share(f"measured[{k!r}]", part, at.size) for part in v])
        for k, v in (measured or {}).items()
    }
    unknown = sorted(set(bars) - set(arrays))
    if unknown:
        raise ValueError(f"measured must have methods of closed, {list(arrays)}; got {unknown}.")
    fig, axes = panels(2, 1, (7.2, 5.6 + room(arrays)), sharex=True, heights=[1.3, 1])
    for ax, less in zip(axes.flat, (0.0, 1.0), strict=True):
        ax.plot([0, 100], [0, 100 * (1 - less)], color=INK, linewidth=1.2, zorder=1)
        for key, value, look in distinct(arrays):
            line = look if key not in bars else look | {"marker": "none"}
            ax.plot(100 * nominal, 100 * (value - less * nominal), markevery=sparse(nominal.size),
                    label=label(key) if key not in bars else None, **line)  # fmt: skip
            if key in bars:
                mean, low, high = 100 * (bars[key] - less * at)
                ax.errorbar(100 * at, mean, yerr=np.abs([mean - low, high - mean]), capsize=3,
                            color=look["color"], marker=look["marker"], linestyle="none")  # fmt: skip
                ax.plot([], [], label=label(key), **look)  # one entry for line and points
    axes.flat[0].set(ylabel="actual coverage (%)", xlim=(0, 100), ylim=(0, 100))
    axes.flat[1].set(
        xlabel="promised coverage (%)", ylabel="actual − promised\n(percentage points)"
    )
    legend_below(fig, axes.flat[0], len(arrays))
    return done(fig, title)


def agreement(
    differences: Mapping[str, ArrayLike],
    threshold: float,
    *,
    xlabel: str = "relative difference",
    smallest: float = 1e-17,
    title: str | None = None,
) -> Figure:
    """Draw relative differences of two computations on a logarithmic axis, with what is allowed.

    Parameters
    ----------
    differences : mapping
        Case to its relative differences (one or several), not negative.
    threshold : float
        Largest difference allowed: a vertical line, the side beyond it shaded.
    smallest : float
        Differences below, exact agreement included, are drawn here as triangles to the left.
    """
    groups = {
        k: vector(f"differences[{k!r}]", np.atleast_1d(np.asarray(v, dtype=float)))
        for k, v in filled(differences).items()
    }
    for k, value in groups.items():
        if not (value >= 0).all():
            raise ValueError(f"differences[{k!r}] must not be negative; got {value.min():g}.")
    if not threshold > smallest > 0:
        raise ValueError(f"threshold must exceed smallest = {smallest:g} > 0; got {threshold:g}.")
    fig, axes = panels(1, 1, (7.2, 1.2 + 0.36 * len(groups)))
    ax = axes.flat[0]
    largest = max(threshold, *(float(v.max()) for v in groups.values()))
    ax.axvspan(threshold, 30 * largest, color=COLORS["PiGDM"], alpha=0.12, linewidth=0)
    ax.axvline(threshold, color=COLORS["PiGDM"], linewidth=1.8)
    ax.annotate("← allowed", (threshold, 1), xycoords=("data", "axes fraction"), xytext=(-5, 3),
                textcoords="offset points", ha="right", va="bottom", color=INK)  # fmt: skip
    for k, (name, value) in enumerate(groups.items()):
        tiny = value < smallest
        look = style(name, k)
        for where, marker in ((~tiny, look["marker"]), (tiny, "<")):
            x = np.maximum(value[where], smallest)
            ax.plot(x, np.full(x.size, k), color=look["color"], marker=marker, markersize=8,
                    linestyle="none")  # fmt: skip
    least = min(float(np.maximum(v, smallest).min()) for v in groups.values())
    ax.set(xscale="log", xlabel=xlabel, ylim=(len(groups) - 0.5, -0.5))
    ax.set_xlim(min(least, threshold) / 10, 30 * largest)
    ax.set_yticks(range(len(groups)), [label(k) for k in groups])
    return done(fig, title)


def _plane(name: str, pair: ArrayLike) -> NDArray[np.float64]:
    """Rows MSE and W2, from MSE and W2 squared."""
    if len(pair) != 2:
        raise ValueError(f"{name} must be (MSE, W2 squared); got {len(pair)} entries.")
    mse = vector(name, pair[0])
    w2 = vector(name, pair[1], mse.size)
    if w2.min() < -1e-9 * mse.max():  # less than that is rounding
        raise ValueError(f"{name} must have W2 squared of at least 0; got {w2.min():g}.")
    return np.stack([mse, np.sqrt(np.maximum(w2, 0.0))])


def _share(name: str, value: ArrayLike, size: int | None = None) -> NDArray[np.float64]:
    """Probabilities: a 1-D array inside [0, 1]."""
    array = vector(name, value, size)
    if not (array.min() >= 0 and array.max() <= 1):
        raise ValueError(f"{name} must lie in [0, 1]; got [{array.min():g}, {array.max():g}].")
    return array
