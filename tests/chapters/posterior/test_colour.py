"""Colour deblurring: the model predicts its own result, and a stand-in model takes its place."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from chapters.posterior.colour import (
    colour_problem,
    deblur_colour,
    prediction_error,
    summarise,
)
from diffbook import inverse, schedules
from diffbook.inverse import gains
from diffbook.inverse.filters import compose
from diffbook.inverse.problem import merged
from diffbook.metrics.cells import Cell
from diffbook.nets.foreign import Pretrained
from diffbook.priors.colour import ChannelPriors
from diffbook.priors.gaussian import GaussianPrior

SIDE = 8


@pytest.fixture(scope="module")
def prior() -> ChannelPriors:
    rotation, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))
    scales = (1.0, 0.3, 0.1)
    priors = tuple(GaussianPrior.inverse_f((SIDE, SIDE), 2.0, 0.2 * s) for s in scales)
    return ChannelPriors(rotation, priors)


@pytest.fixture(scope="module")
def x0(prior) -> np.ndarray:
    return prior.sample(300, np.random.default_rng(1))


def test_measured_distortion_is_the_predicted_one(prior, x0):
    rows = deblur_colour(prior, x0, (10,), seed=3)
    op = inverse.Blur.from_transfer(inverse.gaussian_transfer((SIDE, SIDE), 1.5))
    problem = merged(colour_problem(prior, op.spectrum, 0.1))
    ab = schedules.ddpm_respaced(10)
    from diffbook.inverse.design import design_weights

    weights = design_weights(problem, ab, "dps", n_bins=128).weights
    predicted = compose(problem, ab, gains.dps(problem, ab, weights)).mse / (3 * SIDE**2)
    (row,) = [r for r in rows if (r.method, r.metric) == ("designed", "PSNR")]
    (said,) = [r for r in rows if r.metric == "predicted MSE"]
    assert said.mean == pytest.approx(predicted * 3 * SIDE**2)
    measured = np.mean(4.0 / 10 ** (row.value / 10.0))
    spread = np.std(4.0 / 10 ** (row.value / 10.0)) / np.sqrt(len(x0))
    assert abs(measured - predicted) < 4.5 * spread


def test_colour_problem_counts_every_mode_of_every_channel(prior):
    problem = colour_problem(prior, np.ones((SIDE, SIDE)), 0.1)
    assert problem.d == 3 * SIDE**2
    assert problem.lam.sum() == pytest.approx(prior.lam.sum())


def test_stand_in_model_gives_the_gaussian_result(prior, x0):
    """The prior's own denoiser behind the interface of a foreign model, with its weights."""
    stand_in = Pretrained(
        lambda x, ab, cond=None: prior.denoise(x, ab), prior.shape, schedules.ddpm_chain()
    )
    rows = deblur_colour(prior, x0[:8], (5,), pretrained=stand_in, seed=3)
    exact = deblur_colour(prior, x0[:8], (5,), seed=3)
    by_rule = [next(r for r in found if r.method == "zeta' = 1") for found in (rows, exact)]
    # Only the rounding of levels to the chain (none here) and single precision differ.
    np.testing.assert_allclose(by_rule[0].value, by_rule[1].value, atol=1e-3)


def test_summary_has_a_mean_per_method_and_step(prior, x0):
    table = summarise(deblur_colour(prior, x0[:4], (3, 5)), "PSNR")
    assert {len(values) for values in table.values()} == {2}


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda p, x: (p, x[:, :, :4], None), "x0"),
        (lambda p, x: (p, x, Pretrained(torch.nn.Identity(), (3, 4, 4), None)), "pretrained"),
    ],
)
def test_shapes_are_checked(prior, x0, change, name):
    model, images, pretrained = change(prior, x0[:2])
    with pytest.raises(ValueError, match=name):
        deblur_colour(model, images, (3,), pretrained=pretrained)


def test_error_of_the_prediction_has_the_scatter_of_the_images():
    def rows(S, said, *drawn):
        made = {"predicted MSE": [said], "MSE": drawn}
        return [Cell(S, "designed", name, 0, np.array(v)) for name, v in made.items()]

    off, low, high = prediction_error(rows(5, 11.0, 9.9, 10.1))
    assert off == pytest.approx(0.1)
    assert low < off < high
    wide = prediction_error(rows(5, 10.1, 9.0, 11.0))
    assert wide[:2] == (pytest.approx(0.01), 0.0)
    assert prediction_error(rows(5, 10.1, 9.0, 11.0) + rows(9, 11.0, 9.9, 10.1)) == (off, low, high)
