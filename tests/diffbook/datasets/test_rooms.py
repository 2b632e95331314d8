"""Rooms and noise: decay, levels and places as asked for, the same in any batch."""

import numpy as np
import pytest
from scipy.signal import lfilter

from diffbook.datasets import rooms

RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 600)).astype(np.float32)
POOL = RNG.standard_normal((4, 600)).astype(np.float32)
SEEDS = np.arange(5)
CALLS = {
    "room": lambda x, s: rooms.reverberate(x, s),
    "after a word": lambda x, s: rooms.reverberate(x, s, before=POOL),
    "white": lambda x, s: rooms.add_noise(x, s, (0.0, 10.0)),
    "babble": lambda x, s: rooms.add_noise(x, s, (0.0, 10.0), POOL, 3),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_clip_fares_alike_in_any_batch(call):
    together = CALLS[call](X, SEEDS)
    assert together.dtype == np.float32
    assert together.shape == X.shape
    for i in (0, 3):
        np.testing.assert_allclose(CALLS[call](X[i : i + 1], [i]), together[i : i + 1], atol=1e-5)
    assert np.all(np.std(CALLS[call](X[:1].repeat(5, 0), SEEDS), axis=0).mean() > 0.05)
    assert CALLS[call](X.astype(np.float64), SEEDS).dtype == np.float64


@pytest.mark.parametrize("rt60", [0.2, 0.6])
def test_the_tail_loses_sixty_decibels_in_its_time(rt60):
    """Schroeder's backward integration, the way rooms are measured."""
    h = rooms.impulse_responses(np.arange(200), 8000, (rt60, rt60))
    tail = np.cumsum(np.mean(h[:, :0:-1].astype(np.float64) ** 2, axis=0))[::-1]
    level = 10 * np.log10(tail)
    t = np.arange(1, 8000) / 8000
    inside = (level < level[0] - 5) & (level > level[0] - 25)
    slope = np.polyfit(t[inside], level[inside], 1)[0]
    assert slope == pytest.approx(-60 / rt60, rel=0.02)


@pytest.mark.parametrize("ratio", [-10.0, 0.0, 7.0])
def test_direct_sound_is_one_and_has_its_share(ratio):
    h = rooms.impulse_responses(SEEDS, 4000, direct_db=(ratio, ratio))
    np.testing.assert_array_equal(h[:, 0], 1.0)
    energy = np.sum(h[:, 1:].astype(np.float64) ** 2, axis=1)
    np.testing.assert_allclose(-10 * np.log10(energy), ratio, atol=1e-3)


def test_levels_and_times_fill_their_range():
    h = rooms.impulse_responses(np.arange(400), 800, (0.1, 0.4), (-6.0, 6.0))
    ratio = -10 * np.log10(np.sum(h[:, 1:].astype(np.float64) ** 2, axis=1))
    assert -6.0 <= ratio.min() < -5.0 < 5.0 < ratio.max() <= 6.0
    assert abs(ratio.mean()) < 0.6
    # The share of the first 20 ms tells how fast a tail decays.
    short, long = (rooms.impulse_responses(np.arange(50), 800, (t, t)) for t in (0.1, 0.4))
    energy = [np.cumsum(one[:, 1:] ** 2, axis=1) for one in (h, short, long)]
    between, most, least = (one[:, 159] / one[:, -1] for one in energy)
    assert between.max() == pytest.approx(most.mean(), rel=0.15)
    assert between.min() == pytest.approx(least.mean(), rel=0.25)
    assert least.mean() / 0.85 < between.mean() < most.mean() * 0.85
    u = rooms.add_noise(X[:1].repeat(400, 0), np.arange(400), (-3.0, 5.0))
    noise = np.mean((u - X[:1]) ** 2, axis=1)
    snr = 10 * np.log10(np.mean(X[0] ** 2) / noise)
    assert -3.01 <= snr.min() < -2.5 < 4.5 < snr.max() <= 5.01
    assert abs(snr.mean() - 1.0) < 0.4


def test_reverberation_is_causal_filtering():
    x = X.astype(np.float64)
    h = rooms.impulse_responses(SEEDS, 600, (0.05, 0.05))
    expected = np.stack([lfilter(a, 1.0, b) for a, b in zip(h, x, strict=True)])
    np.testing.assert_allclose(rooms.reverberate(x, SEEDS, (0.05, 0.05)), expected, atol=1e-10)


def test_the_word_before_leaves_its_tail_only():
    """It ends where the clip begins; without a tail there is no trace of it."""
    before = np.zeros((1, 600))
    before[0, 100:200] = 1.0
    x = X.astype(np.float64)
    h = rooms.impulse_responses(SEEDS, 1200, (0.05, 0.05))
    both = np.concatenate([np.zeros((5, 500)), np.ones((5, 100)), x], axis=1)
    expected = np.stack([lfilter(a, 1.0, b)[600:] for a, b in zip(h, both, strict=True)])
    found = rooms.reverberate(x, SEEDS, (0.05, 0.05), before=before)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    dry = rooms.reverberate(x, SEEDS, direct_db=(200.0, 200.0), before=before)
    np.testing.assert_allclose(dry, x, atol=1e-7)


def test_white_noise_is_white_and_babble_is_speech():
    x = np.ones((200, 512))
    noise = rooms.add_noise(x, np.arange(200), (0.0, 0.0)) - x
    power = np.mean(np.abs(np.fft.rfft(noise)) ** 2, axis=0)[1:-1]
    assert np.std(power) < 0.15 * np.mean(power)
    t = np.arange(512)
    pool = np.stack([np.sin(2 * np.pi * k * t / 512) for k in (5, 9)])
    noise = rooms.add_noise(x, np.arange(200), (0.0, 0.0), pool) - x
    power = np.mean(np.abs(np.fft.rfft(noise)) ** 2, axis=0)
    assert power[[5, 9]].sum() > 0.999 * power.sum()
    one = rooms.add_noise(x[:1], [3], (0.0, 0.0), pool, talkers=1) - x[:1]
    np.testing.assert_allclose(np.mean(one**2), 1.0)


def test_what_was_heard_has_peak_one_and_the_ratio_stays():
    u, x = rooms.to_peak(3 * X, X)
    np.testing.assert_allclose(np.abs(u).max(1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(u, 3 * x, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rooms.reverberate(np.zeros((2, 9)), [0, 1]), r"x\[0\]: expected a sound"),
        (lambda: rooms.reverberate(X, [0, 1]), "seeds: got 2, expected one for each of 5 clips"),
        (lambda: rooms.reverberate(X, SEEDS, (0.8, 0.2)), "rt60: got .*the lowest first"),
        (lambda: rooms.reverberate(X, SEEDS, before=POOL[:, 1:]), "before: got shape"),
        (lambda: rooms.add_noise(X, SEEDS, (0, 1), POOL[:, 1:]), "pool: got shape"),
        (lambda: rooms.to_peak(X, X[1:]), "x: got shape"),
    ],
)
def test_what_does_not_fit_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
