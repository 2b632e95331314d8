"""Command line of the book: ``python -m press``.

Exit status: 0 done, 1 something failed or a verdict got worse, 2 the request is wrong (nothing was
computed), 130 and 143 interrupted.
"""

import contextlib
import csv
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click

from press import __version__, documents, paths
from press.judge import claims, manifests, rule
from press.run import parameters, plans
from press.show import compare, pages, verdicts
from press.show.tables import plain


def _fail(status: int, message: str) -> None:
    click.echo(f"error: {message}", err=True)
    sys.exit(status)


class _Guarded(click.Group):
    """Run a command so that each kind of failure has its exit status and no traceback."""

    def invoke(self, context: click.Context) -> None:
        from press.run import execution, render, safety

        try:
            with safety.interruptible():
                super().invoke(context)
        except safety.Interrupted as stop:
            click.echo(f"\ninterrupted ({stop}); no unfinished result is kept", err=True)
            sys.exit(stop.status)
        except execution.CellFailed as error:
            log = "" if error.log is None else f"\n    log: {paths.relative(error.log)}"
            _fail(1, f"{error}{log}")
        except ValueError as error:
            _fail(2, str(error))
        except BrokenPipeError:
            # Whoever read our output, such as `head`, has seen enough; nothing is left to be flushed.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        except (render.BuildFailed, OSError) as error:
            # Also a read-only folder, a full disk, a file that is not there.
            _fail(1, str(error))


@click.group(cls=_Guarded, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="press")
def main() -> None:
    """Run the chapters of the book, look at their claims, reproduce everything."""
    # One thread a chapter: the last digits then depend neither on the number of cores nor on how
    # many chapters run side by side.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Kernels work in the notebooks' folder, where a relative path would mean another place.
    for name in (paths.ROOT_VARIABLE, paths.RESULTS_VARIABLE, "DIFFBOOK_DATA", "DIFFBOOK_CACHE"):
        if os.environ.get(name):
            os.environ[name] = str(Path(os.environ[name]).absolute())


@main.command("list")
@click.argument("chapter", required=False)
def list_(chapter: str | None) -> None:
    """List chapters and profiles; with CHAPTER also its parameters."""
    for name in paths.chapters() if chapter is None else [parameters.known_chapter(chapter)]:
        click.echo(name)
        for profile in parameters.profiles(name):
            click.echo(f"    {profile:<10} {_expected_time(name, profile)}")
    if chapter is None:
        return
    click.echo("parameters:")
    for parameter in parameters.parameters(chapter).values():
        click.echo(f"    {parameter.name} = {parameter.default!r}: {parameter.allowed}")
        if parameter.help:
            click.echo(f"        {parameter.help}")


def _expected_time(chapter: str, profile: str) -> str:
    """Time of the recorded run, or of the last run here."""
    manifest = manifests.recorded(chapter, profile)
    local = paths.working() / chapter / profile / "manifest.json"
    if manifest is None and local.is_file():
        # A damaged local run is run again; it is no reason to show no list.
        with contextlib.suppress(ValueError):
            manifest = manifests.read(local)
    if manifest is None:
        return "not recorded"
    return f"{manifest['wall_s']:.0f} s on {manifest['threads']} threads, {manifest['device']}"


@main.command()
@click.argument("chapter")
@click.option(
    "--profile",
    "-P",
    default="laptop",
    show_default=True,
    help="Size of the run, or your own .yaml.",
)
@click.option(
    "--parameter",
    "-p",
    "overrides",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="Set one parameter; may be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Check the request and say what would run.")
@click.option("--force", is_flag=True, help="Run again even if nothing changed.")
@click.option("--record", is_flag=True, help="Then put the result under version control.")
@click.option("--svg", is_flag=True, help="Keep figures as SVG as well, for `export`.")
def run(
    chapter: str,
    profile: str,
    overrides: tuple[tuple[str, str], ...],
    dry_run: bool,
    force: bool,
    record: bool,
    svg: bool,
) -> None:
    """Run CHAPTER and keep the result in results/."""
    if svg:
        # Its kernel shows both kinds. What a finished run holds is not known without reading it.
        os.environ["DIFFBOOK_SVG"], force = "1", True
    plan = _plan(chapter, profile, overrides)
    if record and plan.overrides:
        raise ValueError("--record: a run with overrides cannot be recorded; make it a profile")
    if dry_run:
        _describe(plan)
        return
    _execute(plan, force)
    if record:
        _record(plan)


def _plan(chapter: str, profile: str, overrides: tuple[tuple[str, str], ...] = ()) -> plans.Plan:
    parameters.known_chapter(chapter)
    twice = [name for name, count in Counter(name for name, _ in overrides).items() if count > 1]
    if twice:
        raise ValueError(f"parameter {twice[0]}: given twice")
    return plans.plan(chapter, profile, dict(overrides))


