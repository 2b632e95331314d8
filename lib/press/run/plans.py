"""The plan of one run: a request that was checked, and what it depends on."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from press import documents, ledger, paths
from press.documents import nearest
from press.judge import manifests
from press.run.parameters import (
    check_value,
    companions,
    is_own,
    load_profile,
    parameters,
    parse_value,
    source_file,
)
from press.run.safety import recover


@dataclass(frozen=True)
class Plan:
    """One run, checked and ready to start.

    `overrides` are the parameters that differ from the profile, `sources` the files of code that
    parameters name, with those that belong to them, `inputs` the digests of everything the run depends on.
    """

    chapter: str
    profile: str
    parameters: dict[str, Any]
    overrides: dict[str, Any]
    folder: Path
    sources: list[Path]
    inputs: dict[str, str]

    @property
    def key(self) -> str:
        """Hash of all inputs."""
        return manifests.key(self.inputs)

    def changed(self, manifest: Mapping[str, Any]) -> list[str]:
        """List the inputs that are not those of the run that a manifest describes."""
        before = manifest["inputs"]
        names = sorted({*before, *self.inputs})
        return [name for name in names if before.get(name) != self.inputs.get(name)]

    def reason(self) -> str:
        """Say why this run is to be made; empty if the folder holds it as it was made, from the same inputs."""
        if not (self.folder / "manifest.json").is_file():
            return "no finished run there"
        try:
            manifest, _ = read_run(self.folder)
        except ValueError as error:
            return f"damaged: {error}"
        changed = self.changed(manifest)
        return f"changed since the last run: {', '.join(changed)}" if changed else ""

    @property
    def finished(self) -> bool:
        """Whether the folder already holds this very run."""
        return not self.reason()


def read_run(folder: Path) -> tuple[dict[str, Any], NotebookNode]:
    """Manifest and notebook of a finished run; ValueError naming the file that is not as it was made."""
    manifest = manifests.read(folder / "manifest.json")
    path = folder / "notebook.ipynb"
    where = paths.relative(path)
    if not path.is_file():
        raise ValueError(f"{where}: it is not there")
    if documents.digest(path.read_bytes()) != manifest["artefacts"].get(path.name):
        raise ValueError(f"{where}: it is not the file that the run wrote")
    notebook = documents.read_notebook(path)
    made = {
        "metrics": [metric.as_dict() for metric in ledger.collect_metrics(notebook)],
        "device": ledger.collect_device(notebook),
    }
    for name, value in made.items():
        if manifest[name] != value:
            raise ValueError(
                f"{paths.relative(folder)}/manifest.json: {name}: not as in {path.name}"
            )
    if manifest["inputs"].get("notebook") != documents.digest_notebook(notebook):
        raise ValueError(f"{where}: its cells are not those of the inputs")
    return manifest, notebook


def _label(profile: str, changed: Mapping[str, Any]) -> str:
    """Name of a run's folder, which says what was set, or a hash of it where that would be long."""
    words = [
        f"{name}{'_'.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in sorted(changed.items())
    ]
    label = "-".join([profile, *words])
    if re.fullmatch(r"[\w.-]{1,60}", label, re.ASCII):
        return label
    return f"{profile}-{documents.digest(repr(sorted(changed.items())))[:8]}"


def plan(chapter: str, profile: str, overrides: Mapping[str, Any] | None = None) -> Plan:
    """Check a request and turn it into a plan; texts are read in the parameter's type.

    ValueError if a name is unknown, a type is wrong, a value is out of range, or the profile does not
    set exactly the parameters of the chapter.
    """
    known = parameters(chapter)
    values = load_profile(chapter, profile)
    where = profile if is_own(profile) else f"data/{chapter}/{profile}.yaml"
    # In a file of one's own, as on the command line, paths start from the working directory.
    read, profile = parse_value if is_own(profile) else check_value, values["profile"]
    for name in values:
        if name not in known:
            raise ValueError(f"{where}: unknown parameter {name!r}; {nearest(name, known)}")
    missing = [name for name in known if name not in values]
    if missing:
        raise ValueError(f"{where}: missing parameters: {', '.join(missing)}")
    values = {name: read(known[name], values[name]) for name in known}
    changed = {}
    for name, value in (overrides or {}).items():
        if name not in known:
            raise ValueError(f"parameter: got {name!r}; {nearest(name, known)}")
        if name == "profile":
            raise ValueError("parameter profile: choose it with --profile")
        value = parse_value(known[name], value)
        if value != values[name]:
            changed[name] = value
    folder = paths.working() / chapter / _label(profile, changed)
    values |= changed
    named = [source_file(known[name], value) for name, value in values.items() if known[name].base]
    sources = [file for path in named if path for file in (path, *companions(path))]
    inputs = manifests.inputs(chapter, values, sources)
    recover(folder)
    return Plan(chapter, profile, values, changed, folder, sources, inputs)
