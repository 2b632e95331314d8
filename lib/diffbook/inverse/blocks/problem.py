"""Inverse problems where modes couple: super-resolution and general matrices.

`diffbook.inverse.filters` treats one frequency at a time. Downsampling by a factor f couples the f
frequencies (f^2 in two dimensions) that fall onto each other, and sees one number of each such
group; a mask couples everything. All are independent blocks of g modes in which the prior
covariance is diagonal, with q measured numbers each (`BlockProblem`): g = q = 1 for a blur, q = 1
for downsampling, one block for a matrix. Scalars become small matrices, multiplied in batches.

The methods and their exact distances are in `diffbook.inverse.blocks.gains`, the gradient by the
guidance weights in `diffbook.inverse.blocks.chain`, their design in `diffbook.inverse.blocks.design`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._checks import NON_NEGATIVE, POSITIVE, complexes, real, reals, whole
from diffbook.inverse.problem import ratio
from diffbook.priors.gaussian import GaussianPrior

Array = NDArray[np.float64]


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
    """

    lam: Array
    H: NDArray
    mu0: NDArray
    sigma_y: float
    count: Array
    modes: NDArray[np.int_]

    def __post_init__(self) -> None:
        m, g = reals(self.lam, "lam", NON_NEGATIVE, ndim=2).shape
        complexes(self.H, "H", shape=(m, *np.shape(self.H)[1:2], g))
        complexes(self.mu0, "mu0", shape=(m, g))
        object.__setattr__(self, "sigma_y", real(self.sigma_y, "sigma_y", NON_NEGATIVE))
        reals(self.count, "count", POSITIVE, shape=(m,))
        reals(self.modes, "modes", NON_NEGATIVE, shape=(m, g))
        if self.modes.dtype.kind not in "iu":
            raise ValueError(f"modes must be whole numbers, got dtype {self.modes.dtype}")

    @property
    def d(self) -> int:
        """Number of modes, all blocks included."""
        return round(float(self.count.sum())) * self.lam.shape[1]

    @cached_property
    def S_y(self) -> NDArray:
        """Covariance of the measurement, ``H Lam H* + sigma_y^2 I``, (m, q, q)."""
        noise = self.sigma_y**2 * np.eye(self.H.shape[1])
        return (self.H * self.lam[:, None]) @ adjoint(self.H) + noise

    @cached_property
    def K(self) -> NDArray:
        """Gain of the posterior mean ``mu0 + K (y - H mu0)``, (m, g, q)."""
        # The pseudo-inverse serves sigma_y = 0, where the measurement may be redundant.
        inverse = np.linalg.pinv(self.S_y, rcond=1e-15 * self.H.shape[1], hermitian=True)
        return self.lam[:, :, None] * (adjoint(self.H) @ inverse)

    @cached_property
    def Sp(self) -> NDArray:
        """Posterior covariance, (m, g, g)."""
        # Joseph's form: a sum of two squares stays a covariance for small noise.
        rest = np.eye(self.lam.shape[1]) - self.K @ self.H
        spread = (rest * self.lam[:, None]) @ adjoint(rest)
        return spread + self.sigma_y**2 * self.K @ adjoint(self.K)

    @cached_property
    def root_p(self) -> NDArray:
        """Symmetric square root of the posterior covariance, (m, g, g)."""
        values, vectors = np.linalg.eigh(self.Sp)
        roots = np.sqrt(np.maximum(values, 0.0))
        return (vectors * roots[:, None]) @ adjoint(vectors)

    @cached_property
    def svd(self) -> tuple[NDArray, Array, NDArray]:
        """Thin singular value decomposition of H, (m, q, r), (m, r), (m, r, g)."""
        return np.linalg.svd(self.H, full_matrices=False)

    @property
    def mmse(self) -> float:
        """Smallest mean squared error, the trace of the posterior covariance."""
        return float(np.einsum("m,mii->", self.count, self.Sp.real))

    def slope(self, alpha_bar_t: float) -> Array:
        """Slope of the denoiser, ``w = sqrt(ab) lam / (ab lam + 1 - ab)``, (m, g)."""
        ab = real(alpha_bar_t, "alpha_bar_t", "[0, 1]")
        return ratio(np.sqrt(ab) * self.lam, ab * self.lam + 1.0 - ab)

    def var_x0(self, alpha_bar_t: float) -> Array:
        """``Var(x0 | x_t) = lam (1 - ab) / (ab lam + 1 - ab)``, (m, g)."""
        ab = real(alpha_bar_t, "alpha_bar_t", "[0, 1]")
        return ratio(self.lam * (1.0 - ab), ab * self.lam + 1.0 - ab)


def adjoint(A: NDArray) -> NDArray:
    """Conjugate transpose of every matrix of a batch (..., i, j)."""
    return np.conj(np.swapaxes(A, -1, -2))


def _transfer(transfer: ArrayLike | None, prior: GaussianPrior) -> NDArray:
    if prior.basis is not None:
        raise ValueError("prior must be stationary (diagonal in the Fourier basis)")
    transfer = np.ones(prior.shape) if transfer is None else transfer
    return complexes(transfer, "transfer", shape=prior.shape)


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
        sigma_y, np.ones(d), np.arange(d)[:, None],
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
    h, factor = _transfer(transfer, prior), whole(factor, "factor")
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
        sigma_y,
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
    H = reals(H, "H", shape=(*np.shape(H)[:1], prior.d))
    basis = real_basis(prior)
    return BlockProblem(
        prior.lam.reshape(1, -1), (H @ basis)[None], prior.mu0.reshape(1, -1) @ basis,
        sigma_y, np.ones(1), np.arange(prior.d)[None],
    )  # fmt: skip


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
