"""What guided samplers share: weights a step, the denoiser's Jacobian, unguided steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffbook import inverse, samplers
from diffbook.inverse import guidance
from diffbook.samplers import protocol

AB = [1.0, 0.6, 0.2]


def curved(x, level, cond=None):
    return level * torch.tanh(x) + torch.roll(x, 1, -1) ** 2


def prepared(x_T, **options):
    blur = inverse.Blur.from_transfer(inverse.gaussian_transfer(5, 1.0, 0.5))
    return guidance.prepare(
        samplers.x0_from_eps(lambda x, level, cond: 0.3 * x), x_T, AB, x_T, blur, 0.1,
        options.pop("noise", None), None, False, **options,
    )  # fmt: skip


def test_product_with_the_jacobian_is_the_dense_one():
    generator = torch.Generator().manual_seed(0)
    x, v = torch.randn((2, 1, 5), generator=generator, dtype=torch.float64)
    x0_hat, pullback = guidance.differentiated(curved, x, 0.4)
    J = torch.autograd.functional.jacobian(lambda u: curved(u, 0.4), x).reshape(5, 5)
    torch.testing.assert_close(x0_hat, curved(x, 0.4))
    torch.testing.assert_close(pullback(v).ravel(), J.T @ v.ravel())
    assert not x0_hat.requires_grad


def test_only_numpy_needs_the_jacobians_product():
    with pytest.raises(ValueError, match=r"^vjp is needed"):
        guidance.check_differentiable(np.zeros((1, 5)), None)
    guidance.check_differentiable(np.zeros((1, 5)), lambda x, level, v: v)
    guidance.check_differentiable(torch.zeros(1, 5), None)


@pytest.mark.parametrize("eta", [0.0, 0.7])
def test_steps_without_guidance_are_those_of_ddim(eta):
    x_T, noise = samplers.initial_noise([0, 1], (5,)), samplers.step_noise([0, 1])
    run = prepared(x_T, needs_noise=eta > 0, noise=noise, eta=eta)
    move = guidance.ddim_steps(run, eta)

    def step(s, x, ask, draw):
        x0_hat = ask(s, x)
        return move(s, x, x0_hat, draw), x0_hat

    expected = samplers.ddim(run.denoiser, x_T, AB, eta=eta, noise=noise)
    found = run.walk(step)
    np.testing.assert_array_equal(found.sample, expected.sample)
    assert found.nfe == expected.nfe == 2


@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
def test_renoised_steps_keep_the_level_of_the_noise(fraction):
    x0, eps, z = np.random.default_rng(0).standard_normal((3, 2, 5))
    run = prepared(x0, needs_noise=False)
    x = np.sqrt(AB[2]) * x0 + np.sqrt(1 - AB[2]) * eps
    found = guidance.renoised_steps(run, fraction)(2, x, 3.0 * x0, x0, z)
    mixed = np.sqrt(1 - fraction) * eps + np.sqrt(fraction) * z
    np.testing.assert_allclose(found, np.sqrt(AB[1]) * 3.0 * x0 + np.sqrt(1 - AB[1]) * mixed)


def test_last_step_draws_nothing_and_an_unused_noise_is_put_away():
    x_T = samplers.initial_noise([0, 1], (5,))
    run = prepared(x_T, needs_noise=True, noise=samplers.step_noise([0, 1]))
    assert run.z(1, x_T, run.walking["noise"]) is None
    np.testing.assert_array_equal(
        run.z(2, x_T, run.walking["noise"]), samplers.step_noise([0, 1])(2, x_T)
    )
    assert prepared(x_T, needs_noise=False, noise=protocol.step_noise([0])).walking["noise"] is None
