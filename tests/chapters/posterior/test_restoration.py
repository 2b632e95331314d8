"""Restoration studies: tasks, designs, pairing of cells, predictions, diagnostics, the record."""

import json

import numpy as np
import pytest

from chapters.posterior import gallery, mismatch, record, sizes, tasks
from chapters.posterior import restoration as study
from diffbook import inverse
from diffbook.inverse.blocks import design as block_design
from diffbook.inverse.blocks.chain import Chain
from diffbook.metrics import cells as kit
from diffbook.metrics.restoration import consistency, energy_score, psnr, spread_over_error
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
def test_the_three_designs_keep_their_promises(name):
    alpha_bar, problem = ddpm_respaced(10), tasks.block_problem("digits", name)
    chain = Chain(problem, alpha_bar)
    free, bounded, trimmed = (
        tasks.designed_weights("digits", name, 10, kind=kind) for kind in tasks.KINDS
    )
    assert np.all(bounded <= chain.bound("stability") * (1 + 1e-9))
    assert chain.value(free) <= chain.value(bounded) * (1 + 1e-6)
    assert chain.value(bounded) < chain.value(chain.normalised(1.0))
    assert block_design.state_power(problem, alpha_bar, trimmed).max() <= 1.05 + 1e-9
    assert np.all(trimmed <= free)
    with pytest.raises(ValueError, match="kind: got 'tame'"):
        tasks.designed_weights("digits", name, 10, kind="tame")


def test_noise_is_designed_for():
    """With fresh noise other weights are best: each is better where it was designed."""
    problem, alpha_bar = tasks.block_problem("digits", "super-resolution"), ddpm_respaced(5)
    still, noisy = (
        tasks.designed_weights("digits", "super-resolution", 5, "dps", "free", eta)
        for eta in (0.0, 1.0)
    )
    for eta, best, other in ((0.0, still, noisy), (1.0, noisy, still)):
        chain = Chain(problem, alpha_bar, "dps", eta=eta)
        assert chain.value(best) < chain.value(other)


# --- cells ----------------------------------------------------------------------------------------


PAIR = ("bounded", "DPS, 1/‖r‖")


def small_run(**changes):
    settings = {"steps": (5,), "methods": PAIR, "seeds": (0, 1), "n": 6, "m": 3, "tuned": {}}
    return study.run_cells("digits", changes.pop("name", "deblurring"), **(settings | changes))


@pytest.fixture(scope="module")
def cells():
    return small_run()


def test_every_metric_of_every_combination_is_a_cell(cells):
    keys = [(c.method, c.seed) for c in cells if c.metric == "nfe"]
    assert keys == [(PAIR[0], 0), (PAIR[1], 0), (PAIR[0], 1), (PAIR[1], 1)]
    assert {c.group for c in cells} == {("digits", "deblurring")}
    assert {c.metric for c in cells} == {*record.METRICS, "nfe"}
    assert {c.value for c in cells if c.metric == "nfe"} == {5}
    assert kit.values(cells, "energy")[5, "bounded"].shape == (2, 6)
    assert kit.values(cells, "gabor")[5, "bounded"].shape == (2,)


def test_scores_are_those_of_the_samples():
    task, x0 = tasks.make_task("digits", "deblurring"), tasks.images("digits", "test", 6)
    y = study.measured(task, x0, 0, 1)
    x = x0[:, None] + 0.1 * RNG(0).standard_normal((6, 4, 8, 8))
    found = study.score(task, x0, x, y)
    each = [psnr(x[:, i], x0) for i in range(4)]
    np.testing.assert_allclose(found["PSNR"], np.mean(each, axis=0))
    np.testing.assert_allclose(found["squared error"], np.mean((x - x0[:, None]) ** 2, (1, 2, 3)))
    expected = consistency(x[:, 0], y, task.operator, task.sigma_y)
    np.testing.assert_array_equal(found["consistency"], expected)
    # In per cent of the grey range, which is 2.
    np.testing.assert_allclose(found["energy"], 100 * energy_score(x / 2, x0 / 2))
    assert found["spread/error"] == spread_over_error(x, x0)


