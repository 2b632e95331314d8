"""Render the book from a staged copy."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from press import documents, paths
from press.judge import manifests
from press.run import execution, safety

if TYPE_CHECKING:
    pass


_SOURCES = ("_config.yml", "_toc.yml", "CHANGELOG.md", "book", "notebooks", "data")


_BUILD = ["-c", "import sys; from jupyter_book.cli.main import main; sys.exit(main())", "build"]


_STRICT = ["-n", "-W", "--keep-going", "-q"]


class BuildFailed(RuntimeError):
    """Jupyter Book ended with an error or a warning; the message holds the end of its log."""


def stage(target: Path, done: list[execution.Run]) -> None:
    """Copy the book's sources to `target` with the fresh notebooks and manifests in place."""
    import nbformat

    for name in _SOURCES:
        source = paths.root() / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns(".*"))
        elif source.is_file():
            shutil.copy2(source, target / name)
    for run in done:
        notebook = execution.clean(nbformat.read(run.notebook, as_version=4))
        nbformat.write(
            notebook, target / paths.notebook(run.plan.chapter).relative_to(paths.root())
        )
        if run.plan.chapter != manifests.PAGE:
            documents.write_json(
                target / paths.run(run.plan.chapter, run.plan.profile).relative_to(paths.root()),
                run.manifest,
            )


def _fingerprint(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [
        f"{path.relative_to(folder).as_posix()} {documents.digest(path.read_bytes())}"
        for path in files
    ]
    return documents.digest("\n".join(lines))


def render(done: list[execution.Run], *, force: bool = False) -> Path:
    """Render the book from a staged copy; return its start page.

    Nothing is done if the same sources have been rendered before.

    Raises
    ------
    BuildFailed
        If there is a warning or an error.
    """
    site = paths.working() / "site"
    stamp = site / ".sources.sha256"
    with safety.replacing(paths.working() / "staged") as folder:
        stage(folder, done)
        sources = _fingerprint(folder)
        finished = (
            stamp.is_file()
            and stamp.read_text("utf-8").strip() == sources
            and _start_page(site).is_file()
        )
    if force or not finished:
        _build(paths.working() / "staged", site, sources)
    shutil.rmtree(paths.working() / "staged", ignore_errors=True)
    return _start_page(site)


def _start_page(site: Path) -> Path:
    return site / "_build" / "html" / "index.html"


def _build(staged: Path, site: Path, sources: str) -> None:
    log = paths.working() / "site.log"
    with safety.replacing(site) as folder:
        shutil.copytree(staged, folder, dirs_exist_ok=True)
        with log.open("w", encoding="utf-8") as stream:
            done = subprocess.run(
                [sys.executable, *_BUILD, str(folder), *_STRICT],
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
        documents.write_text(folder / ".sources.sha256", sources + "\n")
