"""A schedule for a model of one's own: forms, ends, predictions, and what is refused."""

import json

import numpy as np
import pytest

from diffbook import schedules
from diffbook.priors import w2_spectral
from diffbook.recipes import schedule_for, schedule_for_spectrum
from diffbook.recipes.design import FIRST, OURS, ROUNDED, SECOND, rivals
from diffbook.samplers import dpmpp_2m
from diffbook.samplers.transfer import transfer

LAM = np.geomspace(60.0, 0.01, 40)
CHAIN = schedules.ddpm_chain()
SD = np.cumprod(1.0 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)  # Stable Diffusion's


@pytest.mark.parametrize("chain", [CHAIN, SD, schedules.cosine_chain()])
@pytest.mark.parametrize("S", [1, 2, 10, 200])
def test_forms_agree_and_ends_are_the_models(chain, S):
    recipe = schedule_for_spectrum(LAM, S, alphas_cumprod=chain)
    sigma = schedules.alpha_bar_to_sigma(chain)
    assert recipe.sigmas.shape == (S + 1,)
    assert recipe.sigmas[0] == sigma[-1]
    assert recipe.sigmas[-1] == 0.0
    assert np.all(np.diff(recipe.sigmas) < 0)
    assert recipe.sigmas[-2] >= sigma[0]
    assert recipe.timesteps.shape == (S,)
    assert recipe.timesteps.dtype == np.int64
    assert recipe.timesteps[0] == chain.size - 1
    assert np.all(np.diff(recipe.timesteps) < 0)
    np.testing.assert_array_equal(recipe.schedule, [1.0, *chain[recipe.timesteps[::-1]]])


def test_time_steps_are_the_nearest_and_move_apart_where_two_meet():
    recipe = schedule_for_spectrum(LAM, 10, alphas_cumprod=CHAIN)
    grid = np.log(schedules.alpha_bar_to_sigma(CHAIN))
    nearest = [np.abs(grid - x).argmin() for x in np.log(recipe.sigmas[:-1])]
    np.testing.assert_array_equal(recipe.timesteps, nearest)
    short = schedules.ddpm_chain(12, 1e-3, 0.6)
    crowded = schedule_for_spectrum(np.full(5, 0.02), 11, alphas_cumprod=short)
    assert len(set(crowded.timesteps)) == 11
    whole = schedule_for_spectrum(LAM, 12, alphas_cumprod=short)
    np.testing.assert_array_equal(whole.timesteps, np.arange(12)[::-1])
    with pytest.raises(ValueError, match="S: got 13, expected at most 12"):
        schedule_for_spectrum(LAM, 13, alphas_cumprod=short)


def test_a_range_of_sigma_gives_sigmas_alone():
    recipe = schedule_for_spectrum(LAM, 8, sigma_range=(0.002, 80.0))
    assert recipe.timesteps is None
    assert recipe.process == "ve"
    assert recipe.sigmas[0] == 80.0
    np.testing.assert_array_equal(recipe.schedule, recipe.sigmas[::-1])


def test_it_is_the_optimum_between_these_ends():
    recipe = schedule_for_spectrum(LAM, 6, alphas_cumprod=SD)
    ends = {"eps_0": 1.0 - SD[0], "eps_S": SD[-1]}
    best = schedules.design_schedule(LAM, 6, **ends)
    np.testing.assert_allclose(recipe.sigmas[:-1], best.sigma[:0:-1], rtol=1e-4)
    assert recipe.converged
    first = recipe.predicted[FIRST]
    assert first[OURS] == min(value for name, value in first.items() if name != ROUNDED)


def test_prediction_is_that_of_the_transfer_function():
    recipe = schedule_for_spectrum(LAM, 7, alphas_cumprod=CHAIN)
    for name, sigma in {ROUNDED: None, **rivals(7, *recipe.sigma_range, CHAIN)}.items():
        alpha_bar = recipe.schedule if sigma is None else schedules.sigma_to_alpha_bar(sigma)
        std = transfer(LAM, alpha_bar).std
        assert recipe.predicted[FIRST][name] == pytest.approx(w2_spectral(LAM, std), rel=1e-9)


