"""Figures show what they are given."""

import numpy as np

from chapters.coupled import figures


def test_couplings_has_three_panels_with_arrows_both_ways():
    fig = figures.couplings()
    assert [ax.get_title().split(":")[0] for ax in fig.axes] == [
        "parallel",
        "alternating",
        "nested",
    ]
    for ax in fig.axes:
        assert sum(hasattr(text, "arrow_patch") for text in ax.texts) >= 9


def test_opening_shows_every_picture_and_accuracy():
    rows = {name: np.zeros((3, 4, 4)) for name in ("clean", "observed")}
    values = {"noisy": (40.0, 38.0, 42.0), "parallel": (60.0, 55.0, 65.0)}
    fig = figures.opening(rows, {"images": values, "speech": values})
    pictures = [ax for ax in fig.axes if ax.images]
    panels = [ax for ax in fig.axes if ax.lines]
    assert len(pictures) == 6 and len(panels) == 2
    assert [line.get_xdata()[0] for line in panels[0].lines] == [40.0, 60.0]
    filled = [line.get_markerfacecolor() for line in panels[0].lines]
    assert filled[0] != filled[1]


def test_over_calls_draws_all_points_in_order():
    fig = figures.over_calls({"parallel": {60: 70.0, 20: 65.0}}, {"mean": {300: 50.0}})
    first, second = fig.axes[0].lines
    assert list(first.get_xdata()) == [20, 60] and list(first.get_ydata()) == [65.0, 70.0]
    assert list(second.get_xdata()) == [300]
