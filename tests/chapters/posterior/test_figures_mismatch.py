"""The mismatch figure shows what it is given and refuses what does not fit."""

from __future__ import annotations

import numpy as np
import pytest

from chapters.posterior import figures_mismatch

RADIUS, SIGMA = np.arange(9.0), np.geomspace(0.1, 100, 10)


def draw(**changes):
    given = {
        "radius": RADIUS,
        "slopes": {0.5: (1 / (1 + RADIUS), 1 / (2 + RADIUS)), 5.0: (0.1 * RADIUS, 0.2 * RADIUS)},
        "overshoot": {"S = 10": (SIGMA, SIGMA), "S = 25": (SIGMA[1:], 2 * SIGMA[1:])},
    }
    return figures_mismatch.mismatch(**{**given, **changes})


def test_both_panels_show_the_values():
    top, bottom = draw().axes
    assert [line.get_label() for line in top.lines if not line.get_label().startswith("_")] == [
        "σ = 0.5",
        "σ = 5",
        "Gaussian model",
    ]
    np.testing.assert_array_equal(top.lines[0].get_ydata(), 1 / (1 + RADIUS))
    np.testing.assert_array_equal(bottom.lines[-1].get_ydata(), 2 * SIGMA[1:])
    assert all(ax.get_xlabel() and ax.get_ylabel() for ax in (top, bottom))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"overshoot": {"S = 10": (SIGMA, SIGMA[:-1])}}, "S = 10"),
        ({"overshoot": {"S = 10": (-SIGMA, SIGMA)}}, "sigma"),
        ({"slopes": {0.5: (RADIUS[:-1], RADIUS)}}, "network"),
        ({"slopes": {}}, "nothing"),
    ],
)
def test_bad_input_is_refused(change, name):
    with pytest.raises(ValueError, match=name):
        draw(**change)
