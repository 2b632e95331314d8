"""All or nothing: folders that are replaced, kills and interruptions."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from press.run import plans, safety


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


def test_a_swap_that_fails_puts_the_old_folder_back(tmp_path, monkeypatch):
    target = tmp_path / "folder"
    with safety.replacing(target) as fresh:
        (fresh / "a").write_text("1", "utf-8")
    rename = Path.rename

    def broken(self, other):
        if other == target and not self.name.endswith(".old"):
            raise OSError("no space left")
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", broken)
    with pytest.raises(OSError, match="no space"), safety.replacing(target):
        pass
    assert (target / "a").read_text("utf-8") == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


# Replaces a folder and is killed outright: in the block, or between the two renames.
KILLED = """
import os, signal, sys
from pathlib import Path
from press.run import safety
target, where = Path(sys.argv[1]), sys.argv[2]
rename = Path.rename
def kill(self, other):
    if where == "renames" and other == target:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, other)
Path.rename = kill
with safety.replacing(target) as fresh:
    (fresh / "a").write_text("2")
    if where == "block":
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("where", ["block", "renames"])
@pytest.mark.parametrize("next_step", ["recover", "replace"])
def test_a_kill_at_any_place_loses_nothing(tmp_path, where, next_step):
    target = tmp_path / "folder"
    with safety.replacing(target) as fresh:
        (fresh / "a").write_text("1", "utf-8")
    killed = subprocess.run([sys.executable, "-c", KILLED, target, where], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) > 1
    if next_step == "recover":
        safety.recover(target)
    else:
        with pytest.raises(RuntimeError), safety.replacing(target):
            raise RuntimeError
    assert (target / "a").read_text("utf-8") == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_request_finds_the_result_that_a_kill_left_aside(book):
    folder = book.finish()
    subprocess.run([sys.executable, "-c", KILLED, folder, "renames"], check=False)
    assert not folder.exists()
    assert plans.plan("demo", "smoke").finished


# Holds a folder until its input ends.
HOLD = """
import sys
from pathlib import Path
from press.run import safety
with safety.replacing(Path(sys.argv[1])):
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_the_folder_of_a_living_process_is_left_alone_whatever_its_number(tmp_path):
    # Its number says nothing: in another container it may be anybody's, or nobody's.
    target = tmp_path / "folder"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, target], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout.readline() == b"ready\n"
        held = {path.name for path in tmp_path.iterdir()}
        assert len(held) == 2
        safety.recover(target)
        with safety.replacing(target):
            pass
        assert {path.name for path in tmp_path.iterdir()} == {*held, "folder"}
    finally:
        holder.communicate()
    assert holder.returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


SWAP = """
import sys
from pathlib import Path
from press.run import safety
for i in range(100):
    with safety.replacing(Path(sys.argv[1])) as fresh:
        (fresh / "a").write_text(sys.argv[2])
"""


def test_two_that_replace_one_folder_both_succeed(tmp_path):
    command = [sys.executable, "-c", SWAP, tmp_path / "folder"]
    both = [subprocess.Popen([*command, name]) for name in "xy"]
    assert [process.wait() for process in both] == [0, 0]
    assert (tmp_path / "folder" / "a").read_text("utf-8") in ("x", "y")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


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
    process = book.start("run", "demo", "--profile", "smoke", "-p", "wait", "100")
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
    book.edit_yaml("data/demo/smoke.yaml", wait=100.0)
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


def test_interrupted_chapters_side_by_side_leave_no_log_of_a_failure(book):
    book.add_chapter("more")
    for slug in ("demo", "more"):
        book.edit_yaml(f"data/{slug}/smoke.yaml", wait=100.0)
    process = book.start("reproduce", "--profile", "smoke", "--no-book", "--jobs", "2")
    try:
        home = book.root / "results"
        _wait_for(
            lambda: sum("Cell 5" in p.read_text() for p in home.glob("*/.smoke.*/run.log")) == 2,
            process,
        )
        process.terminate()
        _, errors = process.communicate()
    finally:
        process.kill()
    assert process.returncode == 143, errors
    assert book.results() == ["demo", "more"]


SLOW = """
import time
from pathlib import Path

def setup(app):
    Path(__file__).with_name("started").touch()
    time.sleep(60)
    Path(__file__).with_name("survived").touch()
"""


def test_a_kill_while_the_book_is_rendered_leaves_no_process(book, monkeypatch):
    book.prose()
    book.finish("laptop")
    (book.root / "own").mkdir()
    (book.root / "own" / "slow.py").write_text(SLOW, "utf-8")
    monkeypatch.syspath_prepend(book.root / "own")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    config = {"title": "Small", "execute": {"execute_notebooks": "off"}}
    book.write_yaml("_config.yml", {**config, "sphinx": {"extra_extensions": ["slow"]}})
    process = book.start("reproduce")
    try:
        _wait_for((book.root / "own" / "started").is_file, process)
        children = psutil.Process(process.pid).children(recursive=True)
    finally:
        process.kill()
    process.communicate()
    assert children
    while any(c.is_running() and c.status() != psutil.STATUS_ZOMBIE for c in children):
        time.sleep(0.1)
    assert not (book.root / "own" / "survived").exists()
