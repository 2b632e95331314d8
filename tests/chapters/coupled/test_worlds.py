"""The exact networks against simulation and differentiation; what strategies can and cannot gain."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from chapters.coupled import worlds
from diffbook import coupled
from diffbook.metrics.intervals import mean_ci, paired_ci

SURE = 0.999
SCHEDULE = coupled.vp_levels(75)


def hits(logits, label):
    return (logits.argmax(1) == label).astype(float)


def how(sampler, seed=1):
    switches = coupled.Switches(sampler=sampler, standardise=False)
    return {"noise": coupled.batch_noise(seed), "switches": switches}


@cache
def setting(noise=0.4, n=12_000):
    world = worlds.decoy(noise)
    draw = world.sample(n, 0)
    return world, draw, world.coupling(draw.u), hits(world.posterior(draw.u), draw.label)


# --- the exact networks -----------------------------------------------------------------------


def observation(world):
    """One observation of each kind, chosen near the borders of the classes."""
    u, v, x_hat = np.array([[0.5, 0.1]]), np.array([[0.4, 0.9]]), np.array([[0.2, 0.7]])
    y, y_hat = np.array([[0.3, 0.2, -0.8]]), np.array([[0.1, 0.4, -0.5]])
    return u, v, x_hat, y, y_hat


def test_denoisers_are_the_means_of_weighted_draws():
    world = worlds.decoy(0.4, trust_logits=0.3, trust_signal=0.5)
    u, v, x_hat, y, y_hat = observation(world)
    draw, sigma, net = world.sample(1_000_000, 5), 0.6, world.coupling(u)

    def mean(target, *terms):
        log_w = sum(-0.5 * ((a - b) ** 2).sum(1) / var for a, b, var in terms)
        w = np.exp(log_w - log_w.max())
        w /= w.sum()
        centre = w @ target
        return centre, 4 * np.sqrt(w**2 @ (target - centre) ** 2)

    see_u = (draw.x0 @ world.A.T, u, 0.4**2)
    see_v, see_y = (draw.x0, v, sigma**2), (draw.y0, y, sigma**2)
    see_hat = (draw.x0, x_hat, 0.5)
    cases = [
        (net.signal(v, sigma, (u, None)), mean(draw.x0, see_u, see_v)),
        (net.signal(v, sigma, (u, y_hat)), mean(draw.x0, see_u, see_v, (draw.y0, y_hat, 0.3))),
        (net.logits(y, sigma, ((u,), None)), mean(draw.y0, see_u, see_y)),
        (net.logits(y, sigma, ((x_hat,), None)), mean(draw.y0, see_hat, see_y)),
        (net.logits(y, sigma, ((u, x_hat), None)), mean(draw.y0, see_u, see_hat, see_y)),
        (world.posterior(u), mean(np.eye(3)[draw.label], see_u)),
    ]
    for found, (expected, tolerance) in cases:
        assert (tolerance < 0.05).all()
        np.testing.assert_array_less(np.abs(found[0] - expected), tolerance)


def test_joint_denoiser_is_the_gradient_of_the_log_density():
    world = worlds.decoy(0.4)
    u, v, _, y, _ = observation(world)
    net, _ = world.stacked(u)
    sigma, z = 0.6, np.hstack([v, y])

    def log_density(z):  # of (u, v_x, v_y), component by component
        total = []
        H = np.vstack([np.eye(5), np.hstack([world.A, np.zeros((2, 3))])])
        noise = np.diag([sigma**2] * 5 + [world.noise**2] * 2)
        for w, mean in zip(world.joint.weights, world.joint.means, strict=True):
            spread = H @ np.diag([world.s**2] * 2 + [world.tau**2] * 3) @ H.T + noise
            seen = np.concatenate([z, u[0]])
            total.append(np.log(w) + multivariate_normal(H @ mean, spread).logpdf(seen))
        return logsumexp(total)

    h = 1e-5
    slope = [(log_density(z[0] + e) - log_density(z[0] - e)) / (2 * h) for e in h * np.eye(5)]
    found = net.signal(z, sigma, (None, None))[0]
    np.testing.assert_allclose(found, z[0] + sigma**2 * np.array(slope), rtol=1e-7, atol=1e-8)


def test_joint_denoiser_without_observation_is_that_of_the_library():
    world = replace(worlds.decoy(0.4), A=np.zeros((2, 2)))
    z, sigma = np.random.default_rng(0).standard_normal((50, 5)), 0.7
    net, _ = world.stacked(np.zeros((50, 2)))
    ab = 1 / (1 + sigma**2)
    expected = world.joint.denoise(np.sqrt(ab) * z, ab)
    np.testing.assert_allclose(net.signal(z, sigma, None), expected, rtol=1e-9, atol=1e-10)


def test_worlds_draw_what_they_say():
    world, draw, _, _ = setting()
    assert np.abs(np.bincount(draw.label) / len(draw.label) - 1 / 3).max() < 0.015
    assert hits(world.classifier(draw.x0), draw.label).mean() > 0.999
    np.testing.assert_allclose(world.codes.std(1, ddof=1), 0.8, rtol=1e-4)
    np.testing.assert_allclose(world.codes.sum(1), 0.0, atol=1e-12)
    residual = draw.u - draw.x0 @ world.A.T
    assert residual.std() == pytest.approx(0.4, rel=0.02)
    # Posterior covariance of x0 given u within a component, averaged over the two axes.
    assert world.variance_x == pytest.approx(
        0.5 * sum(1 / (1 / 0.25**2 + a**2 / 0.4**2) for a in (1.0, 0.1))
    )


def test_probabilities_are_calibrated():
    world, draw, _, bayes = setting()
    p = world.posterior(draw.u)
    _, low, high = mean_ci(bayes - p.max(1), SURE)
    assert low <= 0 <= high


# --- what strategies gain ---------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.2, 0.8])
@pytest.mark.parametrize("sampler", ["ancestral", "ddim"])
def test_one_exact_sample_is_right_with_the_sum_of_squares(noise, sampler):
    world, draw, net, _ = setting(noise)
    stacked, padded = world.stacked(draw.u)
    squares = (world.posterior(draw.u) ** 2).sum(1)
    joint = coupled.enhance(stacked, padded, SCHEDULE, **how(sampler)).signal
    found = {
        "enhanced": world.classifier(coupled.enhance(net, draw.u, SCHEDULE, **how(sampler)).signal),
        "joint, logits": joint[:, 2:],
        "joint, signal": world.classifier(joint[:, :2]),
        "CARD": coupled.diffuse_logits(net, (draw.u,), SCHEDULE, **how(sampler)).logits,
    }
    for name, logits in found.items():
        gap, low, high = mean_ci(hits(logits, draw.label) - squares, SURE)
        assert low <= 0 <= high and high - low < 0.04, (name, gap)


def test_samples_of_the_joint_agree_with_themselves():
    world, draw, _, _ = setting()
    stacked, padded = world.stacked(draw.u)
    z = coupled.enhance(stacked, padded, SCHEDULE, **how("ancestral")).signal
    assert (world.classifier(z[:, :2]).argmax(1) == z[:, 2:].argmax(1)).mean() > 0.999


@pytest.mark.parametrize("noise", [0.4, 0.8])
def test_zero_variance_orders_the_strategies_below_bayes(noise):
    world, draw, net, bayes = setting(noise)
    stacked, padded = world.stacked(draw.u)
    enhanced = coupled.enhance(net, draw.u, SCHEDULE, **how("zero-variance")).signal
    joint = coupled.enhance(stacked, padded, SCHEDULE, **how("zero-variance")).signal[:, 2:]
    card = coupled.diffuse_logits(net, (draw.u,), SCHEDULE, **how("zero-variance")).logits
    a, b, c = (hits(y, draw.label) for y in (world.classifier(enhanced), joint, card))
    assert paired_ci(b, a, SURE)[1] > 0
    assert paired_ci(c, b, SURE)[2] > 0
    assert np.mean(c != bayes) < 1e-3


@pytest.mark.parametrize("S", [1, 3, 150])
def test_mean_logits_keep_the_order_of_the_probabilities(S):
    """From a start without noise the chain's argmax is the Bayes decision, exactly, for any S."""
    world, draw, net, _ = setting(0.8)

    def nothing(branch, round, s, like):
        return np.zeros_like(like)

    settings = {**how("zero-variance"), "noise": nothing}
    found = coupled.diffuse_logits(net, (draw.u,), coupled.vp_levels(S), **settings).logits
    p = world.posterior(draw.u)
    assert (found.argmax(1) == p.argmax(1)).all()
    clear = np.diff(np.sort(p, axis=1), axis=1).min(1) > 1e-6
    assert (np.argsort(found[clear], axis=1) == np.argsort(p[clear], axis=1)).all()


