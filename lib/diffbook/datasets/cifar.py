"""CIFAR-10, the first 4,000 training images, pixel-exact, through `DIFFBOOK_DATA`."""

import numpy as np

from diffbook.datasets import fetch


def images(split: str = "train") -> np.ndarray:
    """Return colour images.

    Parameters
    ----------
    split
        `"train"` (the first 3,200), `"validation"` (the next 400) or `"test"` (the last 400).

    Returns
    -------
    ndarray, shape (n, 32, 32, 3), float64
        Values in [-1, 1].

    Raises
    ------
    FileNotFoundError
        If the data set is absent; says how to get it.
    """
    parts = {"train": slice(0, 3200), "validation": slice(3200, 3600), "test": slice(3600, 4000)}
    if split not in parts:
        raise ValueError(f"split: got {split!r}, expected one of {sorted(parts)}")
    (path,) = fetch.fetch("cifar10")
    with np.load(path, allow_pickle=False) as archive:
        return archive["images"][parts[split]] / 127.5 - 1.0
