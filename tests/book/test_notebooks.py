"""The committed notebooks: guard, provenance, and runs of every chapter by papermill, small and smallest."""

import ast
import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import ends
import nbformat
import pytest
from click.testing import CliRunner

from press import cli, ledger, paths
from press.judge import claims, manifests, rule
from press.run import guard, parameters, plans

ROOT = Path(__file__).resolve().parents[2]
PATHS = {path.stem: path for path in sorted((ROOT / "notebooks").glob("*/*.ipynb"))}
CHAPTERS = list(PATHS)


@pytest.fixture
def here(monkeypatch):
    """This checkout, whatever the variables say."""
    monkeypatch.setenv(paths.ROOT_VARIABLE, str(ROOT))


def load(name):
    return nbformat.read(PATHS[name], as_version=4)


# --- the committed notebooks ------------------------------------------------------------------


def test_there_is_a_chapter():
    assert CHAPTERS


def test_every_notebook_is_a_chapter(here):
    assert sorted(paths.chapters()) == sorted(CHAPTERS)


@pytest.mark.parametrize("name", CHAPTERS)
def test_notebook_keeps_the_rules(here, name):
    assert guard.chapter_faults(load(name), claims.load(name)) == []
    assert PATHS[name].stat().st_size < guard.MAX_BYTES
    nbformat.validate(load(name))


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_parameter_has_a_range_and_every_profile_is_valid(here, chapter):
    for parameter in parameters.parameters(chapter).values():
        bounded = parameter.low is not None or parameter.choices or parameter.default is False
        bounded = bounded or parameter.help.startswith('"')  # free text: its form in quotes
        bounded = bounded or parameter.name == "profile"  # any name, also a person's own
        assert bounded, f"{parameter.name}: its comment must begin with [low, high] or {{a, b}}"
        assert parameter.help, f"{parameter.name}: its comment must say what it is"
    names = parameters.profiles(chapter)
    assert {"smoke", "laptop", "gpu"} <= set(names)
    for profile in names:
        plans.plan(chapter, profile)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_claim_is_left_untried_without_a_reason(here, chapter):
    found = ledger.collect_metrics(load(chapter))
    verdicts = rule.verdicts(claims.load(chapter), {metric.name: metric for metric in found})
    silent = [
        claim["id"]
        for claim in claims.load(chapter)["claims"]
        if verdicts[claim["id"]] != rule.REPRODUCED and not claim.get("reason")
    ]
    assert silent == []


# --- the guard catches planted faults ---------------------------------------------------------

DOCUMENT = {"claims": [{"id": "demo-01", "anchor": "sec-there"}]}
KERNEL = {"name": "python3", "display_name": "Python 3"}


def good_notebook():
    """A small notebook without a fault."""
    new = nbformat.v4
    figure = {"figure": {"caption": "A line.", "name": "fig-line"}, "image": {"alt": "A line."}}
    cells = [
        new.new_markdown_cell("(sec-there)=\n# Title"),
        new.new_code_cell("seed = 0", metadata={"tags": ["parameters"]}),
        new.new_code_cell("def f(x):\n    return x", metadata={"mystnb": figure}),
        new.new_code_cell("ledger.check('demo-01')", metadata={"tags": ["remove-input"]}),
    ]
    for count, cell in enumerate(cells[1:], 1):
        cell.execution_count = count
    cells[2].outputs = [new.new_output("display_data", data={"image/png": "aGVsbG8="})]
    cells[3].outputs = [
        new.new_output("stream", text="ratio 3/work and https://a.b/home/x 1/2\n"),
        new.new_output(
            "execute_result",
            data={"text/html": '<div id="claim-demo-01">', "text/plain": "x"},
            execution_count=3,
        ),
    ]
    return new.new_notebook(cells=cells, metadata={"kernelspec": KERNEL})


def plant(change):
    notebook = copy.deepcopy(good_notebook())
    change(notebook)
    return guard.chapter_faults(notebook, DOCUMENT)


def test_a_good_notebook_has_no_fault():
    assert plant(lambda nb: None) == []


def _stream(text, name="stdout"):
    return nbformat.v4.new_output("stream", text=text, name=name)


def _error():
    return nbformat.v4.new_output("error", ename="ValueError", evalue="x", traceback=[])


def _long_function():
    return "def g(x):\n" + "    x += 1\n" * 10


