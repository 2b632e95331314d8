"""Designed weights for a problem of one's own: predicted against drawn, refusals, the command line."""

import json
from functools import cache
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from chapters.posterior import tasks
from diffbook import inverse, recipes
from diffbook.inverse import gains, rules
from diffbook.inverse.blocks.chain import Chain
from diffbook.inverse.exact import gaussian_vjp
from diffbook.metrics.restoration import psnr
from diffbook.priors import ChannelPriors, GaussianPrior
from diffbook.priors.distances import w2_gaussian
from diffbook.recipes import inputs, weights
from diffbook.recipes.restoration import LARGEST
from diffbook.samplers.protocol import initial_noise, step_noise
from diffbook.samplers.transfer import step_coefficients
from diffbook.schedules.families import ddpm_chain, ddpm_respaced
from press import paths

TABLE = ddpm_chain()
SHAPE = (8, 8)


@cache
def grey(shape=SHAPE):
    return GaussianPrior.from_spectrum(GaussianPrior.inverse_f(shape, 2.0).lam, 0.2)


@cache
def colour():
    rng = np.random.default_rng(0)
    mix = np.array([[1.0, 0.2, 0.1], [0.9, -0.3, 0.1], [0.8, 0.1, -0.2]])
    x = np.einsum("ij,njhw->nihw", mix, np.stack([grey().sample(300, rng) for _ in range(3)], 1))
    return ChannelPriors.estimated(x, channels="first")


BLUR = inverse.Blur.from_transfer(inverse.gaussian_transfer(SHAPE, 0.8))
OPERATORS = {
    "blur": BLUR,
    "down": inverse.Downsampling(SHAPE, 2, BLUR),
    "mask": inverse.Mask(np.random.default_rng(1).random(SHAPE) < 0.5),
    "identity": inverse.identity(SHAPE),
}


@cache
def recipe(operator, images="grey", S=6, **options):
    prior = grey() if images == "grey" else colour()
    levels = (
        {"sigma_range": (0.02, 80.0)} if options.pop("ve", False) else {"alphas_cumprod": TABLE}
    )
    return prior, recipes.weights_for(prior, OPERATORS[operator], 0.1, S, **levels, **options)


def measured(prior, made, n, seed=5):
    rng = np.random.default_rng(seed)
    x0 = prior.sample(n, rng)
    noise = rng.standard_normal((*x0.shape[: -len(SHAPE)], *made.operator.measurement_shape))
    return x0, inverse.measure(made.operator, x0, made.sigma_y, noise)


def check_error(x, x0, made):
    """The mean squared error of draws is the predicted one, within four standard errors."""
    error = np.mean((x - x0).reshape(len(x), -1) ** 2, axis=1)
    standard = error.std(ddof=1) / np.sqrt(len(error))
    predicted = made.expected["these weights"]["mse"]
    assert standard < 0.06 * predicted
    assert abs(error.mean() - predicted) < 4.0 * standard, (error.mean(), predicted, standard)


# --- what is predicted is what is drawn --------------------------------------------------------


@pytest.mark.parametrize("images", ["grey", "colour"])
@pytest.mark.parametrize("operator", ["blur", "down", "mask"])
def test_drawn_error_is_the_predicted_one(operator, images):
    prior, made = recipe(operator, images)
    x0, y = measured(prior, made, 400)
    x = recipes.restore(made, prior.denoise, y, range(400), gaussian_vjp(prior))
    assert x.shape == x0.shape
    check_error(x, x0, made)


@pytest.mark.parametrize(
    ("operator", "options"),
    [("blur", {"method": "pigdm"}), ("down", {"eta": 0.0}), ("mask", {"method": "pigdm"}),
     ("blur", {"ve": True}), ("identity", {"S": 1})],
)  # fmt: skip
def test_so_it_is_for_the_other_choices(operator, options):
    prior, made = recipe(operator, **options)
    x0, y = measured(prior, made, 400)
    check_error(recipes.restore(made, prior.denoise, y, range(400), gaussian_vjp(prior)), x0, made)


