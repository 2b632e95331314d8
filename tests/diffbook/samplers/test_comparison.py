"""Scores and tables of schedules: against the matrix distances, and against planted errors."""

from dataclasses import replace

import numpy as np
import oracles
import pytest

from diffbook import schedules
from diffbook.priors import distances
from diffbook.priors.gaussian import GaussianPrior
from diffbook.samplers import comparison
from diffbook.samplers.transfer import transfer
from press.show import tables

PRIOR = GaussianPrior.from_spectrum(GaussianPrior.ramp(16).lam, mu0=0.3)


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("loss", ["w2", "kl", "kl_reverse"])
def test_score_is_the_matrix_distance_of_the_output(loss, eta):
    alpha_bar = schedules.cosine(6)
    fourier = np.fft.fft(np.eye(16), norm="ortho")
    t = transfer(PRIOR.lam, alpha_bar, eta=eta)
    mean = (fourier.conj().T @ (t.D2 * PRIOR.mu0_spectral)).real
    cov = (fourier.conj().T @ np.diag(t.var[0]) @ fourier).real
    data, output = (PRIOR.mu0, PRIOR.covariance()), (mean, cov)
    expected = {
        "w2": lambda: distances.w2_gaussian(*data, *output),
        "kl": lambda: distances.kl_gaussian(*data, *output),
        "kl_reverse": lambda: distances.kl_gaussian(*output, *data),
    }[loss]()
    found = comparison.score(
        PRIOR.lam, alpha_bar, loss=loss, eta=eta, mu0_spectral=PRIOR.mu0_spectral
    )
    assert found == pytest.approx(expected, rel=1e-8)


def test_score_refuses_a_loss_without_a_distance():
    with pytest.raises(ValueError, match="loss"):
        comparison.score(PRIOR.lam, schedules.cosine(3), loss="weighted")


def test_compare_puts_the_optimum_below_everything_else():
    scores, designs = comparison.compare(PRIOR.lam, [3, 8], mu0_spectral=PRIOR.mu0_spectral)
    assert set(designs) == {3, 8}
    for name, values in scores.items():
        assert np.all(values >= scores["spectral W2"] * (1 - 1e-9)), name
    expected = comparison.score(
        PRIOR.lam, schedules.linear_beta(8), mu0_spectral=PRIOR.mu0_spectral
    )
    assert scores["linear beta"][1] == pytest.approx(expected)


@pytest.mark.parametrize(("loss", "eta"), [("w2", 1.0), ("kl", 0.0), ("kl_reverse", 0.5)])
def test_compare_scores_every_schedule_as_it_is_asked(loss, eta):
    """Loss, eta, mean and ends reach the designs, the fixed point and every heuristic."""
    ends, mu = {"eps_0": 1e-3, "eps_S": 2e-3}, 20.0 * PRIOR.mu0_spectral
    asked = {"loss": loss, "eta": eta, "mu0_spectral": mu}
    scores, designs = comparison.compare(PRIOR.lam, [4], **asked, **ends)
    problem = schedules.make_problem(PRIOR.lam, **asked, **ends)
    density = schedules.step_density(problem, *schedules.sigma_range(**ends), 4)
    expected = {
        "spectral W2" if loss == "w2" else "spectral KL": designs[4].schedule,
        "fixed point": schedules.sigma_to_alpha_bar(schedules.limit_schedule(density, 4)),
        **schedules.heuristics(4, **ends),
    }
    assert list(scores) == list(expected)
    for name, alpha_bar in expected.items():
        assert scores[name][0] == comparison.score(PRIOR.lam, alpha_bar, **asked), name
    value = next(iter(scores.values()))[0] ** (2 if loss == "w2" else 1)
    assert value == pytest.approx(designs[4].objective, rel=1e-9)


@pytest.mark.parametrize(
    "prior", [PRIOR, GaussianPrior.from_covariance(np.diag([4.0, 1.0, 0.2]), np.full(3, 0.5))]
)
def test_z_scores_are_standard_normal_for_the_right_prediction_only(prior, monkeypatch):
    right, change = comparison.transfer, {}
    monkeypatch.setattr(comparison, "transfer", lambda *a, **k: replace(right(*a, **k), **change))

    def scores():
        rng = np.random.default_rng(0)
        return comparison.sampled_z_scores(prior, schedules.cosine(4), 20_000, rng)

    z_mean, z_var = scores()
    assert np.abs(z_mean).max() < 4.5 and np.abs(z_var).max() < 4.5
    assert 0.5 < np.std(np.concatenate([z_mean, z_var])) < 1.6
    t = right(prior.lam, schedules.cosine(4))
    change["var"] = t.var / 1.05**2
    assert np.abs(scores()[1]).max() > 6
    change["var"] = t.var
    change["mean_gain"] = t.mean_gain + 0.1
    assert np.abs(scores()[0]).max() > 6


@pytest.mark.parametrize("process", ["vp", "ve"])
@pytest.mark.parametrize("eta", [0.0, 0.7])
def test_sampled_z_scores_are_those_of_the_samplers_output(process, eta):
    """The same noise through the printed update, and the moments of its modes by hand."""
    ab, n = schedules.cosine(4), 40
    sigma, root = schedules.alpha_bar_to_sigma(ab), np.sqrt(ab)
    given = {"schedule": ab if process == "vp" else sigma, "process": process, "eta": eta}
    z_mean, z_var = comparison.sampled_z_scores(PRIOR, n=n, rng=np.random.default_rng(5), **given)
    rng = np.random.default_rng(5)
    x = rng.standard_normal((n, 16)) * (1.0 if process == "vp" else root[-1] * sigma[-1])
    for s in range(4, 0, -1):
        z = rng.standard_normal(x.shape) if eta > 0 else 0.0
        x = oracles.eta_step_song(x, PRIOR.denoise(x, ab[s]), ab[s], ab[s - 1], eta, z)
    x = x if process == "vp" else x / root[0]
    D2, var = oracles.eta_output(PRIOR.lam, ab, eta, process)
    real = np.isin(np.arange(16), (0, 8))
    modes, mean = np.fft.fft(x, norm="ortho"), D2 * PRIOR.mu0_spectral
    expected = oracles.z_scores(modes, mean, var, real)[1]
    np.testing.assert_allclose(z_var, expected, rtol=1e-8, atol=1e-8)
    shift = (modes.mean(0) - mean) * np.sqrt(np.where(real, 1.0, 2.0) * n / var)
    np.testing.assert_allclose(
        z_mean, np.concatenate([shift.real, shift.imag[~real]]), rtol=1e-8, atol=1e-8
    )


def test_number_table_shows_every_number_and_dashes():
    table = tables.number_table("c", ["name", "a", "b"], {"row": [1.0, np.nan]}, "{:.1f}")
    assert "1.0" in table.text and "–" in table.text
    assert "1.0" in table.html and "<caption" in table.html
    with pytest.raises(ValueError, match="row"):
        tables.number_table("c", ["name", "a"], {"row": [1.0, 2.0]})
