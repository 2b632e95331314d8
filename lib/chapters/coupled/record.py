"""The recorded studies of the chapter: all methods on images and on speech, three training seeds.

    python -m chapters.coupled.record images
    python -m chapters.coupled.record speech

take about half an hour each on two cores, too long for a chapter, and write
`data/coupled/studies/images.json` and `speech.json`: of every setting, which examples each decision gets
right. Finished trainings and evaluations stay in `results/coupled/`, so an interrupted study goes on.
The networks of one task and seed that the notebook loads go to `data/weights/`.
"""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

from chapters.coupled import evaluation, images, speech
from chapters.coupled.training import AGAIN, TRAININGS, Recipe, Task, networks, trained
from diffbook.coupled import Frozen
from diffbook.metrics.intervals import crossed_ci
from diffbook.nets.store import read_tensors, write_tensors
from diffbook.threads import one_thread_each, torch_threads
from press import paths
from press.records import provenance, read, short, write

SEEDS = (0, 1, 2)
#: Data, optimiser steps of the classifier and of all others, images or clips in a step.
STUDIES = {
    "images": ("digits", 1000, 1600, 64),
    "speech": ("synthetic", 800, 1000, 32),
}
#: Examples: distinct ones, and draws of the degradation for each, by split.
SIZES = {
    "images": {"validation": (200, images.DRAWS), "test": (images.N_TEST, images.DRAWS)},
    "speech": {"validation": (180, 1), "test": (300, 1)},
}
#: The task whose networks of seed 0 the notebook loads, and the trainings that it needs.
LIVE = {"images": "pixels 50%", "speech": "noise"}
LIVE_TRAININGS = ("classifier", "baselines", "parallel", "alternating")


@dataclass(frozen=True, eq=False)
class Study:
    """A recorded study: what it says about itself, and its rows."""

    name: str
    about: dict[str, Any]
    rows: list[dict[str, Any]]

    def select(
        self, task: str, method: str, split: str = "test", **where: Any
    ) -> list[dict[str, Any]]:
        """Rows of one setting, one for each seed; without another wish the default after its last round."""
        where = {"setting": "default", **where}
        where.setdefault("S", 0 if method in ("noisy", "student") else self.about["S"])
        wanted = {"task": task, "method": method, "split": split, **where}
        found = [row for row in self.rows if all(row[k] == v for k, v in wanted.items())]
        last = max((row["round"] for row in found), default=-1)
        found = [row for row in found if row["round"] == where.get("round", last)]
        if len(found) != len(self.about["seeds"]):
            raise ValueError(f"{self.name}: the study has no rows {wanted}")
        return sorted(found, key=lambda row: row["seed"])

    def right(self, task: str, method: str, decision: str = "logits", **where: Any) -> NDArray:
        """Share of right decisions, shape (seeds, examples); "signal" decides by f on x_hat."""
        n, draws = SIZES[self.name][where.get("split", "test")]
        rows = self.select(task, method, **where)
        if any(row[decision] is None for row in rows):
            raise ValueError(f"{self.name}: {method} has no decision by {decision}")
        bits = [evaluation.unpack(row[decision], n * draws) for row in rows]
        return np.stack([b.reshape(draws, n).mean(0) for b in bits])


def points(a: NDArray, b: NDArray | float = 0.0) -> tuple[float, float, float]:
    """Mean difference in points with its 95 % interval over new seeds and new examples."""
    return crossed_ci(100.0 * (a - b))


def load(name: str, path: Path | None = None) -> Study:
    """Read the study "images" or "speech"."""
    path = path or paths.study("coupled", name)
    if not path.is_file():
        raise FileNotFoundError(f"no study at {path}; make it: python -m {__name__} {name}")
    found = read(path)
    return Study(name, found["about"], found["rows"])


def make_task(study: str, name: str) -> Task:
    """One task of a study."""
    return {"images": images, "speech": speech}[study].task(STUDIES[study][0], name)


def tasks(study: str) -> tuple[str, ...]:
    """Names of the tasks of a study."""
    return tuple(images.STRENGTHS["digits"]) if study == "images" else speech.DEGRADATIONS


def recipe(study: str, name: str, training: str) -> Recipe:
    """Return how a training of the study is done."""
    _, few, steps, batch = STUDIES[study]
    return Recipe(training, name, few if training == "classifier" else steps, batch)


