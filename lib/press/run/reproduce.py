"""Re-run the whole book and render what came out, beside what is under version control.

Nothing that git tracks is written: results go to ``results/``, and the book is rendered from a
staged copy in which the fresh notebooks and manifests take the place of the committed ones.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from press import paths
from press.judge import claims, manifests
from press.run import execution
from press.run import plans as runs
from press.show import pages as report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROFILE = "laptop"
_SOURCES = ("_config.yml", "_toc.yml", "CHANGELOG.md", "book", "notebooks", "data")
_BUILD = ["-c", "import sys; from jupyter_book.cli.main import main; sys.exit(main())", "build"]
_STRICT = ["-n", "-W", "--keep-going", "-q"]


class BuildFailed(RuntimeError):
    """Jupyter Book ended with an error or a warning; the message holds the end of its log."""


@dataclass
class Outcome:
    """Result of `reproduce`.

    Parameters
    ----------
    found : dict of dict
        Verdicts by chapter and claim.
    worse : list of str
        One line per verdict that is worse than the recorded one.
    start_page : pathlib.Path or None
        Start page of the rendered book.
    """

    found: dict[str, dict[str, str]] = field(default_factory=dict)
    worse: list[str] = field(default_factory=list)
    start_page: Path | None = None

    @property
    def status(self) -> int:
        """Exit status: 0, or 1 if a verdict got worse."""
        return 1 if self.worse else 0


def reproduce(
    say: Callable[[str], None],
    *,
    profile: str = PROFILE,
    force: bool = False,
    progress: bool = True,
    book: bool = True,
) -> Outcome:
    """Run every chapter, judge its claims, render the book.

    Parameters
    ----------
    say : callable
        Takes the lines to print.
    profile : str
        Profile of all chapters.
    force : bool
        Redo what has finished.
    progress : bool
        Show progress bars.
    book : bool
        Render the book afterwards.

    Raises
    ------
    ValueError
        If a chapter or the profile is not fit to run, before any of them runs.
    CellFailed
        If a cell fails; chapters that finished before are kept.
    BuildFailed
        If the book does not render without a warning.
    """
    plans = [runs.plan(chapter, profile) for chapter in paths.chapters()]
    if not plans:
        raise ValueError("no chapter found in notebooks/")
    outcome = Outcome()
    done = []
    for place, plan in enumerate(plans, 1):
        started = time.monotonic()
        run = execution.execute(plan, force=force, progress=progress)
        done.append(run)
        found = claims.verdicts(plan.chapter, report.metrics_of(run.manifest))
        outcome.found[plan.chapter] = found
        outcome.worse += compare(plan.chapter, profile, found)
        spent = "finished earlier" if run.skipped else f"{time.monotonic() - started:.0f} s"
        say(f"[{place}/{len(plans)}] {plan.chapter} ({profile}): {spent}; {summary(found)}")
    fresh = _overlay(done)
    with _environment(paths.RESULTS_VARIABLE, str(fresh)):
        page = _page(force, progress)
    if book:
        say("rendering the book ...")
        outcome.start_page = render([*done, *page], force=force)
    return outcome


def summary(found: dict[str, str]) -> str:
    """Verdict counts of one chapter in a line."""
    return claims.tally(found.values())


def compare(chapter: str, profile: str, found: dict[str, str]) -> list[str]:
    """Verdicts that are worse than those of the recorded manifest, one line each."""
    before = manifests.recorded(chapter, profile)
    if before is None:
        return []
    recorded = claims.verdicts(chapter, report.metrics_of(before))
    lost = claims.worse(recorded, found)
    return [f"{chapter} {name}: was {old}, is {new}" for name, (old, new) in lost.items()]


def _overlay(done: list[execution.Run]) -> Path:
    """Folder with the fresh manifests under the names of the recorded ones."""
    target = paths.working() / "fresh"
    with execution.replacing(target) as folder:
        for run in done:
            name = f"{run.plan.chapter}.{run.plan.profile}.json"
            manifests.write_json(folder / name, run.manifest)
    return target


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _page(force: bool, progress: bool) -> list[execution.Run]:
    if not paths.notebook(manifests.PAGE).is_file():
        return []
    return [execution.execute(runs.page_plan(), force=force, progress=progress)]


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
        nbformat.write(notebook, target / "notebooks" / f"{run.plan.chapter}.ipynb")
        if run.plan.chapter != manifests.PAGE:
            name = f"{run.plan.chapter}.{run.plan.profile}.json"
            manifests.write_json(target / "data" / "results" / name, run.manifest)


def _fingerprint(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [
        f"{path.relative_to(folder).as_posix()} {manifests.digest(path.read_bytes())}"
        for path in files
    ]
    return manifests.digest("\n".join(lines))


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
    with execution.replacing(paths.working() / "staged") as folder:
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
    with execution.replacing(site) as folder:
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
        manifests.write_text(folder / ".sources.sha256", sources + "\n")
