"""The drifting process: its kernel, and the coordinates in which the drift's target cancels."""

import numpy as np
import pytest

from diffbook.schedules.ouve import ouve_kernel, ouve_sigma

PROCESSES = [{}, {"theta": 1.5, "sigma_min": 0.05, "sigma_max": 0.5}]


def test_standard_deviations_are_those_of_the_released_speech_settings():
    scale, std = ouve_kernel([0.03, 0.25, 0.5, 1.0])
    np.testing.assert_allclose(std, [0.037, 0.122, 0.230, 0.7315], atol=6e-4)
    assert scale[-1] == pytest.approx(np.exp(-2.0))
    assert ouve_kernel(0.0) == (1.0, 0.0)


@pytest.mark.parametrize("process", PROCESSES)
def test_the_kernel_solves_the_equations_of_its_moments(process):
    p = {"theta": 2.0, "sigma_min": 0.1, "sigma_max": 1.0, **process}
    t, h = np.linspace(0.1, 1.0, 10), 1e-5
    growth = p["sigma_max"] / p["sigma_min"]
    diffusion = p["sigma_min"] ** 2 * growth ** (2 * t) * 2 * np.log(growth)
    (_, low), (_, std), (_, high) = (ouve_kernel(t + d, **process) for d in (-h, 0.0, h))
    slope = (high**2 - low**2) / (2 * h)
    np.testing.assert_allclose(slope, diffusion - 2 * p["theta"] * std**2, rtol=1e-6)


def test_the_kernel_is_what_paths_of_the_equation_do():
    rng, steps, n = np.random.default_rng(0), 1000, 20_000
    x0, mu, dt = 0.7, -0.4, 1.0 / steps
    x = np.full(n, x0)
    for i in range(steps):
        g = 0.1 * 10 ** (i * dt) * np.sqrt(2 * np.log(10.0))
        x = x + 2.0 * (mu - x) * dt + g * np.sqrt(dt) * rng.standard_normal(n)
    scale, std = ouve_kernel(1.0)
    assert abs(x.mean() - (scale * x0 + (1 - scale) * mu)) < 4 * std / np.sqrt(n) + 1e-3
    assert x.std() == pytest.approx(std, rel=4 / np.sqrt(2 * n) + 3e-3)


@pytest.mark.parametrize("process", PROCESSES)
def test_the_target_cancels(process):
    rng, t = np.random.default_rng(1), np.linspace(0.03, 1.0, 7)
    x0, mu, z = rng.standard_normal((3, 7))
    scale, std = ouve_kernel(t, **process)
    x_t = scale * x0 + (1 - scale) * mu + std * z
    v = mu + (x_t - mu) / scale
    np.testing.assert_allclose(v, x0 + ouve_sigma(t, **process) * z, rtol=1e-12, atol=1e-12)


def test_ends_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match=r"sigma_min must be below sigma_max, got 1\.0 >= 0\.1"):
        ouve_sigma(0.5, sigma_min=1.0, sigma_max=0.1)
