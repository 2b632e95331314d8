"""What is read out of the archives that data sets are published in; nothing is unpacked to the disk."""

import io
import re
import tarfile
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_TAKE = re.compile(r"recordings/(?P<digit>\d)_(?P<speaker>[a-z]+)_(?P<take>\d+)\.wav$")


def fsdd(archive: Path) -> dict[str, NDArray]:
    """Join the recordings of the Free Spoken Digit Dataset in the order speaker, digit, take."""
    with zipfile.ZipFile(archive) as held:
        takes = sorted(
            (found["speaker"], int(found["digit"]), int(found["take"]), name)
            for name in held.namelist()
            if (found := _TAKE.search(name))
        )
        sounds = [_sound(held.read(name)) for *_, name in takes]
    speakers, digits, numbers, _ = zip(*takes, strict=True)
    names, speaker = np.unique(speakers, return_inverse=True)
    return {
        "samples": np.concatenate(sounds),
        "offsets": np.cumsum([0, *map(len, sounds)], dtype=np.int64),
        "digit": np.array(digits, np.uint8),
        "speaker": speaker.astype(np.uint8),
        "take": np.array(numbers, np.uint8),
        "speaker_names": names,
        "sample_rate": np.array(8000, np.int32),
    }


def _sound(content: bytes) -> NDArray:
    from scipy.io import wavfile

    with warnings.catch_warnings():
        # Some files hold a comment beside the sound.
        warnings.simplefilter("ignore", wavfile.WavFileWarning)
        rate, samples = wavfile.read(io.BytesIO(content))
    if rate != 8000 or samples.ndim != 1 or samples.dtype != np.int16:
        raise ValueError(f"expected 16-bit mono at 8000 Hz, got {samples.dtype} at {rate}")
    return samples


def cifar10(archive: Path, n: int = 4000) -> dict[str, NDArray]:
    """Read the first images of the first training batch of CIFAR-10, in its binary form."""
    with tarfile.open(archive) as held:
        batch = held.extractfile("cifar-10-batches-bin/data_batch_1.bin").read(n * 3073)
    # A record is a label and three planes of 32 x 32: red, green, blue.
    records = np.frombuffer(batch, np.uint8).reshape(n, 3073)
    images = records[:, 1:].reshape(n, 3, 32, 32).transpose(0, 2, 3, 1)
    return {"images": np.ascontiguousarray(images), "labels": records[:, 0].copy()}


#: Arrays whose content is checked; others may stand beside them.
CHECKED: Mapping[str, tuple[str, ...]] = {
    "fsdd": ("samples", "offsets", "digit", "speaker", "take", "sample_rate"),
    "cifar10": ("images", "labels"),
}
