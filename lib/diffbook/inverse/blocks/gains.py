"""Zero-shot posterior samplers where modes couple, as matrices, and their exact distances.

On a `diffbook.inverse.blocks.problem.BlockProblem` every method is

    x_{s-1} = a_s x_s + b_s x0_hat + Gam_s (y - H x0_hat) + noise,    Gam_s of shape (g, q),

and S such steps are ``D1 x_S + D2 mu0 + D3 y + noise``, Gaussian with covariance V given y: the
distance to the posterior has a Bures term. It is `diffbook.inverse.gains` and
`diffbook.inverse.filters.compose` with small matrices in the place of scalars.

Sources: the setting and the averaged distance, Benita, Elad, Keshet 2026 (arXiv 2602.07715), for
circulant degradations; exact distances of guided samplers on Gaussian data, Pierret and Galerne
2025 (arXiv 2507.07008). The block form is this book's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._checks import NON_NEGATIVE, real, reals
from diffbook.inverse.blocks.problem import BlockProblem, adjoint
from diffbook.inverse.gains import (
    check_weights,
    ddim_coefficients,
    fraction_coefficients,
    levels,
    pigdm_published,
)
from diffbook.inverse.problem import ratio
from diffbook.schedules.levels import validate_alpha_bar

Array = NDArray[np.float64]


# --- methods ----------------------------------------------------------------------------------


class Gains(NamedTuple):
    """A sampler's steps; row ``s - 1`` is the step from s to s - 1.

    ``x_{s-1} = a x_s + b x0_hat + Gam (y - H x0_hat) + sqrt(C2) z`` with ``a``, ``b``, ``C2`` of
    shape (S,) and ``Gam`` (S, m, g, q), from ``x_S ~ N(0, I)``.
    """

    a: Array
    b: Array
    C2: Array
    Gam: NDArray


def prior(problem: BlockProblem, alpha_bar: ArrayLike, *, eta: float = 0.0) -> Gains:
    """DDIM without guidance."""
    a, b, C2 = (v.ravel() for v in ddim_coefficients(alpha_bar, eta))
    m, q, g = problem.H.shape
    return Gains(a, b, C2, np.zeros((len(a), m, g, q)))


def ideal(problem: BlockProblem, alpha_bar: ArrayLike, *, eta: float = 0.0) -> Gains:
    """DDIM with the exact conditional denoiser ``E[x0 | x_s, y]``."""
    a, b, C2 = (v.ravel() for v in ddim_coefficients(alpha_bar, eta))
    kalman = [_kalman(problem, ab) for ab in levels(alpha_bar)[0].ravel()]
    return Gains(a, b, C2, b[:, None, None, None] * np.stack(kalman))


def _kalman(problem: BlockProblem, ab: float) -> NDArray:
    """Gain of ``E[x0 | x_t, y]`` on the residual: condition N(x0_hat, V_t) on y."""
    return replace(problem, lam=problem.var_x0(ab)).K


def dps(
    problem: BlockProblem, alpha_bar: ArrayLike, weights: ArrayLike, *, eta: float = 0.0
) -> Gains:
    """Diffusion posterior sampling, ``Gam_s = 2 zeta_s W_s H*``.

    Source: Chung et al. 2023 (arXiv 2209.14687), with the weight of the squared norm.
    """
    coefficients = ddim_coefficients(alpha_bar, eta)
    return _gains(problem, coefficients, dps_family(problem, alpha_bar), weights)


def pigdm(
    problem: BlockProblem,
    alpha_bar: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    eta: float = 0.0,
) -> Gains:
    """Pseudo-inverse guidance, ``Gam_s = theta_s W_s H* ((1 - ab_s) H H* + sigma_y^2)^-1``.

    Weights as published, ``sqrt(ab_s) (1 - ab_s)``, unless given.

    Source: Song, Vahdat, Mardani, Kautz 2023 (ICLR, "Pseudoinverse-guided diffusion models").
    """
    theta = pigdm_published(alpha_bar) if weights is None else weights
    coefficients = ddim_coefficients(alpha_bar, eta)
    return _gains(problem, coefficients, pigdm_family(problem, alpha_bar), theta)


def diffpir(
    problem: BlockProblem, alpha_bar: ArrayLike, weights: ArrayLike, *, zeta: float = 0.1
) -> Gains:
    """DiffPIR, ``Gam_s = b_s H* (H H* + lambda_s sigma_y^2 / sigma_s^2)^-1``.

    `weights` are the ``lambda_s``, `zeta` the fraction of the noise that is drawn afresh.

    Source: Zhu et al. 2023 (arXiv 2305.08995), Algorithm 1.
    """
    coefficients = fraction_coefficients(alpha_bar, real(zeta, "zeta", "[0, 1]"))
    family = diffpir_family(problem, alpha_bar, coefficients[1])
    return _gains(problem, coefficients, family, weights)


def ddnm(
    problem: BlockProblem, alpha_bar: ArrayLike, *, eta: float = 0.85, rcond: float = 1e-8
) -> Gains:
    """DDNM, ``Gam_s = sqrt(ab_{s-1}) H^+``.

    Source: Wang, Yu, Zhang 2023 (arXiv 2212.00490), Algorithm 1.
    """
    coefficients = fraction_coefficients(alpha_bar, real(eta, "eta", "[0, 1]") ** 2)
    s2, rcond = problem.svd[1] ** 2, real(rcond, "rcond", "[0, 1)")
    inverse = np.where(s2 > rcond**2 * s2.max(), ratio(1.0, s2), 0.0)
    root = np.sqrt(levels(alpha_bar)[1].ravel())
    family = _linear(np.ones((len(root), *problem.lam.shape)), inverse[None])
    return _gains(problem, coefficients, family, root)


class Family(NamedTuple):
    """Gains ``Gam_s = diag(L_s) H* U diag(f_s) U*`` of a method, U from the SVD of H.

    ``L`` (S, m, g); ``filters(weights)`` returns f (S, m, r) and its derivative by the weights.
    """

    L: Array
    filters: Callable[[Array], tuple[Array, Array]]


def _linear(L: Array, unit: Array) -> Family:
    return Family(L, lambda weights: (weights[:, None, None] * unit, unit))


def slopes(problem: BlockProblem, alpha_bar: ArrayLike) -> Array:
    """Slope of the denoiser before every step, (S, m, g)."""
    return np.stack([problem.slope(ab) for ab in levels(alpha_bar)[0].ravel()])


def dps_family(problem: BlockProblem, alpha_bar: ArrayLike) -> Family:
    """DPS: ``L = W`` and ``f = 2 zeta``."""
    W = slopes(problem, alpha_bar)
    return _linear(W, np.full((len(W), *problem.svd[1].shape), 2.0))


def pigdm_family(problem: BlockProblem, alpha_bar: ArrayLike) -> Family:
    """PiGDM: ``L = W`` and ``f = theta / ((1 - ab) s^2 + sigma_y^2)``, s the singular values of H."""
    W = slopes(problem, alpha_bar)
    r2 = 1.0 - levels(alpha_bar)[0][..., None]
    return _linear(W, ratio(1.0, r2 * problem.svd[1] ** 2 + problem.sigma_y**2))


def diffpir_family(problem: BlockProblem, alpha_bar: ArrayLike, b: Array) -> Family:
    """DiffPIR: ``L = 1`` and ``f = b / (s^2 + lambda sigma_y^2 / sigma^2)``; b is a column (S, 1)."""
    noise2 = (problem.sigma_y / levels(alpha_bar)[2][..., None]) ** 2
    s2 = problem.svd[1] ** 2
    b = reals(b, "b", NON_NEGATIVE, shape=(len(noise2), 1))[..., None]

    def filters(weights: Array) -> tuple[Array, Array]:
        f = ratio(1.0, s2 + weights[:, None, None] * noise2)
        return b * f, -b * noise2 * f**2

    return Family(np.ones((len(b), *problem.lam.shape)), filters)


def _gains(
    problem: BlockProblem,
    coefficients: tuple[Array, Array, Array],
    family: Family,
    weights: ArrayLike,
) -> Gains:
    """Fill in the weights (S,); the coefficients are columns (S, 1)."""
    U, s, Vh = problem.svd
    f, _ = family.filters(check_weights(weights, len(family.L)).ravel())
    # H* U = V diag(s)
    Gam = family.L[..., None] * (adjoint(Vh) @ ((f * s)[..., None] * adjoint(U)))
    a, b, C2 = (v.ravel() for v in coefficients)
    return Gains(a, b, C2, Gam)


# --- composition and measures -----------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class BlockTransfer:
    """Composition ``D1 x_S + D2 mu0 + D3 y + noise`` of a sampler and its distances.

    Parameters
    ----------
    problem : BlockProblem
    D1, D2 : ndarray, shape (m, g, g)
    D3 : ndarray, shape (m, g, q)
    V : ndarray, shape (m, g, g)
        Covariance of the output given y.
    deterministic : bool
        Whether no noise is drawn after ``x_S``, so that ``V = D1 D1*``.
    """

    problem: BlockProblem
    D1: NDArray
    D2: NDArray
    D3: NDArray
    V: NDArray
    deterministic: bool

    @property
    def bias(self) -> float:
        """Part of `w2_squared` from the prior mean, ``|(D2 + D3 H - I) mu0|^2``."""
        return inner(self.problem, self._miss, self._miss)

    @property
    def _miss(self) -> NDArray:
        p = self.problem
        response = self.D2 + self.D3 @ p.H - np.eye(p.lam.shape[1])
        return response @ p.mu0[..., None]

    @property
    def gain(self) -> float:
        """Part from the response to y, ``tr (D3 - K) S_y (D3 - K)*``."""
        gap = self.D3 - self.problem.K
        return inner(self.problem, gap @ self.problem.S_y, gap)

    @property
    def std(self) -> float:
        """Part from the randomness, ``tr V + tr Sp - 2 tr (Sp^1/2 V Sp^1/2)^1/2`` (Bures)."""
        p, root = self.problem, self.problem.root_p
        if self.deterministic:
            common = np.linalg.svd(root @ self.D1, compute_uv=False)
        else:
            common = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ self.V @ root), 0.0))
        return max(self.spread + p.mmse - 2.0 * float(p.count @ common.sum(axis=1)), 0.0)

    @property
    def spread(self) -> float:
        """Total variance of the output given y, ``tr V``."""
        return float(np.einsum("m,mii->", self.problem.count, self.V.real))

    @property
    def w2_squared(self) -> float:
        """``E_y W2^2`` between the sampler's conditional law and the posterior."""
        return self.bias + self.gain + self.std

    @property
    def mse(self) -> float:
        """``E |x0_hat - x0|^2``, summed over all modes."""
        return self.problem.mmse + self.bias + self.gain + self.spread

    @property
    def consistency(self) -> float:
        """``E |y - H x0_hat|^2``, summed over all measured numbers."""
        p = self.problem
        rest = np.eye(p.H.shape[1]) - p.H @ self.D3
        random, miss = inner(p, p.H @ self.V, p.H), p.H @ self._miss
        return inner(p, rest @ p.S_y, rest) + random + inner(p, miss, miss)


