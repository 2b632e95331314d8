"""Figures of posterior sampling over frequency: spectra, transfer functions, parts of the loss.

Pure functions from arrays to `Figure`, in the style of `chapters.spectral.figures`. Losses and trade-offs
are drawn in `chapters.posterior.figures`, weights in `chapters.posterior.figures_weights`, and restored
images in `chapters.posterior.figures_restoration`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
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
    sparse,
    vector,
)
from diffbook.draw.style import COLORS, GREY, INK, PANEL, label, style

__all__ = ["decomposition", "one_frequency", "transfer_of_methods"]

FREQUENCY = "frequency (cycles per sample)"

# Shades and hatches of the regions of a spectrum, and of the three parts of the loss.
_REGIONS = ((COLORS["DiffPIR"], ""), (COLORS["ALD"], ""), (GREY, "///"))
_PARTS = {"bias": (GREY, "///"), "gain": (COLORS["DPS"], ""), "std": (COLORS["ALD"], "")}


def one_frequency(
    frequency: ArrayLike,
    lam: ArrayLike,
    lam_p: ArrayLike,
    rho: ArrayLike,
    K: ArrayLike | None = None,
    *,
    thresholds: tuple[float, float] = (0.1, 0.9),
    names: tuple[str, str, str] = ("passed", "restored", "lost"),
    log_frequency: bool = False,
    frequency_label: str = FREQUENCY,
    title: str | None = None,
) -> Figure:
    """Draw what a measurement leaves of each frequency: prior and posterior variance, below them rho.

    Parameters
    ----------
    frequency : array, shape (m,)
        Abscissa, in any order.
    lam, lam_p : array, shape (m,)
        Prior and posterior variance, positive, in units of the data squared.
    rho : array, shape (m,)
        Information fraction ``h**2 lam / (h**2 lam + sigma_y**2)``, in [0, 1].
    K : array, shape (m,), optional
        Wiener gain, in a third panel; of complex values the magnitude.
    thresholds : tuple of float
        A frequency is `names[0]` where rho is at least the second, `names[2]` where it is below the
        first, `names[1]` in between.
    log_frequency : bool
        Logarithmic abscissa; frequency 0 is left out.
    """
    x, order = _abscissa(frequency, log_frequency)
    lam, lam_p = positive("lam", lam), positive("lam_p", lam_p)
    for name, value in {"lam": lam, "lam_p": lam_p, "rho": rho}.items():
        vector(name, value, x.size)
    rho = vector("rho", rho)
    if not (rho.min() >= 0 and rho.max() <= 1):
        raise ValueError(f"rho must lie in [0, 1]; got [{rho.min():g}, {rho.max():g}].")
    low, high = thresholds
    if not 0 < low < high < 1:
        raise ValueError(f"thresholds must be 0 < first < second < 1; got {thresholds}.")
    gain = None if K is None else vector("K", np.abs(K), x.size)
    heights = [1.5, 1.1] if gain is None else [1.4, 1, 1]
    fig, axes = panels(
        len(heights), 1, (7.2, 5.5 if gain is None else 7.2), sharex=True, heights=heights
    )
    top, middle = axes.flat[0], axes.flat[1]
    x, lam, lam_p, rho = x[order], lam[order], lam_p[order], rho[order]
    every = sparse(x.size, 12)
    top.plot(x, lam, label="prior λ", markevery=every, **style("prior"))
    top.plot(x, lam_p, label="posterior λₚ", markevery=every, **style("ideal"))
    top.set_yscale("log")
    top.set_ylabel("variance\n(units of the data squared)")
    middle.plot(x, rho, color=COLORS["DPS"])
    middle.set(ylim=(-0.03, 1.03), yticks=[0, 0.5, 1])
    for edge in thresholds:
        middle.axhline(edge, color=INK, linewidth=1, linestyle=(0, (2, 2)))
    middle.set_ylabel("information ρ\n(share from y)")
    if gain is not None:
        axes.flat[2].plot(x, gain[order], color=COLORS["PiGDM"])
        axes.flat[2].set_ylabel("Wiener gain |K|\n(data per y)")
        axes.flat[2].set_ylim(0, None)
    region = np.where(rho >= high, 0, np.where(rho >= low, 1, 2))
    for ax in axes.flat:
        _shade(ax, x, region, names if ax is top else None)
    axes.flat[-1].set_xlabel(frequency_label)
    axes.flat[-1].set_xlim(x[0], x[-1])
    if log_frequency:
        axes.flat[-1].set_xscale("log")
        few_log_ticks(axes.flat[-1].xaxis)
    legend_below(fig, top, 5)
    return done(fig, title)


def transfer_of_methods(
    frequency: ArrayLike,
    D1: Mapping[str, ArrayLike],
    D3: Mapping[str, ArrayLike],
    target_D1: ArrayLike,
    target_D3: ArrayLike,
    *,
    noise: str = r"noise $|D_1|$, target $\sqrt{\lambda_p}$",
    headroom: float = 1.4,
    log_frequency: bool = False,
    log: bool = False,
    frequency_label: str = FREQUENCY,
    title: str | None = None,
) -> Figure:
    """Draw what each method makes of its noise (D1) and of the measurement (D3), over frequency.

    Parameters
    ----------
    frequency : array, shape (m,)
        Abscissa, in any order.
    D1, D3 : mapping
        Method to its transfer functions, shape (m,); the same methods in both. Of D1 and of complex
        D3 the magnitude is drawn.
    target_D1, target_D3 : array, shape (m,)
        Posterior standard deviation ``sqrt(lam_p)`` and Wiener gain K: what a perfect sampler has.
    noise : str
        What the upper panel shows; methods that inject noise are better judged by ``sqrt(V)``.
    headroom : float
        The panels end at this multiple of the largest target; a curve beyond runs out of them.
    log : bool
        Logarithmic ordinate of the upper panel.
    """
    x, order = _abscissa(frequency, log_frequency)
    if list(filled(D1)) != list(D3):
        raise ValueError(f"D3 must have the methods of D1, {list(D1)}; got {list(D3)}.")
    if not headroom > 1:
        raise ValueError(f"headroom must be above 1; got {headroom}.")
    target_D1 = vector("target_D1", np.abs(target_D1), x.size)
    target_D3 = vector("target_D3", _real(target_D3), x.size)
    upper = {k: vector(f"D1[{k!r}]", np.abs(v), x.size) for k, v in D1.items()}
    lower = {k: vector(f"D3[{k!r}]", _real(v), x.size) for k, v in D3.items()}
    names = ["target", *upper]
    fig, axes = panels(2, 1, (7.2, 6.0 + room(names)), sharex=True)
    for ax, target, curves in zip(axes.flat, (target_D1, target_D3), (upper, lower), strict=True):
        ax.plot(x[order], target[order], color=GREY, linewidth=6, alpha=0.45, label="target",
                solid_capstyle="butt")  # fmt: skip
        for i, (key, value, look) in enumerate(distinct(curves)):
            step = sparse(order.size, 8)
            ax.plot(x[order], value[order], label=label(key), markevery=(i % step, step), **look)
        least = min(0.0, *(float(v.min()) for v in (target, *curves.values())))
        bottom = max(least, -0.4 * target.max()) - 0.03 * target.max()
        ax.set_ylim(bottom, headroom * target.max())
    if log:
        axes.flat[0].set_yscale("log")
        axes.flat[0].set_ylim(target_D1.min() / 3, headroom * target_D1.max())
        few_log_ticks(axes.flat[0].yaxis)
    axes.flat[0].set_ylabel(f"{noise}\n(units of the data)")
    axes.flat[1].set_ylabel("measurement $D_3$, target K\n(data per y)")
    axes.flat[1].set_xlabel(frequency_label)
    if log_frequency:
        axes.flat[1].set_xscale("log")
        few_log_ticks(axes.flat[1].xaxis)
    legend_below(fig, axes.flat[0], len(names))
    return done(fig, title)


def decomposition(
    frequency: ArrayLike,
    parts: Mapping[str, Mapping[str, ArrayLike]],
    *,
    sharey: bool = True,
    log_frequency: bool = False,
    ylabel: str = "loss per frequency\n(data squared)",
    frequency_label: str = FREQUENCY,
    title: str | None = None,
) -> Figure:
    """Draw the three parts of the loss over frequency, stacked, one panel per method.

    Parameters
    ----------
    frequency : array, shape (m,)
        Abscissa, in any order.
    parts : mapping
        Method to {"bias": array, "gain": array, "std": array}, each of shape (m,) and not negative,
        in units of the data squared.
    sharey : bool
        One scale for all panels; without it each has its own.
    """
    x, order = _abscissa(frequency, log_frequency)
    arrays = {}
    for method, group in filled(parts).items():
        if set(group) != set(_PARTS):
            raise ValueError(f"parts[{method!r}] must have {list(_PARTS)}; got {list(group)}.")
        arrays[method] = {k: vector(f"parts[{method!r}][{k!r}]", group[k], x.size) for k in _PARTS}
        for name, value in arrays[method].items():
            if value.min() < 0:
                raise ValueError(
                    f"parts[{method!r}][{name!r}] must not be negative; got {value.min():g}."
                )
    columns = min(2, len(arrays))
    rows = -(-len(arrays) // columns)
    fig, axes = panels(rows, columns, (7.2, 1.2 + 2.3 * rows), sharex=True, sharey=sharey)
    tops: list[float] = []
    for ax, (method, group) in zip(axes.flat, arrays.items(), strict=False):
        base = np.zeros(order.size)
        for name, (color, hatch) in _PARTS.items():
            values = base + group[name][order]
            ax.fill_between(x[order], base, values, facecolor=color, edgecolor=PANEL, hatch=hatch,
                            linewidth=0, label=name)  # fmt: skip
            base = values
        ax.plot(x[order], base, color=INK, linewidth=1)
        ax.set(title=label(method), xlim=(x[order[0]], x[order[-1]]))
        if log_frequency:
            ax.set_xscale("log")
            few_log_ticks(ax.xaxis)
        tops.append(1.05 * base.max())
    for ax, top in zip(axes.flat, tops, strict=False):
        ax.set_ylim(0, (max(tops) if sharey else top) or 1.0)
    for ax in axes[:, 0]:
        ax.set_ylabel(ylabel)
    lowest(axes, len(arrays), frequency_label)
    legend_below(fig, axes.flat[0], 3)
    return done(fig, title)


def _abscissa(frequency: ArrayLike, log: bool) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Frequencies, and the order in which to draw them (without 0 on a logarithmic axis)."""
    x = vector("frequency", frequency)
    order = np.argsort(x, kind="stable")
    if log:
        order = order[x[order] > 0]
    if order.size < 2:
        raise ValueError(f"frequency must hold at least 2 values to draw; got {x.size}.")
    return x, order


def _real(value: ArrayLike) -> NDArray[np.float64]:
    """Real values as they are (the sign matters), complex ones as magnitudes."""
    return np.abs(value) if np.iscomplexobj(value) else np.asarray(value, dtype=float)


def _shade(
    ax: Axes, x: NDArray[np.float64], region: NDArray[np.intp], names: tuple[str, str, str] | None
) -> None:
    """Shade runs of equal region number; `names` labels every kind once."""
    edges = np.concatenate([[x[0]], 0.5 * (x[1:] + x[:-1]), [x[-1]]])
    starts = np.flatnonzero(np.diff(region, prepend=-1))
    seen: set[int] = set()
    for start, stop in zip(starts, [*starts[1:], region.size], strict=True):
        kind = int(region[start])
        color, hatch = _REGIONS[kind]
        text = names[kind] if names and kind not in seen else None
        seen.add(kind)
        ax.axvspan(edges[start], edges[stop], facecolor=color, alpha=0.2, edgecolor=GREY,
                   hatch=hatch, linewidth=0, zorder=0, label=text)  # fmt: skip
