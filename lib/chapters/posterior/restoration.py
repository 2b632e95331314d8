"""Restoration with trained denoisers: samplers as their authors run them, and designed weights.

All methods of one (data set, task, number of steps, training seed) see the same measurements, and start
from the same noise, several times for each image: differences are paired, and samplers are judged as
samplers, by the energy score and by spread over error. Networks are those of chapter 1; their answer is
clamped to [-1.5, 1.5].

Sources: DPS, Chung et al. 2023 (arXiv 2209.14687); PiGDM, Song et al. 2023 (ICLR); DiffPIR, Zhu et al.
2023 (arXiv 2305.08995); DDRM, Kawar et al. 2022 (arXiv 2201.11793); DDNM+, Wang et al. 2023 (arXiv
2212.00490); design of weights, Benita, Elad, Keshet 2026 (arXiv 2602.07715).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from chapters.posterior import tasks
from diffbook import inverse, samplers
from diffbook.inverse import gains, published
from diffbook.inverse.blocks.chain import Chain
from diffbook.metrics.cells import Cell, summary
from diffbook.metrics.restoration import consistency, energy_score, psnr, spread_over_error, ssim
from diffbook.metrics.samples import image_metrics
from diffbook.samplers.protocol import initial_noise, step_noise
from diffbook.schedules.families import ddpm_respaced
from press import paths

#: Range that a network's answer is clamped to: the images' [-1, 1] with a margin.
CLIP = (-1.5, 1.5)

STEPS = (5, 10, 25, 50)
SEEDS = (0, 1, 2)

#: Values among which each method's one number is tuned on validation images, as many for each.
ZETAS = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0)
LAMBDAS = (0.5, 1.0, 2.0, 4.0, 7.0, 10.0, 14.0, 20.0, 28.0, 56.0, 112.0)
FACTORS = (0.25, 0.35, 0.5, 0.7, 0.85, 1.0, 1.2, 1.4, 2.0, 2.8, 4.0)
ETAS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

#: Reference sets of the Fréchet distances: test images, all digits and as many disjoint patches.
N_REFERENCE = {"photos": 1232, "digits": 300}


class Method(NamedTuple):
    """A sampler of `published`, where its weights come from, and what is tuned."""

    sampler: str
    weights: str  # "rule", "published", "constant", "none", or a kind of design
    noise: float | None = 0.0  # eta, or DiffPIR's zeta; None: it is the tuned number
    grid: tuple[float, ...] = (1.0,)  # of zeta', lambda, a factor of the weights, or eta

    @property
    def design(self) -> tuple[str, str, float] | None:
        """Sampler, kind and noise of the design that the weights are, if they are one."""
        found = self.weights in tasks.KINDS and self.noise is not None
        return (self.sampler, self.weights, self.noise) if found else None


METHODS = {
    "DPS": Method("dps", "rule", 1.0, ZETAS),
    "DPS, η = 0": Method("dps", "rule", 0.0, ZETAS),
    "DPS, 1/‖r‖": Method("dps", "rule", 1.0),
    "PiGDM": Method("pigdm", "published", 1.0, FACTORS),
    "DiffPIR": Method("diffpir", "constant", 1.0, LAMBDAS),
    "DDRM": Method("ddrm", "none", None, ETAS),
    "DDNM+": Method("ddnm_plus", "none", None, ETAS),
    "free": Method("dps", "free"),
    "bounded": Method("dps", "bounded"),
    "trimmed": Method("dps", "trimmed"),
    "bounded × c": Method("dps", "bounded", 0.0, FACTORS),
    "bounded, η = 1": Method("dps", "bounded", 1.0),
    "PiGDM bounded": Method("pigdm", "bounded", 1.0),
    "DiffPIR designed": Method("diffpir", "bounded", 1.0),
    "DiffPIR designed, ζ = 0": Method("diffpir", "bounded", 0.0),
}

#: Designed weights (S,) by (data, task, S, *`Method.design`).
Weights = Mapping[tuple, NDArray]

#: Tuned numbers by (data, task, S, method).
Tuned = Mapping[tuple[str, str, int, str], float]


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
    name: str, task: tasks.Task, S: int, value: float = 1.0, weights: Weights | None = None
) -> tuple[str, Any, dict[str, float]]:
    """Sampler, guidance weights and options of a method with its tuned number."""
    if name not in METHODS:
        raise ValueError(f"method: got {name!r}, expected one of {tuple(METHODS)}")
    method = METHODS[name]
    noise = value if method.noise is None else method.noise
    options = {"zeta" if method.sampler == "diffpir" else "eta": noise}
    if method.design:
        key = (task.data, task.name, S, *method.design)
        known = weights is not None and key in weights
        found = weights[key] if known else tasks.designed_weights(*key)
        return method.sampler, value * found, options
    given = {
        "rule": lambda: float(value),
        "published": lambda: value * gains.pigdm_published(ddpm_respaced(S)),
        "constant": lambda: np.full(S, value),
        "none": lambda: None,
    }
    return method.sampler, given[method.weights](), options


def restore(
    denoiser: Callable, task: tasks.Task, y: NDArray, S: int, sampler: str, weights: Any, *,
    seeds: Sequence[int], **options: Any,
) -> tuple[NDArray[np.float32], int]:  # fmt: skip
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


def draws(
    task: tasks.Task,
    x0: NDArray,
    S: int,
    used: tuple[str, Any, dict],
    k: int,
    m: int,
    seed: int = 0,
) -> tuple[NDArray[np.float64], NDArray, int]:
    """Restore every image m times from its one measurement: samples (n, m, h, w), y, and NFE."""
    sampler, weights, options = used
    y, n = measured(task, x0, seed, k), len(x0)
    x, nfe = restore(
        network(task.data, k), task, np.repeat(y, m, axis=0), S, sampler, weights,
        seeds=tasks.noise_seeds(seed, k, n * m, 1), **options,
    )  # fmt: skip
    return x.reshape(n, m, *x0.shape[1:]).astype(np.float64), y, nfe


def score(task: tasks.Task, x0: NDArray, x: NDArray, y: NDArray) -> dict[str, Any]:
    """Measure samples x (n, m, h, w): as samples, as estimates (the first of each), as a set."""
    first, error = x[:, 0], np.mean((x - x0[:, None]) ** 2, axis=(1, 2, 3))
    every = x.reshape(-1, *x0.shape[1:])
    return {
        "energy": 50.0 * energy_score(x, x0),  # per cent of the grey range, 2
        "spread/error": spread_over_error(x, x0),
        "PSNR": psnr(every, np.repeat(x0, x.shape[1], axis=0)).reshape(x.shape[:2]).mean(1),
        "squared error": error,
        "SSIM": ssim(first, x0),
        "consistency": consistency(first, y, task.operator, task.sigma_y),
        **{name: float(f(every)) for name, f in set_metrics(task.data).items()},
    }


@cache
def set_metrics(data: str) -> dict[str, Callable]:
    """Fréchet distances and spectral error against the test images of a data set."""
    reference = tasks.images(data, "test", N_REFERENCE[data])
    return {k: f for k, f in image_metrics(reference).items() if k != "sliced W2"}


def run_cells(
    data: str,
    name: str,
    steps: Sequence[int] = STEPS,
    methods: Sequence[str] = tuple(METHODS),
    seeds: Sequence[int] = SEEDS,
    *,
    n: int = 40,
    m: int = 10,
    seed: int = 0,
    tuned: Tuned,
    weights: Weights | None = None,
    split: str = "test",
) -> list[Cell]:
    """Restore the same n images m times with every method; methods with equal weights share a run."""
    if n < 2:
        raise ValueError(f"n: got {n}, expected at least 2 images")
    task, x0 = tasks.make_task(data, name), tasks.images(data, split, n)
    group, found = (data, name), []
    for S in steps:
        used = {a: rule(a, task, S, tuned.get((*group, S, a), 1.0), weights) for a in methods}
        for k in seeds:
            done: dict[tuple, dict[str, Any]] = {}
            for method, (sampler, array, options) in used.items():
                key = sampler, type(array), np.asarray(array).tobytes(), str(options)
                if key not in done:
                    x, y, nfe = draws(task, x0, S, used[method], k, m, seed)
                    done[key] = {**score(task, x0, x, y), "nfe": nfe}
                found += [Cell(S, method, metric, k, v, group) for metric, v in done[key].items()]
    return found


def predicted(task: tasks.Task, S: int, used: tuple[str, Any, dict]) -> float:
    """``E_y W2^2`` of a method in the Gaussian model of the task; NaN where the model has none."""
    sampler, weights, options = used
    if sampler not in ("dps", "pigdm", "diffpir"):
        return float("nan")
    chain = Chain(tasks.block_problem(task.data, task.name), ddpm_respaced(S), sampler, **options)
    return chain.value(chain.normalised(weights) if isinstance(weights, float) else weights)


#: Names that figures show for the methods and metrics of the studies.
LABELS = {name: f"DPS {name}" for name, m in METHODS.items() if m.design and m.sampler == "dps"}
LABELS |= {
    "tuned": "DPS tuned",
    "zeta' = 1": "DPS standard",
    "zeta' = 0.3": "DPS, ζ′ = 0.3",
    "PSNR": "PSNR (dB)",
    "energy": "energy score (% of the grey range)",
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
