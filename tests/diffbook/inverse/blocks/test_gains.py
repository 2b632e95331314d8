"""Samplers where modes couple, against their algorithms in the signal domain and golden numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import ot
import pytest
from block_cases import (
    AB,
    CASES,
    METHODS,
    WEIGHTS,
    dense_step,
    gaussian_transfer,
    lorentzian,
    over_cases,
    over_methods,
)

from diffbook import schedules as sc
from diffbook.inverse.blocks import design as bw
from diffbook.inverse.blocks import gains as bs
from diffbook.inverse.blocks import problem as bl
from diffbook.inverse.blocks.chain import Chain
from diffbook.inverse.gains import kappa
from diffbook.priors.distances import w2_gaussian
from diffbook.samplers import transfer as tr

# --- samplers ---------------------------------------------------------------------------------


@over_cases
@over_methods
def test_composition_is_the_sampler_run_in_the_signal_domain(name, method):
    case, rng = CASES[name], np.random.default_rng(0)
    t = bs.compose(case.p, AB, METHODS[method](case.p))
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
    t = bs.compose(p, AB, METHODS[method](p))
    total = np.sqrt(AB[-1]) * t.D1 + t.D2 + t.D3 @ p.H
    assert np.abs(total - np.eye(p.lam.shape[1])).max() < 1e-12 * max(1.0, np.abs(t.D3).max())


@over_cases
def test_ideal_step_to_the_clean_end_is_the_precision_form(name):
    case, rng = CASES[name], np.random.default_rng(1)
    ab, sy2 = 0.3, case.p.sigma_y**2
    x, y = rng.standard_normal((2, case.d)), rng.standard_normal((2, case.q))
    prec = np.linalg.inv(case.cov)
    left = prec + ab / (1 - ab) * np.eye(case.d) + case.H.T @ case.H / sy2
    right = prec @ case.mu + np.sqrt(ab) / (1 - ab) * x + y @ case.H / sy2
    t = bs.compose(case.p, [1.0, ab], bs.ideal(case.p, [1.0, ab]))
    blocks = np.einsum("mij,nmj->nmi", t.D1, case.x_blocks(x))
    blocks = blocks + np.einsum("mij,mj->mi", t.D2, case.p.mu0)
    blocks = blocks + np.einsum("mij,nmj->nmi", t.D3, case.y_blocks(y))
    np.testing.assert_allclose(case.to_signal(blocks), np.linalg.solve(left, right.T).T, atol=1e-10)


@over_cases
@pytest.mark.parametrize("method", ["dps", "pigdm", "diffpir"])
def test_family_is_the_published_gain_and_its_derivative(name, method):
    """``diag(L) H* U diag(f) U*`` in the blocks, and f's slope against differences."""
    p = CASES[name].p
    b = np.linspace(0.2, 0.7, len(WEIGHTS))[:, None]
    make = {"dps": bs.dps_family, "pigdm": bs.pigdm_family, "diffpir": bs.diffpir_family}[method]
    family = make(p, AB, *([b] if method == "diffpir" else []))
    U, s, Vh = p.svd
    f, df = family.filters(WEIGHTS)
    Hh, eye = np.conj(np.swapaxes(p.H, 1, 2)), np.eye(p.H.shape[1])
    slopes = bs.slopes(p, AB)
    for i, (ab, theta) in enumerate(zip(AB[1:], WEIGHTS, strict=True)):
        W = np.sqrt(ab) * p.lam / (ab * p.lam + 1 - ab)
        np.testing.assert_allclose(slopes[i], W, rtol=1e-13)
        if method == "dps":
            expected = 2.0 * theta * W[..., None] * Hh
        elif method == "pigdm":
            inverse = np.linalg.inv((1 - ab) * p.H @ Hh + p.sigma_y**2 * eye)
            expected = theta * W[..., None] * (Hh @ inverse)
        else:
            rho = theta * p.sigma_y**2 * ab / (1 - ab)
            expected = b[i] * (Hh @ np.linalg.inv(p.H @ Hh + rho * eye))
        V, Uh = np.conj(np.swapaxes(Vh, 1, 2)), np.conj(np.swapaxes(U, 1, 2))
        found = family.L[i][..., None] * (V @ ((f[i] * s)[..., None] * Uh))
        np.testing.assert_allclose(found, expected, atol=1e-11 * np.abs(expected).max())
    ends = [family.filters(WEIGHTS + e * 1e-6)[0] for e in (1, -1)]
    np.testing.assert_allclose(
        np.broadcast_to(df, f.shape), (ends[0] - ends[1]) / 2e-6, rtol=1e-6, atol=1e-6 * f.max()
    )


