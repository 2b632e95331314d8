"""Figures of guidance weights: their profiles, their landscape, and what copying them costs.

Pure functions from arrays to `Figure`, in the style of `chapters.spectral.figures`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import ArrayLike, NDArray

from chapters.posterior.figures import loss_vs_steps
from diffbook.draw.parts import (
    LOSS,
    distinct,
    done,
    few_log_ticks,
    filled,
    legend_below,
    narrow_log_ticks,
    panels,
    plain_log_ticks,
    positive,
    room,
    vector,
)
from diffbook.draw.style import COLORS, GREY, INK, PANEL, SEQUENCE, label, looks, style

__all__ = [
    "basins",
    "copied_weights",
    "landscape",
    "local_minima",
    "schedule_and_weights",
    "weight_profiles",
]

SIGMA = r"noise level $\sigma_s$ (units of the data)"
WEIGHT = r"weight $\zeta_s$"


def weight_profiles(
    sigma: Mapping[int, ArrayLike],
    weights: Mapping[int, ArrayLike],
    heuristics: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    *,
    floor: float = 1e-3,
    ylabel: str = WEIGHT,
    title: str | None = None,
) -> Figure:
    """Draw designed weights over the noise level, log-log, one curve per number of steps.

    Parameters
    ----------
    sigma, weights : mapping
        Number of steps S to noise levels ``sigma_s`` at which the denoiser is called (positive) and
        to weights (not negative), both of shape (S,).
    heuristics : mapping, optional
        Name to (sigma, weights), thin broken lines.
    floor : float
        Weights below are drawn at this height, as open triangles that point down: a logarithmic
        axis cannot show a weight of zero.
    """
    if list(filled(weights)) != list(sigma):
        raise ValueError(
            f"sigma must have the keys of weights, {list(weights)}; got {list(sigma)}."
        )
    arrays = {S: _profile(f"[{S}]", sigma[S], value) for S, value in weights.items()}
    rules = {k: _profile(f"[{k!r}]", *pair) for k, pair in (heuristics or {}).items()}
    _above_zero("floor", floor)
    names = [*(label(S) for S in arrays), *rules]
    fig, axes = panels(1, 1, (7.2, 4.2 + room(names)))
    ax = axes.flat[0]
    dashes = ((0, (6, 2)), (0, (2, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (1, 1.2)))
    for i, (name, (x, y)) in enumerate(rules.items()):
        order = np.argsort(x)
        ax.plot(x[order], np.maximum(y, floor)[order], color=INK, linewidth=1.6,
                linestyle=dashes[i % 4], label=label(name))  # fmt: skip
    for key, value, look in looks(arrays):
        _floored(ax, *value, floor, look, label(key))
    ax.set(xscale="log", yscale="log", xlabel=SIGMA, ylabel=ylabel)
    legend_below(fig, ax, len(names))
    return done(fig, title)


def local_minima(
    sigma: ArrayLike,
    optima: Sequence[tuple[ArrayLike, float]],
    regularised: tuple[ArrayLike, float] | None = None,
    *,
    floor: float = 1e-3,
    ylabel: str = WEIGHT,
    title: str | None = None,
) -> Figure:
    """Draw several optimal weights of one problem with their losses, over the noise level.

    Parameters
    ----------
    sigma : array, shape (S,)
        Noise levels at which the denoiser is called, positive.
    optima : sequence
        Pairs (weights, shape (S,), not negative; loss), drawn from the smallest loss to the largest.
    regularised : tuple, optional
        The same pair for the regularised design.
    floor : float
        As in `weight_profiles`.
    """
    if not optima:
        raise ValueError("optima must hold at least one pair (weights, loss); got none.")
    found = [(*_profile(f"of optima[{i}]", sigma, w), loss) for i, (w, loss) in enumerate(optima)]
    found.sort(key=lambda entry: entry[2])
    _above_zero("floor", floor)
    labels = [f"loss {loss:#.3g}" for *_, loss in found]
    if regularised is not None:
        smooth = _profile("of regularised", sigma, regularised[0])
        labels.append(f"regularised, loss {regularised[1]:#.3g}")
    fig, axes = panels(1, 1, (7.2, 4.2 + room(labels)))
    ax = axes.flat[0]
    colors = SEQUENCE(np.linspace(0, 0.8, len(found)))
    for i, (x, y, _) in enumerate(found):
        line = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (5, 1.5, 1, 1.5)))[i % 4]
        look = {"color": colors[i], "linestyle": line, "marker": "osD^v<>p"[i % 8]}
        _floored(ax, x, y, floor, look, labels[i])
    if regularised is not None:
        _floored(ax, *smooth, floor, style("regularised") | {"linewidth": 3}, labels[-1])
    ax.set(xscale="log", yscale="log", xlabel=SIGMA, ylabel=ylabel)
    legend_below(fig, ax, len(labels))
    return done(fig, title)


def landscape(
    x: ArrayLike,
    y: ArrayLike,
    loss: ArrayLike,
    minima: Sequence[tuple[float, float, float]] = (),
    *,
    xlabel: str,
    ylabel: str,
    quantity: str = r"$E_y\,W_2^2$ (data squared)",
    title: str | None = None,
) -> Figure:
    """Draw a loss over two weights as a map of contours, with its minima.

    Parameters
    ----------
    x, y : array, shape (n,) and (m,)
        Values of the two weights, positive and increasing; both axes are logarithmic.
    loss : array, shape (m, n)
        Loss, positive; row i belongs to ``y[i]``. The colours are logarithmic.
    minima : sequence of tuple
        (x, y, loss) of points to mark, with their losses beside them.
    """
    x, y = positive("x", x), positive("y", y)
    loss = np.asarray(loss, dtype=float)
    if loss.shape != (y.size, x.size):
        raise ValueError(f"loss must have shape {(y.size, x.size)}; got {loss.shape}.")
    if not (np.isfinite(loss).all() and loss.min() > 0):
        raise ValueError(f"loss must be positive and finite; got a minimum of {loss.min():g}.")
    fig, axes = panels(1, 1, (7.2, 4.9))
    ax = axes.flat[0]
    # Levels closer together near the bottom, where the minima differ by a few per cent only.
    levels = loss.min() * np.exp(np.log(loss.max() / loss.min()) * np.linspace(0, 1, 15) ** 2)
    shown = ax.contourf(x, y, loss, levels=levels, cmap="viridis_r", norm="log")
    ax.contour(x, y, loss, levels=levels[1:-1], colors=INK, linewidths=0.5)
    for px, py, value in minima:
        ax.plot(px, py, marker="*", markersize=15, color=COLORS["regularised"],
                markeredgecolor="white", linestyle="none", clip_on=False)  # fmt: skip
        right = np.log(px / x[0]) < 0.7 * np.log(x[-1] / x[0])
        box = {"facecolor": PANEL, "edgecolor": "none", "boxstyle": "round,pad=0.15", "alpha": 0.9}
        ax.annotate(
            f"{value:#.3g}", (px, py), xytext=(10 if right else -10, 0), va="center", bbox=box,
            ha="left" if right else "right", textcoords="offset points", color=INK,
        )  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)
    narrow_log_ticks(ax.xaxis)
    narrow_log_ticks(ax.yaxis)
    ax.grid(False)
    bar = fig.colorbar(shown, ax=ax, pad=0.02, aspect=24)
    bar.set_label(quantity)
    bar.set_ticks(
        levels[[0, 4, 7, 9, 11, 13]], labels=[f"{v:.3g}" for v in levels[[0, 4, 7, 9, 11, 13]]]
    )
    bar.ax.yaxis.set_minor_locator(NullLocator())
    return done(fig, title)


def basins(
    losses: Mapping[str, ArrayLike], *, xlabel: str = "random starts (%), best first",
    title: str | None = None,
) -> Figure:  # fmt: skip
    """Draw the losses that random starts end at, sorted, relative to the best of each problem.

    Parameters
    ----------
    losses : mapping
        Problem to final losses, positive, in any order; every problem may have its own number.
    """
    arrays = {k: np.sort(positive(f"losses[{k!r}]", v)) for k, v in filled(losses).items()}
    fig, axes = panels(1, 1, (7.2, 3.6 + room(arrays)))
    ax = axes.flat[0]
    for key, value, look in distinct(arrays):
        share = 100 * (np.arange(value.size) + 0.5) / value.size
        ax.plot(share, value / value[0], label=label(key), markevery=max(1, value.size // 12),
                **look)  # fmt: skip
    ax.set(yscale="log", xlim=(0, 100), xlabel=xlabel, ylabel="final loss / best found")
    low, high = ax.get_ylim()
    ax.set_ylim(low, max(high, 1.25))
    (plain_log_ticks if high < 20 else few_log_ticks)(ax.yaxis)
    legend_below(fig, ax, len(arrays))
    return done(fig, title)


def copied_weights(
    steps: ArrayLike,
    losses: Mapping[str, ArrayLike],
    *,
    reference: str | None = None,
    top: float | None = None,
    title: str | None = None,
) -> Figure:
    """Draw what weights lose that were designed for another number of steps.

    Parameters
    ----------
    steps : array, shape (n,)
        Numbers of steps at which the weights are used.
    losses : mapping
        Strategy ("designed for each S", "copied from S = 100", ...) to positive losses, shape (n,);
        NaN where not available.
    reference : str, optional
        Strategy to which the lower panel refers, by default the first one.
    top : float, optional
        Upper end of the loss; copies that diverge run out of the panel.
    """
    first = next(iter(filled(losses)))
    return loss_vs_steps(steps, losses, reference=reference or first, top=top, title=title)


def schedule_and_weights(
    steps: Sequence[int],
    losses: Mapping[str, ArrayLike],
    *,
    xlabel: str = LOSS,
    title: str | None = None,
) -> Figure:
    """Draw what designing schedule, weights or both brings: one line per number of steps.

    Parameters
    ----------
    steps : sequence of int, length n
        Numbers of steps, one row each.
    losses : mapping
        Strategy to positive losses, shape (n,). The factor from the largest to the smallest loss of
        a row is written at its end.
    """
    rows = vector("steps", steps)
    arrays = {k: positive(f"losses[{k!r}]", v) for k, v in filled(losses).items()}
    for k, value in arrays.items():
        vector(f"losses[{k!r}]", value, rows.size)
    fig, axes = panels(1, 1, (7.2, 1.3 + 0.55 * rows.size + room(arrays)))
    ax = axes.flat[0]
    table = np.array(list(arrays.values()))
    ax.hlines(range(rows.size), table.min(0), table.max(0), color=GREY, linewidth=2.5, alpha=0.6)
    for key, value, look in distinct(arrays):
        ax.plot(value, range(rows.size), label=label(key), clip_on=False,
                **look | {"linestyle": "none", "markersize": 9})  # fmt: skip
    for i, column in enumerate(table.T):
        ax.annotate(
            f"× {column.max() / column.min():#.2g}", (1.01, i), xycoords=("axes fraction", "data"),
            va="center", color=INK, annotation_clip=False,
        )  # fmt: skip
    ax.set(xscale="log", xlabel=xlabel, ylim=(rows.size - 0.5, -0.5))
    ax.set_yticks(range(rows.size), [f"S = {S:g}" for S in rows])
    few_log_ticks(ax.xaxis)
    ax.grid(visible=False, axis="y")
    legend_below(fig, ax, len(arrays))
    return done(fig, title)


def _profile(name: str, sigma: ArrayLike, weights: ArrayLike) -> tuple[NDArray, NDArray]:
    """Noise levels and weights of one curve, checked."""
    x = positive(f"sigma {name}", sigma)
    y = vector(f"weights {name}", weights, x.size)
    if not (y >= 0).all():
        raise ValueError(f"weights {name} must not be negative; got {y.min():g}.")
    return x, y


def _above_zero(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name} must be positive; got {value}.")


def _floored(
    ax: Axes, x: NDArray, y: NDArray, floor: float, look: Mapping[str, object], text: str
) -> None:
    """Draw a curve whose values below `floor` are open triangles at the floor."""
    order = np.argsort(x)
    x, y = x[order], y[order]
    shown = np.maximum(y, floor)
    (line,) = ax.plot(x, shown, label=text, **look)
    above = np.flatnonzero(y >= floor)
    # Markers where there is a weight, thinned to what a reader can tell apart.
    line.set_markevery(list(above[:: max(1, above.size // 12)]))
    below = np.flatnonzero(y < floor)
    below = below[:: max(1, below.size // 12)]
    ax.plot(x[below], shown[below], linestyle="none", marker="v", markerfacecolor=PANEL,
            markersize=7, color=look["color"], zorder=3)  # fmt: skip
