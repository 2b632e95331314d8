"""Distances of Gaussians against independent libraries, sampling, and their own axioms."""

from __future__ import annotations

import numpy as np
import oracles
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbook.priors import distances as ds

FAST = settings(max_examples=40, deadline=None, derandomize=True)


def gaussian(d: int, seed: int, rank: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    factor = rng.standard_normal((d, rank or d + 3))
    return rng.standard_normal(d), factor @ factor.T


@pytest.mark.parametrize("d", [1, 2, 7, 30])
@pytest.mark.parametrize("seed", [0, 1])
def test_w2_is_pots(d, seed):
    (m1, c1), (m2, c2) = gaussian(d, seed), gaussian(d, seed + 100)
    expected = ot.gaussian.bures_wasserstein_distance(m1, m2, c1, c2)
    assert ds.w2_gaussian(m1, c1, m2, c2) == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("d", [1, 2, 7, 30])
def test_kl_is_torchs(d):
    p, q = (
        torch.distributions.MultivariateNormal(*map(torch.from_numpy, gaussian(d, seed)))
        for seed in (2, 3)
    )
    for left, right, args in ((p, q, (2, 3)), (q, p, (3, 2))):
        expected = torch.distributions.kl_divergence(left, right).item()
        measured = ds.kl_gaussian(*gaussian(d, args[0]), *gaussian(d, args[1]))
        assert measured == pytest.approx(expected, rel=1e-9)


def test_kl_is_the_mean_log_ratio_of_densities():
    (m1, c1), (m2, c2) = gaussian(3, 4), gaussian(3, 5)
    from scipy.stats import multivariate_normal as mvn

    x = np.random.default_rng(6).multivariate_normal(m1, c1, size=40_000)
    log_ratio = mvn.logpdf(x, m1, c1) - mvn.logpdf(x, m2, c2)
    z = (log_ratio.mean() - ds.kl_gaussian(m1, c1, m2, c2)) / (log_ratio.std() / 200.0)
    assert abs(z) < 4.0


def test_w2_of_a_transport_map_is_its_cost():
    """The optimal map between Gaussians is a symmetric positive matrix: its cost is W2."""
    _, c1 = gaussian(6, 7)
    _, A = gaussian(6, 8)
    expected = np.trace((A - np.eye(6)) @ c1 @ (A - np.eye(6)))
    measured = ds.w2_gaussian(np.zeros(6), c1, np.zeros(6), A @ c1 @ A) ** 2
    assert measured == pytest.approx(expected, rel=1e-9)


def test_w2_of_singular_covariances():
    m, c = gaussian(5, 9, rank=2)
    # The distance of a Gaussian to a point is the root of its trace.
    assert ds.w2_gaussian(m, c, m, np.zeros((5, 5))) == pytest.approx(np.sqrt(np.trace(c)))
    # Round-off of 1e-16 in the squared distance is 1e-8 in the distance.
    assert ds.w2_gaussian(m, c, m, c) < 1e-6


@given(shift=st.floats(-5, 5), scale=st.floats(0.1, 10), seed=st.integers(0, 999))
@FAST
def test_w2_axioms(shift, scale, seed):
    (m1, c1), (m2, c2), (m3, c3) = (gaussian(4, seed + k) for k in (0, 1000, 2000))
    w = ds.w2_gaussian(m1, c1, m2, c2)
    assert ds.w2_gaussian(m2, c2, m1, c1) == pytest.approx(w, rel=1e-9)
    assert w <= ds.w2_gaussian(m1, c1, m3, c3) + ds.w2_gaussian(m3, c3, m2, c2) + 1e-9
    moved = ds.w2_gaussian(scale * m1 + shift, scale**2 * c1, scale * m2 + shift, scale**2 * c2)
    assert moved == pytest.approx(scale * w, rel=1e-9)
    Q, _ = np.linalg.qr(gaussian(4, seed + 3000)[1])
    assert ds.w2_gaussian(Q @ m1, Q @ c1 @ Q.T, Q @ m2, Q @ c2 @ Q.T) == pytest.approx(w, rel=1e-8)
    offset = ds.w2_gaussian(m1, c1, m1 + shift, c1)
    assert offset == pytest.approx(2.0 * abs(shift), rel=1e-6, abs=1e-6)


@given(
    modes=st.lists(
        st.tuples(st.floats(1e-3, 1e3), st.floats(1e-2, 30.0), st.floats(-3, 3)),
        min_size=1,
        max_size=6,
    )
)
@FAST
def test_spectral_forms_are_the_matrix_forms_of_diagonal_gaussians(modes):
    lam, std, error = map(np.array, zip(*modes, strict=True))
    zero, C, V = np.zeros_like(lam), np.diag(lam), np.diag(std**2)
    assert ds.w2_spectral(lam, std, error) == pytest.approx(
        ds.w2_gaussian(zero, C, error, V), rel=1e-6, abs=1e-6
    )
    assert ds.w2_spectral(lam, std, error) ** 2 == pytest.approx(
        oracles.w2_squared(lam, std, error), rel=1e-10
    )
    assert ds.kl_spectral(lam, std, error) == pytest.approx(
        ds.kl_gaussian(zero, C, error, V), rel=1e-7, abs=1e-9
    )
    assert ds.kl_spectral(lam, std, error, reverse=True) == pytest.approx(
        ds.kl_gaussian(error, V, zero, C), rel=1e-7, abs=1e-9
    )
    assert ds.kl_spectral(lam, std, error) >= 0.0


def test_spectral_forms_equal_the_matrix_forms_in_any_common_basis():
    rng = np.random.default_rng(10)
    Q, _ = np.linalg.qr(rng.standard_normal((20, 20)))
    lam, std, error = rng.uniform(0.1, 9, 20), rng.uniform(0.1, 3, 20), rng.standard_normal(20)
    C, V = (Q * lam) @ Q.T, (Q * std**2) @ Q.T
    C, V = 0.5 * (C + C.T), 0.5 * (V + V.T)
    mean = Q @ error
    assert ds.w2_spectral(lam, std, error) == pytest.approx(
        ds.w2_gaussian(0 * mean, C, mean, V), rel=1e-9
    )
    assert ds.kl_spectral(lam, std, error) == pytest.approx(
        ds.kl_gaussian(0 * mean, C, mean, V), rel=1e-9
    )
    assert ds.kl_spectral(lam, std, error, reverse=True) == pytest.approx(
        ds.kl_gaussian(mean, V, 0 * mean, C), rel=1e-9
    )


def test_complex_mean_errors_count_by_their_modulus():
    lam, std = np.ones(3), np.array([1.0, 1.1, 0.8])
    error = np.array([0.3j, 0.4 + 0.3j, -0.2])
    for form in (ds.w2_spectral, ds.kl_spectral):
        assert form(lam, std, error) == form(lam, std, np.abs(error))


def test_spectral_forms_take_any_shape():
    lam, std = np.full((2, 3), 4.0), np.full((2, 3), 1.0)
    assert ds.w2_spectral(lam, std) == pytest.approx(np.sqrt(6.0))
    assert ds.w2_spectral(lam, lam**0.5) == 0.0
    assert ds.kl_spectral(lam, lam**0.5) == 0.0


def test_w2_allows_modes_without_variance_and_kl_does_not():
    assert ds.w2_spectral([0.0, 1.0], [0.5, 0.0]) == pytest.approx(np.sqrt(1.25))
    for lam, std in (([0.0], [1.0]), ([1.0], [0.0])):
        with pytest.raises(
            ValueError, match=r"(lam|std)\[0\] = 0.0: .*drop modes without variance"
        ):
            ds.kl_spectral(lam, std)


def test_frechet_is_w2_of_the_fitted_moments():
    rng = np.random.default_rng(11)
    x, y = rng.standard_normal((50, 2, 3)), rng.standard_normal((60, 2, 3)) * 2.0 + 1.0
    flat_x, flat_y = x.reshape(50, -1), y.reshape(60, -1)
    expected = ot.gaussian.bures_wasserstein_distance(
        flat_x.mean(0), flat_y.mean(0), np.cov(flat_x.T), np.cov(flat_y.T)
    )
    assert ds.frechet(x, y) == pytest.approx(float(expected), rel=1e-9)
    assert ds.frechet(x, x + 3.0) == pytest.approx(3.0 * np.sqrt(6.0), rel=1e-9)
    assert ds.frechet(x[:, 0, :1], 2.0 * x[:, 0, :1]) > 0.0  # one feature
    assert ds.frechet(x[:4], y[:3]) > 0.0  # fewer samples than features


I2, Z2 = np.eye(2), np.zeros(2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ds.w2_gaussian(Z2, np.ones(2), Z2, I2), r"mean_x and cov_x.*\(1, 2\)"),
        (lambda: ds.w2_gaussian(Z2, I2, np.zeros(3), np.eye(3)), "mean_x, mean_y: dimensions dif"),
        (lambda: ds.w2_gaussian(Z2, [[1, 0.5], [0, 1]], Z2, I2), "cov_x must be symmetric"),
        (lambda: ds.w2_gaussian(Z2, -I2, Z2, I2), "cov_x must be positive semi-definite"),
        (lambda: ds.w2_gaussian(Z2, I2, Z2, [[1, 2], [2, 1]]), "cov_y must be positive semi-def"),
        (lambda: ds.kl_gaussian(Z2, I2, Z2, np.ones((2, 2))), "cov_q must be positive definite"),
        (lambda: ds.kl_gaussian(Z2, -I2, Z2, I2), "cov_p.* must be positive definite"),
        (lambda: ds.kl_gaussian(Z2, I2, np.zeros(3), np.eye(3)), "dimensions differ"),
        (lambda: ds.w2_spectral([1.0, 2.0], [1.0]), r"std: expected shape \(2,\)"),
        (lambda: ds.w2_spectral([1.0, 2.0], [1.0, 1.0], [1.0, 2.0, 3.0]), "mean_error"),
        (lambda: ds.frechet(np.ones((1, 2)), np.ones((5, 2))), "n >= 2"),
        (lambda: ds.frechet(np.ones((5, 2)), np.ones((5, 3))), "equal d"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