def test_methods_are_paired_and_seeds_are_not(cells):
    """Equal rules give equal samples: DPS tuned to zeta' = 1 is its standard."""
    tuned = {("digits", "deblurring", 5, "DPS"): 1.0}
    again = kit.values(small_run(methods=("DPS",), tuned=tuned), "energy")[5, "DPS"]
    first = kit.values(cells, "energy")
    np.testing.assert_array_equal(again, first[5, PAIR[1]])
    assert np.abs(first[5, "bounded"][0] - first[5, "bounded"][1]).max() > 0.1
    tuned = {("digits", "deblurring", 5, "DPS"): 0.5}
    half = small_run(methods=("DPS",), seeds=(0,), tuned=tuned)
    assert np.abs(kit.values(half, "energy")[5, "DPS"] - first[5, PAIR[1]][:1]).max() > 0.01
    task, x0 = tasks.make_task("digits", "denoising"), np.zeros((3, 8, 8))
    noise = [study.measured(task, x0, 0, k) for k in (0, 1)]
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.3
    assert not set(tasks.noise_seeds(0, 0, 9, 0)) & set(tasks.noise_seeds(0, 0, 9, 1))
    other = kit.values(small_run(methods=PAIR[1:], seeds=(0,), seed=1), "energy")
    assert np.abs(other[5, PAIR[1]] - first[5, PAIR[1]][:1]).max() > 0.1


def test_given_weights_are_used_and_not_designed_again(cells):
    weights = {("digits", "deblurring", 5, "dps", "bounded", 0.0): np.zeros(5)}
    blind = small_run(methods=("bounded",), seeds=(0,), weights=weights)
    # Without guidance the measurement is ignored.
    blind, guided = (kit.values(c, "consistency")[5, "bounded"][0].mean() for c in (blind, cells))
    assert blind > 5 * guided


@pytest.mark.parametrize("method", study.METHODS)
def test_every_method_runs(method):
    tuned = {("digits", "deblurring", 10, method): study.METHODS[method].grid[0]}
    found = small_run(methods=(method,), seeds=(0,), steps=(10,), tuned=tuned)
    assert [c.value for c in found if c.metric == "nfe"] == [10]
    assert all(np.all(np.isfinite(c.value)) for c in found)


def test_methods_take_the_number_that_is_tuned():
    task, ab = tasks.make_task("digits", "deblurring"), ddpm_respaced(5)
    assert study.rule("DDRM", task, 5, 0.3) == ("ddrm", None, {"eta": 0.3})
    assert study.rule("DPS", task, 5, 0.3) == ("dps", 0.3, {"eta": 1.0})
    sampler, weights, options = study.rule("DiffPIR", task, 5, 7.0)
    assert (sampler, options) == ("diffpir", {"zeta": 1.0})
    np.testing.assert_array_equal(weights, np.full(5, 7.0))
    _, weights, _ = study.rule("PiGDM", task, 5, 2.0)
    np.testing.assert_array_equal(weights, 2.0 * np.sqrt(ab[1:]) * (1 - ab[1:]))
    once, twice = (study.rule("bounded × c", task, 5, c)[1] for c in (1.0, 2.0))
    np.testing.assert_array_equal(twice, 2 * once)


def test_the_same_effort_for_every_method():
    """What is tuned is one number among as many values."""
    assert {len(m.grid) for m in study.METHODS.values()} == {1, 11}
    for method in study.METHODS.values():
        assert list(method.grid) == sorted(set(method.grid))


@pytest.mark.parametrize("name", tasks.TASKS)
def test_every_task_is_restored(name):
    """Better than the mean image of the training set, which ignores the measurement."""
    found = small_run(name=name, steps=(25,), methods=PAIR[1:], seeds=(0,), n=20, m=2)
    x0 = tasks.images("digits", "test", 20)
    ignorant = psnr(np.broadcast_to(tasks.prior("digits").mu0, x0.shape), x0).mean()
    assert kit.values(found, "PSNR")[25, PAIR[1]].mean() > ignorant + 2


def test_the_model_predicts_what_it_can():
    task = tasks.make_task("digits", "deblurring")
    chain = Chain(tasks.block_problem("digits", "deblurring"), ddpm_respaced(5), "dps", eta=1.0)
    found = study.predicted(task, 5, study.rule("DPS", task, 5, 0.5))
    assert found == pytest.approx(chain.value(chain.normalised(0.5)))
    assert np.isnan(study.predicted(task, 5, study.rule("DDRM", task, 5, 0.5)))


def test_bad_requests_are_refused():
    task = tasks.make_task("digits", "deblurring")
    with pytest.raises(ValueError, match="method: got 'magic'"):
        study.rule("magic", task, 5)
    with pytest.raises(ValueError, match="n: got 1"):
        small_run(n=1)


