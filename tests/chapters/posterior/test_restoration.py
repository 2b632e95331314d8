"""Restoration studies: tasks, designs, pairing of cells, predictions, diagnostics, the record."""

import json

import numpy as np
import pytest

from chapters.posterior import gallery, mismatch, record, tasks
from chapters.posterior import restoration as study
from diffbook import inverse
from diffbook.inverse.blocks import design as block_design
from diffbook.inverse.blocks.chain import Chain
from diffbook.metrics import cells as kit
from diffbook.metrics.restoration import consistency, psnr
from diffbook.schedules.families import ddpm_respaced
from press import paths, records

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
        "names": ("deblurring",), "steps": (5,), "methods": ("designed", "standard"),
        "seeds": (0, 1), "n": 6, "zetas": {}, "workers": 1,
    }  # fmt: skip
    return study.run_cells("digits", **(settings | changes))


@pytest.fixture(scope="module")
def cells():
    return small_run()


def test_every_metric_of_every_combination_is_a_cell(cells):
    keys = [(c.method, c.seed) for c in cells if c.metric == "nfe"]
    assert keys == [("designed", 0), ("designed", 1), ("standard", 0), ("standard", 1)]
    assert {c.group for c in cells} == {("digits", "deblurring")}
    assert {c.metric for c in cells} == {*record.METRICS, "nfe"}
    assert {c.value for c in cells if c.metric == "nfe"} == {5}
    assert kit.values(cells, "PSNR")[5, "designed"].shape == (2, 6)
    assert kit.values(cells, "gabor")[5, "designed"].shape == (2,)


def test_scores_are_those_of_the_sample():
    task, x0 = tasks.make_task("digits", "deblurring"), tasks.images("digits", "test", 6)
    y, sample = study.measured(task, x0, 0, 1), x0 + 0.1 * RNG(0).standard_normal(x0.shape)
    found = study.score(task, 5, "m", 1, x0, y, sample, 7, {"mean": np.mean})
    by = {c.metric: c.value for c in found}
    np.testing.assert_array_equal(by["PSNR"], psnr(sample, x0))
    expected = consistency(sample, y, task.operator, task.sigma_y)
    np.testing.assert_array_equal(by["consistency"], expected)
    assert by["mean"] == sample.mean()
    assert by["nfe"] == 7


def test_methods_are_paired_and_seeds_are_not(cells):
    """Equal rules give equal samples: `tuned` at zeta' = 1 is `standard`."""
    zetas = {("digits", "deblurring", 5): 1.0}
    again = kit.values(small_run(methods=("tuned",), zetas=zetas, workers=2), "PSNR")[5, "tuned"]
    first = kit.values(cells, "PSNR")
    np.testing.assert_array_equal(again, first[5, "standard"])
    assert np.abs(first[5, "designed"][0] - first[5, "designed"][1]).max() > 0.1
    half = small_run(methods=("tuned",), seeds=(0,), zetas={("digits", "deblurring", 5): 0.5})
    assert np.abs(kit.values(half, "PSNR")[5, "tuned"] - first[5, "standard"][:1]).max() > 0.01
    task, x0 = tasks.make_task("digits", "denoising"), np.zeros((3, 8, 8))
    noise = [study.measured(task, x0, 0, k) for k in (0, 1)]
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.3
    assert not set(tasks.noise_seeds(0, 0, 9, 0)) & set(tasks.noise_seeds(0, 0, 9, 1))
    other = kit.values(small_run(methods=("standard",), seeds=(0,), seed=1), "PSNR")
    assert np.abs(other[5, "standard"] - first[5, "standard"][:1]).max() > 0.1


def test_given_weights_are_used_and_not_designed_again(cells):
    weights = {("digits", "deblurring", 5, "dps"): np.zeros(5)}
    free = small_run(methods=("designed",), seeds=(0,), weights=weights)
    # Without guidance the measurement is ignored.
    free, guided = (kit.values(c, "consistency")[5, "designed"][0].mean() for c in (free, cells))
    assert free > 5 * guided


