"""Zero-shot posterior sampling where modes couple: super-resolution and general matrices.

`diffbook.posterior` treats one frequency at a time. Downsampling by a factor f couples the f
frequencies (f^2 in two dimensions) that fall onto each other, and sees one number of each such
group; a mask couples everything. All are independent blocks of g modes in which the prior
covariance is diagonal, with q measured numbers each (`BlockProblem`): g = q = 1 for a blur, q = 1
for downsampling, one block for a matrix. Scalars become small matrices, multiplied in batches:

    x_{s-1} = a_s x_s + b_s x0_hat + Gam_s (y - H x0_hat) + noise,    Gam_s of shape (g, q),

and S such steps are ``D1 x_S + D2 mu0 + D3 y + noise``, Gaussian with covariance V given y. The
weights of DPS, PiGDM and DiffPIR are designed as in `diffbook.weights`, with the exact gradient of
the averaged Wasserstein distance, which here has a Bures term.

Sources: the setting and the averaged objective, Benita, Elad, Keshet 2026 (arXiv 2602.07715), for
circulant degradations; exact distances of guided samplers on Gaussian data, Pierret and Galerne
2025 (arXiv 2507.07008). The block form and its gradient are this book's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize, minimize_scalar

from diffbook.gaussian import GaussianPrior
from diffbook.schedules import alpha_bar_to_sigma, validate_alpha_bar
from diffbook.transfer import step_coefficients

Array = NDArray[np.float64]
Method = Literal["dps", "pigdm", "diffpir"]
Cap = Literal["no-overshoot", "stability"]

BOX = (-12.0, 4.0)
"""Range of ``log(weight / reference)`` in a design."""


# --- the problem ------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class BlockProblem:
    """An inverse problem as independent blocks of modes; made by the functions below.

    Parameters
    ----------
    lam : ndarray, shape (m, g)
        Prior variance of the g modes of every block, non-negative.
    H : ndarray, shape (m, q, g)
        Degradation of every block, real or complex.
    mu0 : ndarray, shape (m, g)
        Prior mean.
    sigma_y : float
        Standard deviation of the measurement's white noise, non-negative.
    count : ndarray, shape (m,)
        Number of blocks that each entry stands for.
    modes : ndarray of int, shape (m, g)
        Flat index, in the prior's eigenbasis, of every mode (of one of the blocks, if merged).

    Raises
    ------
    ValueError
        Naming the argument at fault.
    """

    lam: Array
    H: NDArray
    mu0: NDArray
    sigma_y: float
    count: Array
    modes: NDArray[np.int_]

    def __post_init__(self) -> None:
        lam, H = self.lam, self.H
        if lam.ndim != 2 or lam.size == 0 or not np.all(np.isfinite(lam)) or np.any(lam < 0):
            raise ValueError("lam must be (m, g), finite and non-negative")
        if H.ndim != 3 or (H.shape[0], H.shape[2]) != lam.shape or H.shape[1] == 0:
            raise ValueError(f"H must be (m, q, g) with (m, g) = {lam.shape}, got {H.shape}")
        if not np.all(np.isfinite(H)):
            raise ValueError("H must be finite")
        if self.mu0.shape != lam.shape or not np.all(np.isfinite(self.mu0)):
            raise ValueError(f"mu0 must be finite, of shape {lam.shape}, got {self.mu0.shape}")
        if not np.isfinite(self.sigma_y) or self.sigma_y < 0:
            raise ValueError(f"sigma_y must be finite and non-negative, got {self.sigma_y!r}")
        if self.count.shape != lam.shape[:1] or not np.all(self.count > 0):
            raise ValueError(f"count must be positive, of shape {lam.shape[:1]}")
        if self.modes.shape != lam.shape:
            raise ValueError(f"modes must have shape {lam.shape}, got {self.modes.shape}")

    @property
    def d(self) -> int:
        """Number of modes, all blocks included."""
        return round(float(self.count.sum())) * self.lam.shape[1]

    @cached_property
    def S_y(self) -> NDArray:
        """Covariance of the measurement, ``H Lam H* + sigma_y^2 I``, (m, q, q)."""
        noise = self.sigma_y**2 * np.eye(self.H.shape[1])
        return (self.H * self.lam[:, None]) @ _adjoint(self.H) + noise

    @cached_property
    def K(self) -> NDArray:
        """Gain of the posterior mean ``mu0 + K (y - H mu0)``, (m, g, q)."""
        # The pseudo-inverse serves sigma_y = 0, where the measurement may be redundant.
        inverse = np.linalg.pinv(self.S_y, rcond=1e-15 * self.H.shape[1], hermitian=True)
        return self.lam[:, :, None] * (_adjoint(self.H) @ inverse)

    @cached_property
    def Sp(self) -> NDArray:
        """Posterior covariance, (m, g, g)."""
        # Joseph's form: a sum of two squares stays a covariance for small noise.
        rest = np.eye(self.lam.shape[1]) - self.K @ self.H
        spread = (rest * self.lam[:, None]) @ _adjoint(rest)
        return spread + self.sigma_y**2 * self.K @ _adjoint(self.K)

    @cached_property
    def root_p(self) -> NDArray:
        """Symmetric square root of the posterior covariance, (m, g, g)."""
        values, vectors = np.linalg.eigh(self.Sp)
        roots = np.sqrt(np.maximum(values, 0.0))
        return (vectors * roots[:, None]) @ _adjoint(vectors)

    @cached_property
    def svd(self) -> tuple[NDArray, Array, NDArray]:
        """Singular value decomposition of H, thin: (m, q, r), (m, r), (m, r, g)."""
        return np.linalg.svd(self.H, full_matrices=False)

    @property
    def mmse(self) -> float:
        """Smallest mean squared error, the trace of the posterior covariance."""
        return float(np.einsum("m,mii->", self.count, self.Sp.real))

    def slope(self, alpha_bar_t: float) -> Array:
        """Slope of the denoiser, ``w = sqrt(ab) lam / (ab lam + 1 - ab)``, (m, g)."""
        return _ratio(np.sqrt(alpha_bar_t) * self.lam, alpha_bar_t * self.lam + 1.0 - alpha_bar_t)

    def var_x0(self, alpha_bar_t: float) -> Array:
        """``Var(x0 | x_t) = lam (1 - ab) / (ab lam + 1 - ab)``, (m, g)."""
        return _ratio(self.lam * (1.0 - alpha_bar_t), alpha_bar_t * self.lam + 1.0 - alpha_bar_t)


def _adjoint(A: NDArray) -> NDArray:
    return np.conj(np.swapaxes(A, -1, -2))


def _ratio(a: ArrayLike, b: ArrayLike) -> NDArray:
    """Divide, with 0 where b = 0: a mode that is neither present nor measured."""
    a, b = np.broadcast_arrays(a, b)
    return np.divide(a, b, out=np.zeros(a.shape, np.result_type(a, b)), where=b > 0)


def _transfer(transfer: ArrayLike | None, prior: GaussianPrior) -> NDArray:
    if prior.basis is not None:
        raise ValueError("prior must be stationary (diagonal in the Fourier basis)")
    h = np.ones(prior.shape) if transfer is None else np.asarray(transfer)
    if h.shape != prior.shape or not np.all(np.isfinite(h)):
        raise ValueError(f"transfer must be finite, of shape {prior.shape}, got {h.shape}")
    return h


def from_blur(
    prior: GaussianPrior, transfer: ArrayLike | None = None, sigma_y: float = 0.1
) -> BlockProblem:
    """Blocks of one frequency (g = q = 1): a circular blur, or denoising without a transfer.

    Parameters
    ----------
    prior : GaussianPrior
        Stationary.
    transfer : array_like of the prior's shape, optional
        Transfer function in ``fftn`` order.
    sigma_y : float
        Standard deviation of the measurement noise.
    """
    h = _transfer(transfer, prior)
    d = prior.d
    return BlockProblem(
        prior.lam.reshape(d, 1), h.reshape(d, 1, 1), prior.mu0_spectral.reshape(d, 1),
        float(sigma_y), np.ones(d), np.arange(d)[:, None],
    )  # fmt: skip


def from_downsampling(
    prior: GaussianPrior,
    factor: int,
    transfer: ArrayLike | None = None,
    sigma_y: float = 0.1,
) -> BlockProblem:
    """Blocks of the frequencies that fall onto each other: circular blur, then every f-th sample.

    In unitary transforms the coarse frequency k measures ``f^(-n/2) sum_j h_j x_j`` over the f^n
    fine frequencies j with ``j = k`` modulo the coarse size, for n = 1 or 2 dimensions.

    Parameters
    ----------
    prior : GaussianPrior
        Stationary.
    factor : int
        Divides every size.
    transfer : array_like of the prior's shape, optional
        Transfer function of the blur before sampling, in ``fftn`` order.
    sigma_y : float
        Standard deviation of the measurement noise.

    Returns
    -------
    BlockProblem
        Block k belongs to the k-th (row-major) frequency of the coarse grid.
    """
    h = _transfer(transfer, prior)
    if isinstance(factor, bool) or not isinstance(factor, (int, np.integer)) or factor < 1:
        raise ValueError(f"factor must be an integer of at least 1, got {factor!r}")
    if any(n % factor for n in prior.shape):
        raise ValueError(f"factor must divide every size of {prior.shape}, got {factor}")
    n = len(prior.shape)
    split = [size for fine in prior.shape for size in (factor, fine // factor)]
    order = [*range(1, 2 * n, 2), *range(0, 2 * n, 2)]

    def grouped(values: NDArray) -> NDArray:
        return values.reshape(split).transpose(order).reshape(-1, factor**n)

    return BlockProblem(
        grouped(prior.lam),
        grouped(h)[:, None] / factor ** (n / 2),
        grouped(prior.mu0_spectral),
        float(sigma_y),
        np.ones(prior.d // factor**n),
        grouped(np.arange(prior.d)),
    )


def real_basis(prior: GaussianPrior) -> Array:
    """Real orthonormal eigenvectors of the prior covariance as columns (d, d), in the order of ``lam``.

    For a stationary prior they are those of the Hartley transform, ``cos + sin`` of the phase: a
    frequency and its mirror image have equal variance, so the real and the imaginary part of the
    complex wave may be mixed.
    """
    if prior.basis is not None:
        return prior.basis
    waves = np.fft.fftn(
        np.eye(prior.d).reshape(prior.d, *prior.shape),
        axes=tuple(range(1, len(prior.shape) + 1)),
        norm="ortho",
    ).reshape(prior.d, prior.d)
    return waves.real - waves.imag


def from_matrix(prior: GaussianPrior, H: ArrayLike, sigma_y: float = 0.1) -> BlockProblem:
    """One block of all modes: any real matrix, a mask for example.

    Parameters
    ----------
    prior : GaussianPrior
        Any.
    H : array_like, shape (q, d)
        Degradation of signals in row-major order, in the signal domain.
    sigma_y : float
        Standard deviation of the measurement noise.

    Returns
    -------
    BlockProblem
        In the basis of `real_basis`; measurements stay in the signal domain.
    """
    H = np.asarray(H, dtype=np.float64)
    if H.ndim != 2 or H.shape[1] != prior.d or len(H) == 0:
        raise ValueError(f"H must be (q, {prior.d}) for signals of {prior.shape}, got {H.shape}")
    basis = real_basis(prior)
    return BlockProblem(
        prior.lam.reshape(1, -1), (H @ basis)[None], prior.mu0.reshape(1, -1) @ basis,
        float(sigma_y), np.ones(1), np.arange(prior.d)[None],
    )  # fmt: skip


def mean_field_mask(prior: GaussianPrior, p_keep: float, sigma_y: float = 0.1) -> BlockProblem:
    """Surrogate of a random mask that decouples the frequencies: ``h = sqrt(p_keep)``.

    A mask M that keeps every sample with probability p has ``E[M^T M] = p I``, so the surrogate
    has the average gradient of the data term. It has not the mask's posterior (what is lost is
    spread evenly over all frequencies), nor its singular values (1, not ``sqrt(p)``): weights that
    are best for it may lie above the stability bound of a mask. `design_on_surrogate` measures what
    they lose.

    Parameters
    ----------
    prior : GaussianPrior
        Stationary.
    p_keep : float in (0, 1]
        Share of the samples that is kept.
    sigma_y : float
        Standard deviation of the measurement noise.
    """
    if not 0.0 < p_keep <= 1.0:
        raise ValueError(f"p_keep must lie in (0, 1], got {p_keep!r}")
    return from_blur(prior, np.full(prior.shape, np.sqrt(p_keep)), sigma_y)


def merged(problem: BlockProblem) -> BlockProblem:
    """Merge blocks with one measured number (q = 1) that are equal up to phases and order.

    Phases of H move into the modes, so that H becomes real and non-negative, and the modes of a
    block are sorted. A real signal has its blocks in pairs. All measures stay the same. Blocks
    with q > 1 are returned as they are.
    """
    if problem.H.shape[1] > 1:
        return problem
    modulus = np.abs(problem.H[:, 0])

    def rounded(values: NDArray, decimals: int = 12) -> NDArray:
        scale = max(float(np.abs(values).max()), np.finfo(float).tiny)
        return np.round(values / scale, decimals) + 0.0  # no -0

    keys = [rounded(problem.lam), rounded(modulus)]
    order = np.lexsort((rounded(np.abs(problem.mu0), 10), *keys), axis=-1)

    def sort(values: NDArray) -> NDArray:
        return np.take_along_axis(values, order, axis=1)

    mu0 = sort(problem.mu0 * np.exp(1j * np.angle(problem.H[:, 0])))
    # Only products of two means enter: a block and its complex conjugate are alike.
    first = np.argmax(np.abs(mu0.imag) > 1e-12 * (1e-300 + np.abs(mu0).max()), axis=1)
    sign = np.take_along_axis(mu0.imag, first[:, None], axis=1)
    mu0 = np.where(sign < 0, mu0.conj(), mu0)
    mean = rounded(mu0, 10)
    table = np.concatenate([sort(keys[0]), sort(keys[1]), mean.real, mean.imag], axis=1)
    _, at, group = np.unique(table, axis=0, return_index=True, return_inverse=True)
    return BlockProblem(
        sort(problem.lam)[at], sort(modulus)[at][:, None], mu0[at], problem.sigma_y,
        np.bincount(group.ravel(), problem.count), sort(problem.modes)[at],
    )  # fmt: skip


# --- samplers as gains ------------------------------------------------------------------------


class Gains(NamedTuple):
    """A sampler's steps; row ``s - 1`` is the step from s to s - 1.

    ``x_{s-1} = a x_s + b x0_hat + Gam (y - H x0_hat) + sqrt(C2) z`` with ``a``, ``b``, ``C2`` of
    shape (S,) and ``Gam`` (S, m, g, q), from ``x_S ~ N(0, I)``.
    """

    a: Array
    b: Array
    C2: Array
    Gam: NDArray


def _ddim(alpha_bar: ArrayLike, eta: float) -> tuple[Array, Array, Array]:
    if not 0.0 <= eta <= 1.0:
        raise ValueError(f"eta must lie in [0, 1] (0 is DDIM, 1 is DDPM), got {eta!r}")
    a, b, c = step_coefficients(_levels(alpha_bar), "vp", eta).T
    return a, b, c**2


def _fraction(alpha_bar: ArrayLike, f: float) -> tuple[Array, Array, Array]:
    """Coefficients when a fraction f of the predicted noise's variance is drawn afresh."""
    ab = _levels(alpha_bar)
    a = np.sqrt((1.0 - f) * (1.0 - ab[:-1]) / (1.0 - ab[1:]))
    return a, np.sqrt(ab[:-1]) - np.sqrt(ab[1:]) * a, f * (1.0 - ab[:-1])


