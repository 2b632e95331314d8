"""Published speech beside its recordings: made-up files, damaged ones, and the real ones."""

import shutil

import numpy as np
import pytest
import soundfile

from diffbook.datasets import fetch, released


@pytest.fixture
def made(data, monkeypatch):
    monkeypatch.setenv("DIFFBOOK_DATA", str(data))
    return data / "diffar_speech"


@pytest.fixture
def own(made, tmp_path, monkeypatch):
    """A copy that may be damaged."""
    shutil.copytree(made, tmp_path / "diffar_speech")
    monkeypatch.setenv("DIFFBOOK_DATA", str(tmp_path))
    return tmp_path / "diffar_speech"


def test_sentences_come_with_the_runs_of_each_model(made):
    found = {one.name: one for one in released.sentences("ljspeech")}
    assert list(found) == ["LJ003-0228", "LJ034-0183", "LJ038-0257", "LJ050-0116"]
    assert all(list(one.runs) == list(released.MODELS) for one in found.values())
    several = found["LJ050-0116"]
    assert {model: len(runs) for model, runs in several.runs.items()} == {
        "diffar_p_200": 4, "diffar_200": 2, "diffar_1000": 1, "diffar_e_200": 4
    }  # fmt: skip
    assert several.original.dtype == several.runs["diffar_200"].dtype == np.float32
    for model, runs in several.runs.items():
        for k, run in enumerate(runs):
            path = made / "ljspeech_generated" / f"LJ050-0116__{model}__{k}.wav"
            np.testing.assert_array_equal(run, soundfile.read(path, dtype="float32")[0])
    original = soundfile.read(made / "ljspeech_original" / "LJ050-0116.wav", dtype="float32")[0]
    np.testing.assert_array_equal(several.original, original)


def test_each_speaker_of_vctk_was_read_by_one_model(made):
    found = released.sentences("vctk")
    assert len(found) == 10
    assert all({k: len(v) for k, v in one.runs.items()} == {"diffar_200": 1} for one in found)


def test_babbles_know_their_frames_and_joints(made):
    found = {one.name: one for one in released.babbles()}
    assert len(found) == 13
    long = found["uncond__L1000_L0500__3"]
    assert (long.frame, long.overlap) == (16_000, 8_000)
    np.testing.assert_array_equal(long.joints, [16_000])  # 24,000 samples: a frame, and half of one
    cut = found["uncond__L400_L0200__1"]
    assert (cut.frame, cut.overlap, cut.joints) == (6_400, 3_200, None)
    alone = found["uncond__L500_L0250__0"]
    assert (alone.frame, alone.overlap, alone.joints.shape) == (8_000, 4_000, (0,))


def test_what_is_no_such_speech_is_refused_with_its_name(own):
    path = own / "ljspeech_generated" / "LJ034-0183__diffar_200__0.wav"
    wave, _ = soundfile.read(path, dtype="float32")
    for bad, rate, words in (
        (wave, 8000, "got 8000 Hz, expected 16000"),
        (wave[1:], 16000, rf"samples: expected shape \({len(wave)},\), got \({len(wave) - 1},\)"),
        (np.stack([wave, wave], axis=1), 16000, "samples: expected 1 dimensions"),
        (np.where(wave == wave.max(), np.nan, wave), 16000, r"samples\[\d+\] = nan"),
    ):
        soundfile.write(path, bad, rate, subtype="FLOAT")
        with pytest.raises(ValueError, match=words) as error:
            released.sentences("ljspeech")
        assert str(error.value).startswith(f"{path}: ")
    path.unlink()
    with pytest.raises(
        FileNotFoundError, match=r"'diffar_speech' is neither under .*\(commit 1792a323"
    ):
        released.babbles()


@pytest.mark.realdata
def test_the_real_files_are_the_published_ones():
    files = fetch.dataset("diffar_speech").files
    for file, path in zip(files, fetch.fetch("diffar_speech"), strict=True):
        assert fetch.intact(path, file.sha256), path
    seconds = sum(len(one.original) for one in released.sentences("ljspeech")) / 16000
    assert seconds == pytest.approx(13.4, abs=0.05)
    joints = [one.joints for one in released.babbles()]
    assert [len(j) for j in joints if j is not None] == [5, 5, 5, 20]
