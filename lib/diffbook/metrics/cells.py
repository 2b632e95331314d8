"""Values at (S, method, seed, metric): tables, summaries, paired comparisons.

A **cell** is one measurement. Cells of one table have one `group` (a data set, a task); `groups` takes
several apart. All methods of a seed are assumed to have seen the same noise, so that differences are
paired.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffbook._checks import choice, reals, whole
from diffbook.metrics.intervals import crossed_ci, mean_ci, paired_ci

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Cell:
    """One measurement.

    Parameters
    ----------
    S, method, metric, seed
        What was measured: number of steps, who did it, by which metric, in which repetition.
    value
        A number, or an array (n,) with one for each image.
    group
        Which table the measurement belongs to, such as a data set or a pair (data set, task).
    """

    S: int
    method: str
    metric: str
    seed: int
    value: float | NDArray
    group: Any = ""

    def __post_init__(self) -> None:
        whole(self.S, "S")
        whole(self.seed, "seed", 0)
        reals(self.value, "value", "[-inf, inf]")

    @property
    def mean(self) -> float:
        """The number, or the mean over images."""
        return float(np.mean(self.value))


def groups(cells: Iterable[Cell]) -> dict[Any, list[Cell]]:
    """Take the cells of several tables apart: {group: its cells}, in order of appearance."""
    found: dict[Any, list[Cell]] = {}
    for cell in cells:
        found.setdefault(cell.group, []).append(cell)
    return found


def values(cells: Iterable[Cell], metric: str) -> dict[tuple[int, str], NDArray]:
    """Collect the values of a metric: {(S, method): array over seeds in increasing order}.

    Arrays have shape (seeds,), or (seeds, images) where cells hold a value for each image.

    Raises
    ------
    ValueError
        If no cell has the metric, or two cells share S, method and seed (see `groups`).
    """
    found: dict[tuple[int, str], dict[int, float | NDArray]] = {}
    for cell in cells:
        if cell.metric != metric:
            continue
        seeds = found.setdefault((cell.S, cell.method), {})
        if cell.seed in seeds:
            raise ValueError(
                f"cells: got two values of {metric!r} for {cell.method!r}, S = {cell.S}, seed "
                f"{cell.seed}; expected one (take groups apart with `groups`)"
            )
        seeds[cell.seed] = cell.value
    if not found:
        raise ValueError(f"metric: got {metric!r}, which no cell has")
    return {key: np.array([seeds[k] for k in sorted(seeds)]) for key, seeds in found.items()}


def summary(cells: Iterable[Cell], metric: str) -> dict[str, list[Triple]]:
    """Mean and 95 % interval over seeds: {method: [(mean, low, high) for every S]}."""
    table = values(cells, metric)
    found: dict[str, list[Triple]] = {}
    for S, method in sorted(table, key=lambda key: key[0]):
        found.setdefault(method, []).append(mean_ci(_by_seed(table[S, method])))
    return found


def means(cells: Sequence[Cell], metrics: Sequence[str]) -> dict[str, list[float]]:
    """Rows of a table: {method: means over seeds for every metric, and within it every S}."""
    known = {cell.metric: None for cell in cells}
    tables = [summary(cells, choice(metric, "metrics", known)) for metric in metrics]
    return {name: [triple[0] for t in tables for triple in t[name]] for name in tables[0]}


@dataclass(frozen=True, eq=False)
class Comparison:
    """One method against another at S steps, paired: values `a` of it, `b` of the other.

    Both have shape (seeds,) or (seeds, images).
    """

    S: int
    method: str
    other: str
    a: NDArray
    b: NDArray

    @property
    def ratio(self) -> Triple:
        """Mean of the ratios a / b of the seeds, with its t interval (low, high)."""
        return mean_ci(_by_seed(self.a) / _by_seed(self.b))

    @property
    def difference(self) -> Triple:
        """Mean of the differences a - b of the seeds, with its t interval (low, high)."""
        return paired_ci(_by_seed(self.a), _by_seed(self.b))

    @property
    def crossed(self) -> Triple:
        """Mean of a - b with the interval for new seeds and new images, see `crossed_ci`."""
        return crossed_ci(self.a - self.b)


def compare(
    cells: Iterable[Cell], metric: str, method: str, others: str | Sequence[str]
) -> list[Comparison]:
    """Compare a method with another one, or with the best of several (by mean), at each S.

    Choosing the best one after the fact, on the same samples, favours it.

    Raises
    ------
    ValueError
        If fewer than two seeds were run, or not the same number for both.
    """
    table, found = values(cells, metric), []
    names = sorted({name for _, name in table})
    choice(method, "method", names)
    rivals = [choice(n, "others", names) for n in ([others] if isinstance(others, str) else others)]
    for S in sorted(S for S, name in table if name == method):
        known = [name for name in rivals if (S, name) in table]
        if not known:
            continue
        rival = min(known, key=lambda name: table[S, name].mean())
        a, b = table[S, method], table[S, rival]
        if a.shape != b.shape or len(a) < 2:
            raise ValueError(
                f"cells: got {len(a)} and {len(b)} seeds of {method!r} and {rival!r} at S = {S}, "
                "expected the same seeds and images, at least two seeds"
            )
        found.append(Comparison(S, method, rival, a, b))
    return found


def worst(comparisons: Sequence[Comparison]) -> Comparison:
    """Return the comparison with the largest mean ratio."""
    return max(comparisons, key=lambda c: c.ratio[0])


def _by_seed(table: NDArray) -> NDArray:
    """One number per seed: the mean over images, where there are any."""
    return table if table.ndim == 1 else table.mean(axis=1)
