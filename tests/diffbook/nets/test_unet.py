"""The small U-Net, its preconditioning, and the adapter to the denoiser protocol."""

import numpy as np
import pytest
import torch

from diffbook.nets.unet import Preconditioned, UNet, as_denoiser


@pytest.fixture
def model():
    torch.manual_seed(0)
    net = UNet((8, 16), fold=1)
    for p in net.parameters():  # the last convolutions start at zero, which would hide mistakes
        torch.nn.init.normal_(p, std=0.1)
    return Preconditioned(net, data_mean=-0.3, sigma_data=0.6)


@pytest.mark.parametrize(("channels", "fold", "side"), [((24, 48), 1, 8), ((32, 64), 2, 16)])
def test_shapes_and_size(channels, fold, side):
    net = UNet(channels, fold)
    out = net(torch.randn(3, 1, side, side), torch.zeros(3))
    assert out.shape == (3, 1, side, side)
    count = sum(p.numel() for p in net.parameters())
    assert 100_000 < count < 300_000
    assert 4 * count < 3e6  # bytes in float32: the limit for a file in the repository


def test_receptive_field_covers_the_image():
    torch.manual_seed(1)
    net = UNet((8, 16), fold=2)
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.2)
    x = torch.randn(1, 1, 16, 16, requires_grad=True)
    net(x, torch.zeros(1))[0, 0, 0, 0].backward()
    assert torch.all(x.grad != 0)


def test_preconditioning_formula(model):
    y, sigma = torch.randn(4, 1, 8, 8), torch.tensor([0.01, 0.5, 3.0, 150.0])
    s = sigma.reshape(-1, 1, 1, 1)
    total = s**2 + 0.36
    inner = (y + 0.3) / total.sqrt()
    raw = model.net(inner, sigma.log() / 4)
    expected = -0.3 + 0.36 / total * (y + 0.3) + s * 0.6 / total.sqrt() * raw
    torch.testing.assert_close(model(y, sigma), expected, rtol=1e-5, atol=1e-6)


def test_preconditioning_limits(model):
    """At small sigma the input comes back; at large sigma the output does not follow the noise."""
    y = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(model(y, torch.full((2,), 1e-5)), y, atol=1e-4, rtol=0)
    big = model(150 * y, torch.full((2,), 150.0))
    assert big.abs().max() < 20


def test_zero_network_is_the_wiener_filter_of_white_data():
    """With F = 0 the denoiser is the posterior mean of N(mean, sigma_data^2 I)."""
    from diffbook.priors.gaussian import GaussianPrior

    model = Preconditioned(UNet((8, 16)), data_mean=0.2, sigma_data=0.7)
    torch.nn.init.zeros_(model.net.leave[-1].weight)
    torch.nn.init.zeros_(model.net.leave[-1].bias)
    prior = GaussianPrior.from_spectrum(np.full((8, 8), 0.49), 0.2)
    x = np.random.default_rng(0).standard_normal((5, 8, 8))
    for ab in (4e-5, 0.3, 0.9999):
        got = as_denoiser(model)(x, ab)
        np.testing.assert_allclose(got, prior.denoise(x, ab), atol=2e-4)


def test_adapter_keeps_type_dtype_shape(model):
    denoiser = as_denoiser(model, batch=3)
    x = np.random.default_rng(0).standard_normal((7, 8, 8))
    out = denoiser(x, 0.5)
    assert isinstance(out, np.ndarray)
    assert out.dtype == np.float64
    assert out.shape == x.shape
    t = torch.as_tensor(x, dtype=torch.float32)[:, None]
    out_t = denoiser(t, 0.5, None)
    assert out_t.dtype == torch.float32
    assert out_t.shape == (7, 1, 8, 8)
    np.testing.assert_allclose(out, out_t[:, 0].numpy(), atol=1e-5)


def test_adapter_does_not_depend_on_the_batch(model):
    x = np.random.default_rng(0).standard_normal((10, 8, 8))
    a, b = as_denoiser(model, batch=10)(x, 0.2), as_denoiser(model, batch=3)(x, 0.2)
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_adapter_works_in_every_sampler(model):
    from diffbook.samplers.unguided import ddim, dpmpp_2m, heun
    from diffbook.schedules.families import cosine

    x_T = np.random.default_rng(0).standard_normal((4, 8, 8)).astype(np.float32)
    for sampler in (ddim, heun, dpmpp_2m):
        assert sampler(as_denoiser(model), x_T, cosine(5)).sample.shape == (4, 8, 8)


def test_a_diverging_state_goes_through(model):
    """A sampler that diverges shows as such: the network does not refuse its states."""
    x = np.zeros((2, 8, 8))
    x[1] = np.inf
    out = as_denoiser(model)(x, 0.5)
    assert np.isfinite(out[0]).all()
    assert np.isnan(out[1]).any()


def test_gradient_flows_through_the_differentiable_adapter(model):
    """The vector-Jacobian product agrees with central differences along a random direction."""
    denoiser = as_denoiser(model, batch=2, differentiable=True)
    x = torch.randn(3, 8, 8, dtype=torch.float64, requires_grad=True)
    v, u = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    (g,) = torch.autograd.grad((denoiser(x, 0.3) * v).sum(), x)
    step = 1e-2  # the network runs in float32
    ends = [denoiser(x.detach() + sign * step * u, 0.3) for sign in (1, -1)]
    slope = ((ends[0] - ends[1]) * v).sum() / (2 * step)
    assert float((g * u).sum()) == pytest.approx(float(slope), rel=1e-2)


def test_differentiable_adapter_gives_the_same_answer_and_no_stray_graph(model):
    x = torch.randn(3, 8, 8)
    plain, differentiable = as_denoiser(model), as_denoiser(model, differentiable=True)
    torch.testing.assert_close(plain(x, 0.3), differentiable(x, 0.3), rtol=0, atol=0)
    # A graph in the answer to a plain array would grow over the steps of a sampler.
    assert not differentiable(x, 0.3).requires_grad
    assert differentiable(x.clone().requires_grad_(True), 0.3).requires_grad
    np.testing.assert_array_equal(differentiable(x.numpy(), 0.3), plain(x.numpy(), 0.3))
