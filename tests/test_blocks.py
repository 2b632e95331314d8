"""Inverse problems whose modes couple, against dense algebra in the signal domain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import ot
import pytest
import torch

from diffbook import blocks as bl
from diffbook import schedules as sc
from diffbook import transfer as tr
from diffbook.distances import w2_gaussian
from diffbook.gaussian import GaussianPrior

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
    "prior": lambda p: bl.prior(p, AB, eta=0.4),
    "ideal": lambda p: bl.ideal(p, AB),
    "ideal eta": lambda p: bl.ideal(p, AB, eta=0.7),
    "dps": lambda p: bl.dps(p, AB, WEIGHTS),
    "dps eta": lambda p: bl.dps(p, AB, WEIGHTS, eta=1.0),
    "pigdm": lambda p: bl.pigdm(p, AB, WEIGHTS),
    "pigdm published": lambda p: bl.pigdm(p, AB),
    "diffpir": lambda p: bl.diffpir(p, AB, WEIGHTS, zeta=0.0),
    "diffpir zeta": lambda p: bl.diffpir(p, AB, 10 * WEIGHTS, zeta=0.3),
    "ddnm": lambda p: bl.ddnm(p, AB),
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


# --- samplers ---------------------------------------------------------------------------------


@over_cases
@over_methods
def test_composition_is_the_sampler_run_in_the_signal_domain(name, method):
    case, rng = CASES[name], np.random.default_rng(0)
    t = bl.compose(case.p, AB, METHODS[method](case.p))
    x_T, y = rng.standard_normal((3, case.d)), rng.standard_normal((3, case.q))
    x, V = x_T, np.eye(case.d)
    for s in range(len(AB) - 1, 0, -1):
        a, b, c2, gain, W, offset = dense_step(method, case, s)
        x0_hat = x @ W.T + offset
        x = a * x + b * x0_hat + (y - x0_hat @ case.H.T) @ gain.T
        G = a * np.eye(case.d) + (b * np.eye(case.d) - gain @ case.H) @ W
        V = G @ V @ G.T + c2 * np.eye(case.d)
    blocks = np.einsum("mij,nmj->nmi", t.D1, case.x_blocks(x_T))
    blocks = blocks + np.einsum("mij,mj->mi", t.D2, case.p.mu0)
    blocks = blocks + np.einsum("mij,nmj->nmi", t.D3, case.y_blocks(y))
    np.testing.assert_allclose(case.to_signal(blocks), x, atol=1e-10 * np.abs(x).max())
    # DDNM with an invertible H leaves no randomness at all.
    np.testing.assert_allclose(case.matrix(t.V), V, atol=1e-10 * max(np.abs(V).max(), 1e-6))


@over_cases
@over_methods
def test_mean_identity(name, method):
    """``sqrt(ab_S) D1 + D2 + D3 H = sqrt(ab_0) I``: an exact start at the mean stays exact."""
    p = CASES[name].p
    t = bl.compose(p, AB, METHODS[method](p))
    total = np.sqrt(AB[-1]) * t.D1 + t.D2 + t.D3 @ p.H
    assert np.abs(total - np.eye(p.lam.shape[1])).max() < 1e-12 * max(1.0, np.abs(t.D3).max())


# --- posterior --------------------------------------------------------------------------------


@over_cases
def test_posterior_is_gaussian_conditioning(name):
    case = CASES[name]
    joint = case.H @ case.cov
    S_y = joint @ case.H.T + case.p.sigma_y**2 * np.eye(case.q)
    K = np.linalg.solve(S_y, joint).T
    Sp = case.cov - K @ joint
    np.testing.assert_allclose(case.matrix(case.p.K, measured=True), K, atol=1e-11)
    np.testing.assert_allclose(case.matrix(case.p.Sp), Sp, atol=1e-11 * np.abs(case.cov).max())
    root = case.matrix(case.p.root_p)
    np.testing.assert_allclose(root @ root, Sp, atol=1e-11 * np.abs(case.cov).max())
    assert case.p.mmse == pytest.approx(np.trace(Sp), rel=1e-11)
    assert case.p.d == case.d


@over_cases
def test_ideal_denoiser_is_the_precision_form(name):
    case, rng = CASES[name], np.random.default_rng(1)
    ab, sy2 = 0.3, case.p.sigma_y**2
    x, y = rng.standard_normal((2, case.d)), rng.standard_normal((2, case.q))
    prec = np.linalg.inv(case.cov)
    left = prec + ab / (1 - ab) * np.eye(case.d) + case.H.T @ case.H / sy2
    right = prec @ case.mu + np.sqrt(ab) / (1 - ab) * x + y @ case.H / sy2
    A_x, A_mu, A_y = bl.ideal_denoiser(case.p, ab)
    blocks = np.einsum("mij,nmj->nmi", A_x, case.x_blocks(x))
    blocks = blocks + np.einsum("mij,mj->mi", A_mu, case.p.mu0)
    blocks = blocks + np.einsum("mij,nmj->nmi", A_y, case.y_blocks(y))
    np.testing.assert_allclose(case.to_signal(blocks), np.linalg.solve(left, right.T).T, atol=1e-10)


@over_cases
def test_ideal_sampler_is_ddim_of_the_posterior(name):
    p = CASES[name].p
    t = bl.compose(p, AB, bl.ideal(p, AB))
    values, vectors = np.linalg.eigh(p.Sp)
    gain = np.stack([tr.ddim_gain(np.maximum(v, 0.0), AB) for v in values])
    D1 = (vectors * gain[:, None]) @ np.conj(np.swapaxes(vectors, 1, 2))
    np.testing.assert_allclose(t.D1, D1, atol=1e-11)
    D2p = np.eye(p.lam.shape[1]) - np.sqrt(AB[-1]) * D1
    np.testing.assert_allclose(t.D3, D2p @ p.K, atol=1e-11)


@over_cases
def test_ideal_sampler_tends_to_the_posterior(name):
    p = CASES[name].p
    w2 = []
    for S in (10, 100, 1000):
        ab = sc.ddpm_respaced(S)
        w2.append(bl.compose(p, ab, bl.ideal(p, ab)).w2_squared)
    assert w2[0] > w2[1] > w2[2] and w2[2] < 2e-3 * w2[0]


def test_downsampling_has_the_block_structure_in_the_dft():
    """All of ``F_coarse D B F*`` sits in the blocks, nothing outside of them."""
    for name in ("sr", "sr2d"):
        case = CASES[name]
        middle = case.H @ unitary(np.eye(case.d), case.prior.shape).conj()  # H F*
        full = unitary(middle.T.copy(), case.coarse).T
        expected = np.zeros_like(full)
        for k, modes in enumerate(case.p.modes):
            expected[k, modes] = case.p.H[k, 0]
        np.testing.assert_allclose(full, expected, atol=1e-12)


def test_real_basis_diagonalises_stationary_covariances():
    for prior in (lorentzian(9), lorentzian(8), image_prior(), image_prior((3, 5))):
        basis = bl.real_basis(prior)
        np.testing.assert_allclose(basis.T @ basis, np.eye(prior.d), atol=1e-12)
        diagonal = basis.T @ prior.covariance() @ basis
        np.testing.assert_allclose(diagonal, np.diag(prior.lam.ravel()), atol=1e-11)


def test_noiseless_measurement():
    """A redundant noiseless measurement fixes what it sees and leaves the rest."""
    prior = lorentzian(6)
    H = np.eye(6)[[0, 0, 2, 5]]
    p = bl.from_matrix(prior, H, 0.0)
    cov, A = prior.covariance(), np.eye(6)[[0, 2, 5]]
    K = cov @ A.T @ np.linalg.inv(A @ cov @ A.T)
    assert p.mmse == pytest.approx(np.trace(cov - K @ A @ cov), rel=1e-9)
    np.testing.assert_allclose(H @ bl.real_basis(prior) @ p.Sp[0], 0.0, atol=1e-10)
    assert np.isfinite(bl.compose(p, AB, bl.pigdm(p, AB)).w2_squared)


# --- measures ---------------------------------------------------------------------------------


@over_cases
@pytest.mark.parametrize("method", ["dps", "dps eta", "ddnm", "ideal"])
def test_bures_term_against_other_libraries(name, method):
    case = CASES[name]
    t = bl.compose(case.p, AB, METHODS[method](case.p))
    V, Sp, zero = case.matrix(t.V), case.matrix(case.p.Sp), np.zeros(case.d)
    V, Sp = 0.5 * (V + V.T), 0.5 * (Sp + Sp.T)
    assert t.std == pytest.approx(w2_gaussian(zero, V, zero, Sp) ** 2, rel=1e-6, abs=1e-7)
    if method != "ddnm":  # POT takes no singular covariance
        pot = ot.gaussian.bures_wasserstein_distance(zero, zero, V, Sp) ** 2
        assert t.std == pytest.approx(pot, rel=1e-4, abs=1e-5)
    if method == "ideal":
        # Commuting covariances: the two forms of the nuclear norm agree.
        assert t.std == pytest.approx(replace(t, deterministic=False).std, rel=1e-6)


@over_cases
@pytest.mark.parametrize("method", ["dps", "diffpir zeta"])
def test_monte_carlo_of_mse_consistency_and_distance(name, method):
    case, rng, n = CASES[name], np.random.default_rng(2), 40_000
    p = case.p
    t = bl.compose(p, AB, METHODS[method](p))
    x0 = case.prior.sample(n, rng).reshape(n, -1)
    y = x0 @ case.H.T + p.sigma_y * rng.standard_normal((n, case.q))
    D3 = case.matrix(t.D3, measured=True)
    offset = case.matrix(t.D2) @ case.mu
    noise = rng.standard_normal((n, case.d)) @ np.linalg.cholesky(case.matrix(t.V)).T
    mean = offset + y @ D3.T
    K = case.matrix(p.K, measured=True)
    posterior_mean = case.mu + (y - case.mu @ case.H.T) @ K.T
    x = mean + noise
    measured = {
        "mse": np.sum((x - x0) ** 2, axis=1),
        "consistency": np.sum((y - x @ case.H.T) ** 2, axis=1),
        "w2_squared": np.sum((mean - posterior_mean) ** 2, axis=1) + t.std,
        "spread": np.sum(noise**2, axis=1),
    }
    for key, values in measured.items():
        z = (values.mean() - getattr(t, key)) / (values.std() / np.sqrt(n))
        assert abs(z) < 4.5, f"{key}: z = {z:.2f}"
    assert t.bias + t.gain + t.std == t.w2_squared


@pytest.mark.parametrize("name", ["blur", "sr", "sr2d"])
def test_blocks_and_one_dense_matrix_agree(name):
    case = CASES[name]
    dense = bl.from_matrix(case.prior, case.H, case.p.sigma_y)
    for method in METHODS:
        parts = [bl.compose(p, AB, METHODS[method](p)) for p in (case.p, bl.merged(case.p), dense)]
        for key in ("bias", "gain", "std", "mse", "consistency", "spread"):
            values = [getattr(t, key) for t in parts]
            # Eigenvalues of a singular V are lost below rounding, and their roots are summed.
            loose = key == "std" and not parts[0].deterministic
            np.testing.assert_allclose(
                values, values[0], rtol=1e-7 if loose else 1e-10, atol=1e-11, err_msg=key
            )


def test_merging_uses_the_symmetries():
    sizes = {}
    for beta, mean in ((2.0, 0.0), (2.0, 1.5)):
        prior = replace(GaussianPrior.inverse_f((8, 8), beta=beta), mu0=np.full((8, 8), mean))
        p = bl.from_downsampling(prior, 2, gaussian_transfer((8, 8), 0.9, 0.3), 0.1)
        small = bl.merged(p)
        assert small.count.sum() == 16 and not np.iscomplexobj(small.H)
        assert len(bl.merged(small).count) == len(small.count)
        sizes[mean] = len(small.count)
        for weights in (WEIGHTS, 2 * WEIGHTS[::-1]):
            a, b = (bl.Chain(q, AB, "dps").value_and_grad(weights) for q in (p, small))
            assert a[0] == pytest.approx(b[0], rel=1e-11)
            np.testing.assert_allclose(a[1], b[1], rtol=1e-9, atol=1e-9 * np.abs(a[1]).max())
    assert sizes == {0.0: 6, 1.5: 6}
    mask = CASES["mask"].p
    assert bl.merged(mask) is mask


def test_blocks_that_differ_in_their_mean_stay_apart():
    """White prior, no blur: all blocks are alike but for the mean, which must not be averaged."""
    ab = np.array([1.0, 0.9, 0.7, 0.5])
    n = np.arange(12)
    prior = replace(lorentzian(12), lam=np.ones(12), mu0=1.0 + np.cos(2 * np.pi * n / 12 + 0.4))
    p = bl.from_downsampling(prior, 3, None, 0.2)
    small = bl.merged(p)
    # Means in the blocks of frequency 0 and of +-1; that of the coarse Nyquist frequency has none.
    assert sorted(small.count) == [1, 1, 2]
    biases = [bl.compose(q, ab, bl.dps(q, ab, WEIGHTS[:3])).bias for q in (p, small)]
    assert biases[0] > 0.1 and biases[1] == pytest.approx(biases[0], rel=1e-11)


# --- golden numbers ---------------------------------------------------------------------------

# E_y W2^2 at d = 64: ideal; ideal, eta 1; DPS 0.3/|r|; DPS 1/|r|; best zeta'/|r|; PiGDM published;
# PiGDM with kappa; DiffPIR with lambda 7 and zeta 0.1.
GOLDEN = {
    ("A", 5): (2.15470, 2.26861, 52.1623, 15.9825, 6.60456, 3.33326, 2.74743, 2.30363),
    ("A", 10): (0.792580, 1.03627, 29.6870, 4.26261, 2.64485, 0.883217, 0.863692, 1.15829),
    ("A", 50): (0.0463199, 0.137004, 1.54873, 1.20044, 0.647710, 4.02059, 0.230732, 0.994736),
    ("B", 5): (2.66531, 2.83287, 42.6968, 10.6874, 3.46620, 5.27297, 4.53450, 2.39717),
    ("B", 25): (0.176691, 0.413667, 1.15183, 16.1764, 1.02120, 6.06797, 3.00015, 3.56351),
    ("C", 10): (0.801328, 1.19558, 33.7210, 10.7067, 10.4216, 0.831776, 0.804685, 1.29466),
    ("C", 50): (0.0452672, 0.144887, 6.40383, 5.60570, 4.20607, 3.12606, 0.0596524, 0.492925),
}
D_MIN = {"A": 6.51850, "B": 8.69525, "C": 9.73811}
BLUR = {"A": (1.5, 0.1), "B": (None, 0.5), "C": (3.0, 0.02)}


@pytest.mark.parametrize("key", GOLDEN, ids=lambda k: f"{k[0]}{k[1]}")
def test_single_modes_reproduce_the_golden_table(key):
    letter, S = key
    prior, (std, sigma_y) = lorentzian(64), BLUR[letter]
    h = None if std is None else gaussian_transfer((64,), std)
    p, ab = bl.from_blur(prior, h, sigma_y), sc.ddpm_respaced(S)
    assert p.mmse == pytest.approx(D_MIN[letter], rel=1e-5)
    chain = bl.Chain(bl.merged(p), ab)

    def w2(gains):
        return bl.compose(p, ab, gains).w2_squared

    values = (
        w2(bl.ideal(p, ab)),
        w2(bl.ideal(p, ab, eta=1.0)),
        chain.value(chain.normalised(0.3)),
        w2(bl.dps(p, ab, chain.normalised(1.0))),
        bl.best_normalised(p, ab)[1],
        w2(bl.pigdm(p, ab)),
        w2(bl.pigdm(p, ab, bl.kappa(ab))),
        w2(bl.diffpir(p, ab, np.full(S, 7.0))),
    )
    np.testing.assert_allclose(values, GOLDEN[key], rtol=1e-5)


def test_golden_numbers_of_super_resolution():
    """d = 32, every fourth sample after a Gaussian blur of one sample, sigma_y = 0.2, S = 10."""
    prior, ab = lorentzian(32), sc.ddpm_respaced(10)
    p = bl.from_downsampling(prior, 4, gaussian_transfer((32,), 1.0), 0.2)
    values = [p.mmse] + [
        bl.compose(p, ab, gains).w2_squared
        for gains in (
            bl.ideal(p, ab),
            bl.pigdm(p, ab),
            bl.diffpir(p, ab, np.full(10, 7.0), zeta=0.0),
            bl.ddnm(p, ab, eta=0.0),
        )
    ]
    # Printed with four decimals.
    np.testing.assert_allclose(values, (12.793, 0.6142, 0.9097, 1.7166, 1.6932), rtol=0, atol=6e-4)
    np.testing.assert_allclose(values[1:], (0.6142, 0.9097, 1.7166, 1.6932), rtol=0, atol=1e-4)


# --- gradient ---------------------------------------------------------------------------------


def torch_objective(p: bl.BlockProblem, method: str, weights: torch.Tensor) -> torch.Tensor:
    """``E_y W2^2`` straight from the step matrices, D2 included, for autograd."""
    kind = torch.complex128 if np.iscomplexobj(p.H) else torch.float64
    lam, H, S_y, K, root = (torch.as_tensor(v).to(kind) for v in (p.lam, p.H, p.S_y, p.K, p.root_p))
    mu0, count = torch.as_tensor(p.mu0).to(torch.complex128), torch.as_tensor(p.count)
    g, q = p.lam.shape[1], p.H.shape[1]
    eye, eye_q = torch.eye(g, dtype=kind), torch.eye(q, dtype=kind)
    D1, D2, D3 = eye.expand(len(lam), g, g), 0 * eye, torch.zeros(len(lam), g, q, dtype=kind)
    for s in range(len(AB) - 1, 0, -1):
        a = ((1 - AB[s - 1]) / (1 - AB[s])) ** 0.5
        b = AB[s - 1] ** 0.5 - AB[s] ** 0.5 * a
        W = torch.diag_embed(AB[s] ** 0.5 * lam / (AB[s] * lam + 1 - AB[s]))
        theta = weights[s - 1]
        if method == "dps":
            Gam = 2 * theta * W @ H.mH
        elif method == "pigdm":
            cov = (1 - AB[s]) * H @ H.mH + p.sigma_y**2 * eye_q
            Gam = theta * W @ H.mH @ torch.linalg.inv(cov)
        else:
            rho = theta * p.sigma_y**2 * AB[s] / (1 - AB[s])
            Gam = b * H.mH @ torch.linalg.inv(H @ H.mH + rho * eye_q)
        B = b * eye - Gam @ H
        G = a * eye + B @ W
        D1, D3 = G @ D1, G @ D3 + Gam
        D2 = G @ D2 + B @ (eye - AB[s] ** 0.5 * W)
    miss = (D2 + D3 @ H - eye).to(torch.complex128) @ mu0[..., None]
    gap = D3 - K

    def trace(A):
        return A.diagonal(dim1=-2, dim2=-1).sum(-1).real

    nuclear = torch.linalg.svdvals(root @ D1).sum(-1)
    return count @ (
        (miss.abs() ** 2).sum((-2, -1))
        + trace(gap @ S_y @ gap.mH)
        + trace(D1 @ D1.mH)
        + trace(torch.as_tensor(p.Sp).to(kind))
        - 2 * nuclear
    )


@over_cases
@pytest.mark.parametrize("method", ["dps", "pigdm", "diffpir"])
def test_gradient_is_that_of_autograd_and_of_differences(name, method):
    p = CASES[name].p
    for problem in {id(q): q for q in (p, bl.merged(p))}.values():
        chain = bl.Chain(problem, AB, method)
        value, grad = chain.value_and_grad(WEIGHTS)
        weights = torch.tensor(WEIGHTS, requires_grad=True)
        expected = torch_objective(problem, method, weights)
        expected.backward()
        assert value == pytest.approx(expected.item(), rel=1e-10)
        scale = np.abs(grad).max()
        np.testing.assert_allclose(grad, weights.grad.numpy(), atol=1e-8 * scale)
        assert chain.value(WEIGHTS) == value
    step, eye = 1e-5, np.eye(len(WEIGHTS))
    differences = [
        (chain.value(WEIGHTS + step * e) - chain.value(WEIGHTS - step * e)) / (2 * step)
        for e in eye
    ]
    np.testing.assert_allclose(grad, differences, atol=1e-6 * scale)


@over_cases
def test_chain_value_is_the_composed_distance(name):
    """The thin recursion against full matrices, also with a schedule that ends below 1."""
    p = CASES[name].p
    for ab in (AB, sc.linear_beta(6)):
        for method, gains in (("dps", bl.dps), ("pigdm", bl.pigdm)):
            full = bl.compose(p, ab, gains(p, ab, WEIGHTS)).w2_squared
            assert bl.Chain(p, ab, method).value(WEIGHTS) == pytest.approx(full, rel=1e-9)
        full = bl.compose(p, ab, bl.diffpir(p, ab, WEIGHTS, zeta=0.0)).w2_squared
        assert bl.Chain(p, ab, "diffpir").value(WEIGHTS) == pytest.approx(full, rel=1e-9)


# --- weights ----------------------------------------------------------------------------------


@over_cases
@pytest.mark.parametrize("method", ["dps", "pigdm"])
def test_bounds_are_where_a_step_turns_a_mode_around(name, method):
    p = CASES[name].p
    chain, make = bl.Chain(p, AB, method), {"dps": bl.dps, "pigdm": bl.pigdm}[method]
    for cap, least in (("no-overshoot", 0.0), ("stability", -1.0)):
        gains = make(p, AB, chain.bound(cap))
        for s in range(1, len(AB)):
            B = gains.b[s - 1] * np.eye(p.lam.shape[1]) - gains.Gam[s - 1] @ p.H
            G = gains.a[s - 1] * np.eye(p.lam.shape[1]) + B * p.slope(AB[s])[:, None]
            assert np.linalg.eigvals(G).real.min() == pytest.approx(least, abs=1e-9)


@over_cases
def test_reference_is_the_average_exact_guidance(name):
    case = CASES[name]
    chain, sy2 = bl.Chain(case.p, AB), case.p.sigma_y**2
    # In the coordinates of y that make H H^T diagonal; of the DFT, where those are frequencies.
    if case.coarse is None:
        vectors = np.linalg.svd(case.H, full_matrices=False)[0]
    else:
        vectors = unitary(np.eye(case.q), case.coarse).T.conj()
    H = vectors.conj().T @ case.H
    S_y = np.diag(H @ case.cov @ H.conj().T).real + sy2
    expected = []
    for s, scale in enumerate(bl.kappa(AB), start=1):
        inverse = np.linalg.inv(AB[s] * case.cov + (1 - AB[s]) * np.eye(case.d))
        W, V = np.sqrt(AB[s]) * case.cov @ inverse, (1 - AB[s]) * case.cov @ inverse
        weight = S_y * np.diag(H @ W @ W @ H.conj().T).real
        exact = scale / (sy2 + np.diag(H @ V @ H.conj().T).real)
        expected.append(np.sum(weight * exact) / np.sum(weight))
    expected = 0.5 * np.minimum(expected, chain.bound("stability"))
    # A mask's singular values are all 1, which leaves the coordinates of y open.
    rtol = 0.2 if name == "mask" else 1e-9
    np.testing.assert_allclose(chain.reference(), expected, rtol=rtol)


def test_normalised_rule_uses_the_expected_residual():
    """``zeta' / sqrt(E |r|^2)`` with the residual's moments from simulated trajectories."""
    case, rng, n = CASES["sr"], np.random.default_rng(4), 40_000
    weights = bl.Chain(case.p, AB).normalised(0.7)
    x0 = case.prior.sample(n, rng).reshape(n, -1)
    y = x0 @ case.H.T + case.p.sigma_y * rng.standard_normal((n, case.q))
    x = rng.standard_normal((n, case.d))
    for s in range(len(AB) - 1, 0, -1):
        a, b, _, _, W, offset = dense_step("ideal", case, s)
        x0_hat = x @ W.T + offset
        r = y - x0_hat @ case.H.T
        assert weights[s - 1] == pytest.approx(0.7 / np.sqrt(np.mean(r**2) * case.q), rel=0.02)
        x = a * x + b * x0_hat + 2 * weights[s - 1] * r @ case.H @ W.T


@pytest.mark.parametrize("name", ["sr2d", "mask"])
@pytest.mark.parametrize("method", ["dps", "pigdm", "diffpir"])
def test_design_is_a_local_minimum_and_beats_its_starts(name, method):
    p = CASES[name].p
    start = {"mine": WEIGHTS}
    design = bl.design_weights(
        p, AB, method, starts=start, n_random=2, rng=np.random.default_rng(0)
    )
    chain = bl.Chain(p, AB, method)
    assert design.objective == pytest.approx(chain.value(design.weights), rel=1e-10)
    assert design.objective == min(value for _, value, _ in design.starts)
    own = ["reference", "normalised"] if method == "dps" else ["reference"]
    assert [name for name, *_ in design.starts] == [*own, "mine", "random 0", "random 1"]
    assert design.objective < chain.value(design.reference)
    value, grad = chain.value_and_grad(design.weights)
    x = np.log(design.weights / design.reference)
    slope = grad * design.weights / value
    # Free weights are stationary, weights at a bound are pushed against it.
    free = (x > bl.BOX[0] + 1e-6) & (x < bl.BOX[1] - 1e-6)
    assert np.all(np.abs(slope[free]) < 1e-3) and np.all(slope[x >= bl.BOX[1] - 1e-6] < 1e-3)
    assert design.n_eval >= design.n_iter > 0
    again = bl.design_weights(p, AB, method, starts=start, n_random=2, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(again.weights, design.weights)


def test_cap_and_penalty():
    p = CASES["mask"].p
    free = bl.design_weights(p, AB)
    for cap in ("no-overshoot", "stability"):
        capped = bl.design_weights(p, AB, cap=cap)
        bound = bl.Chain(p, AB).bound(cap)
        assert np.all(capped.weights <= bound * (1 + 1e-9))
        assert capped.objective >= free.objective * (1 - 1e-6)
    size = []
    for tikhonov in (0.0, 1e-2, 10.0):
        design = bl.design_weights(p, AB, tikhonov=tikhonov)
        x = np.log(design.weights / design.reference)
        value, grad = bl.Chain(p, AB).value_and_grad(design.weights)
        slope = (grad * design.weights + 2 * tikhonov * x) / (value + tikhonov * x @ x)
        assert tikhonov == 0.0 or np.abs(slope).max() < 1e-3
        assert design.objective == pytest.approx(value, rel=1e-12)
        size.append(np.sum(x**2))
    assert size[0] > size[1] > size[2] and size[2] < 0.1


def test_dps_and_pigdm_are_one_family_for_a_mask():
    """``H H^T = I`` makes PiGDM's denominator a number."""
    p = CASES["mask"].p
    theta = 2 * WEIGHTS * (1 - AB[1:] + p.sigma_y**2)
    a, b = (bl.Chain(p, AB, m).value(w) for m, w in (("dps", WEIGHTS), ("pigdm", theta)))
    assert a == pytest.approx(b, rel=1e-12)


