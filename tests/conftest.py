"""Shared fixtures: a small book in a temporary folder, and data that may be absent."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
import yaml
from browser import CHROMIUM, FLAGS

ROOT = Path(__file__).resolve().parents[1]


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "realdata: needs data sets in the folder that DIFFBOOK_DATA names"
    )


def _missing_data() -> str | None:
    named = os.environ.get("DIFFBOOK_DATA")
    if not named:
        return "DIFFBOOK_DATA is not set: point it at a folder with the data sets"
    if not Path(named).is_dir():
        return f"DIFFBOOK_DATA={named!r} is no folder"
    return None


def _place(item) -> int:
    """Long scopes come first, so that no worker is left with one at the end."""
    if item.path.suffix == ".ipynb":
        return 0
    if item.get_closest_marker("book"):
        return 1
    return 2 if "smoke" in item.path.name or item.get_closest_marker("smoke") else 3


def pytest_collection_modifyitems(items):
    items.sort(key=_place)
    reason = _missing_data()
    if reason is None:
        return
    for item in items:
        if item.get_closest_marker("realdata"):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def root() -> Path:
    """Root of this checkout."""
    return ROOT


CLAIMS = {
    "title": "A demonstration",
    "summary": "draws numbers and looks at them",
    "paper": {"title": "On draws", "authors": ["A. Author"], "year": 2025, "code": "none found"},
    "claims": [
        {
            "id": "demo-01",
            "statement": "The two forms of $x^2$ are *equal*.",
            "kind": "identity",
            "origin": "paper",
            "place": "Sec. 1",
            "reported": None,
            "anchor": "sec-demo",
            "scale": "one number",
            "conditions": [{"metric": "forms", "op": "<=", "value": 1e-10, "unit": "rel."}],
        },
        {
            "id": "demo-02",
            "statement": "The mean of the draws is small & finite.",
            "kind": "number",
            "origin": "beyond",
            "place": "this book",
            "reported": "0.0 in <Table 1>",
            "anchor": "sec-demo",
            "scale": "10 draws",
            "reason": "Few draws.",
            "conditions": [
                {"metric": "mean", "op": "between", "value": [-1.0, 1.0], "partly": [-9.0, 9.0]},
                {"metric": "spread", "op": ">", "value": 0.5, "partly": 0.1},
            ],
        },
    ],
}
PARAMETERS = """\
seed = 0  # [0, 2147483647] random seed
profile = "laptop"  # name of the profile
n_draws = 10  # [2, 1_000] draws
scales = [1, 2]  # [1, 9] factors of the draws
wait = 0.0  # [0, 100] seconds to wait
broken = False  # whether to fail"""
SETUP = """\
import time
import numpy as np
from press.ledger import Ledger
rng = np.random.default_rng(seed)
ledger = Ledger("{name}", profile)"""
WORK = """\
time.sleep(wait)
if broken:
    raise RuntimeError("the planted fault")
x = rng.standard_normal(n_draws)
print(len(x), "draws")"""
FIRST = 'ledger.record("forms", 3e-16, unit="rel.")\nledger.check("{ids}1")'
SECOND = """\
ledger.record("mean", x.mean(), ci=(x.mean() - 0.1, x.mean() + 0.1), n=len(x))
ledger.record("spread", x.std())
ledger.check("{ids}2")"""
TITLE = "(sec-demo)=\n# A demonstration\n\n```{glue} claims_glance\n```\n"


