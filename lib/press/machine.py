"""The machine a run happens on: processor, threads, packages, time."""

import importlib.metadata
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

# Packages whose version can change a number or a picture.
_PACKAGES = (
    "numpy",
    "scipy",
    "torch",
    "matplotlib",
    "scikit-learn",
    "scikit-image",
    "POT",
    "safetensors",
    "ipykernel",
    "papermill",
)


def milliseconds(job: Callable[[], object], repeat: int = 5) -> float:
    """Shortest of several timings of a call, in milliseconds."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        job()
        times.append(time.perf_counter() - start)
    return 1000.0 * min(times)


def packages() -> dict[str, str]:
    """Versions of Python and of the packages that can change a result."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def cpu() -> str:
    """Name of the processor, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text("utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip() or "unknown"
    return platform.processor() or platform.machine() or "unknown"


def threads() -> int:
    """Threads that a run may use: ``OMP_NUM_THREADS`` or the cores that we may run on."""
    named = os.environ.get("OMP_NUM_THREADS", "")
    if named.isdigit() and int(named) > 0:
        return int(named)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
