"""Restoration studies: tasks, designs, pairing of cells, predictions, diagnostics, the record."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from chapters.posterior import comparisons, gallery, mismatch, record, tasks, wiener
from chapters.posterior import restoration as study
from diffbook import inverse
from diffbook.inverse.blocks.chain import Chain
from diffbook.inverse.exact import gaussian_vjp
from diffbook.metrics.intervals import crossed_ci, paired_ci
from diffbook.metrics.restoration import consistency, psnr
from diffbook.schedules.families import ddpm_respaced
from press import records

RNG = np.random.default_rng


# --- tasks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", sorted(tasks.SIDES))
@pytest.mark.parametrize("name", tasks.TASKS)
def test_tasks_measure_what_their_names_say(data, name):
    task, side = tasks.make_task(data, name), tasks.SIDES[data]
    x = RNG(0).standard_normal((2, side, side))
    y = task.operator.forward(x)
    if name == "denoising":
        np.testing.assert_allclose(y, x, atol=1e-12)
    elif name == "super-resolution":
        means = x.reshape(2, side // 2, 2, side // 2, 2).mean((2, 4))
        np.testing.assert_allclose(y, means, atol=1e-12)
    elif name == "inpainting":
        assert y.shape == (2, side**2 // 2)
        np.testing.assert_array_equal(y, x[:, task.operator.mask])
    else:
        assert y.shape == x.shape
        np.testing.assert_allclose(y.mean((1, 2)), x.mean((1, 2)), atol=1e-12)
        assert y.var() < 0.3 * x.var()


def test_images_are_different_and_of_their_split():
    x = tasks.images("photos", "test", 1232)
    assert x.shape == (1232, 16, 16)
    textured = x[x.std((1, 2)) > 0.02].reshape(-1, 256)
    assert len(textured) > 800
    assert len(np.unique(textured, axis=0)) == len(textured)
    np.testing.assert_array_equal(tasks.images("photos", "test", 10), x[:10])
    # The same pixels as the tiles of the split: every tile gives 16 patches.
    from diffbook.datasets import photos

    total = np.sum(photos.tiles("test"))
    assert x.sum() == pytest.approx(total, rel=1e-9)
    assert tasks.images("photos", "test", 4, 32).shape == (4, 32, 32)
    with pytest.raises(ValueError, match="n: got 1233"):
        tasks.images("photos", "test", 1233)
    with pytest.raises(ValueError, match="data: got 'cats'"):
        tasks.make_task("cats", "denoising")
    with pytest.raises(ValueError, match="name: got 'dehazing'"):
        tasks.make_task("photos", "dehazing")


@pytest.mark.parametrize("name", tasks.TASKS)
def test_block_problems_have_the_exact_mmse(name):
    """Independent of the blocks: the posterior covariance from dense matrices."""
    task, prior = tasks.make_task("digits", name), tasks.prior("digits")
    H, cov = inverse.matrix(task.operator), prior.covariance()
    gain = cov @ H.T @ np.linalg.inv(H @ cov @ H.T + task.sigma_y**2 * np.eye(len(H)))
    expected = np.trace(cov - gain @ H @ cov)
    assert tasks.block_problem("digits", name).mmse == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", tasks.TASKS)
def test_designed_weights_are_capped_and_better_than_the_heuristic(name):
    alpha_bar, problem = ddpm_respaced(10), tasks.block_problem("digits", name)
    weights, chain = tasks.designed_weights("digits", name, 10), Chain(problem, alpha_bar)
    assert np.all(weights > 0)
    assert np.all(weights <= chain.bound("no-overshoot") * (1 + 1e-9))
    assert chain.value(weights) < chain.value(chain.normalised(1.0))


# --- cells ----------------------------------------------------------------------------------------


def small_run(**changes):
    settings = {
        "tasks": ("deblurring",), "steps": (5,), "methods": ("designed", "standard"),
        "seeds": (0, 1), "n": 6, "zetas": {}, "workers": 1,
    }  # fmt: skip
    return study.run_cells("digits", **(settings | changes))


@pytest.fixture(scope="module")
def cells():
    return small_run()


def test_cells_measure_their_own_samples(cells):
    assert [(c.method, c.seed) for c in cells] == [
        ("designed", 0), ("designed", 1), ("standard", 0), ("standard", 1),
    ]  # fmt: skip
    task, x0 = tasks.make_task("digits", "deblurring"), tasks.images("digits", "test", 6)
    for cell in cells:
        assert cell.nfe == 5
        np.testing.assert_allclose(cell.per_image["PSNR"], psnr(cell.sample, x0))
        y = study.measured(task, x0, 0, cell.seed)
        expected = consistency(cell.sample, y, task.operator, task.sigma_y)
        np.testing.assert_allclose(cell.per_image["consistency"], expected)
        assert cell.value("PSNR") == pytest.approx(cell.per_image["PSNR"].mean())
        assert set(cell.per_set) == {"pixels", "gabor", "spectrum dB"}


def test_methods_are_paired_and_seeds_are_not(cells):
    """Equal rules give equal samples: `tuned` at zeta' = 1 is `standard`."""
    zetas = {("digits", "deblurring", 5): 1.0}
    again = small_run(methods=("tuned",), zetas=zetas, workers=2)
    for a, b in zip(again, cells[2:], strict=True):
        np.testing.assert_array_equal(a.sample, b.sample)
    assert np.abs(cells[0].sample - cells[1].sample).max() > 0.1
    half = small_run(methods=("tuned",), seeds=(0,), zetas={("digits", "deblurring", 5): 0.5})
    assert np.abs(half[0].sample - cells[2].sample).max() > 0.01
    task, x0 = tasks.make_task("digits", "denoising"), np.zeros((3, 8, 8))
    noise = [study.measured(task, x0, 0, k) for k in (0, 1)]
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.3
    assert not set(tasks.noise_seeds(0, 0, 9, 0)) & set(tasks.noise_seeds(0, 0, 9, 1))
    other = small_run(methods=("standard",), seeds=(0,), seed=1)
    assert np.abs(other[0].sample - cells[2].sample).max() > 0.1


