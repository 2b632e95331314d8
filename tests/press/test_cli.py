"""The command line: what it prints, what it refuses, how it ends."""

import json
import shlex
import subprocess

import pytest
from click.testing import CliRunner

from press import cli, documents
from press.judge import manifests
from press.run import reproduce

CONFIG = {
    "title": "Small book",
    "author": "Nobody",
    "only_build_toc_files": True,
    "execute": {"execute_notebooks": "off"},
}


@pytest.fixture
def call(book):
    """Call the command line in this process; for requests that start no kernel."""

    def run(*arguments, status=0):
        done = CliRunner().invoke(cli.main, list(arguments))
        assert done.exit_code == status, done.output
        return done.output

    return run


# --- looking ----------------------------------------------------------------------------------


def test_runs_are_listed_compared_and_exported(book, call, tmp_path):
    book.finish("smoke", spread=0.05)
    laptop = book.finish("laptop")
    manifest = documents.read_json(laptop / "manifest.json")
    documents.write_json(book.root / "data/demo/runs/laptop.json", manifest)
    (text,) = [entry for entry in json.loads(call("runs", "--format", "json"))
               if entry["run"] == "demo/smoke"]  # fmt: skip
    assert text["set"] == "profile smoke; n_draws 5"
    assert "ours 1: 1 partly" in text["verdicts"]
    assert "demo/smoke\n    date" in call("runs", "demo")
    shown = call("compare", "demo/smoke")
    assert "verdicts: 1 of 2 differ\n    demo-02" in shown
    assert "the recorded run at laptop" in shown
    assert "seed" not in shown
    assert "seed" in call("compare", "demo/smoke", "demo/laptop", "--all")
    lines = call("compare", "demo/smoke", "--format", "csv").splitlines()
    assert lines[0] == "kind,name,a,b,differs"
    assert "verdict,demo-02,partly,reproduced,True" in lines
    assert "did you mean 'demo/smoke'" in call("compare", "demo/smok", status=2)
    out = str(tmp_path / "out")
    assert "wrote 1 files" in call("export", "demo/smoke", "--to", out, "--tables")
    assert "is there; name a new folder" in call("export", "demo/smoke", "--to", out, status=2)
    call("export", "demo/smoke", "--to", out, "--force")
    (tmp_path / "out" / "thesis.txt").write_text("dear", "utf-8")
    message = call("export", "demo/smoke", "--to", out, "--force", status=2)
    assert "holds more than an earlier export" in message
    assert (tmp_path / "out" / "thesis.txt").is_file()


def test_a_run_of_another_time_is_listed(book, call):
    book.finish("smoke")
    profile = book.root / "data/demo/laptop.yaml"
    profile.write_text(profile.read_text("utf-8").replace("n_draws", "n_samples"), "utf-8")
    assert "ours 1: 1 " in call("runs"), "the chapter has another parameter since"


def test_a_reader_who_has_seen_enough_is_no_error(book):
    for number in range(40):
        book.add_chapter(f"more{number}")
    piped = f"{shlex.join(book.command('claims'))} | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", piped],
        env=book.environment(PYTHONUNBUFFERED="1"), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("demo ")


