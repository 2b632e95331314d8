"""Nonsense for every argument of the modules about guidance weights."""

import numpy as np
import pytest
import torch
from guided_cases import problem_prior
from nonsense import case, missing, table_tests

from diffbook import inverse
from diffbook.inverse.exact import gaussian_vjp
from diffbook.recipes import deepinv, guided, restoration, weights
from diffbook.schedules.families import ddpm_chain

PRIOR, BLUR = problem_prior((8,)), inverse.identity(8)
X = np.random.default_rng(0).standard_normal((3, 8))
LEVELS = np.array([1.0, 0.6, 0.2])
SIGN = ("negative", "a signal of any sign")
RECIPE = weights.weights_for(PRIOR, BLUR, 0.1, 2, alphas_cumprod=ddpm_chain())

CASES = [
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
    "weights": {
        "WeightsRecipe": "a record that weights_for makes",
        "main": "a command line; its refusals are tested in test_weights",
    },
    "deepinv": {
        "fidelity": "needs deepinv; tested in test_recipes_deepinv",
        "diffusion": "needs deepinv; tested in test_recipes_deepinv",
    },
}

test_nonsense_is_refused_by_name, test_valid_calls_succeed, _ = table_tests(
    "diffbook.recipes.weights", CASES, EXEMPT
)


@pytest.mark.parametrize("module", [restoration, weights, guided, deepinv])
def test_every_public_name_is_in_the_table(module):
    cases = [one for one in CASES if one.function.__module__ == module.__name__]
    exempt = EXEMPT.get(module.__name__.rpartition(".")[2], {})
    assert missing(module.__name__, cases, exempt) == set()
