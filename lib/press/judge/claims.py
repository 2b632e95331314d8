"""Claims of the papers, the metrics a chapter measures for them, and the verdicts.

A paper's claims stand in ``data/<slug>/claims.yaml`` with conditions on named metrics; the
thresholds are therefore fixed before a run. A chapter records metrics in a `Ledger`; verdicts are
pure functions of the two. What a chapter recorded travels in the *metadata* of its cells' outputs
at full precision, while the text on the page is rounded, so that the page reads the same on every
machine and nothing is lost.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from press import paths
from press.documents import nearest, read_yaml, validate
from press.judge import rule


def _check_conditions(claim: Mapping[str, Any], where: str) -> None:
    for condition in claim["conditions"]:
        for field in [name for name in ("value", "partly") if name in condition]:
            bounds = condition[field]
            low, high = bounds if isinstance(bounds, list) else (bounds, bounds)
            if not (math.isfinite(low) and math.isfinite(high)):
                raise ValueError(f"{where}: claim {claim['id']}: {field} {bounds} is not finite")
            if not low <= high:
                raise ValueError(f"{where}: claim {claim['id']}: {field} [{low}, {high}] is empty")
        if "partly" in condition and not _is_looser(condition):
            raise ValueError(
                f"{where}: claim {claim['id']}: 'partly' {condition['partly']} must be looser "
                f"than {condition['op']} {condition['value']}"
            )


def _is_looser(condition: Mapping[str, Any]) -> bool:
    strict, loose = condition["value"], condition["partly"]
    if condition["op"] == "between":
        return loose[0] <= strict[0] and loose[1] >= strict[1] and loose != strict
    if condition["op"] == "==":
        return False
    return loose > strict if condition["op"] in ("<=", "<") else loose < strict


def load_file(path: Path) -> dict[str, Any]:
    """Read and check one file of claims; see `load`."""
    where = paths.relative(path)
    document = read_yaml(path)
    validate(document, "claims", where)
    if document["chapter"] != path.parent.name:
        expected = path.parent.name
        raise ValueError(f"{where}: chapter is {document['chapter']!r}, expected {expected!r}")
    seen: set[str] = set()
    for claim in document["claims"]:
        if claim["id"] in seen:
            raise ValueError(f"{where}: claim id {claim['id']} is used twice")
        seen.add(claim["id"])
        _check_conditions(claim, where)
    return _with_paper(document, where)


def _with_paper(document: dict[str, Any], where: str) -> dict[str, Any]:
    """Give the appendix of a chapter the facts of the chapter's paper."""
    slug, named = document["chapter"], document.get("appendix_of")
    chapter = paths.chapter_of(slug)
    expected = chapter if chapter != slug else None
    if named != expected:
        raise ValueError(f"{where}: appendix_of is {named!r}, expected {expected!r} for {slug!r}")
    if named is None:
        return document
    if "paper" in document:
        raise ValueError(f"{where}: paper: its facts stand in data/{named}/claims.yaml alone")
    return {**document, "paper": load(named)["paper"]}


def load(chapter: str) -> dict[str, Any]:
    """Facts and claims of one chapter's paper, checked; ValueError if there is no such file or it breaks a rule."""
    path = paths.claims(chapter)
    if not path.is_file():
        known = [slug for slug in paths.chapters() if paths.claims(slug).is_file()]
        raise ValueError(f"chapter: {chapter!r} has no claims file; {nearest(chapter, known)}")
    return load_file(path)


def load_book() -> dict[str, dict[str, Any]]:
    """Claims of all chapters, in the book's order; claim ids are unique over the book."""
    book: dict[str, dict[str, Any]] = {}
    owner: dict[str, str] = {}
    for slug in paths.chapters():
        if not paths.claims(slug).is_file():
            continue
        book[slug] = load(slug)
        for claim in book[slug]["claims"]:
            other = owner.setdefault(claim["id"], slug)
            if other != slug:
                raise ValueError(f"claim id {claim['id']} stands in {other} and in {slug}")
    return book


def verdicts(chapter: str, metrics: Mapping[str, rule.Metric]) -> dict[str, str]:
    """Verdict of every claim of `chapter`, by claim id."""
    return rule.verdicts(load(chapter), metrics)