def test_restore_is_the_published_sampler_with_the_recipes_weights():
    prior, made = recipe("down", eta=0.5)
    _, y = measured(prior, made, 2)
    x = inverse.published.dps(
        prior.denoise, initial_noise([3, 4], SHAPE), made.alpha_bar, y=y, operator=made.operator,
        sigma_y=0.1, weights=made.weights, eta=0.5, vjp=gaussian_vjp(prior),
        noise=step_noise([3, 4]),
    ).sample  # fmt: skip
    ours = recipes.restore(made, prior.denoise, y, [3, 4], gaussian_vjp(prior))
    np.testing.assert_array_equal(ours, x)


@pytest.mark.parametrize("operator", ["blur", "down", "mask"])
def test_distance_is_that_of_dense_gaussians(operator):
    # Without fresh noise a sampler is affine in the start and in y: both matrices by probing.
    prior, made = recipe(operator, S=4, eta=0.0)
    d, m = prior.d, int(np.prod(made.operator.measurement_shape))

    def law(x_T, y):
        return inverse.published.dps(
            prior.denoise, x_T.reshape(-1, *SHAPE), made.alpha_bar,
            y=y.reshape(-1, *made.operator.measurement_shape), operator=made.operator,
            sigma_y=made.sigma_y, weights=made.weights, vjp=gaussian_vjp(prior),
        ).sample.reshape(-1, d)  # fmt: skip

    zero = law(np.zeros((1, d)), np.zeros((1, m)))
    A = (law(np.eye(d), np.zeros((d, m))) - zero).T
    B = (law(np.zeros((m, d)), np.eye(m)) - zero).T
    H, cov, mu0 = inverse.matrix(made.operator), prior.covariance(), prior.mu0.ravel()
    S_y = H @ cov @ H.T + made.sigma_y**2 * np.eye(m)
    K = cov @ H.T @ np.linalg.inv(S_y)
    at_mean = zero[0] + B @ H @ mu0 - mu0
    value = at_mean @ at_mean + np.trace((B - K) @ S_y @ (B - K).T)
    value += w2_gaussian(np.zeros(d), A @ A.T, np.zeros(d), cov - K @ H @ cov) ** 2
    assert made.expected["these weights"]["distance"] == pytest.approx(value / d, rel=1e-6)


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("method", ["dps", "pigdm"])
def test_a_loop_over_time_steps_with_the_guided_noise_is_the_sampler(method, eta):
    prior, made = recipe("blur", method=method, eta=eta)
    x0, y = measured(prior, made, 3)
    y, noise = torch.from_numpy(y), {t: torch.randn(x0.shape).double() for t in made.timesteps}
    x = start = torch.randn(x0.shape).double()

    def eps(x, t):
        level = TABLE[int(t)]
        return (x - level**0.5 * prior.denoise(x, level)) / (1.0 - level) ** 0.5

    guided = recipes.guided_eps(made, eps, y)
    steps = step_coefficients(made.alpha_bar, "vp", eta)
    for t, level, (a, b, c) in zip(
        made.timesteps[::-1], made.alpha_bar[:0:-1], steps[::-1], strict=True
    ):
        x0_hat = (x - (1.0 - level) ** 0.5 * guided(x, int(t))) / level**0.5
        x = a * x + b * x0_hat + c * noise[t]
    ours = getattr(inverse.published, method)(
        prior.denoise, start, made.alpha_bar, y=y, operator=made.operator, sigma_y=made.sigma_y,
        weights=made.weights, eta=eta, noise=lambda s, x: noise[made.timesteps[s - 1]],
    ).sample  # fmt: skip
    torch.testing.assert_close(x, ours, rtol=1e-9, atol=1e-9)


