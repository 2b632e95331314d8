"""The recorded studies of the chapter: all methods on images and on speech, three training seeds.

    python -m chapters.coupled.record images
    python -m chapters.coupled.record speech
    python -m chapters.coupled.record long

take ten to twenty-five minutes each on two cores, too long for a chapter, and write
`data/coupled/studies/images.json`, `speech.json` and `long.json` (one image task, three times the
steps): of every setting, which examples each decision gets right.
Finished trainings and evaluations stay in `results/coupled/`, so an interrupted study goes on.
The networks of one task and seed that the notebook loads go to `data/weights/`. The larger studies
`mnist`, `cifar10` and `fsdd` read data sets of the reader, train on a GPU where there is one, and write
to `results/coupled/`.
"""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import click
import numpy as np
import torch
from numpy.typing import NDArray

from chapters.coupled import evaluation, images, speech
from chapters.coupled.steps import Recipe, Task
from chapters.coupled.training import AGAIN, TRAININGS, networks, trained
from diffbook.coupled import Frozen
from diffbook.metrics.intervals import crossed_ci
from diffbook.nets.store import read_tensors, write_tensors
from diffbook.threads import one_thread_each, torch_threads
from press import paths
from press.records import provenance, read, short, write

SEEDS, COMMAND = (0, 1, 2), "python -m chapters.coupled.record"


class Plan(NamedTuple):
    """What a study runs."""

    room: ModuleType  # makes its tasks
    data: str
    tasks: tuple[str, ...]
    few: int  # optimiser steps of the classifier
    steps: int  # and of all others
    batch: int  # examples in a step
    draws: int = 1  # of the degradation for each example of an evaluation
    live: str | None = None  # task of which the notebook loads the networks of seed 0

    def task(self, name: str) -> Task:
        """Make one task."""
        return self.room.task(self.data, name)

    def recipe(self, name: str, training: str) -> Recipe:
        """Return how one training is done."""
        return Recipe(
            training, name, self.few if training == "classifier" else self.steps, self.batch
        )


def _images(data: str, *how: Any) -> Plan:
    return Plan(images, data, tuple(images.STRENGTHS[data]), *how)


STUDIES = {
    "images": _images("digits", 1000, 1600, 64, images.DRAWS, "pixels 50%"),
    "speech": Plan(speech, "synthetic", speech.DEGRADATIONS, 800, 1200, 32, 1, "noise"),
    "long": Plan(images, "digits", ("pixels 50%",), 1000, 4800, 64, images.DRAWS),
    "mnist": _images("mnist", 4000, 20000, 128, images.DRAWS),
    "cifar10": _images("cifar10", 20000, 40000, 128, images.DRAWS),
    "fsdd": Plan(speech, "digits", speech.DEGRADATIONS, 2000, 10000, 64),
}
#: Studies whose numbers are part of the book; the others are the reader's own.
OF_THE_BOOK = ("images", "speech", "long")
#: Trainings whose networks the notebook loads.
LIVE = ("classifier", "baselines", "parallel", "alternating")


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
        rows, n = self.select(task, method, **where), self.about["n"][where.get("split", "test")]
        if any(row[decision] is None for row in rows):
            raise ValueError(f"{self.name}: {method} has no decision by {decision}")
        bits = np.stack([evaluation.unpack(row[decision], n) for row in rows])
        return bits.reshape(len(rows), self.about["draws"], -1).mean(axis=1)


def points(a: NDArray, b: NDArray | float = 0.0) -> tuple[float, float, float]:
    """Mean difference in points with its 95 % interval over new seeds and new examples."""
    return crossed_ci(100.0 * (a - b))


def place_of(name: str) -> Path:
    """File of a study: the recorded ones are part of the book."""
    own = paths.working() / "coupled" / f"{name}.json"
    return paths.study("coupled", name) if name in OF_THE_BOOK else own


def load(name: str, path: Path | None = None) -> Study:
    """Read a study by its name."""
    path = path or place_of(name)
    if not path.is_file():
        raise FileNotFoundError(f"no study at {path}; make it: {COMMAND} {name}")
    found = read(path)
    return Study(name, found["about"], found["rows"])


def obtain(name: str) -> Study:
    """Read a study; one of the larger ones is made first, if it has not been."""
    if name not in OF_THE_BOOK and not place_of(name).is_file():
        make(name)
    return load(name)


