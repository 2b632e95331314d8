"""Restoration with trained denoisers: four tasks, guidance weights by design, by tuning, by habit.

All methods of one (data set, task, number of steps, training seed) see the same measurements and start
from the same noise, so differences are paired. Networks are those of chapter 1; their answer is clamped
to [-1.5, 1.5].

Sources: DPS, Chung et al. 2023 (arXiv 2209.14687); PiGDM, Song et al. 2023 (ICLR); DiffPIR, Zhu et al.
2023 (arXiv 2305.08995); design of weights, Benita, Elad, Keshet 2026 (arXiv 2602.07715).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from chapters.posterior import tasks
from diffbook import inverse, samplers
from diffbook.inverse import gains, published
from diffbook.inverse.blocks.design import trimmed
from diffbook.metrics.cells import Cell, summary
from diffbook.metrics.restoration import consistency, psnr, ssim
from diffbook.metrics.samples import image_metrics
from diffbook.samplers.protocol import initial_noise, step_noise
from diffbook.schedules.families import ddpm_respaced
from diffbook.threads import one_thread_each, torch_threads
from press import paths

#: Range that a network's answer is clamped to: the images' [-1, 1] with a margin.
CLIP = (-1.5, 1.5)

STEPS = (5, 10, 25, 50, 100)
SEEDS = (0, 1, 2)
METHODS = ("designed", "designed, trimmed", "tuned", "standard")
MORE_METHODS = ("PiGDM designed", "PiGDM published", "DiffPIR designed", "DiffPIR 7")

#: Reference sets of the Fréchet distances: test images, all digits and as many disjoint patches.
N_REFERENCE = {"photos": 1232, "digits": 300}

#: Designed weights (S,) by (data, task, S, sampler).
Weights = Mapping[tuple[str, str, int, str], NDArray]


@cache
def network(data: str, seed: int) -> Callable:
    """Load the recorded denoiser of one training seed, differentiable and clamped."""
    from diffbook.nets.store import load_weights
    from diffbook.nets.unet import as_denoiser

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, _ = load_weights(paths.network(data, seed))
    return samplers.clipped(as_denoiser(model, device, differentiable=True), *CLIP)


def measured(task: tasks.Task, x0: NDArray, seed: int, k: int) -> NDArray[np.float64]:
    """Measurements (n, *measurement_shape) of images (n, side, side)."""
    noise = initial_noise(tasks.noise_seeds(seed, k, len(x0), 0), task.operator.measurement_shape)
    return inverse.measure(task.operator, x0, task.sigma_y, noise)


def rule(
    method: str, task: tasks.Task, S: int, zeta: float | None = None, weights: Weights | None = None
) -> tuple[str, Any, dict[str, Any]]:
    """Sampler, guidance weights (S,) or zeta', and options of a method; see `METHODS`."""
    if method not in (*METHODS, *MORE_METHODS):
        raise ValueError(f"method: got {method!r}, expected one of {(*METHODS, *MORE_METHODS)}")
    if method == "tuned" and zeta is None:
        raise ValueError("zeta: got None, expected the tuned zeta' of this task and S")
    if method in ("tuned", "standard"):
        return "dps", float(zeta if method == "tuned" else 1.0), {}
    if method == "PiGDM published":
        return "pigdm", gains.pigdm_published(ddpm_respaced(S)), {}
    if method == "DiffPIR 7":
        return "diffpir", np.full(S, 7.0), {}
    sampler = {"PiGDM designed": "pigdm", "DiffPIR designed": "diffpir"}.get(method, "dps")
    found = (weights or {}).get((task.data, task.name, S, sampler))
    if found is None:
        found = tasks.designed_weights(task.data, task.name, S, sampler)
    if method == "designed, trimmed":
        problem = tasks.block_problem(task.data, task.name)
        return sampler, trimmed(problem, ddpm_respaced(S), found), {}
    # The blocks of modes that DiffPIR's weights are designed on know no fresh noise.
    return sampler, found, {"zeta": 0.0} if sampler == "diffpir" else {}


def restore(
    denoiser: Callable,
    task: tasks.Task,
    y: NDArray,
    S: int,
    sampler: str,
    weights: Any,
    *,
    seeds: Sequence[int],
    **options: Any,
) -> tuple[NDArray[np.float32], int]:
    """Restore measurements y (n, ...) with one sampler of `published`, in float32 torch."""
    weights = published.normalised(weights) if isinstance(weights, float) else weights
    like = torch.empty(0, dtype=torch.float32)
    x_T = initial_noise(seeds, task.operator.shape, like)
    result = getattr(published, sampler)(
        denoiser, x_T, ddpm_respaced(S), y=torch.as_tensor(y, dtype=torch.float32),
        operator=task.operator, sigma_y=task.sigma_y, weights=weights,
        noise=step_noise(seeds), **options,
    )  # fmt: skip
    return result.sample.numpy(), result.nfe