@pytest.mark.skipif(find_spec("diffusers") is None, reason="diffusers is not installed")
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_error_of_a_loop_of_diffusers_is_the_predicted_one(eta):
    from diffusers import DDIMScheduler

    prior, made = recipe("blur", S=5, eta=eta)
    scheduler = DDIMScheduler(
        beta_start=1e-4, beta_end=0.02, timestep_spacing="trailing", clip_sample=False
    )
    scheduler.set_timesteps(5)
    assert scheduler.timesteps.tolist() == made.timesteps[::-1].tolist()
    ab = scheduler.alphas_cumprod.double()

    def eps(x, t):
        return (x - ab[t] ** 0.5 * prior.denoise(x, float(ab[t]))) / (1.0 - ab[t]) ** 0.5

    x0, y = measured(prior, made, 400)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(x0.shape, generator=generator, dtype=torch.float64)
    guided = recipes.guided_eps(made, eps, torch.from_numpy(y))
    for t in scheduler.timesteps:
        step = scheduler.step(guided(x, t), t, x, eta=made.eta, generator=generator)
        x = step.prev_sample
    check_error(x.numpy(), x0, made)
    leading = DDIMScheduler(timestep_spacing="leading")
    leading.set_timesteps(5)
    with pytest.raises(ValueError, match=r"t: got 800, .* timestep_spacing='trailing'"):
        guided(x, leading.timesteps[0])


# --- what it is compared with, and what is recorded ---------------------------------------------


def test_weights_of_the_recorded_study_come_out():
    rows = json.loads(paths.study("posterior", "restoration").read_text("utf-8"))["weights"]["rows"]
    recorded = {tuple(row[:6]): row[6] for row in rows}
    for name, method in (
        ("deblurring", "dps"),
        ("super-resolution", "dps"),
        ("deblurring", "pigdm"),
    ):
        task = tasks.make_task("photos", name)
        made = recipes.weights_for(
            tasks.prior("photos"), task.operator, task.sigma_y, 10, method=method,
            alphas_cumprod=TABLE,
        )  # fmt: skip
        expected = recorded["photos", name, 10, method, "bounded", 1.0]
        np.testing.assert_allclose(made.weights, expected, rtol=1e-3)
        assert made.search["converged"]


@pytest.mark.parametrize("images", ["grey", "colour"])
@pytest.mark.parametrize("operator", ["blur", "down"])
def test_published_weights_are_those_of_the_library(operator, images):
    prior, made = recipe(operator, images)
    problem = recipes.problem_for(prior, OPERATORS[operator], 0.1)
    coupled = operator == "down"
    home = inverse.blocks.gains if coupled else gains
    compose = home.compose if coupled else inverse.compose
    rule = (
        Chain(problem, made.alpha_bar, eta=1.0).normalised(1.0)
        if coupled
        else rules.dps_normalised(problem, made.alpha_bar, 1.0, eta=1.0)
    )
    for name, used in (
        ("published rule, 1/|r|", rule), ("these weights", made.weights), ("no guidance", np.zeros(6))
    ):  # fmt: skip
        transfer = compose(
            problem, made.alpha_bar, home.dps(problem, made.alpha_bar, used, eta=1.0)
        )
        assert made.expected[name]["mse"] == pytest.approx(transfer.mse / np.prod(made.shape))
        assert made.expected[name]["distance"] == pytest.approx(
            transfer.w2_squared / np.prod(made.shape)
        )
    pigdm = recipe("blur", method="pigdm")[1].expected
    assert pigdm["these weights"]["distance"] < pigdm["published weights"]["distance"]


@pytest.mark.parametrize("operator", OPERATORS)
def test_bounds_lie_where_they_must(operator):
    _, made = recipe(operator)
    mse = {name: row["mse"] for name, row in made.expected.items()}
    distance = {name: row["distance"] for name, row in made.expected.items()}
    assert mse["Wiener estimate"] == min(mse.values())
    assert mse["posterior sample"] == pytest.approx(2.0 * mse["Wiener estimate"])
    assert distance["these weights"] < distance["published rule, 1/|r|"] < distance["no guidance"]
    assert made.search["converged"] and made.search["slope"] < weights.SLOPE
    assert len(made.search["starts"]) == 3
    problem = recipes.problem_for(grey(), OPERATORS[operator], 0.1)
    if operator in ("down", "mask"):
        bound = Chain(problem, made.alpha_bar, eta=1.0).bound("stability")
    else:
        bound = rules.stability_bound(problem, made.alpha_bar, eta=1.0)
    assert np.all(made.weights <= bound * (1.0 + 1e-9))


