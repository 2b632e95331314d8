"""Recorded studies: tables of numbers as JSON, each with the command that made it."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from press import documents, machine, paths


def write(path: Path, document: dict[str, Any]) -> None:
    """Write a record atomically as JSON; tables (lists of dicts) as columns and one row a line."""
    parts = []
    for key, value in document.items():
        text = json.dumps(value, allow_nan=False)
        if isinstance(value, list):
            columns = list(value[0]) if value else []
            rows = (json.dumps([row[c] for c in columns], allow_nan=False) for row in value)
            lines = ",\n  ".join(rows)
            text = f'{{"columns": {json.dumps(columns)}, "rows": [\n  {lines}\n ]}}'
        parts.append(f' "{key}": {text}')
    documents.write_text(path, "{\n" + ",\n".join(parts) + "\n}\n")


def read(path: Path) -> dict[str, Any]:
    """Read what `write` wrote; ValueError naming the file if a row has not all columns."""
    found = documents.read_json(path)
    for key, value in found.items():
        if isinstance(value, dict) and set(value) == {"columns", "rows"}:
            columns, rows = value["columns"], value["rows"]
            if any(len(row) != len(columns) for row in rows):
                raise ValueError(
                    f"{paths.relative(path)}: {key}: a row has not {len(columns)} columns"
                )
            found[key] = [dict(zip(columns, row, strict=True)) for row in rows]
    return found


def short(values: Any, digits: int = 4) -> list[float]:
    """Round to significant digits: what lies below is not ours to claim, and fills the file."""
    return [float(f"{v:.{digits}g}") for v in np.asarray(values, dtype=np.float64).ravel()]


def provenance() -> dict[str, Any]:
    """Versions and threads that a record was made with."""
    return {"packages": machine.packages(), "threads": machine.threads()}
