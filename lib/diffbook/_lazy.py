"""Public faces of packages: names are handed on when they are asked for, and not before."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def face(
    package: str, names: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Make ``__getattr__``, ``__dir__`` and ``__all__`` of a package.

    Parameters
    ----------
    package : str
        Dotted name of the package.
    names : dict of str
        Its modules, each with the public names that the package hands on, separated by blanks.
    """
    home = {name: module for module, text in names.items() for name in text.split()}
    public = sorted({*home, *names})

    def get(name: str) -> Any:
        if name in home:
            return getattr(importlib.import_module(f"{package}.{home[name]}"), name)
        if name in names:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get, lambda: public, public
