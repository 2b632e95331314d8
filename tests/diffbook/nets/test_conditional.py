"""The conditional networks of signals and logits, and their adapters."""

import numpy as np
import pytest
import torch

from diffbook.nets.conditional import (
    Classifier,
    LogitsNet,
    SignalNet,
    as_logits_denoiser,
    as_signal_denoiser,
)

SHAPES = [(2, (1, 8, 8), 2), (2, (3, 32, 32), 4), (2, (1, 28, 28), 4), (1, (20, 16), 2)]
N, K = 5, 4


def stirred(net):
    """Blocks start as the identity, which would hide mistakes."""
    torch.manual_seed(0)
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.1)
    return net


def signal_net(shape=(1, 8, 8), dims=2, fold=2):
    return stirred(SignalNet(shape[0], K, 8, dims, fold, depth=2, sigma_data=0.6))


def logits_net(shape=(1, 8, 8), dims=2, fold=2, views=1):
    return stirred(LogitsNet(shape[0], K, 8, dims, views, fold, hidden=16))


def batch(shape=(1, 8, 8)):
    g = torch.Generator().manual_seed(1)
    x, u = torch.randn(2, N, *shape, generator=g)
    y, c = torch.randn(2, N, K, generator=g)
    return x, u, y, c, torch.rand(N, generator=g) + 0.1


@pytest.mark.parametrize(("dims", "shape", "fold"), SHAPES)
def test_shapes(dims, shape, fold):
    x, u, y, c, sigma = batch(shape)
    assert signal_net(shape, dims, fold)(x, sigma, u, y).shape == x.shape
    for views in ((u,), (u, x)):
        assert logits_net(shape, dims, fold, len(views))(y, sigma, views, c).shape == (N, K)
    assert Classifier(shape[0], K, 8, dims, fold)(x).shape == (N, K)


def test_every_condition_counts():
    """Another observation, other logits, no logits, another level: another answer."""
    x, u, y, c, sigma = batch()
    net, other = signal_net(), u.flip(0)
    answers = [net(x, sigma, u, y), net(x, sigma, other, y), net(x, sigma, u, y.flip(0))]
    answers += [net(x, sigma, u), net(x, sigma, u, torch.zeros(N, K))]
    net = logits_net()
    more = [net(y, sigma, (u,), c), net(y, sigma, (other,), c), net(y, sigma, (u,), c.flip(0))]
    for found in (answers, more):
        for i, a in enumerate(found):
            assert all((a - b).abs().max() > 1e-4 for b in found[:i])
    # Each view, and the order of the two.
    net = logits_net(views=2)
    a, b, d = (net(y, sigma, views, c) for views in ((u, x), (u, u), (x, u)))
    assert min((a - b).abs().max(), (a - d).abs().max(), (b - d).abs().max()) > 1e-4


