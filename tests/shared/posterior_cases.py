"""The reference problems of `oracles_posterior` as the library's own objects."""

from __future__ import annotations

import numpy as np
import oracles_posterior as oracle
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from diffbook import inverse as ps
from diffbook.inverse import gains


def library(g: oracle.Setting) -> ps.Problem:
    return ps.make_problem(g.lam, g.h, g.sigma_y, g.mu0_spectral)


def setting(name: str, S: int):
    return library(oracle.problem(name)), oracle.schedule(S)


def w2(problem, ab, steps) -> float:
    return ps.compose(problem, ab, steps).w2_squared


FAST = settings(max_examples=60, deadline=None, derandomize=True)


ASYMMETRIC = (0.35, 0.4, 0.2, 0.05)


SMALL = {
    "odd": oracle.small(9, ASYMMETRIC),
    "even": oracle.small(10, ASYMMETRIC),
    "with a zero": oracle.small(10, (0.5, 0.5)),
    "denoising": oracle.small(8, (1.0,)),
}


CASES = {
    "prior": ("prior", {}),
    "ideal": ("ideal", {}),
    "ideal, eta 1": ("ideal", {"eta": 1.0}),
    "dps": ("dps", {}),
    "dps, eta 0.6": ("dps", {"eta": 0.6}),
    "dps, eta 1": ("dps", {"eta": 1.0}),
    "pigdm": ("pigdm", {}),
    "pigdm, eta 0.7": ("pigdm", {"eta": 0.7}),
    "diffpir": ("diffpir", {}),
    "diffpir, zeta 1": ("diffpir", {"zeta": 1.0}),
    "ddnm": ("ddnm", {}),
    "ddnm, eta 0": ("ddnm", {"eta": 0.0}),
    "ddnm_plus": ("ddnm_plus", {}),
    "ddnm_plus, eta 0": ("ddnm_plus", {"eta": 0.0}),
    "ddrm": ("ddrm", {}),
    "ddrm, eta_b 0.7": ("ddrm", {"eta": 0.5, "eta_b": 0.7}),
    "ald": ("ald", {}),
    "ald, eta 0.6": ("ald", {"eta": 0.6}),
    "mcg": ("mcg", {}),
    "mcg, eta 0.5": ("mcg", {"eta": 0.5}),
}


over_small = pytest.mark.parametrize("setting", SMALL)


over_cases = pytest.mark.parametrize("case", CASES)


def weights_of(method: str, S: int) -> dict:
    if method in ("prior", "ideal"):
        return {}
    return {"weights": np.exp(0.3 * np.random.default_rng(S).standard_normal(S))}


def steps_of(problem, ab, case: str) -> ps.Steps:
    method, options = CASES[case]
    return getattr(gains, method)(problem, ab, **weights_of(method, len(ab) - 1), **options)


def dense(g, ab, case: str) -> oracle.Matrices:
    method, options = CASES[case]
    return oracle.matrices(method, g, ab, **weights_of(method, len(ab) - 1), **options)


def fft(x):
    return np.fft.fft(x, norm="ortho")


def zero_or(low, high):
    return st.one_of(st.just(0.0), st.floats(low, high))


spectra = st.integers(1, 6).flatmap(
    lambda m: st.tuples(
        st.lists(zero_or(1e-6, 1e3), min_size=m, max_size=m),
        st.lists(zero_or(1e-6, 3.0), min_size=m, max_size=m),
        st.lists(st.floats(-6.0, 6.0), min_size=m, max_size=m),
    )
)


noises = zero_or(1e-3, 5.0)


LINEAR = ("dps", "pigdm", "ddnm", "ddnm_plus", "ddrm", "ald", "mcg")


OPTIONS = {
    "dps": {"eta": 0.3},
    "pigdm": {"eta": 0.3},
    "diffpir": {"zeta": 0.4},
    "ddnm": {"eta": 0.6},
    "ddnm_plus": {"eta": 0.6},
    "ddrm": {"eta": 0.6, "eta_b": 0.8},
    "ald": {"eta": 0.3},
    "mcg": {"eta": 0.3},
}


def step_gains(problem, ab, steps) -> np.ndarray:
    return np.stack([
        steps.P[s - 1] + steps.Q[s - 1] * problem.slope(ab[s]) for s in range(1, len(ab))
    ])  # fmt: skip
