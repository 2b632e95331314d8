"""Grids of images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from diffbook._checks import NON_NEGATIVE, real, reals
from diffbook.draw.parts import done, filled
from diffbook.draw.style import SEQUENCE, label

# Colour of pixels that were not measured: far from grey.
HOLE = (0.60, 0.76, 0.91)


def grid(
    rows: Mapping[Any, ArrayLike | Mapping[str, ArrayLike]],
    std: Mapping[Any, ArrayLike] | None = None,
    *,
    low: float | None = None,
    high: float | None = None,
    title: str | None = None,
) -> Figure:
    """Draw rows of images, each with its name; with headings above the columns if they have any.

    Parameters
    ----------
    rows : mapping
        Name of a row to images, (n, h, w) or (n, h, w, 3), or to {heading: image}, the same headings in
        every row. An image may be (h, w), (h, w, 3) or channels first; those under headings may differ in
        size (a downsampled measurement), all are drawn equally large. NaN pixels (not measured) are drawn
        in light blue.
    std : mapping, optional
        Name of a row to the standard deviation of every pixel, (h, w), not negative, in units of the data: a
        last column with a colour map of its own and its scale below the figure.
    low, high : float, optional
        Values drawn as black and white; by default the range of the first row.
    """
    images = {name: _row(f"rows[{name!r}]", row) for name, row in filled(rows).items()}
    headings = list(images[next(iter(images))])
    for name, row in images.items():
        if list(row) != headings:
            raise ValueError(f"rows[{name!r}] must have the columns {headings}; got {list(row)}.")
    named = isinstance(next(iter(rows.values())), Mapping)
    first = images[next(iter(images))]
    low = min(float(np.nanmin(image)) for image in first.values()) if low is None else low
    high = max(float(np.nanmax(image)) for image in first.values()) if high is None else high
    low, high = real(low, "low"), real(high, "high")
    if high < low or (high == low and named):
        raise ValueError(f"high must be above low = {low:g}; got {high:g}.")
    if std is not None and list(std) != list(images):
        raise ValueError(f"std must have the rows {list(images)}; got {list(std)}.")
    spread = {k: reals(v, f"std[{k!r}]", NON_NEGATIVE, ndim=2) for k, v in (std or {}).items()}
    fig, axes = _bare_axes(
        (len(images), len(headings) + bool(spread)), first[headings[0]].shape[:2],
        above=0.3 * bool(title) + (0.28 if named else 0.04), below=0.72 if spread else 0.04,
        left=0.44 if named else 0.04, between=0.04 if named else 0.3,
    )  # fmt: skip
    for line, (name, row) in zip(axes, images.items(), strict=True):
        for ax, image in zip(line, row.values(), strict=False):
            ax.imshow(_colours(image, low, high), interpolation="nearest", aspect="auto")
        if named:
            line[0].set_ylabel(label(name).replace(" ", "\n", 1), fontsize=11, labelpad=3)
        else:
            line[0].set_title(label(name), fontsize=11, pad=4)
    if named:
        for ax, heading in zip(axes[0], [*headings, "std"], strict=False):
            ax.set_title(heading, fontsize=11, fontweight="normal", loc="center", pad=4)
    if spread:
        _draw_spread(fig, axes[:, -1], list(spread.values()))
    return done(fig, title)


def _row(name: str, row: ArrayLike | Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float64]]:
    """Images of one row, channels last, checked."""
    if isinstance(row, Mapping):
        return {key: _image(f"{name}[{key!r}]", value) for key, value in filled(row).items()}
    array = reals(row, name, ndim=(3, 4), nan=True)
    return {str(i): _image(f"{name}[{i}]", image) for i, image in enumerate(array)}


def _image(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """One image, (h, w) or (h, w, 3)."""
    array = reals(value, name, ndim=(2, 3), nan=True)
    if array.ndim == 3 and array.shape[-1] != 3 and array.shape[0] in (1, 3):
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim == 3 and array.shape[-1] != 3:
        raise ValueError(
            f"{name} must be (h, w), (h, w, 3) or channels first; got shape {np.shape(value)}."
        )
    return array


def _draw_spread(fig: Figure, axes: NDArray, maps: list[NDArray]) -> None:
    """Draw maps of standard deviations, and their scale at the foot of the figure."""
    scale = Normalize(0, max(*(float(value.max()) for value in maps), 1e-12))
    for ax, value in zip(axes, maps, strict=True):
        ax.imshow(value, cmap=SEQUENCE, norm=scale, interpolation="nearest", aspect="auto")
    height = fig.get_figheight()
    place = fig.add_axes((0.08, 0.48 / height, 0.86, 0.13 / height), label="<colorbar>")
    bar = fig.colorbar(ScalarMappable(scale, SEQUENCE), cax=place, orientation="horizontal")
    bar.set_label("std: standard deviation of the samples (units of the data)")
    bar.locator = MaxNLocator(5)
    bar.update_ticks()
    bar.outline.set_visible(False)


def _colours(image: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Colours of an image, (h, w, 3), pixels that were not measured included."""
    span = np.clip((image - low) / max(high - low, 1e-12), 0, 1)
    span = np.repeat(span[..., None], 3, axis=-1) if span.ndim == 2 else span
    return np.where(np.isnan(span).any(axis=-1, keepdims=True), HOLE, span)


def _bare_axes(
    grid: tuple[int, int],
    shape: tuple[int, int],
    *,
    above: float,
    below: float,
    left: float,
    between: float,
) -> tuple[Figure, NDArray]:
    """Return a figure of bare axes, if possible a whole number of screen pixels per image pixel.

    Placed by hand: uneven pixels look blurred, and cost three times the bytes.
    Lengths are in inches; `between` is the room above every row.
    """
    rows, columns = grid
    gap, dpi = 0.04, 100
    span = 7.2 - left - 0.04
    width = int(dpi * (span - gap * (columns - 1)) / columns)
    whole = width // shape[1] * shape[1]
    width = (whole if whole > 0.85 * width else width) / dpi
    height = width * shape[0] / shape[1]
    step = width + ((span - columns * width) / (columns - 1) if columns > 1 else 0.0)
    total = above + rows * (height + between) + below
    first = above + (between if between > gap else 0.0)
    fig = plt.figure(figsize=(7.2, total), layout="none")
    axes = np.empty(grid, dtype=object)
    for i, j in np.ndindex(grid):
        bottom = total - first - i * (height + between) - height
        place = (left + j * step) / 7.2, bottom / total, width / 7.2, height / total
        ax = axes[i, j] = fig.add_axes(place)
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        ax.spines[:].set_visible(False)
    return fig, axes
