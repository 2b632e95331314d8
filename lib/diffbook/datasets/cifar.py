"""CIFAR-10, the first 4,000 training images, pixel-exact, through `DIFFBOOK_DATA` or the cache."""

import numpy as np

from diffbook._checks import choice, reals, whole
from diffbook.datasets import fetch


def images(split: str = "train", labels: bool = False):
    """Return colour images.

    Raises FileNotFoundError if the set is absent, ValueError if its file holds something else.

    Parameters
    ----------
    split
        `"train"` (the first 3,200), `"validation"` (the next 400) or `"test"` (the last 400).
    labels
        Also return the class, 0 to 9: aeroplane, car, bird, cat, deer, dog, frog, horse, ship, lorry.

    Returns
    -------
    x : ndarray, shape (n, 32, 32, 3), float64
        Values in [-1, 1].
    y : ndarray, shape (n,), int64
        Only if `labels`.
    """
    parts = {"train": slice(0, 3200), "validation": slice(3200, 3600), "test": slice(3600, 4000)}
    part = parts[choice(split, "split", parts)]
    (path,) = fetch.files("cifar10")
    kinds = {"images": (np.uint8, (4000, 32, 32, 3))}
    if labels:
        kinds["labels"] = (np.integer, (4000,))
    found, *more = fetch.arrays(path, **kinds)
    whole(int(np.ptp(found)), f"{path}: range of images", 128, 255, hint="grey levels of 8 bits")
    x = found[part] / 127.5 - 1.0
    if not labels:
        return x
    y = reals(more[0], f"{path}: labels", "[0, 9]", hint="ten classes")
    return x, y[part].astype(np.int64)
