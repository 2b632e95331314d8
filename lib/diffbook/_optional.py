"""Packages that only a part of the library needs."""

from __future__ import annotations

from importlib.util import find_spec


def need(package: str, extra: str, user: str) -> None:
    """Raise ImportError naming the extra that brings a package, if the package is missing.

    Parameters
    ----------
    package : str
        Top-level name that is about to be imported.
    extra : str
        Extra of this library that installs it.
    user : str
        Who needs it, as a reader would write it.
    """
    if find_spec(package) is None:
        raise ImportError(f"{user} needs {package}: pip install 'diffbook[{extra}]'")