def test_given_weights_are_used_and_not_designed_again(cells):
    weights = {("digits", "deblurring", 5, "dps"): np.zeros(5)}
    free = small_run(methods=("designed",), seeds=(0,), weights=weights)[0]
    # Without guidance the measurement is ignored.
    assert free.per_image["consistency"].mean() > 5 * cells[0].per_image["consistency"].mean()


@pytest.mark.parametrize("method", study.MORE_METHODS)
def test_other_methods_run(method):
    (cell,) = small_run(methods=(method,), seeds=(0,), steps=(10,))
    assert cell.nfe == 10
    assert np.all(np.isfinite(cell.sample))
    assert cell.value("PSNR") > 5


@pytest.mark.parametrize("name", tasks.TASKS)
def test_every_task_is_restored(name):
    """Better than the mean image of the training set, which ignores the measurement."""
    found = small_run(tasks=(name,), steps=(25,), methods=("standard",), seeds=(0,), n=20)
    x0 = tasks.images("digits", "test", 20)
    ignorant = psnr(np.broadcast_to(tasks.prior("digits").mu0, x0.shape), x0).mean()
    assert found[0].value("PSNR") > ignorant + 2


def test_bad_requests_are_refused():
    task = tasks.make_task("digits", "deblurring")
    with pytest.raises(ValueError, match="method: got 'magic'"):
        study.rule("magic", task, 5)
    with pytest.raises(ValueError, match="zeta: got None"):
        study.rule("tuned", task, 5)
    with pytest.raises(ValueError, match="n: got 1"):
        small_run(n=1)


def test_comparisons(cells):
    (found,) = comparisons.compare(cells, "PSNR", "designed", "standard")
    a = np.stack([c.per_image["PSNR"] for c in cells[:2]])
    b = np.stack([c.per_image["PSNR"] for c in cells[2:]])
    assert found.crossed == crossed_ci(a - b)
    assert found.per_seed == pytest.approx(paired_ci(a.mean(1), b.mean(1)))
    (sets,) = comparisons.compare(cells, "gabor", "designed", "standard")
    assert sets.crossed is None
    assert comparisons.compare(cells, "PSNR", "designed", "tuned") == []
    with pytest.raises(ValueError, match="not run with the same seeds"):
        comparisons.compare(cells[:3], "PSNR", "designed", "standard")
    mean, low, high = comparisons.summary(cells, "SSIM")["digits", "deblurring", 5, "designed"]
    assert low < mean < high


