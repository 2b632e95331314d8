"""A gain taken apart, on a made-up study whose parts are known."""

import numpy as np
import pytest

from chapters.coupled import gains

ACCURACY = {
    ("noisy", "signal"): 40, ("enhanced", "signal"): 60,
    ("student", "logits"): 80, ("card noisy", "logits"): 81, ("card clean", "logits"): 41,
    ("parallel", "logits"): 75, ("parallel", "signal"): 66,
    ("nested", "logits"): 79, ("nested", "signal"): 65,
    ("alternating", "logits", 1): 76, ("alternating", "signal", 1): 61,
    ("alternating", "logits", 5): 78, ("alternating", "signal", 5): 68,
}  # fmt: skip


class Made:
    """Accuracies by (method, decision, round); right decisions are a fixed share of 100 examples."""

    rows = (
        {"method": "parallel", "split": "test", "S": 10},
        {"method": "parallel", "split": "test", "S": 30},
        {"method": "parallel", "split": "validation", "S": 5},
    )

    def right(self, task, method, decision="logits", **where):
        key = (method, decision)
        key += (where.get("round", 5),) if method == "alternating" else ()
        share = ACCURACY[key] - (5 if where.get("split") == "validation" else 0)
        return np.tile(np.arange(100) < share, (3, 1)).astype(float)

    def select(self, task, method, S):
        return [{"calls": [S, S, 3]}]


def test_gain_is_taken_apart():
    parts = {k: v[0] for k, v in gains.decompose(Made(), ["a"])["a"].items()}
    assert parts == pytest.approx(
        {"student gain": 15, "coupling gain": 2, "signal gain": 7, "diffusion gain": 1}
    )


def test_share_without_coupling_is_of_the_best_coupling():
    share, best = gains.uncoupled_share(Made(), ["a", "b"])
    assert best == "nested"
    assert share == pytest.approx((81 - 60) / (79 - 60))


def test_gains_over_enhanced_are_of_the_methods_that_decide_so():
    by_logits = gains.over_enhanced(Made(), "a")
    assert list(by_logits) == ["student", "CARD noisy", "parallel", "alternating", "nested"]
    assert by_logits["nested"][0] == pytest.approx(19)
    by_signal = gains.over_enhanced(Made(), "a", "signal")
    assert {k: round(v[0]) for k, v in by_signal.items()} == {
        "parallel": 6, "alternating": 8, "nested": 5,
    }  # fmt: skip


def test_errors_and_calls():
    methods = ["noisy", "card clean", "parallel"]
    assert gains.errors(Made(), "a", methods, "logits") == pytest.approx([60, 59, 25])
    waveform = gains.errors(Made(), "a", methods, "signal")
    assert np.isnan(waveform[1]) and waveform[2] == pytest.approx(34)
    assert gains.over_calls(Made(), ["a"], "parallel") == pytest.approx({20: 75.0, 60: 75.0})


def test_reported_tables_have_a_column_for_each_method():
    for table in (gains.REPORTED_IMAGES, gains.REPORTED_SPEECH):
        assert {len(row) for row in table.values()} == {8}
    assert gains.REPORTED_IMAGES["paper: CIFAR-10, blur"][4] == 83.3