def _describe(plan: plans.Plan) -> None:
    click.echo(f"{plan.chapter} ({plan.profile}) -> {paths.relative(plan.folder)}")
    for name, value in plan.parameters.items():
        mark = "  (set here)" if name in plan.overrides else ""
        click.echo(f"    {name} = {value!r}{mark}")
    reason = plan.reason()
    click.echo(f"would run: {reason}" if reason else "would skip: finished, nothing changed")


def _execute(plan: plans.Plan, force: bool) -> None:
    from press.run import execution

    reason = plan.reason()
    if reason.startswith("damaged"):
        click.echo(f"{plan.chapter} ({plan.profile}): {reason}; running it again")
    done = execution.execute(plan, force=force)
    where = paths.relative(plan.folder)
    spent = "finished earlier" if done.skipped else f"{done.manifest['wall_s']:.0f} s"
    click.echo(f"{plan.chapter} ({plan.profile}): {spent}, kept in {where}")
    click.echo(f"claims: {rule.tally(*manifests.judged(plan.chapter, done.manifest))}")


def _record(plan: plans.Plan) -> None:
    """Promote a run; the generated pages show it, so they are made again."""
    from press.run import execution

    for path in [*execution.record(plan), *pages.write()]:
        click.echo(f"recorded {paths.relative(path)}")


@main.command()
@click.argument("chapter")
@click.option("--profile", "-P", default="laptop", show_default=True, help="Size of the run.")
def record(chapter: str, profile: str) -> None:
    """Put a finished run of CHAPTER under version control."""
    _record(_plan(chapter, profile))


@main.command("claims")
@click.argument("chapter", required=False)
@click.option(
    "--check",
    is_flag=True,
    help="Check all files; fail if a fresh run in results/ has a worse verdict than recorded.",
)
def claims_(chapter: str | None, check: bool) -> None:
    """Show the claims of the recorded runs with their verdicts; a chapter's with its appendix'."""
    names = paths.chapters()
    if chapter is not None:
        names = paths.pages_of(parameters.known_chapter(chapter))
    book = claims.load_book()
    for name in names:
        for manifest in manifests.of_chapter(name) or [None]:
            _print_claims(name, manifest)
        if name != paths.chapter_of(name):
            both = paths.chapter_of(name)
            click.echo(f"{both} and {name} (recorded runs): {pages.tally(both)}")
    if check:
        _check(names, book)


def _print_claims(chapter: str, manifest: dict[str, Any] | None) -> None:
    document, metrics = manifests.judged(chapter, manifest)
    judged = rule.verdicts(document, metrics)
    run = "no recorded run"
    if manifest is not None:
        run = f"{manifest['profile']}, {manifest['device']}, {manifest['date'][:10]}"
    click.echo(f"{chapter} ({run}): {rule.tally(document, metrics)}")
    for claim in document["claims"]:
        verdict = judged[claim["id"]]
        measured = verdicts.measured_text(claim, metrics, exact=True)
        click.echo(f"    {claim['id']}  {verdict:<14}  {plain(claim['statement'])}")
        click.echo(f"        {claim.get('untried') or measured}")


def _check(names: list[str], book: dict[str, Any]) -> None:
    """Compare runs in the working folder with what is recorded."""
    from press.run import reproduce

    faults = [
        f"data/{name}/claims.yaml belongs to no notebook"
        for name in book
        if name not in paths.chapters()
    ]
    for name in names:
        for profile in parameters.profiles(name):
            folder = paths.working() / name / profile
            if not (folder / "manifest.json").is_file():
                continue
            try:
                manifest, _ = plans.read_run(folder)
            except ValueError as error:
                faults.append(str(error))
                continue
            fresh = rule.verdicts(*manifests.judged(name, manifest))
            faults += reproduce.compare(name, profile, fresh)
    if faults:
        _fail(1, "\n  ".join(["claims:", *faults]))
    click.echo("claims and manifests are valid; no fresh verdict is worse than the recorded one")


_format = click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
)


@main.command()
@click.argument("chapter", required=False)
@_format
def runs(chapter: str | None, form: str) -> None:
    """List finished runs, in results/ and recorded: what was set, when, how long, which verdicts."""
    if chapter is not None:
        parameters.known_chapter(chapter)
    rows = []
    for name, manifest in compare.finished(chapter).items():
        tally = rule.tally(*manifests.judged(manifest["chapter"], manifest))
        set_here = "; ".join(f"{k} {v}" for k, v in compare.settings(manifest).items())
        rows.append([name, manifest["date"], f"{manifest['wall_s']:.0f}", set_here, tally])
    _show(["run", "date", "seconds", "set", "verdicts"], rows, form)


def _show(head: list[str], rows: list[list[str]], form: str) -> None:
    if form == "json":
        click.echo(json.dumps([dict(zip(head, row, strict=True)) for row in rows], indent=1))
    elif form == "csv":
        csv.writer(sys.stdout, lineterminator="\n").writerows([head, *rows])
    else:
        for first, *rest in rows:
            click.echo(first)
            for name, text in zip(head[1:], rest, strict=True):
                click.echo(f"    {name:<10} {text}")