def test_quality_has_the_names_of_the_figures(cells):
    found = study.quality(cells, ("PSNR", "gabor"))
    assert list(found) == ["PSNR (dB)", "Fréchet (Gabor)"]
    assert list(found["PSNR (dB)"]) == ["DPS bounded", PAIR[1]]
    (triple,) = found["PSNR (dB)"]["DPS bounded"]
    assert triple[0] == pytest.approx(kit.values(cells, "PSNR")[5, "bounded"].mean())


def test_cached_arrays_cannot_be_changed():
    shared = (
        tasks.images("digits", "test", 2),
        tasks.images("photos", "test", 2),
        tasks.designed_weights("digits", "denoising", 5),
    )
    for array in shared:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0.0


# --- galleries, diagnostics -----------------------------------------------------------------------


def test_a_photograph_of_any_size_is_restored():
    image = sizes.crop("coins")[:32, :32]
    found = gallery.photograph(image, "inpainting", 10, "DDRM", draws=6)
    np.testing.assert_array_equal(found.original, image[None])
    assert found.samples.shape == (1, 6, 32, 32)
    mask = tasks.make_task("photos", "inpainting", 32).operator.mask
    assert np.isnan(found.measurement[:, ~mask]).all()
    # The measurement is known where it was taken, so restorations differ more elsewhere.
    assert found.std[:, mask].mean() < found.std[:, ~mask].mean()
    np.testing.assert_allclose(found.std, found.samples.std(1, ddof=1))