def _figure(nb):
    return nb.cells[2].metadata["mystnb"]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda nb: nb.cells[1].update(execution_count=None), "cell 2: execution count None"),
        (lambda nb: nb.cells[3].update(execution_count=7), "cell 4: execution count 7, expected 3"),
        (lambda nb: nb.metadata.kernelspec.update(name="mine"), "kernel 'mine'"),
        (lambda nb: nb.metadata.pop("kernelspec"), "kernel None"),
        (lambda nb: nb.cells[1].metadata.update(tags=[]), "0 parameters cells"),
        (lambda nb: nb.cells[3].metadata.update(tags=["parameters"]), "2 parameters cells"),
        (lambda nb: nb.cells[3].metadata.clear(), "cell 4: only ledger calls, without the tag"),
        (
            lambda nb: nb.cells[2].update(
                source='ledger.record(\n    "a",\n    max(x),\n)  # why\nledger.glance()'
            ),
            "cell 3: only ledger calls, without the tag",
        ),
        (lambda nb: nb.cells[3].metadata.update(tags=["injected-parameters"]), "cell 4: injected"),
        (lambda nb: nb.metadata.update(papermill={}), "notebook: papermill metadata"),
        (lambda nb: nb.cells[0].metadata.update(papermill={}), "cell 1: metadata 'papermill'"),
        (lambda nb: nb.cells[3].outputs.append(_error()), "cell 4: error ValueError"),
        (lambda nb: nb.cells[3].outputs.append(_stream("w", "stderr")), "cell 4: output on stderr"),
        (lambda nb: nb.cells[3].outputs.append(_stream("in /home/me/x")), "path /home/me"),
        (lambda nb: nb.cells[3].outputs.append(_stream("'/tmp/a.png'")), "path /tmp/a.png"),
        (lambda nb: nb.cells[3].outputs.append(_stream(r"C:\Users\me")), "absolute path C:"),
        (lambda nb: _figure(nb)["figure"].pop("caption"), "without mystnb figure.caption"),
        (lambda nb: _figure(nb)["figure"].update(name=" "), "without mystnb figure.name"),
        (lambda nb: _figure(nb)["image"].clear(), "without mystnb image.alt"),
        (lambda nb: nb.cells[2].metadata.clear(), "without mystnb image.alt"),
        (
            lambda nb: nb.cells.append(nbformat.from_dict({**nb.cells[2], "execution_count": 4})),
            "figure name 'fig-line' is used by cell 3",
        ),
        (lambda nb: nb.cells[2].outputs[0]["data"].update({"image/svg+xml": "<svg/>"}), "SVG"),
        (lambda nb: nb.cells[2].update(source=_long_function()), "function g has 11 lines"),
        (lambda nb: nb.cells[2].update(source="x = 1\n" * 16), "cell 3: 16 lines of code"),
        (lambda nb: nb.cells[3].outputs.append(_stream("x" * 3_000_000)), "must be below 3000000"),
        (lambda nb: nb.cells[3].outputs.pop(), "claim demo-01 is checked 0 times"),
        (
            lambda nb: nb.cells[3].outputs.append(copy.deepcopy(nb.cells[3].outputs[1])),
            "claim demo-01 is checked 2 times",
        ),
        (lambda nb: nb.cells[0].update(source="# Title"), "claim demo-01: no label 'sec-there'"),
    ],
)
def test_guard_catches(change, fault):
    faults = plant(change)
    assert any(fault in found for found in faults), faults


@pytest.mark.parametrize(
    "source",
    ["", "# ledger.check", "x = 1\nledger.record('a', x)", "for x in y:\n    ledger.record(x, 1)"],
)
def test_code_that_computes_is_no_bookkeeping(source):
    assert plant(lambda nb: nb.cells[2].update(source=source)) == []


def test_guard_measures_the_file_as_it_is_written(tmp_path):
    notebook = good_notebook()
    notebook.cells[3].outputs.append(_stream("a\n" * 300_000))  # a line is a string of its own
    nbformat.write(notebook, tmp_path / "a.ipynb")
    size = (tmp_path / "a.ipynb").stat().st_size
    assert guard.size(notebook) == [f"notebook: {size} bytes, must be below {guard.MAX_BYTES}"]


# --- smoke ------------------------------------------------------------------------------------


