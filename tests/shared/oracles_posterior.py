"""Naive, independent versions of posterior sampling for Gaussian data.

Everything here works in the signal domain, with dense matrices, one step after the other, and
gradients by automatic differentiation, as the published algorithms are written down. Nothing is
imported from the library, so an error there cannot hide here. Signals are columns, ``(d, n)``.

Sources of the algorithms: Chung et al. 2023 (arXiv 2209.14687, DPS), Song et al. 2023 (ICLR, PiGDM),
Zhu et al. 2023 (arXiv 2305.08995, DiffPIR), Wang et al. 2023 (arXiv 2212.00490, DDNM and DDNM+),
Kawar et al. 2022 (arXiv 2201.11793, DDRM), Jalal et al. 2021 (arXiv 2108.01368, ALD), Chung et al.
2022 (arXiv 2206.00941, MCG).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import sqrtm

# --- reference values -------------------------------------------------------------------------

STEPS = (5, 10, 25, 50, 100)
COLUMNS = (
    "ideal", "ideal_1", "dps_0.3", "dps_1", "best_normalised", "best_constant", "dps_tuned",
    "pigdm_published", "pigdm_kappa", "pigdm_tuned", "ddnm_plus", "diffpir", "diffpir_tuned",
)  # fmt: skip
ROWS = """
A 5   2.15470   2.26861   52.1623 15.9825  6.60456  7.29689  6.00047  3.33326  2.74743   1.985  7.56004 2.30363  1.828
A 10  0.792580  1.03627   29.6870 4.26261  2.64485  3.37417  1.586    0.883217 0.863692  0.785  2.64434 1.15829  0.606
A 25  0.166012  0.349126  6.00143 0.895796 0.873594 1.09524  0.639    1.48678  0.313632  0.258  2.64506 0.900635 0.128
A 50  0.0463199 0.137004  1.54873 1.20044  0.647710 0.647481 0.578    4.02059  0.230732  0.116  3.68666 0.994736 0.106
A 100 0.0124644 0.0484064 0.612882 1.70191 0.607842 0.615734 0.528    8.94815  0.216718  0.061  5.42928 1.23946  0.082
B 5   2.66531   2.83287   42.6968 10.6874  3.46620  3.71329  3.02775  5.27297  4.53450   3.101  2.38175 2.39717  1.400
B 10  0.916014  1.25481   22.2295 2.10969  1.70624  2.10523  1.33454  2.27485  3.43081   1.361  1.40278 2.39407  0.344
B 25  0.176691  0.413667  1.15183 16.1764  1.02120  1.52590  0.597578 6.06797  3.00015   0.604  1.46027 3.56351  0.285
B 50  0.0480545 0.158585  6.92509 12.6324  0.868147 1.41480  0.421961 10.9714  2.95737   0.425  1.83556 4.66390  0.393
B 100 0.0130045 0.0542843 14.7827 16.7238  0.807066 1.37607  0.347442 16.3273  2.96248   0.349  2.62536 6.00691  0.473
C 5   2.40325   2.67520   53.3850 22.1374  15.6163  16.1343  14.0835  3.22426  3.32667   2.270  9.65918 3.17119  2.368
C 10  0.801328  1.19558   33.7210 10.7067  10.4216  11.2402  5.849    0.831776 0.804685  0.720  5.09506 1.29466  0.795
C 25  0.159314  0.384766  13.2719 7.65494  6.36871  7.09375  1.960    1.11384  0.169597  0.149  5.64839 0.578657 0.186
C 50  0.0452672 0.144887  6.40383 5.60570  4.20607  4.86985  1.488    3.12606  0.0596524 0.0509 8.07090 0.492925 0.0815
C 100 0.0127656 0.0494251 2.91452 4.21149  2.78653  3.18370  1.325    7.31929  0.0299243 0.0233 12.1343 0.604462 0.0525
"""
GOLDEN = {
    (row.split()[0], int(row.split()[1])): dict(
        zip(COLUMNS, map(float, row.split()[2:]), strict=True)
    )
    for row in ROWS.strip().splitlines()
}
"""``E_y W2^2`` of every method at every S; "tuned" columns are upper bounds of the optimum."""
BEST_ZETA = {
    "A": (2.14, 1.42, 0.979, 0.644, 0.320),
    "B": (1.80, 0.854, 0.326, 0.160, 0.079),
    "C": (1.76, 1.06, 0.625, 0.443, 0.313),
}
D_MIN = {"A": 6.51850, "B": 8.69525, "C": 9.73811}
P_MAX_A = 4.0374


# --- problems ---------------------------------------------------------------------------------


def schedule(S: int, T: int = 1000) -> np.ndarray:
    """Every (T/S)-th level of the chain with betas from 1e-4 to 0.02, and 1 at the clean end."""
    ab, product = [1.0], 1.0
    for t in range(T):
        product *= 1.0 - (1e-4 + t / (T - 1) * (0.02 - 1e-4))
        ab.append(product)
    return np.array([ab[s * T // S] for s in range(S + 1)])


def circulant(spectrum: np.ndarray) -> np.ndarray:
    """Real circulant matrix of a Hermitian spectrum, from its DFT matrix."""
    k = np.arange(len(spectrum))
    F = np.exp(-2j * np.pi * np.outer(k, k) / len(k)) / np.sqrt(len(k))
    return (F.conj().T @ np.diag(spectrum) @ F).real


def gaussian_blur(d: int, std: float, shift: float) -> np.ndarray:
    """Transfer function of a periodic Gaussian blur; real at the Nyquist frequency."""
    h = np.empty(d, complex)
    for i in range(d):
        k = i if i <= d // 2 else i - d
        h[i] = np.exp(-0.5 * (2 * np.pi * std * k / d) ** 2 - 2j * np.pi * shift * k / d)
        if 2 * i == d:
            h[i] = h[i].real
    return h


@dataclass(frozen=True)
class Setting:
    """An inverse problem, with spectra beside its matrices (for setting up the library)."""

    lam: np.ndarray
    h: np.ndarray
    sigma_y: float
    mu0: np.ndarray

    @property
    def d(self):
        return len(self.lam)

    @property
    def cov(self):
        return circulant(self.lam)

    @property
    def H(self):
        return circulant(self.h)

    @property
    def mu0_spectral(self):
        return np.fft.fft(self.mu0, norm="ortho")


def problem(name: str, d: int = 64) -> Setting:
    """Make one of the reference problems: A deblurring, B denoising, C severe deblurring."""
    k = np.abs(np.fft.fftfreq(d) * d)
    lam = 1.0 / (1.0 + (k / 3.0) ** 2)
    h, sigma_y = {
        "A": (gaussian_blur(d, 1.5, 0.7), 0.1),
        "B": (np.ones(d, complex), 0.5),
        "C": (gaussian_blur(d, 3.0, 0.7), 0.02),
    }[name]
    mu0 = 0.05 + 0.3 * np.cos(2 * np.pi * np.arange(d) / d)
    return Setting(lam / lam.mean(), h, sigma_y, mu0)


def small(d: int = 9, kernel: tuple[float, ...] = (0.35, 0.4, 0.2, 0.05)) -> Setting:
    """Make a small problem with an asymmetric kernel; 1, 1 has an exact zero where d is even."""
    lam = 0.2 + 2.0 / (1.0 + np.minimum(np.arange(d), d - np.arange(d)) ** 2)
    padded = np.zeros(d)
    padded[: len(kernel)] = kernel
    h = np.fft.fft(padded)
    h[np.abs(h) < 1e-12] = 0.0
    return Setting(lam, h, 0.3, 0.4 * np.sin(np.arange(d)) + 0.2)


# --- one step of every published algorithm ----------------------------------------------------


def coefficients(ab, s, eta):
    """DDIM's coefficients, as printed."""
    c2 = eta**2 * (1 - ab[s - 1]) / (1 - ab[s]) * (1 - ab[s] / ab[s - 1])
    a = np.sqrt(1 - ab[s - 1] - c2) / np.sqrt(1 - ab[s])
    return a, np.sqrt(ab[s - 1]) - np.sqrt(ab[s]) * a, np.sqrt(c2)


