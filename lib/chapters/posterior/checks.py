"""Coupled frequencies: published algorithms on signals against the composition in blocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chapters.posterior.synthetic import synthetic_prior
from diffbook.inverse import gains as guidance
from diffbook.inverse import operators as inverse
from diffbook.inverse import published as zero_shot
from diffbook.inverse.blocks import gains as block_samplers
from diffbook.inverse.blocks import problem as blocks
from diffbook.inverse.exact import gaussian_vjp
from diffbook.schedules import levels as schedules


def block_errors(seed: int = 0, d: int = 32, S: int = 10, sigma_y: float = 0.2) -> dict[str, float]:
    """Run four samplers for super-resolution by 4 and for a random mask, on signals and in blocks.

    Returns
    -------
    dict
        Largest difference of the outputs relative to their largest value, by task and method.
    """
    prior, rng = synthetic_prior(d), np.random.default_rng([seed, d])
    blur = inverse.Blur.from_transfer(inverse.gaussian_transfer(d, 1.0, 0.7))
    down = inverse.Downsampling(prior.shape, 4, blur)
    mask = inverse.Mask(rng.permutation(d) % 8 < 5)
    cases = {
        "super-resolution": (
            down,
            blocks.from_downsampling(prior, 4, blur.spectrum, sigma_y),
            lambda x: np.fft.fft(x, norm="ortho"),
            lambda u: np.fft.ifft(u, norm="ortho").real,
        ),
        "mask": (
            mask,
            blocks.from_matrix(prior, inverse.matrix(mask), sigma_y),
            lambda x: x @ blocks.real_basis(prior),
            lambda u: u @ blocks.real_basis(prior).T,
        ),
    }
    ab, found = schedules.ddpm_respaced(S), {}
    weights = 0.3 * guidance.kappa(ab)
    for task, (op, problem, forward, back) in cases.items():
        x_T = rng.standard_normal((1, d))
        y = op.forward(prior.sample(1, rng))
        y = y + sigma_y * rng.standard_normal(y.shape)
        kwargs = {"y": y, "operator": op, "sigma_y": sigma_y}
        vjp = gaussian_vjp(prior)
        pairs = {
            "DPS": (
                zero_shot.dps(prior.denoise, x_T, ab, weights=weights, vjp=vjp, **kwargs),
                block_samplers.dps(problem, ab, weights),
            ),
            "PiGDM": (
                zero_shot.pigdm(prior.denoise, x_T, ab, vjp=vjp, **kwargs),
                block_samplers.pigdm(problem, ab),
            ),
            "DiffPIR": (
                zero_shot.diffpir(
                    prior.denoise, x_T, ab, weights=np.full(S, 7.0), zeta=0.0, **kwargs
                ),
                block_samplers.diffpir(problem, ab, np.full(S, 7.0), zeta=0.0),
            ),
            "ideal": (zero_shot.ideal(prior, x_T, ab, **kwargs), block_samplers.ideal(problem, ab)),
        }
        for name, (run, gains) in pairs.items():
            modes = _apply(
                problem,
                block_samplers.compose(problem, ab, gains),
                forward(x_T[0]),
                op.to_coords(y)[0],
            )
            gap = np.abs(back(modes) - run.sample[0]).max()
            found[f"{task}, {name}"] = float(gap / np.abs(run.sample).max())
    return found


def _apply(
    problem: blocks.BlockProblem, transfer: block_samplers.BlockTransfer, x: NDArray, y: NDArray
) -> NDArray:
    """Output modes (d,) of a composed sampler for starting modes x and measured coordinates y."""
    blocks_of_x = x[problem.modes][..., None]
    blocks_of_y = y.reshape(len(problem.lam), -1, 1)
    out = (
        transfer.D1 @ blocks_of_x + transfer.D2 @ problem.mu0[..., None] + transfer.D3 @ blocks_of_y
    )
    modes = np.zeros(problem.lam.size, out.dtype)
    modes[problem.modes] = out[..., 0]
    return modes
