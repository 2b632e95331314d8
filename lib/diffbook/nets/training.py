"""Training of the small denoisers: one documented command per set of weights.

    python -m diffbook.nets.training photos --seed 0 --out data/weights/photos16_seed0.safetensors

trains on the training split and writes that file; one that exists is kept unless `--force` is given.
An interrupted run goes on from the checkpoint beside it, and ends with the same weights as an
uninterrupted one: every step draws its images and noise from a generator seeded by (seed, step).

Source of the loss: Karras, Aittala, Aila, Laine 2022 (arXiv 2206.00364), Table 1 and Appendix F.6, with
noise levels log-uniform over the whole range that the schedules of this book visit.
"""

import json
import math
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import click
import numpy as np
import torch

from diffbook._checks import NON_NEGATIVE, POSITIVE, choice, real, whole
from diffbook.datasets import digits, photos
from diffbook.nets.store import fill, read_tensors, write_tensors
from diffbook.nets.unet import Preconditioned, UNet, torch_device

#: Noise levels seen in training: they cover alpha_bar from 1 - 1e-4 (sigma 0.01) to 4e-5 (sigma 158).
SIGMA_MIN, SIGMA_MAX = 0.01, 160.0

#: Largest seed, as on the command line.
SEEDS = 2**31 - 1


@dataclass(frozen=True)
class Config:
    """Everything that determines a training run, apart from the seed.

    Attributes
    ----------
    data
        `"photos"` (16 x 16 grey patches) or `"digits"` (8 x 8).
    channels, fold
        Widths and space-to-depth factor of :class:`diffbook.nets.unet.UNet`.
    steps, batch
        Number of optimiser steps and images per step (over all processes).
    learning_rate, warmup, weight_decay
        AdamW; linear warm-up over `warmup` steps, then a cosine down to zero.
    ema
        Decay of the running average of the weights, which is what is saved; early on the average
        spans a tenth of the steps done.
    """

    data: str
    channels: tuple[int, int]
    fold: int
    steps: int
    batch: int = 128
    learning_rate: float = 2e-3
    warmup: int = 200
    weight_decay: float = 1e-3
    ema: float = 0.999

    def __post_init__(self):
        choice(self.data, "data", ("photos", "digits"))
        for name in ("fold", "steps", "batch", "warmup"):
            whole(getattr(self, name), name)
        for channels in self.channels:
            whole(channels, "channels", 8)
        real(self.learning_rate, "learning_rate", POSITIVE)
        real(self.weight_decay, "weight_decay", NON_NEGATIVE)
        real(self.ema, "ema", "[0, 1)")


CONFIGS = {
    "photos": Config("photos", channels=(32, 64), fold=2, steps=6000),
    "digits": Config("digits", channels=(24, 48), fold=1, steps=5000, weight_decay=1e-2),
}


@dataclass
class State:
    """What a run knows: model, running average, optimiser, steps done and the loss history."""

    model: Preconditioned
    average: dict[str, torch.Tensor]
    optimiser: torch.optim.Optimizer
    step: int = 0
    history: list[dict] = field(default_factory=list)


def pool(data: str, split: str) -> torch.Tensor:
    """Return the images (n, 1, h, w), float32, that training or validation draws from."""
    n = 40_000 if split == "train" else 4_000
    real_photos = choice(data, "data", CONFIGS) == "photos"
    x = photos.patches(n, size=16, split=split, rng=7) if real_photos else digits.images(split)
    return torch.as_tensor(x, dtype=torch.float32)[:, None]


def draw(images: torch.Tensor, n: int, seed: int, step: int) -> tuple[torch.Tensor, ...]:
    """Draw clean images, noise levels and noise for one step; the same for the same (seed, step).

    The noise levels are log-uniform on [SIGMA_MIN, SIGMA_MAX] and stratified: one in each n-th part,
    which takes most of the noise out of the loss.
    """
    n, seed, step = whole(n, "n"), whole(seed, "seed", 0, SEEDS), whole(step, "step", 0)
    # A hash of the pair: seed + step would make step 5 of seed 0 equal step 4 of seed 1.
    mixed = np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0]
    g = torch.Generator().manual_seed(int(mixed >> np.uint64(1)))
    x0 = images[torch.randint(len(images), (n,), generator=g)]
    u = (torch.arange(n) + torch.rand(n, generator=g)) / n
    sigma = SIGMA_MIN * (SIGMA_MAX / SIGMA_MIN) ** u
    return x0, sigma, torch.randn(x0.shape, generator=g)


