"""Figures of where a network departs from the Gaussian model its guidance weights were made for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from diffbook.draw.parts import done, filled, legend_below, panels, positive, vector
from diffbook.draw.style import INK, SEQUENCE, style


def mismatch(
    radius: ArrayLike,
    slopes: Mapping[float, tuple[ArrayLike, ArrayLike]],
    overshoot: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    title: str | None = None,
) -> Figure:
    """Draw the mean Jacobian of a network against the model, and how far weights exceed its bound.

    Parameters
    ----------
    radius : array, shape (r,)
        Radial frequencies in cycles per image.
    slopes : mapping
        Noise level to (network, model), slopes of the denoiser times ``sqrt(alpha_bar)``, (r,).
    overshoot : mapping
        Name to (noise levels of a guided sampler's steps, its weights over the network's own
        no-overshoot bound), both (S,) and positive.
    """
    radius = vector("radius", radius)
    pairs = [
        (level, vector("network", network, radius.size), vector("model", model, radius.size))
        for level, (network, model) in sorted(filled(slopes).items())
    ]
    runs = {
        name: (positive("sigma", sigma), vector(name, values, np.size(sigma)))
        for name, (sigma, values) in filled(overshoot).items()
    }
    fig, axes = panels(2, 1, (7.2, 6.2))
    top, bottom = axes.flat
    colors = SEQUENCE(np.linspace(0, 1, max(2, len(pairs))))
    for color, (level, network, model) in zip(colors, pairs, strict=False):
        top.plot(radius, network, color=color, marker="o", label=f"σ = {level:.2g}")
        top.plot(radius, model, color=color, linestyle=(0, (3, 1.5)))
    top.plot([], [], color=INK, linestyle=(0, (3, 1.5)), label="Gaussian model")
    top.set(
        xlabel="frequency (cycles per image)",
        ylabel="slope of the denoiser\n(0: ignores, 1: keeps)",
    )
    top.legend(loc="upper right", ncols=2)
    bottom.axhline(1.0, color=INK, linewidth=1.2)
    for i, (name, (sigma, values)) in enumerate(runs.items()):
        bottom.plot(sigma, values, label=name, **style(name, i))
    bottom.set(
        xscale="log", yscale="log", xlabel="noise level σ (units of the data)",
        ylabel="weight over the\nnetwork's own bound",
    )  # fmt: skip
    legend_below(fig, bottom, len(overshoot))
    return done(fig, title)
