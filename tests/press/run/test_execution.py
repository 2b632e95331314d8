"""Execution and recording: what is kept, what a failure says."""

import html
import json

import nbformat
import pytest

from press import documents, ledger
from press.run import execution, plans

NOTEBOOK = "notebooks/core/demo.ipynb"


def test_run_skip_force_record(book):
    plan = plans.plan("demo", "laptop")
    first = execution.execute(plan, progress=False)
    assert not first.skipped
    names = {"notebook.ipynb", "manifest.json", "run.log"}
    assert {path.name for path in plan.folder.iterdir()} == names
    assert [path.name for path in plan.folder.parent.iterdir()] == ["laptop"]
    metrics = {metric["name"]: metric for metric in first.manifest["metrics"]}
    assert set(metrics) == {"forms", "mean", "spread"}
    assert metrics["mean"]["n"] == 10
    assert first.manifest["device"] == "cpu"
    assert first.manifest["seed"] == 0

    stamp = plan.folder.stat().st_mtime_ns
    assert execution.execute(plans.plan("demo", "laptop"), progress=False).skipped
    assert plan.folder.stat().st_mtime_ns == stamp
    again = execution.execute(plan, force=True, progress=False)
    assert not again.skipped
    assert again.manifest["metrics"] == first.manifest["metrics"]
    assert plan.folder.stat().st_mtime_ns != stamp

    written = execution.record(plan)
    recorded = book.root / "data" / "demo" / "runs" / "laptop.json"
    assert written == [recorded, book.root / NOTEBOOK]
    notebook = nbformat.read(book.root / NOTEBOOK, as_version=4)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == [1, 2, 3, 4, 5, 6]
    assert "papermill" not in json.dumps(notebook).replace("application/papermill.record", "")
    found = [metric.as_dict() for metric in ledger.collect_metrics(notebook)]
    manifest = json.loads(recorded.read_text("utf-8"))
    assert found == manifest["metrics"]
    digest = documents.digest((book.root / NOTEBOOK).read_bytes())
    assert manifest["artefacts"]["notebooks/core/demo.ipynb"] == digest
    # Recording changes outputs only, so the run counts as this very run afterwards.
    assert plans.plan("demo", "laptop").finished


