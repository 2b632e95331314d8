"""Real data sets: a local folder first, else a download whose checksum is known.

The environment variable `DIFFBOOK_DATA` points at a folder of data sets that is looked at first and
never written to. Downloads go to `DIFFBOOK_CACHE`, or else to the user's cache folder. Licence and
size are reported before the first byte is fetched, every download is checked against its SHA-256, and
a file that arrives broken, or that was damaged since, is fetched again.
"""

import argparse
import hashlib
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from diffbook._checks import choice
from diffbook._optional import need
from diffbook.datasets import _diffar_speech


@dataclass(frozen=True)
class File:
    """One file of a data set: path inside the set's folder, SHA-256, size, and where to get it.

    `url` is None where no public address with this very content is known.
    """

    path: str
    sha256: str
    size_bytes: int
    url: str | None = None


@dataclass(frozen=True)
class Dataset:
    """A data set: what it is, its licence, its files, and how to get it by hand."""

    title: str
    licence: str
    files: tuple[File, ...]
    how: str

    @property
    def size_bytes(self) -> int:
        """Size of all files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def downloadable(self) -> bool:
        """Whether every file has a public address."""
        return all(file.url for file in self.files)


_MNIST = "https://raw.githubusercontent.com/fgnt/mnist/master/"
_MNIST_FILES = """
440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609 9912422 train-images-idx3-ubyte.gz
3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c 28881 train-labels-idx1-ubyte.gz
8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6 1648877 t10k-images-idx3-ubyte.gz
f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6 4542 t10k-labels-idx1-ubyte.gz
"""

DATASETS = {
    "mnist": Dataset(
        "MNIST handwritten digits, 60,000 + 10,000 images of 28 x 28 (LeCun, Cortes, Burges)",
        "none stated by the authors; widely given as CC BY-SA 3.0",
        tuple(
            File(name, sha256, int(size), _MNIST + name)
            for sha256, size, name in map(str.split, _MNIST_FILES.strip().splitlines())
        ),
        "python -m diffbook.datasets.fetch mnist",
    ),
    "fsdd": Dataset(
        "Free Spoken Digit Dataset, 3,000 takes of 6 speakers at 8 kHz (Jackson and contributors)",
        "CC BY-SA 4.0",
        (
            File(
                "fsdd_8k_int16.npz",
                "70c1dee68f39733af9cf6d146a3b1d3da5d317471ba2d25db491acb0a84b5543",
                15_404_996,
            ),
        ),
        "clone github.com/Jakobovski/free-spoken-digit-dataset (commit 26eb9aaf), join its WAV files "
        "in the order speaker, digit, take into one NumPy archive with arrays samples (int16), "
        "offsets, digit, speaker, take and sample_rate, and save it as fsdd/fsdd_8k_int16.npz",
    ),
    "cifar10": Dataset(
        "CIFAR-10, the first 4,000 training images of 32 x 32 in colour, pixel-exact (Krizhevsky 2009)",
        "none stated by the authors, who ask to be cited",
        (
            File(
                "cifar10_train4000_lossless.npz",
                "bc2b7ec941c94bd49f16a41076f8826085968c67491a4ce43cf7044ed4040f7b",
                11_342_572,
            ),
        ),
        "take the first 4,000 images of data_batch_1 of cs.toronto.edu/~kriz/cifar.html and save them "
        "with numpy as cifar10/cifar10_train4000_lossless.npz, arrays images (4000, 32, 32, 3) uint8 and "
        "labels (4000,) uint8",
    ),
    "diffar_speech": Dataset(
        "Speech by DiffAR and the recordings beside it, 60 clips, 190 s at 16 kHz (Benita, Elad, Keshet)",
        "MIT (outputs); recordings: LJSpeech public domain, VCTK CC BY 4.0",
        tuple(
            File(name, sha256, int(size))
            for sha256, size, name in map(str.split, _diffar_speech.FILES.strip().splitlines())
        ),
        "clone github.com/RBenita/DIFFAR (commit 1792a323), find the 60 files below its folder Examples "
        "by their SHA-256, and save each under diffar_speech/ with the name that "
        "diffbook.datasets.fetch.DATASETS['diffar_speech'].files has for it",
    ),
}


def describe(name: str) -> str:
    """Return one line with title, licence, size, and whether it can be downloaded."""
    found = dataset(name)
    way = "can be downloaded" if found.downloadable else "only from DIFFBOOK_DATA"
    return (
        f"{name}: {found.title}. Licence: {found.licence}. "
        f"Size: {found.size_bytes / 1e6:.1f} MB in {len(found.files)} file(s), {way}."
    )


def dataset(name: str) -> Dataset:
    """Look a data set up by name; the error for an unknown one has the nearest."""
    return DATASETS[choice(name, "name", DATASETS)]


def local(name: str) -> list[Path] | None:
    """Return the files of a set in the folder `DIFFBOOK_DATA`, or None if they are not there.

    Only presence is checked: a set that was packed anew may differ byte for byte and be right.
    Raises ValueError if `DIFFBOOK_DATA` names no folder.
    """
    root = os.environ.get("DIFFBOOK_DATA")
    if not root:
        return None
    if not Path(root).is_dir():
        raise ValueError(f"DIFFBOOK_DATA={root!r}: expected a folder; correct it or unset it")
    paths = [Path(root) / name / file.path for file in dataset(name).files]
    return paths if all(path.is_file() for path in paths) else None


def fetch(
    name: str, *, cache: Path | None = None, report: Callable[[str], None] | None = None
) -> list[Path]:
    """Return the paths of a data set's files, downloading those that are absent or damaged.

    Raises FileNotFoundError if a set without a public address is not in `DIFFBOOK_DATA` (and says how
    to get it), RuntimeError if a download fails or its checksum stays wrong after three tries.

    Parameters
    ----------
    name
        One of `DATASETS`.
    cache
        Folder for downloads; default `DIFFBOOK_CACHE`, or the user's cache folder.
    report
        Called with the licence-and-size line before anything is downloaded (for example `print`).

    Returns
    -------
    list of Path
        In the order of the set's `files`.
    """
    found, here = dataset(name), local(name)
    if here is not None:
        return here
    if not found.downloadable:
        raise FileNotFoundError(
            f"data set {name!r} is not under DIFFBOOK_DATA "
            f"({os.environ.get('DIFFBOOK_DATA') or 'not set'}). To get it: {found.how}; then set "
            f"DIFFBOOK_DATA to the folder that holds {name}/"
        )
    folder, pooch = cache_folder(cache) / name, _pooch()
    wanted = [file for file in found.files if not intact(folder / file.path, file.sha256)]
    if wanted and report is not None:
        report(describe(name))
    store = pooch.create(
        path=folder,
        base_url="",
        registry={file.path: f"sha256:{file.sha256}" for file in found.files},
        urls={file.path: file.url for file in found.files},
        retry_if_failed=2,
    )
    try:
        return [Path(store.fetch(file.path)) for file in found.files]
    except (OSError, ValueError) as error:
        raise RuntimeError(
            f"could not fetch data set {name!r}: {error}. Check the connection, or get it by hand and "
            f"set DIFFBOOK_DATA to the folder that holds {name}/"
        ) from error


def cache_folder(cache: Path | None = None) -> Path:
    """Folder of what is downloaded or made: `cache`, else `DIFFBOOK_CACHE`, else the user's own."""
    return Path(cache or os.environ.get("DIFFBOOK_CACHE") or _pooch().os_cache("diffbook"))


