"""Two runs of a chapter side by side: settings, verdicts, and metrics that differ beyond their errors."""

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from press import paths
from press.documents import nearest
from press.judge import manifests, rule
from press.judge.claims import in_words
from press.judge.rule import Metric
from press.show.verdicts import is_rough

# Relative difference up to which two numbers without an interval are taken for the same: other
# processors and versions move the last digits.
SAME = 1e-6


@dataclass(frozen=True)
class Row:
    """One thing that both runs have: what kind, its name, its two values, and whether they differ."""

    kind: str
    name: str
    a: Any
    b: Any
    differs: bool
    words: str = ""


def finished(chapter: str | None = None) -> dict[str, dict[str, Any]]:
    """Manifests of all runs by name: ``chapter/run`` in the working folder, a file's path if recorded.

    A damaged run in the working folder is left out; `find` says what is wrong with it.
    """
    found: dict[str, dict[str, Any]] = {}
    for slug in paths.chapters() if chapter is None else paths.pages_of(chapter):
        for manifest in manifests.of_chapter(slug):
            found[paths.relative(paths.run(slug, manifest["profile"]))] = manifest
        for path in sorted((paths.working() / slug).glob("[!.]*/manifest.json")):
            with contextlib.suppress(ValueError):
                found[f"{slug}/{path.parent.name}"] = manifests.read(path)
    return found


def find(name: str) -> dict[str, Any]:
    """Manifest of the run that is called so, or that lies in this folder or file; ValueError otherwise."""
    for path in (Path(name), Path(name) / "manifest.json", folder(name) / "manifest.json"):
        if path.is_file():
            return manifests.read(path)
    raise ValueError(f"run: got {name!r}; {nearest(name, finished())}")


def folder(name: str) -> Path:
    """Folder of the finished run that is called so."""
    return Path(name) if Path(name).is_dir() else paths.working() / name


def settings(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of a run that are not those of the recorded run at `laptop`."""
    usual = (manifests.recorded(manifest["chapter"], "laptop") or manifest)["parameters"]
    return {k: v for k, v in manifest["parameters"].items() if k == "profile" or usual.get(k) != v}


def apart(a: Metric, b: Metric) -> bool:
    """Whether two values differ by more than their errors.

    The error is the root of the summed squares of those halves of the intervals that face each other;
    without intervals, `SAME` of the larger value.
    """
    low, high = sorted((a, b), key=lambda metric: metric.value)
    up = low.ci[1] - low.value if low.ci else 0.0
    down = high.value - high.ci[0] if high.ci else 0.0
    error = max(math.hypot(up, down), SAME * max(abs(a.value), abs(b.value)))
    return high.value - low.value > error


def compare(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Row]:
    """Compare two runs, given as manifests; ValueError if they are of different chapters.

    Metrics that depend on the machine (times, errors of roundoff size) never count as different.
    """
    slug = a["chapter"]
    if b["chapter"] != slug:
        raise ValueError(f"compare: got runs of {slug} and of {b['chapter']}, expected one chapter")
    rows = [
        Row(kind, name, one.get(name), other.get(name), one.get(name) != other.get(name))
        for kind, one, other in (
            ("parameter", a["parameters"], b["parameters"]),
            ("machine", *({k: m[k] for k in ("device", "cpu")} for m in (a, b))),
            ("package", a["packages"], b["packages"]),
        )
        for name in sorted({*one, *other})
    ]
    (document, ours), (other_document, theirs) = (manifests.judged(slug, run) for run in (a, b))
    before, after = rule.verdicts(document, ours), rule.verdicts(other_document, theirs)
    for claim in document["claims"]:
        one, other = before[claim["id"]], after[claim["id"]]
        rows.append(Row("verdict", claim["id"], one, other, one != other, claim["statement"]))
    rough = {
        c["metric"]
        for claim in document["claims"]
        for c in claim["conditions"]
        if is_rough(claim, c)
    }
    for name in sorted({*ours, *theirs}):
        one, other = ours.get(name), theirs.get(name)
        timed = name in rough or "s" in (one and one.unit, other and other.unit)
        differs = not timed and (one is None or other is None or apart(one, other))
        rows.append(Row("metric", name, one, other, differs))
    return rows


def text_of(value: Any) -> str:
    """Write a value of a row as one text, a metric with its interval."""
    if value is None:
        return "-"
    if not isinstance(value, Metric):
        return in_words(value)
    interval = "" if value.ci is None else f" [{value.ci[0]:.4g}, {value.ci[1]:.4g}]"
    return f"{value.value:.6g}{interval}"