def test_tables_for_figures(cells):
    differences = comparisons.compare(cells, "PSNR", "designed", "standard")
    differences += comparisons.compare(cells, "gabor", "designed", "standard")
    pair = ("designed", "standard", (5, 10))
    table = comparisons.difference_table(differences, "digits", "PSNR", *pair)
    assert tuple(table["deblurring"][0]) == differences[0].crossed
    assert np.isnan(table["deblurring"][1]).all()
    sets = comparisons.difference_table(differences, "digits", "gabor", *pair)
    assert tuple(sets["deblurring"][0]) == differences[1].per_seed
    assert comparisons.difference_table(differences, "photos", "PSNR", *pair) == {}
    quality = comparisons.quality_table(cells, "digits", "deblurring", ("PSNR", "gabor"), (5,))
    assert quality["PSNR"]["standard"].shape == (1, 3)
    assert quality["gabor"]["designed"][0, 0] == pytest.approx(
        np.mean([c.per_set["gabor"] for c in cells[:2]])
    )


def test_cached_arrays_cannot_be_changed():
    shared = (
        tasks.images("digits", "test", 2),
        tasks.images("photos", "test", 2),
        tasks.designed_weights("digits", "denoising", 5),
    )
    for array in shared:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0.0


# --- Wiener denoiser ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def case():
    return wiener.setting(16, 1.0, 0.1, 2000)


def test_closed_form_jacobian_is_that_of_autograd(case):
    x, v = (torch.as_tensor(RNG(i).standard_normal((3, 16, 16))) for i in (0, 1))
    x.requires_grad_(True)
    (g,) = torch.autograd.grad((case.prior.denoise(x, 0.3) * v).sum(), x)
    got = gaussian_vjp(case.prior)(x.detach().numpy(), 0.3, v.numpy())
    np.testing.assert_allclose(got, g.numpy(), atol=1e-12)


@pytest.mark.parametrize("alpha_bar", [ddpm_respaced(5), np.array([1.0, 0.9, 0.5])])
def test_predicted_error_is_the_mean_over_noise(case, alpha_bar):
    """One photograph, 4,000 noises: the measured squared error is the predicted one.

    The second schedule ends far from pure noise, where the mean of the start matters as well.
    """
    from diffbook.inverse import published
    from diffbook.samplers.protocol import initial_noise

    n, weights = 4000, np.full(len(alpha_bar) - 1, 0.1)
    x0 = tasks.images("photos", "validation", 1)
    noise = (initial_noise(range(i * n, (i + 1) * n), (16, 16)) for i in (0, 1))
    y = inverse.measure(case.operator, np.repeat(x0, n, axis=0), case.sigma_y, next(noise))
    x = published.dps(
        case.prior.denoise, next(noise), alpha_bar, y=y, operator=case.operator,
        sigma_y=case.sigma_y, weights=weights, vjp=gaussian_vjp(case.prior),
    ).sample  # fmt: skip
    error = np.sum((x - x0) ** 2, axis=(1, 2))
    (predicted,) = wiener.predicted_mse(case, alpha_bar, weights, x0)
    assert abs(error.mean() - predicted) < 4 * error.std() / np.sqrt(n)
    assert error.std() / np.sqrt(n) < 0.01 * predicted


def test_posterior_mean_is_the_dense_formula(case):
    y = RNG(3).standard_normal((2, 16, 16))
    H, cov = inverse.matrix(case.operator), case.prior.covariance()
    gain = cov @ H.T @ np.linalg.inv(H @ cov @ H.T + case.sigma_y**2 * np.eye(256))
    mu = case.prior.mu0.ravel()
    expected = mu + (y.reshape(2, -1) - H @ mu) @ gain.T
    np.testing.assert_allclose(
        wiener.posterior_mean(case, y).reshape(2, -1), expected, rtol=1e-6, atol=1e-8
    )


