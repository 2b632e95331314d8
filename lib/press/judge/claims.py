"""Claims of the papers, the metrics a chapter measures for them, and the verdicts.

A paper's claims stand in ``data/<slug>/claims.yaml`` with conditions on named metrics; the
thresholds are therefore fixed before a run. A chapter records metrics in a `Ledger`; verdicts are
pure functions of the two. What a chapter recorded travels in the *metadata* of its cells' outputs
at full precision, while the text on the page is rounded, so that the page reads the same on every
machine and nothing is lost.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from press import paths
from press.documents import nearest, read_yaml, validate

# Mathematics and code may hold braces of their own.
_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_OWN_BRACES = re.compile(r"\$[^$]*\$|`[^`]*`")


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


def load(chapter: str, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Facts and claims of one chapter's paper, as a run with these parameters judges them.

    Names of parameters in braces are filled in; a claim that such a run is too small for says so under
    ``untried``. Without parameters: as a run at `laptop`. ValueError if there is no such file, it breaks a
    rule, or a parameter is unknown, or missing though a claim names it.
    """
    path = paths.claims(chapter)
    if not path.is_file():
        known = [slug for slug in paths.chapters() if paths.claims(slug).is_file()]
        raise ValueError(f"chapter: {chapter!r} has no claims file; {nearest(chapter, known)}")
    document, known = load_file(path), profile(chapter, "laptop")
    values = known if parameters is None else parameters
    for name in values:
        if name not in known:
            raise ValueError(f"parameter: got {name!r}; {nearest(name, known)}")
    claims = [_at(claim, chapter, known, values) for claim in document["claims"]]
    return {**document, "claims": claims}


def profile(chapter: str, name: str) -> dict[str, Any]:
    """Parameters of a profile, unchecked; none where there is no such file."""
    path = paths.profile(chapter, name)
    return read_yaml(path) if path.is_file() else {}


def _at(
    claim: Mapping[str, Any], chapter: str, known: Mapping[str, Any], values: Mapping[str, Any]
) -> dict[str, Any]:
    """One claim as a run judges it that has these values of the chapter's known parameters."""
    where = f"data/{chapter}/claims.yaml: claim {claim['id']}"

    def value(name: str) -> Any:
        if name not in values:
            raise ValueError(f"{where} names the parameter {name}: give the ledger its value")
        return values[name]

    def words(match: re.Match[str]) -> str:
        return in_words(value(match[1])) if match[1] in known else match[0]

    texts = {name: claim[name] for name in ("statement", "scale", "reason") if name in claim}
    for place, text in texts.items():
        for name in _PLACEHOLDER.findall(_OWN_BRACES.sub("", text)):
            if name not in known:
                raise ValueError(
                    f"{where}: {place}: {{{name}}} is no parameter; {nearest(name, known)}"
                )
    found = {**claim, **{k: _PLACEHOLDER.sub(words, text) for k, text in texts.items()}}
    if "needs" in claim:
        start = claim["judged_from"]
        wanted = profile(chapter, start)
        unknown = [name for name in claim["needs"] if name not in wanted]
        if unknown:
            raise ValueError(f"{where}: needs: data/{chapter}/{start}.yaml has no {unknown[0]}")
        short = [
            f"{name} is {_bracketed(value(name))}, {_bracketed(wanted[name])} needed"
            for name in claim["needs"]
            if not _is_enough(value(name), wanted[name])
        ]
        if short:
            found["untried"] = (
                f"not tried at this size: judged from `{start}` on ({'; '.join(short)})"
            )
    return found


def in_words(value: Any) -> str:
    """Value of a parameter as it stands in a sentence."""
    if isinstance(value, list):
        return ", ".join(map(in_words, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _bracketed(value: Any) -> str:
    return f"[{in_words(value)}]" if isinstance(value, list) else in_words(value)


def _is_enough(value: Any, wanted: Any) -> bool:
    """Whether a run with a parameter of this value is at least as large as one with the wanted value."""
    if isinstance(wanted, list):
        return set(wanted) <= set(value)
    return value == wanted if isinstance(wanted, bool | str) else value >= wanted


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
