"""Re-run the whole book and render what came out, beside what is under version control.

Nothing that git tracks is written: results go to ``results/``, and the book is rendered from a
staged copy in which the fresh notebooks and manifests take the place of the committed ones.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from press import documents, paths
from press.judge import claims, manifests, rule
from press.run import execution, safety
from press.run import plans as runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

from press.run.render import render

PROFILE = "laptop"


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
        found = claims.verdicts(plan.chapter, manifests.metrics_of(run.manifest))
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
    return rule.tally(found.values())


def compare(chapter: str, profile: str, found: dict[str, str]) -> list[str]:
    """Verdicts that are worse than those of the recorded manifest, one line each."""
    before = manifests.recorded(chapter, profile)
    if before is None:
        return []
    recorded = claims.verdicts(chapter, manifests.metrics_of(before))
    lost = rule.worse(recorded, found)
    return [f"{chapter} {name}: was {old}, is {new}" for name, (old, new) in lost.items()]


def _overlay(done: list[execution.Run]) -> Path:
    """Folder with the fresh manifests under the names of the recorded ones."""
    target = paths.working() / "fresh"
    with safety.replacing(target) as folder:
        for run in done:
            documents.write_json(
                folder / run.plan.chapter / f"{run.plan.profile}.json", run.manifest
            )
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
