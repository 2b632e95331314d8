"""Made-up archives in the layout of the real ones."""

import gzip
import struct

import numpy as np
import pytest
from recordings import corpora, released_speech


def archive(folder, name, file, arrays):
    (folder / name).mkdir(exist_ok=True)
    np.savez(folder / name / file, **arrays)
    return folder / name / file


def idx(folder, file, values):
    """Write bytes in MNIST's format."""
    (folder / "mnist").mkdir(exist_ok=True)
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    held = gzip.compress(header + values.tobytes(), compresslevel=1)
    (folder / "mnist" / file).write_bytes(held)


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A folder of data sets, each whole."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    archive(folder, "fsdd", "fsdd_8k_int16.npz", {
        "samples": rng.integers(-3000, 3000, 60 * 500).astype(np.int16),
        "offsets": np.arange(61) * 500,
        "take": (np.arange(60) % 50).astype(np.uint8),
        "digit": (np.arange(60) % 10).astype(np.uint8),
        "speaker": (np.arange(60) % 6).astype(np.uint8),
        "sample_rate": np.array(8000),
    })  # fmt: skip
    images = rng.integers(0, 256, (4000, 32, 32, 3), dtype=np.uint8)
    classes = (np.arange(4000) // 7 % 10).astype(np.uint8)
    archive(
        folder, "cifar10", "cifar10_train4000_lossless.npz", {"images": images, "labels": classes}
    )
    for name, n in (("train", 60_000), ("t10k", 10_000)):
        digits = np.zeros((n, 28, 28), np.uint8)
        digits[:, 14, 7] = np.arange(n) % 256
        idx(folder, f"{name}-images-idx3-ubyte.gz", digits)
        idx(folder, f"{name}-labels-idx1-ubyte.gz", (np.arange(n) // 7 % 10).astype(np.uint8))
    corpora(folder)
    released_speech(folder)
    return folder


@pytest.fixture
def changed(data, tmp_path, monkeypatch):
    """Write a set again with some of its arrays changed, and point the loaders at it."""

    def change(name, **changes):
        (path,) = (data / name).iterdir()
        arrays = {**np.load(path), **changes}
        monkeypatch.setenv("DIFFBOOK_DATA", str(tmp_path))
        return archive(tmp_path, name, path.name, arrays)

    return change