# --- surrogate of a mask ----------------------------------------------------------------------


def test_mean_field_has_the_average_data_term():
    prior, p_keep, rng = lorentzian(10), 0.6, np.random.default_rng(0)
    masks = rng.random((20_000, 10)) < p_keep
    average = np.diag(masks.mean(axis=0))
    basis = bl.real_basis(prior)
    surrogate = bl.mean_field_mask(prior, p_keep, 0.1)
    diagonal = np.abs(surrogate.H[:, 0, 0]) ** 2
    np.testing.assert_allclose(basis.T @ average @ basis, np.diag(diagonal), atol=0.02)


def test_surrogate_report():
    case = CASES["mask"]
    surrogate = bl.mean_field_mask(case.prior, 13 / 24, 0.15)
    report = bl.design_on_surrogate(case.p, surrogate, AB, "dps")
    assert report.transferred == pytest.approx(
        bl.compose(case.p, AB, bl.dps(case.p, AB, report.surrogate.weights)).w2_squared, rel=1e-9
    )
    assert report.on_surrogate == report.surrogate.objective
    assert report.loss > 0.0
    assert report.loss == report.transferred / report.exact.objective - 1.0


def test_surrogate_of_a_full_mask_is_exact():
    prior = lorentzian(10)
    problem = bl.from_matrix(prior, np.eye(10), 0.3)
    report = bl.design_on_surrogate(problem, bl.mean_field_mask(prior, 1.0, 0.3), AB, "diffpir")
    assert report.on_surrogate == pytest.approx(report.transferred, rel=1e-10)
    assert abs(report.loss) < 1e-6


