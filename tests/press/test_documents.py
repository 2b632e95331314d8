"""Reading names the file in every error; writing is whole or not at all; digests see everything."""

import json
from pathlib import Path

import pytest

from press import documents

NOTEBOOK = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


@pytest.mark.parametrize(
    ("read", "content", "words"),
    [
        (documents.read_yaml, b"a: \xff", "not UTF-8"),
        (documents.read_yaml, b"a: [", "not YAML"),
        (documents.read_yaml, b"a: 1\nb:\n  c: 1\n  c: 2\n", "not YAML: 'c' is given twice"),
        (documents.read_yaml, b"a: &x [1]\nb: *x\n", "aliases are not used here"),
        (documents.read_yaml, b"a: !!python/object:os.system {}", "not YAML"),
        (documents.read_yaml, b"[" * 100_000, "not YAML"),
        (documents.read_json, b"\xff", "not UTF-8"),
        (documents.read_json, b'{"a": 1', "not JSON"),
        (documents.read_json, b'{"a": NaN}', "NaN is no finite number"),
        (documents.read_json, b'{"a": -Infinity}', "-Infinity is no finite number"),
        (documents.read_json, b'{"a": 1e999}', "1e999 is no finite number"),
        (documents.read_json, b"[" * 100_000, "not JSON"),
        (documents.read_notebook, b"", "not JSON"),
        (documents.read_notebook, json.dumps(NOTEBOOK).encode()[:-9], "not JSON"),
        (documents.read_notebook, b"[]", "no notebook of format 4"),
        (documents.read_notebook, b'{"nbformat": 3, "worksheets": []}', "no notebook of format 4"),
        (documents.read_notebook, b'{"nbformat": 4, "nbformat_minor": 5}', "no valid notebook"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(book, read, content, words):
    path = book.root / "data" / "odd.file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^data/odd\.file: ") as caught:
        read(path)
    assert words in str(caught.value)


def test_what_is_right_is_read(book):
    path = book.root / "data" / "file"
    documents.write_json(path, {"a": [1.5, -2, "é"], "b": None})
    assert documents.read_json(path) == {"a": [1.5, -2, "é"], "b": None}
    assert documents.read_yaml(path) == documents.read_json(path)
    documents.write_json(path, NOTEBOOK)
    assert documents.read_notebook(path).nbformat == 4


def test_json_is_written_whole_or_not_at_all(book):
    path = book.root / "made" / "x.json"
    documents.write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        documents.write_json(path, {"a": float("nan")})
    with pytest.raises(TypeError):
        documents.write_json(path, {"a": object()})
    assert json.loads(path.read_text("utf-8")) == {"a": 1}
    assert [p.name for p in path.parent.iterdir()] == ["x.json"]


def test_a_reader_sees_the_old_text_until_the_new_one_is_whole(tmp_path, monkeypatch):
    path = tmp_path / "x"
    documents.write_text(path, "old")
    seen = []

    def look(temporary, target):
        seen.append((path.read_text("utf-8"), temporary.read_text("utf-8"), target))
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", look)
    with pytest.raises(OSError, match="no space"):
        documents.write_text(path, "new")
    assert seen == [("old", "new", path)]
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_digest_of_files_sees_names_and_contents_and_no_order(tmp_path):
    files = [tmp_path / name for name in "ab"]
    for path in files:
        path.write_text(path.name, "utf-8")
    before = documents.digest_files(files, tmp_path)
    assert documents.digest_files(reversed(files), tmp_path) == before
    (tmp_path / "a").write_text("b", "utf-8")
    (tmp_path / "b").write_text("a", "utf-8")
    assert documents.digest_files(files, tmp_path) != before
    assert documents.digest_files(files[:1], tmp_path) != documents.digest_files([], tmp_path)
    before = documents.digest_files(files[:1], tmp_path)
    renamed = (tmp_path / "a").rename(tmp_path / "c")
    assert documents.digest_files([renamed], tmp_path) != before