def test_results_may_lie_elsewhere(book, call, tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFBOOK_RESULTS", str(tmp_path / "elsewhere"))
    assert "-> elsewhere/demo/smoke" in call("run", "demo", "-P", "smoke", "--dry-run")


def test_list_shows_chapters_profiles_and_times(book, call):
    assert "not recorded" in call("list")
    manifest = manifests.build(
        "demo", "laptop", {}, [], device="cpu", wall_s=61.4, artefacts={}, found={}
    )
    documents.write_json(book.root / "data" / "demo" / "runs" / "laptop.json", manifest)
    text = call("list", "demo")
    assert "demo" in text
    assert "laptop     61 s on" in text
    assert "n_draws = 10: int in [2, 1000]" in text


def test_claims_without_and_with_a_record(book, call):
    assert "no recorded run" in call("claims")
    manifest = manifests.build(
        "demo",
        "laptop",
        {},
        [],
        device="cpu",
        wall_s=1,
        artefacts={},
        found={},
    )
    manifest["metrics"] = [
        {"name": "forms", "value": 1e-15, "ci": None, "n": None, "unit": None, "note": None}
    ]
    documents.write_json(book.root / "data" / "demo" / "runs" / "laptop.json", manifest)
    text = call("claims", "demo", "--check")
    assert "the paper's 1: 1 reproduced; ours 1: 1 not tried" in text
    assert "demo-01  reproduced" in text
    assert "are valid" in text

    book.finish("laptop", forms=1.0)
    text = call("claims", "--check", status=1)
    assert "demo demo-01: was reproduced, is not reproduced" in text


def test_claims_check_refuses_a_broken_file(book, call):
    book.edit_yaml("data/demo/claims.yaml", colour="red")
    assert "'colour' was unexpected" in call("claims", "--check", status=2)


def test_dry_run_tells_what_would_run_and_computes_nothing(book, call):
    text = call("run", "demo", "--profile", "smoke", "-p", "seed", "7", "--dry-run")
    assert "seed = 7  (set here)" in text
    assert "n_draws = 5" in text
    assert "would run" in text
    assert not (book.root / "results").exists()


# --- refusing ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "dem"), "chapter: got 'dem'; did you mean 'demo'"),
        (("run", "demo", "-P", "smok"), "profile: got 'smok'; did you mean 'smoke'"),
        (("run", "demo", "-p", "sead", "1"), "parameter: got 'sead'; did you mean 'seed'"),
        (("run", "demo", "-p", "seed", "x"), "seed: got 'x', expected int in [0, 2147483647]"),
        (("run", "demo", "-p", "seed", "-1"), "seed: got -1, expected int in [0, 2147483647]"),
        (("run", "demo", "-p", "n_draws", "1001"), "expected int in [2, 1000]"),
        (("run", "demo", "-p", "profile", "smoke"), "choose it with --profile"),
        (("run", "demo", "-p", "seed", "1", "-p", "seed", "2"), "parameter seed: given twice"),
        (("run", "demo", "-p", "seed", "1", "--record"), "overrides cannot be recorded"),
        (("run", "scoreboard"), "chapter: got 'scoreboard'; did you mean 'demo'"),
        (("list", "02"), "chapter: got '02'; did you mean 'demo'"),
        (("claims", "1_demo"), "chapter: got '1_demo'; did you mean 'demo'"),
        (("record", "demo", "-P", "gpu"), "profile: got 'gpu'; did you mean"),
        (("reproduce", "-P", "lap"), "profile: got 'lap'; did you mean 'laptop'"),
        (("run", "demo", "-P", ""), "profile: got ''; did you mean"),
        (("runn", "demo"), "run"),
        (("run", "demo", "--proffile", "smoke"), "--profile"),
    ],
)
def test_bad_requests_end_with_status_2_before_any_compute(book, call, arguments, message):
    assert message in call(*arguments, status=2)
    assert not (book.root / "results").exists()


def test_missing_root_is_explained(book, call, monkeypatch):
    monkeypatch.setenv("DIFFBOOK_ROOT", str(book.root / "data"))
    assert "DIFFBOOK_ROOT" in call("list", status=2)


def test_a_relative_root_means_the_same_for_command_and_kernel(book):
    done = subprocess.run(
        book.command("run", "demo", "--profile", "smoke"),
        env=book.environment(DIFFBOOK_ROOT="."),
        cwd=book.root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "demo/smoke/manifest.json" in book.results()


@pytest.mark.parametrize(
    "text", ["parts: 3", "parts: [1]", "a: [", "- a", "parts: [{caption: A, chapters: [{}]}]"]
)
def test_contents_that_are_none_are_named(book, call, text):
    (book.root / "_toc.yml").write_text(text, "utf-8")
    assert "_toc.yml: no table of contents" in call("list", status=2)


def test_a_notebook_that_is_none_is_named(book, call):
    (book.root / "notebooks" / "core" / "demo.ipynb").write_text("[]", "utf-8")
    assert "notebooks/core/demo.ipynb: no notebook of format 4" in call("run", "demo", status=2)


# --- broken surroundings -----------------------------------------------------------------------


def test_a_results_folder_that_cannot_be_written_is_explained(book):
    (book.root / "results").write_text("a file where a folder belongs")
    done = book.cli("run", "demo", status=1)
    assert "error: " in done.stderr
    assert "results" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["data/demo/claims.yaml", "data/demo/laptop.yaml"])
def test_a_file_that_is_no_yaml_is_named(book, call, name):
    (book.root / name).write_text("a: [", "utf-8")
    text = call(*(("claims",) if "claims" in name else ("run", "demo", "--dry-run")), status=2)
    assert f"{name}: not YAML" in text


def test_a_damaged_local_run_does_not_hide_the_list(book, call):
    (book.root / "results" / "demo" / "laptop").mkdir(parents=True)
    (book.root / "results" / "demo" / "laptop" / "manifest.json").write_text("{")
    assert "laptop     not recorded" in call("list")


# --- running ----------------------------------------------------------------------------------


