"""Single chains against processes written out in their own coordinates, and against closed forms."""

from itertools import pairwise

import numpy as np
import pytest

from diffbook import coupled, samplers, schedules
from diffbook.coupled import Coupling, Switches
from diffbook.samplers.transfer import step_coefficients, transfer

LAM, MEAN, SHAPE = np.array([0.2, 1.0, 3.0]), np.array([0.5, -1.0, 0.2]), (6, 3)
U = np.random.default_rng(0).standard_normal(SHAPE)
NOISE = coupled.batch_noise(3)
SAMPLERS = ["zero-variance", "ancestral", "ddim"]


def lmmse(v, sigma, cond=None):
    """Exact mean of x0 ~ N(MEAN, LAM) given v = x0 + sigma z."""
    return MEAN + LAM / (LAM + sigma**2) * (v - MEAN)


NET = Coupling(lmmse, None, None)


def enhance(sigma, sampler, u=U, **more):
    switches = Switches(sampler=sampler, **more)
    return coupled.enhance(NET, u, sigma, noise=NOISE, switches=switches, keep_trajectory=True)


def scalar_estimate(x, scale, std, mu):
    """Exact mean of x0 given x = scale x0 + (1 - scale) mu + std z, where it is."""
    gain = scale * LAM / (scale**2 * LAM + std**2)
    return MEAN + gain * (x - scale * MEAN - (1 - scale) * mu)


# --- native coordinates -----------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_vp_chain_in_its_own_coordinates(sampler):
    """Reverse step of the image experiments, with a network that predicts the noise."""
    T = 150
    ab = np.concatenate([[1.0], schedules.cosine_chain(T)])
    x = np.sqrt(1 - ab[T]) * NOISE("signal", 0, T, U)
    walked = [x]
    for t in range(T, 0, -1):
        x0 = scalar_estimate(x, np.sqrt(ab[t]), np.sqrt(1 - ab[t]), 0.0)
        eps = (x - np.sqrt(ab[t]) * x0) / np.sqrt(1 - ab[t])
        alpha = ab[t] / ab[t - 1]
        mean = np.sqrt(ab[t - 1]) * (1 - alpha) / (1 - ab[t]) * x0
        mean += np.sqrt(alpha) * (1 - ab[t - 1]) / (1 - ab[t]) * x
        std = np.sqrt((1 - alpha) * (1 - ab[t - 1]) / (1 - ab[t]))
        if sampler == "ddim":
            mean, std = np.sqrt(ab[t - 1]) * x0 + np.sqrt(1 - ab[t - 1]) * eps, 0.0
        x = mean + (sampler == "ancestral") * std * NOISE("signal", 0, t - 1, U)
        walked.append(x)
    found = enhance(coupled.vp_levels(T), sampler)
    np.testing.assert_allclose(found.signal, x, rtol=0, atol=1e-12)
    for native, at in zip(walked, found.trajectory, strict=True):
        np.testing.assert_allclose(np.sqrt(ab[at["s"]]) * at["v"], native, rtol=0, atol=1e-12)


def drifting_step(x, x0, mu, near, far, z):
    """Draw x_{s-1} given x_s and x0: precisions of the marginal and of the transition add up."""
    (k1, s1), (k2, s2) = near, far
    r = k2 / k1
    q2 = s2**2 - r**2 * s1**2
    if s1 == 0.0:
        return x0
    var = 1.0 / (1.0 / s1**2 + r**2 / q2)
    mean = var * ((k1 * x0 + (1 - k1) * mu) / s1**2 + r * (x - (1 - r) * mu) / q2)
    return mean + np.sqrt(var) * z


@pytest.mark.parametrize("stochastic", [True, False])
def test_the_drifting_chain_in_its_own_coordinates(stochastic):
    """OU-VE towards u: in the coordinates of the library nothing of the drift is left but the start."""
    S = 30
    times = np.concatenate([[0.0], np.linspace(0.03, 1.0, S)])
    kernel = list(zip(*schedules.ouve_kernel(times), strict=True))
    x = U + kernel[S][1] * NOISE("signal", 0, S, U)
    for s in range(S, 0, -1):
        x0 = scalar_estimate(x, *kernel[s], U)
        z = stochastic * NOISE("signal", 0, s - 1, U)
        x = drifting_step(x, x0, U, kernel[s - 1], kernel[s], z)
    sampler = "ancestral" if stochastic else "zero-variance"
    found = enhance(coupled.ouve_levels(S), sampler, start="observation").signal
    np.testing.assert_allclose(found, x, rtol=0, atol=1e-12)