def studies(data: str) -> tuple[str, str]:
    """Names of the studies of images and of speech; what one that is not made yet reads is opened.

    So a data set that is missing or damaged is named at once, not after hours of training.
    """
    names = ("images", "speech") if data == "embedded" else (data, "fsdd")
    for name in names:
        if not place_of(name).is_file():
            plan = STUDIES[name]
            read_split = images.images if plan.room is images else speech.clips
            for split in ("test", "train"):
                read_split(plan.data, split)
    return names


def folder(study: str, name: str, seed: int) -> Path:
    """Folder of what is finished of one cell."""
    place = name.replace(" ", "-").replace("%", "")
    return paths.working() / "coupled" / study / f"{place}-seed{seed}"


def weights(study: str, training: str) -> Path:
    """File of the networks of one training that the notebook loads."""
    return paths.weights() / f"coupled_{study}_{training}.safetensors"


def cell(study: str, name: str, seed: int) -> list[dict[str, Any]]:
    """Train and evaluate all methods on one task with one seed, or read what is finished."""
    from accelerate import Accelerator

    torch_threads()
    plan, place = STUDIES[study], folder(study, name, seed)
    task, settings = plan.task(name), {t: asdict(plan.recipe(name, t)) for t in TRAININGS}
    kept = place / "rows.json"
    if kept.is_file() and (known := read(kept))["settings"] == settings:
        return known["rows"]
    nets, f, begin = {}, None, time.perf_counter()
    with one_thread_each():
        for training in TRAININGS:
            made = trained(task, plan.recipe(name, training), seed, place, f)
            nets[training] = {k: net.to(Accelerator().device) for k, net in made.items()}
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
        row |= {"task": name, "seed": seed, "seconds": short([row["seconds"]], 3)[0]}
        row["quality"] = None if row["quality"] is None else short([row["quality"]])[0]
    write(kept, {"settings": settings, "rows": rows})
    return rows


def publish(study: str) -> dict[str, str]:
    """Copy the networks that the notebook loads; the SHA-256 of each file."""
    found, name = {}, STUDIES[study].live
    for training in LIVE if name else ():
        tensors, about = read_tensors(folder(study, name, 0) / f"{training}.safetensors", AGAIN)
        tensors = {k: v for k, v in tensors.items() if not k.startswith("clean.")}
        path, more = weights(study, training), {"command": f"{COMMAND} {study}"}
        write_tensors(path, tensors, {**about, **more, "torch": torch.__version__})
        found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def live(study: str) -> tuple[Task, dict[str, dict[str, torch.nn.Module]], Frozen]:
    """Task, networks by training, and frozen classifier that the notebook runs."""
    task = STUDIES[study].task(STUDIES[study].live)
    nets = {training: networks(task, weights(study, training)) for training in LIVE}
    return task, nets, Frozen(nets["classifier"]["classifier"], -task.limit, task.limit)


def make(study: str, jobs: int = 1, out: Path | None = None) -> Path:
    """Train and evaluate all methods on all tasks of a study, and write what they get right."""
    from tqdm.auto import tqdm

    plan, out = STUDIES[study], out or place_of(study)
    seeds, names = zip(*product(SEEDS, plan.tasks), strict=True)
    # Fresh processes: a fork would inherit what a notebook has open, a GPU above all.
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        found = (map if jobs == 1 else pool.map)(partial(cell, study), names, seeds)
        rows = [row for part in tqdm(found, total=len(seeds), desc=study) for row in part]
    task = plan.task(plan.tasks[0])
    about = {
        "command": f"{COMMAND} {study}", "data": plan.data, "tasks": list(plan.tasks),
        "seeds": list(SEEDS), "draws": plan.draws, "S": task.steps[0],
        "n": {split: len(task.examples(split)[2]) for split in ("validation", "test")},
        "noise": evaluation.NOISE, "recipe": asdict(plan.recipe("", "baselines")),
        "few": plan.few, "live": plan.live, "networks": publish(study),
    }  # fmt: skip
    write(out, {"about": about | provenance(), "rows": rows})
    return out


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("study", type=click.Choice(sorted(STUDIES)))
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Default: see above.")
def main(study: str, jobs: int, out: Path | None) -> None:
    """Train and evaluate all methods on all tasks of a study, and record what they get right."""
    start = time.perf_counter()
    out = make(study, jobs, out)
    click.echo(f"{time.perf_counter() - start:6.0f} s  wrote {paths.relative(out)}")


if __name__ == "__main__":
    main()
