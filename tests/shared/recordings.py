"""Made-up recordings with alignments, in the layouts of the real corpora."""

import numpy as np
import soundfile

from diffbook.datasets import fetch

#: Names and ends in seconds of the phones of a made-up recording.
PHONES = (("", 0.2), ("HH", 0.35), ("AH0", 0.4), ("spn", 0.62))


def textgrid(phones, tier="phones", end=None):
    """An alignment in Praat's long format, with a tier of words before."""
    end = end or phones[-1][1]
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end}",
             "tiers? <exists>", "size = 2", "item []:"]  # fmt: skip
    for number, (name, labels) in enumerate((("words", (("uh", end),)), (tier, phones)), start=1):
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f'        name = "{name}"',
                  "        xmin = 0", f"        xmax = {end}",
                  f"        intervals: size = {len(labels)}"]  # fmt: skip
        start = 0
        for i, (label, stop) in enumerate(labels, start=1):
            lines += [f"        intervals [{i}]:", f"            xmin = {start}",
                      f"            xmax = {stop}", f'            text = "{label}"']  # fmt: skip
            start = stop
    return "\n".join(lines) + "\n"


def recording(top, name, sample_rate, phones=PHONES):
    """Write a sine that fits the phones, and its alignment, in the layout of a corpus."""
    sound = top / name
    alignment = top.parent / "TextGrid" / name
    for path in (sound, alignment):
        path.parent.mkdir(parents=True, exist_ok=True)
    n = round(phones[-1][1] * sample_rate)
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(n) / sample_rate)
    soundfile.write(sound, wave.astype(np.float32), sample_rate)
    alignment.with_suffix(".TextGrid").write_text(textgrid(phones))
    return sound, alignment.with_suffix(".TextGrid")


def corpora(folder):
    """A few files in the layouts of LJSpeech and VCTK."""
    for name in ("LJ001-0001", "LJ001-0002", "LJ002-0019", "LJ050-0216", "LJ002-0046"):
        recording(folder / "ljspeech" / "wavs", f"{name}.wav", 22050)
    for speaker in ("p225", "p226"):
        for number in (1, 10, 20, 30, 41):
            name = f"{speaker}/{speaker}_{number:03}_mic2.flac"
            recording(folder / "vctk" / "wav48_silence_trimmed", name, 48000)


def released_speech(folder):
    """Noise under each name of the published speech: a length each for sentence and kind of frames."""
    lengths = {"L1000": 24_000, "L400": 9_700, "L500": 8_000}
    for i, file in enumerate(fetch.DATASETS["diffar_speech"].files):
        path = folder / "diffar_speech" / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        name, _, kind = path.stem.partition("__")
        digits = int("".join(filter(str.isdigit, name))[-3:] or 0)
        n = lengths[kind.split("_")[0]] if name == "uncond" else 10 + digits
        wave = np.random.default_rng(i).uniform(-1, 1, n).astype(np.float32)
        soundfile.write(path, wave, 16000, subtype="FLOAT")