def denoise(x, ab, cov, mu0):
    """MMSE denoiser from the joint Gaussian of x0 and x, for numpy and torch columns."""
    lib = torch if isinstance(x, torch.Tensor) else np
    if lib is torch:
        cov, mu0 = torch.as_tensor(cov), torch.as_tensor(mu0)
    left = ab * cov + (1 - ab) * lib.eye(len(cov), dtype=lib.float64)
    return lib.linalg.solve(left, np.sqrt(ab) * cov @ x + (1 - ab) * mu0)


def squared_residual_grad(x, y, ab, g: Setting, mu0):
    """Gradient of ``|y - H x0_hat(x)|^2``, column by column, through the denoiser."""
    x = torch.tensor(x, requires_grad=True)
    r = torch.as_tensor(y) - torch.as_tensor(g.H) @ denoise(x, ab, g.cov, mu0)
    (grad,) = torch.autograd.grad((r**2).sum(), x)
    return grad.numpy()


def norm_grad(x, y, ab, g: Setting, mu0):
    """Gradient of ``|y - H x0_hat(x)|``, one norm for every column."""
    x = torch.tensor(x, requires_grad=True)
    r = torch.as_tensor(y) - torch.as_tensor(g.H) @ denoise(x, ab, g.cov, mu0)
    (grad,) = torch.autograd.grad(torch.linalg.norm(r, dim=0).sum(), x)
    return grad.numpy()


