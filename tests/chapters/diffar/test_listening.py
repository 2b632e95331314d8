"""Players hold the sound that they were given, and nothing that is written on them becomes a tag."""

import base64
import io
import re

import numpy as np
import pytest
import soundfile
from bs4 import BeautifulSoup

from chapters.diffar.listening import flac, player
from chapters.diffar.steps import RATE


def wave(n=4000, loud=0.9, rate=RATE):
    t = np.arange(n) / rate
    return loud * np.sin(2 * np.pi * 220 * t) * np.linspace(0, 1, n)


@pytest.mark.parametrize("rate", [RATE, 16000])
def test_flac_gives_the_samples_back(rate):
    x = np.round(32768 * wave()) / 32768
    for sound in (x, x.astype(np.float32)):
        found, at = soundfile.read(io.BytesIO(flac(sound, rate)))
        assert at == rate
        np.testing.assert_array_equal(found, x)
    info = soundfile.info(io.BytesIO(flac(x, rate)))
    assert (info.format, info.subtype, info.channels) == ("FLAC", "PCM_16", 1)
    assert flac(x) == flac(x)


def test_samples_between_two_steps_are_rounded_to_the_nearer():
    x = np.array([0.0, 0.4, 0.6, -0.4, -0.6, 32766.6, -32767.6, 32767.7]) / 32768
    found, _ = soundfile.read(io.BytesIO(flac(np.tile(x, 100))), dtype="int16")
    assert found[:8].tolist() == [0, 0, 1, 0, -1, 32767, -32768, 32767]


@pytest.mark.parametrize("bad", [1.0, -1.0, 3.5, np.nan, np.inf])
def test_clipped_sound_is_refused(bad):
    x = wave()
    x[7] = bad
    words = "wave: got samples up to .*expected less than 1"
    with pytest.raises(ValueError, match=words):
        flac(x)
    with pytest.raises(ValueError, match=words):
        player("a", x)


def test_a_player_holds_its_sound_and_its_label():
    x, label = np.round(32768 * wave()) / 32768, "the \"base\" <b>model</b> & 'more'"
    html = player(label, x)
    tags = BeautifulSoup(html, "html.parser").find_all()
    (audio,) = (tag for tag in tags if tag.name == "audio")
    assert "b" not in {tag.name for tag in tags}
    assert audio["aria-label"] == label
    assert audio.has_attr("controls") and not audio.has_attr("autoplay")
    kind, data = re.fullmatch(r"data:(audio/\w+);base64,(.*)", audio["src"]).groups()
    assert kind == "audio/flac"
    found, rate = soundfile.read(io.BytesIO(base64.b64decode(data, validate=True)))
    assert rate == RATE
    np.testing.assert_array_equal(found, x)
