"""All or nothing: interruptions, and folders that are replaced as a whole."""

import contextlib
import logging
import secrets
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import psutil

# Set once a signal has asked the program to stop: what fails from then on is no fault of a chapter.
stopping = threading.Event()


class Interrupted(KeyboardInterrupt):
    """A signal asked the run to stop; `status` is the exit status that says so."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into `Interrupted`, after stopping all child processes.

    Children go first because a kernel lives in a session of its own, where Ctrl-C does not reach
    it, and a busy one would make an orderly shutdown wait. Only for the main thread of a program
    whose children are all ours, such as the command line.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    numbers += [signal.SIGHUP] if hasattr(signal, "SIGHUP") else []

    def stop(number: int, _frame: Any) -> None:
        for other in numbers:
            signal.signal(other, signal.SIG_IGN)
        stopping.set()
        children = psutil.Process().children(recursive=True)
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(children, timeout=5)
        # What asyncio says about the tasks that we abandon is of no use to anybody.
        logging.disable(logging.CRITICAL)
        raise Interrupted(number)

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def recover(folder: Path) -> None:
    """Clear up after processes that were killed outright while they replaced `folder`.

    What they moved aside goes back if nothing has taken its place; the rest goes. A living process
    holds the lock beside its folder, also in another container.
    """
    for path in folder.parent.glob(f".{folder.name}.*.lock"):
        # Held, on a file system without locks, or not ours to touch: it stays as it is.
        with contextlib.suppress(OSError, NotImplementedError), filelock.FileLock(path, timeout=0):
            fresh, old = path.with_suffix(""), path.with_suffix(".old")
            if old.exists() and not folder.exists():
                old.rename(folder)
            shutil.rmtree(old, ignore_errors=True)
            shutil.rmtree(fresh, ignore_errors=True)
            path.unlink(missing_ok=True)


def _swap(fresh: Path, folder: Path, old: Path) -> None:
    """Put `fresh` in the place of `folder`, which goes to `old`; others may be doing the same."""
    for attempt in range(10):
        try:
            if folder.exists():
                shutil.rmtree(old, ignore_errors=True)
                folder.rename(old)
            fresh.rename(folder)
            return
        except OSError:
            if attempt == 9:
                raise


@contextlib.contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Give a new empty folder that takes the place of `folder` if the block succeeds.

    Any exception, also an interruption, removes the new folder and leaves the old one.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    recover(folder)
    fresh = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    old, lock = (fresh.with_name(f"{fresh.name}.{kind}") for kind in ("old", "lock"))
    with filelock.FileLock(lock):
        try:
            fresh.mkdir()
            yield fresh
            _swap(fresh, folder, old)
        except BaseException:
            with contextlib.suppress(OSError):  # unless another has put a result there
                if old.exists() and not folder.exists():
                    old.rename(folder)
            raise
        finally:
            shutil.rmtree(old, ignore_errors=True)
            shutil.rmtree(fresh, ignore_errors=True)
            lock.unlink(missing_ok=True)