def jacobian_transposed(x, v, ab, g: Setting, mu0):
    """``J^T v`` of the denoiser, by automatic differentiation."""
    x = torch.tensor(x, requires_grad=True)
    answer = denoise(x, ab, g.cov, mu0)
    (product,) = torch.autograd.grad(answer, x, torch.as_tensor(v))
    return product.numpy()


def truncated_svd(H, rcond):
    """Singular vectors and values, and which of them count as known."""
    U, s, Vt = np.linalg.svd(H)
    return U, s, Vt.T, s > rcond * s.max()


def pseudo_inverse(H, rcond):
    U, s, V, known = truncated_svd(H, rcond)
    return V[:, known] @ np.diag(1 / s[known]) @ U[:, known].T


def step_prior(g, ab, s, x, mu0, y, z, weight, eta=0.0):
    a, b, c = coefficients(ab, s, eta)
    return a * x + b * denoise(x, ab[s], g.cov, mu0) + c * z


def step_ideal(g, ab, s, x, mu0, y, z, weight, eta=0.0):
    """Precisions of prior, state and measurement add up."""
    a, b, c = coefficients(ab, s, eta)
    prior, H, noise = np.linalg.inv(g.cov), g.H, g.sigma_y**2
    left = prior + ab[s] / (1 - ab[s]) * np.eye(g.d) + H.T @ H / noise
    right = prior @ mu0 + np.sqrt(ab[s]) / (1 - ab[s]) * x + H.T @ y / noise
    return a * x + b * np.linalg.solve(left, right) + c * z


def step_dps(g, ab, s, x, mu0, y, z, weight, eta=0.0):
    plain = step_prior(g, ab, s, x, mu0, y, z, weight, eta)
    return plain - weight * squared_residual_grad(x, y, ab[s], g, mu0)


def step_pigdm(g, ab, s, x, mu0, y, z, weight, eta=0.0, r2=None):
    plain = step_prior(g, ab, s, x, mu0, y, z, weight, eta)
    variance = 1 - ab[s] if r2 is None else r2[s - 1]
    r = y - g.H @ denoise(x, ab[s], g.cov, mu0)
    scaled = np.linalg.solve(variance * g.H @ g.H.T + g.sigma_y**2 * np.eye(g.d), r)
    return plain + weight * jacobian_transposed(x, g.H.T @ scaled, ab[s], g, mu0)


def step_diffpir(g, ab, s, x, mu0, y, z, weight, zeta=0.1):
    """Proximal step, then the noise estimate is computed again from its result."""
    rho = weight * g.sigma_y**2 * ab[s] / (1 - ab[s])
    x0 = denoise(x, ab[s], g.cov, mu0)
    x0 = np.linalg.solve(g.H.T @ g.H + rho * np.eye(g.d), g.H.T @ y + rho * x0)
    eps = (x - np.sqrt(ab[s]) * x0) / np.sqrt(1 - ab[s])
    noise = np.sqrt(1 - zeta) * eps + np.sqrt(zeta) * z
    return np.sqrt(ab[s - 1]) * x0 + np.sqrt(1 - ab[s - 1]) * noise


def predicted_noise(x, x0, ab_s):
    return (x - np.sqrt(ab_s) * x0) / np.sqrt(1 - ab_s)


