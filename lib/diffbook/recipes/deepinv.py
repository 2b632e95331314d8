"""Designed weights inside deepinv's samplers, where that library is installed.

Source: Tachella et al. 2025, "DeepInverse", Journal of Open Source Software,
doi:10.21105/joss.08923; version 0.5.0 was read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._deepinv import load
from diffbook._optional import need
from diffbook.recipes.weights import WeightsRecipe
from diffbook.schedules.levels import validate_alpha_bar

need("torch", "torch", "recipes.deepinv")
import torch  # noqa: E402 - after the door

BETA_MIN, BETA_MAX = 0.1, 20.0
"""deepinv's variance-preserving process."""


def times(alpha_bar: ArrayLike) -> NDArray[np.float64]:
    """Give the times of deepinv's process at which it has these levels, (S + 1,).

    Its ``alpha_bar`` is ``exp(-beta_min t - (beta_max - beta_min) t^2 / 2)``.
    """
    fallen = -np.log(validate_alpha_bar(alpha_bar, allow_one=True))
    half = 0.5 * (BETA_MAX - BETA_MIN)
    return 2.0 * fallen / (BETA_MIN + np.sqrt(BETA_MIN**2 + 4.0 * half * fallen))


def fidelity(recipe: WeightsRecipe, *, minus_one_one: bool = True) -> Any:
    """DPS's data fidelity with the recipe's weights, for deepinv's ``PosteriorDiffusion``.

    Parameters
    ----------
    recipe : WeightsRecipe
        Of the method ``"dps"``.
    minus_one_one : bool
        As in ``PosteriorDiffusion``. ``True``: denoiser, measurement and physics live in [0, 1],
        where a squared norm is a quarter and a noise level half of the recipe's.
    """
    if recipe.method != "dps":
        raise ValueError(f"recipe: got the method {recipe.method!r}, expected 'dps'")
    base = load().sampling.DPSDataFidelity
    unit = 0.5 if minus_one_one else 1.0
    sigmas, factors = unit * recipe.sigmas[1:], recipe.score_weights / unit**2

    class Designed(base):
        """``-log p(y | x)`` up to a constant: a weight by noise level times the squared residual."""

        def forward(
            self, x: Any, y: Any, physics: Any, sigma: Any, *args: Any,
            get_model_outputs: bool = False, **kwargs: Any,
        ) -> Any:  # fmt: skip
            level = float(torch.as_tensor(sigma).flatten()[0])
            row = int(np.argmin(np.abs(np.log(sigmas / level))))
            if abs(sigmas[row] / level - 1.0) > 1e-3:
                raise ValueError(
                    f"sigma: got {level:.4g}, expected one of the recipe's levels (the nearest is "
                    f"{sigmas[row]:.4g}); take the solver's times from recipes.deepinv.diffusion"
                )
            single = torch.as_tensor(sigma).to(torch.float32)
            x0_hat = self.denoiser(x.to(torch.float32), single, *args, **kwargs)
            r = physics.A(x0_hat) - y
            value = float(factors[row]) * r.flatten(1).square().sum(1)
            return (value, x0_hat) if get_model_outputs else value

    return Designed()


def diffusion(
    recipe: WeightsRecipe, denoiser: torch.nn.Module, *, minus_one_one: bool = True,
    rng: torch.Generator | None = None,
) -> Any:  # fmt: skip
    """Make deepinv's ``PosteriorDiffusion`` with the recipe's levels, weights and fresh noise.

    Parameters
    ----------
    recipe : WeightsRecipe
        Of the method ``"dps"``, in units of [-1, 1] if `minus_one_one`.
    denoiser : torch.nn.Module
        Of deepinv: ``denoiser(x, sigma)``.
    minus_one_one : bool
        See `fidelity`.
    rng : torch.Generator, optional
        Of the noise.

    Returns
    -------
    deepinv.sampling.PosteriorDiffusion
        Call it as ``model(y, physics, seed=0)``, with the recipe's degradation as physics.
    """
    term, sampling = fidelity(recipe, minus_one_one=minus_one_one), load().sampling
    return sampling.PosteriorDiffusion(
        data_fidelity=term,
        denoiser=denoiser,
        sde=sampling.VariancePreservingDiffusion(
            beta_min=BETA_MIN, beta_max=BETA_MAX, alpha=recipe.eta
        ),
        solver=sampling.DDIMSolver(
            timesteps=torch.from_numpy(times(recipe.alpha_bar)[::-1].copy()),
            eta=recipe.eta,
            rng=rng,
        ),
        minus_one_one=minus_one_one,
    )
