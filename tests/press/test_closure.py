"""What a run depends on: the modules that its notebook imports, and nothing else of ours."""

import pytest

from press import closure
from press.judge import manifests

FILES = {
    "diffbook/__init__.py": "",
    "diffbook/levels.py": "A = 1\n",
    "diffbook/inverse/__init__.py": "",
    "diffbook/inverse/gains.py": "from diffbook.levels import A\n",
    "diffbook/inverse/rules.py": "",
    "diffbook/inverse/blocks/__init__.py": "",
    "diffbook/inverse/blocks/chain.py": "",
    "chapters/__init__.py": "",
    "chapters/one/__init__.py": "",
    "chapters/one/study.py": "def f():\n    from diffbook.inverse import gains\n",
    "chapters/one/figures.js": "1\n",
    "chapters/one/schema/a.json": "{}\n",
    "chapters/two/__init__.py": "",
    "chapters/two/study.py": "import numpy\nfrom diffbook.inverse import Blur\n",
}


@pytest.fixture
def lib(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / "lib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return tmp_path / "lib"


def names(lib, *sources):
    return {path.relative_to(lib).as_posix() for path in closure.files(sources, lib)}


ONE = {
    *("chapters/__init__.py", "chapters/one/__init__.py", "chapters/one/study.py"),
    *("chapters/one/figures.js", "chapters/one/schema/a.json"),
    *("diffbook/__init__.py", "diffbook/inverse/__init__.py", "diffbook/inverse/gains.py"),
    "diffbook/levels.py",
}


@pytest.mark.parametrize(
    "source",
    [
        "from chapters.one import study",
        "from chapters.one.study import f",
        "import chapters.one.study",
    ],
)
def test_modules_are_followed_also_inside_functions_and_with_what_lies_beside(lib, source):
    assert names(lib, "%matplotlib inline\nimport json", source) == ONE


def test_a_package_stands_for_all_of_its_modules(lib):
    for source in ("from diffbook import inverse", "from diffbook.inverse import Blur"):
        found = names(lib, source)
        assert {"diffbook/inverse/gains.py", "diffbook/inverse/rules.py"} <= found
        assert "diffbook/inverse/blocks/chain.py" in found
        assert "diffbook/levels.py" in found
    assert "diffbook/inverse/rules.py" not in names(lib, "from diffbook.inverse import gains")


def test_other_peoples_packages_do_not_count(lib):
    assert names(lib, "import numpy as np\nfrom scipy import fft") == set()


def test_a_change_is_seen_within_one_process(lib):
    assert "chapters/two/study.py" not in names(lib, "from chapters.one import study")
    (lib / "diffbook/levels.py").write_text("from chapters.two import study\n", "utf-8")
    assert "chapters/two/study.py" in names(lib, "from chapters.one import study")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("chapters/one/study.py", {"one"}),
        ("chapters/one/figures.js", {"one"}),
        ("diffbook/levels.py", {"one", "two"}),
        ("diffbook/inverse/rules.py", {"two"}),
    ],
)
def test_a_comment_in_one_room_leaves_the_other_chapter_finished(
    book, lib, monkeypatch, changed, expected
):
    monkeypatch.setattr(closure, "LIB", lib)
    monkeypatch.setattr(closure.files, "__defaults__", (lib,))
    for slug in ("one", "two"):
        book.add_chapter(slug)
        book.edit_cell(slug, 2, f"from chapters.{slug} import study")

    def codes():
        return {slug: manifests.inputs(slug, {})["code"] for slug in ("one", "two")}

    before = codes()
    path = lib / changed
    path.write_text(path.read_text("utf-8") + "# a comment\n", "utf-8")
    after = codes()
    assert {slug for slug in after if after[slug] != before[slug]} == expected