@pytest.mark.parametrize("method", study.MORE_METHODS)
def test_other_methods_run(method):
    found = small_run(methods=(method,), seeds=(0,), steps=(10,))
    assert [c.value for c in found if c.metric == "nfe"] == [10]
    assert kit.values(found, "PSNR")[10, method].mean() > 5
    assert all(np.all(np.isfinite(c.value)) for c in found)


@pytest.mark.parametrize("name", tasks.TASKS)
def test_every_task_is_restored(name):
    """Better than the mean image of the training set, which ignores the measurement."""
    found = small_run(names=(name,), steps=(25,), methods=("standard",), seeds=(0,), n=20)
    x0 = tasks.images("digits", "test", 20)
    ignorant = psnr(np.broadcast_to(tasks.prior("digits").mu0, x0.shape), x0).mean()
    assert kit.values(found, "PSNR")[25, "standard"].mean() > ignorant + 2


def test_bad_requests_are_refused():
    task = tasks.make_task("digits", "deblurring")
    with pytest.raises(ValueError, match="method: got 'magic'"):
        study.rule("magic", task, 5)
    with pytest.raises(ValueError, match="zeta: got None"):
        study.rule("tuned", task, 5)
    with pytest.raises(ValueError, match="n: got 1"):
        small_run(n=1)


def test_quality_has_the_names_of_the_figures(cells):
    found = study.quality(cells, ("PSNR", "gabor"))
    assert list(found) == ["PSNR (dB)", "Fréchet (Gabor)"]
    assert list(found["PSNR (dB)"]) == ["DPS designed", "DPS standard"]
    (triple,) = found["PSNR (dB)"]["DPS standard"]
    assert triple[0] == pytest.approx(kit.values(cells, "PSNR")[5, "standard"].mean())


def test_cached_arrays_cannot_be_changed():
    shared = (
        tasks.images("digits", "test", 2),
        tasks.images("photos", "test", 2),
        tasks.designed_weights("digits", "denoising", 5),
    )
    for array in shared:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0.0


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


def test_super_resolution_is_shown_at_full_size():
    operator = tasks.make_task("digits", "super-resolution").operator
    y = RNG(0).standard_normal((1, 4, 4))
    np.testing.assert_allclose(operator.forward(gallery.shown(operator, y)), y, atol=1e-12)


def test_mismatch_of_the_model_with_itself_is_zero(monkeypatch):
    """With the Wiener denoiser in the network's place, every measure agrees with the model."""
    monkeypatch.setattr(mismatch, "network", lambda data, k: tasks.prior(data).denoise)
    found = mismatch.mismatch("digits", 0, (0.9, 0.1), n=200, probes=10)
    np.testing.assert_allclose(found.slope, found.model_slope, rtol=0.1, atol=0.01)
    np.testing.assert_allclose(found.sigma, [1 / 3, 3])
    curved = mismatch.curvature("digits", "deblurring", 3, 0, n=4, iterations=60)
    np.testing.assert_allclose(curved.network_bound, curved.bound[:, None] * np.ones(4), rtol=0.05)


@pytest.mark.parametrize("name", ["deblurring", "super-resolution", "inpainting"])
def test_power_of_states_is_that_of_a_gaussian_run(name, monkeypatch):
    """Gaussian images, Wiener denoiser, 4,000 runs: the closed form is the mean over runs."""
    n, model = 4000, tasks.prior("digits")
    monkeypatch.setattr(mismatch, "network", lambda data, k: model.denoise)
    monkeypatch.setattr(tasks, "images", lambda data, split, n: model.sample(n, RNG(0)))
    weights = tasks.designed_weights("digits", name, 4)
    network, closed = mismatch.path("digits", name, 4, 0, weights, n=n)
    np.testing.assert_allclose(network, closed, rtol=0.03)
    assert closed.max() > 1.1  # a case that a state of nominal power would not pass


