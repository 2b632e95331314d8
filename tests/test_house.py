"""What importing costs, and who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import nbformat
import pytest

import diffbook
from press import paths

LIB = Path(diffbook.__file__).parents[1]
HEAVY = ("torch", "scipy", "sklearn", "skimage", "matplotlib", "accelerate", "papermill")
# What a chapter's recorded studies may use of the press.
RECORDS = ("press.records", "press.paths")
# Lines of Python: the house keeps its size.
BUDGETS = {
    "diffbook": 17_800,
    "press": 3_900,
    "chapters/spectral": 1_600,
    "chapters/posterior": 2_300,
    "chapters/coupled": 1_800,
    "chapters/diffar": 1_600,
}


def run(code: str) -> str:
    """Output of a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_import_loads_nothing_heavy():
    loaded = run(f"import sys, diffbook; print([m for m in {HEAVY!r} if m in sys.modules])")
    assert loaded.strip() == "[]"


def test_closed_forms_at_work_do_not_load_torch():
    code = """
import sys, numpy as np
from diffbook import inverse, priors, samplers, schedules
from diffbook.samplers.transfer import transfer
prior = priors.GaussianPrior.ramp()
best = schedules.design_schedule(prior.lam, 5)
transfer(prior.lam, best.schedule)
samplers.ddim(prior.denoise, np.ones((2, 50)), best.schedule)
problem = inverse.make_problem(prior, np.ones(50), 0.1)
inverse.compose(problem, best.schedule, inverse.gains.ideal(problem, best.schedule))
print('torch' in sys.modules)
"""
    assert run(code).strip() == "False"


@cache
def modules() -> dict[str, Path]:
    """Every module of the three wings by its dotted name; a package stands for its ``__init__``."""
    found = {}
    for wing in ("diffbook", "press", "chapters"):
        for path in sorted((LIB / wing).rglob("*.py")):
            parts = path.relative_to(LIB).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(source: str) -> set[str]:
    """Modules of ours that a source names in an import, also inside functions and for types."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide where a name comes from"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {owner for name in names if (owner := owner_of(name))}
    return found


def owner_of(name: str) -> str | None:
    """Module of ours that a dotted name is or belongs to."""
    while name and name not in modules():
        name = name.rpartition(".")[0]
    return name or None


def forbidden(importer: str, target: str) -> bool:
    """Whether a module of ours must not import another one."""
    wing, other = importer.split(".")[0], target.split(".")[0]
    if wing == other and wing != "chapters":
        return False
    if wing != "chapters":
        return True
    if other == "press":
        return target not in RECORDS
    return other == "chapters" and importer.split(".")[1] != target.split(".")[1]


def faults(sources: dict[str, str]) -> list[str]:
    """Imports that break the rules of the house, one line each."""
    return [
        f"{importer} imports {target}"
        for importer, source in sources.items()
        for target in sorted(imported(source))
        if forbidden(importer, target)
    ]


def test_wings_and_rooms_import_what_they_may():
    assert faults({name: path.read_text("utf-8") for name, path in modules().items()}) == []


@pytest.mark.parametrize(
    ("importer", "source"),
    [
        ("diffbook.samplers.transfer", "from press import paths"),
        ("diffbook.samplers.transfer", "def f():\n    from chapters.spectral import figures"),
        ("press.cli", "import diffbook.datasets.fetch"),
        ("chapters.spectral.figures", "from chapters.posterior import figures"),
        ("chapters.spectral.figures", "def f():\n    from press.judge.manifests import read"),
    ],
)
def test_a_planted_violation_is_found(importer, source):
    assert faults({importer: source})


def strange_rooms(slug: str, source: str) -> set[str]:
    """Rooms that a notebook imports from and that are not its own; an appendix shares its chapter's."""
    rooms = {name.split(".")[1] for name in imported(source) if name.startswith("chapters.")}
    return rooms - {paths.chapter_of(slug)}


def test_a_notebook_knows_its_own_room_only():
    for path in sorted((LIB.parent / "notebooks").rglob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        for cell in (c for c in cells if c.cell_type == "code"):
            assert strange_rooms(path.stem, cell.source) == set(), path.name


def test_an_appendix_knows_the_room_of_its_chapter():
    assert strange_rooms("spectral_appendix", "from chapters.spectral import figures") == set()
    assert strange_rooms("spectral_appendix", "from chapters.posterior import figures")
    assert strange_rooms("spectral", "from chapters.posterior import figures")


def circle(graph: dict[str, set[str]]) -> list[str]:
    """One circle of a graph, or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_imports_run_in_no_circle():
    graph = {name: imported(path.read_text("utf-8")) - {name} for name, path in modules().items()}
    assert circle(graph) == []


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"a"}})


@pytest.mark.parametrize("wing", BUDGETS)
def test_wings_keep_their_size(wing):
    lines = sum(len(p.read_text("utf-8").splitlines()) for p in (LIB / wing).rglob("*.py"))
    assert 0 < lines <= BUDGETS[wing]
