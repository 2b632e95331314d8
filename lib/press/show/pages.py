"""Pages and lists that are made from claims and recorded runs: nothing in them is typed in."""

import html
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from press import paths
from press.documents import write_text
from press.judge import claims, manifests, rule
from press.judge.manifests import judged
from press.show import sources
from press.show.tables import DASH, Cell, Display, table
from press.show.verdicts import measured_cell, reason_of, reported, verdict_cell, with_note

INTRODUCTION = """\
% Made by `python -m press pages`; do not edit.

(scoreboard)=
# Scoreboard

Every claim of every chapter, and what became of it.
A verdict follows from the conditions in `data/<chapter>/claims.yaml`, by one rule: **reproduced** if all hold (where there is a confidence interval, at both of its ends), **partly** if some do or a looser threshold is met, **not reproduced** if none does, and **not tried** if nothing was measured.
The tables are made from the claims and from the recorded runs in `data/<chapter>/runs/`; nothing on this page is typed in.
Each claim links to the place where its chapter measures it.
Below what was measured stand the profile of the run, the scale, and the reason where a claim is not reproduced.
A value in brackets is a 95 % confidence interval, $n$ the number of independent repetitions behind it.
The small links below a claim lead to the file that holds it, to the record of its run, and to the functions of the library that its cells call.

```{raw} html
<div class="db-filter" hidden></div>
```
"""
MARKS = "<!-- {0} -->{1}<!-- /{0} -->"


def _page(slug: str) -> str:
    """Address of a chapter in the rendered book, as the scoreboard links it."""
    page = paths.notebook(slug).with_suffix(".html")
    return os.path.relpath(page, paths.root() / "book").replace(os.sep, "/")


def _commit(manifest: Mapping[str, Any]) -> str:
    if manifest["commit"] is None:
        return "none"
    return manifest["commit"][:7] + (" with changes" if manifest["dirty"] else "")


def runs_table(book: Mapping[str, Any], manifests: Sequence[Mapping[str, Any]]) -> Display:
    """One row per recorded run: verdict counts, device, time, date and commit."""
    rows = []
    for chapter, document in book.items():
        title = document["title"]
        link = Cell(f'<a href="{_page(chapter)}">{html.escape(title)}</a>', title)
        for manifest in [m for m in manifests if m["chapter"] == chapter]:
            texts = [
                manifest["profile"],
                rule.tally(*judged(chapter, manifest)),
                f"{manifest['device']} ({manifest['cpu']}, {manifest['threads']})",
                f"{manifest['wall_s']:.0f} s",
                f"{manifest['date'][:10]}, {_commit(manifest)}",
            ]
            rows.append([link, *(Cell(html.escape(text), text) for text in texts)])
    head = ("Chapter", "Profile", "Verdicts", "Device (CPU, threads)", "Time", "Date, commit")
    return table("Recorded runs", head, rows)


def _links(claim: str, chapter: str, run: str, functions: Mapping[str, list[str]]) -> Cell:
    """Where a claim is written, what its run recorded, and what computed it."""
    places = sources.files(chapter, None if run == DASH else run)
    named = list(map(sources.link, functions.get(claim, [])))
    found = [(name, place) for name, place in [*places.items(), *named]]
    markup = " ".join(f'<a href="{place}">{html.escape(name)}</a>' for name, place in found)
    return Cell(f'<div class="db-note db-links">{markup}</div>', "")


def _score_row(
    chapter: str,
    number: int,
    functions: Mapping[str, list[str]],
    document: Mapping[str, Any],
    metrics: Mapping[str, Any],
    run: str,
) -> list:
    claim = document["claims"][number]
    verdict = rule.claim_verdict(claim, metrics)
    measured = with_note(measured_cell(claim, metrics, exact=True), f"{run}; {claim['scale']}")
    reason = reason_of(claim, verdict)
    said = with_note(Cell.of(claim["statement"]), f"{claim['kind']}; {claim['place']}")
    links = _links(claim["id"], chapter, run, functions)
    return [
        verdict_cell(claim, verdict, _page(chapter)),
        Cell(f"{said.html} {links.html}", said.text),
        Cell.of(reported(claim)),
        with_note(measured, reason) if reason else measured,
    ]


def claims_table(
    chapter: str, document: Mapping[str, Any], manifests: Sequence[Mapping[str, Any]]
) -> Display:
    """Every claim of a chapter, one row per recorded run that tried it."""
    runs = [(*judged(chapter, manifest), manifest["profile"]) for manifest in manifests]
    functions = sources.functions(chapter)
    rows = []
    for number in range(len(document["claims"])):
        tried = [
            (at, metrics, run)
            for at, metrics, run in runs
            if rule.claim_verdict(at["claims"][number], metrics) != rule.NOT_TRIED
        ]
        tried = tried or [(document, {}, DASH)]
        rows += [_score_row(chapter, number, functions, *run) for run in tried]
    head = (
        "Claim",
        "What is claimed, where",
        "The paper reports",
        "Measured (asked), run and scale",
    )
    return table(f"Claims of {document['title']}", head, rows, "db-claims")


