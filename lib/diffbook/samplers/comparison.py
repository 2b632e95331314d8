"""Schedules side by side under the Gaussian model: exact scores, and tables of them.

Everything here is closed form: no samples are drawn. The one exception is `sampled_z_scores`, which
asks whether samples that were drawn agree with the closed form.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._checks import choice, whole
from diffbook.priors import distances
from diffbook.priors.gaussian import GaussianPrior
from diffbook.samplers import unguided
from diffbook.samplers.transfer import transfer
from diffbook.schedules import design, families, levels
from diffbook.schedules.levels import Process

Array = NDArray[np.float64]


def score(
    lam: ArrayLike,
    schedule: ArrayLike,
    *,
    loss: design.Loss = "w2",
    eta: float = 0.0,
    process: Process = "vp",
    mu0_spectral: ArrayLike = 0.0,
) -> float:
    """Distance between data and sampler output: W2 (not squared) or KL in nats.

    Parameters
    ----------
    lam : array_like, shape (d,)
        Variances of the data's modes.
    schedule : array_like, shape (S + 1,)
        ``alpha_bar`` or ``sigma``, clean end first.
    loss : {"w2", "kl", "kl_reverse"}
        Which distance.
    eta, process
        Sampler, see `diffbook.samplers.transfer.transfer`.
    mu0_spectral : array_like, shape (d,)
        Mean of the data in the eigenbasis.
    """
    choice(loss, "loss", ("w2", "kl", "kl_reverse"))
    t = transfer(lam, schedule, eta=eta, process=process)
    error = t.mean_error(mu0_spectral)
    if loss == "w2":
        return distances.w2_spectral(t.lam, t.std, error)
    return distances.kl_spectral(t.lam, t.std, error, reverse=loss == "kl_reverse")


def compare(
    lam: ArrayLike,
    steps: Sequence[int],
    *,
    loss: design.Loss = "w2",
    eta: float = 0.0,
    mu0_spectral: ArrayLike = 0.0,
    eps_0: float = levels.EPS_0,
    eps_S: float = levels.EPS_S,
) -> tuple[dict[str, Array], dict[int, design.ScheduleDesign]]:
    """Scores of the optimal schedule, the fixed point and all heuristics.

    Parameters
    ----------
    lam : array_like, shape (d,)
        Variances of the data's modes.
    steps : sequence of int
        Step counts, increasing.
    loss, eta, mu0_spectral, eps_0, eps_S
        As in `score` and `diffbook.schedules.design.design_schedule`.

    Returns
    -------
    scores : dict of str to ndarray, shape (len(steps),)
        ``spectral W2`` or ``spectral KL`` first.
    designs : dict of int to ScheduleDesign
        The optimal schedules.
    """
    ends = {"eps_0": eps_0, "eps_S": eps_S}
    mu = None if np.ndim(mu0_spectral) == 0 and mu0_spectral == 0 else mu0_spectral
    kwargs = {"loss": loss, "eta": eta, "mu0_spectral": mu, **ends}
    designs = design.design_family(lam, steps, **kwargs)
    problem, sigmas = design.make_problem(lam, **kwargs), levels.sigma_range(**ends)
    scores: dict[str, list[float]] = {}
    for S in steps:
        fixed = design.limit_schedule(design.step_density(problem, *sigmas, S), S)
        candidates = {
            "spectral W2" if loss == "w2" else "spectral KL": designs[S].schedule,
            "fixed point": levels.sigma_to_alpha_bar(fixed),
            **families.heuristics(S, **ends),
        }
        for name, alpha_bar in candidates.items():
            value = score(lam, alpha_bar, loss=loss, eta=eta, mu0_spectral=mu0_spectral)
            scores.setdefault(name, []).append(value)
    return {name: np.array(values) for name, values in scores.items()}, designs


def sampled_z_scores(
    prior: GaussianPrior,
    schedule: ArrayLike,
    n: int,
    rng: np.random.Generator,
    *,
    process: Process = "vp",
    eta: float = 0.0,
) -> tuple[Array, Array]:
    """Run a sampler on the prior's optimal denoiser and standardise what comes out.

    Parameters
    ----------
    prior : GaussianPrior
        The data.
    schedule : array_like, shape (S + 1,)
        ``alpha_bar`` or ``sigma``, clean end first.
    n : int
        Number of samples.
    rng : numpy.random.Generator
        Source of all noise.
    process, eta
        Sampler, see `diffbook.samplers.unguided.ddim`.

    Returns
    -------
    z_mean, z_var : ndarray
        Standard normal if `transfer` predicts the output, mode by mode: means (real and imaginary
        parts where the basis is complex), and variances.
    """
    predicted = transfer(prior.lam, schedule, eta=eta, process=process)
    scale = 1.0 if process == "vp" else schedule[-1]
    x_T = scale * rng.standard_normal((whole(n, "n"), *prior.shape))
    result = unguided.ddim(
        prior.denoise if process == "vp" else prior.denoise_ve,
        x_T,
        schedule,
        process=process,
        eta=eta,
        noise=lambda s, x: rng.standard_normal(x.shape),
    )
    std, modes = predicted.std, prior.to_spectral(result.sample).reshape(n, -1)
    error = modes - predicted.D2 * prior.mu0_spectral.ravel()
    # A complex mode spreads its variance over two parts, which halves the sampling variance of
    # its power; the modes that are their own mirror image (DC, Nyquist) are real.
    real = np.all(np.abs(error.imag) < 1e-9 * std, axis=0) if np.iscomplexobj(error) else True
    parts = np.where(real, 1.0, 2.0)
    z_var = (np.mean(np.abs(error) ** 2, axis=0) / std**2 - 1.0) / np.sqrt(2.0 / (parts * n))
    z_mean = np.mean(error, axis=0) / (std / np.sqrt(parts * n))
    imaginary = z_mean.imag[parts > 1.0] if np.iscomplexobj(z_mean) else np.zeros(0)
    return np.concatenate([z_mean.real, imaginary]), z_var
