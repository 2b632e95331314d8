"""Training of all networks of one cell: one task and one seed.

Every method has as many optimiser steps, the same batches, optimiser and running average, and ends with
the running average of its last step. The baselines do not depend on each other and are trained side by
side; alternating and nested go on from where enhanced and the logits diffusion stand at half time, and
see the results of their own chains from then on. Randomness depends on (seed, step) alone, so an
interrupted training goes on from its checkpoint and ends with the same weights.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from chapters.coupled.steps import WINDOW, Recipe, Task, draw, generator, losses, make_pool
from diffbook.nets.store import fill, read_tensors, write_tensors
from diffbook.nets.training import State, learning_rate, load_checkpoint, save_checkpoint

AGAIN = "make it again: python -m chapters.coupled.record"

#: Networks that each training gives; the baselines are enhanced, CARD on noisy and clean, student.
TRAININGS = {
    "classifier": ("classifier",),
    "baselines": ("signal", "logits", "clean", "student"),
    "parallel": ("signal", "logits"),
    "alternating": ("signal", "logits"),
    "nested": ("signal", "logits"),
}
FORKED = ("alternating", "nested")


def start(task: Task, recipe: Recipe, seed: int) -> State:
    """Build networks, running average and optimiser (global random state is restored).

    All trainings of networks hold those of the baselines, so that one can go on from another.
    """
    kinds = TRAININGS["classifier" if recipe.training == "classifier" else "baselines"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = {k: task.networks.get(k, task.networks.get("logits"))() for k in kinds}
    model = nn.ModuleDict(made)
    average = {k: v.detach().clone() for k, v in model.state_dict().items()}
    how = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    return State(model, average, torch.optim.AdamW(model.parameters(), **how, fused=True))


def train(
    task: Task, recipe: Recipe, seed: int, folder: Path, f: Callable | None = None,
    stop_at: int | None = None,
) -> State:  # fmt: skip
    """Train the networks of one training, from the checkpoint in `folder` if there is one.

    Alternating and nested need the baselines of the same folder. `stop_at` interrupts on purpose.
    """
    from accelerate import Accelerator

    state, own = start(task, recipe, seed), folder / f"{recipe.training}.checkpoint"
    forked, middle = recipe.training in FORKED, folder / "half.checkpoint"
    if own.exists():
        load_checkpoint(own, state, recipe, seed)
    elif forked:
        load_checkpoint(middle, state, replace(recipe, training="baselines"), seed)
    accelerator = Accelerator()
    model, optimiser = accelerator.prepare(state.model, state.optimiser)
    device, pool, found = accelerator.device, None, []
    trainees = [list(model[name].parameters()) for name in TRAININGS[recipe.training]]
    weights = of(recipe, model.state_dict())
    state.average = {k: v.to(device) for k, v in state.average.items()}
    for step in range(state.step, recipe.steps if stop_at is None else stop_at):
        if forked and (pool is None or step % recipe.every == 0):
            rng, reach = generator(seed, step, 1), WINDOW if recipe.training == "nested" else 1.0
            b = draw(task, recipe.pool, rng, device, f, reach=reach)
            pool = make_pool(task, recipe, averaged(state), f, b, int(rng.integers(2**31)))
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(recipe, step)
        b = draw(task, recipe.batch, generator(seed, step), device, f, pool)
        parts = losses(task, recipe.training, model, f, b)
        optimiser.zero_grad()
        accelerator.backward(sum(parts))
        # Each network by itself: a norm over all would couple those that share nothing.
        for parameters in trainees:
            nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        for key, value in weights.items():
            state.average[key].lerp_(value, 1.0 - min(recipe.ema, (1 + step) / (10 + step)))
        found.append([float(part.detach()) for part in parts])
        state.step = step + 1
        half = recipe.training == "baselines" and state.step == recipe.steps // 2
        if half or state.step % recipe.every == 0 or state.step == recipe.steps:
            state.history.append({"step": state.step, "losses": np.mean(found, axis=0).tolist()})
            found = []
            save_checkpoint(own, state, recipe, seed)
            if half:
                save_checkpoint(middle, state, recipe, seed)
    return state


def of(recipe: Recipe, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors of the networks that a training changes."""
    names = tuple(f"{name}." for name in TRAININGS[recipe.training])
    return {k: v for k, v in tensors.items() if k.startswith(names)}


def averaged(state: State) -> nn.ModuleDict:
    """Networks with the running average of the weights."""
    nets = deepcopy(state.model)
    nets.load_state_dict(state.average)
    return nets.eval()


def trained(
    task: Task, recipe: Recipe, seed: int, folder: Path, f: Callable | None = None
) -> dict[str, nn.Module]:
    """Networks of one training, from their file or made now; what is used is what is kept: float16."""
    path = folder / f"{recipe.training}.safetensors"
    about = {"recipe": asdict(recipe), "seed": seed}
    if not (path.exists() and about.items() <= read_tensors(path, AGAIN)[1].items()):
        state = train(task, recipe, seed, folder, f)
        kept = {k: v.half() for k, v in of(recipe, state.average).items()}
        write_tensors(path, kept, {**about, "history": state.history})
        (folder / f"{recipe.training}.checkpoint").unlink()
    return networks(task, path)


def networks(task: Task, path: Path) -> dict[str, nn.Module]:
    """Rebuild the networks of a file, by their names."""
    tensors, found = read_tensors(path, AGAIN)[0], {}
    for key, value in tensors.items():
        name, _, rest = key.partition(".")
        found.setdefault(name, {})[rest] = value
    for name, part in found.items():
        net = task.networks.get(name, task.networks["logits"])()
        fill(net, part, path, AGAIN)
        found[name] = net.eval()
    return found
