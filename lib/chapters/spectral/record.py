"""The recorded study of the chapter: samples of the trained denoisers, 10,000 for each training seed.

    python -m chapters.spectral.record

takes about a quarter of an hour on two cores, too long for a chapter, and writes
`data/spectral/studies/networks.json`: four distances to the training images, and one to held-out images,
of every schedule at 5, 10 and 20 steps. The same distances of the first 400 samples stand beside
them: they show what a small number of samples does to a distance between samples.
"""

from __future__ import annotations

import hashlib
import time
from itertools import product
from pathlib import Path
from typing import Any

import click
from numpy.typing import NDArray

from chapters.spectral import sampling, signals
from diffbook.datasets import digits, photos
from diffbook.metrics.cells import Cell, compare
from diffbook.metrics.samples import Metric, image_metrics
from diffbook.priors.gaussian import GaussianPrior
from press import paths
from press.records import provenance, read, short, write

#: Samples for each training seed; the second is the part of them that shows the bias.
N, FEW = 10_000, 400
STEPS, SEEDS = (5, 10, 20), (0, 1, 2)
METRICS = ("pixels", "gabor", "sliced W2", "spectrum dB", "held out")


def references(name: str) -> tuple[NDArray, NDArray, GaussianPrior]:
    """Training images, held-out images and Gaussian model of "digits" or "photos"."""
    if name == "digits":
        prior = GaussianPrior.estimated(digits.images(), stationary=False, shrinkage=0.01)
        return digits.images(), digits.images("test"), prior
    train, test = (photos.patches(20_000, size=16, split=s, rng=0) for s in ("train", "test"))
    return train, test, GaussianPrior.estimated(train, stationary=False)


def distances(name: str) -> dict[str, Metric]:
    """Metrics of the study, by name; "400 pixels" and so on look at the first samples only."""
    train, test, _ = references(name)
    found = image_metrics(train) | {"held out": image_metrics(test)["pixels"]}
    small = {f"{FEW} {key}": lambda x, f=f: f(x[:FEW]) for key, f in found.items()}
    return found | small


def networks(retrained: bool = False) -> dict[str, str]:
    """SHA-256 of the files of all networks of the study, by name; those that are missing are left out."""
    files = [
        paths.network(name, k, retrained=retrained) for name in ("digits", "photos") for k in SEEDS
    ]
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.is_file()}


def load(
    path: Path | None = None, *, retrained: bool = False
) -> tuple[dict[tuple[str, int], list[Cell]], dict[str, Any]]:
    """Read the study: {(data, samples): cells}, and what it says about itself with its floors.

    Its entry "fits" says whether the networks in use, recorded or `retrained`, are those it measured.
    """
    path = path or paths.study("spectral", "networks")
    if not path.is_file():
        raise FileNotFoundError(f"no study at {path}; make it: python -m chapters.spectral.record")
    document, found = read(path), {}
    if "networks" not in document["about"]:
        raise ValueError(f"{path}: names no networks; make it: python -m chapters.spectral.record")
    for row in document["cells"]:
        cells = found.setdefault((row["data"], row["n"]), [])
        cells += [Cell(row["S"], row["method"], m, row["seed"], row[m]) for m in METRICS]
    floors = {(row["data"], row["n"]): row for row in document["floors"]}
    fits = document["about"]["networks"] == networks(retrained)
    return found, document["about"] | {"floors": floors, "fits": fits}


def over_designed(measured: list[Cell], metric: str, S: int) -> dict[str, float]:
    """Distance of every heuristic over that of the schedule designed for W2, at S steps."""
    pairs = {h: compare(measured, metric, "spectral W2", h) for h in signals.HEURISTICS}
    return {h: 1 / next(pair.ratio[0] for pair in p if pair.S == S) for h, p in pairs.items()}


def make(n: int = N, steps: tuple[int, ...] = STEPS, say: Any = click.echo) -> dict[str, Any]:
    """Run all schedules with all networks."""
    rows, floors, counts = [], [], {n: "", FEW: f"{FEW} "}
    for name in ("digits", "photos"):
        train, _, prior = references(name)
        metrics, compared = distances(name), {S: signals.candidates(prior, S) for S in steps}
        real = train if name == "digits" else photos.patches(n, size=16, rng=1)
        for count in counts:
            floor = sampling.real_floor(real, {m: metrics[m] for m in METRICS}, count)
            floors.append({"data": name, "n": count} | {m: short([floor[m]])[0] for m in METRICS})
        for seed in SEEDS:
            found, _ = sampling.trained_quality(name, (seed,), compared, metrics, n=n)
            by = {(c.S, c.method, c.metric): c.value for c in found}
            for (S, group), (count, prefix) in product(compared.items(), counts.items()):
                for method in group:
                    head = {"data": name, "n": count, "seed": seed, "S": S, "method": method}
                    values = short([by[S, method, prefix + m] for m in METRICS], 5)
                    rows.append(head | dict(zip(METRICS, values, strict=True)))
            say(f"{name}, training seed {seed}: done")
    return {"floors": floors, "cells": rows}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--samples", type=click.IntRange(FEW), default=N, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Default: data/spectral/studies/.")
def main(samples: int, out: Path | None) -> None:
    """Sample from all trained denoisers with all schedules, and record the distances."""
    start = time.perf_counter()
    about = {
        "command": "python -m chapters.spectral.record", "n": samples, "few": FEW,
        "steps": STEPS, "training_seeds": SEEDS, "reference": "training images",
        "networks": networks(),
    }  # fmt: skip
    document = make(
        samples, say=lambda line: click.echo(f"{time.perf_counter() - start:6.0f} s  {line}")
    )
    out = out or paths.study("spectral", "networks")
    write(
        out,
        {"about": about | provenance() | {"wall_s": round(time.perf_counter() - start)}} | document,
    )
    click.echo(f"wrote {paths.relative(out)}")


if __name__ == "__main__":
    main()
