"""Inverse problems whose modes couple, against dense algebra in the signal domain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from block_cases import (
    AB,
    CASES,
    WEIGHTS,
    gaussian_transfer,
    image_prior,
    lorentzian,
    over_cases,
    unitary,
)

from diffbook.inverse.blocks import gains as bs
from diffbook.inverse.blocks import problem as bl
from diffbook.inverse.blocks.chain import Chain
from diffbook.priors.gaussian import GaussianPrior


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
    assert np.isfinite(bs.compose(p, AB, bs.pigdm(p, AB)).w2_squared)


def test_weak_measurements_count_as_long_as_there_is_little_noise():
    """A number that sees its mode a thousand times weaker than another does."""
    h, lam, sigma_y = np.array([1.0, 1e-3]), np.array([2.0, 3.0]), 1e-4
    p = bl.BlockProblem(
        lam[None], np.diag(h)[None], np.zeros((1, 2)), sigma_y, np.ones(1), np.array([[0, 1]])
    )
    gain = lam * h / (h**2 * lam + sigma_y**2)
    np.testing.assert_allclose(p.K[0], np.diag(gain), rtol=1e-9)
    np.testing.assert_allclose(
        p.Sp[0], np.diag(lam * sigma_y**2 / (h**2 * lam + sigma_y**2)), rtol=1e-9
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
            a, b = (Chain(q, AB, "dps").value_and_grad(weights) for q in (p, small))
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
    biases = [bs.compose(q, ab, bs.dps(q, ab, WEIGHTS[:3])).bias for q in (p, small)]
    assert biases[0] > 0.1 and biases[1] == pytest.approx(biases[0], rel=1e-11)


# --- errors -----------------------------------------------------------------------------------

PRIOR = lorentzian(8)
GENERAL = CASES["wide"].prior
P = bl.from_downsampling(PRIOR, 2, None, 0.1)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: bl.from_blur(PRIOR, np.ones(7), 0.1), "transfer"),
        (lambda: bl.from_blur(GENERAL, None, 0.1), "prior"),
        (lambda: bl.from_downsampling(GENERAL, 2), "prior"),
        (lambda: bl.from_downsampling(PRIOR, 3), "factor"),
        (lambda: bl.from_downsampling(PRIOR, True), "factor"),
        (lambda: bl.from_matrix(PRIOR, np.eye(7), 0.1), "H: expected shape"),
        (lambda: bl.from_matrix(PRIOR, 1.0, 0.1), "H: expected shape"),
        (lambda: replace(P, H=P.H[:, 0]), "H: expected shape"),
        (lambda: replace(P, mu0=P.mu0[:, :1]), "mu0"),
        (lambda: replace(P, count=P.count[:1]), "count"),
        (lambda: replace(P, modes=P.modes[:1]), "modes"),
    ],
)
def test_bad_input_is_named(call, name):
    with pytest.raises(ValueError, match=name):
        call()
