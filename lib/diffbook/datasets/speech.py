"""Speech from text, with the place of every phone: an embedded corpus of any size.

The synthesiser is eSpeak NG 1.52 through `ctypes`, from the package `espeakng-loader`, which carries
the library and its voices. **eSpeak NG is under the GPL, version 3 or later**: it generates data here
and is no part of this library; without it everything else works.

What eSpeak NG says depends on what it said before in the same process (by a few samples). So a corpus
is made by one fresh process, in the order asked for, and kept: the same request gives the same samples,
and a request that goes on where a shorter one ends begins with its samples.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache as remember
from importlib.metadata import version
from io import BytesIO
from math import gcd
from pathlib import Path
from types import ModuleType

import numpy as np

from diffbook._checks import choice, whole
from diffbook._optional import need
from diffbook.datasets import fetch

#: Samples a second as eSpeak NG makes them.
RATE = 22050
LANGUAGE = "en-us"
_SCRIPT = Path(__file__).with_name("_espeak.py")


def _loader() -> ModuleType:
    """Return the package that knows where eSpeak NG is."""
    need("espeakng_loader", "data", "datasets.speech")
    import espeakng_loader

    return espeakng_loader


@remember
def voices() -> tuple[str, ...]:
    """Return the names of eSpeak NG's variants of the English voice, such as `"m3"` and `"f2"`."""
    folder = Path(_loader().get_data_path()) / "voices" / "!v"
    return tuple(sorted(path.name for path in folder.iterdir()))


@remember
def _ignores_pitch(voice: str) -> bool:
    """Whether a voice is made by Klatt's synthesiser, as its file says: a constant pitch is lost on it."""
    path = Path(_loader().get_data_path()) / "voices" / "!v" / voice
    lines = path.read_text("utf-8", "replace").splitlines()
    return any(line.startswith("klatt") for line in lines)


@dataclass(frozen=True)
class Utterance:
    """A text and how it is to be spoken (American English).

    Parameters
    ----------
    text
        What is said, at least one character.
    voice
        One of `voices()`; None for the plain voice.
    rate
        Words a minute, 80 to 450.
    pitch, intonation
        Height and range of the pitch, 0 to 99; 50 is the voice's own.
    f0
        Constant pitch in hertz, 40 to 500, instead of one that moves; None for the latter. The voices
        of Klatt's synthesiser ignore it and are refused with one.
    """

    text: str
    voice: str | None = None
    rate: int = 175
    pitch: int = 50
    intonation: int = 50
    f0: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not self.text.strip() or "\0" in self.text:
            raise ValueError(f"text: got {self.text!r}, expected characters to speak")
        if self.voice is not None:
            choice(self.voice, "voice", voices())
        whole(self.rate, "rate", 80, 450)
        whole(self.pitch, "pitch", 0, 99)
        whole(self.intonation, "intonation", 0, 99)
        if self.f0 is not None:
            whole(self.f0, "f0", 40, 500)
            if self.voice is not None and _ignores_pitch(self.voice):
                raise ValueError(
                    f"f0: got {self.f0}, expected None: voice {self.voice!r} ignores it"
                )


@dataclass(frozen=True)
class Spoken:
    """What was spoken: samples (n,) float32 in [-1, 1], and each phone with its first sample.

    A phone lasts until the next one begins, the last one to the end; before the first there is
    silence. A plosive begins with its burst: the closure before it belongs to the phone before. A
    name may begin with a stress, `'` or `,`; `_:` is a pause, silent unless the voice has an echo.
    """

    samples: np.ndarray
    phones: tuple[str, ...]
    starts: np.ndarray

    @property
    def intervals(self) -> np.ndarray:
        """First sample of each phone and the one after its last, shape (p, 2)."""
        return np.stack([self.starts, np.append(self.starts[1:], len(self.samples))], axis=1)