def step_ddnm(g, ab, s, x, mu0, y, z, weight, eta=0.85, rcond=1e-8):
    x0 = denoise(x, ab[s], g.cov, mu0)
    noise = np.sqrt(1 - eta**2) * predicted_noise(x, x0, ab[s]) + eta * z
    x0 = x0 + weight * pseudo_inverse(g.H, rcond) @ (y - g.H @ x0)
    return np.sqrt(ab[s - 1]) * x0 + np.sqrt(1 - ab[s - 1]) * noise


def step_ddnm_plus(g, ab, s, x, mu0, y, z, weight, eta=0.85, rcond=1e-8):
    """One singular value at a time, in three regimes."""
    U, values, V, known = truncated_svd(g.H, rcond)
    x0 = denoise(x, ab[s], g.cov, mu0)
    eps = predicted_noise(x, x0, ab[s])
    a, room = np.sqrt(ab[s - 1]), np.sqrt(1 - ab[s - 1])
    x0, eps, z, y = V.T @ x0, V.T @ eps, V.T @ z, U.T @ y
    out = np.empty_like(x0)
    for i, value in enumerate(values):
        if not known[i]:
            out[i] = a * x0[i] + room * (np.sqrt(1 - eta**2) * eps[i] + eta * z[i])
            continue
        if room == 0:
            share, spread = 0.0, 0.0
        elif room >= a * g.sigma_y / value:
            share, spread = 1.0, np.sqrt(room**2 - (a * g.sigma_y / value) ** 2)
        else:
            share = value * room * np.sqrt(1 - eta**2) / (a * g.sigma_y)
            spread = room * eta
        corrected = x0[i] + weight * share / value * (y[i] - value * x0[i])
        out[i] = a * corrected + spread * z[i]
    return V @ out


def step_ddrm(g, ab, s, x, mu0, y, z, weight, eta=0.85, eta_b=1.0, rcond=1e-8):
    """In VE coordinates, one singular value at a time, in three regimes."""
    U, values, V, known = truncated_svd(g.H, rcond)
    sigma, low = np.sqrt((1 - ab[s]) / ab[s]), np.sqrt((1 - ab[s - 1]) / ab[s - 1])
    x0 = denoise(x, ab[s], g.cov, mu0)
    eps = (x / np.sqrt(ab[s]) - x0) / sigma
    x0, eps, z, y = V.T @ x0, V.T @ eps, V.T @ z, U.T @ y
    out = np.empty_like(x0)
    for i, value in enumerate(values):
        if not known[i]:
            out[i] = x0[i] + low * (np.sqrt(1 - eta**2) * eps[i] + eta * z[i])
        elif low == 0 or low < g.sigma_y / value:
            toward = np.sqrt(1 - eta**2) * low / g.sigma_y if g.sigma_y > 0 else 0.0
            out[i] = x0[i] + weight * toward * (y[i] - value * x0[i]) + eta * low * z[i]
        else:
            spread = np.sqrt(low**2 - (eta_b * g.sigma_y / value) ** 2)
            out[i] = x0[i] + weight * eta_b * (y[i] / value - x0[i]) + spread * z[i]
    return np.sqrt(ab[s - 1]) * V @ out


def start_ddrm(g, ab, x_S, y, rcond=1e-8, **_):
    U, values, V, known = truncated_svd(g.H, rcond)
    sigma = np.sqrt((1 - ab[-1]) / ab[-1])
    z, y = V.T @ x_S, U.T @ y
    out = np.empty_like(z)
    for i, value in enumerate(values):
        if known[i] and sigma * value > g.sigma_y:
            out[i] = y[i] / value + np.sqrt(sigma**2 - (g.sigma_y / value) ** 2) * z[i]
        else:
            out[i] = sigma * z[i]
    return np.sqrt(ab[-1]) * V @ out


def step_ald(g, ab, s, x, mu0, y, z, weight, eta=0.0):
    sigma2 = (1 - ab[s]) / ab[s]
    pull = weight * coefficients(ab, s, eta)[1] * sigma2 / (g.sigma_y**2 + sigma2)
    plain = step_prior(g, ab, s, x, mu0, y, z, weight, eta)
    return plain + pull * g.H.T @ (y - g.H @ x / np.sqrt(ab[s]))


def step_mcg(g, ab, s, x, mu0, y, z, weight, eta=0.0, rcond=1e-8):
    """DPS, then projection; the measurement's noise is drawn along the same singular vectors."""
    x = step_dps(g, ab, s, x, mu0, y, z, weight, eta)
    U, _, V, known = truncated_svd(g.H, rcond)
    inverse = pseudo_inverse(g.H, rcond)
    noise = U[:, known] @ V[:, known].T @ z
    noisy = np.sqrt(ab[s - 1]) * y + np.sqrt(1 - ab[s - 1]) * noise
    return x - inverse @ (g.H @ x) + inverse @ noisy


