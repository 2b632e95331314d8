"""The benchmarks run and write what they print; their numbers are not judged here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_quick_benchmarks_run(tmp_path):
    out = tmp_path / "benchmarks.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--out", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    # 1 means that a target was missed, which a busy machine may do.
    assert done.returncode in (0, 1), done.stderr
    document = json.loads(out.read_text("utf-8"))
    assert document["quick"] and len(document["tables"]) >= 4
    for table in document["tables"]:
        assert table["rows"]
