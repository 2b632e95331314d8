"""Bespoke figures: they draw what they were given, stay readable, refuse nonsense."""

from functools import cache
from io import BytesIO

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from chapters.posterior import figures
from diffbook.draw import style

F = np.fft.rfftfreq(64)
LAM = 1.0 / (1.0 + (F / 0.05) ** 2)
H = np.exp(-0.5 * (2 * np.pi * F * 1.5) ** 2)
S_Y = H**2 * LAM + 0.01
K, RHO, LAM_P = LAM * H / S_Y, H**2 * LAM / S_Y, LAM * 0.01 / S_Y
PARTS = {"bias": 0.01 * LAM, "gain": 0.1 * LAM * RHO, "spread": 0.05 * LAM}
SHARE = np.linspace(0, 1, 11)
BEST = (6.5 + 4.0 * (1 - SHARE) ** 2, 4.0 * SHARE**2)
POINTS = {"MMSE": (6.5, 4.0), "posterior": (13.0, 0.0), "map": (10.5, 0.0)}
POINTS |= {"DPS designed": (11.2, 0.2)}
PAIRS_OF = {
    "photos": {"blur": [[0.5, 0.7], [2.0, 3.0]], "noise": [[0.8, 1.2]]},
    "digits": {"blur": [[0.9, 1.1], [1.5, 0.6]]},
}
FIGURES = {
    "one_frequency": lambda: figures.one_frequency(F, LAM, LAM_P, RHO),
    "transfer": lambda: figures.transfer_of_methods(
        F,
        {"ideal": 0.9 * LAM_P**0.5, "DPS standard": 3 * LAM_P**0.5, "PiGDM": LAM},
        {"ideal": K, "DPS standard": -0.2 * K, "PiGDM": K * 1j},
        np.sqrt(LAM_P),
        K,
    ),
    "decomposition": lambda: figures.decomposition(
        F, {n: {k: c * v for k, v in PARTS.items()} for n, c in (("ideal", 1), ("DPS", 3), ("ALD", 2))}
    ),
    "plane": lambda: figures.perception_distortion(
        POINTS, BEST, {"DPS": ([20, 12, 18], [3, 0.2, 0.6])}
    ),
    "order": lambda: figures.order(PAIRS_OF),
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
def test_figures_are_one_width_opaque_small_detached_and_labelled(name):
    fig, picture = drawn(name)
    image = Image.open(BytesIO(picture))
    assert image.width == 1440
    assert 400 < image.height < 1700
    assert len(picture) < 90_000
    corner = np.array(image.convert("RGB"))[3, -3]
    panel = [int(style.PANEL[i : i + 2], 16) for i in (1, 3, 5)]
    np.testing.assert_allclose(corner, panel, atol=3)  # the palette rounds
    assert plt.get_fignums() == []
    for ax in (ax for ax in fig.axes if ax.get_visible()):
        assert ax.get_ylabel() or ax.get_title("left")
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


def test_regions_follow_rho():
    top, bottom = drawn("one_frequency")[0].axes
    np.testing.assert_allclose(lines(top)["posterior λₚ"].get_ydata(), LAM_P)
    np.testing.assert_allclose(bottom.get_lines()[0].get_ydata(), RHO)
    spans = [p.get_extents().transformed(top.transData.inverted()) for p in top.patches]
    assert [p.get_label() for p in top.patches] == ["passed", "restored", "lost"]
    passed = F[RHO >= 0.9]
    assert spans[0].x0 <= passed.min()
    assert passed.max() < spans[0].x1 < F[RHO < 0.9].min()


def test_transfer_shows_magnitudes_signs_and_ends_above_the_target():
    upper, lower = drawn("transfer")[0].axes
    np.testing.assert_allclose(lines(upper)["target"].get_ydata(), np.sqrt(LAM_P))
    np.testing.assert_allclose(lines(lower)["DPS standard"].get_ydata(), -0.2 * K)
    np.testing.assert_allclose(lines(lower)["PiGDM"].get_ydata(), K)
    assert upper.get_ylim()[1] == pytest.approx(1.4 * np.sqrt(LAM_P).max())


def test_decomposition_stacks_to_the_sum_and_hides_spare_panels():
    fig, _ = drawn("decomposition")
    total = sum(PARTS.values())
    for ax, scale in zip(fig.axes, (1, 3, 2), strict=False):
        np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), scale * total)
        assert ax.get_ylim()[1] >= scale * total.max()
    assert not fig.axes[3].get_visible()
    assert fig.axes[1].get_xlabel()  # lowest panel of its column


def test_plane_draws_w2_of_the_squares_it_is_given():
    (ax,) = drawn("plane")[0].axes
    np.testing.assert_allclose(lines(ax)["best possible"].get_ydata(), np.sqrt(BEST[1]))
    np.testing.assert_allclose(lines(ax)["MMSE"].get_xydata(), [[6.5, 2.0]])
    np.testing.assert_allclose(lines(ax)["DPS"].get_xdata(), [20, 12, 18])
    assert ax.get_xlim()[1] > 13


def test_order_shows_every_pair_and_the_quarters_of_agreement():
    left, right = drawn("order")[0].axes[:2]
    assert [ax.get_title("left") for ax in (left, right)] == list(PAIRS_OF)
    np.testing.assert_array_equal(left.lines[0].get_xydata(), PAIRS_OF["photos"]["blur"])
    for ax in (left, right):
        (x0, y0, x1, y1), (X0, Y0, X1, Y1) = (
            c.get_paths()[0].get_extents().extents for c in ax.collections
        )
        assert (x1, y1, X0, Y0) == (1, 1, 1, 1)
        assert x0 < 1 < X1
        assert y0 < 1 < Y1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: figures.one_frequency(F, LAM, LAM_P, 2 * RHO), r"rho must lie in \[0, 1\]"),
        (lambda: figures.one_frequency(F, LAM, LAM_P[1:], RHO), r"lam_p: expected shape"),
        (lambda: figures.one_frequency(F, -LAM, LAM_P, RHO), r"lam\[0\] = -"),
        (lambda: figures.transfer_of_methods(F, {}, {}, LAM, K), "nothing to draw"),
        (
            lambda: figures.transfer_of_methods(F, {"a": K}, {"b": K}, LAM, K),
            "D3 must have the methods of spread",
        ),
        (
            lambda: figures.transfer_of_methods(F, {"a": K[1:]}, {"a": K}, LAM, K),
            r"spread\['a'\]: expected shape \(33,\)",
        ),
        (lambda: figures.decomposition(F, {}), "nothing to draw"),
        (lambda: figures.decomposition(F, {"a": {"bias": LAM}}), r"parts\['a'\] must have"),
        (
            lambda: figures.decomposition(F, {"a": {**PARTS, "spread": -LAM}}),
            r"parts\['a'\]\['spread'\] must not be negative",
        ),
        (
            lambda: figures.perception_distortion(POINTS, BEST, {"DPS": ([1, 2], [1])}),
            r"curves\['DPS'\]: expected shape \(2,\)",
        ),
        (
            lambda: figures.perception_distortion({"a": (1, -1)}, BEST, {"DPS": ([1], [1])}),
            r"points\['a'\] must have W2 squared of at least 0",
        ),
        (lambda: figures.order({"photos": {}}), "nothing to draw"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
    assert plt.get_fignums() == []
