"""Colour priors against dense algebra over all three channels at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffbook.priors.colour import ChannelPriors
from diffbook.priors.gaussian import GaussianPrior

ROTATION = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
PRIORS = tuple(GaussianPrior.inverse_f((4, 5), beta, variance) for beta, variance in
               ((2.0, 9.0), (1.5, 1.0), (1.0, 0.2)))  # fmt: skip
COLOUR = ChannelPriors(
    ROTATION,
    tuple(
        GaussianPrior.from_spectrum(prior.lam, mu0)
        for prior, mu0 in zip(PRIORS, (0.4, -0.2, 0.1), strict=True)
    ),
)


def covariance():
    """Covariance of (3, h, w) images in row-major order, from the channels' covariances."""
    return sum(
        np.kron(np.outer(row, row), prior.covariance())
        for row, prior in zip(COLOUR.rotation, COLOUR.priors, strict=True)
    )


@pytest.mark.parametrize("alpha_bar_t", [0.02, 0.6])
def test_denoise_is_the_conditional_mean_of_all_channels(alpha_bar_t):
    x_t = np.random.default_rng(1).standard_normal((3, 3, 4, 5))
    cov, mu0 = covariance(), COLOUR.mu0.ravel()
    var = alpha_bar_t * cov + (1 - alpha_bar_t) * np.eye(60)
    residual = (x_t.reshape(3, -1) - np.sqrt(alpha_bar_t) * mu0).T
    expected = mu0 + np.sqrt(alpha_bar_t) * (cov @ np.linalg.solve(var, residual)).T
    got = COLOUR.denoise(x_t, alpha_bar_t)
    np.testing.assert_allclose(got.reshape(3, -1), expected, atol=1e-12)
    for dtype, atol in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        got = COLOUR.denoise(torch.tensor(x_t, dtype=dtype), alpha_bar_t)
        assert got.dtype == dtype
        np.testing.assert_allclose(got.numpy().reshape(3, -1), expected, atol=atol)
    assert COLOUR.denoise(x_t.astype(np.float32), alpha_bar_t).dtype == np.float32


def test_denoise_is_differentiable():
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(lambda x: COLOUR.denoise(x, 0.3), x.requires_grad_())


def test_samples_have_the_covariance_and_estimation_finds_rotation_and_spectra():
    x = COLOUR.sample(20_000, np.random.default_rng(2))
    got = np.cov(x.reshape(len(x), -1).T)
    expected = covariance()
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert np.abs((got - expected) / scale).max() < 5 * np.sqrt(2 / len(x))
    np.testing.assert_allclose(x.mean(0), COLOUR.mu0, atol=0.15)
    for images in (x, np.moveaxis(x, 1, -1)):
        found = ChannelPriors.estimated(images)
        overlap = np.abs(found.rotation @ COLOUR.rotation.T)
        np.testing.assert_allclose(overlap, np.eye(3), atol=0.02)
        assert found.rotation[np.arange(3), np.abs(found.rotation).argmax(1)].min() > 0
        np.testing.assert_allclose(found.lam / COLOUR.lam, 1.0, atol=0.1)
        np.testing.assert_allclose(found.mu0, COLOUR.mu0, atol=0.1)
        rotated = found.to_channels(x)
        np.testing.assert_allclose(
            np.cov(np.moveaxis(rotated, 1, 0).reshape(3, -1)) - np.diag(rotated.var((0, 2, 3))),
            0.0,
            atol=1e-4,
        )


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, 1), (1, -1, -1), (-1, -1, -1)])
def test_estimated_directions_do_not_depend_on_the_signs_of_eigenvectors(flip, monkeypatch):
    x = COLOUR.sample(50, np.random.default_rng(6))
    expected, eigh = ChannelPriors.estimated(x), np.linalg.eigh

    def other_signs(cov):
        values, vectors = eigh(cov)
        return values, vectors * flip if cov.shape == (3, 3) else vectors

    monkeypatch.setattr(np.linalg, "eigh", other_signs)
    found = ChannelPriors.estimated(x)
    np.testing.assert_array_equal(found.rotation, expected.rotation)
    np.testing.assert_array_equal(found.mu0, expected.mu0)
    assert found.rotation[np.arange(3), np.abs(found.rotation).argmax(1)].min() > 0


def test_rotation_goes_back_and_forth():
    x = np.random.default_rng(3).standard_normal((2, 3, 7))
    np.testing.assert_allclose(COLOUR.from_channels(COLOUR.to_channels(x)), x, atol=1e-14)
    np.testing.assert_allclose(
        COLOUR.to_channels(x), np.einsum("ij,njk->nik", COLOUR.rotation, x), atol=1e-14
    )


GOOD = np.random.default_rng(4).standard_normal((6, 3, 4, 5))
BAD = [
    (r"^rotation must be orthogonal", lambda: ChannelPriors(2 * ROTATION, PRIORS)),
    (r"^rotation: expected shape \(3, 3\)", lambda: ChannelPriors(np.eye(2), PRIORS)),
    (r"^priors must be three", lambda: ChannelPriors(ROTATION, PRIORS[:2])),
    (
        r"^priors must be three",
        lambda: ChannelPriors(ROTATION, (*PRIORS[:2], GaussianPrior.inverse_f((5, 4)))),
    ),
    (r"^x: expected 4 dimensions", lambda: ChannelPriors.estimated(GOOD[0])),
    (r"^channels must say", lambda: ChannelPriors.estimated(GOOD, channels="last")),
    (r"^channels must say", lambda: ChannelPriors.estimated(GOOD[..., :3])),
    (r"^channels must say", lambda: ChannelPriors.estimated(GOOD[:, :2])),
    (r"^x_t must be .*\(n, 3, 4, 5\)", lambda: COLOUR.denoise(GOOD[:, :, :3], 0.5)),
    (r"^x must be a real floating", lambda: COLOUR.to_channels(GOOD.astype(int))),
    (r"^x must have shape \(n, 3, ", lambda: COLOUR.to_channels(GOOD[:, :2])),
]


@pytest.mark.parametrize(("message", "call"), BAD)
def test_bad_input_is_refused_by_name(message, call):
    with pytest.raises(ValueError, match=message):
        call()


def test_equal_sizes_need_the_place_of_the_channels():
    x = np.random.default_rng(5).standard_normal((9, 3, 4, 3))
    first = ChannelPriors.estimated(x, channels="first")
    last = ChannelPriors.estimated(x, channels="last")
    assert first.shape == (3, 4, 3)
    assert last.shape == (3, 3, 4)
