"""The look of every figure: colours, styles of the schedules, and the parts panels are made of.

Colours are those of Okabe and Ito. Every schedule has, besides its colour, a line style and a marker
of its own, so no figure depends on colour alone. The panels are opaque and light: a figure reads the
same on a light and on a dark page.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.collections import QuadMesh
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from diffbook._checks import whole

PANEL = "#fbfbf8"


INK = "#22252b"


GRID = "#dcdcd4"


_VERMILLION, _PURPLE, _BLUE, _SKY = "#D55E00", "#CC79A7", "#0072B2", "#56B4E9"


_GREEN, _ORANGE, _BLACK, GREY = "#009E73", "#E69F00", "#1a1a1a", "#7d7d7d"


# name: (colour, line style, marker). Relatives share a colour and differ in line and marker.
_TABLE: dict[str, tuple[str, Any, str]] = {
    "spectral W2": (_VERMILLION, "-", "o"),
    "spectral KL": (_PURPLE, "-", "s"),
    "spectral DDPM": (_VERMILLION, (0, (6, 2)), "d"),
    "fixed point": (_VERMILLION, (0, (1, 1.2)), "x"),
    "linear beta": (_BLUE, (0, (6, 2)), "^"),
    "linear alpha_bar": (_SKY, (0, (2, 1.5)), "v"),
    "cosine": (_GREEN, (0, (5, 1.5, 1, 1.5)), "D"),
    "cosine (tuned)": (_GREEN, (0, (3, 1)), "<"),
    "sigmoid": (_ORANGE, (0, (6, 2)), "P"),
    "sigmoid(0,3,0.3)": (_ORANGE, (0, (1, 1.2)), "p"),
    "EDM rho=7": (_BLACK, (0, (5, 1.5, 1, 1.5)), "*"),
    "EDM (tuned)": (_BLACK, (0, (2, 1.5)), "X"),
    "log-linear": (GREY, (0, (5, 1.5, 1, 1.5, 1, 1.5)), ">"),
    "tangent (AYS)": (_GREEN, (0, (1, 1.2)), "h"),
    "constant rate": (_PURPLE, (0, (6, 2)), "8"),
    "score-optimal": (_PURPLE, (0, (1, 1.2)), "H"),
    "GITS": (_BLUE, (0, (1, 1.2)), "+"),
    "measured": (_BLACK, "none", "o"),
    "predicted": (GREY, "-", "none"),
    # Posterior sampling: one colour for each family of methods, solid where weights are designed.
    "prior": (GREY, (0, (6, 2)), "x"),
    "ideal": (_BLACK, "-", "D"),
    "posterior": (_BLACK, (0, (1, 1.2)), "*"),
    "MMSE": (_BLACK, (0, (3, 1)), "s"),
    "map": (_BLACK, (0, (2, 1.5)), "^"),
    "DPS": (_BLUE, (0, (6, 2)), ">"),
    "DPS designed": (_BLUE, "-", "^"),
    "DPS free": (_BLUE, "-", "<"),
    "DPS bounded": (_SKY, (0, (5, 1)), "d"),
    "DPS tuned": (_ORANGE, (0, (5, 1.5, 1, 1.5)), "s"),
    "DPS trimmed": (_PURPLE, (0, (1, 1.2)), "v"),
    "DPS standard": (GREY, (0, (2, 1.5)), "D"),
    "PiGDM": (_VERMILLION, (0, (6, 2)), "s"),
    "PiGDM designed": (_VERMILLION, "-", "P"),
    "DiffPIR": (_GREEN, (0, (6, 2)), "v"),
    "DiffPIR designed": (_GREEN, "-", "X"),
    "DDNM": (_PURPLE, (0, (3, 1)), "p"),
    "DDNM+": (_PURPLE, (0, (2, 1.5)), "h"),
    "DDRM": (_PURPLE, (0, (5, 1.5, 1, 1.5)), "H"),
    "ALD": (_ORANGE, (0, (6, 2)), "o"),
    # Coupled diffusion: the couplings in colour, what has no coupling in black and grey.
    "noisy": (GREY, (0, (3, 1)), "o"),
    "enhanced": (_BLACK, (0, (6, 2)), "p"),
    "student": (GREY, (0, (1, 1.2)), "<"),
    "CARD clean": (GREY, (0, (1, 1.2)), "d"),
    "CARD noisy": (_BLACK, "-", "h"),
    "Bayes": (_BLACK, (0, (3, 1)), "X"),
    "parallel": (_BLUE, (0, (3, 1)), "D"),
    "alternating": (_VERMILLION, (0, (3, 1)), "P"),
    "nested": (_GREEN, "-", "*"),
}


STYLES: dict[str, dict[str, Any]] = {
    name: {"color": color, "linestyle": line, "marker": marker}
    for name, (color, line, marker) in _TABLE.items()
}


COLORS: dict[str, str] = {name: entry["color"] for name, entry in STYLES.items()}


# A dark-to-bright sequence that stays readable on the light panel at both ends.
SEQUENCE = LinearSegmentedColormap.from_list(
    "diffbook", ["#22185c", "#3b4fa3", "#2f87a8", "#2fa57b", "#c79a1a", "#d55e00"]
)


def use_style() -> None:
    """Set matplotlib's defaults for the whole book: light opaque panels, readable on a phone."""
    cycle = [_VERMILLION, _BLUE, _GREEN, _ORANGE, _PURPLE, _SKY, _BLACK]
    mpl.rcParams.update(
        {
            "figure.dpi": 100,
            "savefig.dpi": 100,
            "figure.figsize": (7.2, 4.2),
            "figure.constrained_layout.use": True,
            "figure.facecolor": PANEL,
            "savefig.facecolor": PANEL,
            "axes.facecolor": PANEL,
            "axes.edgecolor": "#8a8a84",
            "axes.labelcolor": INK,
            "axes.titlesize": 12,
            "axes.titlelocation": "left",
            "axes.titleweight": "bold",
            "axes.labelsize": 11.5,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.prop_cycle": mpl.cycler(color=cycle),
            "grid.color": GRID,
            "grid.linewidth": 0.8,
            "font.family": "DejaVu Sans",
            "font.size": 11,
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "xtick.labelsize": 11,
            "ytick.labelsize": 11,
            "legend.fontsize": 11,
            "legend.frameon": False,
            "lines.linewidth": 2.0,
            "lines.markersize": 5.5,
            "image.cmap": "viridis",
            "mathtext.fontset": "dejavusans",
            "figure.hooks": ["diffbook.draw.style:show_crisp"],
        }
    )


