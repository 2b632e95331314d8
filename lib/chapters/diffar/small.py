"""Variants of the training, three seeds each, and what each network makes of its conditions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from chapters.diffar import steps
from chapters.diffar.steps import PITCHES, Batch, Recipe
from chapters.diffar.training import pool, trained
from diffbook.nets.diffar import DiffAR
from press import paths
from press.records import short

_HOW = {"steps": 500, "batch": 8, "warmup": 50, "ema": 0.99}
#: Phones as vectors or as one number, the loss of new samples alone, noise on the contexts; and pitches
#: an octave apart as well, whose periods fit no dilation.
RECIPES = {
    "vector": Recipe("vector", **_HOW),
    "number": Recipe("number", **_HOW, embedding=0),
    "masked": Recipe("masked", **_HOW, masked=True),
    "noisy": Recipe("noisy", **_HOW, corrupt=0.04),
    "other pitches": Recipe("other-pitches", **_HOW, pitches=(110, 220)),
}
#: Steps of the diffusion at which the speech of the corpus is 5 to 17 dB below the noise.
MIDDLE = (30, 100)
SEEDS = (0, 1, 2)


def _noisy(b: Batch) -> Batch:
    noise = torch.randn(b.context.shape, generator=torch.Generator().manual_seed(3))
    return b._replace(
        context=b.context + 0.02 * noise * (b.context != 0).any(1, True) * (1 - b.new)
    )


#: What is taken from a batch, or done to it.
CHANGES: dict[str, Callable[[Batch], Batch]] = {
    "nothing": lambda b: b,
    "context zero": lambda b: b._replace(context=0 * b.context),
    "context of another": lambda b: b._replace(context=b.context.roll(1, 0) * (1 - b.new)),
    "context with noise": _noisy,
    "phones of another": lambda b: b._replace(phones=b.phones.roll(1, 0)),
    # Less and less is told, in the combinations of the training.
    "no pitch": lambda b: b._replace(tracks=b.tracks * torch.tensor([[1.0], [0.0]])),
    "nor energy": lambda b: b._replace(tracks=0 * b.tracks),
    "nor phones": lambda b: b._replace(tracks=0 * b.tracks, phones=0 * b.phones),
}


@torch.inference_mode()
def use(
    net: DiffAR, n: int = 256, pitches: tuple[int, int] = PITCHES
) -> dict[str, dict[str, float]]:
    """Loss of all and of new samples on held-out frames, told everything, under each change.

    `middle` is the loss of new samples at the steps of `MIDDLE`, over that of the trivial guess.
    """
    told = Recipe("", 1, told={"+P": 1.0}, blind=0.0)
    b = steps.draw(pool("validation", pitches), told, np.random.default_rng(10**6 + 1), n)
    middle = (b.new * ((b.s >= MIDDLE[0]) & (b.s < MIDDLE[1]))[:, None]).bool()
    guess = steps.trivial(b)[middle].mean()
    found = {}
    for name, change in CHANGES.items():
        parts = [Batch(*a) for a in zip(*(t.split(32) for t in change(b)), strict=True)]
        error = torch.cat([steps.errors(net, part) for part in parts])
        found[name] = {
            "whole": float(error.mean()),
            "new": float((error * b.new).sum() / b.new.sum()),
            "middle": float(error[middle].mean() / guess),
        }
    return found


def make() -> dict[str, list[dict[str, Any]]]:
    """Train all variants and measure them; rows of losses."""
    rows = []
    for seed in SEEDS:
        for name, recipe in RECIPES.items():
            net = trained(recipe, seed, paths.working() / "diffar" / "small")
            for change, losses in use(net, pitches=recipe.pitches).items():
                values = {k: short([v])[0] for k, v in losses.items()}
                rows.append({"variant": name, "seed": seed, "change": change, **values})
    return {"losses": rows}
