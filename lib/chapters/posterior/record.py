"""The recorded study of the chapter: tuning on validation images, and all cells of the network study.

    python -m chapters.posterior.record

takes about an hour on two cores, too long for a chapter, and writes
`data/posterior/studies/restoration.json`: the tuned number of every method, the designed weights, the mean
values of every cell, comparisons with intervals, what the Gaussian model predicts, and the transfer
over image sizes. Finished parts stay in `results/restoration/`, so an interrupted study goes on. Sizes,
grids and seeds are constants, fixed before a test image was looked at, but for the number of validation
images: a first run of one task showed that 20 are too few for a rule that diverges now and then.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import combinations, product
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from chapters.posterior import restoration, sizes, tasks, wiener
from chapters.posterior.restoration import METHODS, SEEDS, STEPS
from diffbook.inverse.blocks.design import design_weights
from diffbook.metrics.cells import Cell, compare, values
from diffbook.metrics.intervals import crossed_ci
from diffbook.metrics.restoration import energy_score, psnr
from diffbook.schedules.families import ddpm_respaced
from diffbook.threads import one_thread_each, torch_threads
from press import paths
from press.records import provenance, read, short, write

#: Images and draws for each: of the validation split for tuning (others for every training seed: a
#: rule that diverges on one image in fifty is judged by it), of the test split for the cells.
N_VALIDATION, M_VALIDATION = 30, 2
N_TEST, M_TEST = 40, 10

METRICS = (
    "energy", "spread/error", "PSNR", "squared error", "SSIM", "consistency", "pixels", "gabor",
    "spectrum dB",
)  # fmt: skip
#: Those of which two methods are compared, and the tables of a part.
COMPARED = ("energy", "PSNR", "squared error", "gabor", "spectrum dB")
TABLES = ("tuning", "weights", "bounds", "cells", "differences", "order")

#: Bounds of the weights that are compared on validation images, and the task that it is done for.
CAPS, BOUNDS_OF = ("none", "stability", "no-overshoot"), "deblurring"

PAIRS = (
    *product(("free", "bounded", "trimmed"), ("DPS", "DPS, η = 0", "DPS, 1/‖r‖", "DDRM", "DiffPIR")),
    *product(("bounded × c", "bounded, η = 1"), ("DPS", "DPS, η = 0")),
    ("trimmed", "free"), ("free", "bounded"), ("bounded, η = 1", "bounded"),
    ("PiGDM bounded", "PiGDM"), ("DiffPIR designed", "DiffPIR"),
    ("DiffPIR designed, ζ = 0", "DiffPIR designed"), ("DPS", "DPS, η = 0"),
    *product(("DPS", "PiGDM", "DiffPIR"), ("DDRM",)), ("DDNM+", "DDRM"),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Recorded:
    """What a recorded run holds."""

    about: dict[str, Any]  # command, sizes, seeds, digests of the networks, package versions
    tuned: dict[tuple[str, str, int, str], float]  # by (data, task, S, method)
    wiener_zetas: dict[int, float]  # tuned zeta' of the Wiener study, by S
    weights: dict[tuple, NDArray]  # designed, by (data, task, S, sampler, kind, noise)
    cells: list[Cell]  # in groups (data, task), with the metric "model" where there is one
    differences: list[dict[str, Any]]  # of two methods, with intervals
    bounds: list[dict[str, Any]]  # bounds of weights on validation images
    order: list[dict[str, Any]]  # how often the model orders two methods as the energy score does
    sizes: list[dict[str, Any]]  # one design on images of several sizes

    def difference(
        self, group: tuple[str, str], S: int, metric: str, method: str, other: str
    ) -> tuple[float, float, float]:
        """Mean of one method minus another with its 95 % interval."""
        key = (*group, S, metric, method, other)
        names = ("data", "task", "S", "metric", "method", "other")
        for row in self.differences:
            if tuple(row[name] for name in names) == key:
                return tuple(row["difference"])
        raise ValueError(f"difference: the study has none for {key}")


def load(path: Path | None = None) -> Recorded:
    """Read a recorded run; one that is missing, or of other networks, is an error that says what to do."""
    path, again = path or paths.study("posterior", "restoration"), f"python -m {__name__}"
    if not path.is_file():
        raise FileNotFoundError(f"no recorded run at {path}; make it: {again}")
    found = read(path)
    if found["about"]["networks"] != digests():
        raise ValueError(f"{paths.relative(path)}: was made with other networks; make it: {again}")

    def key(row: dict[str, Any], *more: str) -> tuple:
        return tuple(row[name] for name in ("data", "task", "S", *more))

    cells = [
        Cell(c["S"], c["method"], metric, c["seed"], c[metric], (c["data"], c["task"]))
        for c in found["cells"] for metric in (*METRICS, "nfe", "model") if c[metric] is not None
    ]  # fmt: skip
    return Recorded(
        found["about"],
        {key(row, "method"): row["value"] for row in found["tuning"]},
        {row["S"]: row["zeta"] for row in found["wiener"]},
        {key(r, "sampler", "kind", "noise"): np.array(r["weights"]) for r in found["weights"]},
        cells,
        found["differences"],
        found["bounds"],
        found["order"],
        found["sizes"],
    )


def digests() -> dict[str, str]:
    """SHA-256 of every network's file, by its name."""
    files = [paths.network(data, k) for data in tasks.SIDES for k in SEEDS]
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def validate(
    data: str, name: str, S: int, used: tuple[str, Any, dict], *, seeds: Sequence[int] = SEEDS,
    n: int = N_VALIDATION, m: int = M_VALIDATION,
) -> tuple[float, float]:  # fmt: skip
    """Mean energy score (% of the grey range) and PSNR (dB) of a method on validation images."""
    task, found = tasks.make_task(data, name), []
    images = np.split(tasks.images(data, "validation", n * len(seeds)), len(seeds))
    for k, x0 in zip(seeds, images, strict=True):
        x, *_ = restoration.draws(task, x0, S, used, k, m)
        # A weight too large by far may overflow float32: then it is not the best one.
        x = np.nan_to_num(x, nan=1e3, posinf=1e3, neginf=-1e3)
        fidelity = psnr(x.reshape(-1, *x0.shape[1:]), np.repeat(x0, m, axis=0)).mean()
        found.append((50.0 * energy_score(x, x0).mean(), fidelity))
    energy, fidelity = np.mean(found, axis=0)
    return float(energy), float(fidelity)