STEP = {
    "prior": step_prior, "ideal": step_ideal, "dps": step_dps, "pigdm": step_pigdm,
    "diffpir": step_diffpir, "ddnm": step_ddnm, "ddnm_plus": step_ddnm_plus, "ddrm": step_ddrm,
    "ald": step_ald, "mcg": step_mcg,
}  # fmt: skip


# --- whole samplers ---------------------------------------------------------------------------


def sample(method, g: Setting, ab, x_S, mu0, y, noise, weights=None, **options):
    """Run a sampler on columns; ``noise(s)`` for the step from s to s - 1, weights[s - 1] with it.

    ``weights`` may be a rule ``(s, residual) -> weight``.
    """
    x = start_ddrm(g, ab, x_S, y, **options) if method == "ddrm" else x_S
    for s in range(len(ab) - 1, 0, -1):
        if callable(weights):
            weight = weights(s, y - g.H @ denoise(x, ab[s], g.cov, mu0))
        else:
            weight = 1.0 if weights is None else weights[s - 1]
        x = STEP[method](g, ab, s, x, mu0, y, noise(s), weight, **options)
    return x


@dataclass(frozen=True)
class Matrices:
    """A sampler as matrices, ``x = D1 x_S + D2 mu0 + D3 y + noise`` with covariance V given y."""

    D1: np.ndarray
    D2: np.ndarray
    D3: np.ndarray
    V: np.ndarray
    g: Setting

    @property
    def posterior(self):
        """Wiener gain and posterior covariance."""
        cov, H = self.g.cov, self.g.H
        K = cov @ H.T @ np.linalg.inv(H @ cov @ H.T + self.g.sigma_y**2 * np.eye(self.g.d))
        return K, cov - K @ H @ cov

    @property
    def measured(self):
        """Covariance of the measurement."""
        return self.g.H @ self.g.cov @ self.g.H.T + self.g.sigma_y**2 * np.eye(self.g.d)

    def parts(self, commuting=False):
        """Bias, gain and covariance part of the averaged squared W2 distance to the posterior."""
        K, C = self.posterior
        bias = np.sum(((self.D2 + self.D3 @ self.g.H - np.eye(self.g.d)) @ self.g.mu0) ** 2)
        gain = np.trace((self.D3 - K) @ self.measured @ (self.D3 - K).T)
        if commuting:  # round-off only: no square root of a matrix
            V = spectrum(self.V)
            V[V < 1e-14 * V.max()] = 0.0  # the root of a rounding error is not small
            std = np.sum((np.sqrt(V) - np.sqrt(spectrum(C))) ** 2)
        else:
            std = bures(self.V, C)
        return bias, gain, std

    def w2(self, commuting=False):
        return float(sum(self.parts(commuting)))

    def perception(self):
        """Squared W2 between data and outputs, over all measurements."""
        law = self.V + self.D3 @ self.measured @ self.D3.T
        return self.parts(True)[0] + bures(law, self.g.cov)

    def mse(self):
        """Joint second moments of (x0, y, noise)."""
        cov, H, mu0 = self.g.cov, self.g.H, self.g.mu0
        error = self.D3 @ H - np.eye(self.g.d)
        total = error @ cov @ error.T + self.g.sigma_y**2 * self.D3 @ self.D3.T + self.V
        return np.trace(total) + np.sum(((self.D2 + error) @ mu0) ** 2)

    def consistency(self):
        """Mean squared residual of the output."""
        H, mu0 = self.g.H, self.g.mu0
        left = np.eye(self.g.d) - H @ self.D3
        mean = H @ mu0 - H @ (self.D2 + self.D3 @ H) @ mu0
        return np.trace(left @ self.measured @ left.T + H @ self.V @ H.T) + np.sum(mean**2)


def spectrum(matrix):
    """Eigenvalues of a symmetric circulant matrix, in DFT order."""
    k = np.arange(len(matrix))
    F = np.exp(-2j * np.pi * np.outer(k, k) / len(k)) / np.sqrt(len(k))
    return np.maximum(np.diag(F @ matrix @ F.conj().T).real, 0.0)


