"""The interactive figure of the chapter, for a static page: no kernel, no network.

`explorer` returns an object that displays as one piece of HTML with its own style sheet, script and
data. The script (``explorer.js``) repeats the closed forms of `diffbook.schedules.levels`,
`diffbook.schedules.design` and `diffbook.samplers.transfer` in the browser; tests hold the two against each other.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["MAX_BYTES", "MAX_MODES", "Explorer", "explorer"]

MAX_BYTES = 60_000
MAX_MODES = 2048
BUILT_IN = ("ramp", "power", "white")

_NO_SCRIPT = (
    "This figure is interactive and needs JavaScript: it compares noise schedules for a chosen "
    "spectrum and number of steps. The tables and figures of this chapter show the same "
    "comparison for fixed choices."
)


@dataclass(frozen=True)
class Explorer:
    """A self-contained interactive figure; shown by IPython, nbconvert and Jupyter Book.

    Parameters
    ----------
    html : str
        Style, script, data and the element they fill.
    text : str
        What a display without HTML shows.
    """

    html: str = field(repr=False)
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def explorer(
    spectra: Mapping[str, ArrayLike] | None = None,
    *,
    spectrum: str = "ramp",
    S: int = 10,
    loss: Literal["w2", "kl"] = "w2",
) -> Explorer:
    """Make the schedule explorer: spectra and step counts in, schedules and their errors out.

    Three spectra are built in: "ramp" (the paper's synthetic signal, d = 50), "power"
    (``lambda_k = (k / 16)**-alpha`` with a slider for alpha, d = 256) and "white" (equal variances
    with a slider). The spectral optimum is found in the page for the chosen number of steps, as
    `diffbook.schedules.design.design_schedule` finds it; the fixed point is that of `step_density`. All
    schedules share the ends of `diffbook.schedules.levels`.

    Parameters
    ----------
    spectra : mapping, optional
        Measured spectra to offer as well: name to eigenvalues (variance per mode, units of the
        data squared), positive, at most 2048 modes. Kept to 5 significant digits.
    spectrum : str
        Spectrum shown first: a built-in one or a key of `spectra`.
    S : int
        Number of steps shown first, 2 to 112.
    loss : {"w2", "kl"}
        Distance for which the spectral schedule is designed at first.

    Returns
    -------
    Explorer
        Object with ``_repr_html_``; its HTML is the same for the same arguments.

    Raises
    ------
    ValueError
        If an argument is out of range, or the whole would exceed 60 kB.
    """
    measured = {name: _rounded(name, lam) for name, lam in (spectra or {}).items()}
    if spectrum not in BUILT_IN and spectrum not in measured:
        raise ValueError(
            f"spectrum must be one of {[*BUILT_IN, *measured]}; got {spectrum!r}. "
            "Give its eigenvalues in `spectra` to add one."
        )
    if isinstance(S, bool) or not isinstance(S, (int, np.integer)) or not 2 <= S <= 112:
        raise ValueError(f"S must be an integer number of steps from 2 to 112; got {S!r}.")
    if loss not in ("w2", "kl"):
        raise ValueError(f"loss must be 'w2' or 'kl'; got {loss!r}.")

    data: dict[str, Any] = {
        "spectra": measured,
        "spectrum": spectrum if spectrum in BUILT_IN else f"data:{spectrum}",
        "S": int(S),
        "loss": loss,
    }
    # "</" inside a string would end the script element.
    payload = json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("</", "<\\/")
    script, sheet = _script(), _sheet()
    key = hashlib.sha256((script + sheet + payload).encode()).hexdigest()[:10]
    html = (
        f'<div class="dbx tex2jax_ignore" id="dbx-{key}"><noscript><p>{_NO_SCRIPT}</p></noscript>'
        f"</div>\n<style>{sheet}</style>\n<script>{script}\n"
        f'window.diffbookExplorer.mount("dbx-{key}",{payload});</script>'
    )
    if len(html.encode()) > MAX_BYTES:
        raise ValueError(
            f"the figure would hold {len(html.encode())} bytes, more than {MAX_BYTES}; give fewer "
            "spectra, or spectra with fewer modes."
        )
    names = ", ".join([*BUILT_IN, *measured])
    return Explorer(html, f"Schedule explorer (interactive in a browser). Spectra: {names}.")


def _rounded(name: str, lam: ArrayLike) -> list[float]:
    """Return eigenvalues in decreasing order with 5 significant digits, as short JSON numbers."""
    values = np.asarray(lam, dtype=float)
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"every spectrum needs a name; got {name!r}.")
    if values.ndim != 1 or not 1 <= values.size <= MAX_MODES:
        raise ValueError(
            f"spectra[{name!r}] must be 1-D with 1 to {MAX_MODES} eigenvalues; got shape "
            f"{values.shape}."
        )
    bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
    if bad.size:
        raise ValueError(
            f"spectra[{name!r}] must be positive and finite; got {values[bad[0]]:g} at index "
            f"{bad[0]}. Leave modes without variance out."
        )
    return [float(f"{value:.5g}") for value in np.sort(values)[::-1]]


def _asset(name: str) -> str:
    return resources.files("chapters.spectral").joinpath(name).read_text(encoding="utf-8")


def _script() -> str:
    """Return the script without its comments and indentation, which a page need not carry."""
    text = re.sub(r"/\*.*?\*/", "", _asset("explorer.js"), flags=re.DOTALL)
    lines = (re.sub(r"(^|\s)//\s.*$", "", line).strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def _sheet() -> str:
    text = re.sub(r"/\*.*?\*/", "", _asset("explorer.css"), flags=re.DOTALL)
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())
