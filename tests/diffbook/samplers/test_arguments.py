"""Nonsense for every argument of the public functions of `diffbook.samplers`."""

import numpy as np
from nonsense import case, table_tests

from diffbook import samplers, schedules
from diffbook.priors.gaussian import GaussianPrior
from diffbook.samplers import comparison, transfer

PRIOR = GaussianPrior.ramp(4)
ALPHA_BAR = schedules.cosine(3)
SIGMA = schedules.alpha_bar_to_sigma(ALPHA_BAR)
X_T = samplers.initial_noise([0, 1], (4,))
MEAN = np.array([0.5, 0.1, 0.2, 0.1])
TRANSFER = transfer.transfer(PRIOR.lam, ALPHA_BAR)
NOISE = samplers.step_noise([0, 1])

START = {"x_T": ("negative", "noise has any sign")}
MU = {"mu0_spectral": ("complex negative", "modes of the DFT are complex")}
RUN = {"denoiser": PRIOR.denoise, "x_T": X_T, "schedule": ALPHA_BAR}

CASES = [
    # protocol
    case(samplers.initial_noise, seeds=[3, 4], shape=(2, 3)),
    case(samplers.step_noise, seeds=[3, 4]),
    case(samplers.check_state, START, x_T=X_T),
    case(
        samplers.walk, {**START, "schedule": ("negative", "levels are in the denoiser's terms")},
        sampler=samplers.Sampler(lambda x: x, lambda s, x, ask, draw: (ask(s, x), x)),
        denoiser=lambda x, level: x, x_T=X_T, schedule=ALPHA_BAR,
    ),
    # samplers
    case(samplers.ddim, START, process="vp", eta=0.5, noise=NOISE, **RUN),
    case(samplers.ddpm, START, process="vp", noise=NOISE, **RUN),
    case(samplers.heun, START, process="vp", **RUN),
    case(samplers.dpmpp_2m, START, process="vp", **RUN),
    # adapters
    case(
        samplers.clipped,
        {"low": ("negative", "any range"), "high": ("inf", "one side may stay open")},
        denoiser=PRIOR.denoise, low=-1.0, high=1.0,
    ),
    case(samplers.at_timesteps, model=PRIOR.denoise, alpha_bar_train=ALPHA_BAR),
    # transfer functions
    case(TRANSFER.mean_error, MU, mu0_spectral=MEAN),
    case(
        TRANSFER.output_gaussian,
        {**MU, "basis": ("complex negative", "the DFT is a complex basis")},
        mu0_spectral=MEAN, basis=np.eye(4),
    ),
    case(transfer.step_coefficients, schedule=ALPHA_BAR, process="vp", eta=0.5),
    case(transfer.transfer, lam=PRIOR.lam, schedule=SIGMA, eta=0.5, process="ve"),
    case(transfer.ddim_gain, lam=PRIOR.lam, alpha_bar=ALPHA_BAR),
    case(transfer.flow_gain, lam=PRIOR.lam, alpha_bar=ALPHA_BAR),
    # comparison
    case(
        comparison.score, MU,
        lam=PRIOR.lam, schedule=ALPHA_BAR, loss="kl", eta=0.5, process="vp", mu0_spectral=MEAN,
    ),
    case(
        comparison.compare, MU,
        lam=PRIOR.lam, steps=[2, 3], loss="w2", eta=0.5, mu0_spectral=MEAN, eps_0=1e-3, eps_S=1e-3,
    ),
    case(
        comparison.sampled_z_scores,
        prior=PRIOR, schedule=SIGMA, n=3, rng=np.random.default_rng(0), process="ve", eta=0.5,
    ),
]  # fmt: skip
EXEMPT = {
    "Result": "a record that samplers make",
    "Sampler": "two functions",
    "Transfer": "a record that transfer makes",
    "ask": "one question of a walk: hands on what the walk holds",
    "same_shape": "looks at shapes only",
    "vp_from_ve": "takes a function",
    "x0_from_eps": "takes a function",
}


test_nonsense_is_refused_by_name, test_valid_calls_succeed, test_no_name_is_missing = table_tests(
    "diffbook.samplers", CASES, EXEMPT
)