def speak(
    utterances: Sequence[Utterance], sample_rate: int = RATE, *, cache: Path | None = None
) -> list[Spoken]:
    """Speak texts one after the other; made once, then read from the cache.

    Parameters
    ----------
    utterances
        What to say, in this order.
    sample_rate
        22050 Hz as synthesised, or 8000 or 16000 Hz: then filtered and resampled, and the places
        of the phones rounded to the nearest sample.
    cache
        Folder for what was made; default `DIFFBOOK_CACHE`, or the user's cache folder. A file that
        was damaged is made again.

    Returns
    -------
    list of Spoken
        One for each utterance.
    """
    choice(sample_rate, "sample_rate", (8000, 16000, RATE))
    utterances = list(utterances)
    if not utterances or not all(isinstance(one, Utterance) for one in utterances):
        raise ValueError(f"utterances: got {utterances!r:.80}, expected at least one Utterance")
    samples, offsets, phones, starts, phone_offsets = _corpus(utterances, cache)
    found = []
    for i, one in enumerate(utterances):
        wave = samples[offsets[i] : offsets[i + 1]] / np.float32(32768)
        if not wave.any():
            raise ValueError(f"utterances[{i}]: {one.text!r} has no sound")
        mine = slice(phone_offsets[i], phone_offsets[i + 1])
        # The mark at the end of a clause may have no length.
        lasts = np.diff(starts[mine], append=len(wave)) > 0
        place = np.rint(starts[mine][lasts] * (sample_rate / RATE)).astype(np.int64)
        found.append(
            Spoken(_resample(wave, sample_rate), tuple(phones[mine][lasts].tolist()), place)
        )
    return found


def _resample(wave: np.ndarray, sample_rate: int) -> np.ndarray:
    if sample_rate == RATE:
        return wave
    from scipy.signal import resample_poly

    common = gcd(sample_rate, RATE)
    up, down = sample_rate // common, RATE // common
    return resample_poly(wave, up, down, window=_low_pass(up, down))


@remember
def _low_pass(up: int, down: int) -> np.ndarray:
    """Design the filter that `resample_poly` would design for every wave anew."""
    from scipy.signal import firwin

    return firwin(20 * down + 1, 1 / down, window=("kaiser", 5.0)).astype(np.float32)


def _corpus(utterances: list[Utterance], cache: Path | None) -> list[np.ndarray]:
    """Arrays of a corpus from its file, which is made if it is absent or damaged."""
    _loader()
    request = json.dumps([_request(one) for one in utterances])
    # Another version, another way to call it, or another request: another corpus.
    made_by = f"{version('espeakng-loader')} {_SCRIPT.read_text('utf-8')}"
    key = hashlib.sha256(f"{made_by} {request}".encode()).hexdigest()
    folder = fetch.cache_folder(cache)
    path = folder / "speech" / f"{key[:32]}.npz"
    try:
        return _read(path.read_bytes())
    except (OSError, ValueError):
        made = _synthesise(request)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Whoever reads meanwhile sees the old file or the whole new one.
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as part:
        part.write(made)
    Path(part.name).replace(path)
    return _read(made)


def _request(one: Utterance) -> dict:
    """Tell the process that speaks what to do."""
    voice = LANGUAGE if one.voice is None else f"{LANGUAGE}+{one.voice}"
    return {**asdict(one), "voice": voice, "f0": one.f0 or 0}


def _read(made: bytes) -> list[np.ndarray]:
    integers = (np.int64, (None,))
    return fetch.arrays(
        BytesIO(made), samples=(np.int16, (None,)), offsets=integers, phones=(np.str_, (None,)),
        starts=integers, phone_offsets=integers,
    )  # fmt: skip


def _synthesise(request: str) -> bytes:
    """Run the process that speaks; -P keeps this folder's modules from hiding Python's own."""
    loader = _loader()
    paths = [_SCRIPT, loader.get_library_path(), loader.get_data_path()]
    done = subprocess.run(
        [sys.executable, "-P", *map(str, paths)],
        input=request.encode(), capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"eSpeak NG failed: {done.stderr.decode(errors='replace')[-2000:]}")
    return done.stdout
