"""How many threads linear algebra may use."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from diffbook._checks import whole
from diffbook._optional import need


def torch_threads(count: int = 1) -> None:
    """Limit torch to this many threads per operation, if torch is in use at all."""
    whole(count, "count")
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let linear algebra run on one thread: the matrices here are too small to share out."""
    need("threadpoolctl", "data", "threads.one_thread_each")
    from threadpoolctl import threadpool_limits

    before = sys.modules["torch"].get_num_threads() if "torch" in sys.modules else 1
    with threadpool_limits(1):
        yield
    torch_threads(before)
