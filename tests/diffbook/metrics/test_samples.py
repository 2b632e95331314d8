"""Sample metrics against POT, scipy, and closed forms."""

import numpy as np
import ot
import pytest
from scipy import linalg, stats

from diffbook.datasets import photos
from diffbook.metrics import intervals, samples

RNG = np.random.default_rng


def test_frechet_against_pot_and_sqrtm():
    rng = RNG(0)
    x = rng.standard_normal((400, 5)) @ rng.standard_normal((5, 5)) + 1.0
    y = rng.standard_normal((300, 5)) @ rng.standard_normal((5, 5))
    got = samples.frechet(x, y)
    cx, cy = np.cov(x.T), np.cov(y.T)
    root = linalg.sqrtm(cx @ cy).real
    squared = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(cx + cy - 2 * root)
    assert got == pytest.approx(np.sqrt(squared), rel=1e-8)
    assert got == pytest.approx(
        ot.gaussian.bures_wasserstein_distance(x.mean(0), y.mean(0), cx, cy), rel=1e-6
    )


def test_sliced_w2_in_one_dimension_is_exact():
    x, y = RNG(0).standard_normal(500), 2 * RNG(1).standard_normal(500) + 1
    expected = np.sqrt(np.mean((np.sort(x) - np.sort(y)) ** 2))
    assert samples.sliced_w2(x[:, None], y[:, None], n_projections=1) == pytest.approx(
        expected, rel=1e-9
    )


def test_sliced_w2_of_a_shift():
    """A shift by v has sliced W2^2 = |v|^2 / d for any distribution."""
    x = RNG(0).standard_normal((300, 4, 4))
    got = samples.sliced_w2(x, x + 0.5, n_projections=4000)
    assert got == pytest.approx(np.sqrt(16 * 0.25 / 16), rel=0.02)


def test_sliced_w2_sees_what_frechet_does_not():
    x = RNG(0).standard_normal((2000, 3))
    y = np.sign(x) * np.sqrt(np.abs(RNG(1).standard_normal((2000, 3))))
    y = (y - y.mean(0)) @ linalg.inv(linalg.sqrtm(np.cov(y.T))) @ linalg.sqrtm(
        np.cov(x.T)
    ) + x.mean(0)
    assert samples.frechet(x, y) < 1e-6
    assert samples.sliced_w2(x, y) > 0.1


def test_sliced_w2_is_reproducible_and_checks_dimensions():
    x, y = RNG(0).standard_normal((2, 50, 6))
    assert samples.sliced_w2(x, y, seed=3) == samples.sliced_w2(x, y, seed=3)
    assert samples.sliced_w2(x, y, seed=3) != samples.sliced_w2(x, y, seed=4)
    with pytest.raises(ValueError, match="got 6 and 5 dimensions"):
        samples.sliced_w2(x, y[:, :5])


def test_gabor_responds_to_its_own_frequency_and_orientation():
    i, j = np.mgrid[:16, :16]
    banks = [(f, t) for f in samples.FREQUENCIES for t in samples.ORIENTATIONS]
    for index, (f, theta) in enumerate(banks):
        wave = np.cos(2 * np.pi * f * (j * np.cos(theta) + i * np.sin(theta)))
        energy = samples.gabor_energies(wave[None])[0, :-1].reshape(12, 4).mean(1)
        assert np.argmax(energy) == index, (f, theta)


def test_gabor_shape_mean_and_contrast():
    x = photos.patches(20, 16, "validation")
    features = samples.gabor_energies(x)
    assert features.shape == (20, 49)
    np.testing.assert_allclose(features[:, -1], x.mean((1, 2)))
    np.testing.assert_allclose(
        samples.gabor_energies(x + 0.3)[:, :-1], features[:, :-1], atol=1e-10
    )
    np.testing.assert_allclose(samples.gabor_energies(2 * x)[:, :-1], 2 * features[:, :-1])
    assert samples.gabor_energies(np.zeros((1, 8, 8))).shape == (1, 49)
    with pytest.raises(ValueError, match="even sides"):
        samples.gabor_energies(np.zeros((1, 7, 8)))


