"""The table, the paths and the released stride, each against the samplers."""

from functools import cache

import numpy as np
import pytest

from chapters.coupled import plane, worlds
from diffbook import coupled

SCHEDULE = coupled.vp_levels(30)


@cache
def setting(n=4000):
    world = worlds.decoy(0.4)
    return world, world.sample(n, 0)


def how(sampler, seed=3):
    switches = coupled.Switches(sampler=sampler, standardise=False)
    return {"noise": coupled.batch_noise(seed), "switches": switches}


def test_strategies_are_those_of_the_library():
    world, draw = setting()
    found = plane.strategies(world, draw, SCHEDULE, "ancestral", 3)
    net, settings = world.coupling(draw.u), how("ancestral")
    parallel = coupled.parallel(net, draw.u, SCHEDULE, **settings)
    one = coupled.alternating(net, draw.u, SCHEDULE, rounds=1, **settings)
    np.testing.assert_array_equal(found["Parallel"], parallel.logits)
    np.testing.assert_array_equal(found["Alternating, 1 round"], one.logits)
    np.testing.assert_array_equal(found["Enhanced"], world.classifier(one.signal))
    assert len(found) == 9
    assert all(logits.shape == (len(draw.u), 3) for logits in found.values())


def test_accuracies_are_means_and_paired_gains():
    label = np.array([0, 1, 2, 0])
    right = np.eye(3)[label]
    half = np.eye(3)[[0, 1, 0, 1]]
    found = plane.accuracies({"Enhanced": half, "other": right}, label)
    assert found["Enhanced"][0][0] == 0.5 and found["Enhanced"][1] == (0.0, 0.0, 0.0)
    assert found["other"][0] == (1.0, 1.0, 1.0) and found["other"][1][0] == 0.5


@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "zero-variance"])
def test_released_stride_is_right_for_all_levels_and_wrong_for_few(sampler):
    world, draw = setting()
    net = world.coupling(draw.u)
    accuracy = {}
    for S in (10, 150):
        logits = plane.released_stride(world, draw.u, S, sampler)
        right = coupled.diffuse_logits(net, (draw.u,), coupled.vp_levels(S), **how(sampler)).logits
        accuracy[S] = [plane.hits(y, draw.label).mean() for y in (logits, right)]
    assert abs(np.subtract(*accuracy[150])) < 0.025
    if sampler == "zero-variance":
        assert abs(np.subtract(*accuracy[10])) < 0.01
    else:
        assert np.subtract(*accuracy[10]) < -0.3


def test_paths_end_where_the_strategies_end():
    world, draw = setting()
    u = draw.u[:6]
    found = plane.paths(world, u, SCHEDULE, "zero-variance", seed=3)
    assert {name: {b: len(r) for b, r in found[name].items()} for name in found} == {
        "Enhanced": {"signal": 1},
        "Parallel": {"signal": 1, "logits": 1},
        "Alternating": {"signal": 5, "logits": 5},
        "Nested": {"signal": 6, "logits": 1},
        "CARD-noisy": {"logits": 1},
    }
    outcome = coupled.alternating(world.coupling(u), u, SCHEDULE, **how("zero-variance"))
    for path, end in zip(found["Alternating"]["logits"], outcome.rounds, strict=True):
        assert path.shape == (30, 6, 3)
        np.testing.assert_array_equal(path[-1], end[1])


def test_figure_has_a_panel_for_each_branch_and_the_colours_of_the_decisions():
    world, draw = setting()
    found = plane.paths(world, draw.u[:5], SCHEDULE, "ancestral")
    figure = plane.trajectories(world, found)
    assert [ax.get_title() for ax in figure.axes[:5]] == list(found)

    def check(ax, decided):
        ends = [line for line in ax.lines if line.get_marker() == "o"][-5:]
        assert [line.get_color() for line in ends] == [plane.CLASS_COLORS[k] for k in decided]
        return ends

    signals = found["Alternating"]["signal"][-1][-1]
    check(figure.axes[2], world.classifier(signals).argmax(1))
    ends = check(figure.axes[9], found["CARD-noisy"]["logits"][0][-1].argmax(1))
    x, y = ends[0].get_data()
    p = found["CARD-noisy"]["logits"][0][-1, 0] / np.ptp(world.codes[0]) + 1 / 3
    np.testing.assert_allclose([x[0], y[0]], p @ plane.CORNERS, atol=1e-9)
