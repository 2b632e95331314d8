"""Closed-form prediction of W2 against Monte Carlo at equal accuracy.

Monte Carlo runs the DDIM sampler with the analytic denoiser on n noises and reads W2 off the
sample moments. It is given the eigenbasis, so that only 50 variances must be estimated, not a
covariance matrix. The number of samples is doubled until the relative error of W2 (root mean
square over independent repeats) is at most one per cent; the closed form has round-off only.
"""

from __future__ import annotations

import numpy as np

from benchmarks.timing import Report, Table, Target, median, seconds
from diffbook import schedules
from diffbook.priors.distances import w2_spectral
from diffbook.priors.gaussian import GaussianPrior
from diffbook.samplers.transfer import transfer
from diffbook.samplers.unguided import ddim
from diffbook.schedules.design import design_schedule

ACCURACY = 0.01


def closed_form(prior: GaussianPrior, alpha_bar: np.ndarray) -> float:
    """W2 of DDIM's output to the data, from the transfer function."""
    t = transfer(prior.lam, alpha_bar)
    return w2_spectral(prior.lam, t.std, t.mean_error(prior.mu0_spectral))


def monte_carlo(prior: GaussianPrior, alpha_bar: np.ndarray, n: int, seed: int) -> float:
    """The same from n samples of the sampler."""
    x_T = np.random.default_rng(seed).standard_normal((n, prior.d))
    modes = prior.to_spectral(ddim(prior.denoise, x_T, alpha_bar).sample)
    mean = modes.mean(axis=0)
    std = np.sqrt(np.mean(np.abs(modes - mean) ** 2, axis=0))
    return w2_spectral(prior.lam, std, mean - prior.mu0_spectral)


def equal_accuracy(prior, alpha_bar, n_max: int, repeats: int = 5) -> tuple[int, float, float]:
    """Samples needed for the accuracy, the error reached, and the seconds of one run."""
    exact, n = closed_form(prior, alpha_bar), 1000
    while True:
        runs = [
            seconds(lambda k=k, n=n: monte_carlo(prior, alpha_bar, n, 1000 + k))
            for k in range(repeats)
        ]
        error = float(np.sqrt(np.mean([(value / exact - 1.0) ** 2 for _, value in runs])))
        if error <= ACCURACY or n >= n_max:
            return n, error, median(elapsed for elapsed, _ in runs)
        n *= 2


def run(quick: bool = False) -> Report:
    """Compare both ways for easier and harder cases: the smaller W2, the more samples."""
    prior = GaussianPrior.ramp(mu0=0.05)
    table = Table(
        "Prediction of W2 to 1 %: closed form against Monte Carlo, ramp prior d = 50, DDIM",
        [
            "schedule",
            "S",
            "W2",
            "samples",
            "error",
            "Monte Carlo s",
            "closed form s",
            "times faster",
        ],
    )
    cases = [("linear beta", 5), ("linear beta", 10), ("W2-optimal", 10)]
    for name, S in cases[:2] if quick else cases:
        if name == "W2-optimal":
            alpha_bar = design_schedule(prior.lam, S).schedule
        else:
            alpha_bar = schedules.linear_beta(S)
        n, error, slow = equal_accuracy(prior, alpha_bar, n_max=4000 if quick else 512_000)
        fast = median(seconds(lambda ab=alpha_bar: closed_form(prior, ab))[0] for _ in range(101))
        exact = closed_form(prior, alpha_bar)
        table.add(name, S, exact, n, error, slow, fast, slow / fast)
    worst = min(table.column("times faster"))
    target = Target("closed-form prediction, times faster than Monte Carlo", worst, 100.0, True)
    return Report([table], [target])
