"""Studies on real signals: schedules, closed-form tables, sampling, paired comparisons."""

import numpy as np
import pytest

from chapters.spectral import signals
from diffbook.metrics import cells, samples
from diffbook.metrics.intervals import mean_ci
from diffbook.metrics.samples import frechet, gabor_energies
from diffbook.priors.gaussian import GaussianPrior
from diffbook.schedules.families import cosine, cosine_chain, ddpm_chain
from diffbook.schedules.levels import EPS_0, EPS_S, validate_alpha_bar

RNG = np.random.default_rng


@pytest.fixture(scope="module")
def prior():
    rng = RNG(0)
    a = rng.standard_normal((16, 16)) * np.geomspace(3, 0.05, 16)
    return GaussianPrior.from_covariance(a.T @ a / 16, rng.standard_normal(16))


def test_all_schedules_share_their_ends(prior):
    for group in signals.candidates(prior, (3, 7), leave_out=()).values():
        assert set(group) == {*signals.HEURISTICS, "spectral W2", "spectral KL", "fixed point"}
        for name, alpha_bar in group.items():
            validate_alpha_bar(alpha_bar, name)
            assert alpha_bar[0] == 1 - EPS_0
            assert alpha_bar[-1] == EPS_S


def test_ratios_on_the_synthetic_prior():
    """Known values for the paper's ramp (d = 50, l = 0.1) at S = 20, within 1 %."""
    ratios = signals.w2_ratios(GaussianPrior.ramp(), 20)
    expected = {"linear beta": 1.23, "cosine": 4.42, "sigmoid": 6.11, "EDM rho=7": 1.28}
    expected |= {"log-linear": 1.56, "fixed point": 1.001}
    for name, value in expected.items():
        assert ratios[name] == pytest.approx(value, rel=0.01)
    assert ratios["share"] == pytest.approx(1.87017 / np.sqrt(616.84), rel=1e-3)


def test_best_rho_is_a_minimum(prior):
    rho, ratio = signals.best_rho(prior, 10)
    assert 1.0 <= ratio <= signals.w2_ratios(prior, 10)["EDM rho=7"]
    assert rho > 0


def test_cross_use_has_ones_on_the_diagonal(prior):
    table = signals.cross_use({"a": prior, "b": GaussianPrior.ramp()}, 8)
    assert table["a"]["a"] == table["b"]["b"] == 1.0
    assert table["a"]["b"] > 1.0
    assert table["b"]["a"] > 1.0


def test_prediction_equals_samples_in_the_gaussian_case(prior):
    """Exact denoiser, S = 4: measured Fréchet agrees with the closed form, mean error included."""
    schedules = {4: {"cosine": cosine(4)}}
    metric = samples.moment_metric(prior.mu0, prior.covariance())
    rows, _ = signals.sample_quality(
        prior.denoise, schedules, metric, shape=(16,), n=40_000, seed=1
    )
    assert rows[0].value == pytest.approx(signals.predicted_w2(prior, cosine(4)), rel=0.02)


def test_estimation_excess_falls_with_n():
    ramp = GaussianPrior.ramp()
    excess = signals.estimation_excess(ramp, lambda n, s: ramp.sample(n, RNG(s)), (5, 200), 10, 4)
    assert np.all(excess[5] >= -1e-9)
    assert excess[200].mean() < 0.01 < excess[5].mean()


def test_rounding_cost():
    chains = {"linear": ddpm_chain(1000), "coarse": cosine_chain(50)}
    table = signals.rounding_cost(GaussianPrior.ramp(), chains, (10, 40))
    ratio, left = table["linear"][10]
    assert left == 10
    assert ratio == pytest.approx(1.0, abs=0.01)
    assert table["coarse"][40][1] < 40  # repeated levels were dropped