def edm_loss(model, x0: torch.Tensor, sigma: torch.Tensor, eps: torch.Tensor, sigma_data: float):
    """EDM's weighted denoising loss: at initialisation it is near 1 at every noise level."""
    sigma_data = real(sigma_data, "sigma_data", POSITIVE)
    weight = (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2
    error = model(x0 + sigma.reshape(-1, 1, 1, 1) * eps, sigma) - x0
    return (weight * error.square().mean(dim=(1, 2, 3))).mean()


def start(config: Config, images: torch.Tensor, seed: int) -> State:
    """Build model, running average and optimiser from a seed (global random state is restored)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(whole(seed, "seed", 0, SEEDS))
        net = UNet(config.channels, config.fold)
    model = Preconditioned(net, float(images.mean()), float(images.std()))
    model = model.to(memory_format=torch.channels_last)
    average = {k: v.detach().clone() for k, v in model.state_dict().items()}
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    return State(model, average, optimiser)


def learning_rate(config: Config, step: int) -> float:
    """Learning rate at a step (0-based): linear warm-up, then a cosine down to zero."""
    rise = min(1.0, (whole(step, "step", 0, config.steps) + 1) / config.warmup)
    return config.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * step / config.steps))


def save_checkpoint(path: Path, state: State, config: Config, seed: int) -> None:
    """Write the whole state to one safetensors file, atomically."""
    seed = whole(seed, "seed", 0, SEEDS)
    tensors = {f"model.{k}": v for k, v in state.model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in state.average.items()}
    for i, entry in state.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{i}.{k}": v for k, v in entry.items()}
    about = {"config": asdict(config), "seed": seed, "step": state.step, "history": state.history}
    write_tensors(path, tensors, about)


def load_checkpoint(path: Path, state: State, config: Config, seed: int) -> None:
    """Fill a state from a checkpoint, which must be whole and of this configuration and seed."""
    again = "delete it to start again"
    tensors, about = read_tensors(path, again)
    if set(about) != {"config", "seed", "step", "history"}:
        raise ValueError(f"{path}: is no checkpoint of a training; {again}")
    found = {**about["config"], "seed": about["seed"]}
    wanted = {**json.loads(json.dumps(asdict(config))), "seed": seed}
    odd = [f"{k} {found.get(k)!r}, not {v!r}" for k, v in wanted.items() if found.get(k) != v]
    if odd:
        raise ValueError(f"{path}: is of another run ({'; '.join(odd)}); {again}, or change --out")
    parts: dict[str, dict] = {"model": {}, "average": {}, "optimiser": {}}
    for key, value in tensors.items():
        part, name = key.split(".", 1)
        parts[part][name] = value
    fill(state.model, parts["model"], path, again)
    state.average, moments = parts["average"], {}
    for name, value in parts["optimiser"].items():
        i, k = name.split(".", 1)
        moments.setdefault(int(i), {})[k] = value
    groups = state.optimiser.state_dict()["param_groups"]
    state.optimiser.load_state_dict({"state": moments, "param_groups": groups})
    state.step, state.history = about["step"], about["history"]


def train(
    config: Config,
    seed: int = 0,
    *,
    checkpoint: Path | None = None,
    every: int = 500,
    stop_at: int | None = None,
    progress: bool = True,
) -> State:
    """Train one denoiser.

    Parameters
    ----------
    config, seed
        What to train; the same pair gives the same weights on the same machine.
    checkpoint
        File that keeps the state every `every` steps; if it exists, training goes on from it.
    every
        Steps between checkpoints; the training loss (mean since the last one) and the validation loss
        of the running average are recorded at the same time.
    stop_at
        Stop after this many steps (an interruption on purpose, for tests).
    progress
        Show a progress bar.

    Returns
    -------
    State
        With `average`, the weights to use, and `history`, a list of
        {step, train_loss, validation_loss}.
    """
    from accelerate import Accelerator
    from tqdm.auto import tqdm

    every, seed = whole(every, "every"), whole(seed, "seed", 0, SEEDS)
    stop_at = config.steps if stop_at is None else whole(stop_at, "stop_at", 1, config.steps)
    images, held_out = pool(config.data, "train"), pool(config.data, "validation")
    state = start(config, images, seed)
    if checkpoint is not None and checkpoint.exists():
        load_checkpoint(checkpoint, state, config, seed)
    accelerator = Accelerator()
    rank, world, device = accelerator.process_index, accelerator.num_processes, accelerator.device
    model, optimiser = accelerator.prepare(state.model, state.optimiser)
    sigma_data, losses = state.model.sigma_data, []
    steps = range(state.step, stop_at)
    for step in tqdm(steps, disable=not progress, desc=f"{config.data} seed {seed}", mininterval=5):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(config, step)
        batch = draw(images, config.batch, seed, step)
        # Strided, so that every process sees all noise levels and the union is the whole batch.
        loss = edm_loss(model, *(part[rank::world].to(device) for part in batch), sigma_data)
        optimiser.zero_grad()
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        _update_average(state, config, step)
        losses.append(float(loss.detach()))
        state.step = step + 1
        if state.step % every == 0 or state.step == config.steps:
            held = validation_loss(state, held_out, device)
            entry = {"step": state.step, "train_loss": float(np.mean(losses))}
            state.history.append(entry | {"validation_loss": held})
            losses = []
            if checkpoint is not None and accelerator.is_main_process:
                save_checkpoint(checkpoint, state, config, seed)
    return state


@torch.no_grad()
def validation_loss(state: State, images: torch.Tensor, device="cpu", n: int = 1024) -> float:
    """EDM loss of the running average on held-out images, with always the same noise."""
    batch = [part.to(torch_device(device)) for part in draw(images, n, 10**6, 0)]
    keep = {k: v.clone() for k, v in state.model.state_dict().items()}
    state.model.load_state_dict(state.average)
    loss = float(edm_loss(state.model, *batch, state.model.sigma_data))
    state.model.load_state_dict(keep)
    return loss


def _update_average(state: State, config: Config, step: int) -> None:
    decay = min(config.ema, (1 + step) / (10 + step))
    for key, value in state.model.state_dict().items():
        mean = state.average[key] = state.average[key].to(value.device)
        mean.lerp_(value, 1.0 - decay) if value.is_floating_point() else mean.copy_(value)


def make_weights(
    data: str, seed: int, out: Path, *, steps: int | None = None, force: bool = False
) -> dict:
    """Train one denoiser, resuming where an interrupted training stopped, and write its weights.

    Parameters
    ----------
    data : {"photos", "digits"}
        What to train on.
    seed : int
        Training seed.
    out : Path
        File to write; the checkpoint lies beside it until the training is complete.
    steps : int, optional
        Optimiser steps; default those of the recorded weights.
    force : bool
        Whether a file that exists is written over.

    Returns
    -------
    dict
        The last entry of the loss history.
    """
    config = CONFIGS[choice(data, "data", CONFIGS)]
    config = config if steps is None else replace(config, steps=steps)
    out = Path(out)
    if out.exists() and not force:
        raise ValueError(f"out: {out} exists; name another file, or give --force to write over it")
    checkpoint = out.with_name(f"{out.stem}.checkpoint")
    state = train(config, seed, checkpoint=checkpoint)
    command = f"python -m diffbook.nets.training {data} --seed {seed}"
    command += f" --steps {steps}" if steps else ""
    save_weights(out, state, config, seed, f"{command} --out {out.as_posix()}")
    checkpoint.unlink(missing_ok=True)
    return state.history[-1]


def save_weights(path: Path, state: State, config: Config, seed: int, command: str) -> None:
    """Write the running average in float16, with what is needed to rebuild and to remake it.

    Half precision keeps the repository small; its rounding (relative 5e-4) is far below the
    difference between training seeds.
    """
    seed = whole(seed, "seed", 0, SEEDS)
    tensors = {k: v.to(torch.float16) for k, v in state.average.items()}
    about = {"config": asdict(config), "seed": seed, "command": command, "steps": state.step}
    about |= {"data_mean": state.model.data_mean, "sigma_data": state.model.sigma_data}
    about |= {"history": state.history, "torch": torch.__version__}
    write_tensors(path, tensors, about)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("data", type=click.Choice(sorted(CONFIGS)))
@click.option("--seed", type=click.IntRange(0, SEEDS), default=0, show_default=True)
@click.option("--steps", type=click.IntRange(1), help="Optimiser steps; default: as recorded.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write.")
@click.option("--force", is_flag=True, help="Write over a file that exists.")
def main(data: str, seed: int, steps: int | None, threads: int, out: Path, force: bool) -> None:
    """Train the small denoiser of DATA and write its weights; interrupted, it can go on later."""
    torch.set_num_threads(threads)
    try:
        click.echo(f"{out}: {json.dumps(make_weights(data, seed, out, steps=steps, force=force))}")
    except KeyboardInterrupt:
        words = "the same command goes on from the last checkpoint, if one was reached, beside"
        click.echo(f"interrupted; {words} {out}", err=True)
        sys.exit(130)
    except (OSError, ValueError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
