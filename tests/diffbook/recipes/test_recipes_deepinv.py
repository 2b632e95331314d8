"""Designed weights inside deepinv's sampler; skipped with a reason where deepinv is not installed."""

import numpy as np
import pytest
import torch

from diffbook import _deepinv as optional
from diffbook import recipes
from diffbook.inverse import published
from diffbook.inverse.exact import gaussian_vjp
from diffbook.inverse.operators import Blur, gaussian_kernel, measure
from diffbook.priors.gaussian import GaussianPrior
from diffbook.recipes import deepinv as adapter
from diffbook.schedules.families import ddpm_chain

needs_deepinv = pytest.mark.skipif(bool(optional.missing()), reason=optional.missing() or "there")
SIZE, S, SIGMA_Y = 16, 8, 0.1
KERNEL = gaussian_kernel(1.0, ndim=2)
OPERATOR = Blur.from_kernel(KERNEL, (SIZE, SIZE))
PRIOR = GaussianPrior.inverse_f((SIZE, SIZE), 2.0)


def test_a_missing_deepinv_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    optional.missing.cache_clear()
    try:
        assert "deepinv is not installed" in optional.missing()
    finally:
        optional.missing.cache_clear()


def test_a_broken_deepinv_is_named(monkeypatch):
    def broken():
        raise ImportError("no module named natsort")

    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr(optional, "load", broken)
    optional.missing.cache_clear()
    try:
        assert "cannot be imported: ImportError: no module named natsort" in optional.missing()
    finally:
        optional.missing.cache_clear()


def recipe(eta=0.0):
    return recipes.weights_for(PRIOR, OPERATOR, SIGMA_Y, S, eta=eta, alphas_cumprod=ddpm_chain())


def test_times_belong_to_the_levels():
    levels = np.concatenate([[1.0], ddpm_chain()[[0, 10, 500, 999]]])
    t = adapter.times(levels)
    np.testing.assert_allclose(np.exp(-0.1 * t - 0.5 * 19.9 * t**2), levels, rtol=1e-12)
    with pytest.raises(ValueError, match="alpha_bar must decrease"):
        adapter.times([0.5, 0.9])


def test_a_recipe_of_another_method_is_refused():
    pigdm = recipes.weights_for(PRIOR, OPERATOR, 0.1, 2, method="pigdm", sigma_range=(0.1, 10.0))
    with pytest.raises(ValueError, match="recipe: got the method 'pigdm', expected 'dps'"):
        adapter.diffusion(pigdm, None)


class Denoiser(torch.nn.Module):
    """The Gaussian denoiser as deepinv calls it, on [-1, 1] or on [0, 1]."""

    def __init__(self, unit):
        super().__init__()
        self.unit = unit

    def forward(self, x, sigma, *args, **kwargs):
        level = float(torch.as_tensor(sigma).flatten()[0])
        if self.unit:
            return (PRIOR.denoise_ve(2.0 * x[:, 0] - 1.0, 2.0 * level)[:, None] + 1.0) / 2.0
        return PRIOR.denoise_ve(x[:, 0], level)[:, None]


def physics(sigma_y):
    library = optional.load()
    centred = np.fft.ifftn(OPERATOR.spectrum).real
    kernel = np.roll(centred, (SIZE // 2, SIZE // 2), (0, 1))[None, None]
    return library.physics.BlurFFT(
        img_size=(1, SIZE, SIZE), filter=torch.from_numpy(kernel.copy()),
        noise_model=library.physics.GaussianNoise(sigma_y),
    )  # fmt: skip


def problem(n, seed=0):
    rng = np.random.default_rng(seed)
    x0 = PRIOR.sample(n, rng)
    y = measure(OPERATOR, x0, SIGMA_Y, rng.standard_normal(x0.shape))
    return x0, y, rng.standard_normal(x0.shape)


@needs_deepinv
@pytest.mark.parametrize("unit", [False, True])
def test_deepinv_with_the_recipe_is_dps_with_its_weights(unit):
    made, (_, y, x_T) = recipe(), problem(3)
    start = made.alpha_bar[-1]  # deepinv starts from x_T as it is, in units of the state
    assert start < 1e-4
    model = adapter.diffusion(made, Denoiser(unit), minus_one_one=unit)
    seen = torch.from_numpy((y + 1.0) / 2.0 if unit else y)[:, None]
    noise = SIGMA_Y / 2.0 if unit else SIGMA_Y
    x = model(seen, physics(noise), x_init=torch.from_numpy(x_T)[:, None])[:, 0].numpy(force=True)
    ours = published.dps(
        PRIOR.denoise, x_T, made.alpha_bar, y=y, operator=OPERATOR, sigma_y=SIGMA_Y,
        weights=made.weights, eta=0.0, vjp=gaussian_vjp(PRIOR),
    ).sample  # fmt: skip
    x = 2.0 * x - 1.0 if unit else x
    # deepinv's denoisers run in single precision.
    assert np.abs(x - ours).max() < 2e-5 * np.abs(ours).max()


@needs_deepinv
def test_error_of_deepinv_with_fresh_noise_is_the_predicted_one():
    made, (x0, y, x_T) = recipe(eta=1.0), problem(400, seed=1)
    model = adapter.diffusion(
        made, Denoiser(False), minus_one_one=False, rng=torch.Generator().manual_seed(3)
    )
    x = model(torch.from_numpy(y)[:, None], physics(SIGMA_Y), x_init=torch.from_numpy(x_T)[:, None])
    error = np.mean((x[:, 0].numpy(force=True) - x0) ** 2, axis=(1, 2))
    standard = error.std(ddof=1) / np.sqrt(len(error))
    assert abs(error.mean() - made.expected["these weights"]["mse"]) < 4.0 * standard


@needs_deepinv
def test_a_level_that_is_none_of_the_recipes_is_refused():
    term = adapter.fidelity(recipe(), minus_one_one=False)
    term.denoiser = Denoiser(False)
    x = torch.zeros(1, 1, SIZE, SIZE, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"sigma: got 0\.77, expected one of the recipe's levels"):
        term.grad(x, x, physics(SIGMA_Y), torch.tensor(0.77))
