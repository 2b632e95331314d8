"""Metrics of restored speech against projections, loops and values known beforehand."""

import numpy as np
import pytest
from scipy.signal import stft

from diffbook.metrics import audio

RNG = np.random.default_rng(0)
X0 = RNG.standard_normal((4, 2048)) * np.repeat(RNG.uniform(0.2, 1.0, (4, 8)), 256, axis=1)
NOISE = RNG.standard_normal(X0.shape)


@pytest.mark.parametrize("ratio", [-7.0, 0.0, 13.0])
def test_si_sdr_of_a_known_mixture(ratio):
    """Noise at right angles to the sound, at a known ratio; scale and sign do not matter."""
    noise = np.stack([
        b - a * np.linalg.lstsq(a[:, None], b, rcond=None)[0]
        for a, b in zip(X0, NOISE, strict=True)
    ])  # fmt: skip
    scale = np.linalg.norm(X0, axis=1) / np.linalg.norm(noise, axis=1) * 10 ** (-ratio / 20)
    mixed = X0 + scale[:, None] * noise
    for factor in (1.0, 0.1, -3.0):
        np.testing.assert_allclose(audio.si_sdr(factor * mixed, X0), ratio, atol=1e-9)


def test_si_sdr_sees_a_delay_and_has_its_ends():
    assert np.all(audio.si_sdr(2.0 * X0, X0) > 250)
    assert np.all(audio.si_sdr(np.roll(X0, 1, axis=1), X0) < 0)


def test_segmental_snr_is_the_mean_over_the_frames_with_speech():
    x0 = X0.copy()
    x0[:, 512:768] *= 1e-3  # 60 dB softer: silence
    x = x0 + NOISE * np.repeat(10.0 ** RNG.uniform(-4, 1, (4, 8)), 256, axis=1)
    met = set()
    for i, found in enumerate(audio.segmental_snr(x, x0)):
        each = []
        for k in (0, 1, 3, 4, 5, 6, 7):
            part = slice(256 * k, 256 * k + 256)
            snr = np.var(x0[i, part]) + np.mean(x0[i, part]) ** 2
            snr = 10 * np.log10(snr / np.mean((x - x0)[i, part] ** 2))
            each.append(min(35.0, max(-10.0, snr)))
        assert found == pytest.approx(np.mean(each))
        met |= {-10.0, 35.0} & set(each)
    assert met == {-10.0, 35.0}


def test_segmental_snr_has_its_ends():
    np.testing.assert_array_equal(audio.segmental_snr(X0, X0), 35.0)
    np.testing.assert_array_equal(audio.segmental_snr(X0 + 100 * NOISE, X0), -10.0)
    np.testing.assert_allclose(audio.segmental_snr(0.9 * X0, X0), 20.0)  # loudness counts
    longer = np.pad(X0, ((0, 0), (0, 100)))
    np.testing.assert_allclose(audio.segmental_snr(0.9 * longer, longer), 20.0)


def test_log_spectral_distance_of_a_gain_is_the_gain():
    np.testing.assert_allclose(
        audio.log_spectral_distance(0.5 * X0, X0, range_db=200.0), 6.0206, atol=1e-4
    )
    np.testing.assert_array_equal(audio.log_spectral_distance(-X0, X0), 0.0)


@pytest.mark.parametrize(("window", "range_db"), [(256, 60.0), (128, 20.0)])
def test_log_spectral_distance_by_another_transform(window, range_db):
    x = X0 + 0.3 * NOISE

    def modulus(signal):
        found = stft(signal, window="hann", nperseg=window, noverlap=window - window // 4,
                     boundary=None, padded=False)[2]  # fmt: skip
        return np.abs(found)

    for i, found in enumerate(audio.log_spectral_distance(x, X0, window, range_db)):
        a, b = modulus(x[i]), modulus(X0[i])
        low = b.max() / 10 ** (range_db / 20)
        a, b = np.where(a < low, low, a), np.where(b < low, low, b)
        frames = [
            np.sqrt(np.mean((20 * np.log10(p / q)) ** 2)) for p, q in zip(a.T, b.T, strict=True)
        ]
        assert found == pytest.approx(np.mean(frames), rel=1e-9)


def test_silence_does_not_rule_the_distance():
    """Noise 80 dB below the sound, in a clip that is half silence: nothing within 60 dB."""
    x0 = X0 * (np.arange(2048) < 1024)
    x = x0 + 1e-4 * np.abs(X0).max() * NOISE * (np.arange(2048) >= 1280)
    assert np.all(audio.log_spectral_distance(x, x0) < 0.5)
    assert np.all(audio.log_spectral_distance(x, x0, range_db=120.0) > 5.0)


@pytest.mark.parametrize("metric", [audio.si_sdr, audio.segmental_snr, audio.log_spectral_distance])
def test_more_noise_is_worse(metric):
    levels = [metric(X0 + level * NOISE, X0).mean() for level in (0.03, 0.1, 0.3, 1.0)]
    better = np.diff(levels) if metric is audio.log_spectral_distance else -np.diff(levels)
    assert np.all(better > 1.0)


@pytest.mark.parametrize("metric", [audio.si_sdr, audio.segmental_snr, audio.log_spectral_distance])
def test_silence_and_other_shapes_are_refused(metric):
    with pytest.raises(ValueError, match=r"x0\[1\]: expected a sound, got silence"):
        metric(X0[:2], X0[:2] * [[1.0], [0.0]])
    with pytest.raises(ValueError, match=r"x: expected shape \(4, 2048\), got \(4, 2047\)"):
        metric(X0[:, 1:], X0)


def test_an_estimate_of_nothing_has_no_ratio():
    with pytest.raises(ValueError, match=r"x\[0\]: expected a sound"):
        audio.si_sdr(0 * X0, X0)
    assert np.all(np.isfinite(audio.log_spectral_distance(0 * X0, X0)))
    np.testing.assert_allclose(audio.segmental_snr(0 * X0, X0), 0.0)
