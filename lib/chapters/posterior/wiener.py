"""Deblurring of photographs with the Wiener denoiser: what the closed forms predict, and what comes out.

The denoiser is linear, so the mean squared error of a guided sampler needs of the images only their
mean and their power spectrum, which are those of the training patches. Test patches come from other
tiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chapters.posterior.tasks import images, noise_seeds
from diffbook import inverse
from diffbook.inverse import gains, published
from diffbook.inverse.design import design_weights
from diffbook.inverse.exact import gaussian_vjp
from diffbook.inverse.filters import compose
from diffbook.inverse.problem import Problem, make_problem, merged
from diffbook.metrics.cells import Cell, values
from diffbook.metrics.intervals import paired_ci
from diffbook.metrics.restoration import consistency, psnr, ssim
from diffbook.priors.gaussian import GaussianPrior
from diffbook.samplers.protocol import initial_noise
from diffbook.schedules.families import ddpm_respaced
from diffbook.threads import one_thread_each

STEPS = (5, 10, 25, 50, 100)
METHODS = ("free", "tuned", "zeta' = 1", "zeta' = 0.3")

#: Values of zeta' among which the rule zeta'/|r| is tuned, on validation patches.
GRID = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0)


@dataclass(frozen=True, eq=False)
class Setting:
    """Photographs, their stationary Gaussian model and a blur."""

    prior: GaussianPrior
    operator: inverse.Blur
    sigma_y: float  # images are in [-1, 1]

    @property
    def problem(self) -> Problem:
        """All modes, in the order of the flattened spectrum."""
        return make_problem(self.prior, self.operator.spectrum, self.sigma_y)


@cache
def setting(size: int = 32, std: float = 1.5, sigma_y: float = 0.1, n_train: int = 20_000):
    """Make the standard setting; noise of 0.1 on [-1, 1] is 0.05 on [0, 1]."""
    from diffbook.datasets import photos

    x = photos.patches(n_train, size=size, split="train", rng=7)
    blur = inverse.Blur.from_transfer(inverse.gaussian_transfer((size, size), std))
    return Setting(GaussianPrior.estimated(x), blur, sigma_y)


def deblur(case: Setting, x_T: NDArray, S: int, y: NDArray, weights: Any) -> NDArray[np.float64]:
    """Run DPS with the Wiener denoiser, from the noise x_T (n, h, w)."""
    return published.dps(
        case.prior.denoise, x_T, ddpm_respaced(S), y=y, operator=case.operator,
        sigma_y=case.sigma_y, weights=weights, vjp=gaussian_vjp(case.prior),
    ).sample  # fmt: skip


def predicted_mse(case: Setting, alpha_bar: NDArray, weights: NDArray) -> float:
    """Mean squared error of DPS as the training spectrum has it, no test image being seen."""
    return compose(case.problem, alpha_bar, gains.dps(case.problem, alpha_bar, weights)).mse


def tune(
    case: Setting, S: int, *, n: int = 48, seed: int = 0, grid: Sequence[float] = GRID
) -> NDArray[np.float64]:
    """Mean PSNR of the rule zeta'/|r| on validation patches, for every zeta' of the grid."""
    side = case.prior.shape[0]
    x0 = np.tile(images("photos", "validation", n, side), (len(grid), 1, 1))
    # All values run as one batch: the weights of a rule are per image anyway.
    zeta = np.repeat(grid, n)
    repeated = (
        np.tile(initial_noise(noise_seeds(seed, 0, n, i), case.prior.shape), (len(grid), 1, 1))
        for i in (2, 3)
    )
    y = inverse.measure(case.operator, x0, case.sigma_y, next(repeated))
    with one_thread_each():
        x = deblur(case, next(repeated), S, y, lambda s, norm: zeta / norm)
    return psnr(x, x0).reshape(len(grid), n).mean(1)


def rules(case: Setting, S: int, zeta: float) -> dict[str, tuple[object, NDArray]]:
    """Weights of every method: what the sampler takes, and the array (S,) for the prediction."""
    alpha_bar, small = ddpm_respaced(S), merged(case.problem)
    free = design_weights(small, alpha_bar, "dps", n_bins=128).weights
    found = {"free": (free, free)}
    for name, value in (("tuned", zeta), ("zeta' = 1", 1.0), ("zeta' = 0.3", 0.3)):
        mean_field = inverse.dps_normalised(small, alpha_bar, value)
        found[name] = (published.normalised(value), mean_field)
    return found


def wiener_cells(
    case: Setting,
    zetas: Mapping[int, float],
    *,
    n: int = 100,
    seeds: Sequence[int] = (0, 1, 2),
    seed: int = 0,
    workers: int = 2,
) -> list[Cell]:
    """Deblur held-out patches with every rule; each seed has patches and noise of its own."""
    side = case.prior.shape[0]
    pool = images("photos", "test", n * len(seeds), side).reshape(len(seeds), n, side, side)
    weights = {S: rules(case, S, zeta) for S, zeta in zetas.items()}

    def run(job: tuple[int, str, int]) -> list[Cell]:
        S, method, i = job
        x0, k = pool[i], seeds[i]
        noise = initial_noise(noise_seeds(seed, k, n, 0), case.prior.shape)
        y = inverse.measure(case.operator, x0, case.sigma_y, noise)
        x_T = initial_noise(noise_seeds(seed, k, n, 1), case.prior.shape)
        used, array = weights[S][method]
        x = deblur(case, x_T, S, y, used)
        found = {
            "PSNR": psnr(x, x0),
            "SSIM": ssim(x, x0),
            "consistency": consistency(x, y, case.operator, case.sigma_y),
            "MSE": np.sum((x - x0) ** 2, axis=(1, 2)),
            "predicted MSE": np.full(n, predicted_mse(case, ddpm_respaced(S), array)),
        }
        return [Cell(S, method, metric, k, value) for metric, value in found.items()]

    jobs = [(S, method, i) for S in zetas for method in METHODS for i in range(len(seeds))]
    with one_thread_each(), ThreadPoolExecutor(workers) as threads:
        return [cell for found in threads.map(run, jobs) for cell in found]


def bounds(case: Setting, n: int = 300, seed: int = 0) -> dict[str, float]:
    """Mean PSNR of the blurred, noisy patches and of the Wiener filter on test patches, in decibel."""
    x0 = images("photos", "test", n, case.prior.shape[0])
    noise = initial_noise(noise_seeds(seed, 0, n, 0), case.prior.shape)
    y = inverse.measure(case.operator, x0, case.sigma_y, noise)
    return {
        "measurement": float(psnr(y, x0).mean()),
        "Wiener": float(psnr(posterior_mean(case, y), x0).mean()),
    }


def posterior_mean(case: Setting, y: NDArray) -> NDArray[np.float64]:
    """Wiener filter: the mean of the Gaussian model given measurements (n, h, w)."""
    modes = np.fft.fft2(y, norm="ortho").reshape(len(y), -1)
    restored = case.problem.mean_given(modes).reshape(y.shape)
    return np.fft.ifft2(restored, norm="ortho").real


def agreement(cells: Sequence[Cell], method: str) -> dict[int, tuple[float, float]]:
    """Mean predicted and mean measured squared error by number of steps, over seeds and patches."""
    predicted, found = values(cells, "predicted MSE"), values(cells, "MSE")
    pairs = {S: (predicted[S, name], found[S, name]) for S, name in found if name == method}
    return {S: (float(np.mean(a)), float(np.mean(b))) for S, (a, b) in sorted(pairs.items())}


def difference(
    cells: Sequence[Cell], a: tuple[int, str], b: tuple[int, str], metric: str
) -> tuple[float, float, float]:
    """Mean of one (S, method) minus another with its 95 % interval, paired by patch."""
    # Patches of different seeds are different, so every pair is a repetition of its own.
    table = values(cells, metric)
    return paired_ci(table[a].ravel(), table[b].ravel())


def pictures(
    case: Setting, rows: Mapping[str, tuple[int, str]], which: Sequence[int], seed: int = 0
) -> dict[str, NDArray]:
    """Test patches, what was measured, the Wiener filter, and one sample for each (S, method)."""
    x0 = images("photos", "test", max(which) + 1, case.prior.shape[0])[list(which)]
    noise = [initial_noise(noise_seeds(seed, 0, len(x0), i), case.prior.shape) for i in (0, 1)]
    y = inverse.measure(case.operator, x0, case.sigma_y, noise[0])
    found = {"original": x0, "measured": y, "Wiener": posterior_mean(case, y)}
    used = {name: rules(case, S, 1.0)[method][0] for name, (S, method) in rows.items()}
    return found | {n: deblur(case, noise[1], rows[n][0], y, w) for n, w in used.items()}