def test_samples_do_not_mix():
    """No statistics of the batch: the same answer alone and in company."""
    x, u, y, c, sigma = batch()
    one = slice(2, 3)
    whole = signal_net()(x, sigma, u, y)[one], logits_net()(y, sigma, (u,), c)[one]
    alone = (
        signal_net()(x[one], sigma[one], u[one], y[one]),
        logits_net()(y[one], sigma[one], (u[one],), c[one]),
    )
    for a, b in zip(whole, alone, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_preconditioning_keeps_clean_states_and_forgets_noise():
    x, u, y, c, _ = batch()
    small, large = torch.full((N,), 1e-5), torch.full((N,), 3e3)
    torch.testing.assert_close(signal_net()(x, small, u, y), x, atol=1e-3, rtol=0)
    torch.testing.assert_close(logits_net()(y, small, (u,), c), y, atol=1e-3, rtol=0)
    assert signal_net()(3e3 * x, large, u, y).abs().max() < 20
    assert logits_net()(3e3 * y, large, (u,), c).abs().max() < 20


def test_the_raw_network_is_added_to_wiener_s_filter():
    """With a constant for it: x0_hat = c_skip v + c_out raw, and gates let v and u through."""
    x, u, y, c, sigma = batch()
    net, other = signal_net(), logits_net()
    for part in (net.leave, other.leave):
        torch.nn.init.zeros_(part.weight)
        torch.nn.init.zeros_(part.bias)
    level = sigma[:, None, None, None]
    total, total_y = (level**2 + 0.36).sqrt(), (sigma[:, None] ** 2 + 0.64).sqrt()
    wiener = 0.36 / total**2 * x
    torch.testing.assert_close(net(x, sigma, u), wiener)
    torch.testing.assert_close(other(y, sigma, (u,), c), 0.64 / total_y**2 * y)
    other.leave.bias.data[:] = 2.0
    expected = 0.64 / total_y**2 * y + sigma[:, None] * 0.8 / total_y * 2.0
    torch.testing.assert_close(other(y, sigma, (u,), c), expected)
    for i, raw in enumerate((torch.ones_like(x), x / total, u / 0.6)):
        net.leave.bias.data[:] = 0.0
        net.leave.bias.data[i] = 2.0
        expected = wiener + level * 0.6 / total * 2.0 * raw
        torch.testing.assert_close(net(x, sigma, u), expected)


def test_a_polar_network_sees_moduli_and_keeps_phases():
    """Real parts, then imaginary parts: the gates of a frequency are one for both."""
    (x, u, y, _, sigma), half = batch((6, 16)), 3
    net = stirred(SignalNet(6, K, 8, dims=1, fold=2, depth=2, sigma_data=0.6, polar=True))
    assert net(x, sigma, u, y).shape == x.shape
    seen = []
    net.trunk.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    net(x, sigma, u, y)
    scaled = x / (sigma[:, None, None] ** 2 + 0.36).sqrt()
    moduli = [torch.hypot(z[:, :half], z[:, half:]) for z in (scaled, u / 0.6)]
    torch.testing.assert_close(seen[0], torch.cat([scaled, u / 0.6, *moduli], dim=1))
    torch.nn.init.zeros_(net.leave.weight)
    torch.nn.init.zeros_(net.leave.bias)
    before = net(x, sigma, u)
    net.leave.bias.data[6 + half + 1] = 2.0  # the gate of the observation at the second frequency
    c_out = sigma[:, None, None] * 0.6 / (sigma[:, None, None] ** 2 + 0.36).sqrt()
    expected = torch.zeros_like(u)
    for channel in (1, half + 1):
        expected[:, channel] = u[:, channel] / 0.6
    torch.testing.assert_close(net(x, sigma, u) - before, 2.0 * c_out * expected)
    with pytest.raises(ValueError, match="channels: got 5, expected an even number"):
        SignalNet(5, K, polar=True)


def test_adapters_give_what_the_networks_give():
    x, u, y, c, _ = batch()
    level = torch.full((N,), 0.4)
    signal, logits = (
        as_signal_denoiser(signal_net(), -0.5, 0.5, batch=2),
        as_logits_denoiser(logits_net()),
    )
    with torch.inference_mode():
        expected = signal_net()(x, level, u, y), signal_net()(x, level, u)
        torch.testing.assert_close(signal(x, 0.4, (u, y)), expected[0].clip(-0.5, 0.5))
        torch.testing.assert_close(signal(x, 0.4, (u, None)), expected[1].clip(-0.5, 0.5))
        torch.testing.assert_close(logits(y, 0.4, ((u,), c)), logits_net()(y, level, (u,), c))
    assert expected[0].abs().max() > 0.5
    for found, like in (
        (signal(x.double().numpy(), 0.4, (u.double().numpy(), y.double().numpy())), expected[0]),
        (logits(y.double().numpy(), 0.4, ((u.numpy(),), c.numpy())), y),
    ):
        assert isinstance(found, np.ndarray)
        assert found.dtype == np.float64
        assert found.shape == tuple(like.shape)


def test_adapters_refuse_what_does_not_fit():
    x, u, y, c, _ = batch()
    signal, logits = as_signal_denoiser(signal_net()), as_logits_denoiser(logits_net())
    for sigma in (0.0, -1.0, np.nan, "1"):
        with pytest.raises(ValueError, match="sigma: got"):
            signal(x, sigma, (u, y))
        with pytest.raises(ValueError, match="sigma: got"):
            logits(y, sigma, ((u,), c))
    with pytest.raises(ValueError, match="cond: got state and conditions"):
        signal(x, 0.4, (u[:2], y))
    with pytest.raises(ValueError, match="views: got 2, expected 1"):
        logits(y, 0.4, ((u, u), c))
    with pytest.raises(ValueError, match=r"x_t: got .*real floating point"):
        signal(x.long(), 0.4, (u, y))
    with pytest.raises(ValueError, match="fold: got 2, expected a divisor"):
        signal(x[..., :7], 0.4, (u[..., :7], y))
    with pytest.raises(ValueError, match=r"high: got -1.0, expected a number in \(1.0, inf\)"):
        as_signal_denoiser(signal_net(), 1.0, -1.0)
    with pytest.raises(ValueError, match="width: got 12, expected a multiple of 8"):
        Classifier(1, 2, 12)
    with pytest.raises(ValueError, match="dims: got 3"):
        SignalNet(1, 2, dims=3)
