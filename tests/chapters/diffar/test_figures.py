"""The chapter's own figures show what they are given, and are drawn without a warning."""

import warnings

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from pictures import check_picture, rows_with_labels

from chapters.diffar import figures
from chapters.diffar.steps import LENGTH, RATE
from diffbook import draw, framewise
from diffbook.datasets.aligned import Clip

PHONES = ("_:", "m", "aI", "k", "oU", "_:", "s", "_:")


@pytest.fixture(autouse=True)
def book_style():
    plt.close("all")  # what other tests left open
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("error")
        draw.use_style()
        yield


def tone(hertz, n=12_000):
    return (0.1 * np.sin(2 * np.pi * hertz * np.arange(n) / RATE)).astype(np.float32)


CLIP = Clip(
    tone(1000), PHONES, np.arange(0, 12_000, 1500)[:, None] + np.array([0, 1500]), RATE, f0=125.0
)
PLAN = list(framewise.plan(CLIP.intervals, LENGTH))
BEFORE, AFTER = PLAN[0], PLAN[1]
KNOWN = framewise.known(
    CLIP.samples[BEFORE.start : BEFORE.stop], AFTER.overlap, AFTER.stop - AFTER.start
)
SOUNDS = {"recording": CLIP.samples, "generated": tone(3000)}


def tracks(shift):
    return np.arange(150.0) + shift, np.full(150, 125.0 + shift)


KINDS = {"+P": [tracks(1)], "base": [tracks(2), tracks(3)], "-E": [tracks(4)]}
FIGURES = {
    "spectrograms": lambda: figures.spectrograms(SOUNDS, CLIP, {"generated": PLAN}),
    "spectrogram": lambda: figures.spectrograms({"recording": CLIP.samples}, CLIP),
    "scheme": lambda: figures.scheme(CLIP, BEFORE, AFTER, KNOWN),
    "network": figures.network,
    "several": lambda: figures.several(KINDS, tracks(0), ("level (dB)", "pitch (Hz)")),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_drawn_with_labels_on_the_book_s_colour(name):
    fig = FIGURES[name]()
    check_picture(fig)
    if name == "network":
        return
    assert all(ax.get_xlabel() for ax in rows_with_labels(fig)[-1])


def test_levels_are_decibels_below_the_loudest():
    x = np.concatenate([tone(1000, 8000), 0.01 * tone(3000, 8000), np.zeros(8000)])
    found = figures.decibels(x)
    assert found.max() == 0.0 and found.min() == -70.0
    frequencies, times = figures.WINDOW.f, figures.WINDOW.t(len(x))
    at = [int(np.argmin(np.abs(frequencies - hertz))) for hertz in (1000, 3000)]
    when = [int(np.argmin(np.abs(times - second))) for second in (0.5, 1.5, 2.5)]
    assert found[at[0], when[0]] == pytest.approx(0.0, abs=1.0)
    assert found[at[1], when[1]] == pytest.approx(-40.0, abs=1.0)
    assert (found[:, when[2]] == -70.0).all()
    assert figures.decibels(x, below=20.0).min() == -20.0
    np.testing.assert_allclose(figures.decibels(7 * x), found, atol=1e-9)


def test_spectrograms_show_each_sound_its_joints_and_the_phones_below():
    fig = FIGURES["spectrograms"]()
    assert [ax.get_title(loc="left") for ax in fig.axes] == list(SOUNDS)
    for ax, x in zip(fig.axes, SOUNDS.values(), strict=True):
        (image,) = ax.get_images()
        np.testing.assert_array_equal(image.get_array(), figures.decibels(x))
        assert image.get_extent() == [0, 1.5, 0, 4] and image.origin == "lower"
    above, below = fig.axes
    assert above.get_lines() == []
    found = [line.get_xdata()[0] * RATE for line in below.get_lines()]
    assert found == pytest.approx([f.start + f.overlap for f in PLAN[1:]])
    assert [t.get_text() for t in below.texts] == [p for p in PHONES if p != "_:"]
    middles = [
        (a + b) / 2 / RATE for p, (a, b) in zip(PHONES, CLIP.intervals, strict=True) if p != "_:"
    ]
    assert [t.get_position()[0] for t in below.texts] == pytest.approx(middles)
    assert not list(above.texts)


def test_the_scheme_shows_the_overlap_behind_and_in_front():
    fig = FIGURES["scheme"]()
    first, second, third = (ax.get_lines()[0] for ax in fig.axes)
    np.testing.assert_array_equal(first.get_ydata(), CLIP.samples[BEFORE.start : BEFORE.stop])
    np.testing.assert_array_equal(second.get_ydata(), KNOWN)
    np.testing.assert_array_equal(third.get_ydata(), CLIP.samples[AFTER.start : AFTER.stop])
    new = BEFORE.stop - BEFORE.start - AFTER.overlap
    for ax, left in zip(fig.axes, (new, 0, 0), strict=True):
        (shade,) = ax.patches
        ends = [left, left + AFTER.overlap]
        assert [shade.get_x(), shade.get_x() + shade.get_width()] == pytest.approx(
            [1000 * end / RATE for end in ends]
        )
    assert [ax.get_ylabel() for ax in fig.axes] == ["$x^{l-1}$", "$Hx^{l-1}$", "$x^{l}$"]
    assert first.get_color() == second.get_color() != third.get_color()


def test_the_network_has_its_parts_inside_the_panels():
    fig = figures.network()
    left, right = fig.axes
    words = [t.get_text() for ax in fig.axes for t in ax.texts]
    for part in ("noisy frame $x_s$", "noise $\\epsilon_\\theta$", "layer $N$", "phone", "energy",
                 "$Hx^{l-1}$", "skip $k$"):  # fmt: skip
        assert part in words
    assert words.count("MRB") == 4
    assert len(left.patches) == 5 and len(right.patches) == 7
    fig.canvas.draw()
    for ax in fig.axes:
        for text in ax.texts:
            box = text.get_window_extent()
            assert fig.bbox.x0 <= box.x0 and box.x1 <= fig.bbox.x1, text.get_text()


def test_several_draws_every_track_and_the_recording_above():
    fig = FIGURES["several"]()
    axes = np.array(fig.axes).reshape(2, 3)
    assert [ax.get_title(loc="left") for ax in axes[0]] == list(KINDS)
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["level (dB)", "pitch (Hz)"]
    for column, kind in zip(axes.T, KINDS.values(), strict=True):
        for i, ax in enumerate(column):
            *drawn, last = ax.get_lines()
            assert len(drawn) == len(kind)
            for line, own in zip(drawn, kind, strict=True):
                np.testing.assert_array_equal(line.get_ydata(), own[i])
                np.testing.assert_allclose(line.get_xdata(), np.arange(150) / 100)
            np.testing.assert_array_equal(last.get_ydata(), tracks(0)[i])
            assert last.get_color() != drawn[0].get_color()
