"""Render the book from a staged copy."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from press import closure, documents, paths
from press.run import execution, safety
from press.show import pages

_SOURCES = ("_config.yml", "_toc.yml", "README.md", "CHANGELOG.md", "book", "notebooks", "data")
_IGNORED = shutil.ignore_patterns(".*", "__pycache__")
_STRICT = ["-n", "-W", "--keep-going", "-q"]


class BuildFailed(RuntimeError):
    """Jupyter Book ended with an error or a warning; the message holds the end of its log."""


def stage(target: Path, done: list[execution.Run]) -> None:
    """Copy the book's sources to `target` with fresh notebooks, manifests and pages in place."""
    for name in _SOURCES:
        source = paths.root() / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=_IGNORED)
        elif source.is_file():
            shutil.copy2(source, target / name)
    for run in done:
        notebook = execution.committed(documents.read_notebook(run.notebook))
        slug, profile = run.plan.chapter, run.plan.profile
        documents.write_text(target / paths.relative(paths.notebook(slug)), notebook)
        documents.write_json(target / paths.relative(paths.run(slug, profile)), run.manifest)
    with _root(target):
        pages.write()


@contextlib.contextmanager
def _root(folder: Path) -> Iterator[None]:
    """Let the book's root be `folder` for a while."""
    before = os.environ.get(paths.ROOT_VARIABLE)
    os.environ[paths.ROOT_VARIABLE] = str(folder)
    try:
        yield
    finally:
        del os.environ[paths.ROOT_VARIABLE]
        if before is not None:
            os.environ[paths.ROOT_VARIABLE] = before


def _fingerprint(folder: Path) -> str:
    """One digest of everything the rendered book is made of: sources, and our code."""
    code = [path for wing in closure.WINGS for path in (closure.LIB / wing).rglob("*.py")]
    sources = [path for path in folder.rglob("*") if path.is_file()]
    parts = (documents.digest_files(code, closure.LIB), documents.digest_files(sources, folder))
    return documents.digest(" ".join(parts))


def render(done: list[execution.Run], *, force: bool = False) -> Path:
    """Render the book from a staged copy, unless the same sources have been; return its start page."""
    site, staged = paths.working() / "site", paths.working() / "staged"
    stamp = site / ".sources.sha256"
    with safety.replacing(staged) as folder:
        stage(folder, done)
        sources = _fingerprint(folder)
        known = stamp.read_text("utf-8").strip() if stamp.is_file() else None
    if force or not _start_page(site).is_file() or known != f"{sources} {_made(site)}":
        _build(staged, site, sources)
    shutil.rmtree(staged, ignore_errors=True)
    return _start_page(site)


def _made(site: Path) -> str:
    """One digest of all pages, so that a page that was lost or cut is made again."""
    html = _start_page(site).parent
    return documents.digest_files((p for p in html.rglob("*") if p.is_file()), html)


def _start_page(site: Path) -> Path:
    return site / "_build" / "html" / "index.html"


def _build(staged: Path, site: Path, sources: str) -> None:
    log = paths.working() / "site.log"
    with safety.replacing(site) as folder:
        shutil.copytree(staged, folder, dirs_exist_ok=True)
        with log.open("w", encoding="utf-8") as stream:
            done = subprocess.run(
                [sys.executable, "-m", "press.run.builder", "build", str(folder), *_STRICT],
                stdout=stream,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode != 0 or not _start_page(folder).is_file():
            lines = log.read_text("utf-8", errors="replace").splitlines()
            tail = "\n".join(f"    {line}" for line in lines[-40:])
            raise BuildFailed(
                f"the book does not render cleanly (status {done.returncode}); "
                f"end of {paths.relative(log)}:\n{tail}"
            )
        documents.write_text(folder / ".sources.sha256", f"{sources} {_made(folder)}\n")