def test_page_top_shows_the_verdicts_of_its_end(book):
    run = execution.execute(plans.plan("demo", "smoke"), progress=False)
    notebook = nbformat.read(run.notebook, as_version=4)
    glued = [
        output.data["application/papermill.record/text/html"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.get("metadata", {}).get("scrapbook", {}).get("name") == "claims_glance"
    ]
    assert len(glued) == 1
    assert "2 claims, the paper's 1: 1 reproduced; ours 1: 1 partly" in html.unescape(glued[0])


def test_record_refuses_what_is_not_fit(book):
    plan = plans.plan("demo", "laptop")
    with pytest.raises(ValueError, match=r"no finished run in results/demo/laptop"):
        execution.record(plan)
    with pytest.raises(ValueError, match="overrides"):
        execution.record(plans.plan("demo", "laptop", {"seed": 4}))
    execution.execute(plan, progress=False)
    book.edit_cell("demo", 3, "import numpy as np\nx = np.zeros(3)\nprint('/home/someone/file')")
    changed = plans.plan("demo", "laptop")
    with pytest.raises(ValueError, match="changed since the run: notebook"):
        execution.record(changed)
    execution.execute(changed, progress=False)
    with pytest.raises(ValueError, match=r"cell 4: absolute path /home/someone"):
        execution.record(changed)
    assert not (book.root / "data" / "demo" / "runs").exists()


def test_other_profile_promotes_its_manifest_only(book):
    before = (book.root / NOTEBOOK).read_bytes()
    plan = plans.plan("demo", "smoke")
    execution.execute(plan, progress=False)
    assert execution.record(plan) == [book.root / "data" / "demo" / "runs" / "smoke.json"]
    assert (book.root / NOTEBOOK).read_bytes() == before


@pytest.mark.parametrize("index", [0, 3])
def test_failing_cell_is_named_as_in_the_committed_notebook(book, index):
    # Papermill inserts a cell, so its own numbers are off by one behind the parameters.
    good = plans.plan("demo", "smoke")
    execution.execute(good, progress=False)
    kept = good.folder.stat().st_ino
    if index == 0:
        path = book.root / NOTEBOOK
        notebook = nbformat.read(path, as_version=4)
        notebook.cells[0] = nbformat.v4.new_code_cell("raise RuntimeError('the planted fault')")
        nbformat.write(notebook, path)
        bad = plans.plan("demo", "smoke")
    else:
        book.edit_yaml("data/demo/smoke.yaml", broken=True)
        bad = plans.plan("demo", "smoke")
    with pytest.raises(execution.CellFailed) as caught:
        execution.execute(bad, progress=False)
    assert (caught.value.cell, caught.value.count) == ((1, 1) if index == 0 else (4, 3))
    assert caught.value.message == "RuntimeError: the planted fault"
    assert good.folder.stat().st_ino == kept
    assert sorted(p.name for p in good.folder.parent.iterdir()) == ["smoke", "smoke.failed.log"]
    assert "the planted fault" in (good.folder.parent / "smoke.failed.log").read_text("utf-8")


def test_dead_kernel_is_a_failed_cell(book):
    book.edit_cell("demo", 3, "import os\nos._exit(1)")
    with pytest.raises(execution.CellFailed, match=r"cell 4 .*the kernel died"):
        execution.execute(plans.plan("demo", "smoke"), progress=False)
    assert book.results() == ["demo", "demo/smoke.failed.log"]


WRITES = """\
from press import documents, paths
documents.write_json(paths.study("demo", "long"), {"a": 1})
x = [0.1, 0.9]"""


def test_an_input_that_changes_while_it_runs_is_noticed(book):
    book.edit_cell("demo", 3, WRITES)
    book.edit_cell("demo", 5, 'ledger.check("demo-02")')
    plan = plans.plan("demo", "smoke")
    execution.execute(plan, progress=False)
    assert plans.plan("demo", "smoke").reason() == "changed since the last run: studies"


@pytest.mark.parametrize("book", ["br{ace}s", "{}", "a {seed!r} b"], indirect=True)
def test_braces_in_a_path_are_a_path(book):
    run = execution.execute(plans.plan("demo", "smoke"), progress=False)
    assert run.notebook.is_file()


def test_text_that_arrived_in_pieces_is_one_output(book):
    new = nbformat.v4.new_output
    pieces = [new("stream", name=name, text=text) for name, text in
              (("stdout", "a"), ("stdout", "b"), ("stderr", "c"), ("stdout", "d"))]  # fmt: skip
    cell = nbformat.v4.new_code_cell("x", outputs=pieces, execution_count=7)
    (cleaned,) = execution.clean(nbformat.v4.new_notebook(cells=[cell])).cells
    assert [(o.name, o.text) for o in cleaned.outputs] == [
        *(("stdout", "ab"), ("stderr", "c"), ("stdout", "d"))
    ]
    assert cleaned.execution_count == 1


def test_networks_are_those_from_before_the_run(book):
    book.edit_yaml("data/demo/claims.yaml", networks=["net*"])
    network = book.root / "data" / "weights" / "net.safetensors"
    network.write_bytes(b"before")
    book.edit_cell(
        "demo", 3, "from press import paths\n(paths.weights() / 'net.safetensors').write_bytes(b'after')"
    )  # fmt: skip
    book.edit_cell("demo", 5, 'ledger.check("demo-02")')
    run = execution.execute(plans.plan("demo", "smoke"), progress=False)
    digest = run.manifest["artefacts"]["data/weights/net.safetensors"]
    assert digest == documents.digest(b"before")