def _levels(alpha_bar: ArrayLike) -> Array:
    return validate_alpha_bar(alpha_bar, allow_one=True)


def _weights(weights: ArrayLike, S: int, name: str = "weights") -> Array:
    weights = np.asarray(weights, dtype=np.float64)
    if weights.shape != (S,):
        raise ValueError(f"{name} must hold one weight per step, {S}, got shape {weights.shape}")
    if not np.all(np.isfinite(weights) & (weights >= 0.0)):
        raise ValueError(f"{name} must be finite and non-negative")
    return weights


def kappa(alpha_bar: ArrayLike) -> Array:
    """Increment of ``x_{s-1}`` per unit of guidance added to the score, ``b (1 - ab) / sqrt(ab)``, (S,)."""
    ab = _levels(alpha_bar)[1:]
    return _ddim(alpha_bar, 0.0)[1] * (1.0 - ab) / np.sqrt(ab)


def prior(problem: BlockProblem, alpha_bar: ArrayLike, *, eta: float = 0.0) -> Gains:
    """DDIM without guidance."""
    a, b, C2 = _ddim(alpha_bar, eta)
    m, q, g = problem.H.shape
    return Gains(a, b, C2, np.zeros((len(a), m, g, q)))


def ideal(problem: BlockProblem, alpha_bar: ArrayLike, *, eta: float = 0.0) -> Gains:
    """DDIM with the exact conditional denoiser, see `ideal_denoiser`."""
    a, b, C2 = _ddim(alpha_bar, eta)
    kalman = [_kalman(problem, ab) for ab in _levels(alpha_bar)[1:]]
    return Gains(a, b, C2, b[:, None, None, None] * np.stack(kalman))


