"""Files of the book: reading with the file's name in every error, atomic writing, digests, schemas."""

import difflib
import hashlib
import json
import math
import re
import secrets
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import nbformat
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


def read_text(path: Path) -> str:
    """Text of a file; ValueError with the file's name if it is not UTF-8."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{paths.relative(path)}: not UTF-8: {error}") from error


class _Yaml(yaml.SafeLoader):
    """Safe YAML in which a key stands once and nothing is repeated by reference."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem="aliases are not used here", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value]
        for place, (key, _) in enumerate(node.value):
            if key.value in keys[:place]:
                problem = f"{key.value!r} is given twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """Content of a YAML file; ValueError with the file's name if it is none."""
    try:
        return yaml.load(read_text(path), _Yaml)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{paths.relative(path)}: not YAML: {error}") from error


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no finite number")
    return value


def read_json(path: Path) -> Any:
    """Content of a JSON file; ValueError with the file's name if it is none, or a number is not finite."""
    text = read_text(path)
    try:
        return json.loads(text, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{paths.relative(path)}: not JSON: {error}") from error


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """Content of a notebook of format 4; ValueError with the file's name if it is none."""
    found = read_json(path)
    if not isinstance(found, dict) or found.get("nbformat") != 4:
        raise ValueError(f"{paths.relative(path)}: no notebook of format 4")
    try:
        nbformat.validate(found)
    except (nbformat.ValidationError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{paths.relative(path)}: no valid notebook: {error!r:.200}") from error
    return nbformat.reads(read_text(path), as_version=4)


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader sees either the old or the new content, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
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


def digest_file(path: Path) -> str:
    """SHA-256 of a file's content, which need not fit into memory."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_files(files: Iterable[Path], base: Path) -> str:
    """One SHA-256 for a set of files: their paths relative to `base`, and their contents."""
    return digest_named({path.relative_to(base).as_posix(): path for path in sorted(files)})


def digest_named(named: Mapping[str, Path]) -> str:
    """One SHA-256 for files in this order: their names here, and their contents."""
    return digest("\n".join(f"{name} {digest_file(path)}" for name, path in named.items()))


def digest_notebook(notebook: Mapping[str, Any]) -> str:
    """SHA-256 of a notebook's cells with their tags and captions; outputs and an injected cell do not count."""
    shown = ("tags", "mystnb")  # metadata of a cell that change its looks on the page
    sources = [
        [cell["cell_type"], cell["source"], *filter(None, map(cell["metadata"].get, shown))]
        for cell in notebook["cells"]
        if "injected-parameters" not in cell["metadata"].get("tags", [])
    ]
    return digest(json.dumps(sources))
