"""CIFAR-10, the first 4,000 training images, pixel-exact, through `DIFFBOOK_DATA`."""

import numpy as np

from diffbook._checks import choice, whole
from diffbook.datasets import fetch


def images(split: str = "train") -> np.ndarray:
    """Return colour images.

    Raises FileNotFoundError if the set is absent, ValueError if its file holds something else.

    Parameters
    ----------
    split
        `"train"` (the first 3,200), `"validation"` (the next 400) or `"test"` (the last 400).

    Returns
    -------
    ndarray, shape (n, 32, 32, 3), float64
        Values in [-1, 1].
    """
    parts = {"train": slice(0, 3200), "validation": slice(3200, 3600), "test": slice(3600, 4000)}
    part = parts[choice(split, "split", parts)]
    (path,) = fetch.fetch("cifar10")
    (found,) = fetch.arrays(path, images=(np.uint8, (4000, 32, 32, 3)))
    whole(int(np.ptp(found)), f"{path}: range of images", 128, 255, hint="grey levels of 8 bits")
    return found[part] / 127.5 - 1.0