def _kalman(problem: BlockProblem, ab: float) -> NDArray:
    """Gain of ``E[x0 | x_t, y]`` on the residual: condition N(x0_hat, V_t) on y."""
    return replace(problem, lam=problem.var_x0(ab)).K


def ideal_denoiser(problem: BlockProblem, alpha_bar_t: float) -> tuple[NDArray, NDArray, NDArray]:
    """Exact conditional denoiser ``E[x0 | x_t, y] = A_x x_t + A_mu mu0 + A_y y`` of every block.

    Returns
    -------
    A_x, A_mu : ndarray, shape (m, g, g)
    A_y : ndarray, shape (m, g, q)
    """
    if not 0.0 < alpha_bar_t < 1.0:
        raise ValueError(f"alpha_bar_t must lie in (0, 1), got {alpha_bar_t!r}")
    A_y = _kalman(problem, alpha_bar_t)
    rest = np.eye(problem.lam.shape[1]) - A_y @ problem.H
    w = problem.slope(alpha_bar_t)[:, None]
    return rest * w, rest * (1.0 - np.sqrt(alpha_bar_t) * w), A_y


def dps(
    problem: BlockProblem, alpha_bar: ArrayLike, weights: ArrayLike, *, eta: float = 0.0
) -> Gains:
    """Diffusion posterior sampling, ``Gam_s = 2 zeta_s W_s H*``.

    Source: Chung et al. 2023 (arXiv 2209.14687), with the weight of the squared norm.
    """
    return _gains(problem, _ddim(alpha_bar, eta), _dps(problem, alpha_bar), weights)


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
    return _gains(problem, _ddim(alpha_bar, eta), _pigdm(problem, alpha_bar), theta)


