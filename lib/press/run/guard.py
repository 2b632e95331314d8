"""What a committed notebook must look like; each rule is a function that returns the faults.

A fault is one line of text that starts with the cell (counted from 1). The rules keep a chapter
readable (short cells and functions, captions and alternative texts), reproducible (executed from
top to bottom by the standard kernel) and small.
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from press import closure

MAX_BYTES = 3_000_000
MAX_CELL_LINES = 15
MAX_FUNCTION_LINES = 10

_ABSOLUTE = re.compile(
    r"(?<![\w:/.<\\])/(?:home|Users|root|tmp|work|opt|usr|var|mnt|private|content)/[\w.-]+"
    r"|(?<!\w)[A-Za-z]:\\\\?\w+"
)


def _code_cells(notebook: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, cell in enumerate(notebook["cells"], 1):
        if cell["cell_type"] == "code":
            yield number, cell


def _outputs(notebook: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, cell in _code_cells(notebook):
        for output in cell["outputs"]:
            yield number, output


def _tags(cell: Mapping[str, Any]) -> list[str]:
    return cell["metadata"].get("tags", [])


def _source(cell: Mapping[str, Any]) -> str:
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)


def execution_counts(notebook: Mapping[str, Any]) -> list[str]:
    """Code cells must have been executed once, from top to bottom: counts 1 to N."""
    counts = [(number, cell.get("execution_count")) for number, cell in _code_cells(notebook)]
    return [
        f"cell {number}: execution count {count}, expected {expected}"
        for expected, (number, count) in enumerate(counts, 1)
        if count != expected
    ]


def kernel(notebook: Mapping[str, Any]) -> list[str]:
    """Demand the kernel ``python3``, which every installation has."""
    name = notebook["metadata"].get("kernelspec", {}).get("name")
    return [] if name == "python3" else [f"notebook: kernel {name!r}, expected 'python3'"]


def one_parameters_cell(notebook: Mapping[str, Any]) -> list[str]:
    """Exactly one code cell has the tag ``parameters``."""
    cells = [number for number, cell in _code_cells(notebook) if "parameters" in _tags(cell)]
    return [] if len(cells) == 1 else [f"notebook: {len(cells)} parameters cells, expected 1"]


def no_papermill_traces(notebook: Mapping[str, Any]) -> list[str]:
    """No injected parameters, no papermill metadata, no recorded times."""
    faults = []
    if "papermill" in notebook["metadata"]:
        faults.append("notebook: papermill metadata")
    for number, cell in enumerate(notebook["cells"], 1):
        if "injected-parameters" in _tags(cell):
            faults.append(f"cell {number}: injected parameters")
        for key in ("papermill", "execution"):
            if key in cell["metadata"]:
                faults.append(f"cell {number}: metadata {key!r}")
    return faults


def no_errors(notebook: Mapping[str, Any]) -> list[str]:
    """No output is an error or went to the standard error stream."""
    faults = []
    for number, output in _outputs(notebook):
        if output["output_type"] == "error":
            faults.append(f"cell {number}: error {output.get('ename')}")
        elif output.get("name") == "stderr":
            faults.append(f"cell {number}: output on stderr")
    return faults


def no_absolute_paths(notebook: Mapping[str, Any]) -> list[str]:
    """No output shows a path of the machine it ran on."""
    faults = []
    for number, output in _outputs(notebook):
        shown = {k: v for k, v in output.get("data", {}).items() if not k.startswith("image/")}
        found = _ABSOLUTE.search(json.dumps([output.get("text", ""), shown]))
        if found:
            faults.append(f"cell {number}: absolute path {found[0]}")
    return faults


def figures(notebook: Mapping[str, Any]) -> list[str]:
    """Every cell that shows a picture has a caption, a name and an alternative text."""
    faults = []
    names: dict[str, int] = {}
    for number, cell in _code_cells(notebook):
        data = [output.get("data", {}) for output in cell["outputs"]]
        if any("image/svg+xml" in entry for entry in data):
            faults.append(f"cell {number}: SVG, which changes with every run; expected PNG")
        if not any("image/png" in entry or "image/jpeg" in entry for entry in data):
            continue
        render = cell["metadata"].get("mystnb", {})
        for part, key in (("figure", "caption"), ("figure", "name"), ("image", "alt")):
            if not str(render.get(part, {}).get(key, "")).strip():
                faults.append(f"cell {number}: figure without mystnb {part}.{key}")
        name = render.get("figure", {}).get("name")
        if name and names.setdefault(name, number) != number:
            faults.append(f"cell {number}: figure name {name!r} is used by cell {names[name]}")
    return faults


def short_cells(notebook: Mapping[str, Any]) -> list[str]:
    """No code cell has more than `MAX_CELL_LINES` lines, blank ones and comments not counted."""
    faults = []
    for number, cell in _code_cells(notebook):
        lines = [line for line in _source(cell).splitlines() if line.strip()]
        count = sum(not line.lstrip().startswith("#") for line in lines)
        if count > MAX_CELL_LINES:
            faults.append(f"cell {number}: {count} lines of code, at most {MAX_CELL_LINES}")
    return faults


def short_functions(notebook: Mapping[str, Any]) -> list[str]:
    """No function is longer than `MAX_FUNCTION_LINES` lines; longer ones belong to the library."""
    faults = []
    for number, cell in _code_cells(notebook):
        for node in closure.nodes(_source(cell)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = node.end_lineno - node.lineno + 1
                if length > MAX_FUNCTION_LINES:
                    found = f"function {node.name} has {length} lines"
                    faults.append(f"cell {number}: {found}, at most {MAX_FUNCTION_LINES}")
    return faults


def folded_bookkeeping(notebook: Mapping[str, Any]) -> list[str]:
    """Demand the tag ``remove-input`` of a cell that does nothing but call the ledger."""
    faults = []
    for number, cell in _code_cells(notebook):
        lines = next(closure.nodes(_source(cell))).body
        only = bool(lines) and all(ast.unparse(line).startswith("ledger.") for line in lines)
        if only and "remove-input" not in _tags(cell):
            faults.append(f"cell {number}: only ledger calls, without the tag 'remove-input'")
    return faults


def size(notebook: Mapping[str, Any]) -> list[str]:
    """Demand a file below `MAX_BYTES` bytes."""
    import nbformat

    # As it stands in the file, where every line of a cell or an output is a string of its own.
    count = len(nbformat.writes(nbformat.from_dict(notebook)).encode("utf-8")) + 1
    return [] if count < MAX_BYTES else [f"notebook: {count} bytes, must be below {MAX_BYTES}"]


def claim_places(notebook: Mapping[str, Any], document: Mapping[str, Any]) -> list[str]:
    """Every claim is checked in exactly one cell, and its anchor is a label of the notebook."""
    shown = [str(o.get("data", {}).get("text/html", "")) for _, o in _outputs(notebook)]
    text = "\n".join(_source(c) for c in notebook["cells"] if c["cell_type"] == "markdown")
    labels = {*re.findall(r"^\(([^)\s]+)\)=", text, re.M)}
    labels |= set(re.findall(r"^:(?:label|name):\s*(\S+)", text, re.M))
    for _, cell in _code_cells(notebook):
        labels.add(cell["metadata"].get("mystnb", {}).get("figure", {}).get("name"))
    faults = []
    for claim in document["claims"]:
        count = sum(f'id="claim-{claim["id"]}"' in markup for markup in shown)
        if count != 1:
            faults.append(f"notebook: claim {claim['id']} is checked {count} times, expected once")
        if claim["anchor"] not in labels:
            faults.append(f"notebook: claim {claim['id']}: no label {claim['anchor']!r}")
    return faults


_RULES = (
    execution_counts,
    kernel,
    one_parameters_cell,
    no_papermill_traces,
    no_errors,
    no_absolute_paths,
    figures,
    short_cells,
    short_functions,
    folded_bookkeeping,
    size,
)


def chapter_faults(notebook: Mapping[str, Any], document: Mapping[str, Any]) -> list[str]:
    """Faults of a chapter; `document` holds its claims."""
    found = [fault for rule in _RULES for fault in rule(notebook)]
    return [*found, *claim_places(notebook, document)]
