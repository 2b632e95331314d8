"""The code of the page runs as written, and its table is the recorded one."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "book" / "your_schedule.md").read_text("utf-8")
RECORDED = ROOT / "benchmarks" / "recorded_recipes.json"


def test_every_block_runs():
    pytest.importorskip("diffusers", reason="diffbook[diffusers] is not installed")
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    lines = [line for line in code.splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) <= 20
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"{code}\nassert x.isfinite().all()"],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "10 steps for a spectrum of" in done.stdout


def test_table_is_the_recorded_one():
    table = json.loads(RECORDED.read_text("utf-8"))["gaussian_w2"]
    for S, row in table.items():
        (line,) = re.findall(rf"^\| {S} \| .*$", PAGE, re.M)
        shown = [float(v) for v in re.findall(r"\d+\.\d\d", line)]
        names = (
            "DDIM leading", "DDIM trailing", "DDIM linspace", "Euler", "Euler, recipe", "DPM++ 2M",
            "DPM++ 2M Karras", "DPM++ 2M log-uniform", "DPM++ 2M, recipe",
        )  # fmt: skip
        assert shown == [round(row[name], 2) for name in names]


def test_table_of_networks_is_the_recorded_one():
    found = json.loads(RECORDED.read_text("utf-8"))
    for data in ("digits", "photos"):
        for solver, steps in found[data]["sliced_w2"].items():
            for S, rows in steps.items():
                start = re.escape(f"| {data}, {solver}, {S} | ")
                (line,) = re.findall(rf"^{start}.*$", PAGE, re.M)
                shown = [float(cell.split()[0]) for cell in line.split(" | ")[1:]]
                means = [sum(values) / len(values) for values in rows.values()]
                assert shown == pytest.approx(means, abs=6e-4)