def pigdm_published(alpha_bar: ArrayLike) -> Array:
    """PiGDM's published weight ``sqrt(ab_s) (1 - ab_s)``, (S,)."""
    ab = _levels(alpha_bar)[1:]
    return np.sqrt(ab) * (1.0 - ab)


def diffpir(
    problem: BlockProblem, alpha_bar: ArrayLike, weights: ArrayLike, *, zeta: float = 0.1
) -> Gains:
    """DiffPIR, ``Gam_s = b_s H* (H H* + lambda_s sigma_y^2 / sigma_s^2)^-1``.

    `weights` are the ``lambda_s``, `zeta` the fraction of the noise that is drawn afresh.

    Source: Zhu et al. 2023 (arXiv 2305.08995), Algorithm 1.
    """
    if not 0.0 <= zeta <= 1.0:
        raise ValueError(f"zeta must lie in [0, 1], got {zeta!r}")
    coefficients = _fraction(alpha_bar, zeta)
    family = _diffpir(problem, alpha_bar, coefficients[1])
    return _gains(problem, coefficients, family, weights)


def ddnm(
    problem: BlockProblem, alpha_bar: ArrayLike, *, eta: float = 0.85, rcond: float = 1e-8
) -> Gains:
    """DDNM, ``Gam_s = sqrt(ab_{s-1}) H^+``.

    Source: Wang, Yu, Zhang 2023 (arXiv 2212.00490), Algorithm 1.
    """
    if not 0.0 <= eta <= 1.0:
        raise ValueError(f"eta must lie in [0, 1], got {eta!r}")
    coefficients = _fraction(alpha_bar, eta**2)
    s2 = problem.svd[1] ** 2
    inverse = _ratio(s2 > rcond**2 * s2.max(), s2)
    root = np.sqrt(_levels(alpha_bar)[:-1])
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


