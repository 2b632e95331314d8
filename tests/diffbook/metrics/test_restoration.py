"""Fidelity, consistency, and the interval over seeds and images."""

import numpy as np
import pytest
import torch
from scipy import stats

from diffbook import inverse
from diffbook.metrics import restoration
from diffbook.metrics.intervals import crossed_ci
from diffbook.metrics.restoration import (
    consistency,
    energy_score,
    psnr,
    spread_over_error,
    ssim,
)

RNG = np.random.default_rng


def test_psnr_of_a_known_error():
    """An error of 0.02 everywhere on a range of 2 is 40 dB, whatever the image."""
    x0 = RNG(0).uniform(-1, 1, (3, 8, 8))
    np.testing.assert_allclose(psnr(x0 + 0.02, x0), 40.0)
    np.testing.assert_allclose(psnr(x0 + 0.02, x0, data_range=1.0), 40.0 - 20 * np.log10(2))
    assert np.all(np.isinf(psnr(x0, x0)))


def test_psnr_is_per_image_and_takes_torch_and_colour():
    x0 = np.zeros((2, 3, 4, 4))
    x = x0.copy()
    x[1] = 0.2
    found = psnr(torch.as_tensor(x), torch.as_tensor(x0))
    np.testing.assert_allclose(found, [np.inf, 20.0])


@pytest.mark.parametrize("data_range", [2.0, 0.5])
def test_ssim_equals_the_formula_on_one_window(data_range):
    """A 7 x 7 image has one window: the formula of Wang et al. 2004, written out."""
    a, b = RNG(1).uniform(-1, 1, (2, 7, 7))
    va, vb, cov = a.var(ddof=1), b.var(ddof=1), np.cov(a.ravel(), b.ravel())[0, 1]
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    expected = (2 * a.mean() * b.mean() + c1) * (2 * cov + c2)
    expected /= (a.mean() ** 2 + b.mean() ** 2 + c1) * (va + vb + c2)
    np.testing.assert_allclose(ssim(a[None], b[None], data_range), expected, rtol=1e-10)


def test_ssim_limits_and_windows():
    x = RNG(2).uniform(-1, 1, (4, 8, 8))
    np.testing.assert_allclose(ssim(x, x), 1.0)
    noisy = x + 0.3 * RNG(3).standard_normal(x.shape)
    assert np.all(ssim(noisy, x) < 1)
    assert not np.allclose(ssim(noisy, x, window=3), ssim(noisy, x))
    assert ssim(x[:, :6, :6], x[:, :6, :6]).shape == (4,)  # window 5 fits
    colour = np.stack([x, noisy], axis=1)
    other = np.stack([noisy, noisy], axis=1)
    mean = (ssim(x, noisy) + 1.0) / 2
    np.testing.assert_allclose(ssim(colour, other), mean)


@pytest.mark.parametrize(
    "operator",
    [
        inverse.Blur.from_transfer(inverse.gaussian_transfer((8, 8), 1.0)),
        inverse.Downsampling((8, 8), 2),
        inverse.Mask(RNG(0).random((8, 8)) < 0.5),
    ],
)
def test_consistency_of_the_truth_is_one(operator):
    x0 = RNG(4).standard_normal((400, 8, 8))
    noise = RNG(5).standard_normal((400, *operator.measurement_shape))
    y = inverse.measure(operator, x0, 0.1, noise)
    found = consistency(x0, y, operator, 0.1)
    assert found.shape == (400,)
    m = np.prod(operator.measurement_shape)
    assert abs(found.mean() - 1.0) < 4 * np.sqrt(2 / (m * 400))
    np.testing.assert_allclose(consistency(x0, y, operator, 0.2), found / 4)
    both = torch.as_tensor(x0), torch.as_tensor(y)
    np.testing.assert_allclose(consistency(*both, operator, 0.1), found)


def draws(rng, K, n, seeds, images, rest):
    return (
        seeds * rng.standard_normal((K, 1))
        + images * rng.standard_normal((1, n))
        + rest * rng.standard_normal((K, n))
    )


@pytest.mark.parametrize("scales", [(1.0, 0.1, 0.1), (0.02, 1.0, 0.3), (0.3, 1.0, 1.0), (0, 0, 1)])
def test_crossed_interval_covers(scales):
    """Nominal 95 % over fresh seeds and images; ignoring the seeds would cover far less."""
    rng = RNG(6)
    hits, naive = 0, 0
    for _ in range(600):
        v = draws(rng, 3, 50, *scales)
        _, low, high = crossed_ci(v)
        hits += low < 0.0 < high
        naive += abs(v.mean()) < 1.96 * v.std() / np.sqrt(v.size)
    assert hits / 600 > 0.925
    if scales[0] >= 0.3:
        assert naive / 600 < 0.75


def mean_squares(v):
    """Analysis of variance, one sum at a time: of the seeds, of the images, of the rest."""
    (K, n), mean = v.shape, v.mean()
    rows, columns = v.mean(1) - mean, v.mean(0) - mean
    rest = sum((v[k, i] - mean - rows[k] - columns[i]) ** 2 for k in range(K) for i in range(n))
    return n * sum(rows**2) / (K - 1), K * sum(columns**2) / (n - 1), rest / (K - 1) / (n - 1)


