"""Samples of many schedules from the same starting noise, with exact and trained denoisers.

Schedules share their ends and the starting noise, so differences between them are paired.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from diffbook.metrics.cells import Cell
from diffbook.metrics.samples import Metric
from diffbook.samplers.unguided import ddim
from diffbook.threads import one_thread_each, torch_threads
from press import paths

Samples = dict[tuple[int, str], NDArray]


def real_floor(
    images: NDArray, metrics: Mapping[str, Metric], n: int, draws: int = 5, seed: int = 0
) -> dict[str, float]:
    """Mean value of every metric for n real images, over random subsets: what to aim for."""
    rng = np.random.default_rng(seed)
    subsets = [
        images[rng.choice(len(images), min(n, len(images)), replace=False)] for _ in range(draws)
    ]
    with one_thread_each():
        return {key: float(np.mean([f(x) for x in subsets])) for key, f in metrics.items()}


def sample_quality(
    denoiser: Callable,
    schedules: Mapping[int, Mapping[str, NDArray]],
    metrics: Mapping[str, Metric],
    *,
    shape: tuple[int, ...],
    n: int,
    seed: int = 0,
    dtype: str = "float64",
    keep: int = 0,
    workers: int | None = None,
) -> tuple[list[Cell], Samples]:
    """Measure n samples of a VP denoiser for all schedules {S: {name: alpha_bar}}.

    Also returns the first `keep` samples of each, by (S, name). As many schedules run at the same
    time as there are `workers` (by default cores), each on one thread, so that the results do not
    depend on the number of cores.
    """
    if n < 2:
        raise ValueError(f"n: got {n}, expected at least 2 samples (metrics need a covariance)")
    tasks = [(S, name, ab) for S, group in schedules.items() for name, ab in group.items()]
    for S, name, alpha_bar in tasks:
        if len(alpha_bar) != S + 1:
            raise ValueError(
                f"schedules[{S}][{name!r}]: got {len(alpha_bar)} levels, expected S + 1"
            )
    x_T = np.random.default_rng(seed).standard_normal((n, *shape)).astype(dtype)

    def run(task: tuple[int, str, NDArray]) -> tuple[list[Cell], NDArray]:
        S, name, alpha_bar = task
        x = ddim(denoiser, x_T, alpha_bar).sample.astype(np.float64)
        return [Cell(S, name, key, seed, float(f(x))) for key, f in metrics.items()], x[:keep]

    workers = workers or os.cpu_count() or 1
    with one_thread_each(), ThreadPoolExecutor(workers, initializer=torch_threads) as pool:
        results = list(pool.map(run, tasks))
    cells = [cell for found, _ in results for cell in found]
    return cells, {task[:2]: x for task, (_, x) in zip(tasks, results, strict=True)}


def trained_quality(
    name: str,
    seeds: Sequence[int],
    schedules: Mapping[int, Mapping[str, NDArray]],
    metrics: Mapping[str, Metric],
    *,
    n: int,
    seed: int = 0,
    keep: int = 0,
    retrained: bool = False,
) -> tuple[list[Cell], Samples]:
    """Run `sample_quality` with the denoisers of "photos" or "digits", one per training seed.

    Every training seed gets its own starting noise, derived from `seed`, so that the spread over
    seeds contains both sources of chance. Samples are kept from the first one. `retrained` takes
    weights that are made here where they are missing, in place of the recorded ones.
    """
    import torch

    from diffbook.nets.store import load_weights
    from diffbook.nets.training import make_weights
    from diffbook.nets.unet import as_denoiser

    device = "cuda" if torch.cuda.is_available() else "cpu"
    cells, kept = [], {}
    for k in seeds:
        path = paths.network(name, k, retrained=retrained)
        if retrained and not path.is_file():
            make_weights(name, k, path)
        model, about = load_weights(path)
        side = 16 if about["config"]["data"] == "photos" else 8
        noise_seed = int(np.random.SeedSequence([seed, k]).generate_state(1)[0])
        found, samples = sample_quality(
            as_denoiser(model, device), schedules, metrics,
            shape=(side, side), n=n, seed=noise_seed, dtype="float32", keep=keep,
        )  # fmt: skip
        cells += [replace(cell, seed=k) for cell in found]
        kept = kept or samples
    return cells, kept