def test_logits_without_noise_end_at_a_mode_and_not_at_the_mean():
    world, draw, net, _ = setting()
    y = coupled.diffuse_logits(net, (draw.u,), SCHEDULE, **how("zero-variance")).logits
    p = world.posterior(draw.u)
    mode, mean = (
        np.sqrt(((y - z) ** 2).sum(1).mean()) for z in (world.codes[p.argmax(1)], p @ world.codes)
    )
    assert mode < 0.1 < 0.3 < mean


def test_gaussian_chain_without_noise_is_its_first_denoising():
    world = worlds.World(np.zeros((2, 2)), np.array([0, 1]), np.eye(2), 0.5)
    u = world.sample(50, 0).u
    net = world.coupling(u)
    for S in (1, 10, 75):
        schedule = coupled.vp_levels(S)
        v = schedule[-1] * coupled.batch_noise(1)("signal", 0, S, u)
        found = coupled.enhance(net, u, schedule, **how("zero-variance")).signal
        np.testing.assert_allclose(found, net.signal(v, schedule[-1], (u, None)), rtol=1e-9)


def test_estimate_without_noise_runs_away_from_the_long_tail():
    """d x_hat / d precision = -E[(x - x_hat)^3] / 2 along the chain, by quadrature over the posterior."""
    world = worlds.World(np.array([[-1.0], [1.5]]), np.arange(2), np.array([[0.5]]), 0.8)
    u, tau, theta, h = np.array([[0.1]]), 0.7, 0.2, 1e-4
    net = world.coupling(u)

    def estimate(tau, theta):
        return net.signal(np.array([[theta / tau]]), tau**-0.5, (u, None))[0, 0]

    m = estimate(tau, theta)
    slope = (estimate(tau + h, theta + h * m) - estimate(tau - h, theta - h * m)) / (2 * h)
    x = np.linspace(-5, 5, 20_001)
    density = np.exp(-0.5 * ((x - world.means) / world.s) ** 2).sum(0)
    density *= np.exp(-0.5 * ((u[0, 0] - 0.5 * x) / 0.8) ** 2 + theta * x - tau * x**2 / 2)
    density /= density.sum()
    assert density @ x == pytest.approx(m, rel=1e-9)
    assert slope == pytest.approx(-0.5 * (density @ (x - m) ** 3), rel=1e-6)
    assert abs(slope) > 0.005