def test_wiener_cells_and_agreement(case):
    found = wiener.wiener_cells(case, {5: 0.3}, n=30, seeds=(0, 1))
    assert len(found) == 2 * len(wiener.METHODS)
    predicted, measured = wiener.agreement(found, "designed")[5]
    assert measured == pytest.approx(predicted, rel=0.03)
    by = {(c.method, c.seed): c.per_image for c in found}
    np.testing.assert_array_equal(by["tuned", 0]["PSNR"], by["zeta' = 0.3", 0]["PSNR"])
    assert by["designed", 0]["PSNR"].mean() > by["tuned", 0]["PSNR"].mean()
    assert not np.allclose(by["designed", 0]["MSE"], by["designed", 1]["MSE"])
    levels = wiener.bounds(case, 40)
    assert levels["Wiener"] > levels["measurement"]


def test_wiener_tuning(case):
    """Values of one batch do not influence each other, and both extremes are bad."""
    quality = wiener.tune(case, 5, n=10, grid=(0.02, 1.0, 20.0))
    assert np.argmax(quality) == 1
    np.testing.assert_allclose(wiener.tune(case, 5, n=10, grid=(1.0,)), quality[1])


# --- galleries, diagnostics -----------------------------------------------------------------------


def test_gallery():
    found = gallery.gallery("digits", "inpainting", 25, "standard", which=(2, 0), draws=6, keep=3)
    np.testing.assert_array_equal(found.original, tasks.images("digits", "test", 3)[[2, 0]])
    assert found.samples.shape == (2, 3, 8, 8)
    mask = tasks.make_task("digits", "inpainting").operator.mask
    assert np.isnan(found.measurement[:, ~mask]).all()
    # The measurement is known where it was taken, so restorations differ more elsewhere.
    assert found.std[:, mask].mean() < found.std[:, ~mask].mean()
    every = gallery.gallery("digits", "deblurring", 5, "standard", which=(0,), draws=3, keep=3)
    np.testing.assert_allclose(every.std, every.samples.std(1, ddof=1), rtol=1e-5)
    np.testing.assert_allclose(every.mean, every.samples.mean(1), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="keep, draws"):
        gallery.gallery("digits", "inpainting", 5, "standard", draws=1)


def test_wiener_gallery_spreads_like_its_closed_form(case):
    from diffbook.inverse import gains
    from diffbook.inverse.filters import compose

    found = gallery.wiener_gallery(case, 5, "designed", 1.0, which=(0, 1), draws=50)
    weights = wiener.rules(case, 5, 1.0)["designed"][1]
    problem = case.problem
    V = compose(problem, ddpm_respaced(5), gains.dps(problem, ddpm_respaced(5), weights)).V
    assert np.mean(found.std**2) == pytest.approx(V.mean(), rel=0.05)


def test_super_resolution_is_shown_at_full_size():
    operator = tasks.make_task("digits", "super-resolution").operator
    y = RNG(0).standard_normal((1, 4, 4))
    np.testing.assert_allclose(operator.forward(gallery.shown(operator, y)), y, atol=1e-12)


def test_mismatch_of_the_model_with_itself_is_zero(monkeypatch):
    """With the Wiener denoiser in the network's place, every measure agrees with the model."""
    monkeypatch.setattr(mismatch, "network", lambda data, k: tasks.prior(data).denoise)
    found = mismatch.mismatch("digits", 0, (0.9, 0.1), n=200, probes=10)
    assert np.all(found.answer_gap < 1e-6)
    np.testing.assert_allclose(found.slope, found.model_slope, rtol=0.1, atol=0.01)
    np.testing.assert_allclose(found.sigma, [1 / 3, 3])
    curved = mismatch.curvature("digits", "deblurring", 3, 0, n=4, iterations=60)
    np.testing.assert_allclose(curved.network_bound, curved.bound[:, None] * np.ones(4), rtol=0.05)


@pytest.mark.parametrize("name", ["deblurring", "super-resolution", "inpainting"])
def test_power_of_states_is_that_of_a_gaussian_run(name, monkeypatch):
    """Gaussian images, Wiener denoiser, 4,000 runs: the closed form is the mean over runs."""
    n, model = 4000, tasks.prior("digits")
    monkeypatch.setattr(mismatch, "network", lambda data, k: model.denoise)
    monkeypatch.setattr(mismatch, "images", lambda data, split, n: model.sample(n, RNG(0)))
    weights = tasks.designed_weights("digits", name, 4)
    found = mismatch.path("digits", name, 4, 0, weights, n=n)
    np.testing.assert_allclose(found.network, found.model, rtol=0.03)
    assert found.model.max() > 1.1  # a case that a state of nominal power would not pass