@pytest.mark.parametrize("stochastic", [True, False])
def test_the_logits_chain_is_that_of_card(stochastic):
    """CARD's posterior mean has weights for the estimate, the state and the classifier's logits."""
    T = 40
    ab = np.concatenate([[1.0], schedules.cosine_chain(T)])
    y = U + np.sqrt(1 - ab[T]) * NOISE("logits", 0, T, U)
    for t in range(T, 0, -1):
        y0 = scalar_estimate(y, np.sqrt(ab[t]), np.sqrt(1 - ab[t]), U)
        alpha, left = ab[t] / ab[t - 1], 1 - ab[t]
        g0 = (1 - alpha) * np.sqrt(ab[t - 1]) / left
        g1 = (1 - ab[t - 1]) * np.sqrt(alpha) / left
        g2 = 1 + (np.sqrt(ab[t]) - 1) * (np.sqrt(alpha) + np.sqrt(ab[t - 1])) / left
        std = stochastic * np.sqrt((1 - alpha) * (1 - ab[t - 1]) / left)
        y = g0 * y0 + g1 * y + g2 * U + std * NOISE("logits", 0, t - 1, U)
    net = Coupling(None, lambda v, sigma, cond: lmmse(v, sigma), lambda x: x)
    sampler = "ancestral" if stochastic else "zero-variance"
    switches = Switches(sampler=sampler, start="observation", standardise=False)
    levels = coupled.vp_levels(T, T=T)
    found = coupled.diffuse_logits(net, (U,), levels, noise=NOISE, switches=switches)
    np.testing.assert_allclose(found.logits, y, rtol=0, atol=1e-12)
    assert found.signal is None


def test_a_target_that_moves_has_to_move_the_state_along():
    """A drifting chain whose target changes is a jump in v, unless its state is moved with the target."""
    S, change, other = 20, 9, U[::-1] + 0.3
    times = np.concatenate([[0.0], np.linspace(0.03, 1.0, S)])
    kernel = list(zip(*schedules.ouve_kernel(times), strict=True))

    def native(moved):
        x, mu = U + kernel[S][1] * NOISE("signal", 0, S, U), U
        for s in range(S, 0, -1):
            if s == change:
                x, mu = x + moved * (1 - kernel[s][0]) * (other - mu), other
            z = NOISE("signal", 0, s - 1, U)
            x = drifting_step(
                x, scalar_estimate(x, *kernel[s], mu), mu, kernel[s - 1], kernel[s], z
            )
        return x

    sigma = coupled.ouve_levels(S)
    found = enhance(sigma, "ancestral", start="observation")
    np.testing.assert_allclose(found.signal, native(moved=True), rtol=0, atol=1e-12)
    v = next(at["v"] for at in found.trajectory if at["s"] == change)
    v = v + (1 - 1 / kernel[change][0]) * (other - U)
    for s in range(change, 0, -1):
        a, b, c = step_coefficients(sigma, "ve", 1.0)[s - 1]
        v = a * v + b * lmmse(v, sigma[s]) + c * NOISE("signal", 0, s - 1, U)
    np.testing.assert_allclose(v, native(moved=False), rtol=0, atol=1e-12)
    assert np.abs(v - found.signal).max() > 0.1


# --- closed forms -----------------------------------------------------------------------------


@pytest.mark.parametrize("S", [150, 20, 7])
@pytest.mark.parametrize(("sampler", "eta"), [("ddim", 0.0), ("zero-variance", 1.0)])
def test_chains_without_noise_have_the_gains_of_the_transfer_function(sampler, eta, S):
    sigma = coupled.vp_levels(S)
    exact = transfer(LAM, sigma, eta=eta, process="ve")
    start = sigma[-1] * NOISE("signal", 0, S, U)
    found = enhance(sigma, sampler).signal
    np.testing.assert_allclose(found, exact.D1 * start + exact.D2 * MEAN, rtol=0, atol=1e-11)


