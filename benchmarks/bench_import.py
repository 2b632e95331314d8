"""What importing costs, each module in fresh interpreters."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.timing import Report, Table, Target, median

MODULES = (
    "diffbook",
    "diffbook.schedules.levels",
    "diffbook.priors.gaussian",
    "diffbook.samplers.transfer",
    "diffbook.schedules.design",
    "diffbook.samplers.unguided",
    "numpy",
    "scipy.optimize",
    "torch",
)
CODE = """
import sys
from time import perf_counter
start = perf_counter()
import {module}
print(perf_counter() - start, "torch" in sys.modules)
"""


def measure(module: str) -> tuple[float, bool]:
    """Seconds of one import in a fresh interpreter, and whether it loaded torch."""
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(module=module)],
        capture_output=True,
        text=True,
        check=True,
    )
    elapsed, torch = done.stdout.split()
    return float(elapsed), torch == "True"


def run(quick: bool = False) -> Report:
    """Best and median of several imports; the best is the cost without the others' load."""
    table = Table("Import", ["module", "best s", "median s", "loads torch"])
    for module in MODULES[:5] if quick else MODULES:
        runs = [measure(module) for _ in range(3 if quick else 7)]
        times = [elapsed for elapsed, _ in runs]
        table.add(module, min(times), median(times), "yes" if runs[0][1] else "no")
    loads_torch = sum(
        flag == "yes" and module.startswith("diffbook")
        for module, flag in zip(table.column("module"), table.column("loads torch"), strict=True)
    )
    return Report(
        [table],
        [
            Target("import diffbook, seconds", table.column("best s")[0], 0.5),
            Target("modules of floors 0 to 2 that load torch", float(loads_torch), 0.0),
        ],
    )
