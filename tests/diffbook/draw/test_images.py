"""Grids of images: values, holes and spread as given, whole pixels, nonsense refused."""

from io import BytesIO

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from diffbook.draw import images, style

RNG = np.random.default_rng(0)
PHOTO = np.clip(np.cumsum(RNG.normal(0, 0.2, (3, 16, 16)), axis=2), -1, 1)
HOLE = np.where(np.arange(16) < 6, np.nan, PHOTO[0])
CELLS = {"original": PHOTO[0], "measured": PHOTO[0][::4, ::4], "MMSE": PHOTO[1], "sample": PHOTO}
ROWS = {"DPS standard": CELLS, "DPS designed": {**CELLS, "measured": HOLE}}
STD = {name: np.full((16, 16), i + 0.5) for i, name in enumerate(ROWS)}


@pytest.fixture(autouse=True)
def book_style():
    with mpl.rc_context():
        style.use_style()
        yield


def texts_inside(fig):
    fig.savefig(BytesIO())  # lays the figure out
    texts = [
        t for ax in fig.axes for t in (ax.title, ax._left_title, ax.yaxis.label, ax.xaxis.label)
    ]
    boxes = [t.get_window_extent() for t in [*texts, *fig.texts] if t.get_text()]
    return all(
        b.x0 > -2 and b.y0 > -2 and b.x1 < fig.bbox.width + 2 and b.y1 < fig.bbox.height + 2
        for b in boxes
    )


def test_grid_draws_values_holes_and_spread():
    fig = images.grid(ROWS, STD, low=-1, high=1, title="Deblurring")
    cells = [np.ma.filled(ax.images[0].get_array(), np.nan) for ax in fig.axes[:10]]
    np.testing.assert_allclose(cells[0][..., 0], (PHOTO[0] + 1) / 2)
    assert cells[1].shape == (4, 4, 3)
    np.testing.assert_allclose(cells[3], (np.moveaxis(PHOTO, 0, -1) + 1) / 2)
    np.testing.assert_allclose(cells[6][:, :6], np.broadcast_to(images.HOLE, (16, 6, 3)))
    assert len({tuple(np.round(ax.get_position().size, 6)) for ax in fig.axes[:10]}) == 1
    assert fig.axes[9].images[0].get_clim() == (0, 1.5)
    assert [fig.axes[i].get_ylabel() for i in (0, 5)] == ["DPS\nstandard", "DPS\ndesigned"]
    assert [ax.get_title() for ax in fig.axes[:5]] == [*CELLS, "std"]
    assert texts_inside(fig)
    assert plt.get_fignums() == []


def test_grid_without_headings_has_the_range_of_its_first_row_and_names_above():
    fig = images.grid({"data": [[[0.0, 2.0]], [[1.0, 2.0]]], "cosine, S = 10": np.ones((2, 1, 2))})
    cells = [np.ma.filled(ax.images[0].get_array(), np.nan)[..., 0] for ax in fig.axes]
    np.testing.assert_allclose(cells[1], [[0.5, 1.0]])
    np.testing.assert_allclose(cells[2], [[0.5, 0.5]])
    assert [fig.axes[i].get_title("left") for i in (0, 2)] == ["data", "cosine, S = 10"]
    assert texts_inside(fig)
    tops = [ax.get_position().y1 for ax in fig.axes]
    assert tops[0] == tops[1] > fig.axes[0].get_position().y0 > tops[2]


def test_grid_gives_every_pixel_whole_screen_pixels():
    fig = images.grid(ROWS, low=-1, high=1)
    width = fig.axes[0].get_position().width * 720
    assert width / 16 == pytest.approx(round(width / 16), abs=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: images.grid({}), "nothing to draw"),
        (lambda: images.grid({"a": {"x": np.ones(3)}}), r"rows\['a'\]\['x'\]: expected 2 or 3 dim"),
        (
            lambda: images.grid({"a": {"x": np.ones((2, 4, 4))}}),
            r"rows\['a'\]\['x'\] must be \(h, w\)",
        ),
        (
            lambda: images.grid({"a": {"x": np.ones((4, 4)) + 1j}}),
            r"rows\['a'\]\['x'\]: expected real",
        ),
        (lambda: images.grid({"a": {"x": np.full((4, 4), np.inf)}}), r"\['x'\]\[0, 0\] = inf"),
        (lambda: images.grid({"a": np.ones((2, 4))}), r"rows\['a'\]: expected 3 or 4 dimensions"),
        (
            lambda: images.grid({"a": np.ones((2, 4, 4)), "b": np.ones((3, 4, 4))}),
            r"rows\['b'\] must have the columns",
        ),
        (
            lambda: images.grid({"a": CELLS, "b": {"x": PHOTO}}),
            r"rows\['b'\] must have the columns",
        ),
        (lambda: images.grid(ROWS, {"a": PHOTO[0]}), "std must have the rows"),
        (
            lambda: images.grid(ROWS, {k: -v for k, v in STD.items()}),
            r"std\['DPS standard'\]\[0, 0\] = -0.5: expected numbers in \[0, inf\)",
        ),
        (lambda: images.grid(ROWS, low=1, high=1), "high must be above low"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
    assert plt.get_fignums() == []
