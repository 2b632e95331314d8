"""Nonsense for every argument of every public function: the machine behind the tables.

A table holds a valid call of each function. Each of its arguments is replaced by every kind of
nonsense that fits the argument's type, one at a time, and the call must end in a ValueError that
names the argument. What makes sense after all is listed as free, and then the call must succeed.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest


@dataclass
class Case:
    """A valid call, and by argument the kinds of nonsense that are none there, with the reason.

    ``free={"mu0": ("negative", "a mean has any sign")}``; several kinds are joined by blanks.
    """

    function: Callable
    arguments: dict[str, Any]
    free: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.function.__qualname__


def case(function: Callable, free: dict[str, tuple[str, str]] | None = None, **arguments) -> Case:
    return Case(function, arguments, free or {})


def kinds(value: Any) -> dict[str, Any]:
    """Nonsense for an argument whose valid value is `value`; nothing for objects and functions."""
    if isinstance(value, bool) or value is None or hasattr(value, "_fields"):
        return {}
    if isinstance(value, str):
        return {"text": "nonsense"}
    if isinstance(value, int | np.integer):
        return {"complex": value + 1j, "nan": np.nan, "inf": np.inf, "fraction": value + 0.5,
                "negative": -abs(value) - 1, "text": "nonsense"}  # fmt: skip
    if isinstance(value, float | np.floating):
        return {"complex": value + 1j, "nan": np.nan, "inf": np.inf, "negative": -abs(value) - 1.0,
                "text": "nonsense"}  # fmt: skip
    if isinstance(value, tuple | list) and value:
        first, kind = value[0], type(value)
        return {name: kind([bad, *value[1:]]) for name, bad in kinds(first).items()}
    if isinstance(value, np.ndarray) and value.size and value.dtype.kind in "iuf":
        return _arrays(value)
    return {}


def _arrays(value: np.ndarray) -> dict[str, np.ndarray]:
    found = {"complex": value + 1j}
    bad = {"nan": np.nan, "inf": np.inf, "negative": -abs(float(value.flat[0])) - 1.0}
    if value.dtype.kind in "iu":
        bad["fraction"] = float(value.flat[0]) + 0.5
    for name, number in bad.items():
        found[name] = value.astype(np.float64)
        found[name].flat[0] = number
    found["empty"] = value[:0] if value.ndim else value.reshape(-1)[:0]
    return found


def faults(case: Case, argument: str) -> list[str]:
    """Kinds of nonsense that a function takes for this argument, or refuses without its name."""
    found = []
    free = case.free.get(argument, ("", ""))[0].split()
    offered = kinds(case.arguments[argument])
    assert set(free) <= set(offered), f"free kinds {free} are not among {list(offered)}"
    for kind, bad in offered.items():
        problem = _outcome(case.function, {**case.arguments, argument: bad}, argument)
        if kind in free and problem != "it was taken":
            found.append(f"{case.name}({argument}: {kind}) is free, but {problem or 'refused'}")
        elif kind not in free and problem:
            found.append(f"{case.name}({argument}={bad!r:.80}): {problem}")
    return found


def _outcome(function: Callable, arguments: dict[str, Any], argument: str) -> str:
    try:
        with np.errstate(all="ignore"):
            function(**arguments)
    except ValueError as error:
        named = re.search(rf"\b{re.escape(argument)}\b", str(error))
        return "" if named else f"the message does not name it: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "it was taken"


def public(package: str) -> Iterator[str]:
    """Qualified names of the public functions, classes and methods that a package defines."""
    home = importlib.import_module(package)
    names = [package]
    if hasattr(home, "__path__"):
        names += [m.name for m in pkgutil.walk_packages(home.__path__, f"{package}.")]
    for name in names:
        if any(part.startswith("_") for part in name.split(".")):
            continue
        for label, thing in vars(importlib.import_module(name)).items():
            if label.startswith("_") or getattr(thing, "__module__", None) != name:
                continue
            if inspect.isfunction(inspect.unwrap(thing)):
                yield thing.__qualname__
            elif inspect.isclass(thing):
                yield label
                yield from _methods(thing)


def _methods(thing: type) -> Iterator[str]:
    """Public methods, class methods and static methods that take more than self."""
    for label, method in vars(thing).items():
        inner = getattr(method, "__func__", method)
        if not label.startswith("_") and inspect.isfunction(inner):
            given = [p for p in inspect.signature(inner).parameters if p not in ("self", "cls")]
            if given:
                yield inner.__qualname__


def places(cases: list[Case]) -> list[tuple[Case, str]]:
    """Each case with each of its arguments that nonsense fits."""
    return [(c, name) for c in cases for name, value in c.arguments.items() if kinds(value)]


def missing(package: str, cases: list[Case], exempt: dict[str, str]) -> set[str]:
    """Public names that stand neither in the table nor among the exempt, or that do not exist."""
    return set(public(package)) ^ ({c.name for c in cases} | set(exempt))


def table_tests(package: str, cases: list[Case], exempt: dict[str, str]) -> tuple[Callable, ...]:
    """Make the three tests of a table: nonsense is refused, valid calls succeed, no name is missing."""

    @pytest.mark.parametrize(("one", "argument"), places(cases), ids=_label)
    def nonsense_is_refused_by_name(one, argument):
        found = faults(one, argument)
        if found:
            pytest.fail("\n".join(found))

    @pytest.mark.parametrize("one", cases, ids=_label)
    def valid_calls_succeed(one):
        one.function(**one.arguments)

    def every_public_name_is_in_the_table():
        odd = missing(package, cases, exempt)
        if odd:
            pytest.fail(f"not in the table, or only there: {sorted(odd)}")

    return nonsense_is_refused_by_name, valid_calls_succeed, every_public_name_is_in_the_table


def _label(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{value.function.__module__.rpartition('.')[2]}.{value.name}"
