"""Manifests: what a run was made from, on what, and what it measured.

A manifest is one JSON file, checked by a schema, that says everything needed to judge a number:
parameters, commit, versions, device, time, metrics, checksums. Its ``key`` is a hash of all the
inputs of the run, so "is this run still what the sources say" is one comparison.
"""

from __future__ import annotations

import datetime
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from press import documents, paths
from press.judge import rule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

from typing import TYPE_CHECKING

from press.documents import digest, digest_files, digest_notebook
from press.judge.rule import Metric
from press.machine import cpu, packages, threads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


PAGE = "scoreboard"


def inputs(chapter: str, profile: str, parameters: Mapping[str, Any]) -> dict[str, str]:
    """Digests of everything that a run depends on, by kind.

    The claims and the manifests of other profiles are inputs because the chapter displays them.
    """
    import nbformat

    library = Path(__file__).parents[2]
    if chapter == PAGE:
        paper, others = [paths.claims(c) for c in paths.chapters()], _manifest_files()
    else:
        paper = [path for path in [paths.claims(chapter)] if path.is_file()]
        others = [path for path in _manifest_files(chapter) if path.stem != profile]
    return {
        "notebook": digest_notebook(nbformat.read(paths.notebook(chapter), as_version=4)),
        "parameters": digest(json.dumps(dict(parameters), sort_keys=True)),
        "library": digest_files([*library.rglob("*.py"), *library.rglob("*.json")]),
        "weights": digest_files(paths.weights().glob("*.safetensors")),
        "studies": digest_files(
            [
                *paths.room(chapter).glob("studies/*.json"),
                *paths.room(chapter).glob("reference/*.yaml"),
            ]
        ),
        "paper": digest_files(paper),
        "recorded": digest_files(others),
        "packages": digest(json.dumps(packages(), sort_keys=True)),
    }


def key(found: Mapping[str, str]) -> str:
    """One hash of all inputs."""
    return digest(json.dumps(dict(found), sort_keys=True))


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(paths.root()), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def commit() -> tuple[str | None, bool | None]:
    """HEAD and whether the run's sources differ from it; nothing outside a git checkout."""
    head = _git("rev-parse", "--verify", "HEAD")
    if head is None:
        return None, None
    changed = _git("status", "--porcelain", "--", "lib", "data", "notebooks")
    return head, None if changed is None else bool(changed)


def build(
    chapter: str,
    profile: str,
    parameters: Mapping[str, Any],
    metrics: Sequence[rule.Metric],
    *,
    device: str,
    wall_s: float,
    artefacts: Mapping[str, str],
    found: Mapping[str, str],
) -> dict[str, Any]:
    """Put together and check the manifest of a finished run.

    Parameters
    ----------
    chapter, profile : str
        What ran.
    parameters : dict
        All parameters, by name.
    metrics : sequence of Metric
        What was measured.
    device : str
        What computed, in words.
    wall_s : float
        Wall-clock time in seconds.
    artefacts : dict of str
        SHA-256 by path, relative to the root or to the run's folder.
    found : dict of str
        Digests from `inputs`, taken before the run.
    """
    head, dirty = commit()
    now = datetime.datetime.now(datetime.UTC)
    manifest = {
        "chapter": chapter,
        "profile": profile,
        "parameters": dict(parameters),
        "seed": parameters.get("seed"),
        "commit": head,
        "dirty": dirty,
        "date": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "device": device,
        "cpu": cpu(),
        "threads": threads(),
        "wall_s": round(wall_s, 1),
        "packages": packages(),
        "metrics": [metric.as_dict() for metric in metrics],
        "artefacts": dict(artefacts),
        "inputs": dict(found),
        "key": key(found),
    }
    documents.validate(manifest, "manifest", f"manifest of {chapter}")
    return manifest


def read(path: Path) -> dict[str, Any]:
    """Read and check one manifest.

    Raises
    ------
    ValueError
        If the file is no JSON or breaks the schema.
    """
    where = paths.relative(path)
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: not JSON: {error}") from error
    documents.validate(manifest, "manifest", where)
    return manifest


def _manifest_files(chapter: str = "*") -> list[Path]:
    """Manifests to show: fresh ones go before recorded ones of the same chapter and profile."""
    found: dict[tuple[str, str], Path] = {}
    if paths.fresh() is not None:
        for path in paths.fresh().glob(f"{chapter}/*.json"):
            found[path.parent.name, path.stem] = path
    for path in (paths.root() / "data").glob(f"{chapter}/runs/*.json"):
        found.setdefault((path.parts[-3], path.stem), path)
    return [found[name] for name in sorted(found)]


def _read_named(path: Path) -> dict[str, Any]:
    manifest = read(path)
    owner = path.parent.parent if path.parent.name == "runs" else path.parent
    if (owner.name, path.stem) != (manifest["chapter"], manifest["profile"]):
        raise ValueError(
            f"{paths.relative(path)}: holds the run of {manifest['chapter']} at "
            f"{manifest['profile']}"
        )
    return manifest


def load_all() -> list[dict[str, Any]]:
    """All manifests that reports show, ordered by file name; see `paths.manifest_folders`."""
    return [_read_named(path) for path in _manifest_files()]


def of_chapter(chapter: str) -> list[dict[str, Any]]:
    """Manifests of one chapter, all profiles."""
    return [_read_named(path) for path in _manifest_files(chapter)]


def recorded(chapter: str, profile: str) -> dict[str, Any] | None:
    """Read the manifest under version control, or None where nothing was recorded."""
    path = paths.run(chapter, profile)
    return _read_named(path) if path.is_file() else None


# ---------------------------------------------------------------------------------------------
# scoreboard


def metrics_of(manifest: Mapping[str, Any]) -> dict[str, Metric]:
    """Metrics of a manifest by name."""
    return {entry["name"]: Metric.from_dict(entry) for entry in manifest["metrics"]}
