"""Figures of posterior sampling: they draw what they were given, stay readable, refuse nonsense."""

from functools import cache
from io import BytesIO

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from chapters.posterior import figures as tradeoffs
from chapters.posterior import figures_filters as spectra
from chapters.posterior import figures_restoration as images
from chapters.posterior import figures_weights
from diffbook.draw import parts, style

RNG = np.random.default_rng(0)
F = np.fft.fftfreq(64)
LAM = 1.0 / (1.0 + (np.abs(F) / 0.05) ** 2)
H = np.exp(-0.5 * (2 * np.pi * F * 1.5) ** 2)
S_Y = H**2 * LAM + 0.01
K, RHO, LAM_P = LAM * H / S_Y, H**2 * LAM / S_Y, LAM * 0.01 / S_Y
STEPS = [5, 10, 25, 50, 100]
SIGMA = {S: np.geomspace(0.1, 150, S) for S in (5, 10, 25)}
LOSSES = {
    "ideal": [2.15, 0.79, 0.17, 0.046, 0.012],
    "DPS 0.3/‖r‖": [52.0, 30.0, 6.0, 1.5, 0.6],
    "DPS 1/‖r‖": [16.0, 4.3, 0.9, 1.2, np.nan],
    "DPS designed": [6.0, 1.6, 0.64, 0.58, 0.53],
    "PiGDM": [3.3, 0.88, 1.5, 4.0, 8.9],
    "DDNM+": [7.6, 2.6, 2.6, 3.7, 5.4],
}
PARTS = {"bias": 0.01 * LAM, "gain": 0.1 * LAM * RHO, "std": 0.05 * LAM}
LEVELS = np.linspace(0, 1, 21)
SHARE = np.linspace(0, 1, 11)
BEST = (6.5 + 4.0 * (1 - SHARE) ** 2, 4.0 * SHARE**2)
POINTS = {"MMSE": (6.5, 4.0), "posterior": (13.0, 0.0), "map": (10.5, 0.0)}
PHOTO = np.clip(np.cumsum(RNG.normal(0, 0.2, (3, 16, 16)), axis=2), -1, 1)
HOLE = np.where(np.arange(16) < 6, np.nan, PHOTO[0])
CELLS = {"original": PHOTO[0], "measured": PHOTO[0][::4, ::4], "MMSE": PHOTO[1], "sample": PHOTO}
ROWS = {"DPS standard": CELLS, "DPS designed": {**CELLS, "measured": HOLE}}
STD = {name: np.full((16, 16), i + 0.5) for i, name in enumerate(ROWS)}


def triples(mean, half=0.3):
    mean = np.asarray(mean, dtype=float)
    return np.stack([mean - half, mean, mean + half])[[1, 0, 2]].T


