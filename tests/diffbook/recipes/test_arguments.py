"""Nonsense for every argument of the public functions of `diffbook.recipes`."""

import numpy as np
from nonsense import case, table_tests

from diffbook.recipes import design, schedulers, spectra
from diffbook.schedules import ddpm_chain

CHAIN = ddpm_chain(50, 1e-3, 0.2)
LAM = np.array([4.0, 1.0, 0.3])
IMAGES = np.random.default_rng(0).standard_normal((4, 3, 8, 8))
SIGNED = {"data": ("negative", "images lie on both sides of 0")}
COMMON = {"loss": "w2", "n_starts": 2, "seed": 3}

CASES = [
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
]  # fmt: skip
EXEMPT = {
    "ScheduleRecipe": "a record that schedule_for makes",
    "main": "a command line; test_command.py gives it what it refuses",
    "configure": "takes objects; test_schedulers.py gives it what it refuses",
}

test_nonsense_is_refused_by_name, test_valid_calls_succeed, test_no_name_is_missing = table_tests(
    "diffbook.recipes", CASES, EXEMPT
)
