"""Where the book's files are, found without any absolute path.

Everything else asks this module, so a test or a staged copy moves the whole book by setting one
environment variable. Functions, not constants: the variables may change while Python runs.
"""

from __future__ import annotations

import os
from pathlib import Path

ROOT_VARIABLE = "DIFFBOOK_ROOT"
RESULTS_VARIABLE = "DIFFBOOK_RESULTS"

# A folder that holds both is taken for the repository's root.
_LANDMARKS = ("data/paper", "notebooks")


def _is_root(folder: Path) -> bool:
    return all((folder / mark).is_dir() for mark in _LANDMARKS)


def root() -> Path:
    """Root folder of the book.

    The variable ``DIFFBOOK_ROOT`` decides; without it, the checkout that this package is
    installed from (editable install), and else the nearest folder above the working directory
    that looks like the book.

    Raises
    ------
    ValueError
        If ``DIFFBOOK_ROOT`` names no folder with ``data/paper`` and ``notebooks``, or no root is
        found.
    """
    named = os.environ.get(ROOT_VARIABLE)
    if named:
        folder = Path(named).resolve()
        if not _is_root(folder):
            raise ValueError(
                f"{ROOT_VARIABLE}={named!r}: expected a folder that holds "
                f"{' and '.join(_LANDMARKS)}; correct it or unset it"
            )
        return folder
    here = Path.cwd().resolve()
    for folder in (Path(__file__).resolve().parents[2], here, *here.parents):
        if _is_root(folder):
            return folder
    raise ValueError(
        f"the book's root was not found above {here.name!r}; run inside a clone of the "
        f"repository or set {ROOT_VARIABLE} to it"
    )


def notebooks() -> Path:
    """Folder of the chapters."""
    return root() / "notebooks"


def paper() -> Path:
    """Folder of the papers' facts and claims (YAML)."""
    return root() / "data" / "paper"


def profiles() -> Path:
    """Folder of the profiles (YAML, plain papermill parameters)."""
    return root() / "data" / "profiles"


def weights() -> Path:
    """Folder of the trained weights (safetensors)."""
    return root() / "data" / "weights"


def weights_file(data: str, seed: int, *, retrained: bool = False) -> Path:
    """Path of the weights of one data set and training seed.

    The recorded ones are part of the repository; retrained ones go to the working folder.
    """
    name = {"photos": "photos16", "digits": "digits8"}[data]
    folder = working() / "weights" if retrained else weights()
    return folder / f"{name}_seed{seed}.safetensors"


def studies() -> Path:
    """Folder of recorded studies that are too long for a chapter (JSON), each with its command."""
    return root() / "data" / "recorded"


def reference() -> Path:
    """Folder of values from independent computations that chapters compare with (YAML)."""
    return root() / "data" / "reference"


def recorded() -> Path:
    """Folder of the recorded manifests (JSON), under version control."""
    return root() / "data" / "results"


def manifest_folders() -> list[Path]:
    """Folders searched for manifests, first match wins.

    ``DIFFBOOK_RESULTS`` puts a folder of fresh manifests before the recorded ones, so a report
    can show a new run without touching what is under version control.
    """
    named = os.environ.get(RESULTS_VARIABLE)
    return [Path(named).resolve(), recorded()] if named else [recorded()]


def working() -> Path:
    """Folder of working results, ignored by git."""
    return root() / "results"


def chapters() -> list[str]:
    """Names of all chapters (``notebooks/NN_name.ipynb``), in the book's order."""
    return sorted(path.stem for path in notebooks().glob("[0-9][0-9]_*.ipynb"))


def notebook(name: str) -> Path:
    """Path of the notebook called `name` (no suffix)."""
    return notebooks() / f"{name}.ipynb"


def relative(path: Path) -> str:
    """`path` relative to the root, with forward slashes, for messages and manifests."""
    try:
        return path.resolve().relative_to(root()).as_posix()
    except ValueError:
        return path.as_posix()
