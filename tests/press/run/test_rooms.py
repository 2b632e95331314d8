"""The rooms of a new chapter: what is refused, what is written, and that it builds and passes."""

import os
import shutil
import subprocess
import sys

import pytest
import yaml

from press import closure, paths
from press.judge import claims, rule
from press.run import execution, parameters, plans, rooms


def files(root):
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def home(book):
    """The demo book with its own copy of our code, so that a new room can be imported."""
    shutil.copytree(closure.LIB, book.root / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    return book


@pytest.mark.parametrize(
    ("slug", "part", "words"),
    [
        ("Big", "core", "slug: got 'Big', expected lower-case"),
        ("a-b", "core", "slug: got 'a-b'"),
        ("../up", "core", "slug: got"),
        ("fine", "Part 2", "part: got 'Part 2'"),
        ("demo_appendix", "core", "slug: got 'demo_appendix', expected .* no appendix"),
        ("demo", "core", r"slug: 'demo' is taken \(.*data/demo"),
        ("spectral", "core", r"'spectral' is taken \(lib/chapters/spectral\)"),
    ],
)
def test_bad_and_taken_names_are_refused_before_anything_is_written(home, slug, part, words):
    before = files(home.root)
    with pytest.raises(ValueError, match=words):
        rooms.make(slug, part)
    assert files(home.root) == before


def test_it_touches_the_four_rooms_and_the_contents_only(home):
    before = {name: (home.root / name).read_bytes() for name in files(home.root)}
    rooms.make("fresh", "core")
    new = files(home.root) - set(before)
    assert new == {
        "notebooks/core/fresh.ipynb",
        *("lib/chapters/fresh/__init__.py", "lib/chapters/fresh/study.py"),
        *(f"data/fresh/{name}.yaml" for name in ("claims", "smoke", "laptop", "gpu")),
        "tests/chapters/fresh/test_study.py",
    }
    changed = {name for name, old in before.items() if (home.root / name).read_bytes() != old}
    assert changed == {"_toc.yml"}
    assert paths.chapters() == ["demo", "fresh"]
    assert claims.load("fresh")["claims"][0]["id"] == "fresh-01"


def test_a_new_chapter_is_no_section_of_the_one_before(home):
    """It comes after the last page of its part, an appendix, at the depth of a chapter."""
    contents = home.root / "_toc.yml"
    line = next(x for x in contents.read_text("utf-8").splitlines(True) if "core/demo" in x)
    dash = line[: line.index("-")]
    appendix = f"{dash}  sections:\n{dash}    - file: notebooks/core/demo_appendix\n"
    contents.write_text(contents.read_text("utf-8").replace(line, line + appendix), "utf-8")
    rooms.make("fresh", "core")
    part = yaml.safe_load(contents.read_text("utf-8"))["parts"][0]
    assert [one["file"] for one in part["chapters"]][-1] == "notebooks/core/fresh"


def test_a_new_part_comes_after_the_last_chapter(home):
    home.prose()
    rooms.make("fresh", "spectra")
    contents = yaml.safe_load((home.root / "_toc.yml").read_text("utf-8"))
    assert [part["caption"] for part in contents["parts"]] == ["Papers", "Spectra", "Ledger"]
    assert paths.contents() == {"Papers": ["demo"], "Spectra": ["fresh"]}


def test_its_chapter_runs_passes_the_rules_and_its_own_tests(home, monkeypatch):
    rooms.make("fresh", "core")
    monkeypatch.setenv("PYTHONPATH", str(home.root / "lib"))
    for name in ("smoke", "laptop", "gpu"):
        assert plans.plan("fresh", name).parameters["profile"] == name
    literals = {k: p.default for k, p in parameters.parameters("fresh").items()}
    assert literals == parameters.load_profile("fresh", "laptop")
    run = execution.execute(plans.plan("fresh", "laptop"), progress=False)
    written = execution.record(run.plan)  # refuses a notebook that breaks a rule
    assert len(written) == 2
    verdicts = rule.verdicts(claims.load("fresh"), {m.name: m for m in _metrics(run)})
    assert verdicts == {"fresh-01": "reproduced"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/chapters/fresh"],
        cwd=home.root, env=dict(os.environ), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def _metrics(run):
    from press.judge.manifests import metrics_of

    return metrics_of(run.manifest).values()
