"""Figures of the book: pure functions from data to `Figure`, one style, one colour per schedule.

Every function takes arrays and returns a `matplotlib.figure.Figure` that is already detached from
pyplot: as the last value of a notebook cell it is shown exactly once, and a script may save it with
``fig.savefig``. Nothing is computed here that a reader would want to check, with one exception:
ratios to a reference curve and shares of the exact variance.

"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.colors import TwoSlopeNorm
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
from diffbook.draw.style import (
    COLORS,
    GREY,
    INK,
    PANEL,
    SEQUENCE,
    STYLES,
    label,
    looks,
    style,
    use_style,
)

__all__ = [
    "COLORS",
    "INK",
    "PANEL",
    "SEQUENCE",
    "STYLES",
    "bias",
    "distance_vs_steps",
    "gain",
    "image_grid",
    "schedules",
    "series",
    "spectrum",
    "style",
    "transfer_map",
    "use_style",
]

_TEXT = {
    "alpha_bar": r"$\bar\alpha_s$ (signal power share)",
    "log_snr": r"log SNR $=-2\,\log\sigma_s$ (nats)",
    "sigma": r"noise level $\sigma_s$ (units of the data)",
}


def schedules(
    curves: Mapping[str | int, ArrayLike],
    *,
    show: Sequence[str] = ("alpha_bar", "log_snr"),
    title: str | None = None,
) -> Figure:
    """Draw noise schedules over the relative step s/S.

    Parameters
    ----------
    curves : mapping
        Name of the schedule, or its number of steps as an int, to `alpha_bar` (length S+1, clean
        end first, values in (0, 1)). Integer keys are drawn as a colour sequence over S.
    show : sequence of {"alpha_bar", "log_snr", "sigma"}
        One panel each, from left to right.
    title : str, optional
        Title of the whole figure.

    Raises
    ------
    ValueError
        If `curves` is empty, a curve is not 1-D with values in (0, 1), or `show` names an
        unknown quantity.
    """
    arrays = {key: vector(f"curves[{key!r}]", value) for key, value in filled(curves).items()}
    for key, value in arrays.items():
        if value.size < 2 or value.min() <= 0 or value.max() >= 1:
            raise ValueError(
                f"curves[{key!r}] must be alpha_bar, at least 2 values inside (0, 1); got "
                f"{value.size} values in [{value.min():g}, {value.max():g}]. Convert sigma with "
                "schedules.sigma_to_alpha_bar first."
            )
    unknown = [quantity for quantity in show if quantity not in _TEXT]
    if unknown or not show:
        raise ValueError(f"show must hold names from {sorted(_TEXT)}; got {list(show)}.")
    fig, axes = panels(1, len(show), (3.9 * len(show), 4.1) if len(show) > 1 else (7.2, 4.2))
    for ax, quantity in zip(axes.flat, show, strict=True):
        for key, alpha_bar, look in looks(arrays):
            values = {
                "alpha_bar": lambda a: a,
                "log_snr": lambda a: np.log(a / (1 - a)),
                "sigma": lambda a: np.sqrt((1 - a) / a),
            }[quantity](alpha_bar)
            t = np.linspace(0, 1, alpha_bar.size)
            ax.plot(t, values, label=label(key), markevery=sparse(alpha_bar.size), **look)
        ax.set(xlabel="relative step s/S  (0 clean, 1 noise)", ylabel=_TEXT[quantity], xlim=(0, 1))
        if quantity == "sigma":
            ax.set_yscale("log")
    legend_below(fig, axes.flat[0], len(arrays))
    return done(fig, title)


def gain(
    lam: ArrayLike,
    gains: Mapping[str | int, ArrayLike],
    *,
    frequency: ArrayLike | None = None,
    frequency_label: str = "frequency (cycles per sample)",
    title: str | None = None,
) -> Figure:
    """Draw the variance that a sampler gives each mode, relative to the variance it should have.

    Parameters
    ----------
    lam : array, shape (d,)
        Eigenvalues of the data covariance, positive, in units of the data squared.
    gains : mapping
        Name of the schedule (or S as an int) to D1, the transfer function, shape (d,).
    frequency : array, shape (d,), optional
        Abscissa to use in place of `lam`.
    frequency_label : str
        Label and unit of `frequency`.
    """
    lam = positive("lam", lam)
    x = lam if frequency is None else vector("frequency", frequency, lam.size)
    order = np.argsort(x, kind="stable")
    fig, axes = panels(1, 1, (7.2, 4.4))
    ax = axes.flat[0]
    ax.axhline(1, color=INK, linewidth=1)
    ax.annotate(
        "exact variance", (1, 1), xycoords=("axes fraction", "data"), xytext=(-4, 4),
        textcoords="offset points", ha="right", va="bottom", color=INK,
    )  # fmt: skip
    arrays = {key: vector(f"gains[{key!r}]", value, lam.size) for key, value in gains.items()}
    for key, value, look in looks(filled(arrays)):
        share = np.abs(value) ** 2 / lam
        ax.plot(x[order], share[order], label=label(key), markevery=sparse(lam.size, 14), **look)
    if frequency is None:
        ax.set_xscale("log")
    ax.set_xlabel(
        r"eigenvalue $\lambda$ (units of the data squared)"
        if frequency is None
        else frequency_label
    )
    ax.set_ylabel(r"$|D_1|^2/\lambda$  (output / target variance)")
    top = max(1.0, *(float((np.abs(v) ** 2 / lam).max()) for v in arrays.values()))
    ax.set_ylim(0, top * 1.09)
    legend_below(fig, ax, len(arrays))
    return done(fig, title)


def distance_vs_steps(
    steps: ArrayLike,
    distances: Mapping[str, ArrayLike],
    *,
    reference: str | None = None,
    ci: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    law: tuple[float, float] | None = None,
    ylabel: str = r"$W_2$ to the data (units of the data)",
    xlabel: str = "number of steps S",
    title: str | None = None,
) -> Figure:
    """Draw a distance over the number of steps (log-log), and its ratio to a reference below it.

    Parameters
    ----------
    steps : array, shape (n,)
        Numbers of steps, increasing.
    distances : mapping
        Name of the schedule to positive distances, shape (n,); NaN where not available.
    reference : str, optional
        Key of `distances` to which the ratio panel refers; without it there is no such panel.
    ci : mapping, optional
        Name to (lower, upper) ends of a confidence interval, drawn as error bars.
    law : tuple of float, optional
        (C, floor) of the large-S law ``sqrt(C / S**2 + floor)``, drawn as a thin grey line.
    """
    steps = positive("steps", steps)
    arrays = {
        key: vector(f"distances[{key!r}]", value, steps.size)
        for key, value in filled(distances).items()
    }
    if reference is not None and reference not in arrays:
        raise ValueError(f"reference must be one of {list(arrays)}; got {reference!r}.")
    rows = 1 if reference is None else 2
    ratios = [1.5, 1] if rows == 2 else [1]
    fig, axes = panels(rows, 1, (7.2, 4.4 if rows == 1 else 6.4), sharex=True, heights=ratios)
    ax = axes.flat[0]
    if law is not None:
        fine = np.geomspace(steps.min(), steps.max(), 200)
        ax.plot(fine, np.sqrt(law[0] / fine**2 + law[1]), color=GREY, linewidth=1, zorder=1)
        ax.annotate(
            r"$\sqrt{C/S^2+\mathrm{floor}}$", (fine[70], np.sqrt(law[0] / fine[70] ** 2 + law[1])),
            xytext=(4, -4), textcoords="offset points", va="top", ha="right", color="#5c5c5c",
        )  # fmt: skip
    for panel, denominator in zip(
        axes.flat, (np.ones(steps.size), arrays.get(reference, 1.0)), strict=False
    ):
        for key, value, look in looks(arrays):
            panel.plot(steps, value / denominator, label=label(key), **look)
            if ci and key in ci:
                low, high = (vector(f"ci[{key!r}]", end, steps.size) for end in ci[key])
                panel.vlines(
                    steps, low / denominator, high / denominator, color=look["color"], linewidth=1.5
                )
        panel.set_xscale("log")
        panel.set_yscale("log")
    ax.set_ylabel(ylabel)
    if reference is not None:
        axes.flat[1].set_ylabel(f"ratio to\n{reference}")
        plain_log_ticks(axes.flat[1].yaxis)
    axes.flat[-1].set_xlabel(xlabel)
    axes.flat[-1].xaxis.set_major_locator(FixedLocator(thin(steps)))
    axes.flat[-1].xaxis.set_major_formatter("{x:g}")
    axes.flat[-1].xaxis.set_minor_locator(NullLocator())
    legend_below(fig, ax, len(arrays))
    return done(fig, title)


def transfer_map(
    maps: Mapping[str, ArrayLike],
    lam: ArrayLike,
    *,
    quantity: str = r"variance / its exact value at this noise level",
    center: float | None = 1.0,
    title: str | None = None,
) -> Figure:
    """Draw heat maps over sampling step and mode, one panel per schedule, one common colour scale.

    Parameters
    ----------
    maps : mapping
        Name of the schedule to an array of shape (S+1, d): row s, column i the value of mode i in
        the state after arriving at step s (s = S is the start, pure noise; s = 0 the sample).
    lam : array, shape (d,)
        Eigenvalues, used to order the modes from smooth (large) to fine (small).
    quantity : str
        Meaning and unit of the colour.
    center : float or None
        Value drawn in the neutral colour of a diverging map. None, or data that hardly exceed it,
        takes a sequential map.
    """
    lam = positive("lam", lam)
    order = np.argsort(-lam, kind="stable")
    arrays = {}
    for key, value in filled(maps).items():
        array = np.asarray(value, dtype=float)
        if array.ndim != 2 or array.shape[1] != lam.size:
            raise ValueError(
                f"maps[{key!r}] must have shape (S+1, d) with d = {lam.size} modes; "
                f"got {array.shape}."
            )
        arrays[key] = array[:, order]
    low = min(float(np.nanmin(a)) for a in arrays.values())
    high = max(float(np.nanmax(a)) for a in arrays.values())
    if center is None or high - center <= 0.05 * (center - low):
        norm, cmap = mpl.colors.Normalize(low, high), "viridis"
    else:
        reach = max(abs(high - center), abs(center - low), 1e-12)
        norm, cmap = TwoSlopeNorm(center, center - reach, center + reach), "PuOr_r"
    fig, axes = panels(1, len(arrays), (max(7.2, 2.6 * len(arrays)), 4.2), sharey=True)
    for ax, (key, array) in zip(axes.flat, arrays.items(), strict=True):
        S = array.shape[0] - 1
        image = ax.pcolormesh(
            np.arange(-0.5, S + 1), np.arange(0.5, lam.size + 1), array.T, norm=norm, cmap=cmap,
            rasterized=True,
        )  # fmt: skip
        ax.set(title=label(key), xlim=(S + 0.5, -0.5))
        ax.grid(False)
    axes.flat[0].set_ylabel("mode, by decreasing λ  (top: finest)")
    fig.supxlabel("step s  (from S, noise, to 0, the sample)", fontsize=11.5)
    bar = fig.colorbar(image, ax=list(axes.flat), pad=0.015, aspect=28)
    bar.ax.set_ylim(low, high if center is None else max(high, center))
    bar.set_label(quantity)
    bar.outline.set_visible(False)
    return done(fig, title)


def spectrum(
    spectra: Mapping[str, ArrayLike],
    *,
    frequency: Mapping[str, ArrayLike] | None = None,
    xlabel: str = "mode, by decreasing variance (rank)",
    title: str | None = None,
) -> Figure:
    """Draw eigenvalue spectra, log-log: over rank, or over a frequency given for each of them.

    Parameters
    ----------
    spectra : mapping
        Name to eigenvalues (variance of a mode, units of the data squared), positive.
    frequency : mapping, optional
        Name to frequencies of the same length; a zero frequency (the mean) is left out.
    """
    fig, axes = panels(1, 1, (7.2, 4.2))
    ax = axes.flat[0]
    arrays = {key: positive(f"spectra[{key!r}]", v) for key, v in filled(spectra).items()}
    for key, lam, look in looks(arrays):
        if frequency is None:
            x, y = np.arange(1, lam.size + 1), np.sort(lam)[::-1]
        else:
            x = vector(f"frequency[{key!r}]", frequency[key], lam.size)
            keep = x > 0
            order = np.argsort(x[keep], kind="stable")
            x, y = x[keep][order], lam[keep][order]
        ax.plot(x, y, label=label(key), markevery=log_sparse(x), **look)
    ax.set(xscale="log", yscale="log", xlabel=xlabel)
    ax.set_ylabel(r"variance $\lambda$ (units of the data squared)")
    legend_below(fig, ax, len(arrays))
    return done(fig, title)


def bias(
    alpha_bar_end: ArrayLike,
    biases: Mapping[str | int, ArrayLike],
    *,
    marks: Mapping[str, float] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw the share of the mean that a sampler loses over the signal left at its noisy end.

    Parameters
    ----------
    alpha_bar_end : array, shape (n,)
        alpha_bar[S], the share of signal power in the state that is taken for pure noise.
    biases : mapping
        Name (or S as an int) to ``abs(1 - D2)``, shape (n,), dimensionless.
    marks : mapping, optional
        Name to a value of `alpha_bar_end` worth a vertical line.
    """
    x = positive("alpha_bar_end", alpha_bar_end)
    fig, axes = panels(1, 1, (7.2, 4.2))
    ax = axes.flat[0]
    arrays = {
        key: vector(f"biases[{key!r}]", value, x.size) for key, value in filled(biases).items()
    }
    for key, value, look in looks(arrays):
        ax.plot(x, 100 * value, label=label(key), markevery=sparse(x.size), **look)
    for name, value in (marks or {}).items():
        ax.axvline(value, color=GREY, linewidth=1, linestyle=(0, (2, 2)))
        ax.annotate(
            name, (value, 0.03), xycoords=("data", "axes fraction"), xytext=(4, 0),
            textcoords="offset points", color="#5c5c5c", rotation=90, va="bottom",
        )  # fmt: skip
    ax.set(xscale="log", yscale="log")
    ax.set_xlabel(r"signal left at the noisy end, $\bar\alpha_S$ (share of power)")
    ax.set_ylabel(r"mean bias $|1-D_2|$ (% of the mean)")
    ax.yaxis.set_major_formatter("{x:g}")
    legend_below(fig, ax, len(arrays))
    return done(fig, title)


