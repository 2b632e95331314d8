"""Adapters: other parametrisations and foreign models as denoisers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffbook import samplers as sm
from diffbook import schedules as sc
from diffbook.priors.gaussian import GaussianPrior

PRIOR = GaussianPrior.ramp(d=12, mu0=0.3)
ALL = {"ddim": sm.ddim, "ddpm": sm.ddpm, "heun": sm.heun, "dpmpp_2m": sm.dpmpp_2m}
DETERMINISTIC = {name: ALL[name] for name in ("ddim", "heun", "dpmpp_2m")}
over_deterministic = pytest.mark.parametrize("name", DETERMINISTIC)


def start(n: int = 3, prior: GaussianPrior = PRIOR, scale: float = 1.0, seed: int = 0):
    return scale * sm.initial_noise(range(seed, seed + n), prior.shape)


def test_adapters_turn_models_into_denoisers():
    x, ab = start(), 0.37
    x0 = PRIOR.denoise(x, ab)
    eps = (x - np.sqrt(ab) * x0) / np.sqrt(1 - ab)
    np.testing.assert_allclose(sm.x0_from_eps(lambda x, ab, c: eps)(x, ab), x0, atol=1e-12)
    np.testing.assert_allclose(sm.vp_from_ve(PRIOR.denoise_ve)(x, ab), x0, atol=1e-12)


@over_deterministic
def test_an_adapted_denoiser_samples_the_same(name):
    x_T, alpha_bar = start(), sc.cosine(6)
    expected = ALL[name](PRIOR.denoise, x_T, alpha_bar).sample
    adapted = ALL[name](sm.vp_from_ve(PRIOR.denoise_ve), x_T, alpha_bar).sample
    np.testing.assert_allclose(adapted, expected, atol=1e-11)


@pytest.mark.parametrize(
    "adapter",
    [sm.vp_from_ve, sm.x0_from_eps],
    ids=lambda f: f.__name__,
)
def test_adapters_pass_the_condition_on_and_keep_torch(adapter):
    conditions = []

    def model(x, level, cond):
        assert type(level) is float
        conditions.append(cond)
        return x

    x = torch.ones(2, 3)
    out = adapter(model)(x, 0.5, cond="a cat")
    assert conditions == ["a cat"]
    assert out.dtype == torch.float32


def test_a_clipped_denoiser_stays_between_both_ends():
    x = 10.0 * start()
    raw = PRIOR.denoise(x, 0.4)
    for low, high in ((-1.0, 1.5), (-0.5, np.inf)):
        answer = sm.clipped(PRIOR.denoise, low, high)(x, 0.4)
        np.testing.assert_array_equal(answer, np.clip(raw, low, high))
    assert raw.min() < -1.0 and raw.max() > 1.5
    with pytest.raises(ValueError, match="low must be below high"):
        sm.clipped(PRIOR.denoise, 1.0, 1.0)


def test_at_timesteps_finds_the_index_of_a_level():
    chain, seen = sc.ddpm_chain(), []

    def model(x, t, cond):
        seen.append((t, cond))
        return x

    levelled = sm.at_timesteps(model, chain)
    for t in (0, 10, 999):
        levelled(start(), float(chain[t]), cond=t)
    assert seen == [(0, 0), (10, 10), (999, 999)]
    with pytest.raises(ValueError, match=r"alpha_bar_t = 0\.5 is no training level.*t = 258"):
        levelled(start(), 0.5)
    with pytest.raises(ValueError, match=r"alpha_bar_train\[1\]"):
        sm.at_timesteps(model, chain[::-1])


def test_a_discrete_eps_model_samples_on_nearest_timesteps():
    """The whole chain of adapters: wanted schedule, training levels, eps-network, sampler."""
    chain = sc.ddpm_chain()

    def eps_model(x, t, cond):
        ab = float(chain[t])
        return (x - ab**0.5 * PRIOR.denoise(x, ab)) / (1 - ab) ** 0.5

    _, used = sc.nearest_timesteps(sc.sigma_to_alpha_bar(sc.edm(12, *sc.sigma_range())), chain)
    x_T = start()
    out = sm.ddim(sm.x0_from_eps(sm.at_timesteps(eps_model, chain)), x_T, used).sample
    np.testing.assert_allclose(out, sm.ddim(PRIOR.denoise, x_T, used).sample, atol=1e-9)