def test_trimmed_weights_keep_the_states_in_range():
    alpha_bar, problem = ddpm_respaced(5), tasks.block_problem("digits", "deblurring")
    weights = tasks.designed_weights("digits", "deblurring", 5)
    assert tasks.state_power(problem, alpha_bar, weights).max() > 1.5
    found = tasks.trimmed(problem, alpha_bar, weights)
    assert tasks.state_power(problem, alpha_bar, found).max() <= tasks.SLACK + 1e-9
    assert np.all(found <= weights)
    assert np.any(found == weights)  # what is in range is left alone
    np.testing.assert_array_equal(tasks.trimmed(problem, alpha_bar, weights, 100.0), weights)
    with pytest.raises(ValueError, match=r"slack: got 0\.9"):
        tasks.trimmed(problem, alpha_bar, weights, 0.9)


def test_diagnostics_run_on_a_network():
    found = mismatch.mismatch("digits", 0, (0.5,), n=8, probes=1)
    assert found.error[0] < found.model_error[0]  # the network knows more than the spectrum
    walk = mismatch.path("digits", "deblurring", 3, 0, np.full(3, 0.1), n=8)
    assert np.all((walk.clipped >= 0) & (walk.clipped <= 1))
    curved = mismatch.curvature("digits", "deblurring", 2, 0, n=2, iterations=2)
    assert curved.overshoot(0.9).shape == (2,)


# --- the record -----------------------------------------------------------------------------------


def test_tuning_finds_the_better_value():
    quality = record.tune("digits", "deblurring", 5, seeds=(0,), n=6, grid=(0.001, 2.0))
    assert quality[1] > quality[0] + 1
    found = record.best((0.001, 2.0), quality)
    assert found["zeta"] == 2.0
    assert found["at_end"]


def test_tuning_equals_cells_of_the_validation_split():
    quality = record.tune("digits", "deblurring", 5, seeds=(0,), n=6, grid=(1.0,))
    (cell,) = small_run(methods=("standard",), seeds=(0,), split="validation")
    assert quality[0] == pytest.approx(cell.value("PSNR"), abs=1e-3)


def test_record_round_trip(tmp_path, cells, monkeypatch):
    key = {"data": "digits", "task": "deblurring", "S": 5}
    document = {
        "about": {"seed": 0},
        "wiener": [{"S": 5} | record.best((0.1, 0.2, 0.3), np.array([1.0, 3.0, 2.0]))],
        "tuning": [key | record.best((0.1, 1.0), np.array([1.0, 2.0]))],
        "weights": [key | {"sampler": "dps", "weights": [1.0, 2.0, 3.0, 4.0, 5.0]}],
        "cells": [record._summary(c) for c in cells],
        "differences": [
            record._plain(d)
            for metric in ("PSNR", "gabor")
            for d in comparisons.compare(cells, metric, "designed", "standard")
        ],
    }
    path = tmp_path / "record.json"
    records.write(path, document)
    assert records.read(path) == json.loads(json.dumps(document))
    records.write(tmp_path / "empty.json", document | {"cells": [], "differences": []})
    assert record.load(tmp_path / "empty.json").rows == []
    (tmp_path / "empty.json").unlink()
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]
    found = record.load(path)
    assert found.zetas == {("digits", "deblurring", 5): 1.0}
    assert found.wiener_zetas == {5: 0.2}
    assert found.weights["digits", "deblurring", 5, "dps"].tolist() == [1, 2, 3, 4, 5]
    row = next(r for r in found.rows if (r.method, r.seed, r.metric) == ("designed", 1, "SSIM"))
    assert row.value == pytest.approx(cells[1].value("SSIM"), rel=1e-4)
    direct = comparisons.compare(cells, "PSNR", "designed", "standard")[0]
    assert found.differences[0].crossed == pytest.approx(direct.crossed, rel=1e-3)
    assert replace(found.differences[1], per_seed=()).crossed is None
    with pytest.raises(FileNotFoundError, match=r"python -m press\.posterior_record"):
        record.load(tmp_path / "absent.json")