def tune(
    data: str,
    name: str,
    S: int,
    method: str,
    weights: restoration.Weights | None = None,
    **how: Any,
) -> dict[str, Any]:
    """Row of the tuning table: the value of a method's grid with the best energy score."""
    task, grid = tasks.make_task(data, name), METHODS[method].grid
    used = [restoration.rule(method, task, S, value, weights) for value in grid]
    energy, fidelity = np.transpose([validate(data, name, S, one, **how) for one in used])
    i = int(np.argmin(energy))
    return {
        "data": data, "task": name, "S": S, "method": method, "value": grid[i],
        "at_end": i in (0, len(grid) - 1), "energy": short(energy), "PSNR": short(fidelity),
    }  # fmt: skip


def bound_rows(data: str, name: str, S: int, **how: Any) -> list[dict[str, Any]]:
    """Designs with the same penalty and no bound, the stability bound or the tighter one, on validation images."""
    problem, ab = tasks.block_problem(data, name), ddpm_respaced(S)
    penalty = tasks.TIKHONOV * float(tasks.prior(data).lam.sum())
    rows = []
    for cap in CAPS:
        found = design_weights(
            problem, ab, "dps", cap=None if cap == "none" else cap, tikhonov=penalty
        )
        energy, fidelity = validate(data, name, S, ("dps", found.weights, {}), **how)
        rows.append({
            "data": data, "task": name, "S": S, "bound": cap, "model": short([found.objective])[0],
            "energy": short([energy])[0], "PSNR": short([fidelity])[0],
        })  # fmt: skip
    return rows


def part(
    group: tuple[str, str], steps: Sequence[int] = STEPS, methods: Sequence[str] = tuple(METHODS),
    test: tuple[int, int] = (N_TEST, M_TEST), **how: Any,
) -> dict[str, list[dict[str, Any]]]:  # fmt: skip
    """Tune, design and measure on one task of one data set; `how` goes to `validate`."""
    (data, name), weights, found = group, {}, {table: [] for table in TABLES}
    task, seeds = tasks.make_task(data, name), how.get("seeds", SEEDS)
    for S, method in product(steps, (m for m in methods if METHODS[m].design)):
        key = (data, name, S, *METHODS[method].design)
        # What is rounded in the record is what is used, so a reader's run gives the same cells.
        weights[key] = np.array(short(tasks.designed_weights(*key), 6))
    names = ("data", "task", "S", "sampler", "kind", "noise")
    found["weights"] = [
        dict(zip(names, key, strict=True)) | {"weights": w.tolist()} for key, w in weights.items()
    ]
    for S in steps:
        grids = [method for method in methods if len(METHODS[method].grid) > 1]
        found["tuning"] += [tune(data, name, S, method, weights, **how) for method in grids]
        if name == BOUNDS_OF:
            found["bounds"] += bound_rows(data, name, S, **how)
    tuned = {(data, name, row["S"], row["method"]): row["value"] for row in found["tuning"]}
    n, m = test
    cells = restoration.run_cells(
        data, name, steps, methods, seeds, n=n, m=m, tuned=tuned, weights=weights
    )
    model = {
        (S, a): restoration.predicted(
            task, S, restoration.rule(a, task, S, tuned.get((*group, S, a), 1.0), weights)
        )
        for S in steps for a in methods
    }  # fmt: skip
    found["cells"] = cell_rows(cells, model)
    pairs = [pair for pair in PAIRS if set(pair) <= set(methods)]
    found["order"] = [order_row(cells, model, S) for S in steps]
    found["differences"] = [
        d for m in COMPARED for pair in pairs for d in compared(cells, m, *pair)
    ]
    return found


