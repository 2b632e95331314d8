"""Nonsense for every argument of the public functions for coupled modes."""

from __future__ import annotations

from functools import partial

import numpy as np
from block_cases import AB, WEIGHTS, lorentzian
from nonsense import case, table_tests

from diffbook.inverse.blocks import chain, design, gains
from diffbook.inverse.blocks import problem as blocks

RNG = np.random.default_rng(0)
PRIOR = lorentzian(8)
H = np.eye(8)[[0, 2, 3]]
P, REAL = blocks.from_downsampling(PRIOR, 2, None, 0.1), blocks.from_matrix(PRIOR, H, 0.1)
CHAIN = chain.Chain(P, AB)
TRANSFER = np.array([1.0, 0.5, 0.2, 0.1, 0.05, 0.1, 0.2, 0.5])

SIGN = ("negative", "of any sign")
PHASE = ("complex negative", "of any phase")
OVERFLOW = ("complex nan inf negative", "products of a diverging sampler; complex modes")

on_problem = partial(case, problem=P, alpha_bar=AB)

CASES = [
    # problem
    case(
        blocks.BlockProblem, {"H": PHASE, "mu0": PHASE},
        lam=REAL.lam, H=REAL.H, mu0=REAL.mu0, sigma_y=0.1, count=REAL.count, modes=REAL.modes,
    ),
    case(P.slope, alpha_bar_t=0.5),
    case(P.var_x0, alpha_bar_t=0.5),
    case(blocks.adjoint, {"A": ("complex nan inf negative empty", "any batch of matrices")}, A=H),
    case(blocks.from_blur, {"transfer": PHASE}, prior=PRIOR, transfer=TRANSFER, sigma_y=0.1),
    case(
        blocks.from_downsampling, {"transfer": PHASE},
        prior=PRIOR, factor=2, transfer=TRANSFER, sigma_y=0.1,
    ),
    case(blocks.real_basis, prior=PRIOR),
    case(blocks.from_matrix, {"H": SIGN}, prior=PRIOR, H=H, sigma_y=0.1),
    case(blocks.merged, problem=P),
    # gains
    on_problem(gains.prior, eta=0.5),
    on_problem(gains.ideal, eta=0.5),
    on_problem(gains.dps, weights=WEIGHTS, eta=0.5),
    on_problem(gains.pigdm, weights=WEIGHTS, eta=0.5),
    on_problem(gains.diffpir, weights=WEIGHTS, zeta=0.5),
    on_problem(gains.ddnm, eta=0.5, rcond=0.1),
    on_problem(gains.slopes),
    on_problem(gains.dps_family),
    on_problem(gains.pigdm_family),
    on_problem(gains.diffpir_family, b=WEIGHTS[:, None]),
    case(gains.inner, {"A": OVERFLOW, "B": OVERFLOW}, problem=REAL, A=REAL.H, B=REAL.H),
    on_problem(gains.compose, gains=gains.dps(P, AB, WEIGHTS)),
    # chain
    on_problem(chain.Chain, method="pigdm", eta=0.5),
    case(CHAIN.value, weights=WEIGHTS),
    case(CHAIN.value_and_grad, weights=WEIGHTS),
    case(CHAIN.bound, cap="stability"),
    case(CHAIN.normalised, zeta_prime=0.5),
    # design
    on_problem(design.best_normalised, eta=0.5),
    on_problem(
        design.design_weights, method="dps", eta=0.5, cap="stability", tikhonov=0.1, n_random=1,
        rng=RNG, max_iter=2,
    ),
    on_problem(design.state_power, weights=WEIGHTS, eta=0.5),
    on_problem(design.trimmed, weights=WEIGHTS, slack=1.1, eta=0.5),
]  # fmt: skip
EXEMPT = {
    "Gains": "a record that gains make",
    "Family": "a record that families make",
    "BlockTransfer": "a record that compose makes",
}


test_nonsense_is_refused_by_name, test_valid_calls_succeed, test_no_name_is_missing = table_tests(
    "diffbook.inverse.blocks", CASES, EXEMPT
)
