"""The commands in README and in the pages on using the book run as written, in a fresh copy.

A command that would take long is run at a small size, by the rules below; one that needs a network,
a GPU or a second environment is checked as far as it goes without. A command without a rule fails.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffbook.datasets import photos

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", *(f"book/{p.name}" for p in sorted((ROOT / "book").glob("*.md")))]
PAGES.remove("book/scoreboard.md")
PAGES.remove("book/changelog.md")

AS_IT_IS = None
# What a command begins with, and what it becomes (a pattern and its replacement), in this order.
RULES: list[tuple[str, tuple[str, str] | None]] = [
    # Each of these targets is executed elsewhere (test suite, CI); here make must know it.
    (r"make ", (r"^make", "make --dry-run")),
    (r"\. \.venv/bin/activate", AS_IT_IS),
    # The environment is there, and what is installed stays as it is.
    (r"python3 -m venv \.venv", ("$", " --without-pip --help")),
    (r"\S+ -m pip install .*(requirements\.lock)", (" install", " install --dry-run --no-index")),
    (r"\S+ -m pip (install|download)", ("$", " --help")),  # test_wheel.py installs the library
    (r"python -m diffbook\.recipes\.", AS_IT_IS),
    (r"python -m press (list|claims|runs)", AS_IT_IS),
    (r"python -m press run .*--dry-run", AS_IT_IS),
    # The one chapter that is executed here, at the smallest size.
    (r"python -m press run spectral --profile laptop -p seed 7$", ("laptop", "smoke")),
    (r"python -m press (compare|export) spectral/laptop", ("laptop", "smoke")),
    (r"python -m press run", ("$", " --dry-run")),
    (r"\S*python -m press reproduce", ("$", " --help")),
    (r"printf ", AS_IT_IS),
    # test_notebooks.py executes every chapter by papermill alone, from here and from elsewhere.
    (r"papermill ", ("$", " --prepare-only --no-progress-bar")),
    # Needs a network.
    (r"python -m diffbook\.datasets\.fetch --list", AS_IT_IS),
    (r"python -m diffbook\.datasets\.fetch", (r"\.fetch.*", ".fetch --help")),
    (r"python -m diffbook\.nets\.training", ("$", " --steps 2")),
    # Hours; their tests are in tests/chapters.
    (r"python -m chapters\.\w+\.record", (r"\.record.*", ".record --help")),
    # A library that is not in the lock: the tests skip, and say so.
    (r"\.venv/bin/python -m pytest", ("$", " -q")),
    (r"jupytext ", AS_IT_IS),
]


def commands(page: str) -> list[str]:
    """Commands of a page's shell blocks, without comments; a script with a first line #! is left out."""
    text = (ROOT / page).read_text("utf-8")
    found = []
    for block in re.findall(r"^ *```bash\n(.*?)^ *```", text, re.S | re.M):
        if block.startswith("#!"):
            continue
        lines = block.replace("\\\n", " ").splitlines()
        bare = (re.sub(r"(^|\s+)#\s.*$", "", line).strip() for line in lines)
        found += [re.sub(r"\s+", " ", line) for line in bare if line]
    return found


def small(command: str) -> str:
    """The command as it is run here; LookupError if no rule says how."""
    for start, change in RULES:
        if re.match(start, command):
            return command if change is None else re.sub(*change, command, count=1)
    raise LookupError(f"no rule says how to run {command!r}: add one to RULES")


WITH_COMMANDS = [page for page in PAGES if commands(page)]


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A copy of what is or will be under version control, with the environment of these tests."""
    if not Path(sys.prefix, "bin", "activate").is_file():
        pytest.skip("the tests do not run in a virtual environment that could be activated")
    folder = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("no git checkout to copy")
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(sys.prefix)
    # What a reader has: images, and the file of a model.
    (folder / "my_images").mkdir()
    for number, patch in enumerate(photos.patches(8, size=16, rng=0)):
        grey = np.round(127.5 * (patch + 1)).astype(np.uint8)
        Image.fromarray(grey).save(folder / "my_images" / f"{number}.png")
    levels = {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}
    config = json.dumps({**levels, "num_train_timesteps": 1000})
    (folder / "scheduler_config.json").write_text(config, "utf-8")
    return folder


def run(script: str, folder: Path) -> subprocess.CompletedProcess:
    # The installed library is that of the checkout; the path puts the copy's before it.
    kept = {k: v for k, v in os.environ.items() if not k.startswith("DIFFBOOK_")}
    environment = {**kept, "PYTHONPATH": str(folder / "lib"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_pages_with_commands_are_looked_at():
    assert {"README.md", "book/how_to_rerun.md", "book/how_to_teach.md"} <= set(WITH_COMMANDS)


@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_commands_run_as_written(clone, page):
    wanted = list(dict.fromkeys(small(command) for command in commands(page)))
    # In the order of the page, each once; the one that fails is named.
    lines = [f"{command} || {{ echo FAILED: {shlex.quote(command)} >&2; exit 1; }}" for command in wanted]  # fmt: skip
    start = "" if any("activate" in command for command in wanted) else ". .venv/bin/activate\n"
    done = run(start + "\n".join(lines), clone)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}"


def test_scripts_are_valid_shell(clone):
    for page in PAGES:
        text = (ROOT / page).read_text("utf-8")
        for script in re.findall(r"^```bash\n(#!.*?)^```", text, re.S | re.M):
            done = run(f"bash -n <<'EOF'\n{script}EOF\n", clone)
            assert done.returncode == 0, done.stderr
