"""A reported gain taken apart, from the recorded studies; and the paper's tables (second-hand)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from chapters.coupled.evaluation import COUPLINGS
from chapters.coupled.record import Study, points

Interval = tuple[float, float, float]

#: Methods in the order of the pictures, with their names there.
NAMES = {
    "noisy": "noisy",
    "enhanced": "enhanced",
    "student": "student",
    "card noisy": "CARD noisy",
    "parallel": "parallel",
    "alternating": "alternating",
    "nested": "nested",
}

NAN = float("nan")

#: Table 1 of the paper as a third party gives it, accuracy in per cent: noisy, enhanced, CARD,
#: parallel, alternating, nested; it has neither student nor CARD noisy.
REPORTED_IMAGES = {
    f"paper: {name}": [*values, NAN, NAN]
    for name, values in {
        "MNIST, pixels 15%": [89.7, 98.4, 86.3, 99.2, 98.9, 99.3],
        "MNIST, pixels 30%": [66.7, 98.3, 66.2, 99.2, 98.7, 99.1],
        "MNIST, blur": [89.6, 98.3, 87.0, 99.2, 98.6, 99.3],
        "CIFAR-10, pixels 15%": [16.6, 60.9, 11.3, 74.3, 83.0, 81.3],
        "CIFAR-10, pixels 30%": [10.9, 60.4, 10.4, 71.6, 82.8, 81.2],
        "CIFAR-10, blur": [34.8, 60.1, 14.5, 80.9, 83.3, 80.8],
        "CIFAR-100, pixels 15%": [6.7, 61.2, 8.5, 70.7, 70.5, 74.1],
        "CIFAR-100, pixels 30%": [2.0, 60.4, 6.1, 68.5, 68.6, 71.9],
        "CIFAR-100, blur": [10.4, 60.4, 10.2, 64.8, 69.7, 73.8],
        "ImageNet-32, pixels 15%": [1.8, 52.9, 3.0, 69.8, 64.8, 67.5],
        "ImageNet-32, pixels 30%": [1.0, 50.6, 1.2, 65.5, 58.1, 62.0],
        "ImageNet-32, blur": [2.5, 51.3, 5.9, 63.3, 62.5, 65.8],
    }.items()
}

#: Table 2 likewise, word error rate in per cent.
REPORTED_SPEECH = {
    f"paper: {name}": [*values, NAN, NAN]
    for name, values in {
        "Google Commands, reverberation": [5.58, 5.11, 11.08, 4.98, 5.03, 4.85],
        "EARS, reverberation": [5.79, 4.48, 16.79, 3.95, 4.25, 3.83],
        "EARS, noise": [14.02, 10.04, 36.58, 9.90, 10.16, 9.75],
    }.items()
}


def decided(study: Study, task: str, method: str, **where: object) -> NDArray:
    """Right decisions of a method: by f on the signal where there are no logits, else by the logits."""
    decision = "signal" if method in ("noisy", "enhanced") else "logits"
    return study.right(task, method, decision, **where)


def decompose(study: Study, tasks: Iterable[str]) -> dict[str, dict[str, Interval]]:
    """Student, coupling, signal and diffusion gain of every task, in points with intervals."""
    found = {}
    for task in tasks:
        alternating = {
            (decision, k): study.right(task, "alternating", decision, round=k)
            for decision in ("logits", "signal")
            for k in (1, 5)
        }
        found[task] = {
            "student gain": points(alternating["logits", 1], alternating["signal", 1]),
            "coupling gain": points(alternating["logits", 5], alternating["logits", 1]),
            "signal gain": points(alternating["signal", 5], alternating["signal", 1]),
            "diffusion gain": points(
                decided(study, task, "card noisy"), decided(study, task, "student")
            ),
        }
    return found


def mean_right(study: Study, tasks: Iterable[str], method: str, **where: object) -> NDArray:
    """Right decisions averaged over tasks, shape (seeds, examples)."""
    return np.mean([decided(study, task, method, **where) for task in tasks], axis=0)


def uncoupled_share(study: Study, tasks: Iterable[str]) -> tuple[float, str]:
    """Gain of CARD noisy over enhanced, by that of the best coupling; and which coupling that is.

    The coupling is chosen on validation examples, and its gain measured on test examples.
    """
    tasks = list(tasks)
    known = {m: mean_right(study, tasks, m, split="validation").mean() for m in COUPLINGS}
    best = max(known, key=known.__getitem__)
    mean = {m: mean_right(study, tasks, m).mean() for m in ("enhanced", "card noisy", best)}
    return (mean["card noisy"] - mean["enhanced"]) / (mean[best] - mean["enhanced"]), best


def over_enhanced(study: Study, task: str, decision: str = "logits") -> dict[str, Interval]:
    """Paired gain over enhanced of every method that decides so, in points, by its name."""
    base, found = decided(study, task, "enhanced"), {}
    for method, name in NAMES.items():
        if method in COUPLINGS or (decision == "logits" and method in ("student", "card noisy")):
            found[name] = points(study.right(task, method, decision), base)
    return found


def over_calls(study: Study, tasks: Iterable[str], method: str) -> dict[int, float]:
    """Mean accuracy (%) of a method by its denoiser calls, for every recorded number of levels."""
    tasks, found = list(tasks), {}
    known = {row["S"] for row in study.rows if row["method"] == method and row["split"] == "test"}
    for S in sorted(known):
        calls = study.select(tasks[0], method, S=S)[0]["calls"]
        found[sum(calls[:2])] = 100 * float(mean_right(study, tasks, method, S=S).mean())
    return found


def errors(study: Study, task: str, methods: Iterable[str], decision: str) -> list[float]:
    """Errors in per cent; the couplings decide as told, CARD and student by their logits alone."""
    found = []
    for method in methods:
        if method in COUPLINGS:
            right = study.right(task, method, decision)
        elif decision == "logits" or method in ("noisy", "enhanced"):
            right = decided(study, task, method)
        else:
            right = np.array(NAN)
        found.append(100 * float(1 - right.mean()))
    return found
