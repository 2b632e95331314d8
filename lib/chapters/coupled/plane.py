"""Strategies in the closed-form worlds: their accuracies, and their paths in the plane."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from chapters.coupled.worlds import Draw, World
from diffbook import coupled
from diffbook.draw.parts import done, panels
from diffbook.draw.style import COLORS, GREY
from diffbook.metrics.intervals import mean_ci, paired_ci
from diffbook.samplers.transfer import step_coefficients

CLASS_COLORS = [COLORS[name] for name in ("cosine", "linear beta", "spectral W2")]


def strategies(world: World, draw: Draw, schedule: NDArray, sampler: str, seed: int) -> dict:
    """Logits (n, K) by which each strategy decides, with exact networks and common noise."""
    u, net, (whole, padded) = draw.u, world.coupling(draw.u), world.stacked(draw.u)
    switches = coupled.Switches(sampler=sampler, standardise=False)
    how = {"noise": coupled.batch_noise(seed), "switches": switches}
    rounds = coupled.alternating(net, u, schedule, rounds=5, **how).rounds
    return {
        "Noisy": world.classifier(u),
        "Enhanced": world.classifier(coupled.enhance(net, u, schedule, **how).signal),
        "Parallel, joint": coupled.enhance(whole, padded, schedule, **how).signal[:, world.d :],
        "Parallel": coupled.parallel(net, u, schedule, **how).logits,
        "Alternating, 1 round": rounds[0][1],
        "Alternating, 5 rounds": rounds[-1][1],
        "Nested": coupled.nested(net, u, schedule, **how).logits,
        "CARD-noisy": coupled.diffuse_logits(net, (u,), schedule, **how).logits,
        "Bayes": world.posterior(u),
    }


def hits(logits: NDArray, label: NDArray) -> NDArray:
    """Return 1.0 where the argmax is the class, else 0.0."""
    return (logits.argmax(1) == label).astype(float)


def accuracies(found: Mapping[str, NDArray], label: NDArray, over: str = "Enhanced") -> dict:
    """Accuracy of each strategy, and its paired gain over one of them, each (mean, low, high)."""
    right = {name: hits(logits, label) for name, logits in found.items()}
    return {name: (mean_ci(hit), paired_ci(hit, right[over])) for name, hit in right.items()}


def released_stride(
    world: World, u: NDArray, S: int, sampler: str, seed: int = 0, T: int = 150
) -> NDArray:
    """CARD-noisy with steps that end at t - 1, though the next call is at the next selected t."""
    sigma, rng = coupled.vp_levels(T), np.random.default_rng(seed)
    net, shape = world.coupling(u), (len(u), len(world.codes))
    x = rng.standard_normal(shape)  # in VP's coordinates, where the released code walks
    for t in np.rint(np.linspace(T, 1, S)).astype(int):
        eta = 0.0 if sampler == "ddim" else 1.0
        a, b, c = step_coefficients(sigma[[t - 1, t]], "ve", eta)[0]
        v = x * np.hypot(1.0, sigma[t])
        v = a * v + b * net.logits(v, sigma[t], ((u,), None))
        if sampler != "zero-variance":
            v = v + c * rng.standard_normal(shape)
        x = v / np.hypot(1.0, sigma[t - 1])
    return x


def paths(world: World, u: NDArray, schedule: NDArray, sampler: str, seed: int = 0) -> dict:
    """Clean estimates on their way: {strategy: {branch: [(steps, n, .) for each round]}}."""
    switches = coupled.Switches(sampler=sampler, standardise=False)
    how = {"noise": coupled.batch_noise(seed), "switches": switches, "keep_trajectory": True}
    run = world.coupling(u), u, schedule
    outcomes = {
        "Enhanced": coupled.enhance(*run, **how),
        "Parallel": coupled.parallel(*run, **how),
        "Alternating": coupled.alternating(*run, rounds=5, **how),
        "Nested": coupled.nested(*run, **how),
        "CARD-noisy": coupled.diffuse_logits(run[0], (u,), schedule, **how),
    }
    found: dict = {name: {} for name in outcomes}
    for name, outcome in outcomes.items():
        for at in outcome.trajectory:
            if at["hat"] is not None:
                rounds = found[name].setdefault(at["branch"], {})
                rounds.setdefault(at["round"], []).append(at["hat"])
    return {
        name: {b: [np.stack(hats) for hats in rounds.values()] for b, rounds in branches.items()}
        for name, branches in found.items()
    }


CORNERS = np.array([[0.0, 1.0], [0.75**0.5, -0.5], [-(0.75**0.5), -0.5]])


def trajectories(world: World, found: Mapping[str, Mapping], extent: float = 2.2) -> Figure:
    """Draw where estimates go: signals in the plane, logits in the triangle of the three classes.

    Earlier rounds are grey, the last has the colour of its decision; crosses are the modes.
    """
    fig, axes = panels(2, len(found), (7.2, 3.4))
    side = np.linspace(-extent, extent, 161)
    grid = np.stack(np.meshgrid(side, side), axis=-1)
    region = world.classifier(grid.reshape(-1, 2)).argmax(1).reshape(161, 161)
    modes = {"signal": (world.means, world.labels), "logits": (CORNERS, np.arange(3))}
    for column, (name, branches) in zip(axes.T, found.items(), strict=True):
        for ax, (branch, (marks, kinds)) in zip(column, modes.items(), strict=True):
            ax.set(xticks=[], yticks=[], aspect="equal")
            ax.grid(visible=False)
            for mark, k in zip(marks, kinds, strict=True):
                ax.plot(*mark, "+", color=CLASS_COLORS[k], markersize=7, markeredgewidth=1.5)
            if branch == "logits":
                ax.fill(*CORNERS.T, facecolor="none", edgecolor=GREY, linewidth=1)
                ax.set(xlim=(-1.2, 1.2), ylim=(-0.85, 1.35))
            else:
                levels = np.arange(4) - 0.5
                ax.contourf(side, side, region, levels, colors=CLASS_COLORS, alpha=0.16)
                ax.set_title(name, fontsize=10)
            rounds = branches.get(branch, [])
            for number, hats in enumerate(rounds, 1):
                logits = world.classifier(hats[-1]) if branch == "signal" else hats[-1]
                at = hats if branch == "signal" else hats @ CORNERS / np.ptp(world.codes[0])
                for i, k in enumerate(logits.argmax(1)):
                    color = CLASS_COLORS[k] if number == len(rounds) else GREY
                    ax.plot(*at[:, i].T, color=color, linewidth=0.8, alpha=0.7)
                    ax.plot(*at[-1, i], "o", color=color, markersize=3)
    return done(fig, None)