def test_gabor_matrices_are_the_filters():
    from scipy.ndimage import convolve
    from skimage.filters import gabor_kernel

    x = RNG(0).standard_normal((16, 16))
    kernel = gabor_kernel(samples.FREQUENCIES[1], theta=samples.ORIENTATIONS[3], bandwidth=1.0)
    kernel = kernel - kernel.mean()
    direct = np.abs(
        convolve(x, kernel.real, mode="reflect") + 1j * convolve(x, kernel.imag, mode="reflect")
    )
    quadrant = direct[:8, 8:].mean()
    assert samples.gabor_energies(x[None])[0, (4 + 3) * 4 + 1] == pytest.approx(quadrant, rel=1e-10)


def test_power_spectrum_of_white_noise_and_of_a_wave():
    x = 0.7 * RNG(0).standard_normal((4000, 16, 16))
    np.testing.assert_allclose(samples.power_spectrum(x), 0.49, rtol=0.06)
    phase = RNG(1).uniform(0, 2 * np.pi, (500, 1, 1))
    wave = np.cos(2 * np.pi * 3 * np.arange(16) / 16 + phase) * np.ones((1, 16, 1))
    spectrum = samples.power_spectrum(wave)
    assert spectrum.shape == (9,)
    assert np.argmax(spectrum) == 3
    assert spectrum[3] > 0.999 * spectrum.sum()
    with pytest.raises(ValueError, match="x: got shape"):
        samples.power_spectrum(np.zeros((3, 4, 5)))


def test_power_spectrum_of_two_images_is_unbiased():
    """Two images differ from their mean by half their difference: one degree of freedom."""
    flash = np.zeros((2, 8, 8))
    flash[:, 0, 0] = 1.0, -1.0
    np.testing.assert_allclose(samples.power_spectrum(flash), 2 / 64, rtol=1e-12)
    rng = RNG(2)
    found = np.stack([samples.power_spectrum(rng.standard_normal((2, 8, 8))) for _ in range(2000)])
    error = found.std(0) / np.sqrt(len(found))
    assert np.abs((found.mean(0) - 1.0) / error).max() < 4.5
    assert error.max() < 0.05


def test_spectrum_error_of_a_gain_is_its_decibel():
    x = photos.patches(200, 16, "validation")
    assert samples.spectrum_error(x, x) == 0.0
    assert samples.spectrum_error(0.5 * x, x) == pytest.approx(20 * np.log10(2), rel=1e-9)


def test_mean_ci_against_scipy():
    v = np.array([1.0, 1.5, 0.7, 1.2])
    mean, low, high = intervals.mean_ci(v)
    expected = stats.t.interval(0.95, 3, loc=v.mean(), scale=stats.sem(v))
    np.testing.assert_allclose([mean, low, high], [v.mean(), *expected])


def test_mean_ci_covers():
    draws = RNG(0).standard_normal((4000, 3)) + 2.0
    hits = [low <= 2.0 <= high for _, low, high in map(intervals.mean_ci, draws)]
    assert np.mean(hits) == pytest.approx(0.95, abs=0.015)


def test_paired_ci_removes_what_pairs_share():
    rng = RNG(0)
    shared = 10 * rng.standard_normal(5)
    a, b = shared + 1 + 0.01 * rng.standard_normal(5), shared
    mean, low, high = intervals.paired_ci(a, b)
    assert mean == pytest.approx(1.0, abs=0.02)
    assert high - low < 0.1
    with pytest.raises(ValueError, match=r"b: expected shape \(5,\), got \(4,\)"):
        intervals.paired_ci(a, b[:4])


def test_ci_refuses():
    with pytest.raises(ValueError, match="values: got 1"):
        intervals.mean_ci([1.0])


def test_bootstrap_of_the_mean_matches_the_t_interval():
    x = RNG(0).standard_normal(400)
    value, low, high = intervals.bootstrap_ci(np.mean, x, draws=2000)
    _, t_low, t_high = intervals.mean_ci(x)
    assert value == x.mean()
    assert (low, high) == pytest.approx((t_low, t_high), abs=0.012)


def test_image_metrics_against_direct_calls():
    x, y = RNG(0).standard_normal((2, 100, 8, 8))
    found = {name: f(x) for name, f in samples.image_metrics(y).items()}
    assert set(found) == {"pixels", "gabor", "sliced W2", "spectrum dB"}
    assert found["pixels"] == pytest.approx(samples.frechet(x, y), rel=1e-9)
    assert found["gabor"] == pytest.approx(
        samples.frechet(samples.gabor_energies(x), samples.gabor_energies(y)), rel=1e-9
    )
    assert found["sliced W2"] == samples.sliced_w2(x, y)
    assert found["spectrum dB"] == samples.spectrum_error(x, y)
