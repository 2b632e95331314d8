"""The plan of one run: a request that was checked, and what it depends on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from press import documents, paths
from press.documents import nearest
from press.judge import manifests
from press.run.parameters import check_value, load_profile, parameters, parse_value


@dataclass(frozen=True)
class Plan:
    """One run, checked and ready to start.

    `overrides` are the parameters that differ from the profile, `inputs` the digests of everything
    the run depends on.
    """

    chapter: str
    profile: str
    parameters: dict[str, Any]
    overrides: dict[str, Any]
    folder: Path
    inputs: dict[str, str]

    @property
    def key(self) -> str:
        """Hash of all inputs."""
        return manifests.key(self.inputs)

    def changed(self) -> list[str] | None:
        """List the inputs that changed since the run in `folder`; None where no run has finished there."""
        path = self.folder / "manifest.json"
        if not path.is_file() or not (self.folder / "notebook.ipynb").is_file():
            return None
        try:
            before = manifests.read(path)["inputs"]
        except ValueError:
            return None
        names = sorted({*before, *self.inputs})
        return [name for name in names if before.get(name) != self.inputs.get(name)]

    @property
    def finished(self) -> bool:
        """Whether the folder already holds this very run."""
        return self.changed() == []


def plan(chapter: str, profile: str, overrides: Mapping[str, Any] | None = None) -> Plan:
    """Check a request and turn it into a plan; texts are read in the parameter's type.

    ValueError if a name is unknown, a type is wrong, a value is out of range, or the profile does not
    set exactly the parameters of the chapter.
    """
    known = parameters(chapter)
    values = load_profile(chapter, profile)
    where = f"data/{chapter}/{profile}.yaml"
    for name in values:
        if name not in known:
            raise ValueError(f"{where}: unknown parameter {name!r}; {nearest(name, known)}")
    missing = [name for name in known if name not in values]
    if missing:
        raise ValueError(f"{where}: missing parameters: {', '.join(missing)}")
    values = {name: check_value(known[name], values[name]) for name in known}
    changed = {}
    for name, value in (overrides or {}).items():
        if name not in known:
            raise ValueError(f"parameter: got {name!r}; {nearest(name, known)}")
        if name == "profile":
            raise ValueError("parameter profile: choose it with --profile")
        value = parse_value(known[name], value)
        if value != values[name]:
            changed[name] = value
    label = f"{profile}-{documents.digest(repr(sorted(changed.items())))[:8]}"
    folder = paths.working() / chapter / (label if changed else profile)
    values |= changed
    inputs = manifests.inputs(chapter, profile, values)
    return Plan(chapter, profile, values, changed, folder, inputs)
