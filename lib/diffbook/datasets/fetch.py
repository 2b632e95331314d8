"""Real data sets: found in a local folder or in the cache, and fetched on request.

    python -m diffbook.datasets.fetch fsdd
    python -m diffbook.datasets.fetch --list

The environment variable `DIFFBOOK_DATA` points at a folder of data sets that is looked at first and
never written to; then the folder that fetched sets are kept in, `DIFFBOOK_CACHE` or else the user's
cache folder. Loaders never download. Licence and size are reported before the first byte is fetched.
What is published as an archive is converted to NumPy arrays, without pickle. Everything is checked, and
what arrives broken, or was damaged since, is fetched again; nothing half is ever left in its place.
"""

import argparse
import hashlib
import os
import shlex
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from diffbook._checks import choice
from diffbook._optional import need
from diffbook.datasets import _convert, _diffar_speech


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
class Archive:
    """What the one file of a data set is made from.

    `sha256` is None where the publisher packs the archive anew, so that its bytes change. `convert`
    reads the arrays of the file out of it; `checked` names those whose SHA-256, by `content`, is that
    of the data set's `File`.
    """

    url: str
    sha256: str | None
    size_bytes: int
    convert: Callable[[Path], dict[str, NDArray]]
    checked: tuple[str, ...]


@dataclass(frozen=True)
class Dataset:
    """A data set: what it is, its licence, its files, how to get it by hand, and who uses it.

    Either the files have addresses, or `archive` is what the one file is made from, or neither.
    """

    title: str
    licence: str
    files: tuple[File, ...]
    how: str
    used: str = "no chapter"
    archive: Archive | None = None

    @property
    def size_bytes(self) -> int:
        """Size of all files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def download_bytes(self) -> int:
        """Size of what is downloaded."""
        return self.archive.size_bytes if self.archive else self.size_bytes

    @property
    def downloadable(self) -> bool:
        """Whether everything has a public address."""
        return self.archive is not None or all(file.url for file in self.files)

    def intact(self, file: File, path: Path) -> bool:
        """Whether what lies at `path` is the file, whole."""
        if self.archive is None:
            return intact(path, file.sha256)
        try:
            with path.open("rb") as f, np.load(f, allow_pickle=False) as held:
                return content({k: held[k] for k in self.archive.checked}) == file.sha256
        except Exception:  # absent, damaged in one of a dozen ways, or another file
            return False


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
        "chapter 3 (-p data mnist)",
    ),
    "fsdd": Dataset(
        "Free Spoken Digit Dataset, 3,000 takes of 6 speakers at 8 kHz (Jackson and contributors)",
        "CC BY-SA 4.0",
        (
            File(
                "fsdd_8k_int16.npz",
                "d0e3d759b5e35c8bf3e7572c785b7bd195b5f1999da4c8cd4ffa137947dcc149",
                21_031_806,
            ),
        ),
        "python -m diffbook.datasets.fetch fsdd",
        "chapter 1 (-p data real), chapter 3 (-p data mnist, cifar10)",
        # GitHub packs an archive when it is asked for it: about 16 MB, not the same bytes every time.
        Archive(
            "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/"
            "26eb9aaf76e81b692f806f9140c2d2777410d7a1.zip",
            None,
            16_000_000,
            _convert.fsdd,
            _convert.CHECKED["fsdd"],
        ),
    ),
    "cifar10": Dataset(
        "CIFAR-10, the first 4,000 training images of 32 x 32 in colour, pixel-exact (Krizhevsky 2009)",
        "none stated by the authors, who ask to be cited",
        (
            File(
                "cifar10_train4000_lossless.npz",
                "b3fa843fddf136caf3495c807bd593540841f4b467ab16edf8066cf2d62f6a08",
                12_292_510,
            ),
        ),
        "python -m diffbook.datasets.fetch cifar10",
        "chapter 1 and the appendix of chapter 2 (-p data real), chapter 3 (-p data cifar10)",
        Archive(
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            170_052_171,
            _convert.cifar10,
            _convert.CHECKED["cifar10"],
        ),
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
        "chapter 4 (-p data released)",
    ),
}


def describe(name: str) -> str:
    """Return one line with title, licence, size, how it is had, and which chapters use it."""
    found = dataset(name)
    way = "can be downloaded" if found.downloadable else "only from DIFFBOOK_DATA"
    if found.archive:
        about = "" if found.archive.sha256 else "about "
        way = f"made from a download of {about}{found.download_bytes / 1e6:.1f} MB"
    return (
        f"{name}: {found.title}. Licence: {found.licence}. "
        f"Size: {found.size_bytes / 1e6:.1f} MB in {len(found.files)} file(s), {way}. "
        f"Used by {found.used}."
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


def files(name: str) -> list[Path]:
    """Return the paths of a set's files, in `DIFFBOOK_DATA` or in the cache; nothing is downloaded.

    Raises FileNotFoundError, with the way to get the set, if it is in neither or damaged in the cache.
    """
    found, here = dataset(name), local(name)
    if here is not None:
        return here
    folder = cache_folder() / name
    paths = [folder / file.path for file in found.files]
    if all(map(found.intact, found.files, paths)):
        return paths
    first = "" if found.downloadable else "; then set DIFFBOOK_DATA to the folder that holds it"
    raise FileNotFoundError(
        f"data set {name!r} is neither under DIFFBOOK_DATA "
        f"({os.environ.get('DIFFBOOK_DATA') or 'not set'}) nor whole in {folder}. "
        f"To get it: {found.how}{first}. {describe(name)}"
    )


def fetch(
    name: str, *, cache: Path | None = None, report: Callable[[str], None] | None = None
) -> list[Path]:
    """Return the paths of a data set's files, downloading and converting what is absent or damaged.

    Raises FileNotFoundError if a set without a public address is not there (and says how to get it),
    RuntimeError if the disk is too full, or three tries of a download fail or bring something else.

    Parameters
    ----------
    name
        One of `DATASETS`.
    cache
        Folder that the set's own folder goes to, whatever `DIFFBOOK_DATA` holds; default
        `DIFFBOOK_DATA` if the set is there, else `DIFFBOOK_CACHE` or the user's cache folder.
    report
        Called with the licence-and-size line before anything is downloaded (for example `print`).

    Returns
    -------
    list of Path
        In the order of the set's `files`.
    """
    found, here = dataset(name), None if cache else local(name)
    if here is not None:
        return here
    if not found.downloadable:
        return files(name)
    folder = cache_folder(cache) / name
    wanted = [file for file in found.files if not found.intact(file, folder / file.path)]
    if wanted:
        if report is not None:
            report(describe(name))
        try:
            _get(found, wanted, folder)
        except (OSError, ValueError) as error:
            raise RuntimeError(
                f"could not fetch data set {name!r}: {error}. Check the connection and the free space; "
                f"or fetch it elsewhere (--to FOLDER), copy FOLDER here, and set DIFFBOOK_DATA to it"
            ) from error
    return [folder / file.path for file in found.files]


def _get(found: Dataset, wanted: list[File], folder: Path) -> None:
    """Download into a folder of its own, and put what is whole in its place."""
    folder.mkdir(parents=True, exist_ok=True)
    needed = sum(f.size_bytes for f in wanted) + (found.download_bytes if found.archive else 0)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(f"{needed / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free")
    with tempfile.TemporaryDirectory(dir=folder, prefix="part-") as part:
        place = Path(part)
        if found.archive:
            archive = found.archive
            path = _download(archive.url, archive.sha256, place / "archive")
            _converted(found, path).replace(folder / wanted[0].path)
            return
        for file in wanted:
            path = _download(file.url, file.sha256, place / file.path)
            (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
            path.replace(folder / file.path)


def _download(url: str, sha256: str | None, path: Path) -> Path:
    known = {path.name: sha256 and f"sha256:{sha256}"}
    store = _pooch().create(
        path.parent, base_url="", registry=known, urls={path.name: url}, retry_if_failed=2
    )
    bar = sys.stderr.isatty() and find_spec("tqdm") is not None
    return Path(store.fetch(path.name, progressbar=bar))


def _converted(found: Dataset, path: Path) -> Path:
    """Convert a downloaded archive and check the arrays; ValueError if they are others."""
    archive, (file,) = found.archive, found.files
    try:
        made = archive.convert(path)
        right = content({k: made[k] for k in archive.checked}) == file.sha256
    except OSError as error:
        if error.errno is not None:  # the disk's or the memory's, and none of the archive
            raise
        raise ValueError(f"{archive.url}: no whole archive: {error}") from error
    except Exception as error:  # damaged archives fail in a dozen ways
        raise ValueError(
            f"{archive.url}: no whole archive of the set: {type(error).__name__}: {error}"
        ) from error
    if not right:
        raise ValueError(f"{archive.url}: its arrays are not those that this version knows")
    out = path.with_name("made.npz")
    np.savez(out, **made)
    return out


def content(arrays: dict[str, NDArray]) -> str:
    """SHA-256 of the names, kinds, shapes and values of arrays, however their file is packed."""
    digest = hashlib.sha256()
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def cache_folder(cache: Path | None = None) -> Path:
    """Folder of what is downloaded or made: `cache`, else `DIFFBOOK_CACHE`, else the user's own."""
    return Path(cache or os.environ.get("DIFFBOOK_CACHE") or _pooch().os_cache("diffbook"))


def _pooch() -> ModuleType:
    need("pooch", "data", "datasets.fetch")
    with warnings.catch_warnings():
        # Its progress bar misses widgets, which no terminal needs.
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
    """Fetch one data set, after its licence and size have been printed; return the exit status."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("dataset", nargs="?", choices=sorted(DATASETS))
    what.add_argument(
        "--list", action="store_true", help="say what there is, with licence and size"
    )
    parser.add_argument(
        "--to", type=Path, metavar="FOLDER", help="default: the user's cache folder"
    )
    asked = parser.parse_args(arguments)
    if asked.list:
        print(*map(describe, DATASETS), sep="\n")
        return 0
    print(describe(asked.dataset), flush=True)
    try:
        paths = fetch(asked.dataset, cache=asked.to)
    except KeyboardInterrupt:
        print("stopped; nothing half is left", file=sys.stderr)
        return 130
    except (OSError, RuntimeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1
    print(*(f"kept in {path}" for path in paths), sep="\n")
    home = paths[0].resolve().parents[len(Path(DATASETS[asked.dataset].files[0].path).parts)]
    print(f"export DIFFBOOK_DATA={shlex.quote(str(home))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
