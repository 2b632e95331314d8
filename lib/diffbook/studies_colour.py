"""Deblurring of colour images: Wiener denoiser in rotated channels, or any pretrained model.

A blur that treats the three channels alike commutes with the rotation that decorrelates them, so the
design sees three times as many frequencies and nothing else changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from diffbook import guidance, inverse, zero_shot
from diffbook.colour import ChannelPriors
from diffbook.metrics.restoration import consistency, psnr, ssim
from diffbook.posterior import Problem, compose, make_problem, merged
from diffbook.restoration_tasks import noise_seeds
from diffbook.samplers import initial_noise
from diffbook.weights import design_weights


@dataclass(frozen=True, eq=False)
class ColourSetting:
    """Colour images, their Gaussian model, and a blur with noise.

    Parameters
    ----------
    priors
        Estimated on training images.
    operator, sigma_y
        Degradation of every channel, and standard deviation of the noise (images are in [-1, 1]).
    """

    priors: ChannelPriors
    operator: inverse.Blur
    sigma_y: float

    @property
    def problem(self) -> Problem:
        """All frequencies of all rotated channels."""
        h = np.broadcast_to(self.operator.spectrum, self.priors.shape)
        mu0 = np.stack([prior.mu0_spectral for prior in self.priors.priors])
        return make_problem(self.priors.lam, h, self.sigma_y, mu0)


def colour_setting(x: NDArray, std: float, sigma_y: float) -> ColourSetting:
    """Estimate the model on training images (n, 3, h, w) or (n, h, w, 3) and add a Gaussian blur.

    Parameters
    ----------
    x
        Training images in [-1, 1].
    std, sigma_y
        Standard deviations of the circular blur (pixels) and of the noise.
    """
    priors = ChannelPriors.estimated(x)
    transfer = inverse.gaussian_transfer(priors.shape[1:], std)
    return ColourSetting(priors, inverse.Blur.from_transfer(transfer), sigma_y)


def colour_weights(
    case: ColourSetting, alpha_bar: NDArray, *, network: bool
) -> dict[str, NDArray | Callable]:
    """Weights to compare: designed ones, and the rule zeta'/|r| with zeta' = 1.

    `network` says whether the design is for a network: then the weights stay below the no-overshoot
    bound, with the penalty of `restoration_tasks.designed_weights`.
    """
    from diffbook.restoration_tasks import TIKHONOV

    settings = {}
    if network:
        total = float(case.priors.lam.sum())
        settings = {"cap": "no-overshoot", "tikhonov": TIKHONOV * total}
    found = design_weights(merged(case.problem), alpha_bar, "dps", **settings)
    return {"designed": found.weights, "standard": zero_shot.normalised(1.0)}


def colour_quality(
    denoiser: Callable,
    case: ColourSetting,
    alpha_bar: NDArray,
    weights: Mapping[str, NDArray | Callable],
    x0: NDArray,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> dict[str, dict[str, NDArray]]:
    """Deblur test images with DPS and every set of weights, from common measurements and noise.

    Parameters
    ----------
    denoiser
        Differentiable, on torch arrays (n, 3, h, w): `ChannelPriors.denoise`, or that of
        `pretrained.Pretrained`.
    case
        Blur and noise.
    alpha_bar
        Schedule (S + 1,); for a pretrained model, what its `schedule` returns.
    weights
        By name, arrays (S,) or rules.
    x0
        True images (n, 3, h, w).
    seed
        Of the noise.
    dtype
        Precision of the state.

    Returns
    -------
    dict
        Name to `"PSNR"`, `"SSIM"`, `"consistency"`, `"MSE"` (sum over pixels and channels), each (n,),
        and `"sample"`, the restored images.
    """
    if x0.ndim != 4 or x0.shape[1:] != case.priors.shape:
        raise ValueError(f"x0: got shape {x0.shape}, expected (n, {case.priors.shape})")
    draws = [initial_noise(noise_seeds(seed, 0, len(x0), i), x0.shape[1:]) for i in (0, 1)]
    y = inverse.measure(case.operator, x0, case.sigma_y, draws[0])
    found = {}
    for name, used in weights.items():
        x = zero_shot.dps(
            denoiser, torch.as_tensor(draws[1], dtype=dtype), alpha_bar,
            y=torch.as_tensor(y, dtype=dtype), operator=case.operator, sigma_y=case.sigma_y,
            weights=used,
        ).sample.numpy().astype(np.float64)  # fmt: skip
        found[name] = {
            "PSNR": psnr(x, x0),
            "SSIM": ssim(x, x0),
            "consistency": consistency(x, y, case.operator, case.sigma_y),
            "MSE": np.sum((x - x0) ** 2, axis=(1, 2, 3)),
            "sample": x,
        }
    return found


def predicted_mse(case: ColourSetting, alpha_bar: NDArray, weights: NDArray) -> float:
    """Mean squared error of DPS in the Gaussian model, sum over pixels and channels."""
    problem = case.problem
    return compose(problem, alpha_bar, guidance.dps(problem, alpha_bar, weights)).mse
