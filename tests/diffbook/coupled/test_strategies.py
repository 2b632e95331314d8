"""The three couplings: what they cost, what their networks are handed, and what comes out."""

import numpy as np
import pytest

from diffbook import coupled
from diffbook.coupled import Coupling, Switches

K, N, D = 3, 4, 2
U = np.random.default_rng(0).uniform(-1.0, 1.0, (N, D))
WEIGHTS = np.array([[1.0, -2.0, 0.5], [0.3, 0.7, -1.0]])


class Spy:
    """A coupling that writes down what its networks are handed."""

    def __init__(self):
        self.calls = []
        self.coupling = Coupling(self.signal, self.logits, self.classifier)

    def signal(self, v, sigma, cond):
        self.calls.append(("signal", sigma, *cond))
        pull = 0.0 if cond[1] is None else 0.1 * cond[1][:, :D]
        return 0.5 * cond[0] + v / (1.0 + sigma**2) / 2.0 + pull

    def logits(self, v, sigma, cond):
        self.calls.append(("logits", sigma, *cond))
        return 0.5 * cond[1] + v / (1.0 + sigma**2) / 2.0

    def classifier(self, x):
        self.calls.append(("classifier", None, x, None))
        return x @ WEIGHTS

    def of(self, kind):
        return [call[1:] for call in self.calls if call[0] == kind]


def run(strategy, S=10, sigma=None, **arguments):
    spy = Spy()
    levels = coupled.vp_levels(S) if sigma is None else sigma
    arguments = {"noise": coupled.batch_noise(7), **arguments}
    return getattr(coupled, strategy)(spy.coupling, U, levels, **arguments), spy


@pytest.mark.parametrize("S", [10, 7, 15, 150])
def test_the_couplings_cost_1_2_7_and_10_chains(S):
    assert run("enhance", S)[0].calls == (S, 0, 0)
    assert run("parallel", S)[0].calls == (S, S, 1 + -(-S // 2))
    if S >= 10:
        nested = run("nested", S)[0]
        assert (nested.calls, nested.chains) == ((6 * S, S, 6), 7)
    alternating = run("alternating", S)[0]
    assert (alternating.calls, alternating.chains) == ((5 * S, 5 * S, 5), 10)
    assert (run("enhance", S)[0].chains, run("parallel", S)[0].chains) == (1, 2)
