"""Samples of many schedules: paired, independent of the number of cores, as the Gaussian model says."""

import numpy as np
import pytest

from chapters.spectral import sampling, signals
from diffbook.metrics import samples
from diffbook.priors.gaussian import GaussianPrior
from diffbook.schedules.families import cosine, heuristics

RNG = np.random.default_rng


@pytest.fixture(scope="module")
def prior():
    rng = RNG(0)
    a = rng.standard_normal((16, 16)) * np.geomspace(3, 0.05, 16)
    return GaussianPrior.from_covariance(a.T @ a / 16, rng.standard_normal(16))


def test_prediction_equals_samples_in_the_gaussian_case(prior):
    """Exact denoiser, S = 4: measured Fréchet agrees with the closed form, mean error included."""
    schedules = {4: {"cosine": cosine(4)}}
    metric = samples.moment_metric(prior.mu0, prior.covariance())
    cells, _ = sampling.sample_quality(
        prior.denoise, schedules, metric, shape=(16,), n=40_000, seed=1
    )
    assert cells[0].value == pytest.approx(signals.predicted_w2(prior, cosine(4)), rel=0.02)


def test_schedules_are_paired(prior):
    """Equal schedules under two names give equal values: the starting noise is shared."""
    group = {5: {"cosine": cosine(5), "again": cosine(5)}}
    metric = samples.moment_metric(prior.mu0, prior.covariance())
    cells, kept = sampling.sample_quality(prior.denoise, group, metric, shape=(16,), n=50, keep=2)
    assert cells[0].value == cells[1].value
    assert kept[5, "cosine"].shape == (2, 16)


def test_sample_quality_refuses(prior):
    with pytest.raises(ValueError, match="n: got 1"):
        sampling.sample_quality(prior.denoise, {}, {}, shape=(16,), n=1)
    with pytest.raises(ValueError, match=r"schedules\[4\]\['x'\]: got 6 levels"):
        sampling.sample_quality(prior.denoise, {4: {"x": cosine(5)}}, {}, shape=(16,), n=2)


def test_workers_do_not_change_the_numbers(prior):
    group = {S: {"cosine": cosine(S), "sigmoid": heuristics(S)["sigmoid"]} for S in (3, 6)}
    metric = samples.moment_metric(prior.mu0, prior.covariance())
    runs = [
        sampling.sample_quality(prior.denoise, group, metric, shape=(16,), n=40, workers=workers)[0]
        for workers in (1, 4)
    ]
    assert runs[0] == runs[1]


def test_threads_of_torch_are_left_as_they_were(prior):
    import torch

    before = torch.get_num_threads()
    metric = samples.moment_metric(prior.mu0, prior.covariance())
    group = {3: {"cosine": cosine(3)}}
    sampling.sample_quality(prior.denoise, group, metric, shape=(16,), n=10)
    assert torch.get_num_threads() == before


def test_trained_quality_keeps_seeds_apart():
    schedules = {2: {"cosine": cosine(2)}}
    cells, kept = sampling.trained_quality(
        "digits", (0, 1), schedules, {"mean": lambda x: x.mean()}, n=4, keep=3
    )
    assert [cell.seed for cell in cells] == [0, 1]
    assert cells[0].value != cells[1].value
    assert kept[2, "cosine"].shape == (3, 8, 8)
    again, _ = sampling.trained_quality(
        "digits", (1,), schedules, {"mean": lambda x: x.mean()}, n=4
    )
    assert again == cells[1:]


def test_real_floor_is_the_mean_over_random_subsets():
    images = np.arange(10.0)
    metrics = {"count": lambda x: len(set(x)), "mean": np.mean}
    floor = sampling.real_floor(images, metrics, n=4, draws=3)
    rng = RNG(0)
    chosen = [images[rng.choice(10, 4, replace=False)] for _ in range(3)]
    assert floor == {"count": 4.0, "mean": pytest.approx(np.mean(chosen))}
    assert sampling.real_floor(images, metrics, n=99)["mean"] == 4.5
