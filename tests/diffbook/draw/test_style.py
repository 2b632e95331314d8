"""Styles: told apart without colour, readable on the panel, found by the beginning of a name."""

from itertools import combinations

import matplotlib as mpl
import numpy as np

from diffbook.draw import style


def luminance(color):
    channels = np.array(mpl.colors.to_rgb(color))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_styles_differ_without_colour_and_colours_read_on_the_panel():
    looks = {name: (str(s["linestyle"]), s["marker"]) for name, s in style.STYLES.items()}
    for (a, one), (b, two) in combinations(looks.items(), 2):
        assert one != two, (a, b)
    assert all(contrast(c, style.PANEL) > 2.0 for c in style.COLORS.values())
    assert contrast(style.INK, style.PANEL) > 7
    assert style.style("cosine, S = 10") == style.STYLES["cosine"]
    assert style.style("sigmoid(0,3,0.3)") != style.style("sigmoid")
    assert style.style("something else", 1) == style.style("another", 1)
