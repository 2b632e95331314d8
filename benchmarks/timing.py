"""Stopwatch, result tables, targets and machine description shared by the benchmarks."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median as _median
from time import perf_counter, process_time
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")


def seconds(work: Callable[[], T]) -> tuple[float, T]:
    """Wall-clock seconds of one call, and what it returned."""
    start = perf_counter()
    result = work()
    return perf_counter() - start, result


def cpu_seconds(work: Callable[[], Any]) -> float:
    """CPU seconds of this process for one call: the others' load counts less."""
    start = process_time()
    work()
    return process_time() - start


def median(values: Iterable[float]) -> float:
    """Median as a plain float; it shrugs off the moments when somebody else used the machine."""
    return float(_median(values))


def fit_exponent(sizes: Sequence[float], times: Sequence[float]) -> float:
    """Slope of log(time) over log(size): 1 is linear."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


@dataclass
class Table:
    """A benchmark's numbers: JSON through `as_dict`, plain text through `str`."""

    title: str
    columns: list[str]
    rows: list[list[Any]] = field(default_factory=list)

    def add(self, *cells: Any) -> None:
        """Append a row; its length must be that of the columns."""
        if len(cells) != len(self.columns):
            raise ValueError(f"{self.title}: {len(cells)} cells for {len(self.columns)} columns")
        self.rows.append(list(cells))

    def column(self, name: str) -> list[Any]:
        """Cells of one column."""
        return [row[self.columns.index(name)] for row in self.rows]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        shown = [self.columns, *([_text(cell) for cell in row] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
        lines = ["  ".join(f"{c:>{w}}" for c, w in zip(row, widths, strict=True)) for row in shown]
        return "\n".join([self.title, *lines])


@dataclass
class Target:
    """A bound that was set before the run."""

    name: str
    measured: float
    bound: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the measured value keeps the bound."""
        if self.at_least:
            return self.measured >= self.bound
        return self.measured <= self.bound

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "met": self.met}

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        verdict = "met" if self.met else "MISSED"
        return f"{verdict:>6}  {self.name}: {self.measured:.4g} (target {sign} {self.bound:g})"


@dataclass
class Report:
    """What one benchmark hands back."""

    tables: list[Table]
    targets: list[Target]


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:.4g}"
    return str(cell)


def machine() -> dict[str, Any]:
    """Processor, cores, load, threads allowed, and the versions that the timings depend on."""
    import scipy
    import torch
    from threadpoolctl import threadpool_info

    pools = {f"{p['user_api']} ({p['prefix']})": p["num_threads"] for p in threadpool_info()}
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "threads": {**pools, "torch": torch.get_num_threads()},
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "torch": torch.__version__,
    }


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
