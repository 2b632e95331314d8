"""Rival schedule laws, tuned families, large-S laws, solvers of any order, circulant models."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from chapters.spectral import beyond, circulant, figures_beyond, solvers
from chapters.spectral import rivals as related
from chapters.spectral import tuned as heuristics
from diffbook import samplers
from diffbook.priors.distances import w2_gaussian, w2_spectral
from diffbook.priors.gaussian import GaussianPrior
from diffbook.samplers import unguided
from diffbook.samplers.transfer import flow_gain, transfer
from diffbook.schedules import laws
from diffbook.schedules.design import (
    design_schedule,
    limit_density,
    limit_schedule,
    make_problem,
    objective,
)
from diffbook.schedules.families import (
    constant_rate,
    cosine,
    edm,
    linear_alpha_bar,
    log_linear,
    tangent,
)
from diffbook.schedules.levels import alpha_bar_to_sigma, sigma_range, sigma_to_alpha_bar

LAM = GaussianPrior.ramp().lam


# --- related ------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", sorted(related.SPEEDS))
def test_speeds_are_rates_of_what_they_name(law):
    """Each closed form against a difference quotient of the quantity in its description."""
    lam, x, h = np.array([0.2, 1.7, 30.0]), 0.3, 1e-5

    def variance(t):  # VE marginal
        return lam + np.exp(2 * t)

    def difference(f):
        return (f(x + h) - f(x - h)) / (2 * h)

    vp = lambda t: variance(t) / (1 + np.exp(2 * t))  # noqa: E731
    expected = {
        # score -y / V at fixed y, of variance V; velocity scaling sigma turns d/dx into sigma^2
        "score": np.sqrt(
            np.sum(variance(x) * difference(lambda t: -1 / variance(t)) ** 2) * np.exp(2 * x)
        ),
        "Fisher-Rao": np.linalg.norm(difference(lambda t: np.log(variance(t)))),
        "Fisher-Rao (VP)": np.linalg.norm(difference(lambda t: np.log(vp(t)))),
        "W2 of x_t": np.linalg.norm(difference(lambda t: np.sqrt(vp(t)))),
        "W2 of the denoised": np.linalg.norm(difference(lambda t: lam / np.sqrt(variance(t)))),
        "entropy": np.sum(difference(lambda t: 0.5 * np.log(lam * np.exp(2 * t) / variance(t)))),
    }[law]
    factor = {"score": 2.0, "Fisher-Rao": 2.0, "Fisher-Rao (VP)": 2.0}.get(law, 1.0)
    assert factor * related.speed(lam, [x], law)[0] == pytest.approx(expected, rel=1e-8)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(3, 8).flatmap(
        lambda m: st.tuples(
            st.lists(st.floats(0.0, 5.0), min_size=m * m, max_size=m * m),
            st.just(m),
            st.integers(1, m - 1),
            st.sampled_from([0.9, 1.0, 1.15]),
        )
    )
)
def test_shortest_path_is_the_best_of_all_paths(case):
    entries, m, S, c = case
    cost = np.array(entries).reshape(m, m)

    def price(path):
        return sum(c**k * cost[i, j] for k, (i, j) in enumerate(pairwise(path)))

    best = min(price((0, *inner, m - 1)) for inner in combinations(range(1, m - 1), S - 1))
    path = related.shortest_path(cost, S, c)
    assert len(path) == S + 1
    assert np.all(np.diff(path) > 0)
    assert price(path) == pytest.approx(best, rel=1e-12, abs=1e-12)


def test_jump_cost_is_the_distance_of_a_sampled_jump():
    """One DDIM step from the exact trajectory, on many signals, against the closed form."""
    prior = GaussianPrior.ramp(d=8)
    sigma = np.geomspace(0.05, 40.0, 6)[::-1]
    rng = np.random.default_rng(0)
    start = prior.to_spectral(rng.standard_normal((40_000, 8))) * np.sqrt(1 + sigma[0] ** 2)
    V = prior.lam + sigma[:, None] ** 2
    i, j = 1, 4
    exact_i, exact_j = (start * np.sqrt(V[k] / V[0]) for k in (i, j))
    x0_hat = prior.lam / V[i] * exact_i
    landed = x0_hat + sigma[j] / sigma[i] * (exact_i - x0_hat)
    rms = np.sqrt(np.mean(np.sum(np.abs(landed - exact_j) ** 2, axis=1)))
    assert related.jump_cost(prior.lam, sigma)[i, j] == pytest.approx(rms, rel=0.02)


def test_deviation_cost_vanishes_for_short_jumps_and_is_positive_for_long_ones():
    sigma = edm(60, *sigma_range())[::-1]
    cost = related.jump_cost(LAM, sigma, "deviation")
    assert np.all(np.abs(np.diag(cost)) < 1e-9)
    assert cost[0, 40] > 1.0


def test_klub_against_quadrature_and_above_the_divergence_of_ddpm():
    lam, a, b = 2.3, 0.4, 1.7
    mmse = lambda t: lam * t**2 / (lam + t**2)  # noqa: E731
    integral = quad(lambda t: (mmse(b) - mmse(t)) / t**3, a, b)[0]
    assert related.klub([lam], a, b) == pytest.approx(integral, rel=1e-10)
    # The bound is for the marginal at the clean end: the data with noise sigma_0.
    alpha_bar = cosine(12)
    sigma = alpha_bar_to_sigma(alpha_bar)
    var = transfer(LAM, alpha_bar, eta=1.0).var[0] / alpha_bar[0]
    ratio, ends = (LAM + sigma[0] ** 2) / var, (LAM + sigma[-1] ** 2) / (1 + sigma[-1] ** 2)
    divergence = 0.5 * np.sum(ratio - 1 - np.log(ratio))
    start = 0.5 * np.sum(ends - 1 - np.log(ends))
    assert divergence <= related.klub(LAM, sigma[:-1], sigma[1:]).sum() + start


def test_klub_schedule_has_the_smallest_bound():
    total = lambda s: related.klub(LAM, s[:-1], s[1:]).sum()  # noqa: E731
    best = total(alpha_bar_to_sigma(related.klub_schedule(LAM, 10)))
    for other in (log_linear(10, *sigma_range()), edm(10, *sigma_range()), tangent(10, 0.01, 158)):
        assert best < total(other)


def test_rivals_respect_ends_and_do_not_beat_the_optimum():
    S = 10
    optimum = design_schedule(LAM, S).objective
    problem = make_problem(LAM)
    rivals = [related.constant_speed(LAM, S, law) for law in related.SPEEDS]
    rivals += [related.gits(LAM, S), related.klub_schedule(LAM, S)]
    for alpha_bar in rivals:
        assert alpha_bar.shape == (S + 1,)
        assert (alpha_bar[0], alpha_bar[-1]) == (1 - 1e-4, 4e-5)
        assert objective(problem, alpha_bar_to_sigma(alpha_bar)) >= optimum * (1 - 1e-9)


def test_relative_jump_costs_of_one_eigenvalue_give_the_tangent_law():
    lam = [3.0]
    sigma = np.sqrt(3.0) * np.tan(np.linspace(0.01, 1.56, 121))[::-1]
    path = related.shortest_path(related.jump_cost(lam, sigma) / np.sqrt(lam[0] + sigma**2), 10)
    assert np.all(np.diff(path) == 12)


def test_related_errors():
    with pytest.raises(ValueError, match="law must be one of"):
        related.speed(LAM, [0.0], "fast")
    with pytest.raises(ValueError, match="lam must be finite and positive"):
        related.speed([1.0, 0.0], [0.0], "score")
    with pytest.raises(ValueError, match="1 <= S <= m - 1"):
        related.shortest_path(np.zeros((4, 4)), 4)
    with pytest.raises(ValueError, match="metric must be"):
        related.jump_cost(LAM, [3.0, 1.0], "l1")


def test_rivals_are_named_schedules_of_s_steps():
    rivals = related.rivals(LAM, 6)
    assert "GITS" in rivals
    assert all(alpha_bar.shape == (7,) for alpha_bar in rivals.values())


# --- heuristics ---------------------------------------------------------------------------------


@pytest.mark.parametrize("family", heuristics.FAMILIES)
def test_tuning_beats_defaults_and_not_the_optimum(family):
    S, ends = 8, sigma_range()
    problem = make_problem(LAM)
    default = {
        "cosine": alpha_bar_to_sigma(cosine(S)),
        "sigmoid": log_linear(S, *ends),
        "EDM": edm(S, *ends),
        "tangent": tangent(S, *ends),
    }[family]
    tuned = heuristics.tune(problem, S, family)
    assert design_schedule(LAM, S).objective <= tuned.objective <= objective(problem, default)
    assert tuned.objective == pytest.approx(objective(problem, tuned.sigma), rel=1e-12)


def test_tuned_tangent_finds_the_scale_of_one_eigenvalue():
    tuned = heuristics.tune(make_problem([7.0]), 10, "tangent")
    assert tuned.parameters[0] == pytest.approx(np.sqrt(7.0), rel=1e-2)


def test_unknown_family():
    with pytest.raises(ValueError, match="family must be one of"):
        heuristics.tune(make_problem(LAM), 5, "polynomial")


# --- asymptotics --------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["ddim", "ddpm", "heun"])
def test_kernels_are_the_errors_of_short_steps(solver):
    """Relative error of the standard deviation after one short step, against the kernel."""
    lam, x, dx = np.array([0.3, 2.0, 50.0]), 0.4, 1e-3
    sigma = np.exp([x - dx / 2, x + dx / 2])
    exact = np.sqrt((lam + sigma[0] ** 2) / (lam + sigma[1] ** 2))
    if solver == "ddpm":
        V = lam + sigma[:, None] ** 2
        tau2 = sigma[0] ** 2 * (1 - sigma[0] ** 2 / sigma[1] ** 2)
        variance = (V[0] / V[1]) ** 2 * V[1] + tau2
        # An error made at sigma reaches the output damped by the later gains V_0 / V.
        error = 0.5 * (1 - variance / V[0]) * lam / V[0]
    else:
        error = np.abs(1 - solvers.y_gain(lam, sigma, solver) / exact)
    order = laws.ORDER[solver]
    kernel = laws.kernel(lam, [x], solver)[:, 0]
    assert error / dx ** (order + 1) == pytest.approx(kernel, rel=5e-3)


def test_density_agrees_with_the_design_module_and_is_stationary():
    problem = make_problem(LAM)
    theirs = limit_density(problem, *sigma_range())
    ours = laws.optimal_density(LAM, theirs.log_sigma)
    assert ours.density == pytest.approx(theirs.density, rel=1e-8)
    assert ours.constant == pytest.approx(theirs.constant, rel=1e-9)
    speed = np.sqrt((LAM * ours.E) @ laws.kernel(LAM, ours.log_sigma))
    assert np.trapezoid(speed, ours.log_sigma) ** 2 == pytest.approx(ours.constant, rel=1e-9)


@pytest.mark.parametrize(("loss", "solver"), [("w2", "ddim"), ("kl", "ddim"), ("w2", "heun")])
def test_density_is_a_minimum(loss, solver):
    x = np.linspace(-4.0, 4.0, 401)
    best = laws.optimal_density(LAM, x, loss=loss, solver=solver)
    base = LAM if loss == "w2" else np.ones_like(LAM)
    rng = np.random.default_rng(0)
    for _ in range(20):
        bump = np.exp(0.3 * np.interp(x, np.linspace(-4, 4, 9), rng.standard_normal(9)))
        other = best.density * bump
        other /= np.trapezoid(other, x)
        value = base @ laws.step_error(LAM, x, other, solver) ** 2
        assert value > best.constant


def test_conservation_law():
    """The logarithmic loss over all eigenvalues is half the sum of squared steps."""
    sigma = alpha_bar_to_sigma(cosine(7))
    lost, steps = laws.conservation(sigma)
    assert lost == pytest.approx(steps, rel=1e-9)


@pytest.mark.parametrize("alpha", [1.0, 14 / 11, 2.0])
@pytest.mark.parametrize("loss", ["w2", "kl"])
@pytest.mark.parametrize("solver", ["ddim", "ddpm", "heun"])
def test_power_law_slopes(alpha, loss, solver):
    found = laws.power_law_density(alpha, solver=solver, loss=loss)
    slope = laws.fit_exponent(found.log_sigma, found.density, -4.0, 4.0)
    expected = laws.power_law_exponent(alpha, loss, laws.ORDER[solver])
    assert slope == pytest.approx(expected, abs=1e-3)


def test_rho_seven():
    assert 1 / laws.power_law_exponent(14 / 11) == pytest.approx(7.0)
    assert 1 / laws.power_law_exponent(14 / 9, order=2) == pytest.approx(7.0)
    assert 1 / laws.power_law_exponent(2.0, "kl") == pytest.approx(-3.0)


def test_law_with_ends():
    problem = make_problem(LAM)
    limit = limit_density(problem, *sigma_range())
    E = laws.step_error(LAM, limit.log_sigma, limit.density)
    for S, tolerance in ((20, 5e-3), (112, 2e-4), (500, 2e-5)):
        actual = np.sqrt(objective(problem, limit_schedule(limit, S)))
        law = laws.w2_law(LAM, E, S, eps_0=1e-4, eps_S=4e-5)
        assert law == pytest.approx(actual, rel=tolerance)
    floor = np.sum((np.sqrt(LAM) - flow_gain(LAM, linear_alpha_bar(1))) ** 2)
    far = laws.w2_law(LAM, E, 1e9, eps_0=1e-4, eps_S=4e-5)
    assert far**2 == pytest.approx(floor, rel=1e-6)


def test_asymptotics_errors():
    with pytest.raises(ValueError, match="solver must be one of"):
        laws.kernel(LAM, [0.0], "rk4")
    with pytest.raises(ValueError, match="lam must be positive"):
        laws.optimal_density([0.0], np.linspace(-1, 1, 5))
    with pytest.raises(ValueError, match="even, increasing grid"):
        laws.optimal_density(LAM, [0.0, 1.0, 3.0])
    with pytest.raises(ValueError, match="alpha > 0"):
        laws.power_law_exponent(-1.0)


# --- solvers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["ddim", "heun", "dpmpp_2m"])
def test_scalar_recursions_equal_the_samplers(solver):
    prior, alpha_bar = GaussianPrior.ramp(), cosine(9)
    x = np.random.default_rng(0).standard_normal((2, prior.d))
    out = prior.to_spectral(getattr(unguided, solver)(prior.denoise, x, alpha_bar).sample)
    gain = np.abs(out / prior.to_spectral(x))
    expected = solvers.output_std(LAM, alpha_bar, solver)
    assert gain == pytest.approx(np.broadcast_to(expected, gain.shape), rel=1e-9)


def test_exact_integrator_is_the_flow_for_any_schedule():
    for alpha_bar in (linear_alpha_bar(1), cosine(7)):
        exact = solvers.exact_integrator_std(LAM, alpha_bar)
        assert exact == pytest.approx(flow_gain(LAM, alpha_bar), rel=1e-12)


@pytest.mark.parametrize("solver", ["heun", "dpmpp_2m"])
def test_design_without_closed_form_improves_on_its_starts(solver):
    S, ends = 8, sigma_range()
    designed = solvers.design_for(LAM, S, solver, init=[log_linear(S, *ends)])
    w2 = lambda ab: w2_spectral(LAM, solvers.output_std(LAM, ab, solver))  # noqa: E731
    assert w2(designed) < w2(sigma_to_alpha_bar(log_linear(S, *ends)))


def test_heun_overdisperses():
    x = np.linspace(*np.log(sigma_range(1e-6, 1e-6)), 801)
    best = laws.optimal_density(LAM, x, solver="heun")
    sigma = constant_rate(200, best.log_sigma, best.density)
    exact = np.sqrt((LAM + sigma[0] ** 2) / (LAM + sigma[-1] ** 2))
    excess = np.log(solvers.y_gain(LAM, sigma, "heun") / exact) * 200**2
    assert np.all(excess > 0)
    assert excess == pytest.approx(best.E, rel=0.05)


def test_solver_errors():
    with pytest.raises(ValueError, match="even for Heun"):
        solvers.steps_for("heun", 7)
    with pytest.raises(ValueError, match="solver must be"):
        solvers.design_for(LAM, 5, "rk4")


# --- circulant ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6,), (3, 4)])
def test_nearest_circulant_is_the_diagonal_in_the_fourier_basis(shape):
    d = int(np.prod(shape))
    A = np.random.default_rng(1).standard_normal((d, d))
    cov = A @ A.T
    F = np.fft.fftn(np.eye(d).reshape(d, *shape), axes=tuple(range(1, len(shape) + 1)))
    F = F.reshape(d, d).T / np.sqrt(d)
    expected = np.diag(F @ cov @ F.conj().T).real.reshape(shape)
    assert circulant.nearest_circulant(cov, shape).lam == pytest.approx(expected, rel=1e-10)


def test_nearest_circulant_minimises_kl_and_keeps_circulant_covariances():
    prior = GaussianPrior.ramp(d=12)
    assert circulant.nearest_circulant(prior.covariance()).lam == pytest.approx(prior.lam)
    cov = circulant.ar1_covariance(12, 0.8)
    best = circulant.nearest_circulant(cov)
    kl = lambda lam: np.sum(best.lam / lam + np.log(lam))  # noqa: E731 - up to constants
    for factor in (0.9, 1.1):
        for k in range(7):
            lam = best.lam.copy()
            lam[[k, -k]] *= factor
            assert kl(lam) > kl(best.lam)


def test_mismatch_w2_equals_the_sampler():
    cov = circulant.ar1_covariance(10, 0.9)
    model, alpha_bar = circulant.nearest_circulant(cov), cosine(6)
    matrix = samplers.ddim(model.denoise, np.eye(10), alpha_bar).sample
    expected = w2_gaussian(np.zeros(10), cov, np.zeros(10), matrix.T @ matrix)
    assert circulant.mismatch_w2(cov, model, alpha_bar) == pytest.approx(expected, rel=1e-9)
    own = GaussianPrior.from_covariance(cov)
    exact = w2_spectral(own.lam, transfer(own.lam, alpha_bar).std)
    assert exact < expected


def test_circulant_errors():
    with pytest.raises(ValueError, match="-1 < r < 1"):
        circulant.ar1_covariance(5, 1.0)
    with pytest.raises(ValueError, match="cov must have shape"):
        circulant.nearest_circulant(np.eye(6), (2, 2))


# --- studies and figures ------------------------------------------------------------------------


def test_rival_ratios_are_at_least_one_and_the_fixed_point_leads():
    for loss in ("w2", "kl"):
        table = beyond.rival_ratios(LAM, (5, 10), loss)
        assert all(np.all(values >= 1 - 1e-9) for values in table.values())
        assert min(table, key=lambda name, t=table: t[name][1]) == "fixed point"


def test_heuristic_ratios():
    untuned, tuned, tried = beyond.heuristic_ratios(LAM, (6,))
    assert tuned["cosine"][0] <= untuned["cosine"][0]
    assert tuned["EDM"][0] <= untuned["EDM rho=7"][0]
    assert min(values[0] for values in (*tuned.values(), *untuned.values())) > 1.0
    assert all(count > 10 for count in tried.values())


def test_solver_scores_order():
    table = beyond.solver_scores(LAM, (10, 20), eps_0=1e-6, eps_S=1e-6)
    assert np.all(table["DDPM"] > table["DDIM"])
    assert table["Heun"][0] > table["DDIM"][0]
    assert table["Heun"][1] < table["DDIM"][1]
    share, uneven = beyond.free_multistep(LAM, 10, eps_0=1e-6, eps_S=1e-6)
    assert share < 0.05
    assert uneven > 20


def test_edm_on_a_pure_power_law():
    alpha, predicted, best, *ratios, wide = beyond.edm_on_spectrum(
        np.arange(1, 257) ** -2.0, (8, 64)
    )
    assert alpha == pytest.approx(2.0)
    assert predicted == pytest.approx(3.0)
    assert best == pytest.approx(3.4, abs=0.1)
    assert ratios[2] <= min(ratios)
    assert 1.0 < ratios[2] < 1.02 < wide


def test_circulant_costs_columns():
    table = beyond.circulant_costs(circulant.ar1_covariance(16, 0.9), (16,), (5, 20))
    own, borrowed, model = table.values()
    assert np.all(own <= borrowed * (1 + 1e-9))
    assert np.all(borrowed < model)


def test_figures_of_this_part_draw_and_refuse_bad_input():
    lam, x = np.geomspace(0.1, 10, 9), np.linspace(-1, 1, 21)
    figures_beyond.envelope(lam, {"cosine": np.full(9, 0.2)}, np.full(9, 0.1))
    figures_beyond.densities(x, {"spectral W2": np.ones(21)}, {"S = 4": np.geomspace(0.4, 2, 5)})
    figures_beyond.exponents([1.0, 2.0], {"W2": [0.0, 0.3]}, {"W2": ([1.5], [0.2])}, {"a": (1, 0)})
    figures_beyond.ratio_ranges({"W2": {"GITS": [1.1, 1.2]}}, [5, 10], mark=1)
    law = (np.array([5.0, 10.0]), np.array([2.0, 1.0]))
    points = {"spectral W2": [2.0, 1.0]}
    figures_beyond.large_s([5, 10], {"spectral W2": ([0.9, 1.0], 3.0)}, points, law, 0.1)
    with pytest.raises(ValueError, match="must be positive"):
        figures_beyond.envelope(lam, {"cosine": np.zeros(9)}, np.full(9, 0.1))
