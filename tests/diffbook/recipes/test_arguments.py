"""Nonsense for every argument of the public functions of `diffbook.recipes`."""

import numpy as np
import torch
from guided_cases import problem_prior
from nonsense import case, table_tests

from diffbook import inverse
from diffbook.inverse.exact import gaussian_vjp
from diffbook.recipes import (
    deepinv,
    design,
    guided,
    restoration,
    schedulers,
    spectra,
    weights,
)
from diffbook.schedules import ddpm_chain

CHAIN = ddpm_chain(50, 1e-3, 0.2)
LAM = np.array([4.0, 1.0, 0.3])
IMAGES = np.random.default_rng(0).standard_normal((4, 3, 8, 8))
SIGNED = {"data": ("negative", "images lie on both sides of 0")}
COMMON = {"loss": "w2", "n_starts": 2, "seed": 3}

PRIOR, BLUR = problem_prior((8,)), inverse.identity(8)
X = np.random.default_rng(0).standard_normal((3, 8))
LEVELS = np.array([1.0, 0.6, 0.2])
SIGN = ("negative", "a signal of any sign")
RECIPE = weights.weights_for(PRIOR, BLUR, 0.1, 2, alphas_cumprod=ddpm_chain())

CASES = [
    case(spectra.examples, SIGNED, data=IMAGES),
    case(spectra.spectrum_of, SIGNED, data=IMAGES, channels="first"),
    case(
        design.schedule_for, SIGNED,
        data=IMAGES, S=4, alphas_cumprod=CHAIN, channels="first", **COMMON,
    ),
    case(
        design.schedule_for_spectrum,
        {"mu0_spectral": ("complex negative", "modes of the DFT are complex")},
        lam=LAM, S=4, sigma_range=(0.01, 50.0), mu0_spectral=LAM, **COMMON,
    ),
    case(design.rivals, S=4, sigma_min=0.03, sigma_max=50.0, alphas_cumprod=CHAIN),
    case(
        schedulers.read_alphas_cumprod,
        config={"beta_schedule": "linear", "num_train_timesteps": 50},
    ),
    case(restoration.prior_for, {"data": SIGN}, data=X),
    case(restoration.problem_for, prior=PRIOR, operator=BLUR, sigma_y=0.1),
    case(restoration.levels_for, S=2, alphas_cumprod=LEVELS[1:]),
    case(restoration.levels_for, S=2, sigma_range=(0.1, 10.0)),
    case(restoration.levels_for, S=2, schedule=LEVELS),
    case(
        weights.weights_for, {"data": SIGN},
        data=X, operator=BLUR, sigma_y=0.1, S=2, method="dps", eta=0.5, schedule=LEVELS, max_iter=3,
    ),
    case(
        weights.weights_for, {"data": SIGN},
        data=np.random.default_rng(0).random((2, 3, 4, 3)),
        operator=inverse.identity((4, 3)), sigma_y=0.1, S=1, sigma_range=(0.1, 10.0),
        channels="first", max_iter=3, method="pigdm",
    ),
    case(weights.draw, recipe=RECIPE),
    case(guided.guided_eps, recipe=RECIPE, model=lambda x, t: x, y=torch.from_numpy(X)),
    case(
        guided.restore, {"y": SIGN},
        recipe=RECIPE, denoiser=PRIOR.denoise, y=X, seeds=[0, 1, 2], vjp=gaussian_vjp(PRIOR),
    ),
    case(deepinv.times, alpha_bar=LEVELS),
]  # fmt: skip
EXEMPT = {
    "WeightsRecipe": "a record that weights_for makes",
    "fidelity": "needs deepinv; tested in test_recipes_deepinv",
    "diffusion": "needs deepinv; tested in test_recipes_deepinv",
    "images": "reads a folder; the tests of both commands give it what it refuses",
    "levels": "reads a file; the tests of both commands give it what it refuses",
    "check_targets": "takes paths; the tests of both commands give it what it refuses",
    "replace": "writes a file",
    "ScheduleRecipe": "a record that schedule_for makes",
    "main": "command lines; test_schedule.py and test_weights.py give them what they refuse",
    "configure": "takes objects; test_schedulers.py gives it what it refuses",
}

test_nonsense_is_refused_by_name, test_valid_calls_succeed, test_no_name_is_missing = table_tests(
    "diffbook.recipes", CASES, EXEMPT
)