def test_record_puts_chapter_manifest_and_pages_under_version_control(book):
    book.prose()
    done = book.cli("run", "demo", "--profile", "laptop", "--record")
    for name in ("data/demo/runs/laptop.json", "notebooks/core/demo.ipynb", "book/scoreboard.md"):
        assert f"recorded {name}" in done.stdout
    board = (book.root / "book" / "scoreboard.md").read_text("utf-8")
    assert "../notebooks/core/demo.html#claim-demo-01" in board
    readme = (book.root / "README.md").read_text("utf-8")
    assert "| 1 | [A demonstration](notebooks/core/demo.ipynb) |" in readme
    assert "the paper's 1: 1 reproduced; ours 1: 1 reproduced" in readme
    assert readme.startswith("# Before")
    assert readme.endswith("After\n")
    # The pages show what was just recorded, so there is nothing to do.
    assert book.cli("pages").stdout == ""


def test_reproduce_says_the_claims_as_its_runs_judge_them(book, call, monkeypatch):
    document = book.root / "data/demo/claims.yaml"
    text = document.read_text("utf-8")
    document.write_text(text.replace("mean of the draws", "mean of {n_draws} draws"), "utf-8")
    outcome = reproduce.Outcome({"demo": dict.fromkeys(("demo-01", "demo-02"), "partly")})
    monkeypatch.setattr(reproduce, "reproduce", lambda *_, **__: outcome)
    assert "demo-02  partly          The mean of 5 draws" in call("reproduce", "-P", "smoke")
    assert "The mean of 10 draws" in call("reproduce")


def test_failing_chapter_stops_reproduce_and_keeps_the_finished_one(book):
    book.add_chapter("more")
    book.edit_yaml("data/more/laptop.yaml", broken=True)
    done = book.cli("reproduce", "--no-book", status=1)
    assert "/2] demo (laptop): done" in done.stdout
    assert "more: cell 4 (In [3]) failed: RuntimeError: the planted fault" in done.stderr
    assert "results/more/laptop.failed.log" in done.stderr
    assert "Traceback" not in done.stderr
    assert "demo/laptop/manifest.json" in book.results()
    assert "more/laptop" not in book.results()

    book.edit_yaml("data/more/laptop.yaml", broken=False)
    done = book.cli("reproduce", "--no-book")
    assert "demo (laptop): finished earlier" in done.stdout
    assert "more (laptop): done" in done.stdout
    assert "more/laptop.failed.log" not in book.results()


def test_bad_profile_stops_reproduce_before_any_compute(book):
    book.add_chapter("more")
    book.edit_yaml("data/more/laptop.yaml", n_drows=3)
    done = book.cli("reproduce", "--no-book", status=2)
    assert "did you mean 'n_draws'" in done.stderr
    assert not (book.root / "results").exists()


def test_worse_verdict_is_listed_and_fails(book):
    book.cli("run", "demo", "--record")
    path = book.root / "data" / "demo" / "runs" / "laptop.json"
    before = path.read_bytes()
    book.edit_yaml("data/demo/laptop.yaml", n_draws=2)
    done = book.cli("reproduce", "--no-book", status=1)
    assert "demo demo-02: was reproduced, is partly" in done.stderr
    assert path.read_bytes() == before


@pytest.mark.slow
def test_reproduce_renders_a_staged_copy_and_repeats_for_free(book):
    book.prose()
    book.write_yaml("_config.yml", CONFIG)
    committed = book.root / "notebooks" / "core" / "demo.ipynb"
    before = committed.read_bytes()
    done = book.cli("reproduce")
    page = book.root / "results" / "site" / "_build" / "html" / "book" / "index.html"
    assert "claims of demo:" in done.stdout
    html = page.parents[1]
    assert f"start page: {html / 'index.html'}" in done.stdout
    chapter = (html / "notebooks" / "core" / "demo.html").read_text("utf-8")
    assert chapter.count('id="claim-demo-01"') == 1
    assert "ours 1: 1 reproduced" in chapter
    board = (html / "book" / "scoreboard.html").read_text("utf-8")
    assert 'href="../notebooks/core/demo.html#claim-demo-01"' in board
    # The fresh run is on the rendered page; what is under version control is as it was.
    assert "ours 1: 1 reproduced" in board
    assert committed.read_bytes() == before
    assert not (book.root / "data" / "demo" / "runs").exists()

    made = page.stat().st_mtime_ns
    assert "finished earlier" in book.cli("reproduce").stdout
    assert page.stat().st_mtime_ns == made
    assert sorted(p.name for p in (book.root / "results").iterdir()) == ["demo", "site", "site.log"]

    whole = page.read_bytes()
    page.write_bytes(whole[:100])
    book.cli("reproduce")
    assert page.read_bytes() == whole

    (book.root / "book" / "index.md").write_text("# Small book\n\n[gone](nowhere.md)\n", "utf-8")
    done = book.cli("reproduce", status=1)
    assert "does not render cleanly" in done.stderr
    assert "nowhere" in done.stderr
    assert page.is_file()