@over_cases
def test_ideal_sampler_is_ddim_of_the_posterior(name):
    p = CASES[name].p
    t = bs.compose(p, AB, bs.ideal(p, AB))
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
        w2.append(bs.compose(p, ab, bs.ideal(p, ab)).w2_squared)
    assert w2[0] > w2[1] > w2[2] and w2[2] < 2e-3 * w2[0]


# --- measures ---------------------------------------------------------------------------------


@over_cases
@pytest.mark.parametrize("method", ["dps", "dps eta", "ddnm", "ideal"])
def test_bures_term_against_other_libraries(name, method):
    case = CASES[name]
    t = bs.compose(case.p, AB, METHODS[method](case.p))
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
    t = bs.compose(p, AB, METHODS[method](p))
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
        parts = [bs.compose(p, AB, METHODS[method](p)) for p in (case.p, bl.merged(case.p), dense)]
        for key in ("bias", "gain", "std", "mse", "consistency", "spread"):
            values = [getattr(t, key) for t in parts]
            # Eigenvalues of a singular V are lost below rounding, and their roots are summed.
            loose = key == "std" and not parts[0].deterministic
            np.testing.assert_allclose(
                values, values[0], rtol=1e-7 if loose else 1e-10, atol=1e-11, err_msg=key
            )


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
    chain = Chain(bl.merged(p), ab)

    def w2(gains):
        return bs.compose(p, ab, gains).w2_squared

    values = (
        w2(bs.ideal(p, ab)),
        w2(bs.ideal(p, ab, eta=1.0)),
        chain.value(chain.normalised(0.3)),
        w2(bs.dps(p, ab, chain.normalised(1.0))),
        bw.best_normalised(p, ab)[1],
        w2(bs.pigdm(p, ab)),
        w2(bs.pigdm(p, ab, kappa(ab))),
        w2(bs.diffpir(p, ab, np.full(S, 7.0))),
    )
    np.testing.assert_allclose(values, GOLDEN[key], rtol=1e-5)


def test_golden_numbers_of_super_resolution():
    """d = 32, every fourth sample after a Gaussian blur of one sample, sigma_y = 0.2, S = 10."""
    prior, ab = lorentzian(32), sc.ddpm_respaced(10)
    p = bl.from_downsampling(prior, 4, gaussian_transfer((32,), 1.0), 0.2)
    values = [p.mmse] + [
        bs.compose(p, ab, gains).w2_squared
        for gains in (
            bs.ideal(p, ab),
            bs.pigdm(p, ab),
            bs.diffpir(p, ab, np.full(10, 7.0), zeta=0.0),
            bs.ddnm(p, ab, eta=0.0),
        )
    ]
    # Printed with four decimals.
    np.testing.assert_allclose(values, (12.793, 0.6142, 0.9097, 1.7166, 1.6932), rtol=0, atol=6e-4)
    np.testing.assert_allclose(values[1:], (0.6142, 0.9097, 1.7166, 1.6932), rtol=0, atol=1e-4)


# --- errors -----------------------------------------------------------------------------------

PRIOR = lorentzian(8)
P = bl.from_downsampling(PRIOR, 2, None, 0.1)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: bs.ideal(P, AB[::-1]), "alpha_bar"),
        (lambda: bs.ideal(P, AB, eta=1.5), "eta"),
        (lambda: bs.dps(P, AB, WEIGHTS[1:]), "weights"),
        (lambda: bs.diffpir_family(P, AB, WEIGHTS), "b: expected shape"),
        (lambda: bs.inner(P, P.H, P.H[:1]), "A and B must be alike"),
        (lambda: bs.compose(P, sc.ddpm_respaced(5), bs.ideal(P, AB)), "gains"),
    ],
)
def test_bad_input_is_named(call, name):
    with pytest.raises(ValueError, match=name):
        call()
