"""The chapter's own figures: what they draw is what they were given, and they stay readable."""

import io

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from chapters.spectral import figures
from diffbook import draw, schedules

LAM = np.geomspace(400.0, 0.26, 50)
STEPS = [5, 10, 20, 50, 112]


@pytest.fixture(autouse=True)
def book_style():
    with mpl.rc_context():
        draw.use_style()
        yield


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines()}


TWO = {"cosine": schedules.cosine(20), "linear beta": schedules.linear_beta(20)}
FIGURES = {
    "schedules": lambda: figures.schedules(TWO),
    "schedules by steps": lambda: figures.schedules({S: schedules.cosine(S) for S in STEPS}),
    "map": lambda: figures.transfer_map(
        {"spectral W2": np.linspace(0.6, 1, 550).reshape(11, 50), "cosine": np.ones((11, 50))}, LAM
    ),
    "costs": lambda: figures.cost_map(
        {"a": {"a": 1.0, "b": 2.5}, "b": {"a": 1.25, "b": 1.0}}, xlabel="used", ylabel="designed"
    ),
    "agreement": lambda: figures.agreement(
        {"cosine": [1.0, 2.0]}, {"cosine": [1.1, 1.9]}, band=0.15, unit="distance"
    ),
    "envelope": lambda: figures.envelope(
        LAM[::-1], {"cosine": np.full(50, 0.2)}, np.full(50, 0.1)
    ),
    "large S": lambda: figures.large_s(
        [5, 10], {"spectral W2": ([0.9, 1.0], 3.0)}, [2.0, 1.0],
        (np.array([5.0, 10.0]), np.array([2.0, 1.0])), 0.1,
    ),
    "exponents": lambda: figures.exponents(
        np.array([1.0, 2.0]), {"W2": [0.0, 0.3]}, {"W2": ([1.5], [0.2])}, star=(14 / 11, 1 / 7)
    ),
    "ranges": lambda: figures.ratio_ranges(
        {"W2": {"GITS": [1.1, 1.2]}, "KL": {"GITS": [2.0, 4.0]}}, mark=1
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_figures_have_labels_opaque_light_panels_and_readable_text(name):
    fig = FIGURES[name]()
    assert plt.get_fignums() == []
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png")
    picture = Image.open(buffer)
    assert 680 <= picture.width <= 1400
    corner = np.array(picture.convert("RGBA"))[3, 3]
    assert tuple(corner) == (*(int(draw.PANEL[i : i + 2], 16) for i in (1, 3, 5)), 255)
    for ax in fig.axes:
        named = any(other.get_ylabel() for other in ax.get_shared_y_axes().get_siblings(ax))
        assert named or name == "ranges"  # its rows are the names
        is_bar = ax.get_label() == "<colorbar>"
        assert is_bar or ax.get_xlabel() or fig.get_supxlabel()
        assert all(text.get_fontsize() >= 11 for text in ax.texts + ax.get_xticklabels())
    for legend in fig.legends:
        inside = legend.get_window_extent()
        assert inside.x0 >= 0
        assert inside.x1 <= fig.bbox.width
        assert all(text.get_fontsize() >= 11 for text in legend.get_texts())


def test_schedule_panels_hold_the_data():
    alpha_bar = schedules.cosine(20)
    left, right = figures.schedules({"cosine": alpha_bar}).axes
    np.testing.assert_allclose(lines(left)["cosine"].get_ydata(), alpha_bar)
    np.testing.assert_allclose(
        lines(right)["cosine"].get_ydata(), np.log(alpha_bar / (1 - alpha_bar)), rtol=1e-9
    )


def test_transfer_map_orders_modes_by_variance():
    lam = np.array([0.25, 1.0, 0.5])
    fig = figures.transfer_map({"cosine": np.tile(lam, (3, 1))}, lam)
    mesh = fig.axes[0].collections[0].get_array()
    np.testing.assert_allclose(np.asarray(mesh).reshape(3, 3)[:, 0], [1, 0.5, 0.25])


def test_cost_map_writes_every_number():
    fig = FIGURES["costs"]()
    assert [t.get_text() for t in fig.axes[0].texts] == ["1.00", "2.50", "1.25", "1.00"]


def test_agreement_draws_all_points():
    points = lines(FIGURES["agreement"]().axes[0])["cosine"]
    np.testing.assert_array_equal(points.get_xdata(), [1.0, 2.0])
    np.testing.assert_array_equal(points.get_ydata(), [1.1, 1.9])


def test_ranges_span_the_ratios_and_mark_one():
    ax = FIGURES["ranges"]().axes[1]
    (segment,) = ax.collections[0].get_segments()
    np.testing.assert_allclose(segment[:, 0], [2.0, 4.0])
    assert ax.get_lines()[0].get_xdata() == [4.0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: figures.schedules({}), "nothing to draw"),
        (lambda: figures.schedules({"cosine": [0.9, 0.0]}), r"curves\['cosine'\]"),
        (lambda: figures.transfer_map({"a": np.ones((3, 4))}, [1, 2]), r"\(S \+ 1, 2\)"),
        (lambda: figures.cost_map({}, xlabel="", ylabel=""), "nothing to draw"),
        (lambda: figures.agreement({}, {}, band=0.1, unit=""), "nothing to draw"),
        (
            lambda: figures.envelope(LAM, {"a": np.zeros(50)}, np.ones(50)),
            r"losses\['a'\]\[0\] = 0",
        ),
        (lambda: figures.ratio_ranges({}, mark=0), "nothing to draw"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
