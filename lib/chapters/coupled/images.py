"""Image tasks: two degradations at two strengths each, on digits, MNIST or CIFAR-10."""

from __future__ import annotations

from functools import cache, partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from chapters.coupled.steps import Task
from diffbook.coupled import vp_levels
from diffbook.datasets import cifar, digits, mnist
from diffbook.metrics.restoration import psnr
from diffbook.nets.conditional import Classifier, LogitsNet, SignalNet

#: Degradations: share of replaced values; standard deviation of the blur (pixels) and of the noise.
#: Chosen on validation images, so that the classifier is right on two and on one of five.
STRENGTHS = {
    "digits": {
        "pixels 30%": 0.3,
        "pixels 50%": 0.5,
        "blur 0.8": (0.8, 0.3),
        "blur 1.0": (1.0, 0.5),
    },
    "mnist": {"pixels 30%": 0.3, "pixels 70%": 0.7, "blur 2": (2.0, 0.3), "blur 3": (3.0, 0.5)},
    "cifar10": {"pixels 15%": 0.15, "pixels 30%": 0.3, "blur 1": (1.0, 0.0), "blur 2": (2.0, 0.0)},
}
#: Side of the patches that become features, largest shift of an augmented image, test images.
FOLD, SHIFT, N_TEST, DRAWS = {"digits": 2, "mnist": 4, "cifar10": 4}, 1, 300, 2


@cache
def images(data: str, split: str) -> tuple[NDArray, NDArray]:
    """Images (n, channels, side, side) in [-1, 1], float32, and their labels."""
    found, labels = {"digits": digits, "mnist": mnist, "cifar10": cifar}[data].images(
        split, labels=True
    )
    found = found[..., None] if found.ndim == 3 else found
    return np.ascontiguousarray(np.moveaxis(found, -1, 1), np.float32), labels


def shifted(x: NDArray, rng: np.random.Generator) -> NDArray:
    """Shift half of the images by up to one pixel; the background comes in."""
    n, side = len(x), x.shape[-1]
    padded = np.pad(x, ((0, 0), (0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)), mode="edge")
    move = np.where(rng.random((n, 1)) < 0.5, SHIFT, rng.integers(2 * SHIFT + 1, size=(n, 2)))
    row, column = (move[:, k, None] + np.arange(side) for k in (0, 1))
    return padded[np.arange(n)[:, None, None], :, row[:, :, None], column[:, None]].transpose(
        0, 3, 1, 2
    )


def degrade(x: NDArray, strength: float | tuple, rng: np.random.Generator, data: str) -> NDArray:
    """Replace values by noise, as the released code does, or blur and add noise; cut to [-1, 1]."""
    if isinstance(strength, tuple):
        blur, noise = strength
        u = gaussian_filter(x, (0, 0, blur, blur), mode="nearest")
        u = u + noise * rng.standard_normal(x.shape, np.float32)
    else:
        # Normal with the mean and spread of the data, which is N(0, 1) where the classifier looks.
        clean = images(data, "train")[0]
        e = clean.mean() + clean.std() * rng.standard_normal(x.shape, np.float32)
        u = np.where(rng.random(x.shape) < strength, e, x)
    return u.clip(-1.0, 1.0)


def examples(data: str, name: str, split: str) -> tuple[torch.Tensor, torch.Tensor, NDArray]:
    """Clean images, observations and labels of a split: each image with several draws."""
    x, labels = (np.concatenate([a[:N_TEST]] * DRAWS) for a in images(data, split))
    u = degrade(x, STRENGTHS[data][name], np.random.default_rng(11), data)
    return torch.as_tensor(x), torch.as_tensor(u), labels


@cache
def task(data: str, name: str, width: int = 32) -> Task:
    """Make one task; the name says what is done to the images and how strongly."""
    x, labels = images(data, "train")
    channels, strength = x.shape[1], STRENGTHS[data][name]
    how = {"channels": channels, "classes": 10, "width": width, "dims": 2, "fold": FOLD[data]}
    spread = float(x.std())

    def draw(rng: np.random.Generator, n: int) -> tuple[NDArray, NDArray, NDArray]:
        index = rng.integers(len(x), size=n)
        clean = shifted(x[index], rng)
        return clean, degrade(clean, strength, rng, data), labels[index]

    return Task(
        name, 10, draw, partial(examples, data, name), vp_levels, 150, (30, 5, 10, 150),
        {
            "classifier": partial(Classifier, **how),
            "signal": partial(SignalNet, **how, depth=2, sigma_data=spread),
            "logits": partial(LogitsNet, **how, sigma_data=spread),
        },
        lambda f, x_hat: f(x_hat),
        lambda x_hat, x: psnr(x_hat.numpy(), x.numpy(), 2.0),
    )  # fmt: skip
