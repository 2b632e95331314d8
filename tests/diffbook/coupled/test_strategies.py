"""The three couplings: what they cost, what their networks are handed, and what comes out."""

import numpy as np
import pytest
import torch

from diffbook import coupled, schedules
from diffbook.coupled import RELEASED, Coupling, Switches, standardise
from diffbook.samplers.transfer import step_coefficients

N, D, K = 4, 2, 3
U = np.random.default_rng(0).uniform(-1.0, 1.0, (N, D))
WEIGHTS = np.array([[1.0, -2.0, 0.5], [0.3, 0.7, -1.0]])
NOISE = coupled.batch_noise(7)
STRATEGIES = ["parallel", "alternating", "nested"]


class Spy:
    """A coupling that writes down what its networks are handed, and what they answer."""

    def __init__(self):
        self.log = []
        self.coupling = Coupling(self.signal, self.logits, self.classifier)

    def signal(self, v, sigma, cond):
        u, y_hat = cond
        x0 = 0.5 * u + v / (2.0 + sigma**2) + (0.0 if y_hat is None else 0.1 * y_hat[:, :D])
        self.log.append({"net": "signal", "sigma": sigma, "u": u, "y": y_hat, "answer": x0})
        return x0

    def logits(self, v, sigma, cond):
        views, c = cond
        y0 = 0.5 * c + v / (2.0 + sigma**2) + sum(view[:, :1] for view in views)
        y0[:, 0] += 0.3
        self.log.append({"net": "logits", "sigma": sigma, "views": views, "c": c, "answer": y0})
        return y0

    def classifier(self, x):
        self.log.append({"net": "classifier", "x": x, "answer": _scores(x)})
        return self.log[-1]["answer"]

    def of(self, net):
        return [entry for entry in self.log if entry["net"] == net]


def _scores(x):
    """Linear classifier on arrays of either kind."""
    is_torch = isinstance(x, torch.Tensor)
    return x @ (torch.as_tensor(WEIGHTS) if is_torch else WEIGHTS.astype(x.dtype))


def run(strategy, S=10, schedule=None, u=U, **arguments):
    spy = Spy()
    levels = coupled.vp_levels(S) if schedule is None else schedule
    return getattr(coupled, strategy)(spy.coupling, u, levels, noise=NOISE, **arguments), spy


# --- cost -------------------------------------------------------------------------------------


@pytest.mark.parametrize("S", [150, 50, 10, 7])
def test_the_couplings_cost_1_2_7_and_10_chains(S):
    found = {name: run(name, S)[0] for name in ("enhance", "parallel", "alternating")}
    # The window of the refreshes has five steps or more.
    found["nested"] = run("nested", S, window=2 / 3 if S > 7 else 5 / 7)[0]
    chains = {name: outcome.chains for name, outcome in found.items()}
    assert chains == {"enhance": 1, "parallel": 2, "nested": 7, "alternating": 10}
    assert found["parallel"].calls == (S, S, 1 + (S + 1) // 2)
    assert found["alternating"].calls == (5 * S, 5 * S, 5)
    assert found["nested"].calls == (6 * S, S, 6)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_cost_follows_rounds_and_refreshes(count):
    nested, spy = run("nested", refreshes=count)
    assert (nested.chains, len(nested.rounds)) == (2 + count, 1 + count)
    assert nested.calls == tuple(len(spy.of(net)) for net in ("signal", "logits", "classifier"))
    alternating, spy = run("alternating", rounds=count + 1)
    assert (alternating.chains, len(alternating.rounds)) == (2 * count + 2, count + 1)
    assert alternating.calls == tuple(
        len(spy.of(net)) for net in ("signal", "logits", "classifier")
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_classifier_that_sees_the_observation_is_asked_once(strategy):
    outcome, spy = run(strategy, switches=Switches(view="observation"))
    assert outcome.calls.classifier == len(spy.of("classifier")) == 1
    assert all(len(e["views"]) == 1 and e["views"][0] is U for e in spy.of("logits"))


# --- parallel ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("gate", "S", "open_steps"), [
    (0.0, 10, 0), (0.25, 10, 3), (0.5, 10, 5), (0.7, 10, 7), (1.0, 10, 10), (0.5, 7, 4), (0.5, 1, 1),
])  # fmt: skip
def test_a_gate_is_a_fraction_of_the_steps(gate, S, open_steps):
    _, spy = run("parallel", S, switches=Switches(gate_signal=gate, gate_logits=0.0))
    # The very first signal sees no logits: there are none yet.
    sees = [entry["y"] is not None for entry in spy.of("signal")]
    assert sees == [s <= open_steps and s < S for s in range(S, 0, -1)]
    assert all(entry["views"][0] is U for entry in spy.of("logits"))
    _, spy = run("parallel", S, switches=Switches(gate_signal=0.0, gate_logits=gate))
    sees = [entry["views"][0] is not U for entry in spy.of("logits")]
    assert sees == [s <= open_steps for s in range(S, 0, -1)]
    assert all(entry["y"] is None for entry in spy.of("signal"))