@pytest.mark.parametrize("sampler", ["ancestral", "zero-variance"])
def test_alternating_is_frozen_when_logits_are_a_function_of_the_signal(sampler):
    """Almost: the classes' tails touch, 3e-5 of a class lies beyond a border."""
    decisions = {}
    for name, trust in {"exact": (1e-6, 1e-3), "vague": (1.0, 1.0)}.items():
        world = worlds.decoy(0.8, trust_signal=trust[0], trust_logits=trust[1])
        draw = world.sample(4000, 0)
        net = world.coupling(draw.u)
        rounds = coupled.alternating(
            net, draw.u, coupled.vp_levels(50), rounds=5, **how(sampler)
        ).rounds
        decisions[name] = rounds[0][1].argmax(1), rounds[-1][1].argmax(1), rounds[-1][0]
    first, last, x_hat = decisions["exact"]
    assert (first != last).mean() < (2e-3 if sampler == "ancestral" else 1e-9)
    assert (world.classifier(x_hat).argmax(1) == last).mean() > 0.9
    if sampler == "ancestral":  # the control: vague reading of the estimates moves decisions
        assert (decisions["vague"][0] != decisions["vague"][1]).mean() > 0.05


def test_nobody_exceeds_bayes():
    for world in (worlds.decoy(0.4), worlds.cross(0.4), worlds.linear(0.6)):
        draw = world.sample(4000, 2)
        net, bayes = world.coupling(draw.u), hits(world.posterior(draw.u), draw.label)
        for sampler in ("zero-variance", "ancestral"):
            for run in (coupled.parallel, coupled.alternating, coupled.nested):
                outcome = run(net, draw.u, coupled.vp_levels(20), **how(sampler))
                for logits in (outcome.logits, world.classifier(outcome.signal)):
                    assert paired_ci(hits(logits, draw.label), bayes, SURE)[1] <= 0


