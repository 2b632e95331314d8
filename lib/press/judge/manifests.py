"""Manifests: what a run was made from, on what, and what it measured.

A manifest is one JSON file, checked by a schema, that says everything needed to judge a number:
parameters, commit, versions, device, time, metrics, checksums. Its ``key`` is a hash of all the
inputs of the run, so "is this run still what the sources say" is one comparison.
"""

import datetime
import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from press import closure, documents, machine, paths
from press.documents import digest, digest_files
from press.judge import claims, rule


def networks(slug: str) -> list[Path]:
    """Files of the trained networks that a chapter's claims file names."""
    patterns = claims.load(slug).get("networks", [])
    return sorted({path for pattern in patterns for path in paths.weights().glob(pattern)})


def data_files(slug: str, parameters: Mapping[str, Any]) -> list[Path]:
    """Files in ``DIFFBOOK_DATA`` that a run reads: the claims file names their folders by the value of `data`."""
    home, wanted = paths.data_sets(), claims.load(slug).get("data", {})
    folders = [home / name for name in wanted.get(parameters.get("data"), ())] if home else []
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def files(slug: str, parameters: Mapping[str, Any], sources: Iterable[Path] = ()) -> dict[str, str]:
    """SHA-256 of every file that a run reads beside the book's own text and code, by a name for it.

    These are the trained networks, the data sets in ``DIFFBOOK_DATA``, and `sources`, the code that
    parameters name with what belongs to it.
    """
    home = paths.data_sets()
    found = {paths.relative(path): path for path in [*networks(slug), *sources]}
    for path in data_files(slug, parameters):
        found[f"DIFFBOOK_DATA/{path.relative_to(home).as_posix()}"] = path
    # A path outside the book would name this machine.
    named = {Path(name).name if Path(name).is_absolute() else name: p for name, p in found.items()}
    return {name: digest(path.read_bytes()) for name, path in named.items()}


def inputs(
    slug: str, parameters: Mapping[str, Any], sources: Iterable[Path] = ()
) -> dict[str, str]:
    """Digests of everything that a run depends on, by kind.

    Of our code that is the import closure of the notebook; `sources` are the files of code that its
    parameters name. The claims are inputs because the chapter displays them.
    """
    notebook = documents.read_notebook(paths.notebook(slug))
    room = paths.room(paths.chapter_of(slug))
    code = closure.files(c.source for c in notebook.cells if c.cell_type == "code")
    studies = [*room.glob("studies/*.json"), *room.glob("reference/*.yaml")]
    return {
        "notebook": documents.digest_notebook(notebook),
        "parameters": _digest(parameters),
        "code": digest_files(code, closure.LIB),
        "sources": _digest({path.name: digest(path.read_bytes()) for path in sources}),
        "data": digest_files(data_files(slug, parameters), paths.data_sets() or paths.root()),
        "networks": digest_files(networks(slug), paths.root()),
        "studies": digest_files(studies, paths.root()),
        "claims": digest_files([paths.claims(slug)], paths.root()),
        "packages": _digest(machine.packages()),
    }


def _digest(values: Mapping[str, Any]) -> str:
    return digest(json.dumps(dict(values), sort_keys=True))


def key(found: Mapping[str, str]) -> str:
    """One hash of all inputs."""
    return _digest(found)


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(paths.root()), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
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

    `artefacts` holds SHA-256 by path, relative to the root or to the run's folder; `found` the digests
    of `inputs`, taken before the run.
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
        "cpu": machine.cpu(),
        "threads": machine.threads(),
        "wall_s": round(wall_s, 1),
        "packages": machine.packages(),
        "metrics": [metric.as_dict() for metric in metrics],
        "artefacts": dict(artefacts),
        "inputs": dict(found),
        "key": key(found),
    }
    return check(manifest, f"manifest of {chapter}")


def check(manifest: Any, where: str) -> dict[str, Any]:
    """Return a manifest that can be right; ValueError, beginning with `where`, for one that cannot."""
    documents.validate(manifest, "manifest", where)
    names = [metric["name"] for metric in manifest["metrics"]]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{where}: metrics: {twice[0]} stands there twice")
    for metric in manifest["metrics"]:
        try:
            rule.make_metric(**metric)
        except ValueError as error:
            raise ValueError(f"{where}: metrics: {error}") from error
    found = manifest["inputs"]
    if manifest["key"] != key(found):
        raise ValueError(f"{where}: key: it is not the hash of the inputs")
    for name in {"parameters", "packages"} & set(found):
        if found[name] != _digest(manifest[name]):
            raise ValueError(f"{where}: {name}: they are not those of the inputs")
    if manifest["seed"] != manifest["parameters"].get("seed"):
        raise ValueError(f"{where}: seed: got {manifest['seed']}, expected that of the parameters")
    return manifest


def read(path: Path) -> dict[str, Any]:
    """Read and `check` one manifest; ValueError with the file's name if it is no JSON."""
    return check(documents.read_json(path), paths.relative(path))


def recorded(slug: str, profile: str) -> dict[str, Any] | None:
    """Read the manifest under version control, or None where nothing was recorded."""
    path = paths.run(slug, profile)
    if not path.is_file():
        return None
    manifest = read(path)
    if (manifest["chapter"], manifest["profile"]) != (slug, profile):
        found = f"{manifest['chapter']} at {manifest['profile']}"
        raise ValueError(f"{paths.relative(path)}: holds the run of {found}")
    return manifest


def of_chapter(slug: str) -> list[dict[str, Any]]:
    """Read the recorded manifests of one chapter, all profiles."""
    found = sorted(path.stem for path in paths.room(slug).glob("runs/*.json"))
    return [recorded(slug, profile) for profile in found]


def judged(slug: str, manifest: Mapping[str, Any] | None) -> tuple[dict, dict[str, rule.Metric]]:
    """Claims of a chapter as a run judges them, and what it measured; at `laptop`, and nothing, for None.

    A parameter that the chapter has had since an older run counts as at `laptop`.
    """
    known = claims.profile(slug, "laptop")
    made = manifest["parameters"] if manifest else {}
    return claims.load(slug, {k: made.get(k, v) for k, v in known.items()}), metrics_of(manifest)


def metrics_of(manifest: Mapping[str, Any] | None) -> dict[str, rule.Metric]:
    """Metrics of a manifest by name; none where there is no manifest."""
    entries = manifest["metrics"] if manifest else []
    return {entry["name"]: rule.Metric.from_dict(entry) for entry in entries}
