"""Training of the chapter's networks: one recipe and one seed; an interrupted one goes on."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import nn

from chapters.diffar import steps
from chapters.diffar.auxiliary import coined
from chapters.diffar.steps import PITCHES, Heard, Recipe
from diffbook.nets.diffar import DiffAR
from diffbook.nets.optimiser import MuonAdamW, hidden_and_rest
from diffbook.nets.store import fill, read_tensors, write_tensors
from diffbook.nets.training import State, learning_rate, load_checkpoint, save_checkpoint

AGAIN = "make it again: python -m chapters.diffar.record"
#: Sentences of each split.
SENTENCES = {"train": 500, "validation": 60}


def pool(split: str, pitches: tuple[int, int] = PITCHES) -> list[Heard]:
    """Clips that training or validation draws from; half of the training is in words that do not exist."""
    clips = steps.corpus(split, SENTENCES[split], pitches)
    clips += coined(SENTENCES[split], 1, pitches) if split == "train" else []
    return [steps.heard(clip) for clip in clips]


def start(recipe: Recipe, seed: int, first: DiffAR | None = None) -> State:
    """Build network, running average and optimiser (global random state is restored).

    The weights are random, or those of a first network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = recipe.network()
    if first is not None:
        net.load_state_dict(first.state_dict())
    average = {k: v.detach().clone() for k, v in net.state_dict().items()}
    parts = hidden_and_rest(net, ("enter", "symbol", "leave", "gain"))
    how = (recipe.learning_rate, recipe.hidden_rate, recipe.weight_decay)
    return State(net, average, MuonAdamW(*parts, *how))


def train(
    recipe: Recipe, seed: int, checkpoint: Path | None = None, every: int = 200,
    stop_at: int | None = None, progress: bool = True, first: DiffAR | None = None,
) -> State:  # fmt: skip
    """Train a network, from the checkpoint if there is one; half precision where it is exact enough."""
    from accelerate import Accelerator
    from tqdm.auto import tqdm

    state = start(recipe, seed, first)
    clips, held_out = (pool(split, recipe.pitches) for split in ("train", "validation"))
    accelerator = Accelerator()
    net, optimiser = accelerator.prepare(state.model), state.optimiser
    if checkpoint is not None and checkpoint.exists():
        load_checkpoint(checkpoint, state, recipe, seed)
    device, weights, found = accelerator.device, state.model.state_dict(), []
    state.average = {k: v.to(device) for k, v in state.average.items()}
    todo = range(state.step, recipe.steps if stop_at is None else stop_at)
    for step in tqdm(todo, disable=not progress, desc=f"{recipe.name} {seed}", mininterval=20):
        optimiser.scale(learning_rate(recipe, step) / recipe.learning_rate)
        b = steps.draw(clips, recipe, np.random.default_rng([seed, step]))
        with torch.autocast(device.type, torch.bfloat16):
            loss = steps.loss(net, steps.Batch(*(a.to(device) for a in b)), recipe.masked)
        optimiser.zero_grad()
        accelerator.backward(loss)
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        for key, value in weights.items():
            state.average[key].lerp_(value, 1.0 - min(recipe.ema, (1 + step) / (10 + step)))
        found.append(float(loss.detach()))
        state.step = step + 1
        if state.step % every == 0 or state.step == recipe.steps:
            entry = {"step": state.step, "train": float(np.mean(found))}
            state.history.append(entry | validation(averaged(state, recipe), held_out, recipe))
            found = []
            if checkpoint is not None:
                save_checkpoint(checkpoint, state, recipe, seed)
    return state


def averaged(state: State, recipe: Recipe) -> DiffAR:
    """Network with the running average of the weights."""
    net = recipe.network()
    net.load_state_dict(state.average)
    return net.eval()


@torch.inference_mode()
def validation(net: DiffAR, clips: list[Heard], recipe: Recipe, n: int = 128) -> dict[str, float]:
    """Loss on held-out frames with always the same noise: of all samples, of the new ones, trivial."""
    b = steps.draw(clips, recipe, np.random.default_rng(10**6), n)
    parts = [steps.Batch(*a) for a in zip(*(t.split(16) for t in b), strict=True)]
    found = torch.cat([steps.errors(net, part) for part in parts])
    whole, new = found.mean(), (found * b.new).sum() / b.new.sum()
    return {"whole": float(whole), "new": float(new), "trivial": float(steps.trivial(b).mean())}


def trained(
    recipe: Recipe, seed: int, folder: Path, after: tuple[Recipe, int] | None = None
) -> DiffAR:
    """Network of a recipe, from its file or trained now; what is used is what is kept: float16.

    The training starts at random, or with the network of the recipe and seed in `after`.
    """
    first = None if after is None else trained(*after, folder)
    path = folder / f"{recipe.name}-seed{seed}.safetensors"
    before = None if after is None else {"recipe": asdict(after[0]), "seed": after[1]}
    # As in the file, where tuples are lists.
    about = json.loads(json.dumps({"recipe": asdict(recipe), "seed": seed, "after": before}))
    if not (path.exists() and about.items() <= read_tensors(path, AGAIN)[1].items()):
        checkpoint = path.with_suffix(".checkpoint")
        state = train(recipe, seed, checkpoint, first=first)
        kept = {k: v.half() for k, v in state.average.items()}
        write_tensors(path, kept, {**about, "history": state.history, "torch": torch.__version__})
        checkpoint.unlink(missing_ok=True)
    return network(path)[0]


def network(path: Path) -> tuple[DiffAR, dict]:
    """Rebuild a network from its file, and what is known of it."""
    tensors, about = read_tensors(path, AGAIN)
    recipe = {**about["recipe"], "kernels": tuple(about["recipe"]["kernels"])}
    net = Recipe(**recipe).network()
    fill(net, tensors, path, AGAIN)
    return net.eval(), about
