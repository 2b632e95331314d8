"""Figures that the drawing kit has no function for; pure functions from arrays to `Figure`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from diffbook.draw.parts import (
    distinct,
    done,
    filled,
    legend_below,
    lowest,
    panels,
    positive,
    room,
    sparse,
    vector,
)
from diffbook.draw.style import COLORS, GREY, INK, PANEL, label, style

FREQUENCY = "frequency (cycles per signal)"

# What becomes of a frequency, by its information rho: name, colour and hatch.
_FATES = (("passed", COLORS["DiffPIR"], ""), ("restored", COLORS["ALD"], ""), ("lost", GREY, "///"))
_PARTS = {"bias": (GREY, "///"), "gain": (COLORS["DPS"], ""), "spread": (COLORS["ALD"], "")}


def one_frequency(frequency: ArrayLike, lam: ArrayLike, lam_p: ArrayLike, rho: ArrayLike) -> Figure:
    """Draw what a measurement leaves of each frequency: prior and posterior variance, and rho."""
    x = vector("frequency", frequency)
    lam, lam_p = positive("lam", lam), positive("lam_p", lam_p)
    for name, value in {"lam": lam, "lam_p": lam_p}.items():
        vector(name, value, x.size)
    rho = _share("rho", rho, x.size)
    fig, axes = panels(2, 1, (7.2, 4.0), sharex=True, heights=[1.4, 1])
    top, bottom = axes.flat
    every = sparse(x.size, 12)
    top.plot(x, lam, label="prior λ", markevery=every, **style("prior"))
    top.plot(x, lam_p, label="posterior λₚ", markevery=every, **style("ideal"))
    top.set(yscale="log", ylabel="variance\n(data squared)")
    bottom.plot(x, rho, color=COLORS["DPS"])
    for edge in (0.1, 0.9):
        bottom.axhline(edge, color=INK, linewidth=1, linestyle=(0, (2, 2)))
    bottom.set(ylim=(-0.03, 1.03), yticks=[0, 0.5, 1], ylabel="information ρ\n(share from y)")
    bottom.set(xlabel=FREQUENCY, xlim=(x[0], x[-1]))
    fate = np.where(rho >= 0.9, 0, np.where(rho >= 0.1, 1, 2))
    for ax in axes.flat:
        _shade(ax, x, fate, named=ax is top)
    legend_below(fig, top, 5)
    return done(fig, None)


def _shade(ax: Axes, x: NDArray, fate: NDArray, *, named: bool) -> None:
    """Shade runs of frequencies of one fate; each is named once."""
    edges = np.concatenate([[x[0]], 0.5 * (x[1:] + x[:-1]), [x[-1]]])
    starts = np.flatnonzero(np.diff(fate, prepend=-1))
    seen: set[int] = set()
    for start, stop in zip(starts, [*starts[1:], fate.size], strict=True):
        kind = int(fate[start])
        name, color, hatch = _FATES[kind]
        text = name if named and kind not in seen else None
        seen.add(kind)
        ax.axvspan(edges[start], edges[stop], facecolor=color, alpha=0.2, edgecolor=GREY,
                   hatch=hatch, linewidth=0, zorder=0, label=text)  # fmt: skip


def transfer_of_methods(
    frequency: ArrayLike,
    spread: Mapping[str, ArrayLike],
    D3: Mapping[str, ArrayLike],
    target_spread: ArrayLike,
    target_D3: ArrayLike,
) -> Figure:
    """Draw each method's spread given y and its response D3 to the measurement, over frequency."""
    x = vector("frequency", frequency)
    if list(filled(spread)) != list(D3):
        raise ValueError(f"D3 must have the methods of spread, {list(spread)}; got {list(D3)}.")
    rows = []
    for name, curves, target in (("spread", spread, target_spread), ("D3", D3, target_D3)):
        checked = {k: vector(f"{name}[{k!r}]", _real(v), x.size) for k, v in curves.items()}
        rows.append((vector(f"target_{name}", _real(target), x.size), checked))
    names = ["target", *spread]
    fig, axes = panels(1, 2, (7.2, 3.0 + room(names)))
    for ax, (target, curves) in zip(axes.flat, rows, strict=True):
        ax.plot(x, target, color=GREY, linewidth=6, alpha=0.45, label="target",
                solid_capstyle="butt")  # fmt: skip
        step = sparse(x.size, 8)
        for i, (key, value, look) in enumerate(distinct(curves)):
            ax.plot(x, value, label=label(key), markevery=(i % step, step), **look)
        # A curve far beyond the targets runs out of the panel.
        least = min(0.0, *(float(v.min()) for v in (target, *curves.values())))
        bottom = max(least, -0.4 * target.max()) - 0.03 * target.max()
        ax.set_ylim(bottom, 1.4 * target.max())
    axes.flat[0].set_ylabel("spread $\\sqrt{V}$, target $\\sqrt{\\lambda_p}$\n(units of the data)")
    axes.flat[1].set_ylabel("measurement $D_3$, target K\n(data per y)")
    for ax in axes.flat:
        ax.set_xlabel(FREQUENCY)
    legend_below(fig, axes.flat[0], len(names))
    return done(fig, None)