def papermill(notebook, output, *arguments, cwd):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("DIFFBOOK_R")}
    command = [sys.executable, "-m", "papermill", str(notebook), str(output), "--no-progress-bar"]
    command += ["--start-timeout", "600"]
    done = subprocess.run(
        [*command, *arguments],
        cwd=cwd,
        env={**clean, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "unknown parameter" not in done.stderr
    return nbformat.read(output, as_version=4)


def judged(chapter, notebook, values):
    """Verdicts of a run with these values, for claims that such a run is large enough for."""
    document = claims.load(chapter, values)
    found = rule.verdicts(document, {m.name: m for m in ledger.collect_metrics(notebook)})
    return {c["id"]: found[c["id"]] for c in document["claims"] if not c.get("untried")}


def check_run(notebook, chapter):
    assert guard.no_errors(notebook) == []
    text = json.dumps([cell.get("outputs", []) for cell in notebook.cells])
    ids = [claim["id"] for claim in claims.load(chapter)["claims"]]
    assert [name for name in ids if f"claim-{name}" not in text] == []


def flags(values):
    """Values as papermill takes them on its command line; a list goes in as YAML."""
    found = []
    for name, value in values.items():
        found += ["-y", f"{name}: {value}"] if isinstance(value, list) else ["-p", name, str(value)]
    return found


@pytest.mark.smoke
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_smallest_run_works_by_papermill_alone_and_refutes_nothing_that_stands(
    here, chapter, tmp_path
):
    """The profile `smoke` with the lowest value of every parameter, and another seed, from elsewhere."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    lowest = {**ends.LOW[chapter], "seed": 7}
    profile = ("-f", str(ROOT / "data" / chapter / "smoke.yaml"), *flags(lowest))
    notebook = papermill(PATHS[chapter], tmp_path / "a.ipynb", *profile, cwd=elsewhere)
    check_run(notebook, chapter)
    assert list(elsewhere.iterdir()) == []
    values = {**parameters.load_profile(chapter, "smoke"), **lowest}
    recorded = rule.verdicts(*manifests.judged(chapter, manifests.recorded(chapter, "laptop")))
    lost = rule.worse(recorded, judged(chapter, notebook, values))
    # Another seed may move a claim by one verdict; what a small run cannot judge it must not judge.
    assert not {k: v for k, v in lost.items() if v[1] == rule.NOT_REPRODUCED}


def test_the_lowest_values_are_the_ends_of_the_ranges(here):
    for chapter in CHAPTERS:
        known = parameters.parameters(chapter).values()
        low = {p.name: [p.low] if isinstance(p.default, list) else p.low for p in known}
        assert ends.LOW[chapter] == {k: v for k, v in low.items() if v not in (None, [None])}
        high = [
            (name, value[-1] if isinstance(value, list) else value)
            for values in ends.HIGH[chapter]
            for name, value in values.items()
        ]
        assert sorted(high) == sorted((p.name, p.high) for p in known if p.high is not None)


BEYOND = [
    (chapter, values)
    for runs in (ends.HIGH, ends.MIXED)
    for chapter in CHAPTERS
    for values in runs.get(chapter, ())
]


@pytest.mark.skipif(
    not os.environ.get("DIFFBOOK_ENDS"), reason="takes hours: set DIFFBOOK_ENDS=1 to run them"
)
@pytest.mark.parametrize(("chapter", "values"), BEYOND)
def test_highest_values_and_mixed_ones_work_to_the_end(here, chapter, values, tmp_path):
    profile = ("-f", f"data/{chapter}/smoke.yaml")
    path = PATHS[chapter].relative_to(ROOT)
    notebook = papermill(path, tmp_path / "a.ipynb", *profile, *flags(values), cwd=ROOT)
    check_run(notebook, chapter)


@pytest.mark.parametrize(
    ("chapter", "values", "words"),
    [
        ("spectral", {"data": "real"}, "python -m diffbook.datasets.fetch fsdd"),
        ("posterior_appendix", {"data": "real"}, "python -m diffbook.datasets.fetch cifar10"),
        ("posterior_appendix", {"pretrained": "model.py:make"}, "returned int, expected a mapping"),
    ],
)
def test_missing_data_and_wrong_models_are_named_in_the_first_cells(
    here, chapter, values, words, tmp_path, monkeypatch
):
    monkeypatch.delenv("DIFFBOOK_DATA", raising=False)
    monkeypatch.setenv("DIFFBOOK_CACHE", str(tmp_path / "nothing"))
    (tmp_path / "model.py").write_text("def make():\n    return 1\n", "utf-8")
    command = [sys.executable, "-m", "papermill", PATHS[chapter], tmp_path / "a.ipynb"]
    profile = ["-f", ROOT / "data" / chapter / "smoke.yaml", *flags(values)]
    done = subprocess.run(
        [*command, "--no-progress-bar", "--start-timeout", "600", *profile],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert words in done.stderr
    cells = nbformat.read(tmp_path / "a.ipynb", as_version=4).cells
    begun = [c for c in cells if c.cell_type == "code" and c.execution_count]
    assert len(begun) <= 5


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_parameter_is_read(chapter):
    code = "\n".join(
        cell.source
        for cell in load(chapter).cells
        if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", [])
    )
    read = {n.id for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Name)}
    assert set(parameters.parameters(chapter)) <= read


@pytest.mark.parametrize("chapter", CHAPTERS)
@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        (("sead", "7"), "did you mean 'seed'"),
        (("seed", "seven"), "seed: got 'seven', expected int"),
        (("seed", "-1"), "seed: got -1, expected int in [0, "),
    ],
)
def test_chapter_refuses_bad_parameters(here, chapter, parameter, message):
    done = CliRunner().invoke(cli.main, ["run", chapter, "-P", "smoke", "-p", *parameter])
    assert done.exit_code == 2
    assert message in done.output


@pytest.mark.parametrize("name", CHAPTERS)
def test_code_in_solutions_runs(here, name):
    text = "\n".join(cell.source for cell in load(name).cells if cell.cell_type == "markdown")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks or name != paths.chapter_of(name)
    for block in blocks:
        exec(compile(block, f"solution of {name}", "exec"), {})
