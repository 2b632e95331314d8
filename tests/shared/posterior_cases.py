"""The reference problems of `oracles_posterior` as the library's own objects."""

from __future__ import annotations

import oracles_posterior as oracle

from diffbook import inverse as ps


def library(g: oracle.Setting) -> ps.Problem:
    return ps.make_problem(g.lam, g.h, g.sigma_y, g.mu0_spectral)


def setting(name: str, S: int):
    return library(oracle.problem(name)), oracle.schedule(S)


def w2(problem, ab, steps) -> float:
    return ps.compose(problem, ab, steps).w2_squared
