"""Spectra of signals and images, several channels included."""

import numpy as np
import pytest

from diffbook.priors import ChannelPriors, GaussianPrior
from diffbook.recipes import spectrum_of

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(16,), (8, 6)])
def test_one_channel_is_the_average_periodogram(shape):
    x = 0.3 + GaussianPrior.inverse_f(shape, 1.5).sample(40, RNG)
    prior = GaussianPrior.estimated(x)
    lam, mu = spectrum_of(x)
    np.testing.assert_allclose(lam, prior.lam.ravel(), rtol=1e-9)
    np.testing.assert_allclose(np.abs(mu), np.abs(prior.mu0_spectral.ravel()), atol=1e-9)


def test_colour_equals_the_rotated_channels_where_one_rotation_serves_all_frequencies():
    rotation = np.linalg.qr(RNG.standard_normal((3, 3)))[0]
    scales = (9.0, 1.0, 0.1)
    priors = tuple(GaussianPrior.inverse_f((8, 8), 2.0, v) for v in scales)
    x = ChannelPriors(rotation, priors).sample(20_000, RNG)
    true = np.sort(np.concatenate([prior.lam.ravel() for prior in priors]))
    lam, _ = spectrum_of(x)
    np.testing.assert_allclose(np.sort(lam), true, rtol=0.1)
    # And what no rotation changes holds to rounding: the total power.
    assert lam.sum() == pytest.approx(((x - x.mean((0, 2, 3), keepdims=True)) ** 2).sum() / 20_000)


def test_the_mean_of_every_channel_is_kept():
    x = RNG.standard_normal((50, 3, 6, 6)) + np.array([1.0, -2.0, 0.5])[:, None, None]
    lam, mu = spectrum_of(x)
    means = x.mean((0, 2, 3))
    # In the basis in which lam is diagonal: a form of the covariance at frequency 0 keeps its value.
    zero = (x.mean((2, 3)) - means) * 6.0
    form = 36.0 * means @ (zero.T @ zero / 50) @ means
    assert np.sum(lam[:3] * np.abs(mu[:3]) ** 2) == pytest.approx(form)
    assert np.sum(np.abs(mu) ** 2) == pytest.approx(36 * np.sum(means**2))
    assert np.count_nonzero(np.abs(mu) > 1e-12) == 3


def test_channels_are_found_where_sizes_say_so_and_asked_for_otherwise():
    x = RNG.standard_normal((6, 3, 8, 8))
    first = np.sort(spectrum_of(x)[0])
    np.testing.assert_allclose(np.sort(spectrum_of(np.moveaxis(x, 1, -1))[0]), first)
    latents = RNG.standard_normal((6, 4, 3, 4))
    with pytest.raises(ValueError, match=r"channels: got None, expected 'first' or 'last'"):
        spectrum_of(latents)
    assert spectrum_of(latents, channels="last")[0].size == 48
    with pytest.raises(ValueError, match=r"channels: got 'first' for data of shape \(6, 8\)"):
        spectrum_of(x[:, 0, 0], channels="first")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (np.zeros((4, 8, 8), np.uint8), r"data: got uint8.*data / 127.5 - 1"),
        (np.full((4, 8, 8), 200.0) + RNG.random((4, 8, 8)), r"grey levels.*data / 127.5 - 1"),
        (RNG.random((1, 8, 8)), "at least 2 examples"),
        (np.zeros((4, 8, 8)), "all alike"),
        (RNG.random(8), "expected 2 or 3 or 4 dimensions"),
    ],
)
def test_what_is_no_data_of_a_model_is_refused_with_what_to_do(data, words):
    with pytest.raises(ValueError, match=words):
        spectrum_of(data)
