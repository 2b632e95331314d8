"""Averaged distance of guided samplers where modes couple, with its gradient by the weights.

What `diffbook.inverse.design` minimises one frequency at a time, for blocks of modes: the exact gradient
passes through the Bures term of `diffbook.inverse.blocks.gains`, and every step through thin products.

Source: the averaged objective, Benita, Elad, Keshet 2026 (arXiv 2602.07715), for circulant
degradations. The block form and its gradient are this book's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._checks import NON_NEGATIVE, choice, real
from diffbook.inverse.blocks.gains import diffpir_family, dps_family, inner, pigdm_family, slopes
from diffbook.inverse.blocks.problem import BlockProblem, adjoint
from diffbook.inverse.design import Cap
from diffbook.inverse.gains import check_weights, ddim_coefficients, kappa, pigdm_published
from diffbook.inverse.problem import ratio
from diffbook.schedules.levels import validate_alpha_bar

Array = NDArray[np.float64]
Method = Literal["dps", "pigdm", "diffpir"]


class Chain:
    """Averaged distance of a deterministic sampler and its gradient by the guidance weights.

    The responses to ``x_S`` and to y, side by side as ``X = [D1 | D3]``, and the residual's
    response ``R = [0 | I] - H W X`` obey ``X <- (a + b W) X + L H* f R``, in the coordinates of y in
    which ``H H*`` is diagonal. Only thin products with H occur, forward and backward.

    Parameters
    ----------
    problem : BlockProblem
    alpha_bar : array_like, shape (S + 1,)
    method : {"dps", "pigdm", "diffpir"}
        DiffPIR with ``zeta = 0``.
    """

    def __init__(self, problem: BlockProblem, alpha_bar: ArrayLike, method: Method = "dps") -> None:
        families = {"dps": dps_family, "pigdm": pigdm_family, "diffpir": diffpir_family}
        choice(method, "method", families)
        ab = validate_alpha_bar(alpha_bar, allow_one=True)
        a, b, _ = ddim_coefficients(ab, 0.0)
        self.problem, self.alpha_bar, self.method, self.S = problem, ab, method, len(a)
        self.ends = np.sqrt(ab[[0, -1]])
        self.family = families[method](problem, ab, *([b] if method == "diffpir" else []))
        self.W = slopes(problem, ab)[..., None]
        self.keep = a[..., None, None] + b[..., None, None] * self.W
        U, s, Vh = problem.svd
        self.H = s[..., None] * Vh
        self.K = problem.K @ U
        self.S_y = adjoint(U) @ problem.S_y @ U
        self.mean2 = problem.mu0[..., None] * np.conj(problem.mu0[:, None])
        if not np.iscomplexobj(problem.H):
            self.mean2 = self.mean2.real

    def value(self, weights: ArrayLike) -> float:
        """``E_y W2^2`` of the weights (S,)."""
        X, _ = self._forward(check_weights(weights, self.S).ravel())
        return self._loss(X)[0]

    def value_and_grad(self, weights: ArrayLike) -> tuple[float, Array]:
        """``E_y W2^2`` and its gradient by the weights, both (S,)."""
        weights = check_weights(weights, self.S).ravel()
        f, df = (v[..., None] for v in self.family.filters(weights))
        L, H = self.family.L[..., None], self.H
        Hh = adjoint(H)
        X, residuals = self._forward(weights)
        value, p = self._loss(X)
        grad = np.empty(self.S)
        for s in range(self.S):
            Z = H @ (L[s] * p)
            grad[s] = np.sum(df[s] * (np.conj(Z) * residuals[s]).real)
            p = self.keep[s] * p - self.W[s] * (Hh @ (f[s] * Z))
        return value, grad

    def _forward(
        self, weights: Array, rule: Callable[[NDArray], float] | None = None
    ) -> tuple[NDArray, list[NDArray]]:
        """Multiply the steps out; a rule may set each weight from the residual's response."""
        m, r, g = self.H.shape
        X = np.zeros((m, g, g + r), dtype=self.H.dtype)
        X[:, np.arange(g), np.arange(g)] = 1.0
        L, Hh = self.family.L[..., None], adjoint(self.H)
        f = self.family.filters(weights)[0]
        residuals: list[NDArray] = [X] * self.S
        for s in range(self.S - 1, -1, -1):
            R = -(self.H @ (self.W[s] * X))
            R[:, np.arange(r), g + np.arange(r)] += 1.0
            if rule is not None:
                weights[s] = rule(R)
                f = self.family.filters(weights)[0]
            X = self.keep[s] * X + L[s] * (Hh @ (f[s][..., None] * R))
            residuals[s] = R
        return X, residuals

    def _loss(self, X: NDArray) -> tuple[float, NDArray]:
        """Distance and its derivative by ``[D1 | D3]``."""
        p, g = self.problem, self.H.shape[2]
        D1, gap = X[..., :g], X[..., g:] - self.K
        # The mean identity sqrt(ab_S) D1 + D2 + D3 H = sqrt(ab_0) I leaves this of the bias.
        miss = (self.ends[0] - 1.0) * np.eye(g) - self.ends[1] * D1
        miss_mean = miss @ self.mean2
        U, s, Vh = np.linalg.svd(p.root_p @ D1)
        weighted = gap @ self.S_y
        value = inner(p, miss_mean, miss) + inner(p, weighted, gap) + inner(p, D1, D1)
        value += p.mmse - 2.0 * float(p.count @ s.sum(axis=1))
        # Derivative of the nuclear norm of A is the unitary factor of its polar decomposition.
        by_D1 = D1 - p.root_p @ (U @ Vh) - self.ends[1] * miss_mean
        return value, 2.0 * p.count[:, None, None] * np.concatenate([by_D1, weighted], axis=2)

    def bound(self, cap: Cap) -> Array:
        """Largest weights with ``G_s >= 0`` ("no-overshoot") or ``G_s >= -1`` ("stability"), (S,).

        For DPS and PiGDM ``G_s = a + b W - theta W H* f H W`` is symmetric, and the bound of theta is
        one over the largest eigenvalue of the guidance part relative to ``a + b W`` (``+ 1``).
        DiffPIR's G has the eigenvalues of a positive matrix for any weight: no bound.
        """
        choice(cap, "cap", ("no-overshoot", "stability"))
        if self.method == "diffpir":
            return np.full(self.S, np.inf)
        unit = self.family.filters(np.ones(self.S))[0]
        largest = np.empty(self.S)
        for s in range(self.S):
            relative = ratio(self.W[s] ** 2, self.keep[s] + (cap == "stability"))
            thin = np.sqrt(unit[s])[..., None] * self.H * np.sqrt(np.swapaxes(relative, 1, 2))
            largest[s] = np.linalg.norm(thin, ord=2, axis=(1, 2)).max() ** 2
        with np.errstate(divide="ignore"):
            return 1.0 / largest

    def normalised(self, zeta_prime: float) -> Array:
        """DPS's rule ``zeta'/|r_s|`` with ``|r_s|`` replaced by ``sqrt(E |r_s|^2)``, (S,)."""
        zeta_prime = real(zeta_prime, "zeta_prime", NON_NEGATIVE)
        p, g = self.problem, self.H.shape[2]

        def rule(R: NDArray) -> float:
            R1, R3 = R[..., :g], R[..., g:]
            power = inner(p, R1, R1) + inner(p, R3 @ self.S_y, R3)
            power += self.ends[1] ** 2 * inner(p, R1 @ self.mean2, R1)
            return zeta_prime / np.sqrt(power)

        weights = np.zeros(self.S)
        self._forward(weights, rule)
        return weights

    def reference(self) -> Array:
        """Weights near what the method's authors intend, which a design starts from, (S,).

        PiGDM: the published ones. DiffPIR: 1. DPS: the exact guidance has ``H V_s H* + sigma_y^2``
        where DPS has the number ``kappa_s / (2 zeta_s)``; this is its average over the measured
        numbers, weighted with their part in the residual, at most half the stability bound.
        """
        if self.method != "dps":
            published = self.method == "pigdm"
            return pigdm_published(self.alpha_bar) if published else np.ones(self.S)
        measured, power = self.problem.count[:, None], np.abs(self.H) ** 2
        measured = measured * np.einsum("mrr->mr", self.S_y).real
        weights = np.empty(self.S)
        for s, scale in enumerate(kappa(self.alpha_bar)):
            weight = measured * (power @ self.W[s] ** 2)[..., 0]
            V = self.problem.var_x0(self.alpha_bar[s + 1])[..., None]
            exact = ratio(scale, self.problem.sigma_y**2 + (power @ V)[..., 0])
            weights[s] = ratio(np.sum(weight * exact), np.sum(weight))
        return 0.5 * np.minimum(weights, self.bound("stability"))
