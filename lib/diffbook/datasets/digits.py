"""The 8 x 8 handwritten digits that ship with scikit-learn (1,797 images, UCI, 1998)."""

import numpy as np

from diffbook._checks import choice
from diffbook._optional import need

#: Number of images in each split, dealt out by one fixed permutation.
SPLIT_SIZES = {"train": 1297, "validation": 200, "test": 300}


def images(split: str = "train", labels: bool = False):
    """Return the images of one split.

    Parameters
    ----------
    split
        `"train"`, `"validation"`, `"test"`, or `"all"` (the three, in this order).
    labels
        Also return the digit shown.

    Returns
    -------
    x : ndarray, shape (n, 8, 8), float64
        Values in [-1, 1]; the original grey levels 0 to 16 map to -1 to 1.
    y : ndarray, shape (n,), int64
        Only if `labels`.
    """
    choice(split, "split", (*SPLIT_SIZES, "all"))
    need("sklearn", "data", "datasets.digits")
    from sklearn.datasets import load_digits

    data = load_digits()
    # The order of the file follows the writers; a fixed permutation gives every split all of them.
    order = np.random.default_rng(20250131).permutation(len(data.images))
    parts = np.split(order, np.cumsum(list(SPLIT_SIZES.values()))[:-1])
    order = {**dict(zip(SPLIT_SIZES, parts, strict=True)), "all": order}[split]
    x = data.images[order] / 8.0 - 1.0
    return (x, data.target[order].astype(np.int64)) if labels else x
