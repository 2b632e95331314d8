"""Figures and tables of a run as files."""

import base64
import csv

import nbformat
import pytest

from press.run import export

PNG = b"\x89PNG one"
TABLE = "<table><caption>Of two</caption><tr><th>a</th><th>b</th></tr><tr><th>x</th><td>1,5</td></tr></table>"


def shown(**data):
    return nbformat.v4.new_output("display_data", data=data)


def notebook():
    picture = {"image/png": base64.b64encode(PNG).decode()}
    named = nbformat.v4.new_code_cell("f()")
    named.metadata["mystnb"] = {"figure": {"name": "fig-a", "caption": "A figure."}}
    named.outputs = [shown(**picture), shown(**picture)]
    other = nbformat.v4.new_code_cell("g()")
    other.outputs = [shown(**{"text/html": TABLE}), shown(**picture)]
    return nbformat.v4.new_notebook(cells=[named, other])


def test_figures_are_named_after_their_cells():
    found = export.figures(notebook())
    assert list(found) == ["fig-a", "fig-a-2", "cell-002"]
    assert found["fig-a"] == (PNG, "A figure.")


def test_svg_that_is_not_there_is_explained():
    with pytest.raises(ValueError, match=r"holds no SVG; make one with `press run \.\.\. --svg`"):
        export.figures(notebook(), "svg")
    with_svg = notebook()
    with_svg.cells[0].outputs[0].data["image/svg+xml"] = "<svg>é</svg>"
    assert export.figures(with_svg, "svg") == {"fig-a": ("<svg>é</svg>".encode(), "A figure.")}


def test_tables_become_rows():
    assert export.tables(notebook()) == {"table-cell-002": ("Of two", [["a", "b"], ["x", "1,5"]])}


def test_a_run_is_written_whole_or_not_at_all(book, tmp_path):
    target = tmp_path / "out"
    folder = book.finish("smoke")
    assert export.export(folder, target, with_tables=True) == 1
    with (target / "index.csv").open(newline="", encoding="utf-8") as stream:
        head, (name, caption) = csv.reader(stream)
    assert head == ["file", "caption"]
    assert "Paper beside reproduction" in caption
    assert (target / name).read_text("utf-8").startswith("Claim,The paper reports,")
    (folder / "notebook.ipynb").write_text("{}", "utf-8")
    with pytest.raises(ValueError, match="is not the file that the run wrote"):
        export.export(folder, tmp_path / "again")
    assert not (tmp_path / "again").exists()
