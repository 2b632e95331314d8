"""Which functions of the library a claim's measurement calls, found by reading the code."""

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from press import closure, paths
from press.documents import read_notebook

# What draws or loads says nothing about how a number was made.
_ASIDE = ("diffbook.draw", "diffbook.datasets")
_MOST = 3


@cache
def _defined() -> dict[tuple[str, str], str]:
    """Find the module in which a name of the library is defined, by package and name."""
    found: dict[tuple[str, str], str] = {}
    for path in sorted((closure.LIB / "diffbook").rglob("*.py")):
        module = ".".join(path.relative_to(closure.LIB).with_suffix("").parts)
        if "._" in module or path.stem == "__init__":
            continue
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                found[module, node.name] = module
                found.setdefault((module.rpartition(".")[0], node.name), module)
    return found


def _imports(tree: ast.Module) -> dict[str, str]:
    """Dotted names of the library behind the names that a notebook imports."""
    return {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "diffbook"
        for alias in node.names
    }


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def _called(tree: ast.Module, imports: Mapping[str, str]) -> list[str]:
    """Functions and classes of the library that a cell names, in its order, as module and name."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            head, _, rest = _dotted(node).partition(".")
            if head in imports:
                full = ".".join(filter(None, (imports[head], rest)))
                # A method stands on the page below its class.
                for name in (full, full.rpartition(".")[0]):
                    module = _defined().get(tuple(name.rpartition(".")[::2]))
                    if module and not module.startswith(_ASIDE):
                        found[f"{module}.{name.rpartition('.')[2]}"] = node.lineno
                        break
    return sorted(found, key=found.get)


def functions(slug: str) -> dict[str, list[str]]:
    """Functions behind every claim of a chapter, at most three each, nearest to the claim first.

    These are those of the cell that checks it and of the code cells above it, up to a text; where they
    only keep the books, of the code cells above that text.
    """
    cells = read_notebook(paths.notebook(slug)).cells
    trees = [ast.parse(_python(c.source)) if c.cell_type == "code" else None for c in cells]
    imports = _imports(ast.Module([node for tree in trees if tree for node in tree.body], []))
    found: dict[str, list[str]] = {}
    group: list[str] = []
    fresh = True
    for tree in trees:
        if tree is None:
            fresh = True
            continue
        if not all(map(_is_bookkeeping, tree.body)):
            group = [*_called(tree, imports), *([] if fresh else group)]
            fresh = False
        for name in map(_checked, tree.body):
            if name:
                found[name] = list(dict.fromkeys(group))[:_MOST]
    return found


def _is_bookkeeping(node: ast.stmt) -> bool:
    call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    return call and _dotted(node.value.func).startswith("ledger.")


def _checked(node: ast.stmt) -> str | None:
    """Claim that a statement checks."""
    if _is_bookkeeping(node) and _dotted(node.value.func) == "ledger.check":
        return node.value.args[0].value
    return None


def _python(source: str) -> str:
    """Code of a cell without what only IPython reads."""
    return "\n".join(line for line in source.splitlines() if not line.startswith(("%", "!")))


def link(function: str, base: str = "reference/") -> tuple[str, str]:
    """Short name of a function, and its place in the reference, from the folder of the scoreboard."""
    _, package, *_ = function.split(".")
    return ".".join(function.split(".")[-2:]), f"{base}{package}.html#{function}"


def files(slug: str, profile: str | None) -> dict[str, str]:
    """Places of a chapter's claims, and of a recorded run, beside the rendered pages."""
    found = {"claims": Path("..", "data", slug, "claims.yaml").as_posix()}
    if profile is not None:
        found["manifest"] = Path("..", "data", slug, "runs", f"{profile}.json").as_posix()
    return found
