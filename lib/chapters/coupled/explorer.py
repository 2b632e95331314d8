"""The interactive figure of the chapter, for a static page: no kernel, no network.

The script (``explorer.js``) computes the exact networks of `chapters.coupled.worlds` and the samplers of
`diffbook.coupled` in the browser, for any noise level; tests hold the two against each other.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources

import numpy as np

from chapters.coupled.worlds import World, decoy
from diffbook import coupled

_NO_SCRIPT = (
    "This figure is interactive and needs JavaScript: it shows where signals and logits go for a "
    "chosen noise, strategy and sampler. The figures and tables of this chapter show fixed choices."
)


@dataclass(frozen=True)
class Explorer:
    """A self-contained interactive figure; shown by IPython, nbconvert and Jupyter Book."""

    html: str = field(repr=False)
    text: str = "Explorer of couplings (interactive in a browser)."

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def two_classes() -> World:
    """Return `decoy` without its third class."""
    means = np.array([[0.0, 1.6], [0.0, -1.6], [1.2, 0.0]])
    return World(means, np.array([0, 0, 1]), np.diag([1.0, 0.1]), 0.4)


def described(world: World) -> dict:
    """Return a world as plain numbers, for a script."""
    if np.any(world.A != np.diag(np.diag(world.A))) or world.trust_signal is not None:
        raise ValueError("world: expected a diagonal A and the default trust_signal")
    arrays = {"means": world.means, "labels": world.labels, "codes": world.codes}
    arrays |= {"A": np.diag(world.A), "weights": world.joint.weights}
    numbers = {"s": world.s, "tau": world.tau, "trust": world.trust_logits, "noise": world.noise}
    return {name: array.tolist() for name, array in arrays.items()} | numbers


def explorer(
    worlds: Mapping[str, World] | None = None,
    *,
    S: int = 25,
    noise: float = 0.4,
    u: tuple[float, float] = (0.4, 0.05),
    coupling: str = "parallel",
    sampler: str = "zero-variance",
) -> Explorer:
    """Make the explorer of couplings: observation, noise and strategy in, paths and accuracies out."""
    worlds = worlds or {"three": decoy(noise), "two": two_classes()}
    data = {
        "worlds": {name: described(world) for name, world in worlds.items()},
        "sigma": coupled.vp_levels(S).tolist(),
    }
    data |= {"noise": noise, "u": list(u), "coupling": coupling, "sampler": sampler}
    # "</" inside a string would end the script element.
    payload = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    script, sheet = _asset("explorer.js"), _asset("explorer.css")
    key = hashlib.sha256((script + sheet + payload).encode()).hexdigest()[:10]
    return Explorer(
        f'<div class="dbc tex2jax_ignore" id="dbc-{key}"><noscript><p>{_NO_SCRIPT}</p></noscript>'
        f"</div>\n<style>{sheet}</style>\n<script>{script}\n"
        f'window.diffbookCoupled.mount("dbc-{key}",{payload});</script>'
    )


def _asset(name: str) -> str:
    """Return a file without its comments and indentation, which a page need not carry."""
    text = resources.files("chapters.coupled").joinpath(name).read_text(encoding="utf-8")
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    lines = (re.sub(r"(^|\s)//\s.*$", "", line).strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line)
