"""Where the book's files are, found without any absolute path.

Everything else asks this module, so a test or a staged copy moves the whole book by setting one
environment variable. Functions, not constants: the variables may change while Python runs.

A chapter has one key, its slug, which opens ``notebooks/<part>/<slug>.ipynb``,
``lib/chapters/<slug>/``, ``data/<slug>/`` and ``tests/chapters/<slug>/``. Order and parts come from
``_toc.yml``. A chapter may have an appendix: to the press a chapter of its own with the slug
``<slug>_appendix``, which shares the chapter's code, tests, studies and reference values.
"""

import os
from itertools import pairwise
from pathlib import Path

import platformdirs
import yaml

ROOT_VARIABLE = "DIFFBOOK_ROOT"
RESULTS_VARIABLE = "DIFFBOOK_RESULTS"

# A folder that holds all of these is taken for the repository's root.
_LANDMARKS = ("_toc.yml", "data", "notebooks")


def _is_root(folder: Path) -> bool:
    return all((folder / mark).exists() for mark in _LANDMARKS)


def root() -> Path:
    """Root folder of the book; ValueError if there is none.

    The variable ``DIFFBOOK_ROOT`` decides; without it, the checkout that this package lies in, and
    else the nearest folder above the working directory that looks like the book.
    """
    named = os.environ.get(ROOT_VARIABLE)
    if named:
        folder = Path(named).resolve()
        if not _is_root(folder):
            raise ValueError(
                f"{ROOT_VARIABLE}={named!r}: expected a folder that holds "
                f"{', '.join(_LANDMARKS)}; correct it or unset it"
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


def contents() -> dict[str, list[str]]:
    """Parts of the book that hold chapters, with the chapters' slugs, in the order of ``_toc.yml``."""
    found = {}
    try:
        document = yaml.safe_load((root() / "_toc.yml").read_text("utf-8"))
        for part in document.get("parts", []):
            entries = [e for c in part.get("chapters", []) for e in (c, *c.get("sections", []))]
            files = [Path(entry["file"]) for entry in entries]
            slugs = [file.name for file in files if file.parts[0] == "notebooks"]
            if slugs:
                found[part["caption"]] = slugs
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"_toc.yml: no table of contents with parts: {error!r}") from error
    for before, slug in pairwise(["", *(slug for slugs in found.values() for slug in slugs)]):
        if chapter_of(slug) not in (slug, before):
            raise ValueError(f"_toc.yml: {slug} must be a section of {chapter_of(slug)}")
    return found


def chapters() -> list[str]:
    """Slugs of all chapters, in the book's order."""
    return [slug for slugs in contents().values() for slug in slugs]


def chapter_of(slug: str) -> str:
    """Slug of the chapter that a page belongs to: its own, or that of which it is the appendix."""
    return slug.removesuffix("_appendix")


def pages_of(slug: str) -> list[str]:
    """Slugs of a chapter's pages: itself, and its appendix if it has one."""
    return [page for page in chapters() if slug in (page, chapter_of(page))]


def notebooks() -> Path:
    """Folder of the chapters, with a folder for each part."""
    return root() / "notebooks"


def notebook(slug: str) -> Path:
    """Path of a chapter's notebook; ValueError unless there is exactly one of that name."""
    found = sorted(notebooks().glob(f"*/{slug}.ipynb"))
    if len(found) != 1:
        places = ", ".join(relative(path) for path in found) or "none"
        raise ValueError(f"notebooks/<part>/{slug}.ipynb: expected one, found {places}")
    return found[0]


def room(slug: str) -> Path:
    """Folder of a chapter's claims, profiles, runs, studies and reference values."""
    return root() / "data" / slug


def claims(slug: str) -> Path:
    """File of the paper's facts and claims (YAML)."""
    return room(slug) / "claims.yaml"


def profile(slug: str, name: str) -> Path:
    """File of one profile (YAML, plain papermill parameters)."""
    return room(slug) / f"{name}.yaml"


def run(slug: str, profile: str) -> Path:
    """File of one recorded manifest (JSON), under version control."""
    return room(slug) / "runs" / f"{profile}.json"


def study(slug: str, name: str) -> Path:
    """File of a recorded study that is too long for a chapter (JSON)."""
    return room(slug) / "studies" / f"{name}.json"


def reference(slug: str, name: str) -> Path:
    """File of values from independent computations that a chapter compares with (YAML)."""
    return room(slug) / "reference" / f"{name}.yaml"


def weights() -> Path:
    """Folder of trained networks (safetensors)."""
    return root() / "data" / "weights"


def network(data: str, seed: int, *, retrained: bool = False) -> Path:
    """File of the network trained on one data set with one seed.

    The recorded ones are part of the repository; retrained ones go to the working folder.
    """
    name = {"photos": "photos16", "digits": "digits8"}[data]
    folder = working() / "weights" if retrained else weights()
    return folder / f"{name}_seed{seed}.safetensors"


def working() -> Path:
    """Folder of working results, ignored by git; ``DIFFBOOK_RESULTS`` may name another one."""
    named = os.environ.get(RESULTS_VARIABLE)
    return Path(named).resolve() if named else root() / "results"


def data_set(name: str) -> Path | None:
    """Folder of a data set, where loaders find it; None where there is none.

    ``DIFFBOOK_DATA`` is looked at first, then the folder of fetched sets: ``DIFFBOOK_CACHE``, or the
    user's own.
    """
    cache = os.environ.get("DIFFBOOK_CACHE") or platformdirs.user_cache_dir("diffbook")
    homes = [home for home in (os.environ.get("DIFFBOOK_DATA"), cache) if home]
    folders = [Path(home).resolve() / name for home in homes]
    return next((folder for folder in folders if folder.is_dir()), None)


def relative(path: Path) -> str:
    """`path` relative to the root, with forward slashes, for messages and manifests."""
    try:
        return path.resolve().relative_to(root()).as_posix()
    except ValueError:
        return path.as_posix()
