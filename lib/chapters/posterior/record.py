"""The recorded study of the chapter: tuning on validation images, and all cells of the network study.

    python -m chapters.posterior.record

takes about fifteen minutes on one core, too long for a chapter, and writes
`data/posterior/studies/restoration.json`: the tuned zeta' of every task, the designed weights, the mean values
of every cell, and comparisons with intervals. The chapter takes zeta' and weights from it, runs a
part of the cells itself and shows the rest. Sizes, grids and seeds are constants, fixed before a test
image was looked at.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from chapters.posterior import restoration, tasks, wiener
from diffbook.metrics.cells import Cell, Triple, compare
from diffbook.metrics.restoration import psnr
from diffbook.threads import one_thread_each, torch_threads
from press import paths
from press.records import provenance, read, short, write

#: Values of zeta' among which the heuristic zeta'/|r| is tuned.
GRID = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0)

#: Validation images per training seed for the tuning, and test images for the cells.
N_VALIDATION, N_TEST = 24, 100

#: Largest number of steps of the methods beside DPS.
MORE_STEPS = 50

METRICS = ("PSNR", "SSIM", "consistency", "pixels", "gabor", "spectrum dB")


@dataclass(frozen=True, eq=False)
class Recorded:
    """What a recorded run holds."""

    about: dict[str, Any]  # command, sizes, seeds, package versions, wall time
    zetas: dict[tuple[str, str, int], float]  # tuned zeta' by (data, task, S)
    wiener_zetas: dict[int, float]  # the same of the Wiener study, by S
    weights: dict[tuple[str, str, int, str], NDArray]  # designed, by (data, task, S, sampler)
    cells: list[Cell]  # in groups (data, task)
    differences: list[dict[str, Any]]  # of two methods, with intervals

    def difference_rows(
        self, data: str, metric: str, method: str, other: str, steps: Sequence[int]
    ) -> dict[str, dict[int, Triple]]:
        """Differences of one pair of methods: {"data, task": {S: (mean, low, high)}}."""
        found: dict[str, dict[int, Triple]] = {}
        for d in self.differences:
            pair = (d["data"], d["metric"], d["method"], d["other"])
            if pair == (data, metric, method, other) and d["S"] in steps:
                row = found.setdefault(f"{data}, {d['task']}", {})
                row[d["S"]] = tuple(d["crossed"] or d["per_seed"])
        return found


def load(path: Path | None = None) -> Recorded:
    """Read a recorded run; a missing one is an error that names the command."""
    path = path or paths.study("posterior", "restoration")
    if not path.is_file():
        raise FileNotFoundError(
            f"no recorded run at {path}; make it: python -m chapters.posterior.record"
        )
    found = read(path)

    def key(row: dict[str, Any]) -> tuple[str, str, int]:
        return row["data"], row["task"], row["S"]

    cells = [
        Cell(c["S"], c["method"], metric, c["seed"], c[metric], (c["data"], c["task"]))
        for c in found["cells"] for metric in METRICS
    ]  # fmt: skip
    return Recorded(
        found["about"],
        {key(row): row["zeta"] for row in found["tuning"]},
        {row["S"]: row["zeta"] for row in found["wiener"]},
        {(*key(row), row["sampler"]): np.array(row["weights"]) for row in found["weights"]},
        cells,
        found["differences"],
    )


def tune(
    data: str, name: str, S: int, *, seeds: Sequence[int] = restoration.SEEDS,
    n: int = N_VALIDATION, grid: Sequence[float] = GRID, seed: int = 0,
) -> NDArray[np.float64]:  # fmt: skip
    """Mean PSNR (dB) of every zeta'/|r| on validation images, over training seeds."""
    task, x0, g = tasks.make_task(data, name), tasks.images(data, "validation", n), len(grid)
    # All values run as one batch: a rule gives one weight per image anyway.
    zeta = np.repeat(np.array(grid, dtype=np.float32), n)
    total = np.zeros(g)
    for k in seeds:
        y = restoration.measured(task, x0, seed, k)
        sample, _ = restoration.restore(
            restoration.network(data, k), task, np.tile(y, (g, *[1] * (y.ndim - 1))), S, "dps",
            lambda s, norm: norm.new_tensor(zeta) / norm, seeds=tasks.noise_seeds(seed, k, n, 1) * g,
        )  # fmt: skip
        total += psnr(sample, np.tile(x0, (g, 1, 1))).reshape(g, n).mean(1)
    return total / len(seeds)


def best(grid: Sequence[float], quality: NDArray) -> dict[str, Any]:
    """Value with the best quality, and whether it is at an end of the grid."""
    i = int(np.argmax(quality))
    return {"zeta": grid[i], "at_end": i in (0, len(grid) - 1), "PSNR": short(quality)}