@dataclass
class Book:
    """A small book in its own folder."""

    root: Path

    def add_chapter(self, name: str = "demo") -> Path:
        """Add a chapter with two claims; one called ``<chapter>_appendix`` as that chapter's appendix."""
        chapter = name.removesuffix("_appendix")
        ids = f"{name}-0" if name == chapter else f"{chapter}-1"
        document = {"chapter": name, **json.loads(json.dumps(CLAIMS).replace("demo-0", ids))}
        if name != chapter:
            document |= {"appendix_of": chapter, "title": "A demonstration: appendix"}
            del document["paper"]
        self.write_yaml(f"data/{name}/claims.yaml", document)
        for profile, draws in (("smoke", 5), ("laptop", 10)):
            values = {"seed": 0, "profile": profile, "n_draws": draws, "scales": [1, 2]}
            self.write_yaml(f"data/{name}/{profile}.yaml", {**values, "wait": 0.0, "broken": False})
        new = nbformat.v4.new_code_cell
        cells = [
            nbformat.v4.new_markdown_cell(TITLE),
            new(PARAMETERS, metadata={"tags": ["parameters"]}),
            new(SETUP.format(name=name)),
            new(WORK),
            new(FIRST.format(ids=ids), metadata={"tags": ["remove-input"]}),
            new(SECOND.format(ids=ids), metadata={"tags": ["remove-input"]}),
            new("ledger.glance()\nledger.table()", metadata={"tags": ["remove-input"]}),
        ]
        contents = yaml.safe_load((self.root / "_toc.yml").read_text("utf-8"))
        entries = contents["parts"][0]["chapters"]
        if name != chapter:
            above = next(e for e in entries if e["file"] == f"notebooks/core/{chapter}")
            entries = above.setdefault("sections", [])
        if {"file": f"notebooks/core/{name}"} not in entries:
            entries.append({"file": f"notebooks/core/{name}"})
        self.write_yaml("_toc.yml", contents)
        return self.write_notebook(name, cells)

    def write_notebook(self, name: str, cells: list) -> Path:
        path = self.root / "notebooks" / "core" / f"{name}.ipynb"
        notebook = nbformat.v4.new_notebook(cells=cells)
        notebook.metadata = {
            "kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"},
            "language_info": {"name": "python"},
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path)
        return path

    def edit_cell(self, name: str, index: int, source: str) -> None:
        path = self.root / "notebooks" / "core" / f"{name}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        notebook.cells[index].source = source
        nbformat.write(notebook, path)

    def write_yaml(self, name: str, document: dict) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
        return path

    def edit_yaml(self, name: str, **changes) -> None:
        path = self.root / name
        self.write_yaml(name, {**yaml.safe_load(path.read_text("utf-8")), **changes})

    def prose(self) -> None:
        """Add the pages around the chapters: a landing page, a readme, the scoreboard."""
        (self.root / "book").mkdir()
        markers = "<!-- chapters -->\n<!-- /chapters -->"
        (self.root / "README.md").write_text(f"# Before\n\n{markers}\n\nAfter\n", "utf-8")
        (self.root / "book" / "index.md").write_text("# Small book\n\nOne chapter.\n", "utf-8")
        (self.root / "book" / "scoreboard.md").write_text("# Scoreboard\n", "utf-8")
        contents = yaml.safe_load((self.root / "_toc.yml").read_text("utf-8"))
        contents["parts"].append({"caption": "Ledger", "chapters": [{"file": "book/scoreboard"}]})
        self.write_yaml("_toc.yml", contents)

    def environment(self, **more: str) -> dict[str, str]:
        return {**os.environ, "DIFFBOOK_ROOT": str(self.root), "OMP_NUM_THREADS": "1", **more}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "press", *arguments]

    def start(self, *arguments: str) -> subprocess.Popen:
        return subprocess.Popen(
            self.command(*arguments),
            env=self.environment(),
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def cli(self, *arguments: str, status: int | None = 0) -> subprocess.CompletedProcess:
        """Run ``python -m press``; check the exit status unless it is None."""
        done = subprocess.run(
            self.command(*arguments),
            env=self.environment(),
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
        )
        if status is not None:
            assert done.returncode == status, f"{done.stdout}\n{done.stderr}"
        return done

    def finish(self, profile: str = "smoke", **values: float) -> Path:
        """A finished run of ``demo`` in results/, put together without a kernel."""
        from press import documents, ledger
        from press.judge import manifests
        from press.run import plans

        plan = plans.plan("demo", profile)
        notebook = documents.read_notebook(self.root / "notebooks" / "core" / "demo.ipynb")
        record = ledger.Ledger("demo", **plan.parameters)
        for name, value in {"forms": 3e-16, "mean": 0.5, "spread": 0.75, **values}.items():
            record.record(name, value)
        data, metadata = record.table()._repr_mimebundle_()
        shown = nbformat.v4.new_output("display_data", data=data, metadata=metadata)
        notebook.cells[-1].outputs = [shown]
        plan.folder.mkdir(parents=True)
        path = plan.folder / "notebook.ipynb"
        nbformat.write(notebook, path)
        manifest = manifests.build(
            "demo", profile, plan.parameters, ledger.collect_metrics(notebook), device="cpu",
            wall_s=1.0, artefacts={path.name: documents.digest(path.read_bytes())},
            found=plan.inputs,
        )  # fmt: skip
        documents.write_json(plan.folder / "manifest.json", manifest)
        return plan.folder

    def results(self) -> list[str]:
        """All files and folders below results/, hidden ones as well."""
        base = self.root / "results"
        return sorted(path.relative_to(base).as_posix() for path in base.rglob("*"))


@pytest.fixture(scope="session")
def browser():
    """Chromium, one for all tests of a worker: Playwright allows no second one beside it."""
    if CHROMIUM is None:
        pytest.skip(
            "no Chromium found (looked for chromium, chromium-browser, google-chrome); "
            "install one or name it in the variable CHROMIUM"
        )
    if shutil.which(CHROMIUM) is None:
        pytest.exit(f"CHROMIUM={CHROMIUM!r} is no program: correct it or unset it", returncode=4)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=0)
        yield browser
        browser.close()


@pytest.fixture
def book(request, tmp_path, monkeypatch) -> Book:
    """A book with the chapter ``demo`` and its profiles ``smoke`` and ``laptop``.

    Parametrised indirectly, it stands in a folder of that name.
    """
    home = tmp_path / getattr(request, "param", "")
    (home / "data" / "weights").mkdir(parents=True)
    monkeypatch.setenv("DIFFBOOK_ROOT", str(home))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("DIFFBOOK_DATA", raising=False)
    made = Book(home)
    contents = {"format": "jb-book", "root": "book/index"}
    made.write_yaml("_toc.yml", {**contents, "parts": [{"caption": "Papers", "chapters": []}]})
    made.add_chapter()
    return made