def _real(value: ArrayLike) -> NDArray[np.float64]:
    """Real values as they are (the sign matters), complex ones as magnitudes."""
    return np.abs(value) if np.iscomplexobj(value) else np.asarray(value, dtype=float)


def decomposition(frequency: ArrayLike, parts: Mapping[str, Mapping[str, ArrayLike]]) -> Figure:
    """Draw bias, gain and spread of the loss over frequency, stacked, one panel per method."""
    x = vector("frequency", frequency)
    for method, group in filled(parts).items():
        if set(group) != set(_PARTS):
            raise ValueError(f"parts[{method!r}] must have {list(_PARTS)}; got {list(group)}.")
        for name, value in group.items():
            if vector(f"parts[{method!r}][{name!r}]", value, x.size).min() < 0:
                raise ValueError(f"parts[{method!r}][{name!r}] must not be negative.")
    columns = min(2, len(parts))
    rows = -(-len(parts) // columns)
    fig, axes = panels(rows, columns, (7.2, 1.1 + 1.9 * rows), sharex=True)
    for ax, (method, group) in zip(axes.flat, parts.items(), strict=False):
        base = np.zeros(x.size)
        for name, (color, hatch) in _PARTS.items():
            values = base + np.asarray(group[name])
            ax.fill_between(x, base, values, facecolor=color, edgecolor=PANEL, hatch=hatch,
                            linewidth=0, label=name)  # fmt: skip
            base = values
        ax.plot(x, base, color=INK, linewidth=1)
        ax.set(title=label(method), xlim=(x[0], x[-1]), ylim=(0, 1.05 * base.max() or 1.0))
    for ax in axes[:, 0]:
        ax.set_ylabel("loss per frequency\n(data squared)")
    lowest(axes, len(parts), FREQUENCY)
    legend_below(fig, axes.flat[0], 3)
    return done(fig, None)


def perception_distortion(
    points: Mapping[str, tuple[float, float]],
    parabola: tuple[ArrayLike, ArrayLike],
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
) -> Figure:
    """Draw the plane of (MSE, W2); arguments hold W2 squared, in which the best are a parabola."""
    best, index = _plane("parabola", parabola)
    arrays = {k: _plane(f"curves[{k!r}]", pair) for k, pair in filled(curves).items()}
    dots = {k: _plane(f"points[{k!r}]", np.reshape(v, (-1, 1))) for k, v in filled(points).items()}
    names = ["best possible", *arrays, *dots]
    fig, axes = panels(1, 1, (7.2, 3.9 + room(names)))
    ax = axes.flat[0]
    # The axes hold points and parabola; curves may run out of them.
    far = np.max([[best.max(), index.max()], *(dot.ravel() for dot in dots.values())], axis=0)
    left = best.min() - 0.06 * (far[0] - best.min())
    xlim, ylim = (left, far[0] + 0.4 * (far[0] - left)), (-0.05 * far[1], 1.3 * far[1])
    order, shade = np.argsort(index), {"color": INK, "alpha": 0.1, "linewidth": 0}
    ax.fill_betweenx(index[order], left, best[order], **shade)
    ax.fill_between(xlim, ylim[0], 0, **shade)
    ax.fill_betweenx([index.max(), ylim[1]], left, best.min(), **shade)
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
    return done(fig, None)


def order(points: Mapping[str, Mapping[str, ArrayLike]]) -> Figure:
    """Draw pairs (model, network) of ratios to one method: a panel by data set, a look by task."""
    for tasks in filled(points).values():
        filled(tasks)
    fig, axes = panels(1, len(points), (7.2, 3.5))
    for ax, (name, tasks) in zip(axes.flat, points.items(), strict=True):
        for i, (task, pairs) in enumerate(tasks.items()):
            model, network = np.transpose(pairs)
            ax.plot(model, network, label=task, **style(task, i) | {"linestyle": "none"})
        ax.set(xscale="log", yscale="log", title=name, xlabel="distance in the model, over DPS")
        (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
        for x, y in (((left, 1.0), (low, 1.0)), ((1.0, right), (1.0, high))):
            ax.fill_between(x, *y, color=GREY, alpha=0.2, linewidth=0)
        ax.set(xlim=(left, right), ylim=(low, high))
    axes.flat[0].set_ylabel("energy score, over DPS")
    legend_below(fig, axes.flat[0], len(tasks))
    return done(fig, None)


def _plane(name: str, pair: ArrayLike) -> NDArray[np.float64]:
    """Rows MSE and W2, from MSE and W2 squared."""
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