def make_tuning(
    say: Callable[[str], None], steps: Sequence[int] = restoration.STEPS
) -> dict[str, Any]:
    """Tune both studies and design all weights."""
    case, of_wiener, tuning, weights = wiener.setting(), [], [], []
    for S in steps:
        of_wiener.append({"S": S} | best(wiener.GRID, wiener.tune(case, S)))
        say(f"Wiener S={S}: zeta' = {of_wiener[-1]['zeta']}")
    for data, name, S in product(tasks.SIDES, tasks.TASKS, steps):
        key = {"data": data, "task": name, "S": S}
        tuning.append(key | best(GRID, tune(data, name, S)))
        for sampler in ("dps", "pigdm", "diffpir") if S <= MORE_STEPS else ("dps",):
            found = short(tasks.designed_weights(data, name, S, sampler), 6)
            weights.append(key | {"sampler": sampler, "weights": found})
        say(f"{data} {name} S={S}: zeta' = {tuning[-1]['zeta']}")
    return {"wiener": of_wiener, "tuning": tuning, "weights": weights}


PAIRS = (
    *((m, other) for m in ("designed", "designed, trimmed") for other in ("tuned", "standard")),
    ("designed, trimmed", "designed"),
    ("PiGDM designed", "PiGDM published"),
    ("PiGDM designed", "tuned"),
    ("DiffPIR designed", "DiffPIR 7"),
)


def make_cells(
    recorded: Recorded,
    say: Callable[[str], None],
    steps: Sequence[int] = restoration.STEPS,
    n: int = N_TEST,
) -> dict[str, Any]:
    """Run all cells on the test split and compare the methods."""
    rows, differences = [], []
    few = [S for S in steps if S <= MORE_STEPS]
    settings = {"n": n, "zetas": recorded.zetas, "weights": recorded.weights, "workers": 1}
    for data, name in product(tasks.SIDES, tasks.TASKS):
        found = restoration.run_cells(data, (name,), steps, restoration.METHODS, **settings)
        found += restoration.run_cells(data, (name,), few, restoration.MORE_METHODS, **settings)
        rows += cell_rows(found)
        differences += [d for m in METRICS for pair in PAIRS for d in compared(found, m, *pair)]
        say(f"{data} {name}: {len(found)} values")
    return {"cells": rows, "differences": differences}


def cell_rows(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """One row for each (data, task, S, method, seed) with the means of all metrics."""
    rows: dict[tuple, dict[str, Any]] = {}
    for c in cells:
        key = (*c.group, c.S, c.method, c.seed)
        head = dict(zip(("data", "task", "S", "method", "seed"), key, strict=True))
        row = rows.setdefault(key, head | dict.fromkeys(("nfe", *METRICS)))
        row[c.metric] = c.value if c.metric == "nfe" else short([c.mean], 5)[0]
    return list(rows.values())


def compared(cells: Sequence[Cell], metric: str, method: str, other: str) -> list[dict[str, Any]]:
    """Differences of two methods in one task, with the interval over images where there is one."""
    data, task = cells[0].group
    return [
        {
            "data": data, "task": task, "S": c.S, "method": method, "other": other,
            "metric": metric, "crossed": short(c.crossed, 5) if c.a.ndim == 2 else None,
            "per_seed": short(c.difference, 5),
        }
        for c in compare(cells, metric, method, other)
    ]  # fmt: skip


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--part", type=click.Choice(["all", "tuning", "cells"]), default="all", show_default=True
)
@click.option("--out", type=click.Path(path_type=Path), help="Default: data/posterior/studies/.")
def main(part: str, out: Path | None) -> None:
    """Tune on validation images, run all cells, and record the numbers."""
    out, start = out or paths.study("posterior", "restoration"), time.perf_counter()

    def say(line: str) -> None:
        click.echo(f"{time.perf_counter() - start:6.0f} s  {line}")

    torch_threads()
    about = {
        "command": "python -m chapters.posterior.record", "seed": 0,
        "training_seeds": restoration.SEEDS, "steps": restoration.STEPS, "grid": GRID, "n_validation": N_VALIDATION, "n_test": N_TEST,
        "tikhonov": tasks.TIKHONOV, **provenance(), "threads": 1,
    }  # fmt: skip
    with one_thread_each():
        if part == "cells":
            document = read(out)
        else:
            document = {"about": about} | make_tuning(say) | {"cells": [], "differences": []}
            document["about"]["tuning_s"] = round(time.perf_counter() - start)
            write(out, document)
        if part != "tuning":
            began = time.perf_counter()
            document |= make_cells(load(out), say)
            document["about"] |= about | {"cells_s": round(time.perf_counter() - began)}
            write(out, document)
    say(f"wrote {paths.relative(out)}")


if __name__ == "__main__":
    main()
