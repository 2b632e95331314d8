"""Tables and designs on the synthetic problems, against other computations."""

import numpy as np
import pytest
import yaml

from chapters.posterior import synthetic
from diffbook import inverse, schedules
from diffbook.inverse import gains
from press import paths

PRIOR, PROBLEMS = synthetic.synthetic_problems()
AB = schedules.ddpm_respaced(10)


def test_the_table_of_methods_agrees_with_an_independent_computation():
    text = paths.reference("posterior", "methods").read_text("utf-8")
    for problem, rows in yaml.safe_load(text).items():
        found = synthetic.method_table(PROBLEMS[problem], (5, 10, 25, 50, 100))
        for name, values in rows.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-5)


def test_held_out_problems_are_deblurring_and_follow_the_seed():
    found, again, other = (synthetic.held_out(3, seed) for seed in (0, 0, 1))
    for p, q, r in zip(found, again, other, strict=True):
        np.testing.assert_array_equal(p.lam, q.lam)
        assert p.sigma_y != r.sigma_y
        assert 0.02 <= p.sigma_y <= 0.5
        assert abs(p.h[0]) == pytest.approx(1.0)
        assert abs(p.h[32]) < 0.9  # the narrowest blur has 0.3 samples
        assert p.lam.mean() == pytest.approx(1.0)


@pytest.mark.parametrize("method", ["dps", "pigdm", "diffpir"])
def test_gain_over_a_rule_is_against_the_best_of_its_numbers(method):
    p = inverse.merged(PROBLEMS["A"])
    gain = synthetic.gain_over_rule(p, 10, method)
    design = inverse.design_weights(p, AB, method).objective
    for c in (0.1, 0.5, 0.9, 1.0, 2.0, 7.0):
        rule = {
            "dps": lambda c=c: gains.dps(p, AB, inverse.dps_normalised(p, AB, c)),
            "pigdm": lambda c=c: gains.pigdm(p, AB, c * gains.pigdm_published(AB)),
            "diffpir": lambda c=c: gains.diffpir(p, AB, np.full(10, c)),
        }[method]()
        assert synthetic.w2(p, AB, rule) >= gain * design * (1 - 1e-6)
    assert gain > 1.0


def test_a_wide_search_holds_the_default_one():
    assert synthetic.default_over_wide(PROBLEMS["A"], AB, 3) >= 1.0


def test_noise_is_designed_with_and_without():
    p = PROBLEMS["A"]
    found = synthetic.over_noise(p, 10, "diffpir", (0.0, 0.5))
    none = inverse.design_weights(p, AB, "diffpir", zeta=0.0)
    assert found[0] == pytest.approx(none.objective)
    some = inverse.design_weights(p, AB, "diffpir", zeta=0.5).objective
    assert found[1] == pytest.approx(some, rel=0.05)
    assert synthetic.over_noise(p, 10, "dps", (1.0,))[0] == pytest.approx(
        inverse.design_weights(p, AB, eta=1.0).objective
    )


def test_weights_that_are_off_stay_off_when_they_are_lowered():
    """At an end with weights at the lower bound, setting those to zero lowers the objective."""
    p = inverse.merged(PROBLEMS["B"])
    design = inverse.design_weights(p, AB, n_random=4, rng=np.random.default_rng(0))
    ends = synthetic.switched_off(p, AB, design)
    assert [v for v, _ in ends] == sorted(v for n, v, _ in design.starts if "random" in n)
    assert max(off for _, off in ends) > 0
    theta = design.weights
    low = np.log(theta / design.reference) < inverse.BOX[0] + 0.1
    none = inverse.objective_and_grad(p, AB, np.where(low, 0.0, theta))[0]
    assert none <= design.objective
