"""Checks at the door: each gives an argument back in its type, or a ValueError that names it.

Intervals are written as in the docstrings: ``"[0, 1]"``, ``"(0, inf)"``; an end at infinity is open
(only finite numbers) unless the bracket closes it.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

ANY = "(-inf, inf)"
POSITIVE = "(0, inf)"
NON_NEGATIVE = "[0, inf)"


@cache
def _ends(interval: str) -> tuple[float, float, bool, bool]:
    low, high = interval[1:-1].split(",")
    return float(low), float(high), interval[0] == "[", interval[-1] == "]"


def _within(values: Any, interval: str) -> Any:
    low, high, closed_low, closed_high = _ends(interval)
    above = values >= low if closed_low else values > low
    return above & (values <= high if closed_high else values < high)


def real(value: Any, name: str, interval: str = ANY, hint: str = "") -> float:
    """Return one real number as a float; not-a-number lies in no interval."""
    one = value.item() if getattr(value, "ndim", None) == 0 else value
    fits = isinstance(one, numbers.Real) and not isinstance(one, bool)
    if not fits or not _within(float(one), interval):
        words = "a finite number" if interval == ANY else f"a number in {interval}"
        raise ValueError(f"{name}: got {value!r}, expected {words}{hint and f' ({hint})'}")
    return float(one)


def whole(value: Any, name: str, low: int = 1, high: int | None = None, hint: str = "") -> int:
    """Return one whole number from `low` to `high` as an int; 2.0 is none."""
    one = value.item() if getattr(value, "ndim", None) == 0 else value
    fits = isinstance(one, numbers.Integral) and not isinstance(one, bool)
    if not fits or one < low or (high is not None and one > high):
        ends = f"of at least {low}" if high is None else f"from {low} to {high}"
        words = f"a whole number {ends}{hint and f' ({hint})'}"
        raise ValueError(f"{name}: got {value!r}, expected {words}")
    return int(one)


def reals(
    values: ArrayLike,
    name: str,
    interval: str = ANY,
    *,
    ndim: int | tuple[int, ...] | None = None,
    shape: tuple[int, ...] | None = None,
    nan: bool = False,
    hint: str = "",
) -> NDArray[np.float64]:
    """Return an array of real numbers in float64, not empty; complex numbers are not cut.

    With `nan`, not-a-number may stand for what is not available.
    """
    try:
        found = np.asarray(values)
    except (ValueError, TypeError, RuntimeError):  # ragged lists; tensors that need a gradient
        raise ValueError(f"{name}: expected an array of real numbers, got {values!r}") from None
    if found.dtype.kind not in "iuf":
        raise ValueError(f"{name}: expected real numbers, got dtype {found.dtype}")
    dims = (ndim,) if isinstance(ndim, int) else ndim
    if dims is not None and found.ndim not in dims:
        words = " or ".join(map(str, dims))
        raise ValueError(f"{name}: expected {words} dimensions, got shape {found.shape}")
    if shape is not None and found.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {found.shape}")
    if found.size == 0:
        raise ValueError(f"{name}: expected at least one number, got shape {found.shape}")
    fits = _within(found, interval)
    fits = fits | np.isnan(found) if nan else fits
    if not np.all(fits):
        place = tuple(int(i) for i in np.argwhere(~fits)[0])
        where = f"[{', '.join(map(str, place))}]" if place else ""
        words = "finite numbers" if interval == ANY else f"numbers in {interval}"
        why = hint and f" ({hint})"
        raise ValueError(f"{name}{where} = {found[place]}: expected {words}{why}")
    return found.astype(np.float64, copy=False)


def complexes(values: ArrayLike, name: str, **form: Any) -> NDArray:
    """Return finite numbers, not empty: float64, or complex where they are; `form` as in `reals`."""
    if not np.iscomplexobj(values):
        return reals(values, name, **form)
    found = np.asarray(values)
    for part in (found.real, found.imag):
        reals(part, name, **form)
    return found


def choice(value: Any, name: str, valid: Iterable[Any]) -> Any:
    """Return a value that is one of `valid`; the error names the nearest."""
    valid = list(valid)
    if not any(value is one or (type(value) is type(one) and value == one) for one in valid):
        near = get_close_matches(str(value), map(str, valid), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{name}: got {value!r}, expected one of {valid}{hint}")
    return value


def generator(rng: Any, name: str = "rng") -> np.random.Generator:
    """Return a random generator, made of a seed where it is none yet."""
    if isinstance(rng, np.random.Generator):
        return rng
    return np.random.default_rng(whole(rng, name, 0, hint="a seed, or a generator"))