def series(
    x: ArrayLike,
    curves: Mapping[str | int, ArrayLike],
    *,
    xlabel: str,
    ylabel: str,
    log: str = "",
    ci: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw named curves over one abscissa in the book's style; `log` is "", "x", "y" or "xy"."""
    if log not in ("", "x", "y", "xy"):
        raise ValueError(f"log must be '', 'x', 'y' or 'xy'; got {log!r}.")
    x = vector("x", x)
    fig, axes = panels(1, 1, (7.2, 4.2))
    ax = axes.flat[0]
    arrays = {
        key: vector(f"curves[{key!r}]", value, x.size) for key, value in filled(curves).items()
    }
    for key, value, look in looks(arrays):
        ax.plot(x, value, label=label(key), markevery=sparse(x.size), **look)
        if ci and key in ci:
            low, high = (vector(f"ci[{key!r}]", end, x.size) for end in ci[key])
            ax.fill_between(x, low, high, color=look["color"], alpha=0.15, linewidth=0)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if "x" in log:
        ax.set_xscale("log")
    if "y" in log:
        ax.set_yscale("log")
    legend_below(fig, ax, len(arrays))
    return done(fig, title)


def image_grid(
    rows: Mapping[str, ArrayLike],
    *,
    vmin: float | None = None,
    vmax: float | None = None,
    title: str | None = None,
) -> Figure:
    """Draw one labelled row of grey (n, h, w) or colour (n, h, w, 3) images per entry.

    `vmin` and `vmax` (units of the data) are common to all images; the default is the range of the
    first row.
    """
    arrays = {key: np.asarray(value, dtype=float) for key, value in filled(rows).items()}
    count = {array.shape[0] for array in arrays.values()}
    shapes = {array.shape[1:] for array in arrays.values()}
    if len(count) != 1 or len(shapes) != 1 or len(next(iter(shapes))) not in (2, 3):
        found = {key: array.shape for key, array in arrays.items()}
        raise ValueError(
            f"rows must all be (n, h, w) or (n, h, w, 3) with equal shapes; got {found}."
        )
    first = next(iter(arrays.values()))
    low = first.min() if vmin is None else vmin
    high = first.max() if vmax is None else vmax
    columns = count.pop()
    height = 7.2 / columns * first.shape[1] / first.shape[2] + 0.32
    fig, axes = panels(len(arrays), columns, (7.2, height * len(arrays) + 0.1))
    for line, (key, images) in zip(axes, arrays.items(), strict=True):
        for ax, image in zip(line, images, strict=True):
            span = np.clip((image - low) / max(high - low, 1e-12), 0, 1)
            ax.imshow(span, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
            ax.spines[:].set_visible(False)
        heading = line[0].text(
            0, 1.06, label(key), transform=line[0].transAxes, fontweight="bold", va="bottom"
        )
        heading.set_in_layout(False)  # else the layout widens the first column to fit the words
    fig.get_layout_engine().set(h_pad=0.16)
    return done(fig, title)