def _slopes(problem: BlockProblem, alpha_bar: ArrayLike) -> Array:
    return np.stack([problem.slope(ab) for ab in _levels(alpha_bar)[1:]])


def _dps(problem: BlockProblem, alpha_bar: ArrayLike) -> Family:
    W = _slopes(problem, alpha_bar)
    return _linear(W, np.full((len(W), *problem.svd[1].shape), 2.0))


def _pigdm(problem: BlockProblem, alpha_bar: ArrayLike) -> Family:
    W = _slopes(problem, alpha_bar)
    r2 = 1.0 - _levels(alpha_bar)[1:, None, None]
    return _linear(W, _ratio(1.0, r2 * problem.svd[1] ** 2 + problem.sigma_y**2))


def _diffpir(problem: BlockProblem, alpha_bar: ArrayLike, b: Array) -> Family:
    noise2 = (problem.sigma_y / alpha_bar_to_sigma(_levels(alpha_bar)[1:, None, None])) ** 2
    s2, b = problem.svd[1] ** 2, b[:, None, None]

    def filters(weights: Array) -> tuple[Array, Array]:
        f = _ratio(1.0, s2 + weights[:, None, None] * noise2)
        return b * f, -b * noise2 * f**2

    return Family(np.ones((len(b), *problem.lam.shape)), filters)


