"""The recorded part of chapter 2: tuning on validation images, and all cells of the network study.

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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from chapters.posterior import wiener as studies_wiener
from chapters.posterior.comparisons import Difference, compare
from chapters.posterior.restoration import (
    METHODS,
    MORE_METHODS,
    SEEDS,
    STEPS,
    Cell,
    measured,
    network,
    restore,
    run_cells,
)
from chapters.posterior.tasks import (
    SIDES,
    TASKS,
    TIKHONOV,
    designed_weights,
    images,
    make_task,
    noise_seeds,
)
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


@dataclass(frozen=True)
class Row:
    """Value of a metric in one cell: the mean over images, or that of the set."""

    data: str
    task: str
    S: int
    method: str
    seed: int
    metric: str
    value: float


@dataclass(frozen=True, eq=False)
class Recorded:
    """What a recorded run holds.

    Attributes
    ----------
    about
        Command, sizes, seeds, package versions, wall time.
    zetas, tuning
        Tuned zeta' by (data, task, S), and the validation PSNR (dB) over the whole grid.
    wiener_zetas
        Tuned zeta' of the Wiener study by S.
    weights
        Designed weights by (data, task, S, sampler).
    rows, differences
        Cells, and comparisons between methods.
    """

    about: dict[str, Any]
    zetas: dict[tuple[str, str, int], float]
    tuning: dict[tuple[str, str, int], NDArray]
    wiener_zetas: dict[int, float]
    weights: dict[tuple[str, str, int, str], NDArray]
    rows: list[Row]
    differences: list[Difference]

    def means(
        self, data: str, task: str, method: str, metric: str, steps: Sequence[int]
    ) -> list[float]:
        """Mean over training seeds for every number of steps; NaN where there is no cell."""
        found: dict[int, list[float]] = {S: [] for S in steps}
        for row in self.rows:
            key = (row.data, row.task, row.method, row.metric)
            if key == (data, task, method, metric) and row.S in found:
                found[row.S].append(row.value)
        return [float(np.mean(values)) if values else np.nan for values in found.values()]


def default_path() -> Path:
    """File of the recorded run, under version control."""
    return paths.study("posterior", "restoration")


def load(path: Path | None = None) -> Recorded:
    """Read a recorded run.

    Raises
    ------
    FileNotFoundError
        If there is none; the message has the command that makes it.
    """
    path = path or default_path()
    if not path.is_file():
        raise FileNotFoundError(
            f"no recorded run at {path}; make it: python -m chapters.posterior.record"
        )
    found = read(path)
    key = ("data", "task", "S")
    tuning = {tuple(t[k] for k in key): t for t in found["tuning"]}
    rows = [
        Row(*(cell[k] for k in (*key, "method", "seed")), metric, cell[metric])
        for cell in found["cells"] for metric in METRICS
    ]  # fmt: skip
    differences = [
        Difference(**{k: tuple(v) if isinstance(v, list) else v for k, v in d.items()})
        for d in found["differences"]
    ]
    return Recorded(
        found["about"],
        {k: t["zeta"] for k, t in tuning.items()},
        {k: np.array(t["PSNR"]) for k, t in tuning.items()},
        {t["S"]: t["zeta"] for t in found["wiener"]},
        {(*(w[k] for k in key), w["sampler"]): np.array(w["weights"]) for w in found["weights"]},
        rows,
        differences,
    )


def tune(
    data: str, name: str, S: int, *, seeds: Sequence[int] = SEEDS, n: int = N_VALIDATION,
    grid: Sequence[float] = GRID, seed: int = 0,
) -> NDArray[np.float64]:  # fmt: skip
    """Mean PSNR of the rule zeta'/|r| on validation images, over training seeds, for every zeta'.

    Parameters
    ----------
    data, name, S
        Task and number of steps.
    seeds, n
        Training seeds, and images per seed.
    grid
        Values of zeta'.
    seed
        Of the noise, common to all values.

    Returns
    -------
    ndarray, shape (len(grid),)
        In decibel.
    """
    task, x0, g = make_task(data, name), images(data, "validation", n), len(grid)
    # All values run as one batch: a rule gives one weight per image anyway.
    zeta = np.repeat(np.array(grid, dtype=np.float32), n)
    total = np.zeros(g)
    for k in seeds:
        y = measured(task, x0, seed, k)
        sample, _ = restore(
            network(data, k), task, np.tile(y, (g, *[1] * (y.ndim - 1))), S, "dps",
            lambda s, norm: norm.new_tensor(zeta) / norm, seeds=noise_seeds(seed, k, n, 1) * g,
        )  # fmt: skip
        total += psnr(sample, np.tile(x0, (g, 1, 1))).reshape(g, n).mean(1)
    return total / len(seeds)


def best(grid: Sequence[float], quality: NDArray) -> dict[str, Any]:
    """Value with the best quality, and whether it is at an end of the grid."""
    i = int(np.argmax(quality))
    return {"zeta": grid[i], "at_end": i in (0, len(grid) - 1), "PSNR": short(quality)}


def make_tuning(say: Callable[[str], None], steps: Sequence[int] = STEPS) -> dict[str, Any]:
    """Tune both studies and design all weights."""
    case, tuning, weights, wiener = studies_wiener.setting(), [], [], []
    for S in steps:
        wiener.append({"S": S} | best(studies_wiener.GRID, studies_wiener.tune(case, S)))
        say(f"Wiener S={S}: zeta' = {wiener[-1]['zeta']}")
    for data in SIDES:
        for name in TASKS:
            for S in steps:
                key = {"data": data, "task": name, "S": S}
                tuning.append(key | best(GRID, tune(data, name, S)))
                for sampler in ("dps", "pigdm", "diffpir") if S <= MORE_STEPS else ("dps",):
                    found = short(designed_weights(data, name, S, sampler), 6)
                    weights.append(key | {"sampler": sampler, "weights": found})
                say(f"{data} {name} S={S}: zeta' = {tuning[-1]['zeta']}")
    return {"wiener": wiener, "tuning": tuning, "weights": weights}


def make_cells(
    recorded: Recorded, say: Callable[[str], None], steps: Sequence[int] = STEPS, n: int = N_TEST
) -> dict[str, Any]:
    """Run all cells on the test split and compare the methods."""
    cells, differences = [], []
    for data in SIDES:
        for name in TASKS:
            settings = {"n": n, "zetas": recorded.zetas, "weights": recorded.weights, "workers": 1}
            found = run_cells(data, (name,), steps, METHODS, **settings)
            few = [S for S in steps if S <= MORE_STEPS]
            found += run_cells(data, (name,), few, MORE_METHODS, **settings)
            cells += [_summary(cell) for cell in found]
            rivals = ("tuned", "standard")
            pairs = [(m, o) for m in ("designed", "designed, trimmed") for o in rivals]
            pairs += [("designed, trimmed", "designed"), ("PiGDM designed", "PiGDM published")]
            pairs += [("PiGDM designed", "tuned"), ("DiffPIR designed", "DiffPIR 7")]
            for metric in METRICS:
                for pair in pairs:
                    differences += [_plain(d) for d in compare(found, metric, *pair)]
            say(f"{data} {name}: {len(found)} cells")
    return {"cells": cells, "differences": differences}


def _summary(cell: Cell) -> dict[str, Any]:
    key = {k: getattr(cell, k) for k in ("data", "task", "S", "method", "seed", "nfe")}
    return key | {metric: short([cell.value(metric)], 5)[0] for metric in METRICS}


def _plain(difference: Difference) -> dict[str, Any]:
    found = asdict(difference)
    return {k: short(v, 5) if isinstance(v, tuple) else v for k, v in found.items()}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--part", type=click.Choice(["all", "tuning", "cells"]), default="all", show_default=True
)
@click.option("--out", type=click.Path(path_type=Path), help="Default: data/recorded/.")
def main(part: str, out: Path | None) -> None:
    """Tune on validation images, run all cells, and record the numbers.

    `--part cells` takes the tuning from the file that it completes.
    """
    out, start = out or default_path(), time.perf_counter()

    def say(line: str) -> None:
        click.echo(f"{time.perf_counter() - start:6.0f} s  {line}")

    torch_threads()
    about = {
        "command": "python -m chapters.posterior.record", "seed": 0, "training_seeds": SEEDS,
        "steps": STEPS, "grid": GRID, "n_validation": N_VALIDATION, "n_test": N_TEST,
        "tikhonov": TIKHONOV, **provenance(), "threads": 1,
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