@main.command("compare")
@click.argument("a")
@click.argument("b", required=False)
@click.option("--all", "everything", is_flag=True, help="Also what does not differ.")
@_format
def compare_(a: str, b: str | None, everything: bool, form: str) -> None:
    """Say in what run A differs from B [default: the recorded run of its chapter and profile].

    A and B are names that `runs` shows, folders of runs, or manifests.
    """
    ours = compare.find(a)
    slug = ours["chapter"]
    recorded = manifests.recorded(slug, ours["profile"]) or manifests.recorded(slug, "laptop")
    if b is None and recorded is None:
        raise ValueError(f"compare: no run of {slug} is recorded; name a second run")
    theirs = recorded if b is None else compare.find(b)
    found = compare.compare(ours, theirs)
    shown = [row for row in found if everything or row.differs]
    if form != "table":
        rows = [
            [row.kind, row.name, compare.text_of(row.a), compare.text_of(row.b), str(row.differs)]
            for row in shown
        ]
        _show(["kind", "name", "a", "b", "differs"], rows, form)
        return
    other = b or f"the recorded run at {theirs['profile']}"
    click.echo(f"a: {a}\nb: {other}, {theirs['date'][:10]}")
    for kind in dict.fromkeys(row.kind for row in found):
        group = [row for row in found if row.kind == kind]
        click.echo(f"{kind}s: {sum(row.differs for row in group)} of {len(group)} differ")
        for row in [row for row in shown if row.kind == kind]:
            first, second = compare.text_of(row.a), compare.text_of(row.b)
            click.echo(f"    {row.name:<28} {first:<32} {second}")
            if row.words:
                click.echo(f"        {plain(row.words)}")


@main.command()
@click.argument("name", metavar="RUN")
@click.option("--to", "target", type=click.Path(path_type=Path), required=True, help="New folder.")
@click.option("--figures", type=click.Choice(["png", "svg"]), default="png", show_default=True)
@click.option("--tables", is_flag=True, help="Also the tables, as CSV.")
@click.option("--force", is_flag=True, help="Take the place of a folder that is there.")
def export(name: str, target: Path, figures: str, tables: bool, force: bool) -> None:
    """Write the figures of the finished run RUN into a new folder, with an index of captions."""
    from press.run.export import export, is_export

    if target.exists() and not force:
        raise ValueError(f"--to: {target} is there; name a new folder, or give --force")
    if target.exists() and not is_export(target):
        raise ValueError(f"--to: {target} holds more than an earlier export; name a new folder")
    folder = compare.folder(name)
    if not (folder / "manifest.json").is_file():
        raise ValueError(f"run: got {name!r}; {documents.nearest(name, compare.finished())}")
    count = export(folder, target, figures, with_tables=tables)
    click.echo(f"wrote {count} files and index.csv to {target}")


@main.command("reproduce")
@click.option("--force", is_flag=True, help="Redo what has finished.")
@click.option("--profile", "-P", default="laptop", show_default=True, help="Size of the runs.")
@click.option("--no-book", is_flag=True, help="Do not render the book.")
@click.option("--jobs", "-j", type=click.IntRange(1), help="Chapters at a time [default: cores].")
def reproduce_(force: bool, profile: str, no_book: bool, jobs: int | None) -> None:
    """Run every chapter, check its claims, render the book."""
    from press.run import reproduce

    outcome = reproduce.reproduce(
        click.echo, profile=profile, force=force, book=not no_book, jobs=jobs
    )
    for chapter, judged in outcome.found.items():
        click.echo(f"\nclaims of {chapter}:")
        values = parameters.load_profile(chapter, profile)
        for claim in claims.load(chapter, values)["claims"]:
            statement = plain(claim["statement"])
            click.echo(f"    {claim['id']}  {judged[claim['id']]:<14}  {statement}")
    if outcome.worse:
        click.echo("\nworse than recorded:", err=True)
        for line in outcome.worse:
            click.echo(f"    {line}", err=True)
    if outcome.start_page is not None:
        click.echo(f"\nstart page: {outcome.start_page}")
    sys.exit(1 if outcome.worse else 0)


@main.command("pages")
def pages_() -> None:
    """Make the scoreboard and the lists of chapters from claims and recorded runs."""
    for path in pages.write():
        click.echo(f"wrote {paths.relative(path)}")


@main.command()
@click.argument("slug")
@click.option("--part", default="core", show_default=True, help="Folder of notebooks/.")
def new(slug: str, part: str) -> None:
    """Make the four rooms of a new chapter called SLUG, and its line in _toc.yml."""
    from press.run import rooms

    for path in rooms.make(slug, part):
        click.echo(f"wrote {paths.relative(path)}")
    click.echo(f"next: python -m press run {slug} --profile laptop --record")