def _gains(
    problem: BlockProblem,
    coefficients: tuple[Array, Array, Array],
    family: Family,
    weights: ArrayLike,
) -> Gains:
    U, s, Vh = problem.svd
    f, _ = family.filters(_weights(weights, len(family.L)))
    # H* U = V diag(s)
    Gam = family.L[..., None] * (_adjoint(Vh) @ ((f * s)[..., None] * _adjoint(U)))
    return Gains(*coefficients, Gam)


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
        return _squares(self.problem, self._miss)

    @property
    def _miss(self) -> NDArray:
        p = self.problem
        response = self.D2 + self.D3 @ p.H - np.eye(p.lam.shape[1])
        return response @ p.mu0[..., None]

    @property
    def gain(self) -> float:
        """Part from the response to y, ``tr (D3 - K) S_y (D3 - K)*``."""
        gap = self.D3 - self.problem.K
        return _inner(self.problem, gap @ self.problem.S_y, gap)

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
        random = _inner(p, p.H @ self.V, p.H)
        return _inner(p, rest @ p.S_y, rest) + random + _squares(p, p.H @ self._miss)


def _inner(problem: BlockProblem, A: NDArray, B: NDArray) -> float:
    """``Re tr A B*`` over all blocks."""
    return float(np.einsum("m,mij,mij->", problem.count, A, np.conj(B)).real)


def _squares(problem: BlockProblem, A: NDArray) -> float:
    return _inner(problem, A, A)


def compose(problem: BlockProblem, alpha_bar: ArrayLike, gains: Gains) -> BlockTransfer:
    """Multiply a sampler's steps out.

    Parameters
    ----------
    problem : BlockProblem
    alpha_bar : array_like, shape (S + 1,)
    gains : Gains
        Of the same problem and schedule.
    """
    ab = _levels(alpha_bar)
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
        V = G @ V @ _adjoint(G) + gains.C2[s - 1] * eye
    return BlockTransfer(problem, D1, D2, D3, V, not np.any(gains.C2))


# --- objective and gradient -------------------------------------------------------------------


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
        families = {"dps": _dps, "pigdm": _pigdm, "diffpir": _diffpir}
        if method not in families:
            raise ValueError(f"method must be one of {sorted(families)}, got {method!r}")
        ab = _levels(alpha_bar)
        a, b, _ = _ddim(ab, 0.0)
        self.problem, self.alpha_bar, self.method, self.S = problem, ab, method, len(a)
        self.ends = np.sqrt(ab[[0, -1]])
        self.family = families[method](problem, ab, *([b] if method == "diffpir" else []))
        self.W = _slopes(problem, ab)[..., None]
        self.keep = a[:, None, None, None] + b[:, None, None, None] * self.W
        U, s, Vh = problem.svd
        self.H = s[..., None] * Vh
        self.K = problem.K @ U
        self.S_y = _adjoint(U) @ problem.S_y @ U
        self.mean2 = problem.mu0[..., None] * np.conj(problem.mu0[:, None])
        if not np.iscomplexobj(problem.H):
            self.mean2 = self.mean2.real

    def value(self, weights: ArrayLike) -> float:
        """``E_y W2^2`` of the weights (S,)."""
        X, _ = self._forward(_weights(weights, self.S))
        return self._loss(X)[0]

    def value_and_grad(self, weights: ArrayLike) -> tuple[float, Array]:
        """``E_y W2^2`` and its gradient by the weights, both (S,)."""
        weights = _weights(weights, self.S)
        f, df = (v[..., None] for v in self.family.filters(weights))
        L, H = self.family.L[..., None], self.H
        Hh = _adjoint(H)
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
        L, Hh = self.family.L[..., None], _adjoint(self.H)
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
        value = _inner(p, miss_mean, miss) + _inner(p, weighted, gap) + _inner(p, D1, D1)
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
        if cap not in ("no-overshoot", "stability"):
            raise ValueError(f"cap must be 'no-overshoot' or 'stability', got {cap!r}")
        if self.method == "diffpir":
            return np.full(self.S, np.inf)
        unit = self.family.filters(np.ones(self.S))[0]
        largest = np.empty(self.S)
        for s in range(self.S):
            relative = _ratio(self.W[s] ** 2, self.keep[s] + (cap == "stability"))
            thin = np.sqrt(unit[s])[..., None] * self.H * np.sqrt(np.swapaxes(relative, 1, 2))
            largest[s] = np.linalg.norm(thin, ord=2, axis=(1, 2)).max() ** 2
        with np.errstate(divide="ignore"):
            return 1.0 / largest

    def normalised(self, zeta_prime: float) -> Array:
        """DPS's rule ``zeta'/|r_s|`` with ``|r_s|`` replaced by ``sqrt(E |r_s|^2)``, (S,)."""
        if not np.isfinite(zeta_prime) or zeta_prime < 0:
            raise ValueError(f"zeta_prime must be finite and non-negative, got {zeta_prime!r}")
        p, g = self.problem, self.H.shape[2]

        def rule(R: NDArray) -> float:
            R1, R3 = R[..., :g], R[..., g:]
            power = _inner(p, R1, R1) + _inner(p, R3 @ self.S_y, R3)
            power += self.ends[1] ** 2 * _inner(p, R1 @ self.mean2, R1)
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
            exact = _ratio(scale, self.problem.sigma_y**2 + (power @ V)[..., 0])
            weights[s] = _ratio(np.sum(weight * exact), np.sum(weight))
        return 0.5 * np.minimum(weights, self.bound("stability"))


