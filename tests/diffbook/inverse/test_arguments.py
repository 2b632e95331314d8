"""Nonsense for every argument of the public functions, module by module; blocks have their own table."""

from __future__ import annotations

import pkgutil
from functools import partial

import numpy as np
import pytest
import torch
from guided_cases import problem_prior
from nonsense import case, missing, table_tests

from diffbook import inverse
from diffbook.inverse import (
    design,
    exact,
    filters,
    gains,
    guidance,
    kernels,
    operators,
    published,
    rules,
)
from diffbook.inverse import problem as problems
from diffbook.samplers.protocol import step_noise

AB, WEIGHTS, RNG = np.array([1.0, 0.6, 0.2]), np.array([0.3, 0.2]), np.random.default_rng(0)
PRIOR = problem_prior((8,))
BLUR = operators.Blur.from_transfer(kernels.gaussian_transfer(8, 1.0, 0.5))
DOWN, MASK = operators.Downsampling(8, 2), operators.Mask(np.arange(8) % 3 > 0)
X, Z = RNG.standard_normal((2, 2, 8))
Y = BLUR.forward(X)
EVEN = np.array([1.0, 0.5, 0.2, 0.1, 0.05, 0.1, 0.2, 0.5])
P = problems.make_problem(PRIOR, BLUR.spectrum, 0.1)
REAL = problems.merged(P)
STEPS = gains.dps(P, AB, WEIGHTS)
RUN = guidance.prepare(PRIOR.denoise, X, AB, Y, BLUR, 0.1, None, None, False)
VJP = exact.gaussian_vjp(PRIOR)

SIGN = ("negative", "of any sign")
STATE = ("nan inf negative", "a diverging sampler shows as such")
PHASE = ("complex negative", "of any phase")
WHOLE_LINE = {"x": STATE, "y": STATE, "r": STATE, "u": STATE}

SAMPLER = {"alpha_bar": AB, "x_T": X, "y": Y, "operator": BLUR, "sigma_y": 0.1}
guided = partial(
    case, free={"x_T": SIGN, "y": SIGN}, denoiser=PRIOR.denoise, noise=step_noise([0, 1]), **SAMPLER
)
on_problem = partial(case, problem=P, alpha_bar=AB)
acting = partial(case, free=WHOLE_LINE)

