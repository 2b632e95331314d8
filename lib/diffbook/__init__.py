"""Spectral analysis of diffusion models: the library behind the book.

The package is layered, and imports go down only: closed forms (``schedules``, ``gaussian``,
``distances``, ``transfer``, ``design``) need numpy and scipy, ``samplers`` and everything above
may need torch, and ``claims``, ``runs`` and ``report`` keep the book's ledger.
Submodules are imported on first use, so ``import diffbook`` costs next to nothing and the
closed-form chapters never load torch.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

__version__ = "0.1.0"

__all__ = ["__version__"]


def _submodules() -> list[str]:
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return [name for name in names if not name.startswith("_")]


def __getattr__(name: str) -> ModuleType:
    if not name.startswith("_") and name in _submodules():
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_submodules()])