def _raw(display: Display) -> str:
    return f"```{{raw}} html\n{display.html}\n```"


def scoreboard() -> str:
    """Text of the scoreboard page: a section a part of the book, a table a chapter or appendix."""
    book = claims.load_book()
    runs = {slug: manifests.of_chapter(slug) for slug in book}
    recorded = runs_table(book, [run for found in runs.values() for run in found])
    parts = [INTRODUCTION]
    for caption, slugs in paths.contents().items():
        parts.append(f"## {caption}")
        for slug in (slug for slug in slugs if slug in book):
            level = "###" if slug == paths.chapter_of(slug) else "####"
            parts.append(f"{level} {book[slug]['title']}")
            if len(paths.pages_of(slug)) > 1:
                parts.append(f"The chapter with its appendix: {tally(slug)}.")
            parts.append(_raw(claims_table(slug, book[slug], runs[slug])))
    parts += ["## Recorded runs", _raw(recorded)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def tally(slug: str) -> str:
    """Verdicts of a chapter's recorded runs, page and appendix together, in words."""
    return rule.total(pair for page in paths.pages_of(slug) for pair in _each_claim(page))


def _each_claim(page: str) -> Iterator[tuple[dict[str, Any], Mapping[str, Any]]]:
    """Every claim of a page, in the run at `laptop` or, where that did not try it, in another recorded one."""
    found = sorted(manifests.of_chapter(page), key=lambda run: run["profile"] != "laptop")
    runs = [judged(page, run) for run in found or [None]]
    for number in range(len(runs[0][0]["claims"])):
        at = [(document["claims"][number], metrics) for document, metrics in runs]
        tried = (pair for pair in at if rule.claim_verdict(*pair) != rule.NOT_TRIED)
        claim, metrics = next(tried, at[0])
        yield {"claims": [claim]}, metrics


def whole_tally() -> str:
    """Verdicts of the whole book, in a sentence."""
    each = [pair for slug in claims.load_book() for pair in _each_claim(slug)]
    found = rule.total(each).replace("the paper's", "the papers'")
    return f"**{len(each)} claims** were examined: {found}."


def _lists() -> Iterator[tuple[dict[str, Any], list[Path]]]:
    """Every chapter's claims file, with the notebooks of its page and its appendix."""
    for slug, document in claims.load_book().items():
        if slug == paths.chapter_of(slug):
            yield document, [paths.notebook(page) for page in paths.pages_of(slug)]


def readme_list() -> str:
    """Table of chapters for README."""
    rows = ["| | chapter | paper | what the chapter does | verdicts |", "|---|---|---|---|---|"]
    for number, (document, notebooks) in enumerate(_lists(), 1):
        paper = document["paper"]
        surnames = ", ".join(name.rsplit(" ", 1)[-1] for name in paper["authors"])
        where = f"{surnames} {paper['year']}"
        if "arxiv" in paper:
            where += f", [arXiv {paper['arxiv']}](https://arxiv.org/abs/{paper['arxiv']})"
        names = zip((document["title"], "appendix"), notebooks, strict=False)
        links = ", ".join(f"[{name}]({paths.relative(path)})" for name, path in names)
        found = tally(document["chapter"])
        rows.append(f"| {number} | {links} | {where} | {document['summary']} | {found} |")
    return "\n".join(rows)


def landing_list() -> str:
    """Definition list of chapters for the landing page."""
    entries = []
    for document, notebooks in _lists():
        page, *more = (paths.relative(path).removesuffix(".ipynb") for path in notebooks)
        found = f"{{doc}}`/{page}`\n: {document['summary']}\n  *{tally(document['chapter'])}.*"
        entries.append(found + "".join(f"\n  With {{doc}}`/{appendix}`." for appendix in more))
    return "\n\n".join(entries)


def pages() -> dict[Path, str]:
    """Every generated page with its text; in the others only what stands between two markers."""
    found = {paths.root() / "book" / "scoreboard.md": scoreboard()}
    lists = {
        ("README.md", "tally"): whole_tally,
        ("README.md", "chapters"): readme_list,
        ("book/index.md", "chapters"): landing_list,
    }
    for (name, mark), make in lists.items():
        path = paths.root() / name
        text = found.get(path) or (path.read_text("utf-8") if path.is_file() else "")
        pattern = MARKS.format(mark, ".*?")
        if re.search(pattern, text, re.S):
            inside = MARKS.format(mark, f"\n{make()}\n")
            found[path] = re.sub(pattern, lambda _, new=inside: new, text, flags=re.S)
    return found


def write() -> list[Path]:
    """Write all generated pages that have changed; return their paths."""
    changed = []
    for path, text in pages().items():
        if not path.is_file() or path.read_text("utf-8") != text:
            write_text(path, text)
            changed.append(path)
    return changed
