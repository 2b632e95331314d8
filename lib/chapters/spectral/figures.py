"""Figures of this chapter that are no single call of `diffbook.draw`: pure functions to `Figure`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import LogNorm, Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from diffbook.draw.parts import (
    done,
    filled,
    legend_below,
    log_sparse,
    panels,
    plain_log_ticks,
    positive,
    sparse,
    thin,
    vector,
)
from diffbook.draw.style import COLORS, GREY, INK, SEQUENCE, label, looks, style
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


def transfer_map(maps: Mapping[str, ArrayLike], lam: ArrayLike) -> Figure:
    """Draw variance / exact variance over step and mode, (S + 1, d), a panel for each schedule.

    Row s is the state after arriving at step s; modes go from smooth (large `lam`) to fine.
    """
    order = np.argsort(-positive("lam", lam), kind="stable")
    arrays = {}
    for key, value in filled(maps).items():
        array = np.asarray(value, dtype=float)
        if array.ndim != 2 or array.shape[1] != order.size:
            raise ValueError(f"maps[{key!r}] must be (S + 1, {order.size}); got {array.shape}.")
        arrays[key] = array[:, order]
    low = min(float(array.min()) for array in arrays.values())
    high = max(float(array.max()) for array in arrays.values())
    norm, cmap = _around_one(low, high)
    fig, axes = panels(1, len(arrays), (max(7.2, 2.6 * len(arrays)), 4.2), sharey=True)
    for ax, (key, array) in zip(axes.flat, arrays.items(), strict=True):
        S = array.shape[0] - 1
        edges = np.arange(-0.5, S + 1), np.arange(0.5, order.size + 1)
        image = ax.pcolormesh(*edges, array.T, norm=norm, cmap=cmap, rasterized=True)
        ax.set(title=label(key), xlim=(S + 0.5, -0.5))
        ax.grid(False)
    axes.flat[0].set_ylabel("mode, by decreasing λ  (top: finest)")
    fig.supxlabel("step s  (from S, noise, to 0, the sample)", fontsize=11.5)
    bar = fig.colorbar(image, ax=list(axes.flat), pad=0.015, aspect=28)
    bar.ax.set_ylim(low, max(high, 1.0))
    bar.set_label("variance / its exact value at this noise level")
    bar.outline.set_visible(False)
    return done(fig, None)


def _around_one(low: float, high: float) -> tuple[Normalize, str]:
    """Colours that are neutral at 1, or a plain sequence where values hardly exceed it."""
    if high - 1.0 <= 0.05 * (1.0 - low):
        return Normalize(low, high), "viridis"
    reach = max(abs(high - 1.0), abs(1.0 - low), 1e-12)
    return TwoSlopeNorm(1.0, 1.0 - reach, 1.0 + reach), "PuOr_r"


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


def agreement(
    predicted: Mapping[str, ArrayLike], measured: Mapping[str, ArrayLike], *, band: float, unit: str
) -> Figure:
    """Draw measured over predicted values, a name for each schedule, and a band about equality."""
    everything = np.concatenate([vector(k, v) for k, v in filled(predicted).items()])
    fig, axes = panels(1, 1, (7.2, 5.0))
    ax = axes.flat[0]
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


def envelope(lam: ArrayLike, losses: Mapping[str, ArrayLike], bound: ArrayLike) -> Figure:
    """Draw ``1 - D1 / g`` of schedules over the variance of a mode; below `bound` is shaded."""
    lam, bound = positive("lam", lam), positive("bound", bound)
    arrays = {k: positive(f"losses[{k!r}]", v) for k, v in filled(losses).items()}
    fig, axes = panels(1, 1, (7.2, 4.6))
    ax, color = axes.flat[0], COLORS["spectral W2"]
    bottom = 0.75 * bound.min()
    ax.fill_between(lam, bottom, bound, color=color, alpha=0.14, linewidth=0)
    ax.plot(lam, bound, color=color, linewidth=2.6, label="optimum for this λ alone")
    for name, values, look in looks(arrays):
        ax.plot(lam, values, label=label(name), markevery=log_sparse(lam), **look)
    ax.set(xscale="log", yscale="log", xlim=(lam[0], lam[-1]), ylim=(bottom, 1.0))
    ax.set_xlabel(r"variance $\lambda$ of the mode (units of the data squared)")
    ax.set_ylabel(r"lost share $1-D_1/g$ of the deviation")
    legend_below(fig, ax, len(arrays) + 1)
    return done(fig, None)


def large_s(
    steps: ArrayLike,
    scaled: Mapping[str, tuple[ArrayLike, float]],
    w2: ArrayLike,
    law: tuple[NDArray, NDArray],
    floor: float,
) -> Figure:
    """Draw the large-S law: convergence of the constants, and W2 with both ends.

    Left, {name: (``S^2`` times the loss divided by its limit, the limit)}; right, W2 at the steps on
    the `law` (S, W2), and the `floor` that the ends alone leave.
    """
    steps = positive("steps", steps)
    fig, axes = panels(1, 2, (8.4, 4.3))
    left, right = axes.flat
    left.axhline(1.0, color=INK, linewidth=1)
    for name, (ratio, limit) in filled(scaled).items():
        left.plot(steps, ratio, label=f"{label(name)}: C = {limit:.1f}", **style(name))
    left.set_ylabel(r"$S^2\,\times$ loss / its limit C")
    right.plot(*law, color=GREY, linewidth=1.6, label="law")
    right.axhline(floor, color=INK, linewidth=1, linestyle=(0, (2, 2)))
    right.annotate("floor of the ends", (law[0][0], floor), xytext=(0, 4),
                   textcoords="offset points", color=INK, va="bottom")  # fmt: skip
    look = style("spectral W2") | {"linestyle": "none"}
    right.plot(steps, positive("w2", w2), label="spectral W2", **look)
    right.set(yscale="log", ylabel=r"$W_2$ (units of the data)")
    right.yaxis.set_major_locator(FixedLocator([0.1, 0.2, 0.5, 1, 2, 5, 10, 20]))
    right.yaxis.set_major_formatter("{x:g}")
    right.yaxis.set_minor_locator(NullLocator())
    for ax in (left, right):
        ax.set(xscale="log", xlabel="number of steps S")
        ax.legend(loc="upper right")
        ax.xaxis.set_major_locator(FixedLocator(thin(steps)[::2]))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_locator(NullLocator())
    return done(fig, None)


def exponents(
    alpha: NDArray,
    theory: Mapping[str, ArrayLike],
    points: Mapping[str, tuple[ArrayLike, ArrayLike]],
    star: tuple[float, float],
) -> Figure:
    """Draw 1/rho over the exponent of a power law: formulas, measured points, and EDM's own."""
    fig, axes = panels(1, 1, (7.2, 4.6))
    ax = axes.flat[0]
    ax.axhline(0.0, color=GREY, linewidth=1)
    for i, (name, values) in enumerate(filled(theory).items()):
        look = style(name, i)
        ax.plot(alpha, values, label=name, **look | {"marker": "none"})
        ax.plot(*points[name], **look | {"linestyle": "none"})
    ax.plot(*star, marker="*", markersize=13, color=INK, linestyle="none", zorder=5)
    ax.annotate("EDM, ρ = 7", star, xytext=(-4, 12), textcoords="offset points", ha="center",
                color=INK)  # fmt: skip
    ax.set_xlabel(r"exponent $\alpha$ of the spectrum $\lambda_k = k^{-\alpha}$")
    ax.set(ylabel=r"$1/\rho$", xlim=(alpha[0], alpha[-1]))
    legend_below(fig, ax, len(theory))
    return done(fig, None)


def ratio_ranges(groups: Mapping[str, Mapping[str, Sequence[float]]], *, mark: int) -> Figure:
    """Draw ratios to an optimum as ranges over steps, {panel: {method: ratios}}, one marked."""
    names = list(next(iter(filled(groups).values())))[::-1]
    fig, axes = panels(1, len(groups), (8.4, 0.34 * len(names) + 1.5), sharey=True)
    for ax, (heading, table) in zip(axes.flat, groups.items(), strict=True):
        for row, name in enumerate(names):
            values = positive(f"groups[{heading!r}][{name!r}]", table[name])
            color = style(name, row)["color"]
            ax.hlines(row, values.min(), values.max(), color=color, linewidth=4, alpha=0.45,
                      capstyle="round")  # fmt: skip
            ax.plot(values[mark], row, color=color, marker="o", markersize=7)
        ax.axvline(1.0, color=INK, linewidth=1)
        ax.set(title=heading, xscale="log", xlabel="ratio to the optimum")
        plain_log_ticks(ax.xaxis)
    axes.flat[0].set_yticks(range(len(names)), [label(name) for name in names])
    return done(fig, None)