def test_linear_decisions_survive_the_mean():
    world = worlds.linear(0.6)
    draw = world.sample(8000, 3)
    net, bayes = world.coupling(draw.u), hits(world.posterior(draw.u), draw.label)
    loss = {}
    for sampler in ("zero-variance", "ancestral"):
        x = coupled.enhance(net, draw.u, SCHEDULE, **how(sampler)).signal
        loss[sampler] = paired_ci(bayes, hits(world.classifier(x), draw.label), SURE)
    assert loss["zero-variance"][1] < 0.01 < loss["ancestral"][1]


def test_seeing_u_twice_gains_nothing():
    """Exactly, x_hat says nothing beyond u; a network that takes both for independent is no better."""
    _, draw, net, _ = setting(0.8)
    x = coupled.enhance(net, draw.u, SCHEDULE, **how("zero-variance")).signal
    once, twice = (
        hits(
            coupled.diffuse_logits(net, views, SCHEDULE, **how("zero-variance")).logits, draw.label
        )
        for views in ((draw.u,), (draw.u, x))
    )
    assert paired_ci(twice, once, SURE)[1] <= 0


# --- the limited signal network ---------------------------------------------------------------


def off_centre():
    world = worlds.cross(0.5)
    return replace(world, means=world.means + np.array([0.6, -0.3]))


def test_limited_network_is_linear_regression():
    world, sigma = off_centre(), 0.7
    draw, rng = world.sample(400_000, 0), np.random.default_rng(1)
    v = draw.x0 + sigma * rng.standard_normal(draw.x0.shape)
    inputs = np.column_stack([draw.u, v, np.ones(len(v))])
    net = worlds.limited(world)
    for y_hat, rows in ((None, slice(None)), (world.codes, draw.label == 2)):
        beta = np.linalg.lstsq(inputs[rows], draw.x0[rows], rcond=None)[0]
        guide = None if y_hat is None else np.tile(y_hat[2], (100, 1))
        found = net(v[:100], sigma, (draw.u[:100], guide))
        np.testing.assert_allclose(found, inputs[:100] @ beta, atol=0.01)


def test_limited_network_mixes_its_classes():
    world = off_centre()
    net, p = worlds.limited(world), np.array([0.5, 0.1, 0.2, 0.1, 0.1])
    u, v = np.array([[0.3, 0.2]]), np.array([[0.5, -0.1]])
    each = [net(v, 0.7, (u, code[None])) for code in world.codes]
    mixed = net(v, 0.7, (u, (p @ world.codes)[None]))
    np.testing.assert_allclose(mixed, sum(q * x for q, x in zip(p, each, strict=True)), rtol=1e-4)


def test_rounds_with_a_limited_network_help_its_signals_and_not_the_logits():
    world = worlds.cross(0.6)
    train, test = world.sample(8000, 0), world.sample(8000, 1)
    bayes = hits(world.posterior(test.u), test.label)
    for soft in (False, True):
        rounds = list(
            worlds.refitted(world, train, test, coupled.vp_levels(50), "zero-variance", soft=soft)
        )
        f, y = ([hits(r[k], test.label) for r in rounds] for k in (0, 1))
        assert paired_ci(f[-1], f[0], SURE)[1] > 0.03
        assert abs(paired_ci(y[0], bayes)[0]) < 0.01
        assert paired_ci(y[-1], y[0], SURE)[1] <= 0
    sampled = list(worlds.refitted(world, train, test, coupled.vp_levels(50), "ancestral"))
    first, last = (hits(sampled[k][1], test.label) for k in (0, -1))
    assert paired_ci(first, last, SURE)[1] > 0.02
