"""Switches, standardised logits, noise."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from diffbook.coupled import Switches, batch_noise, sample_noise, standardise

LOGITS = np.random.default_rng(0).normal(2.0, 3.0, (5, 4))


def test_standardised_logits_have_mean_0_and_the_spread():
    y = standardise(LOGITS)
    np.testing.assert_allclose(y.mean(1), 0.0, atol=1e-12)
    np.testing.assert_allclose(y.std(1, ddof=1), 0.8, rtol=1e-4)
    np.testing.assert_allclose(standardise(LOGITS, 0.4), y / 2, rtol=1e-12)
    np.testing.assert_array_equal(y.argsort(1), LOGITS.argsort(1))
    np.testing.assert_allclose(standardise(torch.as_tensor(LOGITS)).numpy(), y, rtol=1e-12)
    np.testing.assert_array_equal(standardise(np.ones((2, 3))), 0.0)  # equal logits say nothing


@pytest.mark.parametrize("bad", [LOGITS[:, :1], LOGITS[0], LOGITS[..., None]])
def test_logits_of_another_shape_are_refused(bad):
    with pytest.raises(ValueError, match="logits"):
        standardise(bad)


@pytest.mark.parametrize(
    ("switch", "words"),
    [
        ({"sampler": "ddpm"}, "sampler: got 'ddpm', .*'ancestral'"),
        ({"sampler": "zero variance"}, "did you mean 'zero-variance'"),
        ({"logits_sampler": "DDIM"}, "logits_sampler: got 'DDIM'"),
        ({"order": "x first"}, "order: got 'x first', .*'signal first'"),
        ({"gate_signal": 1.5}, r"gate_signal: got 1.5, .*\[0, 1\] \(a fraction"),
        ({"gate_logits": 75}, "gate_logits: got 75"),
        ({"view": "u"}, "view: got 'u', .*'observation'"),
        ({"standardise": 1}, "standardise: got 1"),
        ({"start": "noise"}, "start: got 'noise'"),
    ],
)
def test_unknown_words_are_refused(switch, words):
    with pytest.raises(ValueError, match=words):
        Switches(**switch)


@pytest.mark.parametrize("make", [lambda: sample_noise([5, 6, 7]), lambda: batch_noise(5)])
def test_noise_has_a_stream_for_each_branch_round_and_step(make):
    noise, like = make(), np.zeros((3, 4))
    keys = [(b, k, s) for b in ("signal", "logits") for k in (0, 1) for s in (1, 2)]
    draws = {noise(*key, like).tobytes() for key in keys}
    assert len(draws) == len(keys)
    assert make()("signal", 1, 2, like).tobytes() in draws


def test_a_samples_noise_depends_on_its_seed_alone():
    many = sample_noise([5, 6, 7])("logits", 0, 3, np.zeros((3, 4)))
    one = sample_noise([6])("logits", 0, 3, torch.zeros(1, 4))
    assert one.dtype == torch.float32
    np.testing.assert_allclose(one.numpy(), many[1:2], rtol=1e-6)
    assert batch_noise(0)("signal", 0, 1, np.zeros((200, 200), np.float32)).std() == pytest.approx(
        1.0, abs=0.02
    )


def test_couplings_of_arrays_do_not_load_torch():
    code = """
import sys, numpy as np
from diffbook import coupled
net = coupled.Coupling(lambda v, s, c: v, lambda v, s, c: v, lambda x: x)
coupled.nested(net, np.ones((2, 3)), coupled.vp_levels(10), noise=coupled.batch_noise(0))
print('torch' in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
