"""What code a notebook uses: the modules of ours that it names, directly or through others.

Only names in import statements count, also inside functions. A package stands for all of its
modules, because its face hands on names that are asked for at run time.
"""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

LIB = Path(__file__).resolve().parents[1]
WINGS = ("diffbook", "press", "chapters")


def files(sources: Iterable[str], lib: Path = LIB) -> list[Path]:
    """Files that Python sources, such as a notebook's code cells, use: modules, and what lies beside them."""
    found: set[Path] = set()
    waiting = [path for source in sources for path in _named(source, lib)]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imports_of(path, path.stat().st_mtime_ns, lib)
    return sorted(found | {other for path in found for other in _beside(path)})


@cache
def _imports_of(path: Path, _changed: int, lib: Path) -> tuple[Path, ...]:
    return tuple(_named(path.read_text("utf-8"), lib))


def nodes(source: str) -> Iterator[ast.AST]:
    """All nodes of a code cell's syntax, without the lines that are for IPython."""
    plain = ("" if line.startswith(("%", "!")) else line for line in source.splitlines())
    return ast.walk(ast.parse("\n".join(plain)))


def _named(source: str, lib: Path) -> Iterator[Path]:
    for node in nodes(source):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] in WINGS:
                yield from _modules(name.split("."), lib)


def _modules(parts: list[str], lib: Path) -> Iterator[Path]:
    """Files behind a dotted name: the module with its packages, or all modules of a package."""
    while parts and not (
        lib.joinpath(*parts).is_dir() or lib.joinpath(*parts).with_suffix(".py").is_file()
    ):
        parts = parts[:-1]  # the last part is a name in a module
    for depth in range(1, len(parts)):
        yield lib.joinpath(*parts[:depth], "__init__.py")
    module = lib.joinpath(*parts)
    if module.is_dir():
        yield from module.rglob("*.py")
    else:
        yield module.with_suffix(".py")


def _beside(path: Path) -> Iterator[Path]:
    """Files that are no Python in a module's folder, and in folders of it that are no packages."""
    for other in path.parent.iterdir():
        if other.is_file() and other.suffix not in (".py", ".pyc"):
            yield other
        elif other.name != "__pycache__" and not (other / "__init__.py").is_file():
            yield from (inner for inner in other.rglob("*") if inner.is_file())
