"""Speech that DiffAR's authors published, beside the recordings, through `DIFFBOOK_DATA`.

Source: Benita, Elad, Keshet 2023 (arXiv 2310.01381), examples in the released code. The sentences were
spoken with durations, energy and, for `diffar_p_200`, pitch of the recordings, so that all runs of one
have its number of samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diffbook._checks import choice, reals
from diffbook._optional import need
from diffbook.datasets import fetch

SAMPLE_RATE = 16000
#: Models that read LJSpeech, by the names of their files; VCTK was read by `diffar_200` alone.
MODELS = {
    "diffar_p_200": "DiffAR+P (200): with pitch",
    "diffar_200": "DiffAR (200)",
    "diffar_1000": "DiffAR (1000): with more diffusion steps",
    "diffar_e_200": "DiffAR-E (200): without energy",
}


@dataclass(frozen=True, eq=False)
class Read:
    """One sentence: recorded, and as each model read it.

    Parameters
    ----------
    name
        Of the recording in its corpus.
    original
        The recording (N,) float32, in [-1, 1].
    runs
        Name of a model, one of `MODELS`, to its runs (K, N) float32.
    """

    name: str
    original: NDArray
    runs: dict[str, NDArray]


@dataclass(frozen=True, eq=False)
class Babble:
    """Speech without a text, made of frames of one length.

    Parameters
    ----------
    name
        Of the file.
    samples
        The sound (N,) float32.
    frame, overlap
        Samples of a frame, and of what it has in common with the frame before.
    """

    name: str
    samples: NDArray
    frame: int
    overlap: int

    @property
    def joints(self) -> NDArray | None:
        """First samples of each frame's new part but the first's, (n,) int64.

        None where the length is no whole number of frames: the file was cut, who knows where.
        """
        hop = self.frame - self.overlap
        if (len(self.samples) - self.frame) % hop:
            return None
        return np.arange(self.frame, len(self.samples), hop)


def sentences(corpus: str) -> list[Read]:
    """Sentences of LJSpeech (4, of four models) or VCTK (10, of one), recorded and read by models.

    Raises FileNotFoundError if the set is absent, ValueError if a file holds something else.

    Parameters
    ----------
    corpus
        `"ljspeech"` or `"vctk"`.
    """
    choice(corpus, "corpus", ("ljspeech", "vctk"))
    files = _files()
    runs: dict[str, dict[str, list[Path]]] = {}
    for path in files[f"{corpus}_generated"]:
        name, model, _ = path.stem.split("__")
        runs.setdefault(name, {}).setdefault(model, []).append(path)
    found = []
    for path in files[f"{corpus}_original"]:
        original = _samples(path)
        found.append(
            Read(
                path.stem,
                original,
                {
                    model: np.stack(
                        [_samples(run, len(original)) for run in runs[path.stem][model]]
                    )
                    for model in MODELS
                    if model in runs[path.stem]
                },
            )
        )
    return found


def babbles() -> list[Babble]:
    """Thirteen sounds of the models without a text, three kinds of frames; raises as `sentences`."""
    found = []
    for path in _files()["unconditional"]:
        frame, overlap = (int(part[1:]) for part in path.stem.split("__")[1].split("_"))
        rate = SAMPLE_RATE // 1000
        found.append(Babble(path.stem, _samples(path), frame * rate, overlap * rate))
    return found


def _files() -> dict[str, list[Path]]:
    """Paths of the set by folder, in order of their names."""
    found: dict[str, list[Path]] = {}
    for path in sorted(fetch.files("diffar_speech")):
        found.setdefault(path.parent.name, []).append(path)
    return found


def _samples(path: Path, length: int | None = None) -> NDArray:
    need("soundfile", "data", "datasets.released")
    import soundfile

    samples, rate = soundfile.read(path, dtype="float32")
    if rate != SAMPLE_RATE:
        raise ValueError(f"{path}: got {rate} Hz, expected {SAMPLE_RATE}")
    reals(samples, f"{path}: samples", ndim=1, shape=length and (length,))
    return samples