QUALITY = {
    "PSNR (dB)": {
        "DPS tuned": triples([-3, 4, 12, 11, 10]),
        "PiGDM": triples([15, 19, 24, 27, 28]),
    },
    "Fréchet distance": {"DPS tuned": triples([60, 28, 9, 0.6, 0.5]), "PiGDM": triples([9] * 5)},
    "SSIM": {"DPS tuned": triples([0.1, 0.3, 0.5, 0.6, 0.7], 0.02)},
}
FIGURES = {
    "one_frequency": lambda: spectra.one_frequency(F, LAM, LAM_P, RHO),
    "one_frequency_gain": lambda: spectra.one_frequency(F, LAM, LAM_P, RHO, K, log_frequency=True),
    "transfer": lambda: spectra.transfer_of_methods(
        F,
        {"ideal": 0.9 * LAM_P**0.5, "DPS standard": 3 * LAM_P**0.5, "PiGDM": LAM},
        {"ideal": K, "DPS standard": -0.2 * K, "PiGDM": K * 1j},
        np.sqrt(LAM_P),
        K,
        log=True,
    ),
    "decomposition": lambda: spectra.decomposition(
        F, {n: {k: c * v for k, v in PARTS.items()} for n, c in (("ideal", 1), ("DPS", 3), ("ALD", 2))}
    ),
    "loss": lambda: tradeoffs.loss_vs_steps(STEPS, LOSSES, reference="ideal", top=20),
    "sensitivity": lambda: tradeoffs.sensitivity(
        np.geomspace(0.02, 1, 5), LOSSES, xlabel="measurement noise", mark=0.1
    ),
    "plane": lambda: tradeoffs.perception_distortion(
        POINTS, BEST, {"DPS": ([20, 12, 18], [3, 0.2, 0.6])}, {"DPS designed": (11.2, 0.2)}
    ),
    "coverage": lambda: tradeoffs.coverage(
        LEVELS,
        {"ideal": LEVELS**1.1, "DDRM": LEVELS**2},
        {"ideal": ([0.46, 0.89], [0.45, 0.88], [0.47, 0.9])},
        measured_at=[0.5, 0.9],
    ),
    "agreement": lambda: tradeoffs.agreement({"DPS": [1e-15, 1e-4], "ideal": 0.0, "ALD": 1e-8}, 1e-5),
    "profiles": lambda: figures_weights.weight_profiles(
        SIGMA,
        {S: np.where(x > 50, 0.0, 1 / (1 + x)) for S, x in SIGMA.items()},
        {"1/‖r‖": (SIGMA[10], np.full(10, 0.3))},
    ),
    "minima": lambda: figures_weights.local_minima(
        SIGMA[5],
        [([1, 1, 1, 0, 9], 1.82), ([2, 1, 0.5, 0.4, 0], 1.586)],
        ([0.5, 0.4, 0.3, 0.3, 0.2], 4.18),
    ),
    "landscape": lambda: figures_weights.landscape(
        [0.1, 1, 10], [0.1, 1], [[9, 3, 200], [5, 2, 90]], [(1, 1, 2.0)], xlabel="one", ylabel="two"
    ),
    "basins": lambda: figures_weights.basins({"A": [1.8, 1.6, 2.4], "B": [3.0, 3.0]}),
    "copied": lambda: figures_weights.copied_weights(
        STEPS, {"designed for each S": LOSSES["DPS designed"], "copied": LOSSES["DPS 0.3/‖r‖"]}
    ),
    "schedule": lambda: figures_weights.schedule_and_weights(
        [5, 10], {"neither": [6.6, 2.6], "weights": [6.0, 1.6], "schedule and weights": [1.1, 0.7]}
    ),
    "quality": lambda: images.quality(
        STEPS, QUALITY, linear=("PSNR (dB)", "SSIM"), floor={"PSNR (dB)": 28.2}
    ),
    "paired": lambda: images.paired_differences(
        [5, 25], {"deblurring": triples([-4, 2.8]), "denoising": triples([0.1, 0.5])},
        xlabel="PSNR, designed − tuned (dB)", better="designed better →",
    ),
    "grid": lambda: images.restoration_grid(ROWS, STD, title="Deblurring"),
    "grid_without_std": lambda: images.restoration_grid(ROWS),
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
        picture = style.palette_png(fig)  # lays the figure out
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
    assert image.width == 720
    assert 200 < image.height < 850
    assert len(picture) < 32_000
    corner = np.array(image.convert("RGB"))[3, -3]
    panel = [int(style.PANEL[i : i + 2], 16) for i in (1, 3, 5)]
    np.testing.assert_allclose(corner, panel, atol=3)  # the palette rounds
    assert plt.get_fignums() == []


@pytest.mark.parametrize("name", FIGURES)
def test_every_axis_is_labelled(name):
    fig, _ = drawn(name)
    if name.startswith("grid"):
        assert [ax.get_title() for ax in fig.axes[:4]] == list(CELLS)
        return
    shown = [ax for ax in fig.axes if ax.get_visible() and ax.get_label() != "<colorbar>"]
    for ax in shown:
        names_rows = name in ("paired", "agreement", "schedule")  # rows carry their names
        titled = any(ax.get_title(loc) for loc in ("left", "center"))
        assert ax.get_ylabel() or titled or names_rows
    assert all(ax.get_xlabel() for ax in shown if any(t.get_text() for t in visible_ticks(ax)))
    assert any(ax.get_xlabel() for ax in shown)


def visible_ticks(ax):
    return [t for t in ax.get_xticklabels() if t.get_visible() and t.get_text()]


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


def test_regions_follow_rho_and_curves_are_in_order_of_frequency():
    fig, _ = drawn("one_frequency")
    top, middle = fig.axes
    order = np.argsort(F, kind="stable")
    np.testing.assert_allclose(lines(top)["posterior λₚ"].get_ydata(), LAM_P[order])
    np.testing.assert_allclose(middle.get_lines()[0].get_ydata(), RHO[order])
    spans = [p.get_extents().transformed(top.transData.inverted()) for p in top.patches]
    kinds = [p.get_label() for p in top.patches]
    assert kinds[:3] == ["lost", "restored", "passed"]
    assert len(spans) == 5  # symmetric in frequency
    passed = F[RHO >= 0.9]
    assert spans[2].x0 < passed.min()
    assert passed.max() < spans[2].x1


def test_transfer_shows_magnitudes_signs_and_ends_above_the_target():
    upper, lower = drawn("transfer")[0].axes
    order = np.argsort(F, kind="stable")
    np.testing.assert_allclose(lines(upper)["target"].get_ydata(), np.sqrt(LAM_P)[order])
    np.testing.assert_allclose(lines(lower)["DPS standard"].get_ydata(), -0.2 * K[order])
    np.testing.assert_allclose(lines(lower)["PiGDM"].get_ydata(), K[order])
    assert upper.get_ylim()[1] == pytest.approx(1.4 * np.sqrt(LAM_P).max())


def test_decomposition_stacks_to_the_sum_and_hides_spare_panels():
    fig, _ = drawn("decomposition")
    total = sum(PARTS.values())[np.argsort(F, kind="stable")]
    for ax, scale in zip(fig.axes, (1, 3, 2), strict=False):
        np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), scale * total)
        assert ax.get_ylim()[1] >= 3 * total.max()
    assert not fig.axes[3].get_visible()
    assert fig.axes[1].get_xlabel()  # lowest panel of its column
    assert visible_ticks(fig.axes[1])