def bures(A, B):
    """Squared W2 between N(0, A) and N(0, B)."""
    root = np.real(sqrtm(B))
    return np.trace(A) + np.trace(B) - 2 * np.trace(np.real(sqrtm(root @ A @ root)))


def matrices(method, g: Setting, ab, weights=None, **options) -> Matrices:
    """Run a sampler on the unit vectors of everything that goes in."""
    d, S = g.d, len(ab) - 1
    zero, eye = np.zeros((d, d)), np.eye(d)

    def block(i):
        return np.concatenate([eye if j == i else zero for j in range(3 + S)], axis=1)

    if isinstance(weights, str):  # "mean-field 0.3": the rule zeta' / sqrt(E |r|^2)
        weights = mean_field_rule(g, float(weights.split()[1]))
    out = sample(method, g, ab, block(0), block(1), block(2), lambda s: block(2 + s), weights,
                 **options)  # fmt: skip
    D1, D2, D3, *N = np.split(out, 3 + S, axis=1)
    return Matrices(D1, D2, D3, D1 @ D1.T + sum(n @ n.T for n in N), g)


def mean_field_rule(g: Setting, zeta_prime: float):
    """``zeta' / sqrt(E |r|^2)`` from the residual's response to all inputs."""

    def rule(s, response):
        d = g.d
        R1, R2, R3 = response[:, :d], response[:, d : 2 * d], response[:, 2 * d : 3 * d]
        rest = response[:, 3 * d :]
        mean = (R2 + R3 @ g.H) @ g.mu0
        measured = g.H @ g.cov @ g.H.T + g.sigma_y**2 * np.eye(d)
        power = np.sum(mean**2) + np.trace(R3 @ measured @ R3.T) + np.sum(R1**2) + np.sum(rest**2)
        return zeta_prime / np.sqrt(power)

    return rule


def numerical_gradient(function, x, step=1e-2):
    """Central differences, extrapolated twice (Richardson), relative to the size of ``x``."""
    grad = np.empty(len(x))
    for i in range(len(x)):
        table = []
        for level in range(3):
            h = step * x[i] / 2**level
            up, down = x.copy(), x.copy()
            up[i] += h
            down[i] -= h
            table.append((function(up) - function(down)) / (2 * h))
        first = [(4 * table[j + 1] - table[j]) / 3 for j in range(2)]
        grad[i] = (16 * first[1] - first[0]) / 15
    return grad


# --- the objective as a scalar recursion, for automatic differentiation ------------------------


def residuals(method, g: Setting, ab, weights, eta=0.0, zeta=0.1):
    """Stack the terms whose squares sum to the averaged W2^2, one torch scalar chain a frequency.

    For the methods ``dps``, ``pigdm`` and ``diffpir``; h enters through its modulus.
    """
    lam, h, mu0 = (torch.as_tensor(np.abs(v)) for v in (g.lam, g.h, g.mu0_spectral))
    noise = g.sigma_y**2
    D1, D3, V = torch.ones(g.d, dtype=torch.float64), torch.zeros(g.d, dtype=torch.float64), 1.0
    for s in range(len(ab) - 1, 0, -1):
        if method == "diffpir":
            c2 = zeta * (1 - ab[s - 1])
            a = np.sqrt((1 - zeta) * (1 - ab[s - 1]) / (1 - ab[s]))
            b = np.sqrt(ab[s - 1]) - np.sqrt(ab[s]) * a
            gain = b * h / (h**2 + weights[s - 1] * noise * ab[s] / (1 - ab[s]))
        else:
            a, b, c = coefficients(ab, s, eta)
            c2 = c**2
        w = np.sqrt(ab[s]) * lam / (ab[s] * lam + 1 - ab[s])
        if method == "dps":
            gain = 2 * weights[s - 1] * w * h
        elif method == "pigdm":
            gain = weights[s - 1] * w * h / ((1 - ab[s]) * h**2 + noise)
        G = a + (b - gain * h) * w
        D1, D3, V = G * D1, G * D3 + gain, G**2 * V + c2
    S_y = h**2 * lam + noise
    return torch.cat([
        np.sqrt(ab[-1]) * D1 * mu0,
        (D3 - lam * h / S_y) * torch.sqrt(S_y),
        torch.sqrt(V) - torch.sqrt(lam * noise / S_y),
    ])  # fmt: skip