def cell_rows(cells: Sequence[Cell], model: dict[tuple[int, str], float]) -> list[dict[str, Any]]:
    """One row for each (data, task, S, method, seed) with the means of all metrics."""
    rows: dict[tuple, dict[str, Any]] = {}
    for c in cells:
        key = (*c.group, c.S, c.method, c.seed)
        head = dict(zip(("data", "task", "S", "method", "seed"), key, strict=True))
        value = model[c.S, c.method]
        head["model"] = short([value], 5)[0] if np.isfinite(value) else None
        row = rows.setdefault(key, head | dict.fromkeys(("nfe", *METRICS)))
        row[c.metric] = c.value if c.metric == "nfe" else short([c.mean], 5)[0]
    return list(rows.values())


def compared(cells: Sequence[Cell], metric: str, method: str, other: str) -> list[dict[str, Any]]:
    """Differences of two methods in one task; over new images too, where the metric is of images."""
    data, task = cells[0].group
    return [
        {
            "data": data, "task": task, "S": c.S, "method": method, "other": other, "metric": metric,
            "difference": short(c.crossed if c.a.ndim == 2 else c.difference, 5),
        }
        for c in compare(cells, metric, method, other)
    ]  # fmt: skip


def order_row(cells: Sequence[Cell], model: dict[tuple[int, str], float], S: int) -> dict[str, Any]:
    """Pairs of methods that the energy score tells apart, and those the model orders in the same way."""
    table = values(cells, "energy")
    known = [a for at, a in table if at == S and np.isfinite(model[S, a])]
    decided = agreed = 0
    for a, b in combinations(known, 2):
        mean, low, high = crossed_ci(table[S, a] - table[S, b])
        if low * high > 0:
            decided, agreed = decided + 1, agreed + (mean * (model[S, a] - model[S, b]) > 0)
    tau = kendalltau([model[S, a] for a in known], [table[S, a].mean() for a in known]).statistic
    data, task = cells[0].group
    return {
        "data": data, "task": task, "S": S, "pairs": len(known) * (len(known) - 1) // 2,
        "decided": decided, "agreed": int(agreed), "tau": short([tau])[0],
    }  # fmt: skip


def finished(name: str, settings: dict[str, Any], make: Any) -> dict[str, Any]:
    """Part of the study: read if it was made with the same settings, else made and kept."""
    path = paths.working() / "restoration" / f"{name}.json"
    if path.is_file() and (known := read(path))["settings"] == settings:
        return known
    torch_threads()
    with one_thread_each():
        document = {"settings": settings} | make()
    write(path, document)
    return read(path)


def wiener_rows() -> dict[str, Any]:
    """Tuned zeta' of the Wiener study."""
    case, rows = wiener.setting(), []
    for S in wiener.STEPS:
        quality = wiener.tune(case, S)
        rows.append({"S": S, "zeta": wiener.GRID[int(np.argmax(quality))], "PSNR": short(quality)})
    return {"wiener": rows}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Default: data/posterior/studies/.")
def main(jobs: int, out: Path | None) -> None:
    """Tune on validation images, run all cells, and record the numbers."""
    out, start = out or paths.study("posterior", "restoration"), time.perf_counter()
    settings = {
        "command": "python -m chapters.posterior.record", "seed": 0, "training_seeds": list(SEEDS),
        "steps": list(STEPS), "n_validation": N_VALIDATION, "m_validation": M_VALIDATION,
        "n_test": N_TEST, "m_test": M_TEST, "tikhonov": tasks.TIKHONOV, "max_iter": tasks.MAX_ITER,
        "networks": digests(), "compared": list(COMPARED), "pairs": [list(pair) for pair in PAIRS],
        "methods": {name: [*method[:3], list(method.grid)] for name, method in METHODS.items()},
    }  # fmt: skip
    # The longest part first.
    groups = sorted(product(tasks.SIDES, tasks.TASKS), key=lambda g: g != ("photos", "inpainting"))
    document = {table: [] for table in TABLES}
    with ProcessPoolExecutor(jobs) as pool:
        found = [pool.submit(finished, "-".join(g), settings, partial(part, g)) for g in groups]
        others = pool.submit(finished, "wiener", settings, wiener_rows)
        for group, future in zip(groups, found, strict=True):
            for table in TABLES:
                document[table] += future.result()[table]
            click.echo(f"{time.perf_counter() - start:6.0f} s  {', '.join(group)}")
        document["wiener"] = others.result()["wiener"]
        zetas = {
            r["method"]: r["value"] for r in document["tuning"]
            if (r["data"], r["task"], r["S"]) == sizes.TUNED_AT
        }  # fmt: skip
        made = pool.submit(finished, "sizes", settings, partial(sizes.rows, zetas)).result()
    about = settings | provenance() | {"threads": 1, "wall_s": round(time.perf_counter() - start)}
    write(out, {"about": about} | document | {"sizes": made["sizes"]})
    click.echo(f"{time.perf_counter() - start:6.0f} s  wrote {paths.relative(out)}")


if __name__ == "__main__":
    main()