def test_losses_and_ratios_are_drawn_and_variants_differ():
    upper, ratio = drawn("loss")[0].axes
    np.testing.assert_allclose(lines(upper)["PiGDM"].get_ydata(), LOSSES["PiGDM"])
    np.testing.assert_allclose(lines(ratio)["DPS designed"].get_ydata()[0], 6.0 / 2.15)
    assert upper.get_ylim()[1] == 20
    looks = [(line.get_linestyle(), line.get_dashes(), line.get_marker())
             if hasattr(line, "get_dashes") else (line._dash_pattern, line.get_marker())
             for line in upper.get_lines()]  # fmt: skip
    assert len(looks) == len(set(map(str, looks)))


def test_variants_of_a_method_keep_its_colour():
    many = {f"DPS {i}": np.zeros(1) for i in range(30)}
    looks = [look for _, _, look in parts.distinct(many)]
    assert {look["color"] for look in looks} == {style.STYLES["DPS"]["color"]}
    assert len({(str(look["linestyle"]), look["marker"]) for look in looks}) == 30
    assert len({str(look["linestyle"]) for look in looks[:5]}) == 5


def test_plane_draws_w2_of_the_squares_it_is_given():
    (ax,) = drawn("plane")[0].axes
    line = lines(ax)["best possible"]
    np.testing.assert_allclose(line.get_ydata(), np.sqrt(BEST[1]))
    np.testing.assert_allclose(lines(ax)["MMSE"].get_xydata(), [[6.5, 2.0]])
    np.testing.assert_allclose(lines(ax)["DPS"].get_xdata(), [20, 12, 18])
    assert ax.get_xlim()[1] > 13


