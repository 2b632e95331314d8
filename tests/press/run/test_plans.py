"""Parameters, profiles, plans, execution, recording, and the commands' exit statuses."""

import json
import signal
import time

import nbformat
import psutil
import pytest

from press import documents, ledger
from press.run import execution, parameters, plans, safety

NOTEBOOK = "notebooks/core/demo.ipynb"


# --- parameters -------------------------------------------------------------------------------


def test_parameters_are_read_from_the_cell(book):
    found = parameters.parameters("demo")
    assert list(found) == ["seed", "profile", "n_draws", "scales", "wait", "broken"]
    assert (found["seed"].low, found["seed"].high) == (0, 2**31 - 1)
    assert found["profile"].choices == ("smoke", "laptop")
    assert found["n_draws"].high == 1000
    assert found["n_draws"].help == "draws"
    assert [type(p.default) for p in found.values()] == [int, str, int, list, float, bool]


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ("[0, 1] help", (0, 1, (), "help")),
        ("[-1.5, 1_000]", (-1.5, 1000, (), "")),
        ("{a, b-c} which", (None, None, ("a", "b-c"), "which")),
        ("no range", (None, None, (), "no range")),
    ],
)
def test_comments(comment, expected):
    assert parameters.parse_comment(comment) == expected


@pytest.mark.parametrize(
    "comment", ["[1, 0] x", "[a, b] x", "[0] x", "[0, 9**9**9] x", "[__import__('os'), 1]"]
)
def test_comment_that_is_no_range_is_refused(comment):
    with pytest.raises(ValueError, match=r"empty|malformed|unpack"):
        parameters.parse_comment(comment)


def test_line_that_papermill_would_drop_is_refused(book):
    book.edit_cell("demo", 1, "seed = 0  # [0, 9] seed\nn = 0  # [0, 9] n = 0 takes the default")
    with pytest.raises(ValueError, match="papermill cannot read the line of n"):
        parameters.parameters("demo")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("seed", "7", 7),
        ("seed", "1_000", 1000),
        ("wait", "1", 1.0),
        ("wait", "2.5e-1", 0.25),
        ("broken", "true", True),
        ("broken", "False", False),
    ],
)
def test_values_are_read_in_the_type_of_the_parameter(book, name, text, value):
    found = parameters.parse_value(parameters.parameters("demo")[name], text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("seed", "1.5", r"seed: got 1.5, expected int in \[0, 2147483647\]"),
        ("seed", "x", "seed: got 'x', expected int"),
        ("seed", "-1", "seed: got -1"),
        ("seed", "true", "seed: got True"),
        ("n_draws", "1001", r"n_draws: got 1001, expected int in \[2, 1000\]"),
        ("wait", "nan", "wait: got 'nan', expected float"),
        ("broken", "1", "broken: got 1, expected bool"),
        ("profile", "smok", "profile: got 'smok', expected one of .* did you mean 'smoke'"),
    ],
)
def test_bad_values_are_refused(book, name, text, message):
    with pytest.raises(ValueError, match=message):
        parameters.parse_value(parameters.parameters("demo")[name], text)


def test_a_list_holds_whole_numbers_in_the_range():
    steps = parameters.Parameter("steps", [5], 1, 1000)
    assert parameters.parse_value(steps, "5,10, 112") == [5, 10, 112]
    assert parameters.parse_value(steps, "[5]") == [5]
    assert parameters.check_value(steps, [1, 1000]) == [1, 1000]
    for text in ("", "5,,6", "0,5", "5,1001", "5.5", "abc", "True"):
        with pytest.raises(ValueError, match=r"whole numbers, at least one, each in \[1, 1000\]"):
            parameters.parse_value(steps, text)


# --- plans ------------------------------------------------------------------------------------


def test_plan_of_a_profile_and_of_an_override(book):
    plain = plans.plan("demo", "smoke")
    same = plans.plan("demo", "smoke", {"n_draws": "5"})
    other = plans.plan("demo", "smoke", {"n_draws": "6"})
    assert plain.folder == book.root / "results" / "demo" / "smoke"
    assert (same.folder, same.key) == (plain.folder, plain.key)
    assert other.folder.name.startswith("smoke-")
    assert len(other.folder.name) == len("smoke-") + 8
    assert other.key != plain.key
    assert other.parameters["n_draws"] == 6
    assert not plain.finished


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_draw": 3}, "unknown parameter 'n_draw'; did you mean 'n_draws'"),
        ({"n_draws": "many"}, "n_draws: got 'many', expected int"),
        ({"n_draws": 5000}, "n_draws: got 5000"),
        ({"profile": "laptop"}, "expected the line 'profile: smoke'"),
    ],
)
def test_bad_profile_is_refused(book, change, message):
    book.edit_yaml("data/demo/smoke.yaml", **change)
    with pytest.raises(ValueError, match=message):
        plans.plan("demo", "smoke")


