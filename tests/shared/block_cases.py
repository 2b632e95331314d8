"""Inverse problems whose modes couple, as blocks and as dense matrices of the signal domain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from diffbook import schedules as sc
from diffbook.inverse.blocks import gains as bs
from diffbook.inverse.blocks import problem as bl
from diffbook.priors.gaussian import GaussianPrior

AB = sc.ddpm_respaced(6)
WEIGHTS = np.array([0.3, 0.05, 0.4, 0.1, 0.9, 0.2])


def lorentzian(d: int, mu0: bool = True) -> GaussianPrior:
    lam = 1.0 / (1.0 + (np.fft.fftfreq(d, 1.0 / d) / 3.0) ** 2)
    n = np.arange(d)
    mean = 0.05 + 0.3 * np.cos(2 * np.pi * n / d) if mu0 else 0.0
    return GaussianPrior.from_spectrum(lam / lam.mean(), mean)


def image_prior(shape=(4, 6)) -> GaussianPrior:
    mean = np.random.default_rng(3).standard_normal(shape)
    return replace(GaussianPrior.inverse_f(shape, beta=2.0), mu0=mean)


def gaussian_transfer(shape, std: float, shift: float = 0.7) -> np.ndarray:
    """Blur with a shift: complex, Hermitian, real at Nyquist."""
    x = [(np.arange(n) + n / 2) % n - n / 2 for n in shape]
    kernel = np.exp(-0.5 * sum((g - shift) ** 2 for g in np.meshgrid(*x, indexing="ij")) / std**2)
    return np.fft.fftn(kernel / kernel.sum())


def convolution_matrix(h: np.ndarray) -> np.ndarray:
    """Circular convolution written out entry by entry from the kernel."""
    kernel, shape = np.fft.ifftn(h).real, h.shape
    points = list(np.ndindex(*shape))
    return np.array(
        [
            [
                kernel[tuple((i - j) % n for i, j, n in zip(p, q, shape, strict=True))]
                for q in points
            ]
            for p in points
        ]
    )


def decimation_matrix(shape, factor: int) -> np.ndarray:
    keep = [i for i, p in enumerate(np.ndindex(*shape)) if all(v % factor == 0 for v in p)]
    return np.eye(int(np.prod(shape)))[keep]


def unitary(values: np.ndarray, shape) -> np.ndarray:
    axes = tuple(range(1, len(shape) + 1))
    return np.fft.fftn(values.reshape(-1, *shape), axes=axes, norm="ortho").reshape(len(values), -1)


class Case:
    """A block problem, the same problem as dense matrices, and the maps between them."""

    def __init__(self, prior, problem, H, coarse=None):
        self.prior, self.p, self.H = prior, problem, H
        self.cov, self.mu = prior.covariance(), prior.mu0.ravel()
        self.q, self.d = H.shape
        self.coarse = coarse

    def x_blocks(self, x):
        if self.coarse is None:
            flat = x @ bl.real_basis(self.prior)
        else:
            flat = unitary(x, self.prior.shape)
        return flat[:, self.p.modes]

    def y_blocks(self, y):
        if self.coarse is None:
            return y[:, None]
        return unitary(y, self.coarse)[..., None]

    def to_signal(self, z):
        """Signals (n, d) from block coordinates (n, m, g)."""
        flat = np.zeros((len(z), self.d), dtype=z.dtype)
        flat[:, self.p.modes] = z
        if self.coarse is None:
            return flat @ bl.real_basis(self.prior).T
        shape = self.prior.shape
        axes = tuple(range(1, len(shape) + 1))
        out = np.fft.ifftn(flat.reshape(-1, *shape), axes=axes, norm="ortho")
        assert np.abs(out.imag).max() < 1e-10
        return out.real.reshape(len(z), -1)

    def matrix(self, A, measured=False):
        """Signal-domain matrix of a block matrix (m, g, g), or (m, g, q) acting on y."""
        inputs = self.y_blocks(np.eye(self.q)) if measured else self.x_blocks(np.eye(self.d))
        return self.to_signal(np.einsum("mij,nmj->nmi", A, inputs)).T


def build(name: str) -> Case:
    rng = np.random.default_rng(5)
    if name == "blur":
        prior = lorentzian(9)
        h = gaussian_transfer((9,), 1.2)
        return Case(prior, bl.from_blur(prior, h, 0.2), convolution_matrix(h), (9,))
    if name == "sr":
        prior = lorentzian(12)
        h = gaussian_transfer((12,), 1.0)
        H = decimation_matrix((12,), 3) @ convolution_matrix(h)
        return Case(prior, bl.from_downsampling(prior, 3, h, 0.2), H, (4,))
    if name == "sr2d":
        prior = image_prior()
        h = gaussian_transfer((4, 6), 0.8)
        H = decimation_matrix((4, 6), 2) @ convolution_matrix(h)
        return Case(prior, bl.from_downsampling(prior, 2, h, 0.1), H, (2, 3))
    if name == "mask":
        prior = image_prior()
        H = np.eye(24)[np.sort(rng.permutation(24)[:13])]
        return Case(prior, bl.from_matrix(prior, H, 0.15), H)
    root = rng.standard_normal((7, 7))
    prior = GaussianPrior.from_covariance(root @ root.T / 7, rng.standard_normal(7))
    H = rng.standard_normal((4 if name == "wide" else 9, 7))
    return Case(prior, bl.from_matrix(prior, H, 0.3), H)


NAMES = ("blur", "sr", "sr2d", "mask", "wide", "tall")
CASES = {name: build(name) for name in NAMES}
over_cases = pytest.mark.parametrize("name", NAMES)
METHODS = {
    "prior": lambda p: bs.prior(p, AB, eta=0.4),
    "ideal": lambda p: bs.ideal(p, AB),
    "ideal eta": lambda p: bs.ideal(p, AB, eta=0.7),
    "dps": lambda p: bs.dps(p, AB, WEIGHTS),
    "dps eta": lambda p: bs.dps(p, AB, WEIGHTS, eta=1.0),
    "pigdm": lambda p: bs.pigdm(p, AB, WEIGHTS),
    "pigdm published": lambda p: bs.pigdm(p, AB),
    "diffpir": lambda p: bs.diffpir(p, AB, WEIGHTS, zeta=0.0),
    "diffpir zeta": lambda p: bs.diffpir(p, AB, 10 * WEIGHTS, zeta=0.3),
    "ddnm": lambda p: bs.ddnm(p, AB),
}
over_methods = pytest.mark.parametrize("method", METHODS)


def dense_step(method: str, case: Case, s: int):
    """``a, b, c2, gain, W, offset`` of a step, from the published formulas in the signal domain."""
    ab, low = AB[s], AB[s - 1]
    d, H, cov, sy2 = case.d, case.H, case.cov, case.p.sigma_y**2
    inverse = np.linalg.inv(ab * cov + (1 - ab) * np.eye(d))
    W, V = np.sqrt(ab) * cov @ inverse, (1 - ab) * cov @ inverse
    theta, HH, eye = WEIGHTS[s - 1], H @ H.T, np.eye(len(H))
    eta = {"prior": 0.4, "ideal eta": 0.7, "dps eta": 1.0}.get(method, 0.0)
    c2 = eta**2 * (1 - low) / (1 - ab) * (1 - ab / low)
    if method in ("diffpir zeta", "ddnm"):
        c2 = {"diffpir zeta": 0.3, "ddnm": 0.85**2}[method] * (1 - low)
    a = np.sqrt((1 - low - c2) / (1 - ab))
    b = np.sqrt(low) - np.sqrt(ab) * a
    if method == "prior":
        gain = np.zeros((d, len(H)))
    elif method.startswith("ideal"):
        gain = b * V @ H.T @ np.linalg.inv(H @ V @ H.T + sy2 * eye)
    elif method.startswith("dps"):
        gain = 2 * theta * W @ H.T
    elif method.startswith("pigdm"):
        theta = np.sqrt(ab) * (1 - ab) if method == "pigdm published" else theta
        gain = theta * W @ H.T @ np.linalg.inv((1 - ab) * HH + sy2 * eye)
    elif method.startswith("diffpir"):
        lam = theta * (10 if method == "diffpir zeta" else 1)
        gain = b * H.T @ np.linalg.inv(HH + lam * sy2 * ab / (1 - ab) * eye)
    else:
        gain = np.sqrt(low) * np.linalg.pinv(H)
    return a, b, c2, gain, W, case.mu - np.sqrt(ab) * W @ case.mu
