"""The reference pages name everything that the library hands on, once."""

import importlib
import inspect
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import diffbook

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = Path(diffbook.__file__).parent
PAGES = sorted((ROOT / "book" / "reference").glob("*.md"))
PACKAGES = diffbook.__all__


def listed() -> dict[str, list[str]]:
    """Modules that each page documents."""
    found = {}
    for page in PAGES:
        text = page.read_text("utf-8")
        found[page.stem] = re.findall(r"^\.\. automodule:: (\S+)$", text, re.M)
    return found


def modules(package: str) -> set[str]:
    """Dotted names of a package's public modules, those of inner packages as well."""
    paths = [p for p in (LIBRARY / package).rglob("*.py") if not p.stem.startswith("_")]
    return {".".join(p.relative_to(LIBRARY.parent).with_suffix("").parts) for p in paths}


def test_pages_are_in_the_contents():
    contents = (ROOT / "_toc.yml").read_text("utf-8")
    assert {p.stem for p in PAGES} == set(re.findall(r"book/reference/(\w+)", contents))
    assert {p.stem for p in PAGES} == {"index", *PACKAGES}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_stands_on_its_page_once(package):
    everywhere = Counter(name for names in listed().values() for name in names)
    assert set(listed()[package]) == modules(package)
    assert all(everywhere[name] == 1 for name in modules(package))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_documented_where_it_was_made(package):
    face = importlib.import_module(f"diffbook.{package}")
    for name in getattr(face, "__all__", ()):
        assert name in dir(face)
        value = getattr(face, name)
        if inspect.ismodule(value):
            assert value.__name__.startswith(face.__name__) and value.__doc__
        elif inspect.isclass(value) or inspect.isfunction(value):
            assert value.__module__ in listed()[package], f"{name} comes from {value.__module__}"
            assert value.__doc__, f"{package}.{name} has no docstring"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_example_prints_what_the_page_says(page, tmp_path):
    text = page.read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
    (output,) = re.findall(r"```text\n(.*?)```", text, re.S)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env={**os.environ, "MPLBACKEND": "agg"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == output