def test_schedules_are_paired(prior):
    """Equal schedules under two names give equal values: the starting noise is shared."""
    group = {5: {"cosine": cosine(5), "again": cosine(5)}}
    metric = samples.moment_metric(prior.mu0, prior.covariance())
    rows, kept = signals.sample_quality(prior.denoise, group, metric, shape=(16,), n=50, keep=2)
    assert rows[0].value == rows[1].value
    assert kept[5, "cosine"].shape == (2, 16)


def test_sample_quality_refuses(prior):
    with pytest.raises(ValueError, match="n: got 1"):
        signals.sample_quality(prior.denoise, {}, {}, shape=(16,), n=1)
    with pytest.raises(ValueError, match=r"schedules\[4\]\['x'\]: got 6 levels"):
        signals.sample_quality(prior.denoise, {4: {"x": cosine(5)}}, {}, shape=(16,), n=2)


def test_image_metrics_against_direct_calls():
    x, y = RNG(0).standard_normal((2, 100, 8, 8))
    found = {name: f(x) for name, f in samples.image_metrics(y).items()}
    assert set(found) == {"pixels", "gabor", "sliced W2", "spectrum dB"}
    assert found["pixels"] == pytest.approx(frechet(x, y), rel=1e-9)
    assert found["gabor"] == pytest.approx(frechet(gabor_energies(x), gabor_energies(y)), rel=1e-9)


def made_up_rows():
    rows = []
    for seed in range(3):
        for S, value in ((5, 2.0), (10, 1.0)):
            for name, factor in (("spectral W2", 1.0), ("cosine", 1.1), ("sigmoid", 0.9 + S / 50)):
                rows.append(cells.Cell(S, name, "m", seed, value * factor * (1 + 0.1 * seed)))
    return rows


def test_compare_picks_the_best_heuristic_at_each_step_count():
    found = cells.compare(made_up_rows(), "m", "spectral W2", signals.HEURISTICS)
    assert [(c.S, c.other) for c in found] == [(5, "sigmoid"), (10, "cosine")]
    assert found[0].ratio == pytest.approx((1.0, 1.0, 1.0))
    assert found[1].ratio == pytest.approx((1 / 1.1,) * 3)
    assert found[1].difference == pytest.approx(mean_ci([-0.1, -0.11, -0.12]))
    assert cells.worst(found).S == 5


def test_compare_with_a_named_schedule():
    found = cells.compare(made_up_rows(), "m", "spectral W2", "cosine")
    assert {c.other for c in found} == {"cosine"}
    assert cells.values(made_up_rows(), "m")[10, "cosine"] == pytest.approx([1.1, 1.21, 1.32])


def test_workers_do_not_change_the_numbers(prior):
    group = {S: {"cosine": cosine(S), "sigmoid": signals.heuristics(S)["sigmoid"]} for S in (3, 6)}
    metric = samples.moment_metric(prior.mu0, prior.covariance())
    runs = [
        signals.sample_quality(prior.denoise, group, metric, shape=(16,), n=40, workers=workers)[0]
        for workers in (1, 4)
    ]
    assert runs[0] == runs[1]


def test_threads_of_torch_are_left_as_they_were(prior):
    import torch

    before = torch.get_num_threads()
    metric = samples.moment_metric(prior.mu0, prior.covariance())
    group = {3: {"cosine": cosine(3)}}
    signals.sample_quality(prior.denoise, group, metric, shape=(16,), n=10)
    assert torch.get_num_threads() == before


def test_trained_quality_keeps_seeds_apart():
    schedules = {2: {"cosine": cosine(2)}}
    rows, kept = signals.trained_quality(
        "digits", (0, 1), schedules, {"mean": lambda x: x.mean()}, n=4, keep=3
    )
    assert [row.seed for row in rows] == [0, 1]
    assert rows[0].value != rows[1].value
    assert kept[2, "cosine"].shape == (3, 8, 8)
    again, _ = signals.trained_quality("digits", (1,), schedules, {"mean": lambda x: x.mean()}, n=4)
    assert again == rows[1:]