@pytest.mark.parametrize("S", [150, 10])
def test_the_ancestral_chain_has_the_moments_of_the_transfer_function(S):
    sigma, n = coupled.vp_levels(S), 40_000
    exact = transfer(LAM, sigma, eta=1.0, process="ve")
    x = enhance(sigma, "ancestral", u=np.zeros((n, 3))).signal
    z = (x.mean(0) - exact.D2 * MEAN) / (exact.std / np.sqrt(n))
    assert np.abs(z).max() < 4.0
    np.testing.assert_allclose(x.var(0), exact.var[0], rtol=4 * np.sqrt(2 / n))


def test_final_variances_on_standard_normal_data():
    """The released "DDIM" returns one point, whatever the noise; DDIM does not."""
    sigma, net = coupled.vp_levels(150), Coupling(lambda v, s, _: v / (1 + s**2), None, None)
    exact = {eta: transfer([1.0], sigma, eta=eta, process="ve") for eta in (0.0, 1.0)}
    assert exact[1.0].var[0, 0] == pytest.approx(0.969, abs=5e-4)
    assert exact[0.0].var[0, 0] == pytest.approx(0.984, abs=5e-4)
    assert (exact[1.0].D1[0] * sigma[-1]) ** 2 < 5e-4
    for sampler, variance in {"zero-variance": 0.0, "ancestral": 0.969, "ddim": 0.984}.items():
        u, switches = np.zeros((20_000, 1)), Switches(sampler=sampler)
        x = coupled.enhance(net, u, sigma, noise=NOISE, switches=switches).signal
        assert x.var() == pytest.approx(variance, abs=0.04 * variance + 5e-4)


@pytest.mark.parametrize(("sampler", "eta"), [("ddim", 0.0), ("ancestral", 1.0)])
def test_the_chain_is_the_librarys_sampler(sampler, eta):
    sigma = coupled.ouve_levels(12)
    x_T = sigma[-1] * NOISE("signal", 0, 12, U)
    kept = samplers.ddim(
        lmmse, x_T, sigma, process="ve", eta=eta, keep_trajectory=True,
        noise=lambda s, x: NOISE("signal", 0, s - 1, x),
    )  # fmt: skip
    found = enhance(sigma, sampler).trajectory
    for state, at in zip(kept.trajectory, found, strict=True):
        np.testing.assert_allclose(at["v"], state, rtol=0, atol=1e-13)


# --- what is handed on ------------------------------------------------------------------------


def test_a_strided_step_ends_at_the_next_selected_level():
    """One step of a strided chain moves by the two levels it walks between, not by those of the whole chain."""
    sigma = coupled.vp_levels(5)
    found = enhance(sigma, "ddim").trajectory
    assert [at["s"] for at in found] == [5, 4, 3, 2, 1, 0]
    assert [at["sigma"] for at in found] == sigma[::-1].tolist()
    for at, then in pairwise(found):
        x0 = lmmse(at["v"], at["sigma"])
        z = (at["v"] - x0) / at["sigma"]
        np.testing.assert_allclose(then["hat"], x0)
        np.testing.assert_allclose(then["v"], x0 + then["sigma"] * z, atol=1e-12)


def test_the_start_is_zero_or_what_was_seen():
    sigma = coupled.vp_levels(3)
    z = NOISE("signal", 0, 3, U)
    np.testing.assert_array_equal(enhance(sigma, "ddim").trajectory[0]["v"], sigma[3] * z)
    v = enhance(sigma, "ddim", start="observation").trajectory[0]["v"]
    np.testing.assert_array_equal(v, U + sigma[3] * z)


def test_the_network_is_handed_the_observation_and_the_logits():
    seen, y_hat = [], np.ones((6, 4))
    net = Coupling(lambda v, sigma, cond: seen.append((sigma, *cond)) or v, None, None)
    sigma = coupled.vp_levels(3)
    outcome = coupled.enhance(net, U, sigma, noise=NOISE, y_hat=y_hat)
    assert [level for level, _, _ in seen] == sigma[:0:-1].tolist()
    assert all(u is U and y is y_hat for _, u, y in seen)
    assert (outcome.calls, outcome.logits, outcome.trajectory) == ((3, 0, 0), None, None)
    assert outcome.rounds[0][0] is outcome.signal


