"""Re-run the whole book and render what came out, beside what is under version control.

Nothing that git tracks is written: results go to ``results/``, and the book is rendered from a
staged copy in which the fresh notebooks and manifests take the place of the committed ones.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil

from press import paths
from press.judge import manifests, rule
from press.run import execution, plans
from press.run.render import render

# A chapter with networks takes about 2 GiB; twice that leaves room for everything else.
_MEMORY = 4 * 2**30


@dataclass
class Outcome:
    """Verdicts by chapter and claim, a line for each that got worse, and the book's start page."""

    found: dict[str, dict[str, str]] = field(default_factory=dict)
    worse: list[str] = field(default_factory=list)
    start_page: Path | None = None


def jobs_here() -> int:
    """Chapters that may run side by side: one a core, as far as the memory goes."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores or 1, psutil.virtual_memory().available // _MEMORY))


def reproduce(
    say: Callable[[str], None],
    *,
    profile: str = "laptop",
    force: bool = False,
    progress: bool = True,
    book: bool = True,
    jobs: int | None = None,
) -> Outcome:
    """Run every chapter, judge its claims, render the book.

    `say` takes the lines to print; `jobs` chapters run side by side (default `jobs_here`), on which
    their numbers do not depend. ValueError if a chapter or the profile is not fit to run, before any
    runs; CellFailed if a cell fails, when the other chapters have ended and are kept; BuildFailed if
    the book does not render without a warning.
    """
    todo = [plans.plan(slug, profile) for slug in paths.chapters()]
    if not todo:
        raise ValueError("_toc.yml names no chapter in notebooks/")
    for plan in todo:
        reason = plan.reason()
        if reason.startswith(("damaged", "changed")):
            say(f"{plan.chapter} ({plan.profile}): {reason}")
    done = _execute(todo, say, force, progress, jobs or jobs_here())
    outcome = Outcome()
    for run in done:
        slug = run.plan.chapter
        outcome.found[slug] = rule.verdicts(*manifests.judged(slug, run.manifest))
        outcome.worse += compare(slug, profile, outcome.found[slug])
    if book:
        say("rendering the book ...")
        outcome.start_page = render(done, force=force)
    return outcome


def _execute(
    todo: list[plans.Plan], say: Callable[[str], None], force: bool, progress: bool, jobs: int
) -> list[execution.Run]:
    """Execute plans side by side; the first failure is raised when the others have ended."""
    started = time.monotonic()
    pool = ThreadPoolExecutor(min(jobs, len(todo)))
    try:
        start = partial(pool.submit, execution.execute, force=force, progress=progress)
        waiting = {start(plan, position=place): plan for place, plan in enumerate(todo)}
        for count, future in enumerate(as_completed(waiting), 1):
            if future.exception() is not None:
                continue
            plan, run = waiting[future], future.result()
            spent = time.monotonic() - started
            when = "finished earlier" if run.skipped else f"done after {spent:.0f} s"
            name = f"{plan.chapter} ({plan.profile})"
            found = rule.tally(*manifests.judged(plan.chapter, run.manifest))
            say(f"[{count}/{len(todo)}] {name}: {when}; {found}")
        return [future.result() for future in waiting]
    finally:
        # After an interruption nothing new starts; what ran has lost its kernel and ends.
        pool.shutdown(cancel_futures=True)


def compare(chapter: str, profile: str, found: dict[str, str]) -> list[str]:
    """Verdicts that are worse than those of the recorded manifest, one line each."""
    # Where nothing was recorded no claim was tried, and no verdict is worse than that.
    recorded = rule.verdicts(*manifests.judged(chapter, manifests.recorded(chapter, profile)))
    lost = rule.worse(recorded, found)
    return [f"{chapter} {name}: was {old}, is {new}" for name, (old, new) in lost.items()]