def test_signal_first():
    _, spy = run("parallel", switches=Switches(gate_signal=1.0, gate_logits=1.0))
    signals, logits = spy.of("signal"), spy.of("logits")
    assert [e["net"] for e in spy.log if e["net"] != "classifier"] == ["signal", "logits"] * 10
    assert signals[0]["y"] is None
    for i in range(10):
        assert logits[i]["views"][0] is signals[i]["answer"]
        np.testing.assert_array_equal(logits[i]["c"], standardise(_scores(signals[i]["answer"])))
        if i:
            np.testing.assert_array_equal(signals[i]["y"], standardise(logits[i - 1]["answer"]))


def test_logits_first():
    switches = Switches(order="logits first", gate_signal=1.0, gate_logits=1.0)
    _, spy = run("parallel", switches=switches)
    signals, logits = spy.of("signal"), spy.of("logits")
    assert [e["net"] for e in spy.log if e["net"] != "classifier"] == ["logits", "signal"] * 10
    assert logits[0]["views"][0] is U
    for i in range(10):
        np.testing.assert_array_equal(signals[i]["y"], standardise(logits[i]["answer"]))
        if i:
            assert logits[i]["views"][0] is signals[i - 1]["answer"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_both_views_and_logits_as_they_are(strategy):
    outcome, spy = run(strategy, switches=Switches(view="both", standardise=False))
    for entry in spy.of("logits"):
        first, last = entry["views"]
        assert first is U
        np.testing.assert_array_equal(entry["c"], _scores(last))
    assert outcome.logits is not None
    np.testing.assert_array_equal(outcome.logits, spy.of("logits")[-1]["answer"])
    np.testing.assert_array_equal(outcome.signal, spy.of("signal")[-1]["answer"])


def test_each_branch_has_its_sampler_and_its_levels():
    own = coupled.ouve_levels(10)
    switches = Switches(sampler="ddim", logits_sampler="ancestral")
    arguments = {"switches": switches, "logits_schedule": own, "keep_trajectory": True}
    outcome, spy = run("parallel", **arguments)
    assert [e["sigma"] for e in spy.of("logits")] == own[:0:-1].tolist()
    assert [e["sigma"] for e in spy.of("signal")] == coupled.vp_levels(10)[:0:-1].tolist()
    y = next(at for at in outcome.trajectory if at["branch"] == "logits" and at["s"] == 9)
    a = (own[9] / own[10]) ** 2
    start = own[10] * NOISE("logits", 0, 10, y["v"])
    noise = own[9] * np.sqrt(1 - a) * NOISE("logits", 0, 9, y["v"])
    np.testing.assert_allclose(y["v"], a * start + (1 - a) * y["hat"] + noise, atol=1e-12)


def test_the_released_parallel_coupling_in_its_own_coordinates():
    """The released loop on VP states, written out: logits first, their noise dropped, gate at T / 2."""
    T, nets = 150, Spy()
    ab = np.concatenate([schedules.cosine_chain(T), [1.0]])  # ab[-1] = 1, as in the released code

    def estimate(net, state, t, cond):
        sigma = np.sqrt(1 / ab[t] - 1)
        return net(state / np.sqrt(ab[t]), sigma, cond)

    def step(state, hat, t, branch, stochastic):
        alpha, before = ab[t] / ab[t - 1], ab[t - 1]
        mean = np.sqrt(before) * (1 - alpha) / (1 - ab[t]) * hat
        mean += np.sqrt(alpha) * (1 - before) / (1 - ab[t]) * state
        std = np.sqrt((1 - alpha) * (1 - before) / (1 - ab[t]))
        return mean + stochastic * std * NOISE(branch, 0, t, state)

    x = np.sqrt(1 - ab[T - 1]) * NOISE("signal", 0, T, U)
    y = np.sqrt(1 - ab[T - 1]) * NOISE("logits", 0, T, np.zeros((N, K)))
    w, c, x_hat = U, standardise(_scores(U)), None
    for t in range(T - 1, -1, -1):
        if t < 0.5 * T:
            w, c = x_hat, standardise(_scores(x_hat))
        y_hat = standardise(estimate(nets.logits, y, t, ((w,), c)))
        y = step(y, y_hat, t, "logits", False)
        x_hat = estimate(nets.signal, x, t, (U, y_hat))
        x = step(x, x_hat, t, "signal", True)
    outcome, _ = run("parallel", T, switches=RELEASED)
    np.testing.assert_allclose(outcome.signal, x, rtol=0, atol=1e-10)
    np.testing.assert_allclose(outcome.logits, y, rtol=0, atol=1e-10)


# --- alternating and nested -------------------------------------------------------------------


def test_alternating_takes_turns():
    outcome, spy = run("alternating", S=4, rounds=3)
    order = [entry["net"] for entry in spy.log]
    assert order == (["signal"] * 4 + ["classifier"] + ["logits"] * 4) * 3
    assert spy.log[0]["y"] is None
    for k, (x_hat, y_hat) in enumerate(outcome.rounds):
        signals, logits = spy.of("signal")[4 * k :][:4], spy.of("logits")[4 * k :][:4]
        assert all(e["views"][0] is x_hat for e in logits)
        assert all(e["y"] is (outcome.rounds[k - 1][1] if k else None) for e in signals)
        np.testing.assert_array_equal(x_hat, signals[-1]["answer"])
        np.testing.assert_array_equal(y_hat, standardise(logits[-1]["answer"]))
    assert (outcome.signal, outcome.logits) == outcome.rounds[-1]


def test_alternating_is_its_two_halves():
    outcome, spy = run("alternating", rounds=2)
    sigma, y_hat = coupled.vp_levels(10), None
    for k in range(2):
        net = spy.coupling
        x = coupled.enhance(net, U, sigma, noise=NOISE, y_hat=y_hat, round=k).signal
        y_hat = coupled.diffuse_logits(net, (x,), sigma, noise=NOISE, round=k).logits
    np.testing.assert_array_equal(outcome.signal, x)
    np.testing.assert_array_equal(outcome.logits, y_hat)


@pytest.mark.parametrize(("S", "at"), [(150, [100, 80, 60, 40, 20]), (10, [7, 5, 4, 3, 1])])
def test_nested_refreshes_the_signal_on_the_way(S, at):
    outcome, spy = run("nested", S)
    order = [entry["net"] for entry in spy.log]
    where = [i for i, net in enumerate(order) if net == "classifier"]
    # Logit steps left when a chain of signals has ended.
    assert [order[i:].count("logits") for i in where] == [S, *at]
    signals = spy.of("signal")
    assert all(entry["y"] is None for entry in signals[:S])
    for k in range(1, 6):
        x_before, y_before = outcome.rounds[k - 1]
        assert all(entry["y"] is y_before for entry in signals[k * S :][:S])
        logits = [entry for entry in spy.of("logits") if entry["views"][0] is x_before]
        np.testing.assert_array_equal(y_before, standardise(logits[-1]["answer"]))
        assert len(logits) == [S, *at][k - 1] - [S, *at][k]


def test_nested_without_refreshes_is_alternating_once():
    nested, once = run("nested", refreshes=0)[0], run("alternating", rounds=1)[0]
    np.testing.assert_array_equal(nested.signal, once.signal)
    np.testing.assert_array_equal(nested.logits, once.logits)


def test_every_chain_has_noise_of_its_own():
    """Each state is the last step's, and the noise of its branch, its round and its level."""
    switches, rows = (
        Switches(sampler="ancestral"),
        step_coefficients(coupled.vp_levels(10), "ve", 1.0),
    )
    for strategy in ("alternating", "nested"):
        outcome, _ = run(strategy, switches=switches, keep_trajectory=True)
        starts = [at for at in outcome.trajectory if at["hat"] is None]
        assert len({(at["branch"], at["round"]) for at in starts}) == len(starts) == outcome.chains
        last = {}
        for at in outcome.trajectory:
            key = at["branch"], at["round"]
            if at["hat"] is not None:
                a, b, c = rows[at["s"]]
                z = NOISE(*key, at["s"], at["v"]) if c else 0.0
                np.testing.assert_allclose(
                    at["v"], a * last[key] + b * at["hat"] + c * z, atol=1e-12
                )
            last[key] = at["v"]


def test_chains_start_where_the_switch_says():
    outcome, _ = run("alternating", switches=Switches(start="observation"), keep_trajectory=True)
    starts = [at for at in outcome.trajectory if at["hat"] is None]
    sigma = coupled.vp_levels(10)[-1]
    for at in starts:
        k, branch = at["round"], at["branch"]
        mean = U if branch == "signal" else standardise(_scores(outcome.rounds[k][0]))
        np.testing.assert_array_equal(at["v"], mean + sigma * NOISE(branch, k, 10, mean))


# --- both kinds of arrays, bad input ----------------------------------------------------------


@pytest.mark.parametrize(
    "switches", [Switches(), RELEASED, Switches(start="observation", view="both")]
)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_numpy_and_torch_agree(strategy, switches):
    here, _ = run(strategy, switches=switches)
    there, _ = run(strategy, u=torch.as_tensor(U), switches=switches)
    assert isinstance(there.signal, torch.Tensor) and there.signal.dtype == torch.float64
    np.testing.assert_allclose(there.signal.numpy(), here.signal, atol=1e-12)
    np.testing.assert_allclose(there.logits.numpy(), here.logits, atol=1e-12)
    assert there.calls == here.calls


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_single_precision_stays_so(strategy):
    outcome, _ = run(strategy, u=U.astype(np.float32), switches=Switches(sampler="ancestral"))
    assert outcome.signal.dtype == np.float32


def never(*_):
    pytest.fail("asked before the arguments were checked")


@pytest.mark.parametrize(
    ("strategy", "arguments", "words"),
    [
        ("parallel", {"logits_schedule": coupled.vp_levels(9)},
         "logits_schedule: got 9 steps, expected 10 as in schedule"),
        ("nested", {"refreshes": 7}, "refreshes: got 7, expected at most 6, the steps in window"),
        ("nested", {"window": 0.0}, r"window: got 0.0, expected a number in \(0, 1\]"),
        ("alternating", {"rounds": 0}, "rounds: got 0, expected a whole number of at least 1"),
        ("alternating", {"u": U[:, 0]}, r"u must be a real floating array"),
        ("parallel", {"switches": "ancestral"}, "switches: got 'ancestral', expected a record"),
        ("parallel", {"u": U * np.nan}, "u must hold finite numbers"),
        ("nested", {"logits_schedule": coupled.vp_levels(10)[1:]}, r"logits_schedule\[0\] = "),
    ],
)  # fmt: skip
def test_bad_input_is_refused_before_any_network_is_asked(strategy, arguments, words):
    arguments = {"u": U, "schedule": coupled.vp_levels(10), **arguments}
    with pytest.raises(ValueError, match=words):
        getattr(coupled, strategy)(Coupling(never, never, never), noise=NOISE, **arguments)