def inner(problem: BlockProblem, A: NDArray, B: NDArray) -> float:
    """``Re tr A B*`` over all blocks."""
    if A.shape != B.shape or A.shape[:1] != problem.count.shape:
        raise ValueError(f"A and B must be alike, one matrix a block, got {A.shape} and {B.shape}")
    return float(np.einsum("m,mij,mij->", problem.count, A, np.conj(B)).real)


def compose(problem: BlockProblem, alpha_bar: ArrayLike, gains: Gains) -> BlockTransfer:
    """Multiply a sampler's steps out.

    Parameters
    ----------
    problem : BlockProblem
    alpha_bar : array_like, shape (S + 1,)
    gains : Gains
        Of the same problem and schedule.
    """
    ab = validate_alpha_bar(alpha_bar, allow_one=True)
    m, q, g = problem.H.shape
    S = len(ab) - 1
    if gains.Gam.shape != (S, m, g, q):
        raise ValueError(f"gains.Gam must be {(S, m, g, q)}, got {gains.Gam.shape}")
    eye = np.eye(g)
    D1 = np.broadcast_to(eye, (m, g, g))
    V, D2, D3 = D1, np.zeros((m, g, g)), np.zeros((m, g, q))
    for s in range(S, 0, -1):
        Gam, w = gains.Gam[s - 1], problem.slope(ab[s])[:, None]
        B = gains.b[s - 1] * eye - Gam @ problem.H
        G = gains.a[s - 1] * eye + B * w
        D1, D3 = G @ D1, G @ D3 + Gam
        D2 = G @ D2 + B * (1.0 - np.sqrt(ab[s]) * w)
        V = G @ V @ adjoint(G) + gains.C2[s - 1] * eye
    return BlockTransfer(problem, D1, D2, D3, V, not np.any(gains.C2))
