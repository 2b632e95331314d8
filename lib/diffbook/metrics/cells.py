"""Values at (S, method, seed, metric): tables, summaries, paired comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# --- sampling ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One measurement: metric `metric` of the samples of `schedule` with `S` steps and a seed."""

    S: int
    schedule: str
    metric: str
    seed: int
    value: float


def values(rows: Sequence[Row], metric: str) -> dict[tuple[int, str], NDArray]:
    """One array over seeds (in increasing order) for each (S, schedule)."""
    found: dict[tuple[int, str], list[tuple[int, float]]] = {}
    for row in rows:
        if row.metric == metric:
            found.setdefault((row.S, row.schedule), []).append((row.seed, row.value))
    return {key: np.array([v for _, v in sorted(pairs)]) for key, pairs in found.items()}


def summary(rows: Sequence[Row], metric: str) -> dict[str, list[tuple[float, float, float]]]:
    """Mean and 95 % interval over seeds: {schedule: [(mean, low, high) for every S]}."""
    from diffbook.metrics.intervals import mean_ci

    table = values(rows, metric)
    found: dict[str, list[tuple[float, float, float]]] = {}
    for S, name in sorted(table, key=lambda key: key[0]):
        found.setdefault(name, []).append(mean_ci(table[S, name]))
    return found


def means(rows: Sequence[Row], metrics: Sequence[str]) -> dict[str, list[float]]:
    """Rows of a table: {schedule: means over seeds for every metric, and within it every S}."""
    tables = [summary(rows, metric) for metric in metrics]
    return {name: [cell[0] for t in tables for cell in t[name]] for name in tables[0]}


@dataclass(frozen=True)
class Comparison:
    """One schedule against another at S steps: paired over seeds.

    `ratio` is the mean of the paired ratios with its interval (low, high); `difference` likewise.
    """

    S: int
    schedule: str
    other: str
    ratio: tuple[float, float, float]
    difference: tuple[float, float, float]


def compare(
    rows: Sequence[Row], metric: str, schedule: str, others: str | Sequence[str]
) -> list[Comparison]:
    """Compare a schedule with another one, or with the best of several (by mean) at each S.

    Choosing the best one after the fact, on the same samples, favours it.

    Raises
    ------
    ValueError
        If fewer than two seeds were run.
    """
    from diffbook.metrics.intervals import mean_ci, paired_ci

    table = values(rows, metric)
    rivals = [others] if isinstance(others, str) else others
    found = []
    for S in sorted({S for S, _ in table}):
        rival = min(
            (name for name in rivals if (S, name) in table), key=lambda k: table[S, k].mean()
        )
        a, b = table[S, schedule], table[S, rival]
        found.append(Comparison(S, schedule, rival, mean_ci(a / b), paired_ci(a, b)))
    return found


def worst(comparisons: Sequence[Comparison]) -> Comparison:
    """Return the comparison with the largest mean ratio."""
    return max(comparisons, key=lambda c: c.ratio[0])
