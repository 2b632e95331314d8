"""A classifier that is frozen in fact, and the one map to its input."""

import numpy as np
import pytest
import torch
from torch import nn

from diffbook import coupled
from diffbook.coupled import Coupling, Frozen

MEAN, STD = np.array([0.48, 0.45, 0.41]), np.array([0.26, 0.25, 0.27])
Z = np.random.default_rng(0).uniform(-1.0, 1.0, (5, 3, 4, 4))


@pytest.fixture
def module():
    """Small classifier with batch normalisation and dropout, both of which training mode changes."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Dropout(), nn.Linear(24, 4)
    )  # fmt: skip
    return net.train()


@pytest.mark.parametrize("strategy", ["parallel", "alternating", "nested"])
def test_parameters_and_buffers_are_bit_identical_after_sampling(module, strategy):
    f = Frozen(module)
    before, held = f.digest(), {k: v.clone() for k, v in module.state_dict().items()}
    clip = Coupling(
        lambda v, sigma, cond: (v / (1 + sigma**2)).clip(-1, 1), lambda v, sigma, cond: cond[1], f
    )
    noise = coupled.batch_noise(0)
    getattr(coupled, strategy)(clip, torch.as_tensor(Z).float(), coupled.vp_levels(8), noise=noise)
    assert f.digest() == before
    assert all(torch.equal(v, held[k]) for k, v in module.state_dict().items())


def test_the_digest_sees_parameters_and_buffers(module):
    f = Frozen(module)
    found = {f.digest()}
    module[1].running_mean[2] += 1e-7
    found.add(f.digest())
    module[5].bias.data[0] += 1e-7
    found.add(f.digest())
    module.register_buffer("scale", torch.ones(1), persistent=False)
    assert len({*found, f.digest()}) == 4


def test_the_map_goes_there_and_back(module):
    f = Frozen(module, mean=MEAN, std=STD)
    np.testing.assert_allclose(f.from_input(f.to_input(Z)), Z, atol=1e-14)
    x = f.to_input(torch.as_tensor(Z))
    np.testing.assert_allclose(f.from_input(x).numpy(), Z, atol=1e-14)
    channel = ((Z + 1) / 2 - MEAN[:, None, None]) / STD[:, None, None]
    np.testing.assert_allclose(x.numpy(), channel, atol=1e-14)
    wide = Frozen(module, low=-3.0, high=5.0, mean=0.0, std=1.0)
    ends = np.full((1, 3, 1, 1), -3.0), np.full((1, 3, 1, 1), 5.0)
    assert [float(wide.to_input(z).max()) for z in ends] == [0.0, 1.0]


@pytest.mark.parametrize("batch", [2, 512])
def test_numpy_and_torch_get_the_modules_own_answer(module, batch):
    f = Frozen(module, mean=MEAN, std=STD, batch=batch)
    with torch.no_grad():
        direct = module.eval()(torch.as_tensor(f.to_input(Z)).float()).numpy()
    found = f(Z)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, direct, rtol=1e-5, atol=1e-6)
    answer = f(torch.as_tensor(Z).float().requires_grad_())
    assert answer.dtype == torch.float32 and not answer.requires_grad
    np.testing.assert_allclose(answer.numpy(), direct, rtol=1e-5, atol=1e-6)


def test_it_is_no_module_of_the_networks_around_it(module):
    class Trained(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.f = nn.Linear(2, 2), Frozen(module)

    trained = Trained()
    trained.train()
    assert sum(p.numel() for p in trained.parameters()) == 6
    assert not any(m.training for m in module.modules())
    assert not any(p.requires_grad for p in module.parameters())
    trained.f(Z)


@pytest.mark.parametrize(("part", "name"), [(None, "the whole"), (1, "1"), (4, "4")])
def test_a_classifier_in_training_mode_is_refused_before_anything_runs(module, part, name):
    f = Frozen(module)
    (module if part is None else module[part]).train()
    words = f"classifier: {name} is in training mode"
    with pytest.raises(ValueError, match=words):
        f(Z)
    net = Coupling(lambda *_: pytest.fail("asked"), lambda *_: pytest.fail("asked"), f)
    for strategy in (coupled.parallel, coupled.alternating, coupled.nested):
        with pytest.raises(ValueError, match=words):
            strategy(net, Z, coupled.vp_levels(8), noise=coupled.batch_noise(0))


def test_unfrozen_parameters_are_refused(module):
    f = Frozen(module)
    module[0].weight.requires_grad_(True)
    with pytest.raises(ValueError, match=r"classifier: 0\.weight is in training mode or unfrozen"):
        f(Z)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (1.001, r"z: got signals in \[-1, 1\.001\], expected \[-1\.0, 1\.0\]"),
        (-1.5, r"z: got signals in \[-1\.5, 0\.99"),
        (np.nan, "z must hold finite numbers"),
    ],
)
def test_signals_outside_the_range_are_refused(module, change, words):
    f, z = Frozen(module), Z.copy()
    z[0, 0, 0, :2] = change, np.sign(change) * -1.0 if change > 0 else 0.0
    with pytest.raises(ValueError, match=words):
        f(z)
    with pytest.raises(ValueError, match=words):
        f(torch.as_tensor(z))


def test_rounding_at_the_ends_is_taken(module):
    Frozen(module)(np.full_like(Z, 1.0 + 5e-5))
