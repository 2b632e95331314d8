"""The library deepinv, where it is installed."""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

from diffbook._optional import need

need("torch", "torch", "deepinv")
import torch  # noqa: E402 - after the door

INSTALL = 'see "Comparing with deepinv" in book/how_to_rerun.md'


@cache
def missing() -> str:
    """Why deepinv cannot be used here; empty if it can."""
    if importlib.util.find_spec("deepinv") is None:
        return f"deepinv is not installed ({INSTALL})"
    try:
        load()
    except Exception as error:  # a broken installation must not break who only asks
        return f"deepinv cannot be imported: {type(error).__name__}: {error} ({INSTALL})"
    return ""


@cache
def load() -> ModuleType:
    """Import deepinv."""
    _declare_operators()
    return importlib.import_module("deepinv")


@cache
def _declare_operators() -> torch.library.Library | None:
    """Make torchvision importable beside a PyTorch that its compiled part was not built for."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return None
    for compiled in Path(spec.origin).parent.glob("_C*"):
        try:
            torch.ops.load_library(str(compiled))
        except OSError:
            continue
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library
