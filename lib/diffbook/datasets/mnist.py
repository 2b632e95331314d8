"""MNIST, 70,000 handwritten digits of 28 x 28, through `DIFFBOOK_DATA` or the cache."""

import gzip
import zlib
from pathlib import Path

import numpy as np

from diffbook._checks import choice, reals, whole
from diffbook.datasets import fetch

#: Which files hold a split, and which of their images: the last 5,000 for training are kept aside.
SPLITS = {
    "train": (0, slice(0, 55_000)),
    "validation": (0, slice(55_000, 60_000)),
    "test": (2, slice(0, 10_000)),
}


def images(split: str = "train", labels: bool = False):
    """Return grey images.

    Raises ValueError if a file of the set is damaged or holds something else.

    Parameters
    ----------
    split
        `"train"` (the first 55,000), `"validation"` (the next 5,000) or `"test"` (10,000, by other
        writers).
    labels
        Also return the digit shown.

    Returns
    -------
    x : ndarray, shape (n, 28, 28), float32
        Values in [-1, 1], -1 the background. Single precision: in double, the set has half a gigabyte.
    y : ndarray, shape (n,), int64
        Only if `labels`.
    """
    first, part = SPLITS[choice(split, "split", SPLITS)]
    paths = fetch.files("mnist")[first : first + 2]
    n = 10_000 if first else 60_000
    x, y = read_idx(paths[0], (n, 28, 28)), read_idx(paths[1], (n,))
    whole(int(np.ptp(x)), f"{paths[0]}: range of images", 128, 255, hint="grey levels of 8 bits")
    reals(y, f"{paths[1]}: labels", "[0, 9]", hint="digits")
    found = x[part].astype(np.float32) / np.float32(127.5) - np.float32(1.0)
    return (found, y[part].astype(np.int64)) if labels else found


def read_idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Read bytes of this shape from a gzipped IDX file; a damaged or another one is refused by name."""
    try:
        held = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: expected a whole gzip file ({error})") from error
    # Header: two zeros, 8 for unsigned bytes, the number of dimensions, then each as big-endian int32.
    header = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">i4").tobytes()
    if held[: len(header)] != header or len(held) != len(header) + np.prod(shape):
        raise ValueError(
            f"{path}: expected unsigned bytes of shape {shape} in IDX format, got the header "
            f"{held[: len(header)].hex(' ', 4)} and {len(held)} bytes"
        )
    return np.frombuffer(held, np.uint8, offset=len(header)).reshape(shape)
