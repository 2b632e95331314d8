"""Designed weights at work: in a loop of another library, or in a sampler of this one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from diffbook._checks import whole
from diffbook.inverse import published
from diffbook.inverse.exact import Vjp
from diffbook.inverse.gains import ddim_coefficients
from diffbook.inverse.guidance import differentiated
from diffbook.inverse.operators import adjoint_solve, check_measurement
from diffbook.recipes.weights import WeightsRecipe
from diffbook.samplers.protocol import Denoiser, initial_noise, step_noise


def guided_eps(
    recipe: WeightsRecipe, model: Callable[[Any, Any], Any], y: Any
) -> Callable[[Any, Any], Any]:
    """Model of the noise with the recipe's guidance in it, for a loop of first-order steps.

    In diffusers, with ``timestep_spacing="trailing"`` and no clipping of samples::

        guided = guided_eps(recipe, lambda x, t: unet(x, t).sample, y)
        for t in scheduler.timesteps:
            x = scheduler.step(guided(x, t), t, x, eta=recipe.eta).prev_sample

    Parameters
    ----------
    recipe : WeightsRecipe
        Made with ``alphas_cumprod``.
    model : callable
        ``model(x, t) -> eps_hat`` on torch states ``(n, ..., *shape)``, differentiable.
    y : torch.Tensor, shape (n, ..., m)
        One measurement, of the shape that the operator makes, for each state.

    Returns
    -------
    callable
        ``guided(x, t)``; a time step that is none of the recipe's is refused.
    """
    if recipe.timesteps is None:
        raise ValueError("recipe: has no time steps, expected one made with alphas_cumprod")
    check_measurement(recipe.operator, y, recipe.sigma_y)
    rows = {int(t): row for row, t in enumerate(recipe.timesteps)}
    moves = recipe.weights / ddim_coefficients(recipe.alpha_bar, recipe.eta)[1].ravel()

    def guided(x: Any, t: Any) -> Any:
        row = rows.get(int(t))
        if row is None:
            raise ValueError(
                f"t: got {int(t)}, expected one of the recipe's time steps "
                f"{recipe.timesteps[::-1].tolist()}; diffusers: timestep_spacing='trailing' and "
                f"set_timesteps({recipe.S})"
            )
        level = float(recipe.alpha_bar[row + 1])
        signal, spread = level**0.5, (1.0 - level) ** 0.5
        x0_hat, pullback = differentiated(
            lambda leaf, _: (leaf - spread * model(leaf, t)) / signal, x, level
        )
        r = y - recipe.operator.forward(x0_hat)
        if recipe.method == "dps":
            pull = 2.0 * pullback(recipe.operator.adjoint(r))
        else:
            pull = pullback(adjoint_solve(recipe.operator, r, 1.0 - level, recipe.sigma_y**2))
        # A first-order step moves the state by b times what moves the answer.
        return (x - signal * (x0_hat + float(moves[row]) * pull)) / spread

    return guided


def restore(
    recipe: WeightsRecipe, denoiser: Denoiser, y: Any, seeds: Iterable[int], vjp: Vjp | None = None
) -> Any:
    """Draw one restored signal for each measurement with a sampler of `diffbook.inverse.published`.

    Parameters
    ----------
    recipe : WeightsRecipe
    denoiser : callable
        ``denoiser(x_t, alpha_bar_t, cond=None) -> x0_hat``; see `diffbook.nets.foreign` for models of
        other libraries.
    y : array, shape (n, ..., *measurement_shape), NumPy or torch
    seeds : iterable of int
        One for each measurement.
    vjp : callable, optional
        Product with the denoiser's transposed Jacobian; needed for NumPy arrays.

    Returns
    -------
    array, shape (n, *recipe.shape)
    """
    check_measurement(recipe.operator, y, recipe.sigma_y)
    seeds = [whole(seed, "seeds", 0) for seed in seeds]
    if len(seeds) != len(y):
        raise ValueError(f"seeds: got {len(seeds)}, expected one for each of {len(y)} measurements")
    like = None if isinstance(y, np.ndarray) else y
    sample = getattr(published, recipe.method)
    return sample(
        denoiser, initial_noise(seeds, recipe.shape, like), recipe.alpha_bar, y=y,
        operator=recipe.operator, sigma_y=recipe.sigma_y, weights=recipe.weights, eta=recipe.eta,
        vjp=vjp, noise=step_noise(seeds),
    ).sample  # fmt: skip
