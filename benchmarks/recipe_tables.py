"""What a schedule of `diffbook.recipes` gains: ``python -m benchmarks.recipe_tables``.

The tables of book/your_schedule.md, recorded in recorded_recipes.json: the exact noise model of a
Gaussian in the schedulers of diffusers, and the book's trained networks in this library's samplers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from diffbook import recipes, samplers, schedules
from diffbook.datasets import digits, photos
from diffbook.metrics.intervals import paired_ci
from diffbook.metrics.samples import sliced_w2
from diffbook.recipes.design import OURS, rivals

OUT = Path(__file__).resolve().with_name("recorded_recipes.json")
STEPS = (5, 10, 20)
SEEDS = (0, 1, 2)
TRAINED_STEPS = (5, 10)
COMPARED = (OURS, "leading", "Karras rho=7", "log-uniform")


def gaussian(n: int = 1000) -> dict:
    """W2 by S and scheduler, exact: in the eigenbasis a deterministic sampler is a gain a mode."""
    import diffusers
    import torch

    euler, dpm, ddim = (
        diffusers.EulerDiscreteScheduler,
        diffusers.DPMSolverMultistepScheduler,
        diffusers.DDIMScheduler,
    )
    lam = recipes.spectrum_of(photos.colour_crops(n, 32))[0]
    lam = torch.tensor(lam[lam > 1e-12 * lam.max()])

    def w2(scheduler):
        train = np.asarray(scheduler.alphas_cumprod, dtype=float)
        grid = np.log(schedules.alpha_bar_to_sigma(train))
        x = torch.ones_like(lam)[None] * scheduler.init_noise_sigma
        for t in scheduler.timesteps:
            ab = 1.0 / (1.0 + np.exp(2.0 * np.interp(float(t), np.arange(train.size), grid)))
            state = scheduler.scale_model_input(x, t)
            eps_hat = np.sqrt(1.0 - ab) / (ab * lam + 1.0 - ab) * state
            x = scheduler.step(eps_hat, t, x).prev_sample
        return float(((x[0].abs() - lam.sqrt()) ** 2).sum().sqrt())

    def default(make, S, **options):
        scheduler = make(**options)
        scheduler.set_timesteps(S)
        return w2(scheduler)

    table = {}
    for S in STEPS:
        recipe = recipes.schedule_for_spectrum(lam.numpy(), S, alphas_cumprod=dpm().alphas_cumprod)
        table[S] = {
            f"DDIM {spacing}": default(ddim, S, timestep_spacing=spacing, clip_sample=False)
            for spacing in ("leading", "trailing", "linspace")
        }
        table[S] |= {
            "Euler": default(euler, S),
            "Euler Karras": default(euler, S, use_karras_sigmas=True),
            "Euler, recipe": w2(recipes.configure(euler(), recipe)),
            "DPM first order, recipe": w2(recipes.configure(dpm(solver_order=1), recipe)),
            "DPM++ 2M": default(dpm, S),
            "DPM++ 2M Karras": default(dpm, S, use_karras_sigmas=True),
            "DPM++ 2M log-uniform": default(dpm, S, use_exponential_sigmas=True),
            "DPM++ 2M, recipe": w2(recipes.configure(dpm(), recipe)),
        }
    return table


def trained(data: str, n: int = 1000) -> dict:
    """Sliced W2 to held-out images by solver, S and schedule: one value for each training seed."""
    import torch

    from diffbook.nets.store import load_weights
    from diffbook.nets.unet import as_denoiser

    if data == "digits":
        images, held, name = digits.images("train"), digits.images("test"), "digits8"
    else:
        images, held, name = (
            photos.patches(4000),
            photos.patches(n, split="test", rng=1),
            "photos16",
        )
    held = held[:n].reshape(len(held[:n]), -1)
    chain = schedules.ddpm_chain()
    low, high = schedules.alpha_bar_to_sigma(chain[[0, -1]])
    found: dict = {}
    for seed in SEEDS:
        path = OUT.parents[1] / "data" / "weights" / f"{name}_seed{seed}.safetensors"
        denoise = as_denoiser(load_weights(path)[0])
        x_T = np.random.default_rng(seed).standard_normal((n, *images.shape[1:]))
        x_T = torch.tensor(x_T, dtype=torch.float32)
        for S in TRAINED_STEPS:
            levels = rivals(S, low, high, chain)
            recipe = recipes.schedule_for(images, S, alphas_cumprod=chain)
            levels = {OURS: recipe.sigmas[::-1]} | levels
            levels = {name: levels[name] for name in COMPARED}
            for solver, sample in (("DDIM", samplers.ddim), ("DPM++ 2M", samplers.dpmpp_2m)):
                for label, sigma in levels.items():
                    alpha_bar = schedules.sigma_to_alpha_bar(sigma)
                    x = sample(denoise, x_T, alpha_bar).sample.numpy().astype(float)
                    score = sliced_w2(x.reshape(n, -1), held)
                    row = found.setdefault(solver, {}).setdefault(S, {}).setdefault(label, [])
                    row.append(score)
            print(data, seed, S, flush=True)
    return found


def differences(found: dict) -> dict:
    """Mean and 95 % interval over training seeds of (rival - recipe), by solver, S and rival."""
    return {
        solver: {
            S: {k: paired_ci(v, rows[OURS]) for k, v in rows.items() if k != OURS}
            for S, rows in steps.items()
        }
        for solver, steps in found.items()
    }


def main(n: int = 300, out: Path = OUT) -> None:
    """Compute and write all tables."""
    command = f"python -m benchmarks.recipe_tables {n}"
    document: dict = {"command": command, "samples": n, "gaussian_w2": gaussian()}
    for data in ("digits", "photos"):
        found = trained(data, n)
        document[data] = {"sliced_w2": found, "rival_minus_recipe": differences(found)}
        out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
