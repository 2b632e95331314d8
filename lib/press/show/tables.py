"""Tables and numbers as HTML and plain text."""

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

DASH = "–"


@dataclass(frozen=True)
class Display:
    """What a cell shows, as HTML and as plain text, and the metadata of its output."""

    html: str
    text: str
    metadata: dict[str, Any] = field(default_factory=dict)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        return {"text/html": self.html, "text/plain": self.text}, self.metadata

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Cell:
    """One table cell in both forms."""

    html: str
    text: str

    @classmethod
    def of(cls, text: str) -> "Cell":
        """Make a cell of one line of Markdown."""
        return cls(inline_html(text), text)


def digits(value: float, significant: int = 3, *, exact: bool = False) -> str:
    """Write a number for people: three significant digits, or all of them for thresholds and integers."""
    if isinstance(value, int):
        return str(value)
    if exact:
        return f"{value:g}".replace("e-0", "e-").replace("e+0", "e")
    if value == 0:
        return "0"
    short = f"{value:.{significant - 1}e}"
    rounded = float(short)
    if 1e-3 <= abs(rounded) < 1e6:
        decimals = max(0, significant - 1 - int(short.split("e")[1]))
        return f"{rounded:.{decimals}f}"
    mantissa, exponent = short.split("e")
    return f"{mantissa}e{int(exponent)}"


def number_html(text: str) -> str:
    """Escape `text` and typeset powers of ten in it, ``1.2e-5`` as 1.2 × 10⁻⁵."""

    def power(match: re.Match[str]) -> str:
        exponent = str(int(match[2])).replace("-", "−")
        return f"{'' if match[1] == '1' else match[1] + ' × '}10<sup>{exponent}</sup>"

    return re.sub(r"(?<![\w.])(\d+(?:\.\d+)?)e([-+]?\d+)", power, html.escape(text))


def inline_html(text: str) -> str:
    r"""HTML of one line of Markdown: ``$math$``, ```code```, ``**bold**``, ``*emphasis*``, links.

    Mathematics becomes ``\(...\)`` inside the class that Sphinx's MathJax set-up looks for.
    """
    out = []
    for piece in re.split(r"(\$[^$]+\$|`[^`]+`)", text):
        if len(piece) > 2 and piece[0] == piece[-1] == "$":
            out.append(f'<span class="math notranslate">\\({html.escape(piece[1:-1])}\\)</span>')
        elif len(piece) > 2 and piece[0] == piece[-1] == "`":
            out.append(f"<code>{html.escape(piece[1:-1])}</code>")
        else:
            safe = html.escape(piece)
            safe = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", safe)
            safe = re.sub(r"\*(.+?)\*", r"<em>\1</em>", safe)
            out.append(re.sub(r"\[([^\]]+)\]\(([^)\s]+)\)", r'<a href="\2">\1</a>', safe))
    return "".join(out)


_SIGNS = {
    "le": "≤", "ge": "≥", "times": "×", "cdot": "·", "pm": "±", "to": "→", "infty": "∞", "ll": "≪",
    "approx": "≈", "sqrt": "√", "sum": "Σ", "prod": "Π", "alpha": "α", "beta": "β", "gamma": "γ",
    "epsilon": "ε", "varepsilon": "ε", "zeta": "ζ", "eta": "η", "kappa": "κ", "lambda": "λ", "mu": "μ",
    "sigma": "σ", "tau": "τ", "varphi": "φ", "rho": "ρ", "Sigma": "Σ", "Delta": "Δ", "ell": "ℓ",
    "bar": "", "hat": "", "tilde": "", "mathcal": "", "mathrm": "", "text": "", "frac": "",
}  # fmt: skip


def plain(text: str) -> str:
    """Make one line of Markdown readable in a terminal: mathematics in letters, no marks of emphasis."""

    def formula(match: re.Match[str]) -> str:
        found = re.sub(r"\\([a-zA-Z]+) ?", lambda m: _SIGNS.get(m[1], m[1] + " "), match[1])
        return re.sub(r"\\[,;! ]", " ", found).replace("\\|", "|").translate({123: None, 125: None})

    found = re.sub(r"\$([^$]+)\$", formula, text)
    found = re.sub(r"\[([^\]]+)\]\([^)\s]+\)", r"\1", found)
    return re.sub(r"\*+([^*]+)\*+", r"\1", found).replace("`", "")


def table(
    caption: str, head: Sequence[str], rows: Sequence[Sequence[Cell]], kind: str = ""
) -> Display:
    """Build a table whose first column names the row; the caption also names its scrollable region."""
    columns = "".join(f'<th scope="col">{inline_html(name)}</th>' for name in head)
    lines = []
    for first, *rest in rows:
        # A line for each cell: what strips the tags, as a search index does, must not join their words.
        cells = "\n".join(f"<td>{cell.html}</td>" for cell in rest)
        lines.append(f'<tr><th scope="row">{first.html}</th>\n{cells}</tr>')
    body = "\n".join(lines)
    markup = (
        f'<div class="{f"db-table {kind}".strip()}" role="region" tabindex="0" aria-label="{html.escape(caption)}">\n'
        f"<table>\n<caption>{html.escape(caption)}</caption>\n<thead><tr>{columns}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody>\n</table>\n</div>"
    )
    plain = [caption]
    for row in rows:
        plain.append(row[0].text)
        plain += [f"    {name}: {cell.text}" for name, cell in zip(head[1:], row[1:], strict=True)]
    return Display(markup, "\n".join(plain))


def number_table(
    caption: str,
    columns: Sequence[str],
    rows: Mapping[str, Sequence[float]],
    fmt: str = "{:.3f}",
) -> Display:
    """Table of numbers for a notebook, one row per name; NaN is shown as a dash.

    The first of `columns` heads the names, `fmt` formats a number.
    """
    width = len(columns) - 1
    wrong = [name for name, values in rows.items() if len(values) != width]
    if wrong:
        raise ValueError(f"rows[{wrong[0]!r}] must hold {width} values, one for each column")

    def cell(value: float) -> Cell:
        text = DASH if value != value else fmt.format(value)
        return Cell(number_html(text), text)

    body = [[Cell.of(name), *map(cell, values)] for name, values in rows.items()]
    return table(caption, columns, body)
