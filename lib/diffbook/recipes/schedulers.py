"""Recipes in the schedulers of diffusers, which must honour them.

Nothing of diffusers is imported: a scheduler is told by the name of its class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffbook._checks import choice, real, whole
from diffbook.recipes.design import ScheduleRecipe
from diffbook.schedules.families import cosine_chain
from diffbook.schedules.levels import alpha_bar_to_sigma

_EULER, _DPM = "EulerDiscreteScheduler", "DPMSolverMultistepScheduler"
_INSTEAD = f"{_DPM}.from_config(scheduler.config, algorithm_type='dpmsolver++', solver_order=1)"
_REFUSED = {
    "DDIMScheduler": f"takes no time steps of one's own, and with its .timesteps written over it goes "
    f"on from wrong levels; {_INSTEAD} makes the same step",
    "DDPMScheduler": "adds noise in every step, for which the schedule was not designed",
    "EDMEulerScheduler": "bends the sigmas that it is given by a schedule of its own; use "
    "recipe.sigmas in a loop of k-diffusion's kind",
}
#: What a scheduler's configuration must say, or it changes the recipe without a word.
_NEEDED = {
    _EULER: {"timestep_type": "discrete", "rescale_betas_zero_snr": False},
    _DPM: {
        "algorithm_type": "dpmsolver++", "final_sigmas_type": "zero", "use_karras_sigmas": False,
        "use_exponential_sigmas": False, "use_beta_sigmas": False, "use_lu_lambdas": False,
        "use_flow_sigmas": False, "rescale_betas_zero_snr": False,
    },
}  # fmt: skip


def configure(scheduler: Any, recipe: ScheduleRecipe) -> Any:
    """Set a scheduler of diffusers to a recipe, ready for ``for t in scheduler.timesteps``.

    Parameters
    ----------
    scheduler : EulerDiscreteScheduler or DPMSolverMultistepScheduler
        Euler takes `recipe.sigmas`, DPM-Solver++ `recipe.timesteps`; with ``solver_order=1`` the
        latter is DDIM.
    recipe : ScheduleRecipe
        Made with ``alphas_cumprod=scheduler.alphas_cumprod``.

    Returns
    -------
    The scheduler, set.

    Raises
    ------
    ValueError
        If the scheduler would not honour the recipe (DDIM's takes no time steps of one's own), if its
        configuration would change it, or if its levels are not those of the recipe.
    """
    names = [base.__name__ for base in type(scheduler).__mro__]
    for name in names:
        if name in _REFUSED:
            raise ValueError(f"scheduler: {name} {_REFUSED[name]}")
    kind = next((name for name in names if name in _NEEDED), None)
    if kind is None:
        raise ValueError(f"scheduler: got {names[0]}, expected one of {[*_NEEDED]}")
    if not isinstance(recipe, ScheduleRecipe) and type(recipe).__name__ != "ScheduleRecipe":
        raise ValueError(f"recipe: got {type(recipe).__name__}, expected what schedule_for returns")
    config = scheduler.config
    for key, value in _NEEDED[kind].items():
        got = config.get(key, value)
        if got != value and not (value is False and got is None):
            raise ValueError(
                f"scheduler: its {key} is {got!r}, expected {value!r}; make it by "
                f"{kind}.from_config(scheduler.config, {key}={value!r})"
            )
    _check_levels(np.asarray(scheduler.alphas_cumprod, dtype=float), recipe.alphas_cumprod)
    if kind == _EULER:
        scheduler.set_timesteps(sigmas=recipe.sigmas.tolist())
    else:
        scheduler.set_timesteps(timesteps=recipe.timesteps.tolist())
    if len(scheduler.timesteps) != recipe.S:
        raise ValueError(
            f"scheduler: took {len(scheduler.timesteps)} steps of {recipe.S}; this release of diffusers "
            "is not one that the recipe knows"
        )
    return scheduler


def _check_levels(own: NDArray, wanted: NDArray | None) -> None:
    how = "make the recipe with alphas_cumprod=scheduler.alphas_cumprod"
    if wanted is None:
        raise ValueError(f"recipe: made for a sigma_range, expected time steps; {how}")
    if own.shape != wanted.shape:
        raise ValueError(
            f"recipe: made for {wanted.size} time steps, the scheduler has {own.size}; {how}"
        )
    gap = np.abs(np.log(alpha_bar_to_sigma(own) / alpha_bar_to_sigma(wanted))).max()
    if gap > 5e-3:  # single precision makes 4e-4 of it at the clean end
        raise ValueError(
            f"recipe: its levels differ from the scheduler's, log(sigma) by up to {gap:.3g}; {how}"
        )


def read_alphas_cumprod(config: Mapping[str, Any]) -> NDArray[np.float64]:
    """Rebuild the levels of a model from the ``scheduler_config.json`` of diffusers.

    Parameters
    ----------
    config : mapping
        What the file holds: ``beta_schedule`` "linear", "scaled_linear" or "squaredcos_cap_v2" with
        its ``beta_start``, ``beta_end`` and ``num_train_timesteps``, or ``trained_betas``.

    Returns
    -------
    ndarray, shape (T,)
        ``alphas_cumprod``, index 0 least noisy; in double precision, where diffusers has single.
    """
    if not isinstance(config, Mapping):
        raise ValueError(f"config: got {type(config).__name__}, expected a mapping")
    if config.get("rescale_betas_zero_snr"):
        raise ValueError(
            "config: rescale_betas_zero_snr is set; give alphas_cumprod with a last value of 2**-24"
        )
    if config.get("trained_betas") is not None:
        betas = np.asarray(config["trained_betas"], dtype=float)
    else:
        name = choice(
            config.get("beta_schedule", "linear"), "config: beta_schedule",
            ("linear", "scaled_linear", "squaredcos_cap_v2"),
        )  # fmt: skip
        T = whole(config.get("num_train_timesteps", 1000), "config: num_train_timesteps", 2)
        if name == "squaredcos_cap_v2":
            return cosine_chain(T)
        low, high = (
            real(config.get(key, default), f"config: {key}", "(0, 1)")
            for key, default in (("beta_start", 1e-4), ("beta_end", 0.02))
        )
        power = 2 if name == "scaled_linear" else 1
        betas = np.linspace(low ** (1 / power), high ** (1 / power), T) ** power
    return np.cumprod(1.0 - betas)
