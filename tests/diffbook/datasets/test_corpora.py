"""Recorded corpora read from files in their layouts, made up here."""

import numpy as np
import pytest
import soundfile
from recordings import PHONES, recording, textgrid

from diffbook.datasets import corpora
from diffbook.datasets.corpora import ARPABET, ljspeech, vctk


@pytest.fixture(autouse=True)
def local_data(data, monkeypatch):
    monkeypatch.setenv("DIFFBOOK_DATA", str(data))


@pytest.fixture
def ljs(tmp_path):
    """A folder of LJSpeech with one recording that may be broken."""
    return tmp_path, *recording(tmp_path / "wavs", "LJ001-0001.wav", 22050)


def test_the_alphabet_has_the_papers_72_symbols():
    assert len(ARPABET) == len(set(ARPABET)) == 72
    assert ARPABET[0] == ""
    assert ARPABET[70:] == ("spn", "sil")
    assert list(ARPABET[1:70]) == sorted(ARPABET[1:70])
    assert (ARPABET[1], ARPABET[69]) == ("AA0", "ZH")
    assert sum(name[-1:] in "012" for name in ARPABET[1:70]) == 45


def test_the_papers_test_files_are_131():
    names = corpora._test_files()
    assert len(names) == 131
    assert {"LJ002-0019", "LJ003-0228", "LJ034-0183", "LJ038-0257", "LJ050-0116"} <= names
    assert (min(names), max(names)) == ("LJ002-0019", "LJ050-0216")


@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_clip_is_resampled_and_its_phones_placed(rate):
    corpus = ljspeech("train", sample_rate=rate)
    one = corpus[0]
    assert one.phones == ("", "HH", "AH0", "spn")
    ends = [round(end * rate) for _, end in PHONES]
    np.testing.assert_array_equal(one.intervals[:, 1], ends)
    assert len(one.samples) == ends[-1]
    assert (one.samples.dtype, one.sample_rate, one.speaker) == (np.float32, rate, None)
    middle = slice(rate // 10, -rate // 10)
    wanted = 0.3 * np.sin(2 * np.pi * 440 * np.arange(ends[-1]) / rate)
    np.testing.assert_allclose(one.samples[middle], wanted[middle], atol=2e-3)


def test_sound_of_the_wanted_rate_is_not_resampled(tmp_path):
    sound, _ = recording(tmp_path / "wavs", "LJ001-0001.wav", 16000)
    (one,) = ljspeech("train", folder=tmp_path)
    np.testing.assert_array_equal(one.samples, soundfile.read(sound, dtype="float32")[0])


def test_splits_of_ljspeech():
    names = {s: [p.stem for p in ljspeech(s).sounds] for s in ("train", "validation", "test")}
    assert names == {
        "train": ["LJ001-0001", "LJ001-0002"],
        "validation": ["LJ002-0046"],
        "test": ["LJ002-0019", "LJ050-0216"],
    }


def test_splits_and_speakers_of_vctk():
    numbers = {
        split: [
            (clip.speaker, path.stem[5:8]) for clip, path in zip(found, found.sounds, strict=True)
        ]
        for split in ("train", "validation", "test")
        for found in [vctk(split, sample_rate=8000)]
    }
    assert numbers["train"] == [(p, n) for p in ("p225", "p226") for n in ("001", "041")]
    assert numbers["validation"] == [(p, n) for p in ("p225", "p226") for n in ("010", "030")]
    assert numbers["test"] == [("p225", "020"), ("p226", "020")]
    assert set(vctk("train", speakers=("p226",)).speakers) == {"p226"}
    with pytest.raises(ValueError, match=r"speakers: got 'p22', .*did you mean 'p22[56]'"):
        vctk("train", speakers=("p226", "p22"))
    with pytest.raises(ValueError, match="speakers: got 'p226', expected names such as"):
        vctk("train", speakers="p226")


def test_a_corpus_is_a_sequence_that_reads_when_asked(tmp_path):
    for i in (1, 2, 3):
        sound, _ = recording(tmp_path / "wavs", f"LJ001-000{i}.wav", 22050)
    corpus = ljspeech("train", folder=tmp_path)
    sound.unlink()
    assert len(corpus) == 3
    assert corpus[-2].phones == corpus[1].phones
    with pytest.raises(soundfile.LibsndfileError):
        corpus[2]
    with pytest.raises(IndexError):
        corpus[3]


def test_short_files_are_left_out_of_every_list(tmp_path):
    short = tuple((name, round(end * 0.8, 3)) for name, end in PHONES)  # 0.496 s
    for name, phones in (("1", PHONES), ("2", short), ("3", PHONES)):
        recording(tmp_path / "wavs", f"LJ001-000{name}.wav", 22050, phones)
    corpus = ljspeech("train", folder=tmp_path)
    for files in (corpus.sounds, corpus.alignments):
        assert [path.stem[-1] for path in files] == ["1", "3"]
    assert len(corpus.speakers) == 2
    assert len(ljspeech("train", folder=tmp_path, shortest=0.4)) == 3
    # A short file needs no alignment.
    (tmp_path / "TextGrid" / "LJ001-0002.TextGrid").unlink()
    assert len(ljspeech("train", folder=tmp_path)) == 2


def test_a_missing_alignment_is_named(ljs):
    folder, _, alignment = ljs
    alignment.unlink()
    with pytest.raises(FileNotFoundError, match=r"LJ001-0001\.TextGrid: missing, .* 1 of 1 files"):
        ljspeech("train", folder=folder)


def test_a_missing_corpus_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("DIFFBOOK_DATA")
    monkeypatch.chdir(tmp_path)
    for load, words in ((ljspeech, r"wavs/\*\.wav"), (vctk, "wav48_silence_trimmed")):
        with pytest.raises(
            FileNotFoundError, match=rf"{words}.*DIFFBOOK_DATA is not set.* got 0 files"
        ):
            load("train")


def test_another_rate_or_two_channels_are_refused(ljs):
    folder, sound, _ = ljs
    soundfile.write(sound, np.zeros(30000), 44100)
    words = r"0001\.wav: got 44100 Hz and 1 channel.*22050 Hz as published, or of sample_rate 16000"
    with pytest.raises(ValueError, match=words):
        ljspeech("train", folder=folder)
    soundfile.write(sound, np.zeros((20000, 2)), 22050)
    with pytest.raises(ValueError, match=r"got 22050 Hz and 2 channel"):
        ljspeech("train", folder=folder)


def test_sound_that_is_no_number_is_refused(ljs):
    folder, sound, _ = ljs
    wave = np.zeros(round(0.62 * 22050), np.float32)
    wave[100] = np.nan
    soundfile.write(sound, wave, 22050, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"0001\.wav: samples\[100\] = nan"):
        ljspeech("train", folder=folder)[0]


@pytest.mark.parametrize(
    ("phones", "words"),
    [
        ((*PHONES[:3], ("ɛ", 0.62)), "phones: got 'ɛ', expected names among the 72 symbols"),
        ((*PHONES[:3], ("AH", 0.62)), "phones: got 'AH'"),
        ((*PHONES[:3], ("sil", 0.7)), r"longer than the sound: .*0\.7000 s"),
        ((*PHONES[:3], ("sil", 0.6)), "shorter than the sound"),
    ],
)
def test_an_alignment_that_does_not_fit_is_refused(ljs, phones, words):
    folder, _, alignment = ljs
    alignment.write_text(textgrid(phones), "utf-8")
    with pytest.raises(ValueError, match=rf"LJ001-0001\.TextGrid: .*{words}"):
        ljspeech("train", folder=folder)[0]