def test_trimmed_weights_keep_the_states_in_range():
    alpha_bar, problem = ddpm_respaced(5), tasks.block_problem("digits", "deblurring")
    weights = tasks.designed_weights("digits", "deblurring", 5)
    assert block_design.state_power(problem, alpha_bar, weights).max() > 1.5
    found = block_design.trimmed(problem, alpha_bar, weights)
    assert block_design.state_power(problem, alpha_bar, found).max() <= 1.05 + 1e-9
    assert np.all(found <= weights)
    assert np.any(found == weights)  # what is in range is left alone
    np.testing.assert_array_equal(block_design.trimmed(problem, alpha_bar, weights, 100.0), weights)
    with pytest.raises(ValueError, match=r"slack: got 0\.9"):
        block_design.trimmed(problem, alpha_bar, weights, 0.9)


def test_diagnostics_run_on_a_network():
    found = mismatch.mismatch("digits", 0, (0.5,), n=8, probes=1)
    assert found.slope.shape == found.model_slope.shape == (1, len(found.radius))
    assert np.all(np.isfinite(found.slope))
    network, _ = mismatch.path("digits", "deblurring", 3, 0, np.full(3, 0.1), n=8)
    assert network.shape == (3,)
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
    found = small_run(methods=("standard",), seeds=(0,), split="validation")
    expected = kit.values(found, "PSNR")[5, "standard"].mean()
    assert quality[0] == pytest.approx(expected, abs=1e-3)


def test_record_round_trip(tmp_path, cells):
    key = {"data": "digits", "task": "deblurring", "S": 5}
    document = {
        "about": {"seed": 0},
        "wiener": [{"S": 5} | record.best((0.1, 0.2, 0.3), np.array([1.0, 3.0, 2.0]))],
        "tuning": [key | record.best((0.1, 1.0), np.array([1.0, 2.0]))],
        "weights": [key | {"sampler": "dps", "weights": [1.0, 2.0, 3.0, 4.0, 5.0]}],
        "cells": record.cell_rows(cells),
        "differences": [
            row
            for metric in ("PSNR", "gabor")
            for row in record.compared(cells, metric, "designed", "standard")
        ],
    }
    path = tmp_path / "record.json"
    records.write(path, document)
    assert records.read(path) == json.loads(json.dumps(document))
    records.write(tmp_path / "empty.json", document | {"cells": [], "differences": []})
    assert record.load(tmp_path / "empty.json").cells == []
    (tmp_path / "empty.json").unlink()
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]
    found = record.load(path)
    assert found.zetas == {("digits", "deblurring", 5): 1.0}
    assert found.wiener_zetas == {5: 0.2}
    assert found.weights["digits", "deblurring", 5, "dps"].tolist() == [1, 2, 3, 4, 5]
    assert kit.means(found.cells, ["SSIM"]) == {
        name: pytest.approx(row, rel=1e-4) for name, row in kit.means(cells, ["SSIM"]).items()
    }
    (direct,) = kit.compare(cells, "PSNR", "designed", "standard")
    which = ("digits", "PSNR", "designed", "standard", (5, 10))
    row = found.difference_rows(*which)["digits, deblurring"]
    assert row == {5: pytest.approx(direct.crossed, rel=1e-3)}
    (sets,) = kit.compare(cells, "gabor", "designed", "standard")
    row = found.difference_rows("digits", "gabor", *which[2:])["digits, deblurring"]
    assert row == {5: pytest.approx(sets.difference, rel=1e-3)}
    assert found.difference_rows("photos", *which[1:]) == {}
    with pytest.raises(FileNotFoundError, match=r"python -m chapters\.posterior\.record"):
        record.load(tmp_path / "absent.json")


def test_the_committed_record_has_the_rows_that_the_study_makes(cells):
    found = records.read(paths.study("posterior", "restoration"))
    assert list(found["cells"][0]) == list(record.cell_rows(cells)[0])
    made = record.compared(cells, "PSNR", "designed", "standard")[0]
    assert list(found["differences"][0]) == list(made)
    pairs = {(d["method"], d["other"]) for d in found["differences"]}
    assert pairs == set(record.PAIRS)
