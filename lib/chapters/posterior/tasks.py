"""Four restoration tasks on the two image sets, their Gaussian models, and weights designed on them.

Everything here is fixed before an image is restored: degradations, noise levels, splits, the Gaussian
model of a task, and the three kinds of designed weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from diffbook import inverse
from diffbook.inverse.blocks import problem as blocks
from diffbook.inverse.blocks.design import design_weights, trimmed
from diffbook.priors.gaussian import GaussianPrior
from diffbook.schedules.families import ddpm_respaced

SIDES = {"photos": 16, "digits": 8}
TASKS = ("deblurring", "super-resolution", "inpainting", "denoising")

#: Standard deviation of the blur (pixels), and of the noise: of denoising, and of the other tasks.
BLUR_STD = {"photos": 1.0, "digits": 0.8}
SIGMA_Y = {"photos": (0.3, 0.05), "digits": (0.5, 0.1)}

#: Designs: the paper's objective alone; kept below the stability bound and, by a small penalty on the
#: logarithms, near the reference; the first, reduced until states keep the power of noisy data.
KINDS = ("free", "bounded", "trimmed")
TIKHONOV = 1e-4

#: Iterations of a design per start: the last per cent of the model's distance is not worth more.
MAX_ITER = 100


@dataclass(frozen=True, eq=False)
class Task:
    """One inverse problem on one data set."""

    data: str  # "photos" or "digits"
    name: str  # one of `TASKS`
    operator: inverse.Degradation
    sigma_y: float  # images are in [-1, 1]


@cache
def make_task(data: str, name: str, size: int | None = None) -> Task:
    """Make one task: a Gaussian blur, means of 2 x 2 pixels, half of the pixels, or noise alone."""
    if data not in SIDES:
        raise ValueError(f"data: got {data!r}, expected one of {sorted(SIDES)}")
    if name not in TASKS:
        raise ValueError(f"name: got {name!r}, expected one of {TASKS}")
    shape = (size or SIDES[data],) * 2
    noisy, sigma_y = SIGMA_Y[data]
    if name == "denoising":
        return Task(data, name, inverse.identity(shape), noisy)
    if name == "deblurring":
        transfer = inverse.gaussian_transfer(shape, BLUR_STD[data])
        return Task(data, name, inverse.Blur.from_transfer(transfer), sigma_y)
    if name == "super-resolution":
        # The third entry puts the kernel's centre on the first pixel of each pair.
        pair = np.array([0.5, 0.5, 0.0])
        blur = inverse.Blur.from_kernel(np.outer(pair, pair), shape)
        return Task(data, name, inverse.Downsampling(shape, 2, blur), sigma_y)
    kept = np.random.default_rng(20260207).permutation(shape[0] * shape[1]) % 2 == 0
    return Task(data, name, inverse.Mask(kept.reshape(shape)), sigma_y)


@cache
def images(data: str, split: str, n: int, size: int | None = None) -> NDArray[np.float64]:
    """Return n different images of a split, (n, side, side) in [-1, 1]; patches share no pixel."""
    # A fixed permutation decides which patches come first: the first 100 of 200 are those of 100.
    pool = _pool(data, split, size)
    if not 1 <= n <= len(pool):
        raise ValueError(f"n: got {n}, expected 1 to {len(pool)} ({data}, {split})")
    return pool[:n]


def available(data: str, split: str, size: int | None = None) -> int:
    """Return how many images `images` has."""
    return len(_pool(data, split, size))


@cache
def _pool(data: str, split: str, size: int | None) -> NDArray[np.float64]:
    from diffbook.datasets import digits, photos

    if data == "digits":
        return _frozen(digits.images(split))
    size = size or SIDES["photos"]
    cut = photos.TILE // size
    tiles = np.stack(photos.tiles(split))[:, : cut * size, : cut * size]
    pool = tiles.reshape(-1, cut, size, cut, size).swapaxes(2, 3).reshape(-1, size, size)
    return _frozen(pool[np.random.default_rng(20260208).permutation(len(pool))])


def _frozen(values: NDArray) -> NDArray:
    """Read-only view: who shares a cached array cannot change it for the others."""
    values = values.view()
    values.flags.writeable = False
    return values


def noise_seeds(seed: int, k: int, n: int, stream: int) -> list[int]:
    """One seed per image, from the run's seed, the training seed and what the noise is for."""
    return np.random.SeedSequence([seed, k, stream]).generate_state(n, np.uint64).tolist()


@cache
def prior(data: str) -> GaussianPrior:
    """Gaussian model of a data set: mean image and spectrum of its training images."""
    # Stationary, but for the mean: digits are centred, and a model that took their mean image for
    # random structure would see about twice their variance.
    from diffbook.nets.training import pool

    x = pool(data, "train")[:, 0].numpy().astype(np.float64)
    return GaussianPrior.estimated(x, mean="signal")


@cache
def block_problem(data: str, name: str) -> blocks.BlockProblem:
    """Gaussian model of a task, exact for every degradation: modes that couple share a block."""
    task, model = make_task(data, name), prior(data)
    if isinstance(task.operator, inverse.Blur):
        return blocks.from_blur(model, task.operator.spectrum, task.sigma_y)
    if isinstance(task.operator, inverse.Downsampling):
        down = task.operator
        return blocks.from_downsampling(model, down.factor, down.blur.spectrum, task.sigma_y)
    return blocks.from_matrix(model, inverse.matrix(task.operator), task.sigma_y)


@cache
def designed_weights(
    data: str, name: str, S: int, sampler: str = "dps", kind: str = "free", noise: float = 0.0
) -> NDArray[np.float64]:
    """Weights (S,) designed on the Gaussian model; `noise` is DiffPIR's zeta, the others' eta."""
    if kind not in KINDS:
        raise ValueError(f"kind: got {kind!r}, expected one of {KINDS}")
    problem, alpha_bar = block_problem(data, name), ddpm_respaced(S)
    options = {"zeta" if sampler == "diffpir" else "eta": noise, "max_iter": MAX_ITER}
    if kind == "trimmed":
        free = designed_weights(data, name, S, sampler, "free", noise)
        return _frozen(trimmed(problem, alpha_bar, free))
    if sampler != "diffpir":
        # The objective has several minima: a design that may not overshoot is a start of its own.
        shy = design_weights(problem, alpha_bar, sampler, cap="no-overshoot", **options)
        options["starts"] = {"no overshoot": shy.weights}
    if kind == "bounded":
        options["tikhonov"] = TIKHONOV * float(prior(data).lam.sum())
        options["cap"] = None if sampler == "diffpir" else "stability"
    return _frozen(design_weights(problem, alpha_bar, sampler, **options).weights)
