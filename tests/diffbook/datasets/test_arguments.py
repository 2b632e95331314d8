"""Every argument of the loaders refuses nonsense by its name."""

import numpy as np
import pytest
from nonsense import case, table_tests

from diffbook.datasets import (
    aligned,
    audio,
    cifar,
    corpora,
    digits,
    fetch,
    keywords,
    mnist,
    photos,
    pronunciation,
    released,
    rooms,
    sentences,
    spectrograms,
    speech,
    textgrid,
)

SIGNAL = np.sin(np.arange(30.0))
SIGNED = {"signal": ("negative", "a signal has any sign")}
CLIPS = np.random.default_rng(0).standard_normal((2, 256))
SEEDS = np.array([3, 4])
ANY_SOUND = ("negative", "a sound has any sign")
DECIBELS = ("negative", "decibels have any sign")
Z = np.random.default_rng(1).standard_normal((1, 2 * spectrograms.BINS, 3))
SPOKEN = speech.Spoken(np.ones(9, np.float32), ("a", "b"), np.array([0, 5]))
INTERVALS = np.array([[0, 4], [4, 9]])
NAMES = {"phones": ("text", "phones have any name")}

CASES = [
    case(
        aligned.Clip, {**NAMES, "speaker": ("text", "people have any name")}, samples=SPOKEN.samples,
        phones=("a", "b"), intervals=INTERVALS, sample_rate=8000, speaker="m3", f0=110.0,
    ),
    case(aligned.tiling, intervals=INTERVALS),
    case(
        aligned.indices, {"symbols": ("text", "symbols have any name")},
        phones=("b", "b"), symbols=("a", "b"),
    ),
    case(aligned.energy, {"samples": ANY_SOUND}, samples=np.arange(9.0), intervals=INTERVALS),
    case(
        aligned.spread, {"values": ("negative", "values have any sign")},
        values=np.array([0.5, 2.0]), intervals=INTERVALS, start=1, stop=6,
    ),
    case(
        aligned.from_spoken, {"speaker": ("text", "people have any name")},
        spoken=SPOKEN, sample_rate=8000, lead=0.2, tail=0.1, f0=110.0, speaker="m3",
    ),
    case(
        aligned.synthetic,
        split="train", n=2, sample_rate=8000, f0=(85, 150), voices=("m3",), seed=1, cache=None,
    ),
    case(sentences.words, split="test"),
    case(sentences.texts, n=2, split="test", rng=0),
    case(textgrid.to_samples, seconds=np.array([[0, 0.2], [0.2, 0.5]]), sample_rate=100.0, n=50),
    case(corpora.ljspeech, split="train", folder=None, sample_rate=16000, shortest=0.5),
    case(
        corpora.vctk,
        split="train", speakers=("p225",), folder=None, sample_rate=16000, shortest=0.5,
    ),
    case(
        pronunciation.pronounce, {"text": ("text", "nonsense is a word")},
        text="no", alphabet="arpabet", cache=None,
    ),
    case(released.sentences, corpus="vctk"),
    case(released.babbles),
    case(audio.note, midi=60.0, seconds=0.1, sample_rate=8000, velocity=0.5, inharmonicity=1e-4, rng=0),
    case(audio.melody, seconds=0.2, sample_rate=8000, rng=0),
    case(audio.segments, SIGNED, signal=SIGNAL, n=2, length=5, rng=0),
    case(audio.piano, n=2, length=5, sample_rate=8000, split="train", rng=0),
    case(audio.speech, n=2, length=5, split="train", rng=0),
    case(cifar.images, split="train", labels=True),
    case(digits.images, split="train", labels=True),
    case(mnist.images, split="test", labels=True),
    case(photos.photograph, name="camera"),
    case(photos.tiles, split="train", photographs=("camera",)),
    case(photos.patches, n=2, size=4, split="train", rng=0),
    case(photos.colour_crops, n=2, size=8, split="train", rng=0),
    case(speech.voices),
    case(
        speech.Utterance, {"text": ("text", "any text can be spoken")},
        text="no", voice="m3", rate=170, pitch=50, intonation=50, f0=120,
    ),
    case(speech.speak, utterances=[speech.Utterance("no")], sample_rate=8000, cache=None),
    case(keywords.clips, split="test"),
    case(keywords.digits, split="test"),
    case(
        rooms.impulse_responses, {"direct_db": DECIBELS},
        seeds=SEEDS, length=50, rt60=(0.2, 0.3), direct_db=(1.0, 2.0), sample_rate=8000,
    ),
    case(
        rooms.reverberate, {"x": ANY_SOUND, "before": ANY_SOUND, "direct_db": DECIBELS},
        x=CLIPS, seeds=SEEDS, rt60=(0.2, 0.3), direct_db=(1.0, 2.0), before=CLIPS, sample_rate=8000,
    ),
    case(
        rooms.add_noise, {"x": ANY_SOUND, "pool": ANY_SOUND, "snr_db": DECIBELS},
        x=CLIPS, seeds=SEEDS, snr_db=(1.0, 2.0), pool=CLIPS, talkers=2,
    ),
    case(rooms.to_peak, {"u": ANY_SOUND, "x": ANY_SOUND}, u=CLIPS, x=CLIPS),
    case(spectrograms.spectrogram, {"x": ANY_SOUND}, x=CLIPS),
    case(spectrograms.waveform, {"z": ANY_SOUND}, z=Z),
    case(spectrograms.mel_filters, mels=8, sample_rate=8000),
    case(spectrograms.log_mel, {"z": ANY_SOUND}, z=Z, mels=8, range_db=40.0, sample_rate=8000),
    case(fetch.describe, name="mnist"),
    case(fetch.dataset, name="mnist"),
    case(fetch.local, name="mnist"),
    case(fetch.files, name="fsdd"),
    case(fetch.cache_folder, cache=None),
    case(fetch.fetch, name="fsdd", cache=None, report=None),
]  # fmt: skip
EXEMPT = {
    "File": "a record",
    "Dataset": "a record",
    "Dataset.intact": "takes a record and any path",
    "Archive": "a record",
    "content": "takes arrays that converters make",
    "Spoken": "a record",
    "Clips": "a record",
    "Corpus": "a record",
    "Read": "a record",
    "Babble": "a record",
    "arrays": "takes kinds and shapes that loaders write down; damaged files are in test_fetch",
    "intact": "compares texts",
    "read_textgrid": "needs a file; its tiers and damaged files are in test_textgrid",
    "read_idx": "takes shapes that the loader writes down; damaged files are in test_mnist",
    "main": "a command; argparse has its choices",
}


@pytest.fixture(autouse=True)
def local_data(data, monkeypatch):
    monkeypatch.setenv("DIFFBOOK_DATA", str(data))


test_nonsense_is_refused_by_name, test_valid_calls_succeed, test_no_name_is_missing = table_tests(
    "diffbook.datasets", CASES, EXEMPT
)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: audio.segments(np.zeros(10), 2, length=11),
            r"length: got 11, .* 1 to 10 \(the sig",
        ),
        (lambda: photos.patches(1, size=65), r"size: got 65, .*\(a patch lies inside one tile\)"),
        (lambda: photos.patches(0), "n: got 0, expected a whole number of at least 1"),
        (lambda: photos.photograph("kamera"), "name: got 'kamera', .*did you mean 'camera'"),
        (lambda: audio.piano(2, sample_rate=44100), r"sample_rate: got 44100, .*\[8000, 16000\]"),
        (lambda: audio.melody(sample_rate=2000), "sample_rate: got 2000, .* at least 4000"),
    ],
)
def test_limits_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