def folder(study: str, name: str, seed: int) -> Path:
    """Folder of what is finished of one cell."""
    place = name.replace(" ", "-").replace("%", "")
    return paths.working() / "coupled" / study / f"{place}-seed{seed}"


def cell(study: str, name: str, seed: int) -> list[dict[str, Any]]:
    """Train and evaluate all methods on one task with one seed, or read what is finished."""
    torch_threads()
    task, place = make_task(study, name), folder(study, name, seed)
    settings = {t: asdict(recipe(study, name, t)) for t in TRAININGS}
    if (place / "rows.json").is_file() and (known := read(place / "rows.json"))[
        "settings"
    ] == settings:
        return known["rows"]
    nets, f, begin = {}, None, time.perf_counter()
    with one_thread_each():
        for training in TRAININGS:
            nets[training] = trained(task, recipe(study, name, training), seed, place, f)
            if training == "classifier":
                f = Frozen(nets[training]["classifier"], -task.limit, task.limit)
                digest = f.digest()
            seconds = time.perf_counter() - begin
            click.echo(f"{seconds:6.0f} s  {name}, seed {seed}: {training}", err=True)
        nets["clean"] = {**nets["baselines"], "logits": nets["baselines"]["clean"]}
        rows = evaluation.evaluate(task, nets, f, "validation", whole=False)
        rows += evaluation.evaluate(task, nets, f, "test")
    if f.digest() != digest:
        raise RuntimeError("the frozen classifier has changed")
    for row in rows:
        row["seconds"] = short([row["seconds"]], 3)[0]
        row["quality"] = None if row["quality"] is None else short([row["quality"]])[0]
    rows = [{"task": name, "seed": seed, **row} for row in rows]
    write(place / "rows.json", {"settings": settings, "rows": rows})
    return rows


def publish(study: str) -> dict[str, str]:
    """Copy the networks that the notebook loads; the SHA-256 of each file."""
    found, name = {}, LIVE[study]
    for training in LIVE_TRAININGS:
        tensors, about = read_tensors(folder(study, name, 0) / f"{training}.safetensors", AGAIN)
        tensors = {k: v for k, v in tensors.items() if not k.startswith("clean.")}
        path = paths.weights() / f"coupled_{study}_{training}.safetensors"
        more = {
            "task": name,
            "command": f"python -m {__name__} {study}",
            "torch": torch.__version__,
        }
        write_tensors(path, tensors, {**about, **more})
        found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def live(study: str) -> tuple[Task, dict[str, dict[str, torch.nn.Module]], Frozen]:
    """Task, networks by training, and frozen classifier that the notebook runs."""
    task = make_task(study, LIVE[study])
    nets = {
        t: networks(task, paths.weights() / f"coupled_{study}_{t}.safetensors")
        for t in LIVE_TRAININGS
    }
    return task, nets, Frozen(nets["classifier"]["classifier"], -task.limit, task.limit)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("study", type=click.Choice(sorted(STUDIES)))
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Default: data/coupled/studies/.")
def main(study: str, jobs: int, out: Path | None) -> None:
    """Train and evaluate all methods on all tasks of a study, and record what they get right."""
    from tqdm.auto import tqdm

    start, rows = time.perf_counter(), []
    cells = list(product(SEEDS, tasks(study)))
    with ProcessPoolExecutor(jobs) as pool:
        futures = [pool.submit(cell, study, name, seed) for seed, name in cells]
        for future in tqdm(as_completed(futures), total=len(cells), desc=study):
            future.result()
        for future in futures:
            rows += future.result()
    data, *_ = STUDIES[study]
    about = {
        "command": f"python -m {__name__} {study}", "data": data, "seeds": list(SEEDS),
        "sizes": SIZES[study], "S": make_task(study, LIVE[study]).steps[0], "noise": evaluation.NOISE,
        "recipe": asdict(recipe(study, "", "baselines")), "live": LIVE[study],
        "networks": publish(study),
    }  # fmt: skip
    about |= provenance() | {"wall_s": round(time.perf_counter() - start)}
    out = out or paths.study("coupled", study)
    write(out, {"about": about, "rows": rows})
    click.echo(f"{time.perf_counter() - start:6.0f} s  wrote {paths.relative(out)}")


if __name__ == "__main__":
    main()