def test_squares_hold_every_pixel_once():
    image = sizes.crop("motorcycle")
    assert image.shape == (sizes.SIDE, sizes.SIDE)
    for side in sizes.SIDES:
        cut = sizes.squares(image, side)
        assert cut.shape == ((sizes.SIDE // side) ** 2, side, side)
        np.testing.assert_array_equal(sizes.joined(cut), image)
    np.testing.assert_array_equal(sizes.squares(image, 64)[1], image[:64, 64:128])


def test_the_rule_grows_with_the_side_only_where_it_says_so(monkeypatch):
    monkeypatch.setattr(sizes, "SIDE", 32)
    image, used = sizes.crop("coins"), []
    draws = study.draws

    def spy(task, x0, S, rule, *rest):
        used.append((x0.shape, rule[1]))
        return draws(task, x0, S, rule, *rest)

    monkeypatch.setattr(study, "draws", spy)
    monkeypatch.setattr(sizes, "TUNED_AT", ("photos", "deblurring", 2))
    for method in ("DPS", "DPS, rescaled", "DDRM"):
        x, _ = sizes.deblurred(image, 32, method, 0, {"DPS": 0.5, "DDRM": 0.85})
        assert x.shape == (1, 32, 32)
    assert used == [((1, 32, 32), 0.5), ((1, 32, 32), 1.0), ((1, 32, 32), None)]


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


# --- the record -----------------------------------------------------------------------------------


QUICK = {"seeds": (0, 1), "n": 4, "m": 2}


def test_tuning_finds_the_better_value(monkeypatch):
    grid = (0.001, 2.0)
    monkeypatch.setitem(study.METHODS, "DPS", study.METHODS["DPS"]._replace(grid=grid))
    found = record.tune("digits", "deblurring", 5, "DPS", **QUICK)
    assert found["energy"][1] < found["energy"][0] - 1
    assert (found["value"], found["at_end"]) == (2.0, True)


def test_validation_is_a_run_of_the_validation_split():
    used = study.rule("bounded", tasks.make_task("digits", "deblurring"), 5)
    energy, fidelity = record.validate("digits", "deblurring", 5, used, **QUICK | {"seeds": (0,)})
    found = small_run(methods=("bounded",), seeds=(0,), n=4, m=2, split="validation")
    assert energy == pytest.approx(kit.values(found, "energy")[5, "bounded"].mean())
    assert fidelity == pytest.approx(kit.values(found, "PSNR")[5, "bounded"].mean())


def test_validation_shows_every_seed_other_images(monkeypatch):
    shown, draws = [], study.draws

    def spy(task, x0, *rest):
        shown.append(x0)
        return draws(task, x0, *rest)

    monkeypatch.setattr(study, "draws", spy)
    used = study.rule("bounded", tasks.make_task("digits", "deblurring"), 5)
    record.validate("digits", "deblurring", 5, used, **QUICK)
    np.testing.assert_array_equal(np.concatenate(shown), tasks.images("digits", "validation", 8))


@pytest.fixture(scope="module")
def part():
    """A whole part of the study, small."""
    methods = ("DPS", "DPS, 1/‖r‖", "bounded", "bounded × c", "DDRM")
    return record.part(("digits", "deblurring"), (5,), methods, (5, 3), **QUICK)


def test_a_part_holds_all_tables(part):
    assert set(part) == set(record.TABLES)
    assert [r["method"] for r in part["tuning"]] == ["DPS", "bounded × c", "DDRM"]
    assert [r["bound"] for r in part["bounds"]] == list(record.CAPS)
    models = {r["method"]: r["model"] for r in part["cells"]}
    assert models["DDRM"] is None
    assert models["bounded"] > 0
    (order,) = part["order"]
    assert order["pairs"] == 6
    assert 0 <= order["agreed"] <= order["decided"] <= 6
    (weights,) = part["weights"]
    assert (weights["sampler"], weights["kind"], weights["noise"]) == ("dps", "bounded", 0.0)


def test_order_counts_what_is_decided():
    def cells(shift):
        rng = RNG(0)
        values = {"a": rng.standard_normal((3, 40)) / 10, "b": rng.standard_normal((3, 40)) / 10}
        return [
            kit.Cell(5, name, "energy", k, row + shift * (name == "b"), ("d", "t"))
            for name, rows in values.items() for k, row in enumerate(rows)
        ]  # fmt: skip

    model = {(5, "a"): 1.0, (5, "b"): 2.0}
    counts = [record.order_row(cells(c), model, 5) for c in (1.0, -1.0, 0.0)]
    assert [(c["decided"], c["agreed"]) for c in counts] == [(1, 1), (1, 0), (0, 0)]


def test_record_round_trip(tmp_path, part):
    about = {"seed": 0, "networks": record.digests()}
    document = {"about": about} | part | {"wiener": [{"S": 5, "zeta": 0.2, "PSNR": [1.0]}]}
    document["sizes"] = [{"image": "coins", "side": 16, "method": "DPS", "seed": 0, "PSNR": 1.0}]
    path = tmp_path / "record.json"
    records.write(path, document)
    assert records.read(path) == json.loads(json.dumps(document))
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]
    found = record.load(path)
    assert found.wiener_zetas == {5: 0.2}
    key = ("digits", "deblurring", 5)
    assert found.tuned[(*key, "DDRM")] in study.ETAS
    assert found.weights[(*key, "dps", "bounded", 0.0)].shape == (5,)
    # The record's weights are those that made the cells: a run gives the same numbers again.
    again = study.run_cells(
        "digits", "deblurring", (5,), ("bounded", "DDRM"), (0, 1), n=5, m=3,
        tuned=found.tuned, weights=found.weights,
    )  # fmt: skip
    for metric in ("energy", "gabor"):
        (direct,) = kit.compare(again, metric, "DDRM", "bounded")
        recorded = kit.values(found.cells, metric)
        assert recorded[5, "DDRM"].mean() == pytest.approx(direct.a.mean(), rel=1e-3)
    (row,) = kit.compare(again, "energy", "bounded", "DDRM")
    expected = found.difference(key[:2], 5, "energy", "bounded", "DDRM")
    assert expected == pytest.approx(row.crossed, rel=1e-3)
    with pytest.raises(ValueError, match="difference: the study has none"):
        found.difference(key[:2], 7, "energy", "bounded", "DDRM")
    with pytest.raises(FileNotFoundError, match=r"python -m chapters\.posterior\.record"):
        record.load(tmp_path / "absent.json")


def test_a_record_of_other_networks_is_refused(tmp_path, part):
    networks = record.digests() | {"digits8_seed0.safetensors": "0" * 64}
    document = {"about": {"networks": networks}} | part | {"wiener": [], "sizes": []}
    records.write(tmp_path / "record.json", document)
    with pytest.raises(ValueError, match="other networks"):
        record.load(tmp_path / "record.json")


def test_a_finished_part_is_not_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "working", lambda: tmp_path)
    made = []

    def make():
        made.append(1)
        return {"rows": [{"a": len(made)}]}

    for settings, expected in (({"n": 1}, 1), ({"n": 1}, 1), ({"n": 2}, 2)):
        assert record.finished("part", settings, make)["rows"] == [{"a": expected}]


def test_the_committed_record_has_the_rows_that_the_study_makes(part):
    found = records.read(paths.study("posterior", "restoration"))
    for table in record.TABLES:
        assert list(found[table][0]) == list(part[table][0]), table
    pairs = {(d["method"], d["other"]) for d in found["differences"]}
    assert pairs == set(record.PAIRS)
    assert found["about"]["methods"] == {
        name: [*method[:3], list(method.grid)] for name, method in study.METHODS.items()
    }
