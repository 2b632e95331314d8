"""Finished runs are listed, found and compared."""

import json

import pytest

from press import documents
from press.judge.rule import Metric
from press.show import compare
from press.show.tables import plain


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (Metric("m", 1.0), Metric("m", 1.0 + 1e-9), False),
        (Metric("m", 1.0), Metric("m", 1.0 + 1e-4), True),
        (Metric("m", 0.0), Metric("m", 0.0), False),
        # The halves of the intervals that face each other are 3 and 4: their root sum of squares is 5.
        (Metric("m", 0.0, (-9.0, 3.0)), Metric("m", 4.9, (0.9, 5.0)), False),
        (Metric("m", 0.0, (-9.0, 3.0)), Metric("m", 5.1, (1.1, 5.2)), True),
        (Metric("m", 5.1, (1.1, 5.2)), Metric("m", 0.0, (-9.0, 3.0)), True),
        (Metric("m", 0.0, (-1.0, 3.0)), Metric("m", 2.9), False),
        (Metric("m", 0.0, (-1.0, 3.0)), Metric("m", 3.1), True),
    ],
)
def test_values_differ_beyond_their_errors(a, b, expected):
    assert compare.apart(a, b) is expected


def rows(book, first, second):
    found = compare.compare(compare.find(first), compare.find(second))
    return {(row.kind, row.name): row for row in found}


def test_a_run_beside_another(book):
    book.finish("smoke", mean=0.5, spread=0.75)
    book.finish("laptop", mean=0.5, spread=0.05, forms=7e-16)
    found = rows(book, "demo/smoke", "demo/laptop")
    assert found["parameter", "n_draws"].a == 5
    assert found["parameter", "n_draws"].differs
    assert not found["parameter", "seed"].differs
    assert not found["metric", "mean"].differs
    assert found["metric", "spread"].differs
    assert not found["metric", "forms"].differs, "an error of roundoff size depends on the machine"
    verdict = found["verdict", "demo-02"]
    assert (verdict.a, verdict.b, verdict.differs) == ("reproduced", "partly", True)
    assert verdict.words == "The mean of the draws is small & finite."
    assert not found["package", "numpy"].differs


def test_verdicts_are_those_of_each_runs_own_size(book):
    document = book.root / "data/demo/claims.yaml"
    text = document.read_text("utf-8")
    book.finish("laptop")
    extra = "  judged_from: laptop\n  needs: [n_draws]\n"
    document.write_text(text.rstrip("\n") + "\n" + extra, "utf-8")
    book.finish("smoke")
    verdict = rows(book, "demo/smoke", "demo/laptop")["verdict", "demo-02"]
    assert (verdict.a, verdict.b) == ("not tried", "reproduced")


def test_runs_are_found_by_name_folder_and_file(book):
    folder = book.finish("smoke")
    runs = book.root / "data" / "demo" / "runs"
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    documents.write_json(runs / "smoke.json", manifest)
    assert list(compare.finished()) == ["data/demo/runs/smoke.json", "demo/smoke"]
    for name in ("demo/smoke", str(folder), str(runs / "smoke.json")):
        assert compare.find(name) == manifest
    with pytest.raises(ValueError, match="run: got 'demo/smok'; did you mean 'demo/smoke'"):
        compare.find("demo/smok")


def test_runs_of_two_chapters_are_not_compared(book):
    book.finish("smoke")
    ours = compare.find("demo/smoke")
    with pytest.raises(ValueError, match="got runs of demo and of other, expected one chapter"):
        compare.compare(ours, {**ours, "chapter": "other"})


def test_settings_are_what_differs_from_the_recorded_run(book):
    laptop = json.loads((book.finish("laptop") / "manifest.json").read_text("utf-8"))
    documents.write_json(book.root / "data/demo/runs/laptop.json", laptop)
    book.finish("smoke")
    assert compare.settings(laptop) == {"profile": "laptop"}
    assert compare.settings(compare.find("demo/smoke")) == {"profile": "smoke", "n_draws": 5}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            r"with $\hat x_0^{\mathcal F} = D_1 x_S$ and $\sigma\le 2$",
            "with x_0^F = D_1 x_S and σ≤2",
        ),
        ("**bold** and *soft* `code`, [a link](https://a.org)", "bold and soft code, a link"),
        ("plain 3 * 4", "plain 3 * 4"),
        (r"$\frac{1}{2} x$ and $\tfrac{a + b}{\sigma}$", "1/2 x and (a + b)/(σ)"),
    ],
)
def test_a_terminal_shows_no_tex(text, words):
    assert plain(text) == words


def test_a_damaged_run_hides_no_other(book):
    book.finish("smoke")
    (book.finish("laptop") / "manifest.json").write_text("{}", "utf-8")
    assert list(compare.finished()) == ["demo/smoke"]
    with pytest.raises(ValueError, match=r"demo/laptop/manifest.json: top level: "):
        compare.find("demo/laptop")
