"""Sound on the page: players that hold their recording."""

from __future__ import annotations

import base64
import html
import io

import numpy as np
from numpy.typing import NDArray

from chapters.diffar.steps import RATE


def flac(wave: NDArray, rate: int = RATE) -> bytes:
    """Return samples as FLAC of 16 bits, which loses nothing; what is louder than full scale is refused."""
    import soundfile

    if not np.all(np.abs(wave) < 1.0):
        raise ValueError(f"wave: got samples up to {np.abs(wave).max():.3g}, expected less than 1")
    samples = np.round(32768 * np.asarray(wave, float)).clip(-32768, 32767).astype(np.int16)
    # Level 0 computes with whole numbers only: the same bytes on every machine.
    how = {"format": "FLAC", "subtype": "PCM_16", "compression_level": 0}
    soundfile.write(file := io.BytesIO(), samples, rate, **how)
    return file.getvalue()


def player(label: str, wave: NDArray, rate: int = RATE) -> str:
    """HTML of a player, with its label for readers who do not see it."""
    data = base64.b64encode(flac(wave, rate)).decode()
    name = html.escape(label)
    return f'<audio controls aria-label="{name}" src="data:audio/flac;base64,{data}"></audio>'