def show_crisp(fig: Figure) -> None:
    """Let a notebook show figures through `crisp_png`; a hook of pyplot, run for every new figure.

    The notebook's backend would win over a writer that is registered when pyplot is imported. Where
    the environment sets `DIFFBOOK_SVG`, figures are shown as SVG as well.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None:
        write = shell.display_formatter.formatters["image/png"]
        write.for_type(Figure, lambda f: (crisp_png(f), {"width": round(f.get_figwidth() * f.dpi)}))
        if os.environ.get("DIFFBOOK_SVG"):
            shell.display_formatter.formatters["image/svg+xml"].for_type(Figure, _svg)


def _svg(fig: Figure) -> str:
    buffer = io.StringIO()
    fig.savefig(buffer, format="svg")
    return buffer.getvalue()


def crisp_png(fig: Figure, colours: int = 256) -> bytes:
    """PNG of a figure at double density; lines and text with a palette, pictures in full colour."""
    colours, buffer = whole(colours, "colours", 2, 256), io.BytesIO()
    fig.savefig(buffer, format="png", dpi=2 * fig.dpi)
    image = Image.open(buffer).convert("RGB")
    if not any(ax.images or ax.findobj(QuadMesh) for ax in fig.axes):
        image = image.quantize(colours, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def style(name: str, position: int = 0) -> dict[str, Any]:
    """Return colour, line style and marker of a named curve, ready for ``ax.plot(**style(name))``.

    A name outside `STYLES` takes the style at `position` of a fixed cycle; a name that begins with
    a known one (``"cosine, S = 10"``) takes the known one's style.
    """
    position = whole(position, "position", 0)
    if name in STYLES:
        return dict(STYLES[name])
    known = [key for key in STYLES if name.startswith(key)]
    if known:
        return dict(STYLES[max(known, key=len)])
    colors = (_BLUE, _VERMILLION, _GREEN, _ORANGE, _PURPLE, _SKY, _BLACK)
    lines = ("-", (0, (6, 2)), (0, (5, 1.5, 1, 1.5)), (0, (1, 1.2)))
    markers = "o^sDPv*X"
    return {
        "color": colors[position % len(colors)],
        "linestyle": lines[position % len(lines)],
        "marker": markers[position % len(markers)],
    }


def looks(arrays: Mapping[Any, NDArray[np.float64]]) -> list[tuple[Any, NDArray, dict[str, Any]]]:
    """Pair each curve with its style.

    Integer keys (step counts) become a colour sequence; unknown names beside them are black and broken.
    """
    steps = [key for key in arrays if isinstance(key, (int, np.integer))]
    colors = SEQUENCE(np.linspace(0, 1, len(steps))) if len(steps) > 1 else [SEQUENCE(0.1)]
    broken = ((0, (6, 2)), (0, (2, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (1, 1.2)))
    found = []
    for i, (key, array) in enumerate(arrays.items()):
        if key in steps:
            k = steps.index(key)
            look = {"color": colors[k], "linestyle": "-", "marker": "osD^v<>ph"[k % 9]}
        elif steps and not any(str(key).startswith(name) for name in STYLES):
            look = {"color": INK, "linestyle": broken[i % 4], "marker": "none"}
        else:
            look = style(str(key), i)
        found.append((key, array, look))
    return found


def label(key: Any) -> str:
    """Return the legend's text for a key: step counts as S = n, Greek letters for their names."""
    if isinstance(key, (int, np.integer)):
        return f"S = {key}"
    return str(key).replace("alpha_bar", "ᾱ").replace("beta", "β").replace("rho=", "ρ = ")