def test_coverage_in_percent_and_as_difference():
    upper, lower = drawn("coverage")[0].axes
    np.testing.assert_allclose(lines(upper)["DDRM"].get_ydata(), 100 * LEVELS**2)
    np.testing.assert_allclose(lines(lower)["DDRM"].get_ydata(), 100 * (LEVELS**2 - LEVELS))
    points = upper.containers[0].lines[0]
    np.testing.assert_allclose(points.get_xydata(), [[50, 46], [90, 89]])


def test_agreement_marks_what_is_too_small_for_the_axis():
    (ax,) = drawn("agreement")[0].axes
    at = [(line.get_marker(), line.get_xdata().tolist(), line.get_ydata().tolist())
          for line in ax.get_lines() if line.get_linestyle() == "None"]  # fmt: skip
    assert ("<", [1e-17], [1]) in at
    assert [1e-15, 1e-4] in [x for _, x, _ in at]
    assert ax.get_lines()[0].get_xdata()[0] == 1e-5


def test_weights_of_zero_are_open_triangles_at_the_floor():
    (ax,) = drawn("profiles")[0].axes
    x = SIGMA[10]
    np.testing.assert_allclose(
        lines(ax)["S = 10"].get_ydata(), np.where(x > 50, 1e-3, 1 / (1 + x)), rtol=1e-12
    )
    open_ones = [line for line in ax.get_lines() if is_open(line)]
    assert (x > 50).sum() in [line.get_xdata().size for line in open_ones]
    assert "1/‖r‖" in lines(ax)


def test_minima_are_sorted_by_loss():
    (ax,) = drawn("minima")[0].axes
    named = [line.get_label() for line in ax.get_lines() if "loss" in str(line.get_label())]
    assert named == ["loss 1.59", "loss 1.82", "regularised, loss 4.18"]


def test_landscape_marks_minima_with_their_losses():
    ax = drawn("landscape")[0].axes[0]
    assert [t.get_text() for t in ax.texts] == ["2.00"]
    np.testing.assert_allclose(ax.get_lines()[0].get_xydata(), [[1, 1]])


def test_basins_are_sorted_and_relative_to_the_best():
    (ax,) = drawn("basins")[0].axes
    np.testing.assert_allclose(lines(ax)["A"].get_ydata(), [1, 1.8 / 1.6, 2.4 / 1.6])


def test_copied_weights_refer_to_the_first_strategy():
    _, ratio = drawn("copied")[0].axes
    np.testing.assert_allclose(lines(ratio)["designed for each S"].get_ydata(), 1)