# --- the design -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class BlockDesign:
    """Designed weights and the evidence for them.

    Parameters
    ----------
    weights : ndarray, shape (S,)
        Row ``s - 1`` for the step from s to s - 1.
    objective : float
        ``E_y W2^2`` (without the penalty).
    reference : ndarray, shape (S,)
        What the logarithms are relative to.
    starts : list of (str, float, ndarray)
        Every start's name, the objective it reached (without penalty) and its weights.
    n_iter, n_eval : int
        Iterations and evaluations, all starts together.
    """

    weights: Array
    objective: float
    reference: Array
    starts: list[tuple[str, float, Array]]
    n_iter: int
    n_eval: int


def best_normalised(problem: BlockProblem, alpha_bar: ArrayLike) -> tuple[float, float]:
    """Best ``zeta'`` of DPS's normalised rule by a one-dimensional search: (zeta', W2^2)."""
    return _best_normalised(Chain(merged(problem), alpha_bar))


def _best_normalised(chain: Chain) -> tuple[float, float]:
    def loss(x: float) -> float:
        return chain.value(chain.normalised(np.exp(x)))

    grid = np.linspace(np.log(1e-2), np.log(1e1), 13)
    i = int(np.clip(np.argmin([loss(x) for x in grid]), 1, len(grid) - 2))
    found = minimize_scalar(
        loss, bounds=(grid[i - 1], grid[i + 1]), method="bounded", options={"xatol": 1e-5}
    )
    return float(np.exp(found.x)), float(found.fun)


