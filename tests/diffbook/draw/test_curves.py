"""The drawing kit: it draws what it is given, stays readable, and refuses nonsense."""

from functools import cache
from io import BytesIO

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from diffbook.draw import curves, parts, style

STEPS = [5, 10, 25, 50, 100]
LOSSES = {
    "ideal": [2.15, 0.79, 0.17, 0.046, 0.012],
    "DPS 0.3/‖r‖": [52.0, 30.0, 6.0, 1.5, 0.6],
    "DPS 1/‖r‖": [16.0, 4.3, 0.9, 1.2, np.nan],
    "DPS designed": [6.0, 1.6, 0.64, 0.58, 0.53],
    "PiGDM": [3.3, 0.88, 1.5, 4.0, 8.9],
    "DDNM+": [7.6, 2.6, 2.6, 3.7, 5.4],
}
SIGMA = {S: np.geomspace(0.1, 150, S) for S in (5, 10, 25)}
PROFILES = {S: np.where(x > 50, 0.0, 1 / (1 + x)) for S, x in SIGMA.items()}
WIDE = np.linspace(1, 9, 100)


def triples(mean, half=0.3):
    mean = np.asarray(mean, dtype=float)
    return np.column_stack([mean, mean - half, mean + half])


QUALITY = {
    "PSNR (dB)": {
        "DPS tuned": triples([-3, 4, 12, 11, 10]),
        "PiGDM": triples([15, 19, 24, 27, 28]),
    },
    "Fréchet distance": {"DPS tuned": triples([60, 28, 9, 0.6, 0.5]), "PiGDM": triples([9] * 5)},
    "SSIM": {"DPS tuned": triples([0.1, 0.3, 0.5, 0.6, 0.7], 0.02)},
}
PAIRED = {
    "deblurring": {5: (-4, -4.3, -3.7), 25: (2.8, 2.5, 3.1)},
    "denoising": {5: (0.1, -0.2, 0.4), 25: (0.5, 0.2, 0.8)},
}
BOTH = {
    "S = 5": {"neither": 6.6, "weights": 6.0, "schedule and weights": 1.1},
    "S = 10": {"neither": 2.6, "weights": 1.6, "schedule and weights": 0.7},
}
FIGURES = {
    "ratio": lambda: curves.over_steps(STEPS, LOSSES, reference="ideal", ylim=(None, 20)),
    "noise": lambda: curves.lines(
        np.geomspace(0.02, 1, 5), LOSSES, xlabel="noise", ylabel="loss", log="xy", marks={"here": 0.1}
    ),
    "level": lambda: curves.lines(
        STEPS, {10: [1, 2, 3, 2, 1]}, xlabel="x", ylabel="share", levels={"exact": 2.5}, title="A title"
    ),
    "bars": lambda: curves.lines(
        STEPS, {"cosine": triples([5, 4, 3, 2, 1])}, xlabel="x", ylabel="y", log="x", ticks=STEPS
    ),
    "band": lambda: curves.lines(WIDE, {"cosine": triples(WIDE)}, xlabel="x", ylabel="y"),
    "points": lambda: curves.lines(
        WIDE, {"cosine": WIDE}, points={"cosine": ([2], [3]), "steps": ([4], [5])}, xlabel="x", ylabel="y"
    ),
    "floor": lambda: curves.lines(
        SIGMA | {"1/‖r‖": SIGMA[10]}, PROFILES | {"1/‖r‖": np.full(10, 0.3)},
        xlabel="noise level", ylabel="weight", log="xy", floor=1e-3,
    ),
    "panels": lambda: curves.panels(
        STEPS, QUALITY, linear=("PSNR (dB)", "SSIM"), levels={"PSNR (dB)": 28.2}
    ),
    "paired": lambda: curves.dots(PAIRED, xlabel="PSNR (dB)", line=0, note="designed better →"),
    "dots": lambda: curves.dots(
        BOTH, xlabel="loss", log=True, join=True, ends=["× 6.0", "× 3.7"]
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def book_style():
    with mpl.rc_context():
        style.use_style()
        yield


@cache
def drawn(name):
    with mpl.rc_context():
        style.use_style()
        fig = FIGURES[name]()
        picture = style.crisp_png(fig)
        fig.savefig(BytesIO())  # lays the figure out, one pixel a point of the page
    return fig, picture


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines()}


def is_open(line):
    return mpl.colors.same_color(line.get_markerfacecolor(), style.PANEL)


def texts(fig):
    """All texts that are drawn; matplotlib also keeps ticks outside the range of their axis."""
    found = [t for t in fig.findobj(mpl.text.Text) if t.get_visible() and t.get_text().strip()]
    hidden = {t for ax in fig.axes if not ax.get_visible() for t in ax.findobj(mpl.text.Text)}
    for axis in (axis for ax in fig.axes for axis in (ax.xaxis, ax.yaxis)):
        low, high = axis.get_view_interval()
        for tick in [*axis.majorTicks, *axis.minorTicks]:
            if not min(low, high) <= tick.get_loc() <= max(low, high):
                hidden |= {tick.label1, tick.label2}
    return [t for t in found if t not in hidden]


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_one_width_opaque_small_and_detached(name):
    _, picture = drawn(name)
    image = Image.open(BytesIO(picture))
    assert image.width == 1440
    assert 300 < image.height < 1700
    assert len(picture) < 90_000
    corner = np.array(image.convert("RGB"))[3, -3]
    panel = [int(style.PANEL[i : i + 2], 16) for i in (1, 3, 5)]
    np.testing.assert_allclose(corner, panel, atol=3)  # the palette rounds
    assert plt.get_fignums() == []


@pytest.mark.parametrize("name", FIGURES)
def test_every_axis_is_labelled(name):
    fig, _ = drawn(name)
    for ax in (ax for ax in fig.axes if ax.get_visible()):
        assert ax.get_ylabel() or ax.get_title("left") or name in ("paired", "dots")
        ticks = [t for t in ax.get_xticklabels() if t.get_visible() and t.get_text()]
        assert ax.get_xlabel() or not ticks


@pytest.mark.parametrize("name", FIGURES)
def test_texts_are_readable_inside_the_figure_and_apart(name):
    fig, _ = drawn(name)
    with mpl.rc_context():
        style.use_style()
        fig.canvas.draw()
    inside = texts(fig)
    assert all(t.get_fontsize() >= 11 for t in inside)
    boxes = [(t.get_text(), t.get_window_extent()) for t in inside]
    for text, box in boxes:
        assert box.x0 > -2, text
        assert box.x1 < fig.bbox.width + 2, text
        assert box.y0 > -2, text
        assert box.y1 < fig.bbox.height + 2, text
    for i, (one, a) in enumerate(boxes):
        for two, b in boxes[:i]:
            width = min(a.x1, b.x1) - max(a.x0, b.x0)
            height = min(a.y1, b.y1) - max(a.y0, b.y0)
            assert width < 2 or height < 3, (one, two)


def test_curves_and_ratios_are_what_was_given_and_variants_differ():
    upper, ratio = drawn("ratio")[0].axes
    np.testing.assert_allclose(lines(upper)["PiGDM"].get_ydata(), LOSSES["PiGDM"])
    np.testing.assert_allclose(lines(ratio)["DPS designed"].get_ydata()[0], 6.0 / 2.15)
    assert upper.get_ylim()[1] == 20
    assert ratio.get_ylim()[1] == pytest.approx(20 / 0.012)
    looks = {str((line._dash_pattern, line.get_marker())) for line in upper.get_lines()}
    assert len(looks) == len(upper.get_lines())


def test_curves_are_drawn_in_order_of_their_abscissa():
    (ax,) = curves.lines([3, 1, 2], {"a": [30, 10, 20]}, xlabel="x", ylabel="y").axes
    np.testing.assert_array_equal(lines(ax)["a"].get_ydata(), [10, 20, 30])


def test_marks_and_levels_stand_at_their_values():
    (ax,) = drawn("noise")[0].axes
    assert [t.get_text() for t in ax.texts] == ["here"]
    assert 0.1 in [line.get_xdata()[0] for line in ax.lines if len(set(line.get_xdata())) == 1]
    (ax,) = drawn("level")[0].axes
    assert 2.5 in [line.get_ydata()[0] for line in ax.lines if len(set(line.get_ydata())) == 1]


def test_intervals_are_bars_on_few_values_and_a_band_on_many():
    (ax,) = drawn("bars")[0].axes
    (bars,) = ax.containers
    np.testing.assert_allclose(bars.lines[0].get_ydata(), [5, 4, 3, 2, 1])
    np.testing.assert_allclose(bars.lines[2][0].get_segments()[0][:, 1], [4.7, 5.3])
    assert [t.get_text() for t in ax.get_xticklabels()] == ["5", "10", "25", "50", "100"]
    (ax,) = drawn("band")[0].axes
    low = ax.collections[0].get_paths()[0].vertices[:, 1].min()
    assert low == pytest.approx(0.7)


def test_points_take_the_colour_of_their_curve_or_are_open():
    (ax,) = drawn("points")[0].axes
    line, known, other = ax.get_lines()
    assert known.get_color() == line.get_color()
    np.testing.assert_array_equal(known.get_xydata(), [[2, 3]])
    assert other.get_label() == "steps"
    assert other.get_markerfacecolor() == "none"


def test_values_below_the_floor_are_open_triangles_at_it():
    (ax,) = drawn("floor")[0].axes
    x = SIGMA[10]
    expected = np.where(x > 50, 1e-3, 1 / (1 + x))
    np.testing.assert_allclose(lines(ax)["S = 10"].get_ydata(), expected, rtol=1e-12)
    open_ones = [line.get_xdata().size for line in ax.get_lines() if is_open(line)]
    assert (x > 50).sum() in open_ones
    assert lines(ax)["1/‖r‖"].get_color() == style.INK  # beside numbers of steps
    assert len({str(lines(ax)[f"S = {S}"].get_color()) for S in SIGMA}) == 3


def test_panels_are_linear_or_logarithmic_and_have_levels():
    fig, _ = drawn("panels")
    assert [ax.get_yscale() for ax in fig.axes[:3]] == ["linear", "log", "linear"]
    assert not fig.axes[3].get_visible()
    assert fig.axes[1].get_xlabel()  # lowest panel of its column
    means = fig.axes[0].containers[0].lines[0].get_ydata()
    np.testing.assert_allclose(means, [-3, 4, 12, 11, 10])
    level = [line.get_ydata()[0] for line in fig.axes[0].lines if len(set(line.get_ydata())) == 1]
    assert 28.2 in level
    # An interval on a logarithmic axis goes no lower than half the mean.
    bars = fig.axes[1].containers[0].lines[2][0].get_segments()
    assert min(bars[4][:, 1]) == pytest.approx(0.25)


def test_dots_are_filled_where_the_interval_excludes_the_line():
    (ax,) = drawn("paired")[0].axes
    found = {line.get_xdata()[0]: is_open(line) for line in ax.lines if len(line.get_xdata()) == 1}
    assert found == {-4: False, 2.8: False, 0.1: True, 0.5: False}
    assert [t.get_text() for t in ax.texts] == ["designed better →"]
    ends = [segment[:, 0] for c in ax.collections for segment in c.get_segments()]
    np.testing.assert_allclose(sorted(ends, key=lambda pair: pair[0])[0], [-4.3, -3.7])


def test_dots_of_a_row_are_joined_and_rows_may_end_in_a_text():
    (ax,) = drawn("dots")[0].axes
    assert [t.get_text() for t in ax.texts] == ["× 6.0", "× 3.7"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["S = 5", "S = 10"]
    joined = [segment[:, 0].tolist() for c in ax.collections for segment in c.get_segments()]
    assert joined == [[1.1, 6.6], [0.7, 2.6]]


def test_variants_of_a_method_keep_its_colour():
    many = {f"DPS {i}": np.zeros(1) for i in range(30)}
    looks = [look for _, _, look in parts.distinct(many)]
    assert {look["color"] for look in looks} == {style.STYLES["DPS"]["color"]}
    assert len({(str(look["linestyle"]), look["marker"]) for look in looks}) == 30
    assert len({str(look["linestyle"]) for look in looks[:5]}) == 5


LABELS = {"xlabel": "x", "ylabel": "y"}
GAP = np.nan


def draw_lines(x, named, **options):
    return curves.lines(x, named, **LABELS, **options)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: draw_lines([1], {}), "nothing to draw"),
        (lambda: draw_lines([1], {"a": [1]}, log="yx"), r"log: got 'yx', expected one of"),
        (lambda: draw_lines([1, 2], {"a": [1]}), r"curves\['a'\]: expected shape \(2,\), got \(1,\)"),
        (lambda: draw_lines([1, 2], {"a": np.ones((3, 2))}), r"curves\['a'\]: expected shape"),
        (lambda: draw_lines([1, 2], {"a": [1j, 1]}), r"curves\['a'\]: expected real numbers"),
        (lambda: draw_lines([1, 2], {"a": [1, np.inf]}), r"curves\['a'\]\[1\] = inf"),
        (lambda: draw_lines([GAP, 1], {"a": [1, 2]}), r"x\[0\] = nan: expected finite numbers"),
        (lambda: draw_lines([0, 1], {"a": [1, 2]}, log="x"), r"x\[0\] = 0: .*\(0, inf\)"),
        (lambda: draw_lines([1, 2], {"a": [1, 0]}, log="y"), r"curves\['a'\]\[1\] = 0.0: .*\(0, inf\)"),
        (lambda: draw_lines({"b": [1]}, {"a": [1]}), "x must have the keys of curves"),
        (lambda: draw_lines([1], {"a": [-1]}, floor=1e-3, log="y"), r"curves\['a'\]\[0\] = -1.0: .*\[0, inf"),
        (lambda: draw_lines([1], {"a": [[1, 2, 3]]}), r"curves\['a'\] must have low <= mean <= high"),
        (lambda: draw_lines([1], {"a": [1]}, points={"b": ([1], [1, 2])}), r"points\['b'\]: expected shape"),
        (lambda: draw_lines([1], {"a": [1]}, points={"b": ([1], [0])}, log="y"), r"points\['b'\]\[0\] = 0"),
        (lambda: draw_lines([1], {"a": [1]}, marks={"here": 0}, log="x"), r"marks\['here'\]: got 0"),
        (lambda: draw_lines([1], {"a": [1]}, levels={"here": GAP}), r"levels\['here'\]: got nan"),
        (lambda: draw_lines([1], {"a": [1]}, ylim=(0, 1), log="y"), r"ylim\[0\]: got 0"),
        (lambda: draw_lines([1], {"a": [1]}, xlim=(0, 1, 2)), r"xlim: got \(0, 1, 2\), expected two ends"),
        (lambda: draw_lines([1], {"a": [1]}, xlim=(None, "1")), r"xlim\[1\]: got '1'"),
        (lambda: draw_lines([1], {"a": [1]}, ticks=[0, 1], log="x"), r"ticks\[0\] = 0"),
        (lambda: curves.over_steps([1, 2], {"ideal": [1, 2]}, reference="idea"), "reference: got 'idea', .*did you mean"),
        (lambda: curves.over_steps([0, 2], {"a": [1, 2]}), r"steps\[0\] = 0"),
        (lambda: curves.panels(STEPS, {}), "nothing to draw"),
        (lambda: curves.panels(STEPS, QUALITY), r"curves\['DPS tuned'\]\[0\] = -3.0: .*logarithmic"),
        (lambda: curves.panels(STEPS, QUALITY, linear=("psnr",)), "linear and levels must name panels"),
        (lambda: curves.panels(STEPS, QUALITY, levels={"SSIM": -1}, linear=("PSNR (dB)",)), r"levels\['SSIM'\]"),
        (lambda: curves.panels([5], QUALITY, log=""), r"expected shape \(1,\)"),
        (lambda: curves.dots({}, xlabel="x"), "nothing to draw"),
        (lambda: curves.dots({"a": {"b": (1, 2, 3)}}, xlabel="x"), "low <= mean <= high"),
        (lambda: curves.dots({"a": {"b": -1}}, xlabel="x", log=True), r"rows\['a'\]\['b'\]: got .*-1"),
        (lambda: curves.dots({"a": {"b": GAP}}, xlabel="x"), r"rows\['a'\]\['b'\] = nan"),
        (lambda: curves.dots({"a": {"b": [1, 2]}}, xlabel="x"), r"rows\['a'\]\['b'\]: expected shape"),
        (lambda: curves.dots({"a": {"b": 1}}, xlabel="x", line=0, log=True), "line: got 0"),
        (lambda: curves.dots(BOTH, xlabel="x", ends=["one"]), "ends: got 1 texts, expected .* 2 rows"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
    assert plt.get_fignums() == []  # refused before a figure was begun


@pytest.mark.parametrize("options", [{}, {"log": "xy"}, {"log": "xy", "floor": 1e-3}])
def test_gaps_in_a_curve_stay_gaps(options):
    (ax,) = draw_lines([1, 2, 3], {"a": [1.0, GAP, 3.0]}, **options).axes
    np.testing.assert_array_equal(lines(ax)["a"].get_ydata(), [1.0, GAP, 3.0])


def test_ticks_of_a_narrow_axis_are_round_and_apart():
    shown = curves.lines(
        [1, 2], {"a": [1.0, 1.77]}, xlabel="x", ylabel="y", log="y", ylim=(0.97, 1.82)
    )
    ticks = shown.axes[0].get_yticks()
    np.testing.assert_allclose(ticks, [1, 1.2, 1.4, 1.6, 1.8])
