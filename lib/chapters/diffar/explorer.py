"""The interactive figure of the chapter, for a static page: no kernel, no network.

Recordings stand in it as FLAC, which loses nothing; the script plays them and draws spectrograms.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np

from chapters.diffar.listening import flac
from diffbook._checks import NON_NEGATIVE, real, reals, whole
from diffbook.datasets.aligned import SILENCE, Clip

_NO_SCRIPT = "This figure needs JavaScript to play sound; the chapter's tables hold its scores."
# Comments and indentation, which a page need not carry.
_IDLE = re.compile(r"/\*[\s\S]*?\*/|(?<=\s)// [^\n]*|^\s+", re.MULTILINE)
Scores = Mapping[str, float | tuple[float, float, float]]


@dataclass(frozen=True, eq=False)
class Variant:
    """A recording at one setting, the samples at which its frames join, its scores (value, low, high)."""

    overlap_ms: float
    steps: int
    wave: np.ndarray
    joints: Sequence[int]
    scores: Scores


@dataclass(frozen=True)
class Explorer:
    """A self-contained interactive figure; shown by IPython, nbconvert and Jupyter Book."""

    html: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return "Explorer of overlaps and steps (interactive in a browser)."


def explorer(
    variants: Iterable[Variant],
    original: np.ndarray,
    *,
    phones: Sequence[str],
    intervals: np.ndarray,
    rate: int = 8000,
    text: str = "",
    original_scores: Scores | None = None,
    units: Mapping[str, str] | None = None,
) -> Explorer:
    """Make the explorer: overlap and steps in; sound, spectrogram and scores of one sentence out."""
    rate, units = whole(rate, "rate", 8000, 48_000), units or {}
    own, n = {"flac": _flac(original, "original", rate)}, len(original)
    clip = Clip(np.asarray(original, np.float32), tuple(phones), intervals, rate)
    cells: dict[tuple[float, int], dict] = {}
    for one in variants:
        key = real(one.overlap_ms, "overlap_ms", NON_NEGATIVE), whole(one.steps, "steps")
        name = f"variant of {key[0]:.4g} ms with {key[1]} steps"
        sound, scores = _flac(one.wave, name, rate, (n,)), _words(one.scores, units, name)
        joints = [whole(joint, f"joints of the {name}", 1, n - 1) for joint in one.joints]
        if key in cells:
            raise ValueError(f"variants: got the {name} twice, expected each pair once")
        if cells and list(scores) != (titles := list(next(iter(cells.values()))["scores"])):
            raise ValueError(f"scores of the {name}: got {[*scores]}, expected {titles}")
        cells[key] = {"flac": sound, "joints": joints, "scores": scores}
    overlaps, steps = (sorted({key[i] for key in cells}) for i in (0, 1))
    missing = [f"{o:.4g} ms with {s} steps" for o in overlaps for s in steps if (o, s) not in cells]
    if missing or not cells:
        raise ValueError(f"variants: missing {missing or 'all'}, expected a full grid")
    data = {"rate": rate, "text": text, "steps": steps, "overlaps": [f"{o:.4g}" for o in overlaps]}
    data |= {"cells": [cells[key] for key in sorted(cells)], "ends": clip.intervals[:, 1].tolist()}
    data |= {"phones": ["·" if phone in ("", SILENCE) else phone for phone in clip.phones]}
    data |= {"original": own | {"scores": _words(original_scores or {}, units, "original")}}
    # "</" inside a string would end the script element.
    payload = json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("</", "<\\/")
    files = [resources.files("chapters.diffar") / f"explorer.{end}" for end in ("js", "css")]
    script, sheet = (_IDLE.sub("", file.read_text(encoding="utf-8")) for file in files)
    key = hashlib.sha256((script + sheet + payload).encode()).hexdigest()[:10]
    return Explorer(
        f'<div class="dbd tex2jax_ignore" id="dbd-{key}"><noscript><p>{_NO_SCRIPT}</p></noscript>'
        f"</div>\n<style>{sheet}</style>\n<script>{script}\n"
        f'window.diffbookDiffar.mount("dbd-{key}",{payload});</script>'
    )


def _words(scores: Scores, units: Mapping[str, str], owner: str) -> dict[str, str]:
    """Return scores as a page writes them: a value, or a mean with its interval."""
    words = {}
    for title, score in scores.items():
        name = f"score {title!r} of the {owner}"
        mean, *ends = np.atleast_1d(reals(score, name, shape=np.shape(score) and (3,)))
        if ends and not ends[0] <= mean <= ends[1]:
            raise ValueError(f"{name}: got {score}, expected a value, its lower and its upper end")
        words[title] = f"{mean:.1f} {units.get(title, '')}".strip()
        words[title] += " [{:.1f}, {:.1f}]".format(*ends) if ends else ""
    return words


def _flac(wave: np.ndarray, name: str, rate: int, shape: tuple[int] | None = None) -> str:
    """Return samples as FLAC of 16 bits, in letters that no tool takes for a path or an address."""
    whole_scale, hint = "[-0.99997, 0.99997]", "clipped? scale all recordings by one factor"
    x = reals(wave, name, whole_scale, ndim=1, shape=shape, hint=hint)
    return base64.urlsafe_b64encode(flac(x, rate)).decode()