def design_weights(
    problem: BlockProblem,
    alpha_bar: ArrayLike,
    method: Method = "dps",
    *,
    cap: Cap | None = None,
    tikhonov: float = 0.0,
    starts: Mapping[str, ArrayLike] | None = None,
    n_random: int = 0,
    rng: np.random.Generator | None = None,
    max_iter: int = 500,
) -> BlockDesign:
    """Find the weights of a deterministic sampler nearest to the exact posterior on average.

    L-BFGS on ``log(weight / reference)`` within `BOX`, from several starts: the reference, for DPS
    the best normalised weights, those given, and random ones.

    Parameters
    ----------
    problem : BlockProblem
        Equal blocks are merged first.
    alpha_bar : array_like, shape (S + 1,)
        Schedule.
    method : {"dps", "pigdm", "diffpir"}
        With eta = 0 (zeta = 0).
    cap : {"no-overshoot", "stability"}, optional
        Upper bound of every weight, see `Chain.bound`.
    tikhonov : float
        Weight of the penalty ``sum log(weight / reference)^2``, in units of the objective.
    starts : mapping of str to array_like (S,), optional
        Starts in addition.
    n_random : int
        Random starts: every logarithm normal about the reference with standard deviation 1.5.
    rng : numpy.random.Generator, optional
        Needed for random starts.
    max_iter : int
        Iterations per start.

    Returns
    -------
    BlockDesign

    Raises
    ------
    ValueError
        Naming the argument at fault.
    """
    if cap not in (None, "no-overshoot", "stability"):
        raise ValueError(f"cap must be 'no-overshoot', 'stability' or None, got {cap!r}")
    if not np.isfinite(tikhonov) or tikhonov < 0:
        raise ValueError(f"tikhonov must be finite and non-negative, got {tikhonov!r}")
    if n_random > 0 and rng is None:
        raise ValueError("rng is needed for random starts")
    chain = Chain(merged(problem), alpha_bar, method)
    given = {name: _weights(w, chain.S, f"starts[{name!r}]") for name, w in (starts or {}).items()}
    reference = chain.reference()
    if not np.all(reference > 0):
        raise ValueError(
            "problem.H must see a mode of positive variance: there is nothing to guide"
        )
    high = np.full(chain.S, BOX[1])
    if cap is not None:
        high = np.clip(np.log(chain.bound(cap) / reference), BOX[0], high)
    # A start above the stability bound may have an astronomic objective.
    stable = np.clip(np.log(chain.bound("stability") / reference), BOX[0], high)

    candidates = {"reference": np.zeros(chain.S)}
    if method == "dps":
        best, _ = _best_normalised(chain)
        candidates["normalised"] = np.log(chain.normalised(best) / reference)
    for name, weights in given.items():
        candidates[name] = np.log(np.maximum(weights, 1e-300) / reference)
    for i in range(n_random):
        candidates[f"random {i}"] = 1.5 * rng.standard_normal(chain.S)

    def fun(x: Array) -> tuple[float, Array]:
        # The logarithm makes scipy's tests relative.
        weights = reference * np.exp(x)
        value, grad = chain.value_and_grad(weights)
        total = value + tikhonov * x @ x
        return np.log(total), (grad * weights + 2.0 * tikhonov * x) / total

    found, n_iter, n_eval = [], 0, 0
    for name, x in candidates.items():
        result = minimize(
            fun, np.clip(x, BOX[0], stable), jac=True, method="L-BFGS-B",
            bounds=[(BOX[0], float(b)) for b in high],
            options={"maxiter": max_iter, "maxcor": 20, "ftol": 1e-10, "gtol": 1e-6},
        )  # fmt: skip
        found.append((name, result.x, float(result.fun)))
        n_iter, n_eval = n_iter + result.nit, n_eval + result.nfev
    reached = [
        (name, chain.value(reference * np.exp(x)), reference * np.exp(x)) for name, x, _ in found
    ]
    _, objective, weights = reached[int(np.argmin([value for *_, value in found]))]
    return BlockDesign(weights, objective, reference, reached, n_iter, n_eval)


class SurrogateReport(NamedTuple):
    """What a design on a simpler problem costs on the true one.

    ``surrogate`` and ``exact`` are the two designs, ``on_surrogate`` is the objective that the
    surrogate promises for its weights, ``transferred`` what they reach on the true problem.
    """

    surrogate: BlockDesign
    exact: BlockDesign
    on_surrogate: float
    transferred: float

    @property
    def loss(self) -> float:
        """Relative loss of the surrogate's weights, ``transferred / exact.objective - 1``."""
        return self.transferred / self.exact.objective - 1.0


def design_on_surrogate(
    problem: BlockProblem,
    surrogate: BlockProblem,
    alpha_bar: ArrayLike,
    method: Method = "dps",
    **options: Any,
) -> SurrogateReport:
    """Design weights on a surrogate, evaluate them on the problem, and design there as well.

    Parameters
    ----------
    problem : BlockProblem
        What the weights are for, `from_matrix` of a mask for example.
    surrogate : BlockProblem
        Of the same signals, such as `mean_field_mask`.
    alpha_bar, method, **options
        As in `design_weights`. The surrogate's weights are one of the starts of the exact design,
        which therefore is never worse than them, unless it is capped or penalised.
    """
    if surrogate.d != problem.d:
        raise ValueError(f"surrogate must have {problem.d} modes like problem, got {surrogate.d}")
    simple = design_weights(surrogate, alpha_bar, method, **options)
    starts = {**(options.pop("starts", None) or {}), "surrogate": simple.weights}
    exact = design_weights(problem, alpha_bar, method, starts=starts, **options)
    reached = Chain(merged(problem), alpha_bar, method).value(simple.weights)
    return SurrogateReport(simple, exact, simple.objective, reached)
