"""Shared fixtures: a small book in a temporary folder, and data that may be absent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
import yaml

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


def pytest_collection_modifyitems(items):
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
    "paper": {"title": "On draws", "authors": ["A. Author"], "year": 2025, "code": "none found"},
    "claims": [
        {
            "id": "D01",
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
            "id": "D02",
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
seed = 0  # [0, 2**31-1] random seed
profile = "laptop"  # {smoke, laptop} size of the run
n_draws = 0  # [0, 1_000] draws; 0 takes the profile's value
wait = 0.0  # [0, 100] seconds to wait
broken = False  # whether to fail"""
SETUP = """\
import time
import numpy as np
from press.run import plans as runs
from press.judge.claims import Ledger
cfg = runs.settings("{name}", profile, n_draws=n_draws, wait=wait)
rng = np.random.default_rng(seed)
ledger = Ledger("{name}", profile)"""
WORK = """\
time.sleep(cfg.wait)
if broken:
    raise RuntimeError("the planted fault")
x = rng.standard_normal(cfg.n_draws)
print(len(x), "draws")"""
FIRST = 'ledger.record("forms", 3e-16, unit="rel.")\nledger.check("{0}01")'
SECOND = """\
ledger.record("mean", x.mean(), ci=(x.mean() - 0.1, x.mean() + 0.1), n=len(x))
ledger.record("spread", x.std())
ledger.check("{0}02")"""
TITLE = "(sec-demo)=\n# A demonstration\n\n```{glue} claims_glance\n```\n"


@dataclass
class Book:
    """A small book in its own folder."""

    root: Path

    def add_chapter(self, name: str = "01_demo", letter: str = "D") -> Path:
        document = json.loads(json.dumps(CLAIMS))
        for claim in document["claims"]:
            claim["id"] = claim["id"].replace("D", letter)
        document = {"chapter": name, **document}
        self.write_yaml(f"data/paper/{name}.yaml", document)
        for profile, draws in (("smoke", 5), ("laptop", 10)):
            values = {"seed": 0, "profile": profile, "n_draws": draws, "wait": 0.0, "broken": False}
            self.write_yaml(f"data/profiles/{name}.{profile}.yaml", values)
        new = nbformat.v4.new_code_cell
        cells = [
            nbformat.v4.new_markdown_cell(TITLE),
            new(PARAMETERS, metadata={"tags": ["parameters"]}),
            new(SETUP.format(name=name)),
            new(WORK),
            new(FIRST.format(letter)),
            new(SECOND.format(letter)),
            new("ledger.glance()\nledger.table()"),
        ]
        return self.write_notebook(name, cells)

    def write_notebook(self, name: str, cells: list) -> Path:
        path = self.root / "notebooks" / f"{name}.ipynb"
        notebook = nbformat.v4.new_notebook(cells=cells)
        notebook.metadata = {
            "kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"},
            "language_info": {"name": "python"},
        }
        nbformat.write(notebook, path)
        return path

    def write_yaml(self, name: str, document: dict) -> Path:
        path = self.root / name
        path.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
        return path

    def edit_yaml(self, name: str, **changes) -> None:
        path = self.root / name
        self.write_yaml(name, {**yaml.safe_load(path.read_text("utf-8")), **changes})

    def environment(self, **more: str) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if k != "DIFFBOOK_RESULTS"}
        return {**clean, "DIFFBOOK_ROOT": str(self.root), "OMP_NUM_THREADS": "1", **more}

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
            timeout=300,
            check=False,
        )
        if status is not None:
            assert done.returncode == status, f"{done.stdout}\n{done.stderr}"
        return done

    def results(self) -> list[str]:
        """All files and folders below results/, hidden ones as well."""
        base = self.root / "results"
        return sorted(path.relative_to(base).as_posix() for path in base.rglob("*"))


@pytest.fixture
def book(tmp_path, monkeypatch) -> Book:
    """A book with the chapter ``01_demo`` and its profiles ``smoke`` and ``laptop``."""
    for folder in ("data/paper", "data/profiles", "data/results", "data/weights", "notebooks"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setenv("DIFFBOOK_ROOT", str(tmp_path))
    monkeypatch.delenv("DIFFBOOK_RESULTS", raising=False)
    made = Book(tmp_path)
    made.add_chapter()
    return made
