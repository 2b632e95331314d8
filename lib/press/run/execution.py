"""Run a plan through papermill and keep its results; all or nothing.

A run is written into a hidden sibling of its folder and renamed when it is complete, so a folder
under ``results/`` is always a finished run. Interrupting (Ctrl-C, SIGTERM, SIGHUP) stops the
kernel, removes the sibling and leaves earlier results alone.
"""

import contextlib
import logging
import re
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import nbformat
from nbformat import NotebookNode

from press import documents, ledger, paths
from press.judge import claims, manifests
from press.run import guard, parameters, plans, safety

_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
_LANGUAGE = {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"}


class CellFailed(RuntimeError):
    """A cell of a notebook raised an error, or its kernel died.

    Cells are counted from 1 over all cells of the committed notebook; `count` is the execution count,
    as in ``In [count]``; `log` says where the log of the failed run was kept.
    """

    def __init__(
        self, chapter: str, cell: int, count: int | None, source: str, message: str, traceback: str
    ):
        self.chapter, self.cell, self.count = chapter, cell, count
        self.source, self.message, self.traceback = source, message, traceback
        self.log: Path | None = None
        first = next((line for line in source.splitlines() if line.strip()), "")
        super().__init__(
            f"{chapter}: cell {cell} (In [{count or ' '}]) failed: {message}\n"
            f"    the cell begins: {first.strip()}"
        )


@dataclass(frozen=True)
class Run:
    """Result of `execute`: what was asked for, its manifest, and whether it had finished earlier."""

    plan: plans.Plan
    manifest: dict[str, Any]
    skipped: bool

    @property
    def notebook(self) -> Path:
        """The executed notebook."""
        return self.plan.folder / "notebook.ipynb"


@contextlib.contextmanager
def _log_to(path: Path) -> Iterator[None]:
    logger = logging.getLogger("papermill")
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    own = threading.get_ident()  # chapters that run side by side have a log each
    handler.addFilter(lambda record: record.thread == own)
    handler.handleError = lambda record: None  # a full disk is said once, by what fails for it
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


def execute(
    plan: plans.Plan, *, force: bool = False, progress: bool = True, position: int = 0
) -> Run:
    """Run a plan, or return the finished run if it is whole and its inputs have not changed.

    Progress is a bar over the cells on the standard error stream, in line `position` where several
    runs show one. After a `CellFailed` earlier results stay, and what the failed run said is kept in
    ``<folder>.failed.log``.
    """
    if not force and plan.finished:
        return Run(plan, manifests.read(plan.folder / "manifest.json"), skipped=True)
    failed_log = plan.folder.with_name(f"{plan.folder.name}.failed.log")
    used = manifests.files(plan.chapter, plan.parameters, plan.sources)
    with safety.replacing(plan.folder) as folder:
        started = time.monotonic()
        executed = folder / "notebook.ipynb"
        try:
            with _log_to(folder / "run.log"):
                notebook = _papermill(plan, executed, position if progress else None)
        except CellFailed as error:
            if safety.stopping.is_set():
                raise  # its kernel was stopped; the cell is not to blame
            log = (folder / "run.log").read_text("utf-8")
            documents.write_text(failed_log, f"{log}\n{error}\n\n{error.traceback}\n")
            error.log = failed_log
            raise
        artefacts = {
            "notebook.ipynb": documents.digest(executed.read_bytes()),
            paths.relative(paths.notebook(plan.chapter)): documents.digest(committed(notebook)),
            **used,
        }
        manifest = manifests.build(
            plan.chapter,
            plan.profile,
            plan.parameters,
            ledger.collect_metrics(notebook),
            device=ledger.collect_device(notebook),
            wall_s=time.monotonic() - started,
            artefacts=artefacts,
            found=plan.inputs,
        )
        documents.write_json(folder / "manifest.json", manifest)
    failed_log.unlink(missing_ok=True)
    return Run(plan, manifest, skipped=False)


def committed(notebook: NotebookNode) -> str:
    """Content of the file under version control for an executed notebook."""
    return nbformat.writes(clean(notebook)) + "\n"


def _papermill(plan: plans.Plan, output: Path, position: int | None) -> NotebookNode:
    import papermill
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient.exceptions import DeadKernelError

    bar = {
        "position": position,
        "desc": f"{plan.chapter} ({plan.profile})",
        # A terminal gets a lively bar, a log file a line now and then.
        "mininterval": 0.1 if sys.stderr.isatty() else 5.0,
        "leave": False,
    }
    try:
        with output.with_name("run.log").open("a", encoding="utf-8") as log:
            return papermill.execute_notebook(
                _literal(paths.notebook(plan.chapter)),
                _literal(output),
                parameters=plan.parameters or None,
                progress_bar=False if position is None else bar,
                log_output=True,
                start_timeout=600,  # a busy machine is no failure
                cwd=str(paths.notebook(plan.chapter).parent),
                kernel_manager_class=_logged_kernels(log),
            )
    except papermill.PapermillExecutionError as error:
        number, shift = _source_number(plan, error.cell_index)
        count = error.exec_count - shift if error.exec_count else None
        traceback = _ESCAPES.sub("", "\n".join(error.traceback))
        message = f"{error.ename}: {_ESCAPES.sub('', error.evalue)}".strip()
        failed = CellFailed(plan.chapter, number, count, error.source, message, traceback)
        raise failed from error
    except DeadKernelError as error:
        # The last code cell that papermill saw start.
        cells = nbformat.read(output, as_version=4).cells
        code = [i for i, cell in enumerate(cells) if cell.cell_type == "code"]
        ran = [i for i in code if cells[i].metadata.get("papermill", {}).get("start_time")]
        index = max(ran, default=0)
        number, _ = _source_number(plan, index)
        message = "the kernel died (out of memory?)"
        raise CellFailed(plan.chapter, number, None, cells[index].source, message, "") from error
    except NoSuchKernel as error:
        message = f"no Jupyter kernel named {error.name!r} is installed"
        raise CellFailed(plan.chapter, 1, None, "", message, "") from error


def _literal(path: Path) -> str:
    """Text of a path for papermill, which would fill in what stands in braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _logged_kernels(log: TextIO) -> type:
    """Make a kernel manager whose kernels speak into `log`, not into the progress bar.

    This is about the kernel's process, for example its remarks on its own transport; what cells
    print is part of the notebook in any case.
    """
    from jupyter_client.manager import AsyncKernelManager

    class LoggedKernelManager(AsyncKernelManager):
        async def _async_start_kernel(self, **options: Any) -> None:
            await super()._async_start_kernel(stdout=log, stderr=log, **options)

        start_kernel = _async_start_kernel

    return LoggedKernelManager


def _source_number(plan: plans.Plan, index: int) -> tuple[int, int]:
    """Cell number in the committed notebook, and how many executions papermill added before it."""
    cells = documents.read_notebook(paths.notebook(plan.chapter)).cells
    tagged = [i for i, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", [])]
    shift = int(bool(plan.parameters) and index > (tagged[0] if tagged else -1))
    return index - shift + 1, shift


def clean(notebook: NotebookNode) -> NotebookNode:
    """Copy of an executed notebook as it is committed: no trace of how it was run.

    The injected cell goes and counts are renumbered; times and papermill metadata go; the kernel
    is ``python3``. Outputs stay as they are, with text that arrived in pieces joined and without SVG.
    """
    copy = nbformat.from_dict(notebook)
    copy.cells = [c for c in copy.cells if "injected-parameters" not in c.metadata.get("tags", [])]
    count = 0
    for cell in copy.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if not cell.metadata.get("tags", True):
            del cell.metadata["tags"]
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count
            cell.outputs = _joined(cell.outputs)
            for output in cell.outputs:
                output.get("data", {}).pop("image/svg+xml", None)
                if output.output_type == "execute_result":
                    output.execution_count = count
    copy.metadata = nbformat.from_dict({"kernelspec": _KERNEL, "language_info": _LANGUAGE})
    return copy


def _joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    joined: list[NotebookNode] = []
    for output in outputs:
        last = joined[-1] if joined else None
        if output.output_type == "stream" and last is not None and last.get("name") == output.name:
            last.text += output.text
        else:
            joined.append(output)
    return joined


def record(plan: plans.Plan) -> list[Path]:
    """Promote a finished run to what is under version control; return the files that were written.

    The manifest goes to ``data/<slug>/runs/``, the executed notebook to ``notebooks/`` if the run's
    profile is the one whose values stand in the parameters cell. ValueError if no such run has
    finished, it is damaged, it has overrides, its sources have changed since (packages may differ: it
    may come from another machine), or the notebook breaks a rule of `guard`.
    """
    if plan.overrides or plan.profile not in parameters.profiles(plan.chapter):
        raise ValueError(
            "record: a run with overrides or of a profile of one's own cannot be recorded; make it a "
            f"profile, data/{plan.chapter}/NAME.yaml"
        )
    if not (plan.folder / "manifest.json").is_file():
        raise ValueError(f"record: no finished run in {paths.relative(plan.folder)}; run it first")
    manifest, notebook = plans.read_run(plan.folder)
    changed = plan.changed(manifest)
    if set(changed) - {"packages"}:
        raise ValueError(f"record: changed since the run: {', '.join(changed)}; run it again")
    written = [paths.run(plan.chapter, plan.profile)]
    if plan.profile == parameters.parameters(plan.chapter)["profile"].default:
        faults = guard.chapter_faults(clean(notebook), claims.load(plan.chapter))
        if faults:
            raise ValueError(f"record: {plan.chapter} breaks the rules:\n  " + "\n  ".join(faults))
        written.append(paths.notebook(plan.chapter))
        documents.write_text(written[-1], committed(notebook))
    documents.write_json(written[0], manifest)
    return written
