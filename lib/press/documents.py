"""Files of the book: atomic writing, digests, schemas, YAML."""

import difflib
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from press import paths


def nearest(name: str, valid: Iterable[str]) -> str:
    """End of an error message: the nearest valid name, and all of them."""
    valid = list(valid)
    if not valid:
        return "there is none"
    best = difflib.get_close_matches(str(name), valid, n=1, cutoff=0.0)[0]
    return f"did you mean {best!r}? Valid: {', '.join(valid)}"


@cache
def _schema(name: str) -> dict[str, Any]:
    text = resources.files("press").joinpath("schema", f"{name}.schema.json").read_text("utf-8")
    return json.loads(text)


def validate(document: Any, schema: str, where: str) -> None:
    """Check a parsed document against a schema of the press; raise ValueError naming place and fault."""
    import jsonschema

    validator = jsonschema.Draft202012Validator(_schema(schema))
    error = jsonschema.exceptions.best_match(validator.iter_errors(document))
    if error is None:
        return
    place = "/".join(str(part) for part in error.absolute_path) or "top level"
    message = f"{where}: {place}: {error.message}"
    if isinstance(error.instance, str) and re.fullmatch(r"[\d.]+[eE][-+]?\d+", error.instance):
        message += f" (YAML reads {error.instance} as text: write 1.0e-10, not 1e-10)"
    raise ValueError(message)


def read_yaml(path: Path) -> Any:
    """Content of a YAML file; ValueError with the file's name if it is none."""
    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{paths.relative(path)}: not YAML: {error}") from error


def sibling(path: Path) -> Path:
    """Make a hidden name beside `path` that tells which process made it."""
    return path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader sees either the old or the new content, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = sibling(path)
    try:
        temporary.write_text(text, "utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write `document` as JSON, atomically; not-a-number is refused because JSON has none."""
    write_text(path, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def digest(data: bytes | str) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data.encode("utf-8") if isinstance(data, str) else data).hexdigest()


def digest_files(files: Iterable[Path], base: Path) -> str:
    """One SHA-256 for a set of files: their paths relative to `base`, and their contents."""
    lines = [
        f"{path.relative_to(base).as_posix()} {digest(path.read_bytes())}" for path in sorted(files)
    ]
    return digest("\n".join(lines))


def digest_notebook(notebook: Mapping[str, Any]) -> str:
    """SHA-256 of a notebook's sources; outputs, metadata and an injected cell do not count."""
    sources = [
        [cell["cell_type"], cell["source"]]
        for cell in notebook["cells"]
        if "injected-parameters" not in cell["metadata"].get("tags", [])
    ]
    return digest(json.dumps(sources))
