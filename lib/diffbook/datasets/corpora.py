"""Recorded speech with aligned phones from `DIFFBOOK_DATA`: LJSpeech and VCTK, read clip by clip.

Sound lies where the corpus has it, alignments beside it as the Montreal Forced Aligner writes them
with its dictionary `english_us_arpa`; both paths differ by the top folder and the ending alone::

    ljspeech/wavs/LJ001-0001.wav            ljspeech/TextGrid/LJ001-0001.TextGrid
    vctk/wav48_silence_trimmed/p225/p225_001_mic2.flac
                                            vctk/TextGrid/p225/p225_001_mic2.TextGrid

Sound may also have been resampled before, to the very rate that is asked for.

Source: Benita, Elad, Keshet 2023 (arXiv 2310.01381): alphabet, test files of LJSpeech, shortest file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import gcd
from operator import index
from pathlib import Path
from zlib import crc32

import numpy as np

from diffbook._checks import NON_NEGATIVE, choice, real, reals
from diffbook._optional import need
from diffbook.datasets.aligned import Clip, indices
from diffbook.datasets.textgrid import read_textgrid, to_samples

_VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW"
_CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH"
#: The paper's 72 symbols, whose indices count from 1: silence, ARPAbet with stress, noise, pause.
ARPABET = (
    "",
    *sorted([*_CONSONANTS.split(), *(vowel + s for vowel in _VOWELS.split() for s in "012")]),
    "spn",
    "sil",
)
_SPLITS = ("train", "validation", "test")
# The released code lists its 131 test files, LJ002-0019 and so on: chapter, then numbers.
_TEST = """
002 0019 0095 0107 0218|003 0196 0228 0305|004 0011 0096 0201 0225 0233|005 0064 0166|006 0296
007 0065 0217|008 0169|010 0124 0197 0215|011 0055 0123 0236|012 0020 0024 0028 0092 0157
013 0004 0252|014 0274|015 0045 0115 0188 0239|016 0255|017 0180 0186 0238
018 0004 0013 0042 0316 0329|019 0169 0243 0252 0361|020 0045 0061|022 0036 0165|023 0079
024 0014 0018 0081|026 0058|027 0001 0121|028 0153 0200 0233 0294|029 0212|030 0115|031 0036
032 0080 0131 0152 0181 0191 0260|033 0102 0133|034 0008 0038 0133 0183|035 0133 0138 0170 0189
036 0064 0170 0203|037 0127|038 0005 0024 0126 0136 0242 0257 0274|039 0216 0218 0222
040 0025 0129 0147|041 0024 0045 0079 0183 0201|042 0071 0194|043 0004 0188|044 0109 0143 0217
045 0062 0080|046 0103 0141 0191 0237|047 0012 0029 0174 0219|048 0019 0174
049 0081 0108 0110 0121|050 0116 0129 0216"""


def _test_files() -> frozenset[str]:
    chapters = (line.split() for line in _TEST.replace("|", "\n").strip().splitlines())
    return frozenset(f"LJ{chapter}-{one}" for chapter, *numbers in chapters for one in numbers)


@dataclass(frozen=True)
class Corpus(Sequence[Clip]):
    """Clips that are read from their files when they are asked for: `corpus[i]`, `for clip in corpus`.

    Reading raises ValueError, with the file's name, for a sound that is not finite, an alignment
    that does not tile it, or a phone that is not in `ARPABET`.

    Parameters
    ----------
    sounds, alignments, speakers
        One file of sound and one TextGrid a clip, and who speaks (None: the only one).
    sample_rate
        Samples a second of the clips.
    """

    sounds: tuple[Path, ...]
    alignments: tuple[Path, ...]
    speakers: tuple[str | None, ...]
    sample_rate: int

    def __len__(self) -> int:
        return len(self.sounds)

    def __getitem__(self, i: int) -> Clip:
        sound, alignment = self.sounds[index(i)], self.alignments[i]
        samples = _samples(sound, self.sample_rate)
        phones, seconds = read_textgrid(alignment)
        try:
            indices(phones, ARPABET)
            intervals = to_samples(seconds, self.sample_rate, len(samples))
        except ValueError as error:
            raise ValueError(f"{alignment}: {error}") from error
        return Clip(samples, phones, intervals, self.sample_rate, self.speakers[i])


def _samples(path: Path, sample_rate: int) -> np.ndarray:
    import soundfile
    from scipy.signal import resample_poly

    wave, rate = soundfile.read(path, dtype="float32")
    reals(wave, f"{path}: samples", ndim=1)
    common = gcd(sample_rate, rate)
    return resample_poly(wave, sample_rate // common, rate // common)


def ljspeech(
    split: str, *, folder: Path | None = None, sample_rate: int = 16000, shortest: float = 0.5
) -> Corpus:
    """LJSpeech 1.1: 24 hours of one woman reading, 13,100 files of 22,050 Hz (public domain).

    Parameters
    ----------
    split : {"train", "validation", "test"}
        Test has the 131 files of the released code. Its validation files are not known; here they
        are chosen by a checksum of the name, about 1 % of the rest.
    folder
        Folder that holds `wavs` and `TextGrid`; default `ljspeech` under `DIFFBOOK_DATA`.
    sample_rate
        8000 or 16000 Hz.
    shortest
        Seconds of a frame: shorter files are left out, sound and alignment.

    Raises
    ------
    FileNotFoundError
        If there is no sound, or not a TextGrid for each.
    ValueError
        If a file has another rate, or more than one channel.
    """
    choice(split, "split", _SPLITS)
    test = _test_files()

    def place(name: str) -> str:
        return "test" if name in test else _SPLITS[crc32(name.encode()) % 98 == 0]

    return _corpus(
        "ljspeech", folder, "wavs/*.wav", 22050, sample_rate, shortest,
        lambda path: (place(path.stem) == split, None),
    )  # fmt: skip


def vctk(
    split: str,
    *,
    speakers: Sequence[str] | None = None,
    folder: Path | None = None,
    sample_rate: int = 16000,
    shortest: float = 0.5,
) -> Corpus:
    """VCTK 0.92: 110 people reading newspapers, second microphone, 48,000 Hz (CC BY 4.0).

    Parameters
    ----------
    split : {"train", "validation", "test"}
        By the number of the sentence modulo 20: 0 is test, 10 validation, with all people in each.
        The sentences that all of them read have the same numbers, so none is in two splits.
    speakers
        Whose clips, such as `("p225", "p226")`; None for all.
    folder
        Folder that holds `wav48_silence_trimmed` and `TextGrid`; default `vctk` under
        `DIFFBOOK_DATA`.
    sample_rate, shortest
        As for :func:`ljspeech`, which also says what is raised.
    """
    choice(split, "split", _SPLITS)
    if speakers is not None and (isinstance(speakers, str) or not speakers):
        raise ValueError(f"speakers: got {speakers!r}, expected names such as ('p225', 'p226')")
    people = sorted(path.name for path in _root("vctk", folder).glob("wav48_silence_trimmed/*"))
    for one in (speakers or ()) if people else ():
        choice(one, "speakers", people)

    def chosen(path: Path) -> tuple[bool, str]:
        speaker, number = path.stem.split("_")[:2]
        place = {0: "test", 10: "validation"}.get(int(number) % 20, "train")
        return place == split and (speakers is None or speaker in speakers), speaker

    return _corpus(
        "vctk", folder, "wav48_silence_trimmed/*/*_mic2.*", 48000, sample_rate, shortest, chosen
    )


def _root(name: str, folder: Path | None) -> Path:
    return Path(folder or Path(os.environ.get("DIFFBOOK_DATA") or ".") / name)


def _corpus(
    name: str,
    folder: Path | None,
    pattern: str,
    own_rate: int,
    sample_rate: int,
    shortest: float,
    chosen: Callable[[Path], tuple[bool, str | None]],
) -> Corpus:
    """Files that were chosen, long enough, and each with its alignment."""
    choice(sample_rate, "sample_rate", (8000, 16000))
    shortest = real(shortest, "shortest", NON_NEGATIVE)
    need("soundfile", "data", "datasets.corpora")
    import soundfile

    root = _root(name, folder)
    found = [(path, *chosen(path)) for path in sorted(root.glob(pattern))]
    kept, missing = [], []
    for path, inside, speaker in found:
        if not inside:
            continue
        sound = soundfile.info(path)
        if sound.samplerate not in (own_rate, sample_rate) or sound.channels != 1:
            raise ValueError(
                f"{path}: got {sound.samplerate} Hz and {sound.channels} channel(s), expected one channel "
                f"of {own_rate} Hz as published, or of sample_rate {sample_rate} Hz"
            )
        if sound.frames < shortest * sound.samplerate:
            continue
        alignment = root / "TextGrid" / path.relative_to(root / Path(pattern).parts[0])
        alignment = alignment.with_suffix(".TextGrid")
        kept.append((path, alignment, speaker))
        if not alignment.is_file():
            missing.append(alignment)
    if missing:
        raise FileNotFoundError(
            f"{missing[0]}: missing, as are the alignments of {len(missing)} of {len(kept)} files; make "
            "them with `mfa align` and the dictionary english_us_arpa, or take the sound away"
        )
    if not kept:
        raise FileNotFoundError(
            f"no sound of {name} for this split: expected {root / pattern} (DIFFBOOK_DATA is "
            f"{os.environ.get('DIFFBOOK_DATA') or 'not set'}), got {len(found)} files of any split"
        )
    sounds, alignments, people = zip(*kept, strict=True)
    return Corpus(sounds, alignments, people, sample_rate)
