"""Figures of what goes beyond the papers: laws for many steps, densities of steps, rivals.

Pure functions from arrays to `Figure`, in the style of `chapters.spectral.figures`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import ArrayLike

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
from diffbook.draw.style import COLORS, GREY, INK, label, looks, style

__all__ = ["densities", "envelope", "exponents", "large_s", "ratio_ranges"]


def envelope(
    lam: ArrayLike, losses: Mapping[str, ArrayLike], bound: ArrayLike, *, title: str | None = None
) -> Figure:
    """Draw the share of a mode's standard deviation that schedules lose, over its variance.

    Parameters
    ----------
    lam : array, shape (m,)
        Variances of single modes, increasing.
    losses : mapping
        Name of a schedule to ``1 - D1 / g``, shape (m,), positive.
    bound : array, shape (m,)
        The smallest possible loss for each variance; the area below it is shaded.
    """
    lam, bound = positive("lam", lam), positive("bound", bound)
    arrays = {k: positive(f"losses[{k!r}]", v) for k, v in filled(losses).items()}
    fig, axes = panels(1, 1, (7.2, 4.6))
    ax = axes.flat[0]
    bottom = 0.75 * bound.min()
    ax.fill_between(lam, bottom, bound, color=COLORS["spectral W2"], alpha=0.14, linewidth=0)
    ax.plot(
        lam, bound, color=COLORS["spectral W2"], linewidth=2.6, label="optimum for this λ alone"
    )
    for name, values, look in looks(arrays):
        ax.plot(lam, values, label=label(name), markevery=log_sparse(lam), **look)
    ax.set(xscale="log", yscale="log", xlim=(lam[0], lam[-1]), ylim=(bottom, 1.0))
    ax.set_xlabel(r"variance $\lambda$ of the mode (units of the data squared)")
    ax.set_ylabel(r"lost share $1-D_1/g$ of the deviation")
    legend_below(fig, ax, len(arrays) + 1)
    return done(fig, title)


def large_s(
    steps: ArrayLike,
    scaled: Mapping[str, tuple[ArrayLike, float]],
    measured: Mapping[str, ArrayLike],
    law: tuple[ArrayLike, ArrayLike],
    floor: float,
    *,
    title: str | None = None,
) -> Figure:
    """Draw the large-S law: convergence of the constants, and W2 with both ends.

    Parameters
    ----------
    steps : array, shape (n,)
        Step counts of the points.
    scaled : mapping
        Name to (``S^2`` times the loss divided by its limit, shape (n,), the limit), left panel.
    measured : mapping
        Name to W2 at the step counts, right panel.
    law : tuple of arrays
        (S, W2) of the law's curve, right panel.
    floor : float
        W2 that the ends alone leave.
    """
    steps = positive("steps", steps)
    fig, axes = panels(1, 2, (8.4, 4.3))
    left, right = axes.flat
    left.axhline(1.0, color=INK, linewidth=1)
    for name, (values, limit) in filled(scaled).items():
        look = style(name)
        ratio = vector(f"scaled[{name!r}]", values, steps.size)
        left.plot(steps, ratio, label=f"{label(name)}: C = {limit:.1f}", **look)
    left.set_ylabel(r"$S^2\,\times$ loss / its limit C")
    left.legend(loc="upper right")
    fine, values = (positive("law", part) for part in law)
    right.plot(fine, values, color=GREY, linewidth=1.6, label="law")
    right.axhline(floor, color=INK, linewidth=1, linestyle=(0, (2, 2)))
    right.annotate(
        "floor of the ends", (fine[0], floor), xytext=(0, 4), textcoords="offset points",
        color=INK, va="bottom",
    )  # fmt: skip
    for name, points in filled(measured).items():
        look = {**style(name), "linestyle": "none"}
        right.plot(steps, vector(f"measured[{name!r}]", points, steps.size), label=name, **look)
    right.set_yscale("log")
    right.set_ylabel(r"$W_2$ (units of the data)")
    right.yaxis.set_major_locator(FixedLocator([0.1, 0.2, 0.5, 1, 2, 5, 10, 20]))
    right.yaxis.set_major_formatter("{x:g}")
    right.yaxis.set_minor_locator(NullLocator())
    right.legend(loc="upper right")
    for ax in (left, right):
        ax.set(xscale="log", xlabel="number of steps S")
        ax.xaxis.set_major_locator(FixedLocator(thin(steps)[::2]))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_locator(NullLocator())
    return done(fig, title)


def densities(
    log_sigma: ArrayLike,
    curves: Mapping[str, ArrayLike],
    schedules: Mapping[str, ArrayLike] | None = None,
    *,
    title: str | None = None,
) -> Figure:
    """Draw densities of steps over the noise level, and the steps of finite schedules as points.

    Parameters
    ----------
    log_sigma : array, shape (m,)
        Grid of ``log(sigma)``.
    curves : mapping
        Name to density per unit of ``log(sigma)``, shape (m,).
    schedules : mapping, optional
        Name to ``sigma`` (S + 1,): every step is drawn at its middle, at the height
        ``1 / (S times its length in log sigma)``.
    """
    x = vector("log_sigma", log_sigma)
    arrays = {k: vector(f"curves[{k!r}]", v, x.size) for k, v in filled(curves).items()}
    fig, axes = panels(1, 1, (7.2, 4.4))
    ax = axes.flat[0]
    for name, density, look in looks(arrays):
        ax.plot(np.exp(x), density, label=label(name), markevery=sparse(x.size), **look)
    for i, (name, sigma) in enumerate((schedules or {}).items()):
        steps = np.diff(np.log(positive(f"schedules[{name!r}]", sigma)))
        middle = np.sqrt(np.asarray(sigma)[1:] * np.asarray(sigma)[:-1])
        look = {"linestyle": "none", "marker": "osD^"[i % 4], "markerfacecolor": "none"}
        ax.plot(middle, 1.0 / (steps.size * steps), color=INK, label=label(name), **look)
    ax.set(xscale="log", xlim=(np.exp(x[0]), np.exp(x[-1])), ylim=(0, None))
    ax.set_xlabel(r"noise level $\sigma$ (units of the data)")
    ax.set_ylabel(r"density of steps per unit of $\ln\sigma$")
    legend_below(fig, ax, len(arrays) + len(schedules or {}))
    return done(fig, title)


def exponents(
    alpha: ArrayLike,
    theory: Mapping[str, ArrayLike],
    points: Mapping[str, tuple[ArrayLike, ArrayLike]],
    marks: Mapping[str, tuple[float, float]] | None = None,
    *,
    title: str | None = None,
) -> Figure:
    """Draw 1/rho of the optimal EDM family over the exponent of a power-law spectrum.

    Parameters
    ----------
    alpha : array, shape (m,)
        Exponents of the curves.
    theory : mapping
        Name to 1/rho, shape (m,).
    points : mapping
        The same names to measured (alpha, 1/rho).
    marks : mapping, optional
        Annotation to its point (alpha, 1/rho).
    """
    alpha = vector("alpha", alpha)
    fig, axes = panels(1, 1, (7.2, 4.6))
    ax = axes.flat[0]
    ax.axhline(0.0, color=GREY, linewidth=1)
    for i, (name, values) in enumerate(filled(theory).items()):
        look = style(name, i)
        marker = look.pop("marker")
        ax.plot(alpha, vector(f"theory[{name!r}]", values, alpha.size), label=name, **look)
        if name in points:
            ax.plot(*points[name], color=look["color"], linestyle="none", marker=marker)
    for text, place in (marks or {}).items():
        ax.plot(*place, marker="*", markersize=13, color=INK, linestyle="none", zorder=5)
        ax.annotate(
            text, place, xytext=(-4, 12), textcoords="offset points", ha="center", color=INK
        )  # fmt: skip
    ax.set(
        xlabel=r"exponent $\alpha$ of the spectrum $\lambda_k = k^{-\alpha}$", ylabel=r"$1/\rho$"
    )
    ax.set_xlim(alpha[0], alpha[-1])
    legend_below(fig, ax, len(theory))
    return done(fig, title)


def ratio_ranges(
    groups: Mapping[str, Mapping[str, ArrayLike]],
    steps: Sequence[int],
    *,
    mark: int = 0,
    title: str | None = None,
) -> Figure:
    """Draw ratios to an optimum as a range over step counts with one count marked, per method.

    Parameters
    ----------
    groups : mapping
        Heading of a panel to {method: ratios at `steps`}; all panels have the same methods.
    steps : sequence of int
        Step counts behind the ratios.
    mark : int
        Index into `steps` of the value drawn as a dot.
    """
    first = next(iter(filled(groups).values()))
    names = list(first)[::-1]
    height = 0.34 * len(names) + 1.5
    fig, axes = panels(1, len(groups), (8.4, height), sharey=True)
    for ax, (heading, table) in zip(axes.flat, groups.items(), strict=True):
        for row, name in enumerate(names):
            values = positive(f"groups[{heading!r}][{name!r}]", table[name])
            look = style(name, row)
            ax.plot([values.min(), values.max()], [row, row], color=look["color"], linewidth=4,
                    alpha=0.45, solid_capstyle="round")  # fmt: skip
            ax.plot(values[mark], row, color=look["color"], marker="o", markersize=7)
        ax.axvline(1.0, color=INK, linewidth=1)
        ax.set(title=heading, xscale="log", xlabel="ratio to the optimum")
        plain_log_ticks(ax.xaxis)
    axes.flat[0].set_yticks(range(len(names)), [label(name) for name in names])
    return done(fig, title)