def test_schedule_and_weights_writes_the_whole_factor():
    (ax,) = drawn("schedule")[0].axes
    assert [t.get_text() for t in ax.texts] == ["× 6.0", "× 3.7"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["S = 5", "S = 10"]


def test_quality_has_linear_and_logarithmic_panels():
    fig, _ = drawn("quality")
    assert [ax.get_yscale() for ax in fig.axes[:3]] == ["linear", "log", "linear"]
    means = fig.axes[0].containers[0].lines[0].get_ydata()
    np.testing.assert_allclose(means, [-3, 4, 12, 11, 10])
    floor = [line.get_ydata()[0] for line in fig.axes[0].lines if len(set(line.get_ydata())) == 1]
    assert 28.2 in floor
    # An interval on a logarithmic axis goes no lower than half the mean.
    bars = fig.axes[1].containers[0].lines[2][0].get_segments()
    assert min(bars[4][:, 1]) == pytest.approx(0.25)


def test_paired_points_are_filled_where_the_interval_excludes_zero():
    (ax,) = drawn("paired")[0].axes
    points = [c.lines[0] for c in ax.containers]
    np.testing.assert_allclose([p.get_xdata()[0] for p in points], [-4, 2.8, 0.1, 0.5])
    open_ones = [is_open(p) for p in points]
    assert open_ones == [False, False, True, False]


def test_grid_draws_values_holes_and_spread():
    fig, _ = drawn("grid")
    cells = [np.ma.filled(ax.images[0].get_array(), np.nan) for ax in fig.axes[:10]]
    np.testing.assert_allclose(cells[0][..., 0], (PHOTO[0] + 1) / 2)
    assert cells[1].shape == (4, 4, 3)
    np.testing.assert_allclose(cells[3], (np.moveaxis(PHOTO, 0, -1) + 1) / 2)
    np.testing.assert_allclose(cells[6][:, :6], np.broadcast_to(images._HOLE, (16, 6, 3)))
    assert len({tuple(np.round(ax.get_position().size, 6)) for ax in fig.axes[:10]}) == 1
    assert fig.axes[9].images[0].get_clim() == (0, 1.5)
    assert [fig.axes[i].get_ylabel() for i in (0, 5)] == ["DPS\nstandard", "DPS\ndesigned"]


def test_grid_gives_every_pixel_whole_screen_pixels():
    fig, _ = drawn("grid_without_std")
    width = fig.axes[0].get_position().width * 720
    assert width / 16 == pytest.approx(round(width / 16), abs=1e-6)


def test_style_table_knows_the_methods():
    names = [
        "ideal",
        "DPS",
        "PiGDM",
        "DDNM",
        "DDNM+",
        "DDRM",
        "DiffPIR",
        "ALD",
        "MCG",
        "DPS designed",
    ]
    names += ["DPS tuned", "DPS standard", "PiGDM designed", "DiffPIR designed", "regularised"]
    for name in [*names, "posterior", "MMSE", "map", "prior"]:
        assert name in style.STYLES
    families = {("DPS", "DPS designed"), ("PiGDM", "PiGDM designed"), ("DDNM", "DDRM")}
    assert all(style.COLORS[a] == style.COLORS[b] for a, b in families)
    assert style.style("DPS tuned, S = 5") == style.STYLES["DPS tuned"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: spectra.one_frequency(F, LAM, LAM_P, 2 * RHO), r"rho must lie in \[0, 1\]"),
        (lambda: spectra.one_frequency(F, LAM, LAM_P[1:], RHO), "lam_p must be a 1-D array of length"),
        (lambda: spectra.one_frequency(F, -LAM, LAM_P, RHO), "lam must be positive"),
        (
            lambda: spectra.one_frequency(F, LAM, LAM_P, RHO, thresholds=(0.9, 0.1)),
            "thresholds must be",
        ),
        (lambda: spectra.one_frequency([0.0], [1], [1], [1]), "frequency must hold at least 2"),
        (lambda: spectra.transfer_of_methods(F, {}, {}, LAM, K), "nothing to draw"),
        (
            lambda: spectra.transfer_of_methods(F, {"a": K}, {"b": K}, LAM, K),
            "D3 must have the methods of D1",
        ),
        (
            lambda: spectra.transfer_of_methods(F, {"a": K[1:]}, {"a": K}, LAM, K),
            r"D1\['a'\] must be a 1-D array of length 64",
        ),
        (
            lambda: spectra.transfer_of_methods(F, {"a": K}, {"a": K}, LAM, K, headroom=0.5),
            "headroom must be",
        ),
        (lambda: spectra.decomposition(F, {"a": {"bias": LAM}}), r"parts\['a'\] must have"),
        (
            lambda: spectra.decomposition(F, {"a": {**PARTS, "std": -LAM}}),
            r"parts\['a'\]\['std'\] must not be negative",
        ),
        (lambda: tradeoffs.loss_vs_steps(STEPS, {}), "nothing to draw"),
        (lambda: tradeoffs.loss_vs_steps([0, 1], {"a": [1, 2]}), "steps must be positive"),
        (lambda: tradeoffs.loss_vs_steps([1, 2], {"a": [1, 0]}), r"losses\['a'\] must be positive"),
        (
            lambda: tradeoffs.loss_vs_steps([1, 2], {"a": [1, 2]}, reference="b"),
            "reference must be one of",
        ),
        (lambda: tradeoffs.sensitivity([1], {"a": [1]}, xlabel="", log="z"), "log must be"),
        (
            lambda: tradeoffs.perception_distortion(POINTS, BEST, {"DPS": ([1, 2], [1])}),
            r"curves\['DPS'\] must be a 1-D array of length 2",
        ),
        (
            lambda: tradeoffs.perception_distortion({"a": (1, -1)}, BEST, {"DPS": ([1], [1])}),
            r"points\['a'\] must have W2 squared of at least 0",
        ),
        (lambda: tradeoffs.coverage([0, 50], {"a": [0, 1]}), r"nominal must lie in \[0, 1\]"),
        (
            lambda: tradeoffs.coverage([0, 1], {"a": [0, 1]}, {"b": ([0, 1],) * 3}),
            "measured must have methods of closed",
        ),
        (lambda: tradeoffs.agreement({"a": [-1]}, 1e-5), r"differences\['a'\] must not be negative"),
        (lambda: tradeoffs.agreement({"a": [1]}, 0.0), "threshold must exceed"),
        (lambda: figures_weights.weight_profiles({}, {}), "nothing to draw"),
        (
            lambda: figures_weights.weight_profiles({5: SIGMA[5]}, {10: SIGMA[10]}),
            "sigma must have the keys of weights",
        ),
        (
            lambda: figures_weights.weight_profiles({5: SIGMA[5]}, {5: -SIGMA[5]}),
            r"weights \[5\] must not be negative",
        ),
        (
            lambda: figures_weights.weight_profiles({5: SIGMA[5]}, {5: SIGMA[10]}),
            r"weights \[5\] must be a 1-D array of length 5",
        ),
        (lambda: figures_weights.weight_profiles(SIGMA, SIGMA, floor=0), "floor must be positive"),
        (lambda: figures_weights.local_minima(SIGMA[5], []), "optima must hold at least one"),
        (
            lambda: figures_weights.landscape([1, 2], [1, 2], np.ones((2, 3)), xlabel="", ylabel=""),
            r"loss must have shape \(2, 2\)",
        ),
        (
            lambda: figures_weights.landscape([1, 2], [1, 2], np.zeros((2, 2)), xlabel="", ylabel=""),
            "loss must be positive and finite",
        ),
        (lambda: figures_weights.basins({"a": [1, -1]}), r"losses\['a'\] must be positive"),
        (lambda: figures_weights.copied_weights([1], {}), "nothing to draw"),
        (lambda: figures_weights.schedule_and_weights([5], {"a": [1, 2]}), "of length 1"),
        (lambda: images.restoration_grid({}), "nothing to draw"),
        (
            lambda: images.restoration_grid({"a": {"x": np.ones(3)}}),
            r"rows\['a'\]\['x'\] must be \(h, w\)",
        ),
        (
            lambda: images.restoration_grid({"a": CELLS, "b": {"x": PHOTO}}),
            r"rows\['b'\] must have the columns",
        ),
        (lambda: images.restoration_grid(ROWS, {"a": PHOTO[0]}), "std must have the rows"),
        (
            lambda: images.restoration_grid(ROWS, {k: -v for k, v in STD.items()}),
            r"std\['DPS standard'\] must be \(h, w\) and not negative",
        ),
        (lambda: images.restoration_grid(ROWS, low=1, high=1), "high must be above low"),
        (lambda: images.quality(STEPS, {}), "nothing to draw"),
        (lambda: images.quality(STEPS, QUALITY), r"measured\['PSNR \(dB\)'\] must have positive"),
        (
            lambda: images.quality(STEPS, QUALITY, linear=("psnr",)),
            "linear and floor must name metrics",
        ),
        (lambda: images.quality([5], QUALITY), r"must have shape \(1, 3\)"),
        (
            lambda: images.paired_differences([5], {"a": [[1, 2, 3]]}, xlabel=""),
            r"differences\['a'\] must have low <= mean <= high",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
