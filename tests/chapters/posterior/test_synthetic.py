"""Tables and designs on the synthetic problems, against other computations."""

from dataclasses import replace

import numpy as np
import pytest

from chapters.posterior import synthetic
from diffbook import inverse, schedules
from diffbook.inverse import gains

PRIOR, PROBLEMS = synthetic.synthetic_problems()
AB = schedules.ddpm_respaced(10)


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
    for c in (0.1, 0.5, 0.9, 1.0, 1.36, 2.0, 7.0):
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


def test_a_weight_is_off_at_the_lower_end_where_the_objective_falls_towards_zero():
    p = inverse.merged(PROBLEMS["B"])
    design = inverse.design_weights(p, AB)
    sigma = schedules.alpha_bar_to_sigma(AB[1:])
    assert sigma[1] < 2 < sigma[4]
    doubled = design.weights.copy()
    doubled[2] *= 4.0  # does the work of its neighbour, which is too much then
    ends = {"kept": design.weights, "one off": doubled, "high off": design.weights.copy()}
    ends["one off"][1] = ends["high off"][4] = 0.0
    for theta in (ends["one off"], ends["high off"]):
        theta[:] = np.maximum(theta, design.reference * np.exp(inverse.BOX[0]))
    starts = [(f"random {n}", 1.0 + i, theta) for i, (n, theta) in enumerate(ends.items())]
    values, off = synthetic.switched_off(p, AB, replace(design, starts=starts))
    assert values.tolist() == [1.0, 2.0, 3.0]
    slope = inverse.objective_and_grad(p, AB, ends["one off"])[1][1]
    assert off.tolist() == [False, bool(slope > 0), False]
    assert slope > 0