@pytest.mark.parametrize("ends", [{"alphas_cumprod": CHAIN}, {"sigma_range": (0.01, 80.0)}])
def test_second_order_prediction_and_the_mean_are_what_samples_show(ends):
    lam, mu = np.array([9.0, 1.0, 0.1]), np.array([4.0, -1.0, 0.5])
    recipe = schedule_for_spectrum(lam, 4, mu0_spectral=mu, **ends)
    n = 200_000
    x_T = np.random.default_rng(1).standard_normal((n, 3))
    x_T *= recipe.schedule[-1] if recipe.process == "ve" else 1.0

    def denoise(x, level, cond=None):
        ab = level if recipe.process == "vp" else 1.0
        noise = 1.0 - level if recipe.process == "vp" else level**2
        return mu + np.sqrt(ab) * lam / (ab * lam + noise) * (x - np.sqrt(ab) * mu)

    x = dpmpp_2m(denoise, x_T, recipe.schedule, process=recipe.process).sample
    w2 = np.sqrt(np.sum((x.std(0) - np.sqrt(lam)) ** 2) + np.sum((x.mean(0) - mu) ** 2))
    name = ROUNDED if recipe.process == "vp" else OURS
    assert recipe.predicted[SECOND][name] == pytest.approx(w2, rel=0.03)


def test_default_ends_of_the_library_are_never_taken():
    with pytest.raises(ValueError, match=r"got neither.*scheduler.alphas_cumprod"):
        schedule_for_spectrum(LAM, 5)
    with pytest.raises(ValueError, match="got both"):
        schedule_for_spectrum(LAM, 5, alphas_cumprod=CHAIN, sigma_range=(0.01, 80.0))


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ({"alphas_cumprod": CHAIN[::-1]}, "alphas_cumprod must decrease.*reverse"),
        ({"alphas_cumprod": 1 - np.linspace(1e-4, 0.02, 1000)}, r"np.cumprod\(alphas\)"),
        ({"alphas_cumprod": [0.9, 0.5, 0.0]}, r"alphas_cumprod: .*2\*\*-24"),
        ({"sigma_range": (80.0, 0.002)}, r"sigma_range: .*\(smallest, largest\)"),
        ({"sigma_range": (0.0, 80.0)}, "sigma_range"),
    ],
)
def test_levels_that_are_none_are_refused_with_what_to_do(ends, words):
    with pytest.raises(ValueError, match=words):
        schedule_for_spectrum(LAM, 5, **ends)


def test_rivals_are_those_of_diffusers():
    diffusers = pytest.importorskip("diffusers")
    for S in (1, 3, 10, 25):
        found = rivals(S, 0.01, 157.4, CHAIN)
        for spacing in ("leading", "trailing", "linspace"):
            scheduler = diffusers.DDIMScheduler(timestep_spacing=spacing)
            scheduler.set_timesteps(S)
            t = scheduler.timesteps.numpy()[::-1]
            expected = schedules.alpha_bar_to_sigma(CHAIN[t])
            np.testing.assert_allclose(found[spacing][1:], expected, err_msg=spacing)
    karras = diffusers.EulerDiscreteScheduler(use_karras_sigmas=True)
    karras.set_timesteps(10)
    sigma = schedules.alpha_bar_to_sigma(CHAIN)
    expected = rivals(10, sigma[0], sigma[-1], CHAIN)["Karras rho=7"]
    np.testing.assert_allclose(karras.sigmas.numpy()[::-1], expected, rtol=2e-3, atol=1e-6)


def test_data_report_and_json():
    rng = np.random.default_rng(3)
    x = rng.random((20, 6, 6, 3))
    x[..., 2] = x[..., 1]  # two channels alike: a third of the modes is without variance
    recipe = schedule_for(x, 5, alphas_cumprod=CHAIN)
    text = recipe.report()
    assert "5 steps for a spectrum of 72 modes" in text
    assert "36 modes without variance were left out" in text
    assert "20 examples are few" in text
    assert "2 * data - 1" in text
    for word in ("leading", "Karras rho=7", " ".join(map(str, recipe.timesteps))):
        assert word in text
    found = json.loads(json.dumps(recipe.as_dict(), allow_nan=False))
    assert found["timesteps"] == recipe.timesteps.tolist()
    assert found["predicted_w2"][FIRST][OURS] == recipe.predicted[FIRST][OURS]
