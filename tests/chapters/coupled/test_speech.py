"""Speech tasks: what the clips go through before a network and a classifier see them."""

import numpy as np
import pytest
import torch

from chapters.coupled import speech
from diffbook.coupled import Frozen
from diffbook.datasets import keywords, rooms
from diffbook.datasets.spectrograms import LIMIT, spectrogram, waveform
from diffbook.metrics.audio import si_sdr


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """A few clips of each split: words of all kinds by voices that no other split has."""
    whole = {split: keywords.clips(split) for split in keywords.VOICES}

    def clips(data, split):
        assert data == "synthetic"
        return whole[split].signals[::30], whole[split].labels[::30]

    monkeypatch.setattr(speech, "clips", clips)
    monkeypatch.setattr(speech, "VERSIONS", 2)
    speech.pool.cache_clear()
    speech.task.cache_clear()
    yield
    speech.pool.cache_clear()
    speech.task.cache_clear()


@pytest.mark.parametrize("name", speech.DEGRADATIONS)
def test_observations_have_peak_one_and_clean_clips_the_same_factor(name):
    x, _ = speech.clips("synthetic", "test")
    u, scaled = speech.degrade(x, name, np.arange(len(x)), x)
    if name == "noise":
        heard = rooms.add_noise(x, np.arange(len(x)), speech.SNR_DB, x)
    else:
        heard = rooms.reverberate(x, np.arange(len(x)), speech.RT60, speech.DIRECT_DB, x)
    peak = np.abs(heard).max(axis=1, keepdims=True)
    np.testing.assert_allclose(np.abs(u).max(axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(u, heard / peak, atol=1e-6)
    np.testing.assert_allclose(scaled, x / peak, atol=1e-6)
    if name == "noise":  # of the strength that was drawn
        snr = 10 * np.log10((scaled**2).mean(1) / ((u - scaled) ** 2).mean(1))
        low, high = speech.SNR_DB
        assert low - 0.01 < snr.min() < low + 8
        assert high - 8 < snr.max() < high + 0.01
    else:  # the direct sound stays where it was; what comes with it is stronger
        ratio = 10 * np.log10((scaled**2).mean(1) / ((u - scaled) ** 2).mean(1))
        assert ratio.mean() < 0
        assert np.mean(si_sdr(u, x)) < np.mean(
            si_sdr(rooms.reverberate(x, np.arange(len(x)), speech.RT60, (3.0, 3.0)), x)
        )


def test_pools_hold_several_versions_in_range():
    task = speech.task("synthetic", "noise", 8)
    x, u, labels = speech.pool("synthetic", "noise", "train", 2)
    n = len(speech.clips("synthetic", "train")[0])
    assert x.shape == u.shape == (2 * n, 256, 48)
    assert (labels[:n] == labels[n:]).all()
    assert np.abs(u[:n].astype(float) - u[n:]).max() > 0.1  # other noise
    assert max(np.abs(x).max(), np.abs(u).max()) <= LIMIT
    clean, seen, which = task.draw(np.random.default_rng(0), 7)
    assert clean.shape == seen.shape == (7, 256, 48)
    for one, other, label in zip(clean, seen, which, strict=True):
        (i,) = np.flatnonzero((u == other).all(axis=(1, 2)))
        assert (x[i] == one).all()
        assert labels[i] == label
    others = speech.pool("synthetic", "noise", "test", 1)
    assert not np.isin(others[1][:, 20, 20], u[:, 20, 20]).all()


def test_a_decision_goes_through_the_waveform():
    """Of a sound's own spectrogram nothing changes; of another array what no sound has is lost."""
    task, seen = speech.task("synthetic", "noise", 8), []

    def f(z):
        seen.append(z)
        return z[:, :10, 0]

    x, u, _ = task.examples("test")
    assert torch.equal(task.decide(f, x), seen[0][:, :10, 0])
    torch.testing.assert_close(seen[0], x, atol=2e-2, rtol=0)  # float16
    wild = x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    task.decide(f, wild)
    assert (seen[1] - wild).abs().mean() > 0.02
    z = spectrogram(waveform(wild.numpy()))
    quiet = np.abs(waveform(wild.numpy())).max(axis=1) <= 1.0
    np.testing.assert_allclose(seen[1][quiet], z[quiet], atol=1e-5)
    # A sound that is louder than the range allows is scaled, and the classifier does not mind.
    task.decide(f, 3.0 * x)
    assert seen[2].abs().max() <= LIMIT
    expected = si_sdr(waveform(u.numpy()), waveform(x.numpy()))
    np.testing.assert_allclose(task.quality(u, x), expected)


def test_the_classifier_sees_no_loudness():
    net = speech.LogMel(8)
    z = torch.as_tensor(spectrogram(speech.clips("synthetic", "test")[0][:4]))
    with torch.no_grad():
        torch.testing.assert_close(net(z / LIMIT), net(0.3 * z / LIMIT), rtol=1e-3, atol=1e-4)
    f = Frozen(net, -LIMIT, LIMIT)
    torch.testing.assert_close(f.to_input(z), z / LIMIT)


def test_the_logits_network_hears_what_the_classifier_hears():
    """Views reach it as log-mel energies: their loudness is of no importance, their sound is."""
    net = speech.HeardLogits(8).eval()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for p in net.parameters():
            torch.nn.init.normal_(p, std=0.1)
    z = torch.as_tensor(spectrogram(speech.clips("synthetic", "test")[0][:4]))
    v, c, sigma = torch.randn(4, 10), torch.randn(4, 10), torch.full((4,), 0.7)
    with torch.no_grad():
        found = net(v, sigma, (z,), c)
        torch.testing.assert_close(found, net(v, sigma, (0.3 * z,), c), rtol=1e-3, atol=1e-4)
        assert (found - net(v, sigma, (z.flip(0),), c)).abs().max() > 1e-3
    level = speech.heard(z)
    assert level.shape == (4, speech.MELS, 48)
    assert (float(level.min()), float(level.max())) == pytest.approx((-2.0, 2.0), abs=1e-4)


def test_levels_start_and_examples():
    task = speech.task("synthetic", "reverberation", 8)
    assert (task.start, task.limit) == ("observation", LIMIT)
    assert task.levels(task.T)[[0, -1]] == pytest.approx([0.0, 5.4053], rel=1e-3)
    x, u, labels = task.examples("validation")
    n = len(speech.clips("synthetic", "validation")[0])
    assert len(x) == len(u) == len(labels) == np.sum(np.arange(n) % 3 != 1)
