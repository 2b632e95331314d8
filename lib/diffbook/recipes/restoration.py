"""A restoration problem of your own in the terms of the library: images, degradation, levels.

`diffbook.recipes.weights` designs guidance weights on what these three functions make.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._checks import NON_NEGATIVE, POSITIVE, choice, real, reals, whole
from diffbook.inverse import problem as modes
from diffbook.inverse.blocks import problem as blocks
from diffbook.inverse.operators import Degradation, Downsampling, matrix
from diffbook.priors.colour import ChannelPriors
from diffbook.priors.gaussian import GaussianPrior
from diffbook.recipes.spectra import examples
from diffbook.schedules.families import edm
from diffbook.schedules.levels import sigma_to_alpha_bar, validate_alpha_bar

Array = NDArray[np.float64]
Prior = GaussianPrior | ChannelPriors

LARGEST = 2**26
"""Most work that a design with coupled modes may take: blocks times their size to the third power."""


def prior_for(data: ArrayLike | Prior, channels: Literal["first", "last"] | None = None) -> Prior:
    """Gaussian model of images, or the one that is given.

    Parameters
    ----------
    data : GaussianPrior, ChannelPriors, or array_like
        Signals (n, d), grey images (n, h, w), colour images (n, h, w, 3) or (n, 3, h, w), in the units
        of the model. For a spectrum pass ``GaussianPrior.from_spectrum(lam)``.
    channels : {"first", "last"}, optional
        Where the colours are; needed only if both places have size 3.
    """
    if channels is not None:
        choice(channels, "channels", ("first", "last"))
    if isinstance(data, Prior):
        return data
    x = examples(data)
    if x.ndim < 4:
        return GaussianPrior.estimated(x)
    if channels is None and (x.shape[1] == 3) == (x.shape[3] == 3):
        raise ValueError(
            f"data: got shape {x.shape}, expected 3 colours first or last; if both axes have size 3 "
            "pass channels"
        )
    return ChannelPriors.estimated(x, channels=channels)


def problem_for(
    prior: Prior, operator: Degradation, sigma_y: float
) -> modes.Problem | blocks.BlockProblem:
    """Restoration problem of a Gaussian model and a degradation, in the form that suits it.

    One number a mode for a circular blur, blocks of modes for a down-sampling, one dense block for a mask
    or any other linear degradation. The degradation acts on the colours one by one.

    Parameters
    ----------
    prior : GaussianPrior or ChannelPriors
        Stationary.
    operator : Degradation
        For one grey image, or one colour of an image.
    sigma_y : float
        Standard deviation of the measurement's noise, non-negative.
    """
    sigma_y = real(sigma_y, "sigma_y", NON_NEGATIVE)
    parts = prior.priors if isinstance(prior, ChannelPriors) else (prior,)
    if not hasattr(operator, "measurement_shape"):
        raise ValueError(
            f"operator: got a {type(operator).__name__}, expected a linear degradation of diffbook.inverse (Blur, "
            "Downsampling, Mask, identity)"
        )
    if tuple(operator.shape) != tuple(parts[0].shape):
        raise ValueError(
            f"operator: got one for images of shape {tuple(operator.shape)}, the data have "
            f"{tuple(parts[0].shape)}"
        )
    if not np.any(operator.singular_values > 0.0):
        raise ValueError("operator: got one that measures nothing, expected a mode that it passes")
    if any(part.basis is not None for part in parts):
        raise ValueError("prior: expected a stationary one, got one with a basis of its own")
    if operator.spectrum is not None:
        lam, mu0 = (np.stack([getattr(p, k) for p in parts]) for k in ("lam", "mu0_spectral"))
        h = np.broadcast_to(operator.spectrum, lam.shape)
        return modes.merged(modes.make_problem(lam, h, sigma_y, mu0=mu0))
    if isinstance(operator, Downsampling):
        h = None if operator.blur is None else operator.blur.spectrum
        found = [blocks.from_downsampling(p, operator.factor, h, sigma_y) for p in parts]
    else:
        _affordable(len(parts), parts[0].d)
        H = matrix(operator)
        found = [blocks.from_matrix(p, H, sigma_y) for p in parts]
    shared = ("lam", "H", "mu0", "count", "modes")
    lam, H, mu0, count, index = (np.concatenate([getattr(f, k) for f in found]) for k in shared)
    whole_problem = blocks.merged(blocks.BlockProblem(lam, H, mu0, sigma_y, count, index))
    _affordable(*whole_problem.lam.shape)
    return whole_problem


def _affordable(m: int, g: int) -> None:
    if m * g**3 > LARGEST:
        side = int((LARGEST // m) ** (1 / 6))
        raise ValueError(
            f"operator: couples {g} modes in each of {m} blocks, too many for a design; take a crop "
            f"of data and operator (for a mask at most {side} x {side} pixels): bounded weights hardly "
            "depend on the size of the images"
        )


def levels_for(
    S: int, alphas_cumprod: ArrayLike | None = None,
    sigma_range: tuple[float, float] | None = None, schedule: ArrayLike | None = None,
) -> tuple[Array, NDArray[np.int_] | None]:  # fmt: skip
    """Levels ``alpha_bar`` (S + 1,) and, for a table, the time steps (S,) of a model, clean end first.

    Parameters
    ----------
    S : int
        Number of steps.
    alphas_cumprod : array_like, shape (T,), optional
        Table of the model's levels; every (T / S)-th is taken, the last step ends at 1 (diffusers'
        ``timestep_spacing="trailing"``).
    sigma_range : (float, float), optional
        Smallest and largest noise level: S levels of the EDM family (rho = 7), the last step ends at 0.
    schedule : array_like, shape (S + 1,), optional
        ``alpha_bar`` as it is; ``alpha_bar[0]`` may be 1.
    """
    S = whole(S, "S")
    given = {"alphas_cumprod": alphas_cumprod, "sigma_range": sigma_range, "schedule": schedule}
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        raise ValueError(f"give exactly one of {', '.join(given)}; got {named or 'none'}")
    if schedule is not None:
        alpha_bar = validate_alpha_bar(schedule, "schedule", allow_one=True)
        if len(alpha_bar) != S + 1:
            raise ValueError(
                f"schedule: got {len(alpha_bar)} levels, expected S + 1 = {S + 1} with the clean end"
            )
        return alpha_bar, None
    if sigma_range is not None:
        low, high = reals(sigma_range, "sigma_range", POSITIVE, shape=(2,))
        if low >= high:
            raise ValueError(f"sigma_range: got {sigma_range!r}, expected the smaller level first")
        sigma = edm(S - 1, low, high) if S > 1 else np.array([high])
        return sigma_to_alpha_bar(np.concatenate([[0.0], sigma])), None
    table = validate_alpha_bar(alphas_cumprod, "alphas_cumprod")
    if S > len(table):
        raise ValueError(f"S: got {S}, expected at most the model's {len(table)} levels")
    t = np.rint(np.arange(1, S + 1) * len(table) / S).astype(int) - 1
    return np.concatenate([[1.0], table[t]]), t
