"""Figures of the real-signal sections: they draw what they are given, and refuse nonsense."""

import numpy as np
import pytest

from chapters.spectral import figures_real


def test_ratio_dots_has_one_row_per_signal_and_skips_missing_schedules():
    fig = figures_real.ratio_dots(
        {"a": {"cosine": 1.2, "sigmoid": 3.0}, "b": {"cosine": 1.5}}, xlabel="ratio"
    )
    ax = fig.axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"]
    dots = {line.get_label(): line.get_xdata() for line in ax.lines}
    np.testing.assert_array_equal(dots["cosine"], [1.2, 1.5])
    np.testing.assert_array_equal(dots["sigmoid"], [3.0])


def test_cost_map_writes_every_number():
    fig = figures_real.cost_map(
        {"a": {"a": 1.0, "b": 2.5}, "b": {"a": 1.25, "b": 1.0}}, xlabel="x", ylabel="y"
    )
    assert [t.get_text() for t in fig.axes[0].texts] == ["1.00", "2.50", "1.25", "1.00"]


def test_quality_has_a_panel_per_metric_and_the_floor():
    cells = {"cosine": [(1.0, 0.9, 1.1), (0.5, 0.4, 0.6)], "sigmoid": [(2.0, 1, 3), (1.0, -1, 3)]}
    fig = figures_real.quality((5, 10), {"m": cells, "k": cells, "l": cells}, floor={"m": 0.3})
    shown = [ax for ax in fig.axes if ax.get_visible()]
    assert [ax.get_title(loc="left") or ax.get_title() for ax in shown] == ["m", "k", "l"]
    levels = [line.get_ydata()[0] for line in shown[0].lines if len(set(line.get_ydata())) == 1]
    assert 0.3 in levels


def test_agreement_draws_all_points():
    fig = figures_real.agreement({"a": [1.0, 2.0]}, {"a": [1.1, 1.9]}, band=0.15, unit="distance")
    points = fig.axes[0].lines[1]
    np.testing.assert_array_equal(points.get_xdata(), [1.0, 2.0])
    np.testing.assert_array_equal(points.get_ydata(), [1.1, 1.9])


@pytest.mark.parametrize(
    "call",
    [
        lambda: figures_real.ratio_dots({}, xlabel=""),
        lambda: figures_real.cost_map({}, xlabel="", ylabel=""),
        lambda: figures_real.quality((5,), {}),
        lambda: figures_real.agreement({}, {}, band=0.1, unit=""),
    ],
)
def test_nothing_to_draw_is_refused(call):
    with pytest.raises(ValueError, match="nothing to draw"):
        call()
