"""Jupyter Book in a process of its own, which ends with the process that started it."""

import os
import sys
import threading
import time


def _follow(parent: int) -> None:
    # A parent that is killed outright cannot stop its children; the number of ours then changes.
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()
    from jupyter_book.cli.main import main

    sys.exit(main())
