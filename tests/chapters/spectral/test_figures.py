"""The chapter's own figures: what they draw is what they were given, and they stay readable."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from pictures import check_picture, rows_with_labels

from chapters.spectral import figures
from diffbook import draw, schedules
from diffbook.metrics.samples import power_spectrum
from diffbook.samplers.transfer import ddim_gain, flow_gain

STEPS = [5, 10, 20, 50, 112]


@pytest.fixture(autouse=True)
def book_style():
    plt.close("all")  # what other tests left open
    with mpl.rc_context():
        draw.use_style()
        yield


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines()}


TWO = {"cosine": schedules.cosine(20), "linear beta": schedules.linear_beta(20)}
PICTURE = np.zeros((16, 16))
FIGURES = {
    "schedules": lambda: figures.schedules(TWO),
    "schedules by steps": lambda: figures.schedules({S: schedules.cosine(S) for S in STEPS}),
    "circles": lambda: figures.quarter_circles(
        {name: schedules.alpha_bar_to_sigma(a) for name, a in TWO.items()}, {"a: λ = 1": 1.0}
    ),
    "fading": lambda: figures.fading(
        {
            name: {0.1: PICTURE + 1, 1.0: PICTURE - 1}
            for name in ("forward: noise", "backward: DDIM")
        },
        np.ones(9),
    ),
    "costs": lambda: figures.cost_map(
        {"a": {"a": 1.0, "b": 2.5}, "b": {"a": 1.25, "b": 1.0}}, xlabel="used", ylabel="designed"
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_have_labels_opaque_light_panels_and_readable_text(name):
    fig = FIGURES[name]()
    check_picture(fig)
    rows = rows_with_labels(fig)
    for ax in fig.axes:
        assert all(text.get_fontsize() >= 11 for text in ax.texts + ax.get_xticklabels())
    assert fig.get_supxlabel() or any(ax.get_xlabel() for ax in rows[-1])
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


def test_the_path_on_a_quarter_circle_ends_at_the_product_of_cosines():
    sigma, lam = schedules.edm(5, *schedules.sigma_range()), 4.0
    (ax,) = figures.quarter_circles({"cosine": sigma}, {"one": lam}).axes
    path = next(line for line in ax.get_lines() if line.get_marker() == "o")
    alpha_bar = schedules.sigma_to_alpha_bar(sigma)
    kept = (ddim_gain([lam], alpha_bar) / flow_gain([lam], alpha_bar)).item()
    ends = np.hypot(*path.get_data())[[0, -1]]
    np.testing.assert_allclose(ends, [kept, 1.0], rtol=1e-10)
    assert [t.get_text() for t in ax.texts] == [f"{kept:.2f}"]
    # Each step turns onto the next ray at a right angle.
    points = np.array(path.get_data()).T
    np.testing.assert_allclose(np.sum(points[:-1] * np.diff(points, axis=0), axis=1), 0, atol=1e-12)


def test_fading_shows_the_images_and_their_radial_power():
    rng = np.random.default_rng(0)
    image = rng.standard_normal((32, 32))
    fig = figures.fading({"a: b": {0.5: image}}, np.ones(17))
    np.testing.assert_array_equal(fig.axes[0].get_images()[0].get_array(), image)
    shown = lines(fig.axes[1])
    np.testing.assert_allclose(shown["noise, σ²"].get_ydata(), 0.25)
    # The library's spectrum is about the mean image: of an image and its negative that is zero.
    both = power_spectrum(np.stack([image, -image])) / 2
    np.testing.assert_allclose(shown["a"].get_ydata(), both[1:], rtol=1e-10)


def test_cost_map_writes_every_number():
    fig = FIGURES["costs"]()
    assert [t.get_text() for t in fig.axes[0].texts] == ["1.00", "2.50", "1.25", "1.00"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: figures.schedules({}), "nothing to draw"),
        (lambda: figures.schedules({"cosine": [0.9, 0.0]}), r"curves\['cosine'\]"),
        (lambda: figures.cost_map({}, xlabel="", ylabel=""), "nothing to draw"),
        (lambda: figures.quarter_circles({}, {"a": 1.0}), "nothing to draw"),
        (lambda: figures.quarter_circles({"a": [0.0]}, {"b": 1.0}), r"curves\['a'\]\[0\] = 0"),
        (lambda: figures.fading({}, np.ones(9)), "nothing to draw"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
