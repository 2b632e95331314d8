"""Figures of where a network departs from the Gaussian model its guidance weights were made for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from diffbook.plotstyle import INK, SEQUENCE, done, filled, legend_below, panels, style, vector


def mismatch(
    radius: ArrayLike,
    slopes: Mapping[float, tuple[ArrayLike, ArrayLike]],
    sigma: ArrayLike,
    overshoot: Mapping[str, Sequence[float]],
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
    sigma : array, shape (S,)
        Noise levels of the steps of a guided sampler, positive.
    overshoot : mapping
        Name to weights over the network's own no-overshoot bound, (S,).
    """
    radius, sigma = vector("radius", radius), vector("sigma", sigma)
    fig, axes = panels(2, 1, (7.2, 6.2))
    top, bottom = axes.flat
    colors = SEQUENCE(np.linspace(0, 1, max(2, len(filled(slopes)))))
    for color, (level, (network, model)) in zip(colors, sorted(slopes.items()), strict=False):
        name = f"σ = {level:.2g}"
        top.plot(
            radius, vector("network", network, radius.size), color=color, marker="o", label=name
        )
        top.plot(radius, vector("model", model, radius.size), color=color, linestyle=(0, (3, 1.5)))
    top.plot([], [], color=INK, linestyle=(0, (3, 1.5)), label="Gaussian model")
    top.set(
        xlabel="frequency (cycles per image)",
        ylabel="slope of the denoiser\n(0: ignores, 1: keeps)",
    )
    top.legend(loc="upper right", ncols=2)
    bottom.axhline(1.0, color=INK, linewidth=1.2)
    for i, (name, values) in enumerate(filled(overshoot).items()):
        bottom.plot(sigma, vector(name, values, sigma.size), label=name, **style(name, i))
    bottom.set(
        xscale="log", yscale="log", xlabel="noise level σ (units of the data)",
        ylabel="weight over the\nnetwork's own bound",
    )  # fmt: skip
    legend_below(fig, bottom, len(overshoot))
    return done(fig, title)
