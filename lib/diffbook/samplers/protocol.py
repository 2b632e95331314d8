"""What every sampler shares: the walk over its steps, denoisers, noise, callbacks, results.

A sampler is a pair of pure functions, `start` and `step` (see `Sampler`); `walk` does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._arrays import array_namespace, check_signals, device
from diffbook._checks import reals, whole

Array = NDArray[np.float64]


Denoiser = Callable[..., Any]
"""``denoiser(x_t, level_t, cond=None) -> x0_hat``, batch first."""

Noise = Callable[[int, Any], Any]
"""``noise(s, x) -> z``: the standard normal noise of the step from s to s - 1, like ``x``."""

Callback = Callable[[dict[str, Any]], None]
"""Called after every step with ``{"s", "x", "level", "x0_hat"}``."""


@dataclass(frozen=True, eq=False)
class Result:
    """What a sampler returns.

    Parameters
    ----------
    sample : array, shape (n, *shape)
        State at the clean end.
    trajectory : list of array or None
        States from ``x_S`` to ``x_0`` (S + 1 of them) if they were asked for.
    nfe : int
        Number of denoiser calls.
    """

    sample: Any
    trajectory: list[Any] | None
    nfe: int


# --- noise ------------------------------------------------------------------------------------


def initial_noise(seeds: Iterable[int], shape: tuple[int, ...], like: Any = None) -> Any:
    """Draw standard normal noise with one generator per sample.

    Parameters
    ----------
    seeds : iterable of int
        One seed per sample. A sample's noise depends on its own seed only, not on the batch it is
        drawn in nor on the device.
    shape : tuple of int
        Shape of one sample.
    like : array, optional
        Array whose kind, dtype and device are wanted; float64 NumPy by default.

    Returns
    -------
    array, shape ``(n, *shape)``
    """
    seeds, shape = _seeds(seeds), tuple(whole(n, "shape") for n in shape)
    noise = np.stack([np.random.default_rng(s).standard_normal(shape) for s in seeds])
    return noise if like is None else _like(noise, like)


def step_noise(seeds: Iterable[int]) -> Noise:
    """Make the noise for the steps of a stochastic sampler, one independent stream per sample and step.

    Parameters
    ----------
    seeds : iterable of int
        One seed per sample, which may be those of `initial_noise`: the streams differ.
    """
    seeds = _seeds(seeds)

    def noise(s: int, x: Any) -> Any:
        if len(seeds) != x.shape[0]:
            raise ValueError(f"noise has {len(seeds)} seeds for a batch of {x.shape[0]}")
        draws = [np.random.default_rng([seed, s]).standard_normal(x.shape[1:]) for seed in seeds]
        return _like(np.stack(draws), x)

    return noise


def _seeds(seeds: Iterable[int]) -> list[int]:
    found = [whole(seed, "seeds", 0) for seed in seeds]
    if not found:
        raise ValueError("seeds: got none, expected one for each sample")
    return found


def _like(values: NDArray, x: Any) -> Any:
    return array_namespace(x).asarray(values, dtype=x.dtype, device=device(x))


# --- the walk ---------------------------------------------------------------------------------


class Sampler(NamedTuple):
    """A sampler as two pure functions; `walk` applies them.

    The state is ``x_s``, or a tuple of arrays whose first entry is ``x_s``: the trajectory and the
    callback see that entry. The others are the sampler's own, for instance its last answers (a
    multistep method, see `diffbook.samplers.unguided.dpmpp_2m`) or a second signal that moves with
    the first (``(x, logits)``). Frame-wise generation is one walk a frame, with the frames so far
    in the denoiser's condition.

    Parameters
    ----------
    start : callable
        ``start(x_T) -> state`` at the noisy end.
    step : callable
        ``step(s, state, ask, draw) -> (state, x0_hat)``, from s to s - 1. ``ask(s, x)`` is the
        answer of the denoiser at level s; ``draw(s, x)`` is the noise of the step, like x, or None
        in a walk without noise.
    """

    start: Callable[[Any], Any]
    step: Callable[[int, Any, Callable[[int, Any], Any], Noise], tuple[Any, Any]]


def walk(
    sampler: Sampler,
    denoiser: Denoiser,
    x_T: Any,
    schedule: ArrayLike,
    *,
    noise: Noise | None = None,
    callback: Callback | None = None,
    keep_trajectory: bool = False,
) -> Result:
    """Take a sampler from noise to data.

    Parameters
    ----------
    sampler : Sampler
        The pair (start, step).
    denoiser : callable
        ``denoiser(x_t, level_t, cond=None) -> x0_hat``. A call that answers with another shape is
        refused; all calls are counted.
    x_T : array, shape (n, *shape), NumPy or torch
        Initial noise.
    schedule : array_like, shape (S + 1,)
        Levels, clean end first, in the terms of the denoiser.
    noise : callable, optional
        ``noise(s, x)``, standard normal like x; see `step_noise`.
    callback : callable, optional
        Called after every step with ``{"s", "x", "level", "x0_hat"}``.
    keep_trajectory : bool
        Whether all states are kept.

    Returns
    -------
    Result
    """
    check_state(x_T)
    levels = reals(schedule, "schedule", ndim=1).tolist()
    nfe = 0

    def ask_at(s: int, x: Any) -> Any:
        nonlocal nfe
        nfe += 1
        return ask(denoiser, x, levels[s])

    def draw(s: int, x: Any) -> Any:
        return None if noise is None else same_shape("noise", noise(s, x), x)

    state = sampler.start(x_T)
    trajectory = [_signal(state)] if keep_trajectory else None
    for s in range(len(levels) - 1, 0, -1):
        state, x0_hat = sampler.step(s, state, ask_at, draw)
        if keep_trajectory:
            trajectory.append(_signal(state))
        if callback is not None:
            callback({"s": s - 1, "x": _signal(state), "level": levels[s - 1], "x0_hat": x0_hat})
    return Result(_signal(state), trajectory, nfe)


def _signal(state: Any) -> Any:
    return state[0] if isinstance(state, tuple) else state


def check_state(x_T: Any) -> None:
    """Refuse anything but a batch of finite, real floating signals."""
    check_signals(x_T, "x_T")
    xp = array_namespace(x_T)
    # Tensors of torch's meta device have a shape, and no numbers to look at.
    if str(device(x_T)) != "meta" and not xp.all(xp.isfinite(x_T)):
        raise ValueError("x_T must hold finite numbers")


def ask(denoiser: Denoiser, x: Any, level: float) -> Any:
    """Call the denoiser, and refuse an answer of another shape."""
    return same_shape("denoiser", denoiser(x, level), x)


def same_shape(name: str, answer: Any, x: Any) -> Any:
    """Refuse an answer of another shape: it must not broadcast into the update."""
    if tuple(answer.shape) != tuple(x.shape):
        raise ValueError(
            f"{name} returned shape {tuple(answer.shape)} for an input of shape {tuple(x.shape)}"
        )
    return answer
