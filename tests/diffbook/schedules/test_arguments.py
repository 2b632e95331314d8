"""Nonsense for every argument of the public functions of `diffbook.schedules`."""

import numpy as np
from nonsense import case, table_tests

from diffbook.schedules import design, families, laws, levels, ouve

ENDS = {"eps_0": 1e-3, "eps_S": 2e-3}
RANGE = {"sigma_min": 0.01, "sigma_max": 50.0}
ALPHA_BAR = families.cosine(4)
SIGMA = families.log_linear(4, **RANGE)
LAM = np.array([4.0, 1.0, 0.3])
MEAN = np.array([0.5, 0.1, 0.2])
GRID = np.linspace(-2.0, 2.0, 9)
PROBLEM = design.make_problem(LAM)
LIMIT = design.limit_density(PROBLEM, 0.01, 50.0)

SIGNED_LOG = ("negative", "a logarithm has any sign")
MU = {"mu0_spectral": ("complex negative", "modes of the DFT are complex")}

CASES = [
    # levels
    case(levels.validate_alpha_bar, alpha_bar=ALPHA_BAR),
    case(levels.validate_sigma, sigma=SIGMA),
    case(levels.alpha_bar_to_sigma, alpha_bar=ALPHA_BAR),
    case(levels.sigma_to_alpha_bar, sigma=SIGMA),
    case(levels.alpha_bar_to_log_snr, alpha_bar=ALPHA_BAR),
    case(levels.log_snr_to_alpha_bar, {"log_snr": SIGNED_LOG}, log_snr=GRID),
    case(levels.sigma_range, **ENDS),
    case(levels.check_modes, lam=LAM, eta=0.5, process="vp"),
    case(levels.check_mean, MU, mu0_spectral=MEAN, d=3),
    case(levels.sigma_and_scale, schedule=ALPHA_BAR, process="vp"),
    case(levels.sigma_and_scale, schedule=SIGMA, process="ve"),
    # families
    case(families.match_ends, alpha_bar=ALPHA_BAR, **ENDS),
    case(families.linear_alpha_bar, S=4, **ENDS),
    case(families.ddpm_chain, T=10, beta_min=1e-3, beta_max=0.2),
    case(families.ddpm_respaced, S=4, T=10),
    case(families.cosine_chain, T=10, offset=0.008, max_beta=0.999),
    case(families.linear_beta, S=4, T=10, **ENDS),
    case(families.cosine, S=4, start=0.1, end=0.9, tau=1.0, **ENDS),
    case(
        families.sigmoid, {"start": ("negative", "the curve is cut where one likes")},
        S=4, start=-3.0, end=3.0, tau=1.0, **ENDS,
    ),
    case(
        families.edm, {"rho": ("negative", "it spends the steps at the noise end")},
        S=4, rho=7.0, **RANGE,
    ),
    case(families.log_linear, S=4, **RANGE),
    case(families.tangent, S=4, scale=1.0, **RANGE),
    case(
        families.constant_rate, {"log_sigma": SIGNED_LOG}, S=4, log_sigma=GRID, speed=1.0 + GRID**2
    ),
    case(families.align_your_steps, S=4, model="sd15", **RANGE),
    case(
        families.nearest_timesteps,
        alpha_bar=ALPHA_BAR, alpha_bar_train=families.ddpm_chain(50, 1e-3, 0.2),
    ),
    case(families.heuristics, S=4, **ENDS),
    # ouve
    case(ouve.ouve_kernel, t=GRID[5:], theta=2.0, sigma_min=0.1, sigma_max=1.0),
    case(ouve.ouve_sigma, t=GRID[5:], theta=2.0, sigma_min=0.1, sigma_max=1.0),
    # laws
    case(
        laws.kernel, {"log_sigma": SIGNED_LOG}, lam=LAM, log_sigma=GRID, solver="heun"
    ),
    case(
        laws.step_error, {"log_sigma": SIGNED_LOG},
        lam=LAM, log_sigma=GRID, density=np.full(9, 0.25), solver="ddpm",
    ),
    case(
        laws.optimal_density,
        lam=LAM, log_sigma=GRID, count=MEAN, solver="ddim", loss="kl", max_iter=50,
    ),
    case(laws.w2_law, lam=LAM, E=MEAN, S=np.array([10.0, 20.5]), **ENDS),
    case(
        laws.law_density,
        lam=LAM, log_sigma=GRID, S=5.0, gain=np.sqrt(LAM), count=LAM, solver="ddim", loss="kl", max_iter=5,
    ),
    # design
    case(design.objective_and_grad, problem=PROBLEM, sigma=SIGMA),
    case(design.objective, problem=PROBLEM, sigma=SIGMA),
    case(
        design.make_problem, MU,
        lam=LAM, loss="weighted", mu0_spectral=MEAN, weights=LAM, eta=0.5, process="ve", **ENDS,
    ),
    case(design.limit_density, problem=PROBLEM, sigma_0=0.01, sigma_S=50.0, m=41),
    case(design.step_density, problem=PROBLEM, sigma_0=0.01, sigma_S=50.0, S=4, m=41),
    case(design.limit_schedule, limit=LIMIT, S=4),
    case(
        design.design_schedule, MU,
        lam=LAM, S=4, loss="weighted", mu0_spectral=MEAN, weights=LAM, eta=0.5, process="vp",
        init=ALPHA_BAR, n_starts=2, rng=np.random.default_rng(0), max_iter=5, **ENDS,
    ),
    case(design.design_family, lam=LAM, steps=[2, 3]),
]  # fmt: skip
EXEMPT = {
    "Density": "a record that optimal_density makes",
    "ScheduleProblem": "a record that make_problem makes",
    "ScheduleDesign": "a record that design_schedule makes",
}


test_nonsense_is_refused_by_name, test_valid_calls_succeed, test_no_name_is_missing = table_tests(
    "diffbook.schedules", CASES, EXEMPT
)