def score(
    task: tasks.Task, S: int, method: str, k: int, x0: NDArray, y: NDArray, sample: NDArray, nfe: int,
    metrics: Mapping[str, Callable],
) -> list[Cell]:  # fmt: skip
    """Measure restored images: metrics of each image, of the whole set, and denoiser calls."""
    found = {
        "PSNR": psnr(sample, x0),
        "SSIM": ssim(sample, x0),
        "consistency": consistency(sample, y, task.operator, task.sigma_y),
        **{name: float(f(sample.astype(np.float64))) for name, f in metrics.items()},
        "nfe": nfe,
    }
    group = (task.data, task.name)
    return [Cell(S, method, metric, k, value, group) for metric, value in found.items()]


@cache
def set_metrics(data: str) -> dict[str, Callable]:
    """Fréchet distances and spectral error against the test images of a data set."""
    reference = tasks.images(data, "test", N_REFERENCE[data])
    return {k: f for k, f in image_metrics(reference).items() if k != "sliced W2"}


def run_cells(
    data: str,
    names: Sequence[str] = tasks.TASKS,
    steps: Sequence[int] = STEPS,
    methods: Sequence[str] = METHODS,
    seeds: Sequence[int] = SEEDS,
    *,
    n: int = 100,
    seed: int = 0,
    zetas: Mapping[tuple[str, str, int], float],
    weights: Weights | None = None,
    split: str = "test",
    workers: int = 2,
) -> list[Cell]:
    """Run every combination on the same n images; the result does not depend on `workers`."""
    if n < 2:
        raise ValueError(f"n: got {n}, expected at least 2 images")
    x0 = tasks.images(data, split, n)
    metrics = set_metrics(data)
    plan = [
        (tasks.make_task(data, name), S, method, k)
        for name in names for S in steps for method in methods for k in seeds
    ]  # fmt: skip
    # Designs and networks are cached: made here, once, not by several threads at a time.
    rules = {
        (name, S, m): rule(m, tasks.make_task(data, name), S, zetas.get((data, name, S)), weights)
        for name in names for S in steps for m in methods
    }  # fmt: skip
    networks = {k: network(data, k) for k in seeds}

    def source(task: tasks.Task, S: int, method: str, k: int) -> tuple:
        # Methods with equal weights (nothing to trim, zeta' tuned to 1) share one run.
        sampler, used, options = rules[task.name, S, method]
        return task.name, S, k, sampler, np.asarray(used).tobytes(), str(options)

    def run(job: tuple[tasks.Task, int, str, int]) -> tuple[NDArray, NDArray, int]:
        task, S, method, k = job
        sampler, used, options = rules[task.name, S, method]
        y = measured(task, x0, seed, k)
        sample, nfe = restore(
            networks[k], task, y, S, sampler, used,
            seeds=tasks.noise_seeds(seed, k, n, 1), **options,
        )  # fmt: skip
        return y, sample, nfe

    jobs = {source(*job): job for job in plan}
    with one_thread_each(), ThreadPoolExecutor(workers, initializer=torch_threads) as pool:
        done = dict(zip(jobs, pool.map(run, jobs.values()), strict=True))
    scored = (score(*job, x0, *done[source(*job)], metrics) for job in plan)
    return [cell for found in scored for cell in found]


#: Names that figures show for the methods and metrics of the studies.
LABELS = {
    "designed": "DPS designed",
    "designed, trimmed": "DPS trimmed",
    "tuned": "DPS tuned",
    "standard": "DPS standard",
    "zeta' = 1": "DPS standard",
    "zeta' = 0.3": "DPS, ζ′ = 0.3",
    "PSNR": "PSNR (dB)",
    "gabor": "Fréchet (Gabor)",
}


def quality(cells: Sequence[Cell], metrics: Sequence[str]) -> dict[str, dict[str, list]]:
    """Means and intervals for a figure: {metric: {method: [(mean, low, high) for every S]}}."""
    return {
        LABELS.get(metric, metric): {
            LABELS.get(name, name): rows for name, rows in summary(cells, metric).items()
        }
        for metric in metrics
    }