@pytest.mark.parametrize("standard", [True, False])
def test_the_logits_network_is_handed_views_and_the_classifiers_logits_of_the_last(standard):
    seen, views = [], (U, U + 1.0)
    net = Coupling(None, lambda v, sigma, cond: seen.append(cond) or 2.0 * v, lambda x: 5.0 * x)
    switches = Switches(standardise=standard)
    found = coupled.diffuse_logits(
        net,
        views,
        coupled.vp_levels(3),
        noise=NOISE,
        switches=switches,
        round=2,
        keep_trajectory=True,
    )
    c = 5.0 * views[1]
    for got, logits in seen:
        assert got is views
        np.testing.assert_array_equal(logits, coupled.standardise(c) if standard else c)
    last = found.trajectory[-2]["v"]
    np.testing.assert_array_equal(found.trajectory[-1]["v"], found.logits)
    np.testing.assert_allclose(
        found.logits, coupled.standardise(2 * last) if standard else 2 * last
    )
    assert (found.calls, found.trajectory[0]["round"]) == ((0, 3, 1), 2)


def test_a_diverging_state_shows_as_such():
    wild = Coupling(lambda v, sigma, cond: v * np.inf, None, None)
    with np.errstate(invalid="ignore"):
        out = coupled.enhance(wild, U, coupled.vp_levels(3), noise=NOISE).signal
    assert not np.isfinite(out).any()


# --- refusals ---------------------------------------------------------------------------------


def never(*_):
    pytest.fail("asked before the arguments were checked")


DEAD = Coupling(never, never, never)
LEVELS = coupled.vp_levels(3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda **k: coupled.enhance(DEAD, U, LEVELS, y_hat=np.ones((5, 3)), **k),
         r"y_hat: got shape \(5, 3\), expected \(6, K\)"),
        (lambda **k: coupled.enhance(DEAD, U, LEVELS, y_hat=np.ones((6, 1)), **k),
         r"y_hat: got shape \(6, 1\), expected \(6, K\), K of at least 2"),
        (lambda **k: coupled.enhance(DEAD, U, LEVELS[1:], **k), r"schedule\[0\] = .*: expected 0"),
        (lambda **k: coupled.enhance(DEAD, U, LEVELS[::-1], **k), "schedule must increase"),
        (lambda **k: coupled.enhance(DEAD, U[0], LEVELS, **k), r"u must be .* got shape \(3,\)"),
        (lambda **k: coupled.diffuse_logits(DEAD, (), LEVELS, **k), "views: got 0, .* one signal or"),
        (lambda **k: coupled.diffuse_logits(DEAD, U, LEVELS, **k), "views: got ndarray, .* tuple"),
        (lambda **k: coupled.diffuse_logits(DEAD, (U, U[:4]), LEVELS, **k), r"views: got \[6, 4\]"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_before_any_network_is_asked(call, words):
    with pytest.raises(ValueError, match=words):
        call(noise=NOISE)


def test_answers_of_another_shape_are_refused():
    short = Coupling(lambda v, s, c: v[:, :2], lambda v, s, c: v[:, :2], lambda x: x)
    with pytest.raises(ValueError, match=r"signal denoiser returned shape \(6, 2\)"):
        coupled.enhance(short, U, LEVELS, noise=NOISE)
    with pytest.raises(ValueError, match=r"logits denoiser returned shape \(6, 2\)"):
        coupled.diffuse_logits(short, (U,), LEVELS, noise=NOISE)
    few = short._replace(classifier=lambda x: x[:3])
    with pytest.raises(
        ValueError, match=r"logits of the classifier: got shape \(3, 3\), .*\(6, K\)"
    ):
        coupled.diffuse_logits(few, (U,), LEVELS, noise=NOISE)
    with pytest.raises(ValueError, match="noise has 2 seeds for a batch of 6"):
        coupled.enhance(NET, U, LEVELS, noise=coupled.sample_noise([0, 1]))
