"""The figures: what they draw is what they were given, and they stay readable."""

import io
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from chapters.spectral import figures
from diffbook import schedules
from diffbook.samplers.transfer import ddim_gain

LIB = Path(figures.__file__).parents[1]
LAM = np.geomspace(400.0, 0.26, 50)
STEPS = [5, 10, 20, 50, 112]


@pytest.fixture(autouse=True)
def book_style():
    with mpl.rc_context():
        figures.use_style()
        yield


def luminance(color):
    channels = np.array(mpl.colors.to_rgb(color))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines()}


def png(fig):
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png")
    return Image.open(buffer)


FAMILIES = {"linear beta": schedules.linear_beta, "cosine": schedules.cosine}
FIGURES = {
    "schedules": lambda: figures.schedules({n: f(20) for n, f in FAMILIES.items()}),
    "schedules_by_steps": lambda: figures.schedules({S: schedules.cosine(S) for S in STEPS}),
    "gain": lambda: figures.gain(LAM, {n: ddim_gain(LAM, f(10)) for n, f in FAMILIES.items()}),
    "distance": lambda: figures.distance_vs_steps(
        STEPS,
        {"spectral W2": [6.5, 3.5, 1.9, 0.84, 0.45], "cosine": [16, 13, 8.3, 3.7, 1.8]},
        reference="spectral W2",
        ci={"cosine": ([15, 12, 8, 3.5, 1.7], [17, 14, 9, 3.9, 1.9])},
        law=(1686.0, 0.025),
    ),
    "map": lambda: figures.transfer_map(
        {"spectral W2": np.linspace(0.6, 1, 550).reshape(11, 50), "cosine": np.ones((11, 50))}, LAM
    ),
    "spectrum": lambda: figures.spectrum({"synthetic": LAM, "digits": LAM[:20] / 9}),
    "bias": lambda: figures.bias(
        np.geomspace(1e-9, 1e-2, 9), {10: np.geomspace(1e-4, 0.9, 9)}, marks={"DDPM": 4e-5}
    ),
    "series": lambda: figures.series(
        [1, 2, 4], {"measured": [3, 2, 1]}, xlabel="S", ylabel="W2", log="xy"
    ),
    "grid": lambda: figures.image_grid({"data": np.zeros((6, 8, 8)), "cosine": np.ones((6, 8, 8))}),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_have_labels_opaque_light_panels_and_readable_text(name):
    fig = FIGURES[name]()
    picture = png(fig)
    assert 680 <= picture.width <= 1400
    corner = np.array(picture.convert("RGBA"))[3, 3]
    assert tuple(corner[:3]) == tuple(int(figures.PANEL[i : i + 2], 16) for i in (1, 3, 5))
    assert corner[3] == 255
    if name == "grid":
        return
    for ax in fig.axes:
        is_bar = ax.get_label() == "<colorbar>"
        assert any(other.get_ylabel() for other in ax.get_shared_y_axes().get_siblings(ax))
        assert is_bar or ax.get_xlabel() or fig.get_supxlabel() or name == "distance"
        assert all(text.get_fontsize() >= 11 for text in ax.texts + ax.get_xticklabels())
    for legend in fig.legends:
        inside = legend.get_window_extent()
        assert inside.x0 >= 0
        assert inside.x1 <= fig.bbox.width
        assert all(text.get_fontsize() >= 11 for text in legend.get_texts())


def test_figures_are_detached_from_pyplot():
    import matplotlib.pyplot as plt

    for make in FIGURES.values():
        make()
    assert plt.get_fignums() == []


def test_styles_differ_without_colour_and_colours_read_on_the_panel():
    looks = {name: (str(s["linestyle"]), s["marker"]) for name, s in figures.STYLES.items()}
    for (a, one), (b, two) in combinations(looks.items(), 2):
        assert one != two, (a, b)
    assert all(contrast(c, figures.PANEL) > 2.0 for c in figures.COLORS.values())
    assert contrast(figures.INK, figures.PANEL) > 7
    assert figures.style("cosine, S = 10") == figures.STYLES["cosine"]
    assert figures.style("sigmoid(0,3,0.3)") != figures.style("sigmoid")
    assert figures.style("something else", 1) == figures.style("another", 1)


def test_schedule_panels_hold_the_data():
    alpha_bar = schedules.cosine(20)
    left, right = figures.schedules({"cosine": alpha_bar}).axes
    np.testing.assert_allclose(lines(left)["cosine"].get_ydata(), alpha_bar)
    np.testing.assert_allclose(
        lines(right)["cosine"].get_ydata(), schedules.alpha_bar_to_log_snr(alpha_bar), rtol=1e-9
    )


def test_gain_is_the_share_of_variance_in_order_of_the_abscissa():
    d1 = ddim_gain(LAM, schedules.cosine(10))
    (ax,) = figures.gain(LAM, {"cosine": d1}).axes
    line = lines(ax)["cosine"]
    np.testing.assert_allclose(line.get_xdata(), np.sort(LAM))
    np.testing.assert_allclose(line.get_ydata(), (d1**2 / LAM)[np.argsort(LAM)])


def test_ratio_panel_divides_by_the_reference():
    _, ratio = FIGURES["distance"]().axes
    np.testing.assert_allclose(lines(ratio)["spectral W2"].get_ydata(), 1)
    np.testing.assert_allclose(lines(ratio)["cosine"].get_ydata()[0], 16 / 6.5)


def test_transfer_map_orders_modes_by_variance():
    lam = np.array([1.0, 4.0, 2.0])
    fig = figures.transfer_map({"cosine": np.tile(lam, (3, 1))}, lam, center=None)
    mesh = fig.axes[0].collections[0].get_array()
    np.testing.assert_allclose(np.asarray(mesh).reshape(3, 3)[:, 0], [4, 2, 1])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: figures.schedules({}), "empty"),
        (
            lambda: figures.schedules({"cosine": [0.9, 0.0]}),
            r"curves\['cosine'\].*inside \(0, 1\)",
        ),
        (lambda: figures.schedules({"cosine": [0.9, 0.1]}, show=["beta"]), "show must hold"),
        (lambda: figures.gain([1, 2], {"cosine": [1, 2, 3]}), r"length 2; got shape \(3,\)"),
        (lambda: figures.gain([1, 0], {"cosine": [1, 2]}), "lam must be positive.*index 1"),
        (
            lambda: figures.distance_vs_steps([1, 2], {"a": [1, 2]}, reference="b"),
            "reference must be one of",
        ),
        (lambda: figures.transfer_map({"a": np.ones((3, 4))}, [1, 2]), "with d = 2 modes"),
        (lambda: figures.series([1], {"a": [1]}, xlabel="", ylabel="", log="z"), "log must be"),
        (lambda: figures.image_grid({"a": np.ones((2, 4))}), "equal shapes"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
