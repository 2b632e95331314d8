"""What every sampler shares: denoisers, noise, callbacks, results."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._arrays import array_namespace, device

Array = NDArray[np.float64]


Denoiser = Callable[..., Any]


Noise = Callable[[int, Any], Any]


Callback = Callable[[dict[str, Any]], None]


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
    noise = np.stack([np.random.default_rng(s).standard_normal(shape) for s in seeds])
    return noise if like is None else _like(noise, like)


def step_noise(seeds: Iterable[int]) -> Noise:
    """Make the noise for the steps of a stochastic sampler, one independent stream per sample and step.

    Parameters
    ----------
    seeds : iterable of int
        One seed per sample, which may be those of `initial_noise`: the streams differ.
    """
    seeds = list(seeds)

    def noise(s: int, x: Any) -> Any:
        if len(seeds) != x.shape[0]:
            raise ValueError(f"noise has {len(seeds)} seeds for a batch of {x.shape[0]}")
        draws = [np.random.default_rng([seed, s]).standard_normal(x.shape[1:]) for seed in seeds]
        return _like(np.stack(draws), x)

    return noise


def _like(values: NDArray, x: Any) -> Any:
    return array_namespace(x).asarray(values, dtype=x.dtype, device=device(x))


def _start(x_T: Any, schedule: ArrayLike) -> tuple[list[float], Any]:
    xp = array_namespace(x_T)
    if x_T.ndim < 2 or not xp.isdtype(x_T.dtype, "real floating"):
        raise ValueError(
            f"x_T must be a real floating array (n, *shape), got shape {tuple(x_T.shape)} and "
            f"dtype {x_T.dtype}"
        )
    return np.asarray(schedule, dtype=np.float64).tolist(), x_T


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


def report(
    s: int,
    x: Any,
    levels: list[float],
    x0_hat: Any,
    trajectory: list[Any] | None,
    callback: Callback | None,
) -> None:
    """Keep the state after a step, and hand it to the callback."""
    if trajectory is not None:
        trajectory.append(x)
    if callback is not None:
        callback({"s": s, "x": x, "level": levels[s], "x0_hat": x0_hat})
