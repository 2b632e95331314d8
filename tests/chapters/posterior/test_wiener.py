"""Photographs with the Wiener denoiser: what the training spectrum predicts, and what comes out."""

import numpy as np
import pytest
import torch

from chapters.posterior import wiener
from diffbook import inverse
from diffbook.inverse import gains
from diffbook.inverse.exact import gaussian_vjp
from diffbook.inverse.filters import compose
from diffbook.metrics import cells as kit
from diffbook.schedules.families import ddpm_respaced

RNG = np.random.default_rng


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
def test_predicted_error_is_that_of_images_with_the_training_spectrum(case, alpha_bar):
    """Images drawn from the model: the measured squared error is the predicted one.

    The second schedule ends far from pure noise, where the mean of the start matters as well.
    """
    n, weights, rng = 4000, np.full(len(alpha_bar) - 1, 0.1), RNG(5)
    x0 = case.prior.sample(n, rng)
    y = inverse.measure(case.operator, x0, case.sigma_y, rng.standard_normal(x0.shape))
    x = wiener.published.dps(
        case.prior.denoise, rng.standard_normal(x0.shape), alpha_bar, y=y, operator=case.operator,
        sigma_y=case.sigma_y, weights=weights, vjp=gaussian_vjp(case.prior),
    ).sample  # fmt: skip
    error = np.sum((x - x0) ** 2, axis=(1, 2))
    predicted = wiener.predicted_mse(case, alpha_bar, weights)
    assert abs(error.mean() - predicted) < 4 * error.std() / np.sqrt(n)
    assert error.std() / np.sqrt(n) < 0.02 * predicted


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
    assert len(found) == 2 * len(wiener.METHODS) * 5
    predicted, measured = wiener.agreement(found, "free")[5]
    weights = wiener.rules(case, 5, 0.3)["free"][1]
    assert predicted == pytest.approx(wiener.predicted_mse(case, ddpm_respaced(5), weights))
    assert measured == np.mean([c.mean for c in found if (c.metric, c.method) == ("MSE", "free")])
    quality, error = (kit.values(found, metric) for metric in ("PSNR", "MSE"))
    np.testing.assert_array_equal(quality[5, "tuned"], quality[5, "zeta' = 0.3"])
    assert quality[5, "free"][0].mean() > quality[5, "tuned"][0].mean()
    assert not np.allclose(*error[5, "free"])
    gap = wiener.difference(found, (5, "free"), (5, "tuned"), "PSNR")
    assert gap[0] == pytest.approx((quality[5, "free"] - quality[5, "tuned"]).mean())
    levels = wiener.bounds(case, 40)
    assert levels["Wiener"] > levels["measurement"]


def test_wiener_tuning(case):
    """Values of one batch do not influence each other, and both extremes are bad."""
    quality = wiener.tune(case, 5, n=10, grid=(0.02, 1.0, 20.0))
    assert np.argmax(quality) == 1
    np.testing.assert_allclose(wiener.tune(case, 5, n=10, grid=(1.0,)), quality[1])


# --- galleries, diagnostics -----------------------------------------------------------------------


def test_pictures_spread_like_their_closed_form(case):
    found = [wiener.pictures(case, {"s": (5, "free")}, [0, 1], seed)["s"] for seed in range(40)]
    weights = wiener.rules(case, 5, 1.0)["free"][1]
    t = compose(case.problem, ddpm_respaced(5), gains.dps(case.problem, ddpm_respaced(5), weights))
    # Measurements are drawn anew with each seed: what they move is in the response D3.
    moved = np.abs(t.D3) ** 2 * case.sigma_y**2
    assert np.mean(np.var(found, axis=0, ddof=1)) == pytest.approx((t.V + moved).mean(), rel=0.05)