CASES = [
    # kernels
    case(kernels.gaussian_kernel, std=1.5, ndim=1, radius=3),
    case(kernels.box_kernel, size=3, ndim=2),
    case(kernels.motion_kernel, {"angle": SIGN}, length=2.5, angle=30.0, size=5),
    case(kernels.gaussian_transfer, {"shift": SIGN}, shape=8, std=1.0, shift=0.5),
    case(kernels.signal_shape, shape=(6, 4)),
    # operators
    case(operators.Blur, {"spectrum": SIGN}, spectrum=EVEN),
    case(operators.Blur.from_kernel, {"kernel": SIGN}, kernel=np.ones(3), shape=(8,)),
    case(operators.Blur.from_transfer, {"h": SIGN}, h=EVEN),
    acting(BLUR.forward, x=X[0]),
    acting(BLUR.adjoint, y=Y[0]),
    acting(BLUR.to_coords, y=Y[0]),
    case(BLUR.from_coords, {"u": PHASE}, u=np.fft.fft(Y)),
    case(operators.Downsampling, shape=8, factor=2),
    acting(DOWN.forward, x=X[0]),
    acting(DOWN.adjoint, y=X[0, :4]),
    acting(DOWN.to_coords, y=X[0, :4]),
    case(DOWN.from_coords, u=np.fft.fft(X[0, :4])),
    case(operators.Mask, mask=MASK.mask),
    acting(MASK.forward, x=X[0]),
    acting(MASK.adjoint, y=X[0, :5]),
    acting(MASK.to_coords, y=X[0, :5]),
    acting(MASK.from_coords, u=X[0, :5]),
    case(operators.identity, shape=(6, 4)),
    case(operators.kept, op=BLUR, rcond=1e-8),
    acting(operators.solve, op=BLUR, r=Y[0], a=1.0, b=0.1),
    acting(operators.adjoint_solve, op=BLUR, r=Y[0], a=1.0, b=0.1),
    acting(operators.pinv, op=BLUR, y=Y[0], rcond=1e-8),
    acting(operators.to_range, op=BLUR, x=X[0], rcond=1e-8),
    acting(operators.from_range, op=MASK, u=X[0, :5], rcond=1e-8),
    case(operators.matrix, op=BLUR),
    case(
        operators.measure, {"x0": SIGN, "noise": SIGN}, op=BLUR, x0=X, sigma_y=0.1, noise=Z
    ),
    case(operators.check_measurement, {"y": SIGN}, op=BLUR, y=Y, sigma_y=0.1),
    case(
        operators.times,
        {"u": ("complex nan inf negative", STATE[1]), "gain": STATE},
        u=X[0], gain=EVEN,
    ),
    # problem
    case(P.slope, alpha_bar_t=0.5),
    case(P.var_x0, alpha_bar_t=AB[:, None]),
    case(P.mean_given, {"y": PHASE}, y=Y),
    case(problems.ratio, {"a": PHASE, "b": ("inf", "leaves nothing")}, a=EVEN, b=EVEN),
    case(
        problems.make_problem, {"h": PHASE, "mu0": PHASE},
        prior=PRIOR.lam, h=EVEN, sigma_y=0.1, mu0=EVEN,
    ),
    case(problems.merged, problem=P),
    case(problems.binned, problem=P, n_bins=4),
    # filters
    case(filters.compose(P, AB, STEPS).coverage, level=0.5),
    on_problem(filters.compose, steps=STEPS),
    on_problem(filters.run, {"x_S": PHASE, "y": PHASE}, steps=STEPS, x_S=X, y=Y),
    case(
        filters.posterior_prior, {"h": SIGN, "y": SIGN},
        prior=PRIOR, h=EVEN, sigma_y=0.1, y=Y[0],
    ),
    case(filters.distortion_perception, problem=P, points=5),
    # exact
    case(exact.conditional_denoiser, {"y": SIGN}, prior=PRIOR, operator=BLUR, y=Y, sigma_y=0.1),
    case(exact.gaussian_vjp, prior=PRIOR),
    # gains
    case(gains.levels, alpha_bar=AB),
    case(gains.ddim_coefficients, alpha_bar=AB, eta=0.5),
    case(gains.fraction_coefficients, alpha_bar=AB, fraction=0.5),
    case(gains.kappa, alpha_bar=AB, eta=0.5),
    case(gains.check_weights, weights=WEIGHTS, S=2),
    on_problem(gains.prior, eta=0.5),
    on_problem(gains.ideal, eta=0.5),
    on_problem(gains.dps, weights=WEIGHTS, eta=0.5),
    on_problem(gains.pigdm, weights=WEIGHTS, eta=0.5, r2=WEIGHTS),
    on_problem(gains.diffpir, weights=WEIGHTS, zeta=0.5),
    on_problem(gains.ddnm, weights=WEIGHTS, eta=0.5, rcond=0.1),
    on_problem(gains.ddnm_plus, weights=WEIGHTS, eta=0.5, rcond=0.1),
    on_problem(gains.ddrm, weights=WEIGHTS, eta=0.5, eta_b=0.5, rcond=0.1),
    on_problem(gains.ald, weights=WEIGHTS, eta=0.5),
    on_problem(gains.mcg, weights=WEIGHTS, eta=0.5, rcond=0.1),
    case(gains.pseudo_inverse, {"h": PHASE}, h=EVEN, rcond=0.1),
    case(gains.pigdm_published, alpha_bar=AB),
    # rules
    on_problem(rules.dps_normalised, zeta_prime=0.5, eta=0.5),
    on_problem(rules.dps_literal, eta=0.5),
    on_problem(rules.dps_annealed, eta=0.5),
    on_problem(rules.best_normalised, eta=0.5),
    on_problem(rules.best_constant, eta=0.5),
    case(rules.search, loss=lambda z: np.log(z) ** 2, low=0.1, high=10.0, n=5, xatol=0.1),
    on_problem(rules.reference, eta=0.5),
    on_problem(rules.affine, method=gains.dps, eta=0.5),
    on_problem(rules.stability_bound, eta=0.5),
    on_problem(rules.no_overshoot_bound, eta=0.5),
    # design
    case(design.recursion, problem=REAL, alpha_bar=AB, steps=gains.dps(REAL, AB, WEIGHTS)),
    case(
        design.value_and_adjoint,
        problem=REAL, recursion=design.recursion(REAL, AB, gains.dps(REAL, AB, WEIGHTS)),
    ),
    on_problem(design.objective_and_grad, weights=WEIGHTS, method="dps", eta=0.5),
    case(design.objective, method="diffpir", problem=REAL, alpha_bar=AB, options={}),
    case(design.check_search, cap="stability", tikhonov=0.1, n_random=1, rng=RNG, max_iter=2),
    on_problem(design.reference_weights, method="dps", eta=0.5),
    case(design.interpolate_weights, weights=WEIGHTS, alpha_bar=AB, onto=AB),
    on_problem(
        design.design_weights, method="dps", cap="stability", tikhonov=0.1, n_random=1, rng=RNG,
        n_bins=2, max_iter=2, eta=0.5,
    ),
    case(design.more_starts, reference=WEIGHTS, starts={"mine": WEIGHTS}, n_random=1, rng=RNG),
    case(
        design.descend, {"low": ("negative", "a logarithm")},
        evaluate=lambda w: (1.0 + w @ w, 2.0 * w), reference=WEIGHTS, starts={"one": np.zeros(2)},
        low=-3.0, high=np.full(2, 3.0), tikhonov=0.1, max_iter=2, ftol=1e-9,
    ),
    case(design.design_family, problem=P, schedules={2: AB}, method="dps", max_iter=2),
    # guidance
    case(
        RUN.z, {"x": ("complex nan inf negative empty", "handed on to the draw")},
        s=2, x=X, draw=lambda s, x: x,
    ),
    acting(RUN.residual, x=X),
    case(RUN.weights, weights=WEIGHTS),
    case(RUN.walk, step=lambda s, x, ask, draw: (x, ask(s, x))),
    guided(guidance.prepare, callback=None, keep_trajectory=False, eta=0.5, zeta=0.5),
    case(
        guidance.check_differentiable,
        {"x_T": ("complex nan inf negative empty", "only the kind of array is asked for")},
        x_T=X, vjp=VJP,
    ),
    acting(guidance.linearised, run=RUN, s=2, x=X, ask=lambda s, x: x, vjp=VJP),
    case(
        guidance.differentiated,
        denoiser=PRIOR.denoise, x=torch.tensor(X), alpha_bar_t=0.5,
    ),
    case(guidance.ddim_steps, run=RUN, eta=0.5),
    case(guidance.renoised_steps, run=RUN, fraction=0.5),
    # published
    guided(published.dps, weights=WEIGHTS, eta=0.5, vjp=VJP),
    case(published.normalised, zeta_prime=0.5),
    guided(published.pigdm, weights=WEIGHTS, r2=WEIGHTS, eta=0.5, vjp=VJP),
    guided(
        published.mcg, weights=WEIGHTS, eta=0.5, vjp=VJP, noise_y=step_noise([2, 3]), rcond=0.1
    ),
    guided(published.ald, weights=WEIGHTS, eta=0.5),
    guided(published.ddnm, weights=WEIGHTS, eta=0.5, rcond=0.1),
    guided(published.diffpir, weights=WEIGHTS, zeta=0.5),
    guided(published.ddnm_plus, weights=WEIGHTS, eta=0.5, rcond=0.1),
    guided(published.ddrm, weights=WEIGHTS, eta=0.5, eta_b=0.5, rcond=0.1),
    case(published.ideal, {"x_T": SIGN, "y": SIGN}, prior=PRIOR, eta=0.5,
         noise=step_noise([0, 1]), **SAMPLER),
]  # fmt: skip
EXEMPT = {
    "operators": dict.fromkeys(
        [
            "Degradation", "Degradation.forward", "Degradation.adjoint", "Degradation.to_coords",
            "Degradation.from_coords",
        ],
        "a protocol: what operators offer",
    ),
    "problem": {"Problem": "a record that make_problem makes"},
    "filters": {
        "Steps": "a record that gains make", "PosteriorTransfer": "a record that compose makes"
    },
    "design": {
        "Recursion": "a record that recursion makes", "WeightDesign": "a record that designs make"
    },
    "guidance": {"Run": "a record that prepare makes"},
}  # fmt: skip
MODULES = [
    m.name for m in pkgutil.iter_modules(inverse.__path__) if not (m.ispkg or m.name[0] == "_")
]


def module(one) -> str:
    return one.function.__module__.rpartition(".")[2]


test_nonsense_is_refused_by_name, test_valid_calls_succeed, _ = table_tests(
    "diffbook.inverse", CASES, EXEMPT
)


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_is_in_the_table(name):
    cases = [one for one in CASES if module(one) == name]
    assert missing(f"diffbook.inverse.{name}", cases, EXEMPT.get(name, {})) == set()
