"""A network of the noise at levels: the right step, the right estimate, nothing outside of training."""

import numpy as np
import pytest
import torch

from diffbook.framewise import noise_level_denoiser
from diffbook.schedules import ddpm_chain

TRAIN = ddpm_chain(200)


def told(level, train=None, x=None):
    """Step that a network is told at a level, and the denoiser's answer where eps_hat = 0.5."""
    seen = []

    def net(x, s, given):
        seen.append((s, given))
        return torch.full_like(x, 0.5)

    x = torch.ones(3, 4) if x is None else x
    x0_hat = noise_level_denoiser(net, "given", train)(x, level)
    ((s, given),) = seen
    assert given == "given"
    assert (s.shape, s.dtype) == (x.shape[:1], x.dtype)
    assert len(set(s.tolist())) == 1
    return s[0].item(), x0_hat


@pytest.mark.parametrize("s", [0, 1, 57, 198, 199])
def test_levels_of_training_are_their_steps(s):
    assert told(TRAIN[s])[0] == pytest.approx(s, abs=1e-4)
    assert told(TRAIN[s] * (1 - 1e-12))[0] == pytest.approx(s, abs=1e-4)


def test_levels_between_are_linear_in_log_snr():
    log_snr = np.log(TRAIN / (1 - TRAIN))
    for s, share in ((0, 0.25), (100, 0.5), (198, 0.9)):
        between = (1 - share) * log_snr[s] + share * log_snr[s + 1]
        assert told(1 / (1 + np.exp(-between)))[0] == pytest.approx(s + share, abs=1e-4)


def test_other_levels_of_training():
    assert told(0.3, np.array([0.9, 0.3, 0.1]))[0] == pytest.approx(1.0)


def test_the_estimate_is_that_of_the_noise():
    """x_s = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) eps is solved for x_0."""
    x0 = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(3, 4)
    level = TRAIN[77]
    x = np.sqrt(level) * x0 + np.sqrt(1 - level) * 0.5
    torch.testing.assert_close(told(level, x=x)[1], x0, rtol=0, atol=1e-12)


@pytest.mark.parametrize("level", [TRAIN[0] + 1e-6, TRAIN[-1] - 1e-5, 0.99999, 0.01])
def test_a_level_outside_of_training_is_refused(level):
    with pytest.raises(ValueError, match=r"alpha_bar_t.*from 0\.132\d* to 0\.9999"):
        told(level)


def test_levels_of_training_must_fall():
    with pytest.raises(ValueError, match="alpha_bar_train"):
        noise_level_denoiser(None, None, TRAIN[::-1])
