"""The stand of the repository is consistent: versions, licences, targets, contents, no local paths."""

from __future__ import annotations

import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
TEXT = {
    ".bib", ".cff", ".cfg", ".css", ".in", ".ipynb", ".js", ".json", ".lock", ".md", ".py", ".svg",
    ".toml", ".yaml", ".yml", "",
}  # fmt: skip
# "someone" and "me" are the made-up users of examples.
LOCAL = re.compile(r"(?<![\w.:/<>$}{~-])/(?:home|Users|root|work)/(?!(?:someone|me)\b)\w")


def _read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


@cache
def _files() -> list[Path]:
    """Files under version control or about to be; in an export without git, all that are shipped."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode == 0:
        names = [name for name in listed.stdout.split("\0") if name]
        return [ROOT / name for name in names if (ROOT / name).is_file()]
    skipped = {".venv", "_build", "results", "__pycache__"}
    files = (path for path in ROOT.rglob("*") if path.is_file())
    return [path for path in files if not skipped & set(path.relative_to(ROOT).parts[:-1])]


def _pins(name: str) -> dict[str, str]:
    lines = [line.split("#")[0].strip() for line in _read(name).splitlines()]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines if line), name
    pairs = [line.split("==") for line in lines if line]
    pins = {_normal(package): version for package, version in pairs}
    assert len(pins) == len(pairs), f"{name} names a package twice"
    return pins


def _normal(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def _project() -> dict:
    return tomllib.loads(_read("pyproject.toml"))["project"]


# --- Versions -------------------------------------------------------------------------------------


def test_lock_holds_every_hand_chosen_version():
    lock = _pins("requirements.lock")
    chosen = _pins("requirements.in")
    assert {name: lock.get(name) for name in chosen} == chosen
    assert len(lock) > 2 * len(chosen)


def test_lock_is_what_runs_here():
    """The environment has the versions of the lock (a local build tag such as +cpu is no difference)."""
    from importlib import metadata

    installed = {
        _normal(found.name): found.version.split("+")[0] for found in metadata.distributions()
    }
    wrong = {
        name: (version, installed.get(name))
        for name, version in _pins("requirements.lock").items()
        if installed.get(name) != version
    }
    assert not wrong, f"run `make env`, or `make lock` after a change of requirements.in: {wrong}"


def test_every_dependency_of_the_project_is_locked():
    project = _project()
    needed = [*project["dependencies"]]
    for name, extra in project["optional-dependencies"].items():
        if name != "deepinv":  # a peer to compare with, installed by hand and never in the lock
            needed += extra
    names = {_normal(re.match(r"[\w.-]+", requirement)[0]) for requirement in needed}
    assert names - {project["name"]} <= set(_pins("requirements.in"))


def test_conda_users_get_the_lock():
    environment = yaml.safe_load(_read("environment.yml"))
    packages = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    # One list of versions: conda brings Python, pip installs the lock and then the library.
    assert packages == ["python=3.11", "pip", "make"]
    assert pip == ["--requirement requirements.lock", "--editable ."]
    assert _project()["requires-python"] == ">=3.11"


def test_one_version_number():
    import diffbook

    version = _project()["version"]
    assert diffbook.__version__ == version
    assert str(yaml.safe_load(_read("CITATION.cff"))["version"]) == version
    assert re.search(rf"^## {re.escape(version)} ", _read("CHANGELOG.md"), re.MULTILINE)


# --- Licences, citation ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("LICENSE", "MIT License"),
        ("LICENSE-text", "Attribution 4.0 International"),
        ("book/_static/mathjax/LICENSE", "Apache License"),
    ],
)
def test_licences_are_there(name, words):
    assert words in _read(name)[:400]


def test_citation_names_the_licences():
    citation = yaml.safe_load(_read("CITATION.cff"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["license"] == ["MIT", "CC-BY-4.0"]
    assert citation["authors"]
    site = yaml.safe_load(_read("_config.yml"))["sphinx"]["config"]["site"]
    assert citation.get("repository-code", "") == site["repository"]


# --- Book -----------------------------------------------------------------------------------------


def test_contents_exist_and_hold_every_page():
    toc = yaml.safe_load(_read("_toc.yml"))
    entries = [entry for part in toc["parts"] for entry in part["chapters"]]
    entries += [section for entry in entries for section in entry.get("sections", [])]
    files = [toc["root"], *(entry["file"] for entry in entries)]
    missing = [
        name for name in files if not any((ROOT / (name + s)).is_file() for s in (".md", ".ipynb"))
    ]
    assert not missing
    pages = [*ROOT.glob("book/**/*.md"), *ROOT.glob("notebooks/**/*.ipynb")]
    pages = [path.relative_to(ROOT) for path in pages if "_static" not in path.parts]
    assert {path.with_suffix("").as_posix() for path in pages} <= set(files)


def test_prose_links_to_existing_files():
    broken = []
    for path in [*ROOT.glob("*.md"), *ROOT.glob("book/*.md")]:
        for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", path.read_text("utf-8")):
            if not (path.parent / link).exists():
                broken.append(f"{path.name}: {link}")
    assert not broken


def test_formulas_come_from_the_vendored_mathjax():
    config = yaml.safe_load(_read("_config.yml"))["sphinx"]["config"]
    script = ROOT / "book/_static" / config["mathjax_path"]
    assert script.is_file()
    assert len(list(script.parent.glob("output/chtml/fonts/woff-v2/*.woff"))) == 23


# --- Make and CI ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target", ["reproduce", "test", "book", "pdf", "lab", "clean", "env", "lock"]
)
def test_make_has_the_target(target):
    done = subprocess.run(
        ["make", "--dry-run", "--always-make", target],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert target in subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout  # fmt: skip


@pytest.mark.parametrize(("value", "forced"), [("", False), ("0", False), ("1", True)])
def test_force_reaches_the_runner(value, forced):
    done = subprocess.run(
        ["make", "--dry-run", "reproduce", f"FORCE={value}"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "press reproduce" in done.stdout
    assert ("--force" in done.stdout) == forced


def test_make_refuses_an_old_or_missing_python(tmp_path):
    old = tmp_path / "oldpython"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2" && exit\nexit 1\n')
    old.chmod(0o755)
    for python, words in ((old, "Python 3.9.2"), (tmp_path / "nopython", "not there")):
        done = subprocess.run(
            ["make", "env", f"PYTHON={python}", f"VENV={tmp_path}/venv"],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode != 0
        assert "Python 3.11 or newer" in done.stderr
        assert words in done.stderr
        assert not (tmp_path / "venv").exists()


def test_build_does_not_depend_on_local_data():
    """Only CI looks for data beside the checkout; make and the library take the variable as it is."""
    assert "shared" not in _read("Makefile")
    script = _read(".ci/run")
    assert "exec make test" in script
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
    subprocess.run(["bash", "-n", ROOT / ".ci/run"], check=True)


# --- Every file -----------------------------------------------------------------------------------


def test_no_file_holds_a_path_of_a_machine():
    found = []
    for path in _files():
        if path.suffix not in TEXT or "mathjax" in path.parts:
            continue
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if LOCAL.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert not found, "\n".join(found)


def test_no_pickle_and_no_large_file():
    names = [path.name for path in _files()]
    assert not [
        name for name in names if name.endswith((".pkl", ".pickle", ".pt", ".pth", ".ckpt"))
    ]
    large = [path.name for path in _files() if path.stat().st_size > 3_000_000]
    assert not large
