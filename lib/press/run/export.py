"""Figures and tables of a finished run as files."""

import base64
import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from press.run import plans, safety

FORMATS = {"png": "image/png", "svg": "image/svg+xml"}


def _named(notebook: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Every output with data, with a name for it and its caption."""
    for number, cell in enumerate(notebook["cells"], 1):
        figure = cell["metadata"].get("mystnb", {}).get("figure", {})
        for output in cell.get("outputs", []):
            if "data" in output:
                name = figure.get("name", f"cell-{number:03d}")
                yield name, figure.get("caption", ""), output["data"]


def _once(name: str, taken: Mapping[str, Any]) -> str:
    names = [name, *(f"{name}-{count}" for count in range(2, 100))]
    return next(free for free in names if free not in taken)


def figures(notebook: Mapping[str, Any], kind: str = "png") -> dict[str, tuple[bytes, str]]:
    """Figures of an executed notebook by name: bytes and caption; ValueError if it holds none of this kind."""
    found: dict[str, tuple[bytes, str]] = {}
    for name, caption, data in _named(notebook):
        if FORMATS[kind] in data:
            content = data[FORMATS[kind]]
            raw = base64.b64decode(content) if kind == "png" else content.encode("utf-8")
            found[_once(name, found)] = raw, caption
    if not found and kind == "svg":
        raise ValueError("export: the run holds no SVG; make one with `press run ... --svg`")
    return found


def tables(notebook: Mapping[str, Any]) -> dict[str, tuple[str, list[list[str]]]]:
    """Tables of an executed notebook by name: caption and rows of texts, the first one the head."""
    from bs4 import BeautifulSoup

    found: dict[str, tuple[str, list[list[str]]]] = {}
    for name, _, data in _named(notebook):
        for table in BeautifulSoup(data.get("text/html", ""), "html.parser").find_all("table"):
            rows = [
                [cell.get_text(" ", strip=True) for cell in row.find_all(["th", "td"])]
                for row in table.find_all("tr")
            ]
            caption = table.caption.get_text(" ", strip=True) if table.caption else ""
            found[_once(f"table-{name}", found)] = caption, rows
    return found


def export(run: Path, target: Path, kind: str = "png", *, with_tables: bool = False) -> int:
    """Write the figures, and on request the tables as CSV, of a finished run into a new folder.

    ``index.csv`` there has a line for each file, with its caption. All or nothing; returns the number
    of files beside the index.
    """
    _, notebook = plans.read_run(run)
    files = {
        f"{name}.{kind}": (raw, caption) for name, (raw, caption) in figures(notebook, kind).items()
    }
    for name, (caption, rows) in tables(notebook).items() if with_tables else ():
        files[f"{name}.csv"] = csv_text(rows).encode("utf-8"), caption
    index = [["file", "caption"], *([name, caption] for name, (_, caption) in files.items())]
    with safety.replacing(target) as folder:
        for name, (raw, _) in files.items():
            (folder / name).write_bytes(raw)
        (folder / "index.csv").write_text(csv_text(index), "utf-8")
    return len(files)


def is_export(folder: Path) -> bool:
    """Whether a folder holds what `export` wrote and nothing else, so that it may be replaced."""
    index = folder / "index.csv"
    if not index.is_file():
        return False
    rows = list(csv.reader(io.StringIO(index.read_text("utf-8"))))
    return {path.name for path in folder.iterdir()} <= {
        "index.csv",
        *(row[0] for row in rows if row),
    }


def csv_text(rows: list[list[str]]) -> str:
    """Rows as CSV."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()
