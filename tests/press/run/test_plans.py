"""Plans: what a request becomes, what a run depends on, and when it has finished."""

import json
import re

import nbformat
import pytest
from click.testing import CliRunner

from press import cli, documents, paths
from press.judge import manifests
from press.run import execution, plans

NOTEBOOK = "notebooks/core/demo.ipynb"


def test_plan_of_a_profile_and_of_an_override(book):
    plain = plans.plan("demo", "smoke")
    same = plans.plan("demo", "smoke", {"n_draws": "5"})
    other = plans.plan("demo", "smoke", {"n_draws": "6"})
    assert plain.folder == book.root / "results" / "demo" / "smoke"
    assert (same.folder, same.key) == (plain.folder, plain.key)
    assert other.folder.name == "smoke-n_draws6"
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


def test_the_folder_of_a_run_says_what_was_set(book):
    def name(**overrides):
        return plans.plan("demo", "smoke", overrides).folder.name

    assert name(n_draws=7, seed=3) == "smoke-n_draws7-seed3"
    assert name(scales=[1, 2, 9], broken=True) == "smoke-brokenTrue-scales1_2_9"
    assert re.fullmatch("smoke-[0-9a-f]{8}", name(scales=list(range(1, 10)), n_draws=7, wait=0.1234567890123, seed=123456))  # fmt: skip


