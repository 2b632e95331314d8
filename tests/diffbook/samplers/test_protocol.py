"""What all samplers share: the walk, and noise that depends on its own seed only."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffbook import samplers as sm
from diffbook.priors.gaussian import GaussianPrior

PRIOR = GaussianPrior.ramp(d=12, mu0=0.3)


def start(n: int = 3, prior: GaussianPrior = PRIOR, scale: float = 1.0, seed: int = 0):
    return scale * sm.initial_noise(range(seed, seed + n), prior.shape)


def test_a_samples_noise_depends_on_its_own_seed_only():
    together, alone = sm.initial_noise([7, 8, 9], (2, 5)), sm.initial_noise([8], (2, 5))
    assert together.shape == (3, 2, 5)
    np.testing.assert_array_equal(together[1], alone[0])
    many, one = sm.step_noise([7, 8, 9]), sm.step_noise([8])
    for s in (1, 4):
        np.testing.assert_array_equal(many(s, together)[1], one(s, alone)[0])
    # One-pass iterators must serve every step.
    seeds = sm.step_noise(iter([7, 8, 9]))
    np.testing.assert_array_equal(seeds(1, together), many(1, together))
    np.testing.assert_array_equal(seeds(2, together), many(2, together))


def test_noise_is_standard_normal_and_independent_between_streams():
    x = sm.initial_noise(range(40), (500,))
    noise = sm.step_noise(range(40))
    streams = np.stack([x, noise(1, x), noise(2, x), noise(3, x)]).reshape(4, -1)
    n = streams.shape[1]
    assert np.abs(streams.mean(1)).max() < 4.5 / np.sqrt(n)
    correlation = np.corrcoef(streams) - np.eye(4)
    assert np.abs(correlation).max() < 4.5 / np.sqrt(n)
    np.testing.assert_allclose(streams.std(1), 1.0, atol=4.5 / np.sqrt(2 * n))


def test_noise_is_made_like_the_array():
    like = torch.zeros(2, 3, dtype=torch.float32)
    x = sm.initial_noise([0, 1], (3,), like=like)
    assert isinstance(x, torch.Tensor)
    assert x.dtype == torch.float32
    np.testing.assert_allclose(x, sm.initial_noise([0, 1], (3,)), rtol=1e-6)
    z = sm.step_noise([0, 1])(3, like)
    assert z.dtype == torch.float32
    assert tuple(z.shape) == (2, 3)


def test_step_noise_refuses_another_batch():
    with pytest.raises(ValueError, match="noise has 2 seeds for a batch of 3"):
        sm.step_noise([0, 1])(1, start(3))


# --- the walk ---------------------------------------------------------------------------------


def halving(x, level, cond=None):
    return 0.5 * x


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_walk_carries_a_state_of_several_arrays_and_counts_every_question(kind):
    """A coupled state (x, logits): the second part moves with the first and is nobody's business."""
    x_T = start() if kind == "numpy" else torch.from_numpy(start())
    noise, levels, seen, final = sm.step_noise([0, 1, 2]), [0.9, 0.5, 0.1], [], []

    def step(s, state, ask, draw):
        x, logits = state
        x0_hat = ask(s, x) + ask(s - 1, logits)
        state = x - x0_hat + draw(s, x), logits + x0_hat
        final.append(state[1])
        return state, x0_hat

    sampler = sm.Sampler(lambda x: (x, 2.0 * x), step)
    result = sm.walk(
        sampler, halving, x_T, levels, noise=noise, callback=seen.append, keep_trajectory=True
    )
    x, logits = x_T, 2.0 * x_T
    for s in (2, 1):
        x0_hat = 0.5 * x + 0.5 * logits
        x, logits = x - x0_hat + noise(s, x), logits + x0_hat
    np.testing.assert_array_equal(result.sample, x)
    np.testing.assert_array_equal(final[-1], logits)
    assert result.nfe == 4
    assert [(r["s"], r["level"]) for r in seen] == [(1, 0.5), (0, 0.9)]
    assert result.trajectory[0] is x_T and len(result.trajectory) == 3
    assert all(r["x"] is state for r, state in zip(seen, result.trajectory[1:], strict=True))
    assert sm.walk(sampler, halving, x_T, levels, noise=noise).trajectory is None


def test_walk_without_noise_draws_none_and_refuses_what_does_not_fit():
    drawn = []

    def step(s, x, ask, draw):
        drawn.append(draw(s, x))
        return ask(s, x), x

    sampler, x_T = sm.Sampler(lambda x: x, step), start()
    sm.walk(sampler, halving, x_T, [0.9, 0.1])
    assert drawn == [None]
    with pytest.raises(ValueError, match=r"^x_T must be a real floating array"):
        sm.walk(sampler, halving, x_T[0], [0.9, 0.1])
    with pytest.raises(ValueError, match=r"^denoiser returned shape \(3, 4\)"):
        sm.walk(sampler, lambda x, level: x[:, :4], x_T, [0.9, 0.1])
    with pytest.raises(ValueError, match=r"^noise returned shape \(1, 12\)"):
        sm.walk(sampler, halving, x_T, [0.9, 0.1], noise=lambda s, x: x[:1])
