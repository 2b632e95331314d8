"""Averaged distance of guided samplers where modes couple, with its gradient by the weights.

What `diffbook.inverse.design` minimises one frequency at a time, for blocks of modes: the exact gradient
passes through the Bures term of `diffbook.inverse.blocks.gains`, every step through thin products, and
fresh noise through a Cholesky factor of the covariance.

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
from diffbook.inverse.gains import (
    check_weights,
    ddim_coefficients,
    fraction_coefficients,
    kappa,
    pigdm_published,
)
from diffbook.inverse.problem import ratio
from diffbook.schedules.levels import validate_alpha_bar

Array = NDArray[np.float64]
Method = Literal["dps", "pigdm", "diffpir"]


class Chain:
    """Averaged distance of a sampler and its gradient by the guidance weights.

    The output given y has the covariance ``F F*`` and, per unit of y and of the prior mean, the
    responses D3 and ``D1 mu0``. Side by side, ``X = [F | D3 | D1 mu0]``, and with the residual's
    response ``R = [0 | I | 0] - H W X``, they obey ``X <- (a + b W) X + L H* f R``, in the
    coordinates of y in which ``H H*`` is diagonal: only thin products with H, forward and backward.
    Noise of variance ``c^2`` makes F the Cholesky factor of ``F F* + c^2 I``; without noise F = D1.

    Parameters
    ----------
    problem : BlockProblem
    alpha_bar : array_like, shape (S + 1,)
    method : {"dps", "pigdm", "diffpir"}
    eta : float in [0, 1]
        Fresh noise of DPS and PiGDM: 0 is DDIM, 1 is DDPM.
    zeta : float in [0, 1]
        Fraction of DiffPIR's noise that is drawn afresh.
    """

    def __init__(
        self, problem: BlockProblem, alpha_bar: ArrayLike, method: Method = "dps", *,
        eta: float = 0.0, zeta: float = 0.0,
    ) -> None:  # fmt: skip
        families = {"dps": dps_family, "pigdm": pigdm_family, "diffpir": diffpir_family}
        choice(method, "method", families)
        self.eta, zeta = real(eta, "eta", "[0, 1]"), real(zeta, "zeta", "[0, 1]")
        ab, proximal = validate_alpha_bar(alpha_bar, allow_one=True), method == "diffpir"
        if (self.eta if proximal else zeta) > 0.0:
            raise ValueError(f"{'eta' if proximal else 'zeta'} is no option of {method!r}")
        a, b, c2 = fraction_coefficients(ab, zeta) if proximal else ddim_coefficients(ab, self.eta)
        self.problem, self.alpha_bar, self.method, self.S = problem, ab, method, len(a)
        self.ends, self.noise = np.sqrt(ab[[0, -1]]), c2.ravel()
        self.family = families[method](problem, ab, *([b] if proximal else []))
        self.W = slopes(problem, ab)[..., None]
        self.keep = a[..., None, None] + b[..., None, None] * self.W
        U, s, Vh = problem.svd
        self.H = s[..., None] * Vh
        self.K = problem.K @ U
        self.S_y = adjoint(U) @ problem.S_y @ U
        # A real chain takes the real and the imaginary part of the mean as two columns.
        mean = [problem.mu0] if np.iscomplexobj(problem.H) else [problem.mu0.real, problem.mu0.imag]
        self.mean = np.stack(mean, axis=-1)[..., [bool(np.any(v)) for v in mean]]

    def value(self, weights: ArrayLike) -> float:
        """``E_y W2^2`` of the weights (S,)."""
        X, *_ = self._forward(check_weights(weights, self.S).ravel())
        return self._loss(X)[0]

    def value_and_grad(self, weights: ArrayLike) -> tuple[float, Array]:
        """``E_y W2^2`` and its gradient by the weights, both (S,)."""
        weights = check_weights(weights, self.S).ravel()
        f, df = (v[..., None] for v in self.family.filters(weights))
        L, H = self.family.L[..., None], self.H
        Hh, g = adjoint(H), H.shape[2]
        X, residuals, shares = self._forward(weights)
        value, p = self._loss(X)
        grad = np.empty(self.S)
        for s in range(self.S):
            if shares[s] is not None:
                p[..., :g] = p[..., :g] @ shares[s]
            Z = H @ (L[s] * p)
            grad[s] = np.sum(df[s] * (np.conj(Z) * residuals[s]).real)
            p = self.keep[s] * p - self.W[s] * (Hh @ (f[s] * Z))
        return value, grad

    def _start(self) -> NDArray:
        """Responses ``[I | 0 | mu0]`` before the first step, (m, g, g + r + mean)."""
        m, r, g = self.H.shape
        X = np.zeros((m, g, g + r + self.mean.shape[2]), dtype=self.H.dtype)
        X[:, np.arange(g), np.arange(g)] = 1.0
        X[..., g + r :] = self.mean
        return X

    def _residual(self, X: NDArray, s: int) -> NDArray:
        """Response of the residual in row s, ``[0 | I | 0] - H W X``."""
        _, r, g = self.H.shape
        R = -(self.H @ (self.W[s] * X))
        R[:, np.arange(r), g + np.arange(r)] += 1.0
        return R

    def _add_noise(self, X: NDArray, s: int) -> NDArray | None:
        """Put the fresh noise of row s into F, in place, and return ``F_new^-1 F_old``.

        A derivative P by F_new of what depends on ``F F*`` alone is ``P F_new^-1 F_old`` by F_old.
        """
        if self.noise[s] == 0.0:
            return None
        g = self.H.shape[2]
        old = X[..., :g].copy()
        gram = old @ adjoint(old)
        # Where a sampler diverges, the noise is below the rounding of the rest, which is added.
        size = np.einsum("mii->m", gram.real)[:, None, None]
        if not np.all(np.isfinite(size)):
            return None
        new = np.linalg.cholesky(gram + (self.noise[s] + np.finfo(float).eps * size) * np.eye(g))
        X[..., :g] = new
        return np.linalg.solve(new, old)

    def _forward(
        self, weights: Array, rule: Callable[[NDArray], float] | None = None
    ) -> tuple[NDArray, list[NDArray], list[NDArray | None]]:
        """Multiply the steps out; a rule may set each weight from the residual's response."""
        X, L, Hh = self._start(), self.family.L[..., None], adjoint(self.H)
        f = self.family.filters(weights)[0]
        residuals, shares = [X] * self.S, [None] * self.S
        for s in range(self.S - 1, -1, -1):
            R = residuals[s] = self._residual(X, s)
            if rule is not None:
                weights[s] = rule(R)
                f = self.family.filters(weights)[0]
            X = self.keep[s] * X + L[s] * (Hh @ (f[s][..., None] * R))
            shares[s] = self._add_noise(X, s)
        return X, residuals, shares

    def _loss(self, X: NDArray) -> tuple[float, NDArray]:
        """Distance and its derivative by ``[F | D3 | D1 mu0]``."""
        p, (_, r, g) = self.problem, self.H.shape
        if not np.all(np.isfinite(X)):
            return np.inf, np.zeros_like(X)
        F, gap = X[..., :g], X[..., g : g + r] - self.K
        # The mean identity sqrt(ab_S) D1 + D2 + D3 H = sqrt(ab_0) I leaves this of the bias.
        miss = (self.ends[0] - 1.0) * self.mean - self.ends[1] * X[..., g + r :]
        U, s, Vh = np.linalg.svd(p.root_p @ F)
        weighted = gap @ self.S_y
        value = inner(p, miss, miss) + inner(p, weighted, gap) + inner(p, F, F)
        value += p.mmse - 2.0 * float(p.count @ s.sum(axis=1))
        # Derivative of the nuclear norm of A is the unitary factor of its polar decomposition.
        by_F = F - p.root_p @ (U @ Vh)
        by_X = np.concatenate([by_F, weighted, -self.ends[1] * miss], axis=2)
        return value, 2.0 * p.count[:, None, None] * by_X

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
        p, (_, r, g) = self.problem, self.H.shape

        def rule(R: NDArray) -> float:
            random, R3, mean = R[..., :g], R[..., g : g + r], R[..., g + r :]
            power = inner(p, random, random) + inner(p, R3 @ self.S_y, R3)
            power += self.ends[1] ** 2 * inner(p, mean, mean)
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
        for s, scale in enumerate(kappa(self.alpha_bar, self.eta)):
            weight = measured * (power @ self.W[s] ** 2)[..., 0]
            V = self.problem.var_x0(self.alpha_bar[s + 1])[..., None]
            exact = ratio(scale, self.problem.sigma_y**2 + (power @ V)[..., 0])
            weights[s] = ratio(np.sum(weight * exact), np.sum(weight))
        return 0.5 * np.minimum(weights, self.bound("stability"))
