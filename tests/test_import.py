"""What importing costs, and that the library's floors import downwards only."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import diffbook

PACKAGE = Path(diffbook.__file__).parent
# Which floor every module stands on; the modules that are not listed stand on the top floor.
FLOORS = {
    "paths": 0,
    "schedules": 0,
    "gaussian": 0,
    "distances": 0,
    "transfer": 1,
    "mixture": 0,
    "asymptotics": 1,
    "circulant": 1,
    "solvers": 1,
    "related": 1,
    "heuristics": 1,
    "design": 1,
    "kernels": 1,
    "inverse": 1,
    "colour": 1,
    "conditional": 1,
    "posterior": 1,
    "guidance": 1,
    "weights": 1,
    "blocks": 1,
    "block_samplers": 1,
    "block_chain": 1,
    "block_weights": 1,
    "samplers": 2,
    "guided": 2,
    "zero_shot": 2,
    "nets": 3,
    "pretrained": 3,
    "training": 3,
    "datasets": 3,
    "metrics": 3,
}
CLOSED_FORM = [name for name, floor in FLOORS.items() if floor <= 1]
HEAVY = ("torch", "scipy", "sklearn", "skimage", "matplotlib", "accelerate", "papermill")


def run(code: str) -> str:
    """Output of a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout


def test_import_takes_under_half_a_second():
    code = "from time import perf_counter as t; a = t(); import diffbook; print(t() - a)"
    assert min(float(run(code)) for _ in range(3)) < 0.5


def test_import_loads_nothing_heavy():
    loaded = run(f"import sys, diffbook; print([m for m in {HEAVY!r} if m in sys.modules])")
    assert loaded.strip() == "[]"


@pytest.mark.parametrize("name", [*CLOSED_FORM, "samplers"])
def test_closed_forms_and_samplers_never_load_torch(name):
    code = f"import sys, diffbook.{name}; print('torch' in sys.modules)"
    assert run(code).strip() == "False"


def test_closed_forms_at_work_do_not_load_torch():
    code = """
import sys, numpy as np
from diffbook import design, gaussian, samplers, transfer
prior = gaussian.GaussianPrior.ramp()
best = design.design_schedule(prior.lam, 5)
transfer.transfer(prior.lam, best.schedule)
samplers.ddim(prior.denoise, np.ones((2, 50)), best.schedule)
print('torch' in sys.modules)
"""
    assert run(code).strip() == "False"


def test_submodules_are_reached_through_the_package():
    assert diffbook.schedules.EPS_0 == 1e-4
    assert "transfer" in dir(diffbook)
    with pytest.raises(AttributeError, match="no attribute 'scedules'"):
        _ = diffbook.scedules


@cache
def imports(path: Path, anywhere: bool = True) -> frozenset[str]:
    """First names below ``diffbook`` that a file imports: anywhere, or when it is imported."""
    found = set()
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree) if anywhere else tree.body:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # A relative import counts its dots from the file's own package.
            package = ("diffbook", *path.relative_to(PACKAGE).parts)[: -node.level or None]
            parents = package if node.level else ()
            source = ".".join([*parents, *([node.module] if node.module else [])])
            names = [source, *(f"{source}.{alias.name}" for alias in node.names)]
        else:
            continue
        parts = (name.split(".") for name in names)
        found |= {part[1] for part in parts if part[0] == "diffbook" and len(part) > 1}
    return frozenset(found)


def modules() -> list[tuple[str, Path]]:
    """Name below ``diffbook`` and file of every module."""
    return [
        (path.relative_to(PACKAGE).parts[0].removesuffix(".py"), path)
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name != "__init__.py" or path.parent != PACKAGE
    ]


def test_floors_import_downwards_only():
    names = {name for name, _ in modules()}
    assert set(FLOORS) <= names
    top = max(FLOORS.values()) + 1
    for name, path in modules():
        floor = FLOORS.get(name, top)
        for other in imports(path) & names:
            above = FLOORS.get(other, top)
            assert above <= floor, f"{path.name} (floor {floor}) imports {other} (floor {above})"


def test_imports_have_no_cycles():
    names = {name for name, _ in modules()}
    graph = {name: set() for name in names}
    for name, path in modules():
        graph[name] |= (imports(path, anywhere=False) & names) - {name}
    while graph:
        free = [name for name, needs in graph.items() if not needs]
        assert free, f"modules that import each other: {sorted(graph)}"
        graph = {n: needs - set(free) for n, needs in graph.items() if n not in free}