def _pooch() -> ModuleType:
    need("pooch", "data", "datasets.fetch")
    with warnings.catch_warnings():
        # Its progress bar misses widgets, which nobody needs here.
        warnings.filterwarnings("ignore", message="IProgress")
        import pooch
    return pooch


def arrays(path: Path, **expected: tuple[type, tuple[int | None, ...]]) -> list[np.ndarray]:
    """Read arrays out of an .npz file; a damaged or another one is refused with its name.

    Parameters
    ----------
    path
        The file.
    **expected
        Name of an array, in the order of the answer, to its kind and its shape, with None where any length is right.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {name: np.asarray(archive[name]) for name in expected}
    except Exception as error:  # damaged archives fail in a dozen ways
        raise ValueError(
            f"{path}: expected a whole .npz file with the arrays {', '.join(expected)}, got "
            f"{type(error).__name__}: {error}"
        ) from error
    for name, (kind, shape) in expected.items():
        array = found[name]
        fits = len(shape) == array.ndim and np.issubdtype(array.dtype, kind)
        if not fits or any(n not in (None, m) for n, m in zip(shape, array.shape, strict=True)):
            raise ValueError(
                f"{path}: {name}: expected {kind.__name__} of shape {shape} (None: any), got "
                f"{array.dtype} of shape {array.shape}"
            )
    return list(found.values())


def intact(path: Path, sha256: str) -> bool:
    """Whether a file exists and has this SHA-256."""
    if not path.is_file():
        return False
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest() == sha256


def main(arguments: Sequence[str] | None = None) -> int:
    """Download one data set after printing its licence and size; return the exit status."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("dataset", choices=sorted(DATASETS))
    name = parser.parse_args(arguments).dataset
    print(describe(name))
    try:
        files = fetch(name)
    except (OSError, RuntimeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1
    print(*(f"kept in {path}" for path in files), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