# --- a profile of one's own ---------------------------------------------------------------------


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Write a profile in the working directory, elsewhere than the book."""
    monkeypatch.chdir(tmp_path)

    def write(text, name="mine.yaml"):
        (tmp_path / name).write_text(text, "utf-8")
        return name

    return write


def test_a_profile_of_ones_own_leaves_the_rest_as_in_laptop(book, own):
    plan = plans.plan("demo", own("n_draws: 7\n"), {"seed": "3"})
    laptop = plans.plan("demo", "laptop").parameters
    assert plan.parameters == {**laptop, "profile": "mine", "n_draws": 7, "seed": 3}
    assert plan.folder.name == "mine-seed3"
    assert plans.plan("demo", own("profile: other\n")).profile == "other"
    with pytest.raises(ValueError, match="of a profile of one's own cannot be recorded"):
        execution.record(plans.plan("demo", "mine.yaml"))


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("n_draws: 1\n", "mine.yaml", r"n_draws: got 1, expected int in \[2, 1000\]"),
        ("n_drew: 7\n", "mine.yaml", "mine.yaml: unknown parameter 'n_drew'; did you mean 'n_draws'"),
        ("profile: laptop\n", "mine.yaml", "got 'laptop', expected a name of its own"),
        ("n_draws: 7\n", "My own.yaml", "got 'My own', expected a name of its own in small letters"),
        ("- 7\n", "mine.yaml", "expected lines 'name: value'"),
    ],
)  # fmt: skip
def test_a_bad_profile_of_ones_own_is_refused(book, own, text, name, words):
    with pytest.raises(ValueError, match=words):
        plans.plan("demo", own(text, name))
    with pytest.raises(ValueError, match=r"got 'gone\.yaml', expected a file that is there"):
        plans.plan("demo", "gone.yaml")


def test_outputs_do_not_change_the_key(book):
    path = book.root / NOTEBOOK
    notebook = nbformat.read(path, as_version=4)
    before = documents.digest_notebook(notebook)
    notebook.cells[3].outputs = [nbformat.v4.new_output("stream", text="x")]
    notebook.cells[3].execution_count = 9
    notebook.cells[3].metadata = {"tags": [], "papermill": {"duration": 1}}
    injected = nbformat.v4.new_code_cell("seed = 3", metadata={"tags": ["injected-parameters"]})
    notebook.cells.insert(2, injected)
    assert documents.digest_notebook(notebook) == before


@pytest.mark.parametrize("name", ["tags", "mystnb"])
def test_what_the_page_shows_of_a_cell_changes_the_key(book, name):
    path = book.root / NOTEBOOK
    notebook = nbformat.read(path, as_version=4)
    before = plans.plan("demo", "smoke").inputs
    notebook.cells[3].metadata[name] = {"tags": ["remove-input"], "mystnb": {"a": "b"}}[name]
    nbformat.write(notebook, path)
    after = plans.plan("demo", "smoke").inputs
    assert {key for key in after if after[key] != before[key]} == {"notebook"}


# --- finished -------------------------------------------------------------------------------------


def edit_manifest(change):
    def edit(folder):
        path = folder / "manifest.json"
        document = json.loads(path.read_text("utf-8"))
        change(document)
        path.write_text(json.dumps(document), "utf-8")

    return edit


def edit_notebook(change):
    """Edit the notebook of a run, and its digest in the manifest so that only `change` is odd."""

    def edit(folder):
        path = folder / "notebook.ipynb"
        notebook = nbformat.read(path, as_version=4)
        change(notebook)
        nbformat.write(notebook, path)
        digest = documents.digest(path.read_bytes())
        edit_manifest(lambda m: m["artefacts"].update({path.name: digest}))(folder)

    return edit


def cut(name, keep):
    def edit(folder):
        path = folder / name
        path.write_bytes(path.read_bytes()[:keep])

    return edit


def shown(notebook):
    return notebook.cells[-1].outputs[0].metadata["diffbook"]


DAMAGE = {
    "notebook emptied": (cut("notebook.ipynb", 0), "notebook.ipynb: it is not the file"),
    "notebook cut": (cut("notebook.ipynb", 500), "notebook.ipynb: it is not the file"),
    "notebook gone": (lambda f: (f / "notebook.ipynb").unlink(), "notebook.ipynb: it is not there"),
    "manifest emptied": (cut("manifest.json", 0), "manifest.json: not JSON"),
    "a value": (
        edit_manifest(lambda m: m["metrics"][0].update(value=0.25)),
        "manifest.json: metrics: not as in notebook.ipynb",
    ),
    "all metrics": (edit_manifest(lambda m: m["metrics"].clear()), "manifest.json: metrics"),
    "the device": (edit_manifest(lambda m: m.update(device="NVIDIA H200")), "json: device: not as"),
    "the key": (edit_manifest(lambda m: m.update(key="0" * 64)), "manifest.json: key"),
    "a metric of the notebook": (
        edit_notebook(lambda n: shown(n)["metrics"][0].update(value=0.25)),
        "manifest.json: metrics: not as in notebook.ipynb",
    ),
    "a cell of the notebook": (
        edit_notebook(lambda n: n.cells[3].update(source="x = 1")),
        "notebook.ipynb: its cells are not those of the inputs",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_result_that_is_not_as_it_was_made_is_not_finished(book, name):
    folder = book.finish()
    plan = plans.plan("demo", "smoke")
    assert plan.finished
    damage, words = DAMAGE[name]
    damage(folder)
    assert plan.reason().startswith("damaged: results/demo/smoke/")
    assert words in plan.reason()
    assert not plan.finished
    with pytest.raises(ValueError, match=r"results/demo/smoke/"):
        execution.record(plan)
    assert not paths.run("demo", "smoke").exists()
    check = CliRunner().invoke(cli.main, ["claims", "--check"])
    assert check.exit_code == 1
    assert words in check.output


def test_a_damaged_result_is_named_and_made_again(book):
    folder = book.finish()
    cut("notebook.ipynb", 500)(folder)
    done = CliRunner().invoke(cli.main, ["reproduce", "-P", "smoke", "--no-book"])
    assert done.exit_code == 0, done.output
    assert "damaged: results/demo/smoke/notebook.ipynb: it is not the file" in done.output
    assert plans.plan("demo", "smoke").finished


def test_a_changed_input_is_named(book):
    book.finish()
    assert plans.plan("demo", "smoke").reason() == ""
    book.edit_yaml("data/demo/claims.yaml", summary="another")
    documents.write_json(paths.study("demo", "long"), {"a": 1})
    reason = plans.plan("demo", "smoke").reason()
    assert reason == "changed since the last run: claims, studies"
    assert plans.plan("demo", "laptop").reason() == "no finished run there"


def test_an_input_that_is_new_to_the_press_counts_as_changed(book):
    folder = book.finish()
    plan = plans.plan("demo", "smoke")

    def older(manifest):
        del manifest["inputs"]["data"]
        manifest["key"] = manifests.key(manifest["inputs"])

    edit_manifest(older)(folder)
    assert plan.reason() == "changed since the last run: data"


# --- code that a parameter names ----------------------------------------------------------------


@pytest.fixture
def model(book):
    """The demo with a parameter that names a function, and a file that has one."""
    line = '\nmodel = ""  # "path/to/file.py:function" that returns a model'
    source = nbformat.read(book.root / NOTEBOOK, as_version=4).cells[1].source
    book.edit_cell("demo", 1, source + line)
    for profile in ("smoke", "laptop"):
        book.edit_yaml(f"data/demo/{profile}.yaml", model="")
    path = book.root / "own" / "model.py"
    path.parent.mkdir()
    path.write_text("raise SystemExit('this file must not run')", "utf-8")
    return path


def test_the_file_behind_a_parameter_is_an_input(book, model):
    request = {"model": f"{model}:make"}
    before = plans.plan("demo", "smoke", request)
    assert before.parameters["model"] == f"{model}:make"
    assert before.inputs["sources"] != plans.plan("demo", "smoke").inputs["sources"]
    model.write_text("x = 1", "utf-8")
    after = plans.plan("demo", "smoke", request)
    assert after.changed({"inputs": before.inputs}) == ["sources"]


def test_files_that_it_says_it_reads_are_inputs(book, model):
    model.write_text('FILES = ["w.bin"]\nraise SystemExit', "utf-8")
    request = {"model": f"{model}:make"}
    with pytest.raises(ValueError, match=r"model.py: FILES: there is no file w.bin"):
        plans.plan("demo", "smoke", request)
    weights = model.with_name("w.bin")
    weights.write_bytes(b"1")
    before = plans.plan("demo", "smoke", request)
    assert before.sources == [model, weights]
    weights.write_bytes(b"2")
    assert plans.plan("demo", "smoke", request).changed({"inputs": before.inputs}) == ["sources"]
    listed = manifests.files("demo", before.parameters, before.sources)
    assert listed["own/w.bin"] == documents.digest(b"2")
    for line in ("FILES = [make()]", "FILES = 'w.bin'", "FILES = [1]", "FILES = {[]: 1}"):
        model.write_text(line, "utf-8")
        with pytest.raises(ValueError, match="FILES: expected a list of file names"):
            plans.plan("demo", "smoke", request)
    model.write_text("def make(:", "utf-8")
    with pytest.raises(ValueError, match=r"model.py: no Python: invalid syntax"):
        plans.plan("demo", "smoke", request)


def test_its_path_starts_from_where_the_command_is_given(book, model, monkeypatch):
    monkeypatch.chdir(model.parent)
    plan = plans.plan("demo", "smoke", {"model": "model.py:make"})
    assert plan.parameters["model"] == f"{model}:make"


def test_in_a_profile_it_starts_from_the_notebook(book, model):
    book.edit_yaml("data/demo/smoke.yaml", model="../../own/model.py:make")
    plan = plans.plan("demo", "smoke")
    assert plan.parameters["model"] == "../../own/model.py:make"
    assert plan.inputs["sources"] != plans.plan("demo", "laptop").inputs["sources"]


@pytest.mark.parametrize("name", ["json.decoder:JSONDecoder", "json:loads", "xml.dom:getDOM"])
def test_a_function_of_an_installed_module_is_found_without_running_it(book, model, name):
    plan = plans.plan("demo", "smoke", {"model": name})
    assert plan.inputs["sources"] != plans.plan("demo", "smoke").inputs["sources"]


@pytest.mark.parametrize(
    "text",
    ["no colon; import os", "model.py", "gone.py:make", ":make", "model.py:", "model.py:a b",
     "no_such_module:make", "json.gone:make", "sys:exit", "..:make", "a b:make"],
)  # fmt: skip
def test_what_names_no_function_is_refused_before_any_compute(book, model, text):
    with pytest.raises(ValueError, match=r"parameter model: got .*path/to/file\.py:function"):
        plans.plan("demo", "smoke", {"model": text})
