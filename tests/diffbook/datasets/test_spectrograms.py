"""Compressed spectrograms and log-mel energies: inverse, levels, and another library's transform."""

import numpy as np
import pytest
from scipy.signal import ShortTimeFFT

from diffbook.datasets import spectrograms as sp

RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, (3, 10 * sp.HOP))


def complex_of(z):
    return z[:, : sp.BINS] + 1j * z[:, sp.BINS :]


@pytest.mark.parametrize(("dtype", "atol"), [(np.float64, 1e-13), (np.float32, 2e-6)])
def test_there_and_back(dtype, atol):
    x = X.astype(dtype)
    z = sp.spectrogram(x)
    assert z.dtype == dtype
    assert z.shape == (3, 2 * sp.BINS, 10)
    back = sp.waveform(z)
    assert back.dtype == dtype
    np.testing.assert_allclose(back, x, atol=atol)


def test_silence_is_nothing_both_ways():
    z = sp.spectrogram(np.zeros((1, 512)))
    assert not z.any()
    assert not sp.waveform(z).any()


def test_it_is_the_transform_of_scipy_compressed():
    stft = ShortTimeFFT(np.sin(np.pi * np.arange(254) / 254) ** 2, sp.HOP, 8000.0)
    padded = np.pad(X, ((0, 0), (63, 63)))
    # scipy's slice p is centred at p HOP: shift our first centre there.
    expected = stft.stft(padded[:, 127:], p0=0, p1=10, k_offset=0, padding="zeros")
    frames = np.stack([padded[:, k * 128 : k * 128 + 254] for k in range(10)], -1)
    expected = np.fft.rfft(frames * stft.win[:, None], axis=1)
    z = complex_of(sp.spectrogram(X))
    np.testing.assert_allclose(np.abs(z), 0.15 * np.sqrt(np.abs(expected)), atol=1e-12)
    np.testing.assert_allclose(z * np.abs(z) / 0.15**2, expected, atol=1e-10)


def test_the_limit_holds_and_is_met():
    assert np.abs(sp.spectrogram(X)).max() < sp.LIMIT
    loudest = sp.spectrogram(np.ones((1, 1280)))
    assert np.abs(loudest).max() == pytest.approx(sp.LIMIT)


def test_what_is_no_spectrogram_gives_the_nearest_sound():
    """Least squares before compression: the error is orthogonal to all spectrograms of sounds."""

    def expanded(z):
        z = complex_of(z)
        z = z * np.abs(z) / sp.FACTOR**2
        # Frequencies between 0 and half the rate stand for two.
        weight = np.full((sp.BINS, 1), 2.0)
        weight[[0, -1]] = 1.0
        return z * np.sqrt(weight)

    z = 0.1 * RNG.standard_normal((1, 2 * sp.BINS, 6))
    z[:, [sp.BINS, -1]] = 0.0  # no sound has imaginary parts there
    error = expanded(z) - expanded(sp.spectrogram(sp.waveform(z)))
    assert np.linalg.norm(error) > 0.1 * np.linalg.norm(expanded(z))
    sound = np.pad(RNG.standard_normal((1, 6 * sp.HOP - 256)), ((0, 0), (128, 128)))
    other = sp.spectrogram(sound)
    product = np.sum(error.conj() * expanded(other)).real
    assert abs(product) < 1e-10 * np.linalg.norm(error) * np.linalg.norm(expanded(other))


def test_filters_share_each_frequency_between_two():
    filters = sp.mel_filters(32)
    assert filters.shape == (32, sp.BINS)
    assert np.all(filters.sum(1) > 0)
    centres = filters.argmax(1)
    inside = slice(centres[0] + 1, centres[-1])
    np.testing.assert_allclose(filters[:, inside].sum(0), 1.0)
    f = np.linspace(0, 4000, sp.BINS)[centres]
    mel = 2595 * np.log10(1 + f / 700)
    step = 2595 * np.log10(1 + 4000 / 700) / 33
    assert np.abs(mel - step * np.arange(1, 33)).max() < step


def test_log_mel_of_a_tone_is_where_and_as_loud_as_it_should():
    """Half of the frames 20 dB softer: 1 and 0.5 for a range of 40 dB; 30 dB more, and nothing."""
    t = np.arange(20 * sp.HOP)
    tone = np.sin(2 * np.pi * 1000 * t / 8000)
    filters = sp.mel_filters(32)
    band = filters[:, np.argmin(np.abs(np.linspace(0, 4000, sp.BINS) - 1000))].argmax()
    for softer, expected in ((20, 0.5), (50, 0.0)):
        x = np.where(t < 10 * sp.HOP, tone, tone * 10 ** (-softer / 20))
        mel = sp.log_mel(sp.spectrogram(x[None]))[0]
        assert np.all(mel[:, 3].argmax() == band)
        assert mel[band, 3] == pytest.approx(1.0, abs=1e-3)
        assert mel[band, 16] == pytest.approx(expected, abs=1e-3)
        assert mel.min() == 0.0
        assert mel.max() <= 1.0


def test_loudness_is_of_no_importance_and_silence_is_finite():
    mel = sp.log_mel(sp.spectrogram(X))
    np.testing.assert_allclose(sp.log_mel(sp.spectrogram(0.01 * X)), mel, atol=1e-9)
    quiet = sp.log_mel(sp.spectrogram(np.zeros((1, 512), np.float32)))
    assert np.all(np.isfinite(quiet))


def test_log_mel_of_tensors():
    torch = pytest.importorskip("torch")
    z = sp.spectrogram(X.astype(np.float32))
    found = sp.log_mel(torch.from_numpy(z))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), sp.log_mel(z), atol=1e-5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: sp.spectrogram(X[:, :-1]), "x: got 1279 samples, expected a multiple of 128"),
        (lambda: sp.waveform(np.zeros((1, 255, 4))), r"z: got shape .*, expected \(n, 256, T\)"),
        (lambda: sp.log_mel(np.zeros((1, 255, 4))), r"z: got shape .*, expected \(n, 256, T\)"),
    ],
)
def test_what_does_not_fit_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