def test_crossed_variance_is_that_of_the_mean():
    """Expected mean squares: the rest is in both of the others, so it is taken away once."""
    K, n, (seeds, images, rest), found = 8, 9, (1.0, 0.8, 1.5), []
    rng = RNG(8)
    for _ in range(1500):
        v = draws(rng, K, n, seeds, images, rest)
        ms = mean_squares(v)
        variance = (ms[0] + ms[1] - ms[2]) / (K * n)
        found.append(variance)
        larger = max(variance, ms[0] / (K * n), ms[1] / (K * n))
        freedom = (larger * K * n) ** 2 / (ms[0] ** 2 / (K - 1) + ms[1] ** 2 / (n - 1))
        half = stats.t.ppf(0.975, freedom) * np.sqrt(larger)
        mean, low, high = crossed_ci(v)
        assert (mean - low, high - mean) == pytest.approx((half, half), rel=1e-9)
    exact = seeds**2 / K + images**2 / n + rest**2 / (K * n)
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - exact) < 4 * error
    assert rest**2 / (K * n) > 8 * error  # enough to see whether it counts once or twice


def test_crossed_interval_by_hand():
    """Two seeds, additive table: the rest is zero, so both variances simply add."""
    v = np.array([[1.0, 3.0], [2.0, 4.0]])
    mean, low, high = crossed_ci(v)
    assert mean == 2.5
    seeds, images = 0.5 / 2, 2.0 / 2
    freedom = (seeds + images) ** 2 / (seeds**2 + images**2)
    half = stats.t.ppf(0.975, freedom) * np.sqrt(seeds + images)
    assert high - mean == pytest.approx(half)
    assert mean - low == pytest.approx(half)
    assert crossed_ci(np.ones((2, 3))) == (1.0, 1.0, 1.0)


def test_bad_arguments():
    x = np.zeros((2, 8, 8))
    with pytest.raises(ValueError, match=r"x0: expected shape \(2, 8, 8\), got \(1, 8, 8\)"):
        psnr(x, x[:1])
    with pytest.raises(ValueError, match="window: got 9"):
        ssim(x, x, window=9)
    with pytest.raises(ValueError, match="window: got 4"):
        ssim(x, x, window=4)
    with pytest.raises(ValueError, match=r"x: got shape \(2, 8\)"):
        ssim(x[:, 0], x[:, 0])
    with pytest.raises(
        ValueError, match=r"y: got shape \(1, 8, 8\), expected \(2, 8, 8\) like H x"
    ):
        consistency(x, x[:1], inverse.identity((8, 8)), 0.1)
    with pytest.raises(ValueError, match=r"values: got shape \(1, 2\), .*at least 2"):
        crossed_ci([[1.0, 2.0]])
    assert restoration.DATA_RANGE == 2.0


# --- draws ----------------------------------------------------------------------------------------


def test_energy_score_is_its_double_sum():
    x, x0 = RNG(0).standard_normal((2, 3, 4, 4)), RNG(1).standard_normal((2, 4, 4))
    for found, draws, truth in zip(energy_score(x, x0), x, x0, strict=True):
        error = np.mean([np.linalg.norm(a - truth) for a in draws])
        pairs = [np.linalg.norm(a - b) for i, a in enumerate(draws) for b in draws[:i]]
        assert found == pytest.approx((error - np.mean(pairs) / 2) / 4)


def test_energy_score_is_proper_and_has_no_bias():
    """Truths from N(0, 1): N(0, 1) scores best, whatever the number of draws, at a known value."""
    n, d, rng = 40_000, 6, RNG(2)
    x0, z = rng.standard_normal((n, d)), rng.standard_normal((n, 8, d))
    # E|a - b| of two standard normal vectors is 2 Gamma((d + 1) / 2) / Gamma(d / 2).
    from scipy.special import gamma

    expected = gamma((d + 1) / 2) / gamma(d / 2) / np.sqrt(d)
    for m in (2, 8):
        scores = energy_score(z[:, :m], x0)
        assert abs(scores.mean() - expected) < 4 * scores.std() / np.sqrt(n)
    best = energy_score(z, x0).mean()
    for other in (0.5 * z, 1.5 * z, z + 0.3):
        assert energy_score(other, x0).mean() > best + 0.005


@pytest.mark.parametrize("m", [2, 10])
def test_spread_over_error_of_exact_draws_is_one(m):
    """Posterior N(mean, 0.7^2) with any mean: 1 for its draws, 0.5 for draws with half the spread."""
    n, rng = 20_000, RNG(3)
    mean = rng.standard_normal((n, 1, 4))
    x0 = mean[:, 0] + 0.7 * rng.standard_normal((n, 4))
    z = 0.7 * rng.standard_normal((n, m, 4))
    assert spread_over_error(mean + z, x0) == pytest.approx(1.0, rel=0.02)
    few = np.sqrt(0.25 * (m + 1) / m / (1 + 0.25 / m))
    assert spread_over_error(mean + 0.5 * z, x0) == pytest.approx(few, rel=0.02)


def test_draws_that_cannot_be_scored_are_refused():
    x, x0 = np.zeros((2, 3, 4)), np.zeros((2, 4))
    for score in (energy_score, spread_over_error):
        with pytest.raises(ValueError, match=r"x: got shape \(2, 1, 4\).*m >= 2"):
            score(x[:, :1], x0)
        with pytest.raises(ValueError, match=r"x: got shape \(2, 3, 4\)"):
            score(x, np.zeros((2, 5)))
    with pytest.raises(ValueError, match="mean is x0 everywhere"):
        spread_over_error(x, x0)
