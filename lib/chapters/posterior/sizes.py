"""One design, images of every size: networks are convolutional, and a designed weight knows no size.

Two photographs that no network has seen are cut into squares of several sides and deblurred; all sides
hold the same pixels. The rule zeta'/|r| was tuned on patches of 16 pixels; its norm grows with the side.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chapters.posterior import restoration, tasks
from diffbook.datasets import photos
from press.records import short

#: Where the numbers of the methods were tuned, and the weights designed.
TUNED_AT = ("photos", "deblurring", 25)
NAMES, SIDE, SIDES = ("motorcycle", "coins"), 256, (16, 32, 64, 128, 256)
METHODS = (
    "DPS", "DPS, rescaled", "DPS, η = 0", "DPS, η = 0, rescaled", "bounded", "trimmed", "DDRM",
)  # fmt: skip


def crop(name: str) -> NDArray[np.float64]:
    """Middle of a photograph that no network was trained on, (256, 256) in [-1, 1]."""
    image = photos.photograph(name)
    top, left = ((n - SIDE) // 2 for n in image.shape)
    return image[top : top + SIDE, left : left + SIDE]


def squares(image: NDArray, side: int) -> NDArray[np.float64]:
    """Cut an image into squares, (n, side, side)."""
    cut = image.shape[0] // side
    return image.reshape(cut, side, cut, side).swapaxes(1, 2).reshape(-1, side, side)


def joined(cut: NDArray) -> NDArray[np.float64]:
    """Put squares (n, side, side) together again."""
    count, side = int(len(cut) ** 0.5), cut.shape[-1]
    return cut.reshape(count, count, side, side).swapaxes(1, 2).reshape(count * side, -1)


def deblurred(
    image: NDArray, side: int, method: str, k: int, tuned: Mapping[str, float],
    weights: restoration.Weights | None = None,
) -> tuple[NDArray, NDArray]:  # fmt: skip
    """One draw for every square of an image, and its measurement, both (n, side, side)."""
    data, name, S = TUNED_AT
    base = method.removesuffix(", rescaled")
    used = restoration.rule(base, tasks.make_task(data, name), S, tuned.get(base, 1.0), weights)
    if base != method:
        # The norm of a residual grows like the root of the number of pixels.
        used = used[0], used[1] * side / tasks.SIDES[data], used[2]
    x, y, _ = restoration.draws(
        tasks.make_task(data, name, side), squares(image, side), S, used, k, 1
    )
    return x[:, 0], y


def rows(tuned: Mapping[str, float]) -> dict[str, list[dict[str, Any]]]:
    """Squared error of every photograph, side, method and training seed."""
    found = []
    for name, side, method, k in product(NAMES, SIDES, METHODS, restoration.SEEDS):
        image = crop(name)
        x, _ = deblurred(image, side, method, k, tuned)
        psnr = 10.0 * np.log10(4.0 / np.mean((joined(x) - image) ** 2))
        head = {"image": name, "side": side, "method": method, "seed": k}
        found.append(head | {"PSNR": short([psnr])[0]})
    return {"sizes": found}