def test_a_search_that_was_cut_short_says_so():
    _, made = recipe("blur", S=25, eta=0.0, max_iter=1)
    assert not made.search["converged"]
    assert "NOT converged" in made.report()


def test_large_images_are_designed_on_bins(monkeypatch):
    def designed():
        return recipes.weights_for(grey(), BLUR, 0.1, 4, alphas_cumprod=TABLE)

    exact = designed()
    monkeypatch.setattr(weights, "BINS", 1)
    one_bin = designed()
    assert not np.allclose(one_bin.weights, exact.weights, rtol=1e-3)
    # What is reported is the distance of all modes, with the weights of the bins.
    distance = one_bin.expected["these weights"]["distance"]
    assert distance > exact.expected["these weights"]["distance"]
    assert one_bin.search["converged"] and distance < one_bin.expected["no guidance"]["distance"]
    problem = recipes.problem_for(grey(), BLUR, 0.1)
    assert np.all(one_bin.weights <= rules.stability_bound(problem, exact.alpha_bar, eta=1.0))


@pytest.mark.parametrize("images", ["grey", "colour"])
@pytest.mark.parametrize("operator", OPERATORS)
def test_problem_has_the_power_of_the_prior_and_its_mean(operator, images):
    prior = grey() if images == "grey" else colour()
    problem = recipes.problem_for(prior, OPERATORS[operator], 0.1)
    assert np.sum(problem.count * problem.lam.T) == pytest.approx(prior.lam.sum())
    power = np.sum(problem.count * np.abs(problem.mu0.T) ** 2)
    assert power == pytest.approx(np.sum(prior.mu0**2))
    assert problem.d == np.prod(prior.shape)


# --- the same weights in other conventions ------------------------------------------------------


def test_conventions_agree_with_the_sampler():
    _, made = recipe("blur", eta=0.5)
    ab, before = made.alpha_bar[1:], made.alpha_bar[:-1]
    kappa = gains.kappa(made.alpha_bar, 0.5)
    np.testing.assert_allclose(made.score_weights * kappa, made.weights)
    np.testing.assert_allclose(made.eps_weights, made.score_weights * np.sqrt(1.0 - ab))
    # A state x is sqrt(ab) (x0 + sigma noise): one root for the step, one for the gradient.
    np.testing.assert_allclose(made.ve_weights * np.sqrt(before) * np.sqrt(ab), made.weights)
    np.testing.assert_allclose(made.sigmas**2, (1.0 - made.alpha_bar) / made.alpha_bar)


def test_time_steps_are_those_of_trailing_spacing():
    ab, t = recipes.levels_for(25, alphas_cumprod=TABLE)
    np.testing.assert_array_equal(t[::-1], np.arange(1000, 0, -40) - 1)
    np.testing.assert_array_equal(ab, ddpm_respaced(25))
    every, t = recipes.levels_for(1000, alphas_cumprod=TABLE)
    assert len(every) == 1001 and t.tolist() == list(range(1000))
    ab, t = recipes.levels_for(3, sigma_range=(0.01, 80.0))
    assert t is None and ab[0] == 1.0
    np.testing.assert_allclose(np.sqrt(1.0 / ab - 1.0)[[1, -1]], [0.01, 80.0])
    one, _ = recipes.levels_for(1, sigma_range=(0.01, 80.0))
    np.testing.assert_allclose(one, [1.0, 1.0 / 6401.0])
    given, t = recipes.levels_for(2, schedule=[0.99, 0.5, 0.1])
    assert given.tolist() == [0.99, 0.5, 0.1] and t is None


def test_json_round_trip():
    _, made = recipe("down", "colour")
    document = made.as_dict()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["weights"] == made.weights.tolist()
    assert document["timesteps"] == made.timesteps.tolist()
    assert document["problem"]["shape"] == [3, 8, 8]
    assert "these weights" in made.report() and "converged" in made.report()


def test_what_diverges_is_null_in_json():
    _, made = recipe("blur")
    made = type(made)(**{**made.__dict__, "expected": {"x": {"mse": np.inf, "distance": 1.0}}})
    assert made.as_dict()["expected"] == {"x": {"mse": None, "distance": 1.0}}


