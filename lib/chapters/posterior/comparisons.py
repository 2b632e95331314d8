"""Comparisons of restoration methods: paired differences with intervals, and tables for figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chapters.posterior.restoration import Cell
from diffbook.metrics.intervals import crossed_ci, mean_ci, paired_ci

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Difference:
    """One method minus another in one task with S steps.

    `crossed` is the mean difference over seeds and images with the 95 % interval of
    `restoration.crossed_ci` (None for metrics of whole sets); `per_seed` the same mean with the t interval
    of the per-seed means, which is far wider with three seeds.
    """

    data: str
    task: str
    S: int
    method: str
    other: str
    metric: str
    crossed: Triple | None
    per_seed: Triple


def compare(cells: Sequence[Cell], metric: str, method: str, other: str) -> list[Difference]:
    """Compare two methods wherever both were run, paired by seed and image.

    Raises
    ------
    ValueError
        If fewer than two training seeds were run.
    """
    table = _by_method(cells)
    found = []
    for (data, task, S, name), group in table.items():
        if name != method or (data, task, S, other) not in table:
            continue
        rivals = table[data, task, S, other]
        if [c.seed for c in group] != [c.seed for c in rivals]:
            raise ValueError(f"cells: {method!r} and {other!r} were not run with the same seeds")
        per_seed = paired_ci([c.value(metric) for c in group], [c.value(metric) for c in rivals])
        crossed = None
        if metric in group[0].per_image:
            a, b = (np.stack([c.per_image[metric] for c in cs]) for cs in (group, rivals))
            crossed = crossed_ci(a - b)
        found.append(Difference(data, task, S, method, other, metric, crossed, per_seed))
    return found


def summary(cells: Sequence[Cell], metric: str) -> dict[tuple[str, str, int, str], tuple]:
    """Mean over seeds with its t interval: {(data, task, S, method): (mean, low, high)}."""
    return {
        key: mean_ci([c.value(metric) for c in group]) for key, group in _by_method(cells).items()
    }


def _by_method(cells: Sequence[Cell]) -> dict[tuple[str, str, int, str], list[Cell]]:
    table: dict[tuple[str, str, int, str], list[Cell]] = {}
    for cell in cells:
        table.setdefault((cell.data, cell.task, cell.S, cell.method), []).append(cell)
    return {key: sorted(group, key=lambda c: c.seed) for key, group in table.items()}


def difference_table(
    differences: Sequence[Difference], data: str, metric: str, method: str, other: str,
    steps: Sequence[int],
) -> dict[str, NDArray[np.float64]]:  # fmt: skip
    """Differences of one pair of methods: {task: (mean, low, high) for every S}.

    Intervals over seeds and images where there are any, else over seeds; NaN where a comparison is
    missing. Arrays have shape (len(steps), 3).
    """
    found: dict[str, NDArray] = {}
    for d in differences:
        if (d.data, d.metric, d.method, d.other) == (data, metric, method, other) and d.S in steps:
            table = found.setdefault(d.task, np.full((len(steps), 3), np.nan))
            table[list(steps).index(d.S)] = d.crossed or d.per_seed
    return found


def quality_table(
    cells: Sequence[Cell], data: str, task: str, metrics: Sequence[str], steps: Sequence[int]
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Values of one task: {metric: {method: (mean, low, high) over seeds for every S}}."""
    found: dict[str, dict[str, NDArray]] = {}
    for metric in metrics:
        for (d, t, S, method), triple in summary(cells, metric).items():
            if (d, t) == (data, task) and S in steps:
                row = found.setdefault(metric, {}).setdefault(
                    method, np.full((len(steps), 3), np.nan)
                )
                row[list(steps).index(S)] = triple
    return found


#: Names that figures show for the methods and metrics of the studies.
LABELS = {
    "designed": "DPS designed",
    "designed, trimmed": "DPS trimmed",
    "tuned": "DPS tuned",
    "standard": "DPS standard",
    "zeta' = 1": "DPS standard",
    "zeta' = 0.3": "DPS, ζ′ = 0.3",
    "PSNR": "PSNR (dB)",
    "gabor": "Fréchet (Gabor)",
}


def labelled(table: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Put the figures' names of metrics and methods in place of the studies' own."""
    return {
        LABELS.get(metric, metric): {LABELS.get(name, name): v for name, v in group.items()}
        for metric, group in table.items()
    }