# --- errors -----------------------------------------------------------------------------------

PRIOR = lorentzian(8)
GENERAL = CASES["wide"].prior
P = bl.from_downsampling(PRIOR, 2, None, 0.1)
LONGER = lorentzian(10)
NAN = np.full(8, np.nan)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: bl.from_blur(PRIOR, np.ones(7), 0.1), "transfer"),
        (lambda: bl.from_blur(PRIOR, NAN, 0.1), "transfer"),
        (lambda: bl.from_blur(PRIOR, None, -0.1), "sigma_y"),
        (lambda: bl.from_blur(PRIOR, None, np.nan), "sigma_y"),
        (lambda: bl.from_blur(GENERAL, None, 0.1), "prior"),
        (lambda: bl.from_downsampling(GENERAL, 2), "prior"),
        (lambda: bl.from_downsampling(PRIOR, 3), "factor"),
        (lambda: bl.from_downsampling(PRIOR, 2.0), "factor"),
        (lambda: bl.from_downsampling(PRIOR, True), "factor"),
        (lambda: bl.from_downsampling(PRIOR, 0), "factor"),
        (lambda: bl.from_matrix(PRIOR, np.eye(7), 0.1), "H must"),
        (lambda: bl.from_matrix(PRIOR, np.zeros((0, 8)), 0.1), "H must"),
        (lambda: bl.from_matrix(PRIOR, np.eye(8) * np.nan, 0.1), "H must"),
        (lambda: bl.mean_field_mask(PRIOR, 0.0), "p_keep"),
        (lambda: bl.mean_field_mask(PRIOR, 1.1), "p_keep"),
        (lambda: replace(P, lam=-P.lam), "lam"),
        (lambda: replace(P, mu0=P.mu0[:, :1]), "mu0"),
        (lambda: replace(P, count=P.count[:1]), "count"),
        (lambda: replace(P, modes=P.modes[:1]), "modes"),
        (lambda: bl.ideal(P, AB[::-1]), "alpha_bar"),
        (lambda: bl.ideal(P, AB, eta=1.5), "eta"),
        (lambda: bl.ddnm(P, AB, eta=-0.1), "eta"),
        (lambda: bl.diffpir(P, AB, WEIGHTS, zeta=2.0), "zeta"),
        (lambda: bl.ideal_denoiser(P, 1.0), "alpha_bar_t"),
        (lambda: bl.dps(P, AB, WEIGHTS[1:]), "weights"),
        (lambda: bl.dps(P, AB, -WEIGHTS), "weights"),
        (lambda: bl.pigdm(P, AB, np.inf * WEIGHTS), "weights"),
        (lambda: bl.compose(P, sc.ddpm_respaced(5), bl.ideal(P, AB)), "gains"),
        (lambda: bl.Chain(P, AB, "ddnm"), "method"),
        (lambda: bl.Chain(P, AB).value(WEIGHTS[:2]), "weights"),
        (lambda: bl.Chain(P, AB).bound("tight"), "cap"),
        (lambda: bl.Chain(P, AB).normalised(-1.0), "zeta_prime"),
        (lambda: bl.design_weights(P, AB, cap="tight"), "cap"),
        (lambda: bl.design_weights(P, AB, tikhonov=-1.0), "tikhonov"),
        (lambda: bl.design_weights(P, AB, n_random=1), "rng"),
        (lambda: bl.design_weights(P, AB, starts={"x": WEIGHTS[1:]}), "starts"),
        (lambda: bl.design_weights(bl.from_matrix(PRIOR, np.zeros((2, 8)), 0.1), AB), "H"),
        (lambda: bl.design_on_surrogate(P, bl.mean_field_mask(LONGER, 0.5), AB), "surrogate"),
    ],
)
def test_bad_input_is_named(call, name):
    with pytest.raises(ValueError, match=name):
        call()