@pytest.mark.parametrize("operator", ["blur", "down", "mask"])
@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("sigma_y", [0.0, 1.0])
@pytest.mark.parametrize("S", [1, 2])
def test_ends_of_the_ranges(operator, eta, sigma_y, S):
    made = recipes.weights_for(
        grey(), OPERATORS[operator], sigma_y, S, eta=eta, alphas_cumprod=TABLE
    )
    assert np.all(made.weights >= 0) and made.S == S
    assert np.isfinite(made.expected["these weights"]["mse"])


# --- data ---------------------------------------------------------------------------------------


def test_images_make_the_prior_that_they_have():
    x = grey().sample(30, np.random.default_rng(0))
    np.testing.assert_array_equal(recipes.prior_for(x).lam, GaussianPrior.estimated(x).lam)
    rgb = colour().sample(20, np.random.default_rng(0))
    first, last = recipes.prior_for(rgb), recipes.prior_for(np.moveaxis(rgb, 1, -1))
    np.testing.assert_allclose(first.lam, last.lam)
    assert recipes.prior_for(grey()) is grey()
    signals = grey((8,)).sample(9, np.random.default_rng(0))
    made = recipes.weights_for(signals, inverse.Downsampling(8, 2), 0.1, 2, sigma_range=(0.1, 10.0))
    assert made.n_images == 9 and made.shape == (8,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": np.zeros((4, 8, 8), np.uint8)}, r"data: got uint8, whole numbers.*127.5"),
        ({"data": np.zeros((1, 8, 8))}, r"data: got shape \(1, 8, 8\), expected \(n, \.\.\.\) with at least 2"),
        ({"data": np.zeros((4, 8, 8, 4))}, r"data: got shape \(4, 8, 8, 4\), expected 3 colours"),
        ({"data": np.zeros((4, 3, 8, 3))}, r"pass channels"),
        ({"data": np.full((4, 8, 8), np.nan)}, r"data\[0, 0, 0\] = nan"),
        ({"operator": inverse.identity((8, 4))}, r"operator: got one .* \(8, 4\), .* \(8, 8\)"),
        ({"operator": np.eye(64)}, r"operator: got a ndarray, expected a linear degradation"),
        ({"operator": inverse.Blur.from_transfer(np.zeros(SHAPE))}, r"operator: .* measures nothing"),
        ({"sigma_y": -0.1}, r"sigma_y: got -0.1"),
        ({"S": 0}, r"S: got 0"),
        ({"S": 1001}, r"S: got 1001, expected at most the model's 1000 levels"),
        ({"eta": 1.5}, r"eta: got 1.5"),
        ({"method": "dpps"}, r"method: got 'dpps'.*did you mean 'dps'"),
        ({"alphas_cumprod": None}, r"exactly one of alphas_cumprod, sigma_range, schedule; got none"),
        ({"sigma_range": (0.1, 1.0)}, r"exactly one of .*\['alphas_cumprod', 'sigma_range'\]"),
        ({"alphas_cumprod": None, "sigma_range": (1.0, 0.1)}, r"sigma_range: .* smaller level first"),
        ({"alphas_cumprod": TABLE[::-1]}, r"alphas_cumprod must decrease"),
        ({"alphas_cumprod": None, "schedule": [0.9, 0.1]}, r"schedule: got 2 levels, .* 4"),
        ({"max_iter": 0}, r"max_iter: got 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(change, message, monkeypatch):
    monkeypatch.setattr(weights, "_designed", lambda *a: pytest.fail("designed before the check"))
    given = {"data": grey(), "operator": BLUR, "sigma_y": 0.1, "S": 3, "alphas_cumprod": TABLE}
    with pytest.raises(ValueError, match=message):
        recipes.weights_for(**{**given, **change})


def test_a_mask_that_is_too_large_says_what_to_do():
    prior, mask = grey((24, 24)), inverse.Mask(np.ones((24, 24), dtype=bool))
    assert 24**6 > LARGEST
    with pytest.raises(ValueError, match=r"operator: couples 576 modes .* at most 20 x 20 pixels"):
        recipes.problem_for(prior, mask, 0.1)
    with pytest.raises(ValueError, match="prior: expected a stationary one"):
        recipes.problem_for(GaussianPrior.from_covariance(np.eye(4)), inverse.identity(4), 0.1)


def test_guidance_refuses_what_does_not_fit():
    prior, made = recipe("blur")
    _, y = measured(prior, made, 2)
    with pytest.raises(ValueError, match="seeds: got 3, expected one for each of 2"):
        recipes.restore(made, prior.denoise, y, range(3), gaussian_vjp(prior))
    with pytest.raises(ValueError, match=r"y must end in the axes \(8, 8\)"):
        recipes.guided_eps(made, None, torch.zeros(2, 7, 8))
    with pytest.raises(ValueError, match="recipe: has no time steps"):
        recipes.guided_eps(recipe("blur", ve=True)[1], None, torch.from_numpy(y))
    with pytest.raises(ValueError, match=r"t: got 3, expected one of .* \[999, .*trailing"):
        recipes.guided_eps(made, None, torch.from_numpy(y))(torch.from_numpy(y), 3)


# --- the command line ---------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    from PIL import Image

    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for i in range(3):
        pixels = rng.integers(0, 256, (12, 10, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{i}.png")
    return tmp_path


def command(folder, *more, levels=("--sigma-range", "0.02", "80")):
    given = [folder / "images", "--noise", "0.05", "--steps", "3", *levels, *more]
    return weights.main([str(one) for one in given])


def test_command_writes_recipe_and_report(folder, capsys):
    config = {"beta_start": 1e-4, "beta_end": 0.02, "num_train_timesteps": 1000}
    model = folder / "scheduler_config.json"
    model.write_text(json.dumps({**config, "beta_schedule": "linear"}))
    files = ("--out", folder / "w.json", "--report", folder / "w.png")
    small = ("--blur-sigma", "1.0", "--factor", "2", "--size", "8")
    assert command(folder, *small, *files, levels=("--model", model)) == 0
    said = capsys.readouterr().out
    assert "these weights" in said and "converged" in said
    document = json.loads((folder / "w.json").read_text())
    assert document["problem"]["shape"] == [3, 8, 8] and document["problem"]["n_images"] == 3
    images, _, _ = inputs.images(folder / "images", size=8)
    blur = inverse.Blur.from_transfer(inverse.gaussian_transfer((8, 8), 1.0))
    made = recipes.weights_for(
        images,
        inverse.Downsampling((8, 8), 2, blur),
        0.05,
        3,
        alphas_cumprod=TABLE,
        channels="first",
    )
    np.testing.assert_allclose(document["weights"], made.weights, rtol=1e-9)
    assert (folder / "w.png").read_bytes().startswith(b"\x89PNG")
    assert {p.name for p in folder.iterdir()} == {
        "images", "scheduler_config.json", "w.json", "w.png"
    }  # fmt: skip


def test_command_takes_grey_images_and_noise_alone(folder, capsys):
    assert command(folder, "--grey", "--method", "pigdm", "--eta", "0") == 0
    assert "pigdm, 3 steps, eta = 0: Blur of 12 x 10" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--factor", "3"], "factor must divide every size"),
        (["--method", "dpss"], "did you mean 'dps'"),
        (["--eta", "2"], "eta: got 2.0"),
        (["--blur-sigma", "-1"], "--blur-sigma: got -1.0"),
    ],
)
def test_command_refuses_by_name_with_status_two(folder, capsys, more, message):
    assert command(folder, *more) == 2
    assert message in capsys.readouterr().err


def test_a_failing_report_leaves_what_was_there(folder, monkeypatch):
    (folder / "w.json").write_text("old")
    monkeypatch.setattr(weights.json, "dumps", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        command(folder, "--out", folder / "w.json")
    assert (folder / "w.json").read_text() == "old"


def test_psnr_of_the_model_is_reached():
    prior, made = recipe("blur")
    x0, y = measured(prior, made, 100)
    x = recipes.restore(made, prior.denoise, y, range(100), gaussian_vjp(prior))
    expected = 10.0 * np.log10(4.0 / made.expected["these weights"]["mse"])
    assert psnr(x, x0).mean() == pytest.approx(expected, abs=0.5)
