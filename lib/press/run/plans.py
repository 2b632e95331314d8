"""What can be run: chapters, profiles, parameters, and the plan of one run.

The truth about parameters is the chapter's ``parameters`` cell: names, types and defaults are read
from it by papermill, and each comment begins with the range or the choices::

    seed = 0  # [0, 2**31-1] random seed
    profile = "laptop"  # {smoke, laptop, gpu} size of the run
    n_mc = 0  # [0, 10_000_000] Monte Carlo samples; 0 takes the profile's value
    steps = ""  # [1, 1000] numbers of steps, as in "5,10"; "" takes the profile's value

A range on a text makes it a list of whole numbers with commas between.
Everything here refuses a bad request with `ValueError` before anything is computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from press import documents, paths
from press.documents import nearest
from press.judge import manifests

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

from press.run.parameters import (
    check_value,
    load_profile,
    parameters,
    parse_value,
)


@dataclass(frozen=True)
class Plan:
    """One run, checked and ready to start.

    Parameters
    ----------
    chapter, profile : str
        What to run; a page without profiles has the profile ``"page"``.
    parameters : dict
        All parameters with their values.
    overrides : dict
        Those that differ from the profile.
    folder : pathlib.Path
        Where the results go.
    inputs : dict of str
        Digests of everything the run depends on.
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
    """Check a request and turn it into a plan.

    Parameters
    ----------
    chapter, profile : str
        Names.
    overrides : dict, optional
        Parameters by name; texts are read in the parameter's type.

    Raises
    ------
    ValueError
        If a name is unknown, a type is wrong, a value is out of range, the profile does not set
        exactly the parameters of the chapter, or an override stands for the profile's value and so
        would change nothing (see `settings`).
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
        value = (
            parse_value(known[name], value)
            if isinstance(value, str)
            else check_value(known[name], value)
        )
        if value == values[name]:
            continue
        if not value and value == known[name].default:
            raise ValueError(
                f"parameter {name}: {value!r} stands for the profile's value, {values[name]!r}; "
                "to run with it, make a profile"
            )
        changed[name] = value
    label = f"{profile}-{documents.digest(repr(sorted(changed.items())))[:8]}"
    folder = paths.working() / chapter / (label if changed else profile)
    merged = {**values, **changed}
    found = manifests.inputs(chapter, profile, merged)
    return Plan(chapter, profile, merged, changed, folder, found)


def page_plan(name: str = manifests.PAGE) -> Plan:
    """Plan of a page that has neither profiles nor parameters, such as the scoreboard."""
    folder = paths.working() / name / "page"
    return Plan(name, "page", {}, {}, folder, manifests.inputs(name, "page", {}))
