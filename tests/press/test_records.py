"""Recorded studies: what is written is read again, and a damaged file is named."""

import json

import pytest

from press import records

DOCUMENT = {"command": "python -m x", "seed": 0, "rows": [{"a": 1, "b": 0.5}, {"a": 2, "b": None}]}


def test_tables_come_back_as_they_were(book):
    path = book.root / "data" / "demo" / "studies" / "long.json"
    records.write(path, DOCUMENT)
    assert records.read(path) == DOCUMENT
    assert json.loads(path.read_text("utf-8"))["rows"]["columns"] == ["a", "b"]
    with pytest.raises(ValueError, match="JSON compliant"):
        records.write(path, {"rows": [{"a": float("nan")}]})
    assert records.read(path) == DOCUMENT


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("[1, 0.5]", "[1]", "rows: a row has not 2 columns"),
        ("0.5", "NaN", "NaN"),
        ("}", "", "JSON"),
    ],
)
def test_a_damaged_study_is_named(book, before, after, words):
    path = book.root / "data" / "demo" / "studies" / "long.json"
    records.write(path, DOCUMENT)
    path.write_text(path.read_text("utf-8").replace(before, after), "utf-8")
    with pytest.raises(ValueError, match=rf"^data/demo/studies/long\.json: .*{words}"):
        records.read(path)


def test_short_keeps_four_digits():
    assert records.short([0.123456, 98765.4, -1e-9]) == [0.1235, 98770.0, -1e-9]
