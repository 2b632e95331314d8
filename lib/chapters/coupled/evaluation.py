"""Evaluation of all strategies on one task with the networks of one seed.

All see the same observations and the same noise. A row holds, packed, which examples each of two
decisions gets right: the argmax of the logits, and the classifier's on the signal estimate.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chapters.coupled.steps import Task, couple, one_shot
from diffbook.coupled import (
    RELEASED,
    Coupling,
    Outcome,
    Switches,
    alternating,
    batch_noise,
    diffuse_logits,
    enhance,
    nested,
    parallel,
    standardise,
)

#: Seed of the noise, and chains of the couplings for the equal budget.
NOISE, BUDGETS = 7, (2, 7, 10)


def logits_alone(coupling: Coupling, u: Tensor, levels: NDArray, **how: Any) -> Outcome:
    """Run the logits' chain on the observation."""
    return diffuse_logits(coupling, (u,), levels, **how)


#: Method: the training that its networks come from, and its sampler.
METHODS: dict[str, tuple[str, Callable]] = {
    "enhanced": ("baselines", enhance),
    "card noisy": ("baselines", logits_alone),
    "card clean": ("clean", logits_alone),
    "parallel": ("parallel", parallel),
    "alternating": ("alternating", alternating),
    "nested": ("nested", nested),
}
COUPLINGS = ("parallel", "alternating", "nested")
#: Those that are tried with few settings, since they take long.
LONG = ("alternating", "nested")

#: Changes of the switches of parallel, one setting each.
PARALLEL = {
    "logits first": {"order": "logits first"},
    "gates 0": {"gate_signal": 0.0, "gate_logits": 0.0},
    "gates 1": {"gate_signal": 1.0, "gate_logits": 1.0},
    "signal to logits only": {"gate_signal": 0.0},
    "logits to signal only": {"gate_logits": 0.0},
    "view observation": {"view": "observation"},
    "not standardised": {"standardise": False},
    "ancestral signal": {"sampler": "ancestral", "logits_sampler": "zero-variance"},
    "released": {
        name: getattr(RELEASED, name)
        for name in ("sampler", "logits_sampler", "order", "gate_signal")
    },
}


def settings(task: Task, whole: bool) -> Iterator[tuple[str, str, Switches, int]]:
    """Yield method, setting, switches and levels of everything that is run."""
    base, S = Switches(start=task.start), task.steps[0]
    for method in METHODS:
        yield method, "default", base, S
    if not whole:
        return
    for method in (m for m in METHODS if m != "card clean"):
        yield method, "ancestral", replace(base, sampler="ancestral"), S
        if method not in LONG:
            yield method, "ddim", replace(base, sampler="ddim"), S
            for steps in task.steps[1:]:
                yield method, "default", base, steps
    other = {"zero": "observation", "observation": "zero"}[task.start]
    for name, change in {**PARALLEL, f"start {other}": {"start": other}}.items():
        yield "parallel", name, replace(base, **change), S


def evaluate(
    task: Task,
    nets: dict[str, dict[str, torch.nn.Module]],
    f: Callable,
    split: str,
    whole: bool = True,
) -> list[dict[str, Any]]:
    """Rows of all methods; `whole` adds switches, numbers of levels and the equal budget."""
    x, u, labels = task.examples(split)
    noise, rows = batch_noise(NOISE), []

    def row(method: str, setting: str = "default", steps: int = 0, k: int = 0, *, logits=None,
            signal=None, calls=(0, 0, 0), seconds=0.0, again=None) -> None:  # fmt: skip
        if signal is not None:
            again = task.decide(f, signal)
        quality = None if signal is None else float(np.mean(task.quality(signal, x)))
        rows.append({
            "split": split, "method": method, "setting": setting, "S": steps, "round": k,
            "calls": list(calls), "seconds": seconds, "quality": quality,
            "logits": pack(logits, labels), "signal": pack(again, labels),
        })  # fmt: skip

    row("noisy", signal=u, calls=(0, 0, 1))
    begin, student = time.process_time(), nets["baselines"]["student"]
    device = next(student.parameters()).device
    with torch.inference_mode():
        y = one_shot(task, student, u.to(device), standardise(f(u)).to(device)).cpu()
    row("student", logits=y, calls=(0, 1, 1), seconds=time.process_time() - begin)
    for method, setting, switches, steps in settings(task, whole):
        training, run = METHODS[method]
        begin = time.process_time()
        found = run(
            couple(task, nets[training], f), u, task.levels(steps), noise=noise, switches=switches
        )
        seconds = time.process_time() - begin
        for k, (x_hat, y_hat) in enumerate(found.rounds, start=1):
            row(
                method,
                setting,
                steps,
                k,
                logits=y_hat,
                signal=x_hat,
                calls=found.calls,
                seconds=seconds,
            )
    if whole:
        for setting, calls, values in equal_budget(
            task, couple(task, nets["baselines"], f), u, noise
        ):
            row("enhanced", setting, task.steps[0], again=values, calls=calls)
    return rows


def equal_budget(
    task: Task, coupling: Coupling, u: Tensor, noise: Callable
) -> Iterator[tuple[str, tuple[int, int, int], Tensor]]:
    """Decide from several stochastic enhanced samples: their votes, and their mean probabilities."""
    switches = Switches(sampler="ancestral", start=task.start)
    run = partial(enhance, coupling, u, task.levels(task.steps[0]), noise=noise, switches=switches)
    drawn = [task.decide(coupling.classifier, run(round=k).signal) for k in range(max(BUDGETS))]
    logits = torch.stack(drawn)
    votes = torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).float()
    for k in BUDGETS:
        calls = (k * task.steps[0], 0, k)
        # Of two classes with as many votes, the one that is more probable on average.
        mean = logits[:k].softmax(-1).mean(0)
        yield f"mean of {k}", calls, mean
        yield f"vote of {k}", calls, votes[:k].mean(0) + 1e-3 * mean


def pack(logits: Tensor | None, labels: NDArray) -> str | None:
    """Which decisions are right, as bits."""
    if logits is None:
        return None
    right = logits.argmax(-1).numpy() == labels
    return base64.b64encode(np.packbits(right)).decode()


def unpack(text: str, n: int) -> NDArray[np.float64]:
    """Right (1) and wrong (0) decisions on n examples."""
    bits = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=n)
    return bits.astype(np.float64)