def test_profile_must_set_every_parameter(book):
    book.write_yaml("data/demo/smoke.yaml", {"profile": "smoke", "seed": 1})
    with pytest.raises(ValueError, match="missing parameters: n_draws, scales, wait, broken"):
        plans.plan("demo", "smoke")


def test_key_follows_every_input(book, monkeypatch):
    def changed(before):
        after = plans.plan("demo", "smoke").inputs
        return {name for name in after if after[name] != before[name]}

    before = plans.plan("demo", "smoke").inputs
    assert changed(before) == set()
    book.edit_yaml("data/demo/claims.yaml", networks=["net*.safetensors"])
    assert changed(before) == {"claims"}
    (book.root / "data" / "weights" / "net.safetensors").write_bytes(b"1")
    (book.root / "data" / "weights" / "other.safetensors").write_bytes(b"1")
    assert changed(before) == {"claims", "networks"}
    book.edit_cell("demo", 3, "x = 1")
    assert changed(before) == {"claims", "networks", "notebook"}
    documents.write_json(book.root / "data" / "demo" / "studies" / "long.json", {"a": 1})
    assert changed(before) == {"claims", "networks", "notebook", "studies"}
    monkeypatch.setattr("press.machine.packages", lambda: {"numpy": "0"})
    assert changed(before) == {"claims", "networks", "notebook", "studies", "packages"}
    assert plans.plan("demo", "smoke", {"seed": 5}).inputs["parameters"] != before["parameters"]


def test_outputs_do_not_change_the_key(book):
    path = book.root / NOTEBOOK
    notebook = nbformat.read(path, as_version=4)
    before = documents.digest_notebook(notebook)
    notebook.cells[3].outputs = [nbformat.v4.new_output("stream", text="x")]
    notebook.cells[3].execution_count = 9
    injected = nbformat.v4.new_code_cell("seed = 3", metadata={"tags": ["injected-parameters"]})
    notebook.cells.insert(2, injected)
    assert documents.digest_notebook(notebook) == before


# --- execution --------------------------------------------------------------------------------


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
    assert "1 reproduced, 1 partly" in glued[0]


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


def test_replacing_keeps_the_old_folder_until_the_new_one_is_whole(tmp_path):
    target = tmp_path / "folder"
    with safety.replacing(target) as fresh:
        (fresh / "a").write_text("1", "utf-8")
        assert not target.exists()
    with pytest.raises(KeyboardInterrupt), safety.replacing(target) as fresh:
        (fresh / "a").write_text("2", "utf-8")
        raise KeyboardInterrupt
    assert (target / "a").read_text("utf-8") == "1"
    with safety.replacing(target) as fresh:
        (fresh / "b").write_text("3", "utf-8")
    assert [path.name for path in target.iterdir()] == ["b"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_remains_of_a_killed_process_are_swept(tmp_path):
    gone = max(psutil.pids()) + 100_000
    (tmp_path / f".smoke.{gone}.abcd1234").mkdir()
    alive = tmp_path / f".smoke.{psutil.Process().pid}.abcd1234"
    alive.mkdir()
    with safety.replacing(tmp_path / "smoke"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([alive.name, "smoke"])


# --- interruption -----------------------------------------------------------------------------


def _kernels(process):
    """Child processes of a run that are Jupyter kernels."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            if "ipykernel_launcher" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


def _wait_for(condition, process):
    """Wait as long as the process lives: a busy machine is no failure."""
    while process.poll() is None:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(process.communicate())


def _busy(book):
    """Whether the run has reached the cell that sleeps."""
    logs = list((book.root / "results").rglob("run.log"))
    return logs and "Executing Cell 5" in logs[0].read_text("utf-8")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_leaves_nothing_and_the_next_goes_on(book, number):
    process = book.start("run", "demo", "--profile", "smoke", "-p", "wait", "60")
    try:
        _wait_for(lambda: _busy(book), process)
        kernels = _wait_for(lambda: _kernels(process), process)
        process.send_signal(number)
        _, errors = process.communicate()
    finally:
        process.kill()
    assert process.returncode == 128 + number
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert not any(kernel.is_running() for kernel in kernels)
    assert book.results() == ["demo"]
    book.cli("run", "demo", "--profile", "smoke")
    assert "demo/smoke/manifest.json" in book.results()


def test_interrupted_repetition_keeps_the_earlier_result(book):
    arguments = ("run", "demo", "--profile", "smoke")
    book.cli(*arguments)
    before = book.results()
    book.edit_yaml("data/demo/smoke.yaml", wait=60.0)
    process = book.start(*arguments)
    try:
        log = book.root / "results" / "demo"
        _wait_for(
            lambda: [p for p in log.glob(".smoke.*/run.log") if "Cell 5" in p.read_text()], process
        )
        process.terminate()
        process.communicate()
    finally:
        process.kill()
    assert process.returncode == 143
    assert book.results() == before
