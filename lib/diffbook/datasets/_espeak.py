"""One fresh process that speaks a list of texts: JSON on standard input, an .npz file on output.

Run as a script by :mod:`diffbook.datasets.speech`, with the paths of eSpeak NG's library and of its
data as arguments; nothing of this library is loaded here.
"""

import ctypes
import io
import json
import sys

import numpy as np

SYNCHRONOUS, PHONEME_EVENTS, NO_EXIT, UTF8 = 2, 0x0001, 0x8000, 1
RATE, PITCH, RANGE = 1, 3, 4
PHONEME = 7
SAMPLE_RATE = 22050


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("text", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    """The structure `espeak_EVENT` of speak_lib.h, eSpeak NG 1.52."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("uid", ctypes.c_uint),
        ("position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user", ctypes.c_void_p),
        ("id", _Id),
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


def _load(library: str, folder: str) -> ctypes.CDLL:
    """Start the library."""
    lib = ctypes.CDLL(library)
    lib.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
    lib.espeak_Synth.argtypes = [
        ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int,
        ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p,
    ]  # fmt: skip
    rate = lib.espeak_Initialize(SYNCHRONOUS, 0, folder.encode(), PHONEME_EVENTS | NO_EXIT)
    if rate != SAMPLE_RATE:
        raise RuntimeError(f"eSpeak NG with its data in {folder!r} gave {rate} Hz")
    return lib


def _done(status: int, what: str) -> None:
    if status != 0:
        raise RuntimeError(f"eSpeak NG refused {what}: status {status}")


def speak(utterances: list[dict], library: str, folder: str) -> dict[str, np.ndarray]:
    """Return the samples of all utterances, and where utterances and phones begin."""
    lib = _load(library, folder)
    waves, phones, starts = [], [], []

    @_Callback
    def receive(wave, n, events):
        if n > 0:
            waves[-1].append(np.ctypeslib.as_array(wave, (n,)).copy())
        i = 0
        while events[i].type:
            if events[i].type == PHONEME:
                # All eight bytes may be in use, without a zero at the end.
                phones.append(bytes(events[i].id.text).decode())
                starts.append(events[i].sample)
            i += 1
        return 0

    lib.espeak_ng_SetRandSeed(0)  # else the time is the seed of breath
    lib.espeak_SetSynthCallback(receive)
    ends = [0]
    for one in utterances:
        waves.append([])
        _done(lib.espeak_SetVoiceByName(one["voice"].encode()), f"voice {one['voice']!r}")
        for parameter, name in ((RATE, "rate"), (PITCH, "pitch"), (RANGE, "intonation")):
            _done(lib.espeak_SetParameter(parameter, one[name], 0), f"{name} {one[name]}")
        lib.espeak_ng_SetConstF0(one["f0"])  # 0: the pitch moves
        text = one["text"].encode() + b"\0"
        _done(lib.espeak_Synth(text, len(text), 0, 1, 0, UTF8, None, None), repr(one["text"]))
        _done(lib.espeak_Synchronize(), repr(one["text"]))
        ends.append(len(phones))
    joined = [np.concatenate([np.zeros(0, np.int16), *wave]) for wave in waves]
    return {
        "samples": np.concatenate(joined),
        "offsets": np.cumsum([0, *map(len, joined)]),
        "phones": np.array(phones, "U8"),
        "starts": np.array(starts, np.int64),
        "phone_offsets": np.array(ends, np.int64),
    }


if __name__ == "__main__":
    buffer = io.BytesIO()
    np.savez(buffer, **speak(json.load(sys.stdin), *sys.argv[1:]))
    sys.stdout.buffer.write(buffer.getvalue())
