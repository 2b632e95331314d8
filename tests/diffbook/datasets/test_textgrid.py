"""Alignments in Praat's formats, and their places in samples."""

import numpy as np
import pytest
from recordings import PHONES, textgrid

from diffbook.datasets.textgrid import SLACK, read_textgrid, to_samples

NAMES = tuple(name for name, _ in PHONES)
ENDS = [end for _, end in PHONES]
SECONDS = np.array([[0, 0.2], [0.2, 0.35], [0.35, 0.4], [0.4, 0.62]])


def short_format(phones):
    """Praat's short text format, with one tier."""
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", 0, phones[-1][1],
             "<exists>", 1, '"IntervalTier"', '"phones"', 0, phones[-1][1], len(phones)]  # fmt: skip
    start = 0
    for label, end in phones:
        lines += [start, end, f'"{label}"']
        start = end
    return "\n".join(map(str, lines)) + "\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("written", [textgrid, short_format])
def test_both_formats_are_read_in_each_encoding(tmp_path, written, encoding):
    path = tmp_path / "a.TextGrid"
    path.write_text(written(PHONES), encoding)
    labels, seconds = read_textgrid(path)
    assert labels == NAMES
    np.testing.assert_array_equal(seconds, SECONDS)


def test_labels_keep_their_letters_and_silence_its_place(tmp_path):
    path = tmp_path / "a.TextGrid"
    path.write_text(textgrid((("", 0.1), (" ɛː ", 0.2), ('say ""no""', 0.3), ("", 0.4))), "utf-8")
    assert read_textgrid(path)[0] == ("", "ɛː", 'say "no"', "")


def test_a_tier_is_chosen_by_name_or_number(tmp_path):
    path = tmp_path / "a.TextGrid"
    path.write_text(textgrid(PHONES, tier="ann - phones"), "utf-8")
    assert read_textgrid(path, "ann - phones")[0] == NAMES
    assert read_textgrid(path, 1)[0] == NAMES
    assert read_textgrid(path, 0)[0] == ("uh",)
    with pytest.raises(
        ValueError, match=r"tier: got 'phones', .*\['words', 'ann - phones'\] of .*a\.T"
    ):
        read_textgrid(path)
    with pytest.raises(ValueError, match="tier: got 2, expected a whole number from 0 to 1"):
        read_textgrid(path, 2)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: "no alignment",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("xmax = 0.35", "xmax = o.35"),
        lambda text: text.replace("xmax = 0.35", "xmax = 0.1"),
        lambda text: text.replace("xmin = 0.35", "xmin = 0.3"),
    ],
    ids=["empty", "nonsense", "cut", "no number", "ends before it begins", "overlap"],
)
def test_damaged_files_are_named(tmp_path, damage):
    path = tmp_path / "bad.TextGrid"
    path.write_text(damage(textgrid(PHONES)), "utf-8")
    with pytest.raises(ValueError, match=r"bad\.TextGrid: expected a TextGrid of Praat, got"):
        read_textgrid(path)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.TextGrid"):
        read_textgrid(tmp_path / "none.TextGrid")


def test_a_tier_of_points_is_none_of_intervals(tmp_path):
    path = tmp_path / "a.TextGrid"
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", 0, 1, "<exists>", 1,
             '"TextTier"', '"phones"', 0, 1, 1, 0.5, '"x"']  # fmt: skip
    path.write_text("\n".join(map(str, lines)) + "\n", "utf-8")
    with pytest.raises(ValueError, match="tier: got 'phones', expected one with intervals"):
        read_textgrid(path)


def test_bounds_are_rounded_to_the_nearest_sample():
    seconds = np.array([[0, 0.1006], [0.1006, 0.24949], [0.24949, 0.3]])
    np.testing.assert_array_equal(
        to_samples(seconds, 1000, 300), [[0, 101], [101, 249], [249, 300]]
    )


def test_the_end_may_be_off_by_what_was_rounded_and_no_more():
    for last in (0.62 - 0.9 * SLACK, 0.62, 0.62 + 0.9 * SLACK):
        seconds = SECONDS.copy()
        seconds[-1, 1] = last
        assert to_samples(seconds, 8000, 4960)[-1].tolist() == [3200, 4960]
    for n, word in ((4960 - 9, "longer"), (4960 + 9, "shorter")):
        with pytest.raises(
            ValueError, match=rf"alignment is {word} than the sound: .*0\.6200 s, .*{n}"
        ):
            to_samples(SECONDS, 8000, n)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ((0, 0), 0.1, "seconds: intervals: the first begins at 800, expected 0"),
        ((1, 1), 0.3, r"ends at 0\.3000 s and the next begins at 0\.3500 s"),
        ((2, 0), 0.36, r"ends at 0\.3500 s and the next begins at 0\.3600 s"),
        ((2, 0), 0.34, r"ends at 0\.3500 s and the next begins at 0\.3400 s"),
    ],
)
def test_what_does_not_tile_is_refused_with_numbers(place, value, words):
    seconds = SECONDS.copy()
    seconds[place] = value
    with pytest.raises(ValueError, match=words):
        to_samples(seconds, 8000, 4960)


def test_a_phone_shorter_than_half_a_sample_is_refused():
    seconds = np.array([[0, 0.1], [0.1, 0.10001], [0.10001, 0.3]])
    with pytest.raises(ValueError, match=r"seconds: intervals\[1\] = \[800, 800\) is empty"):
        to_samples(seconds, 8000, 2400)
    with pytest.raises(ValueError, match=r"seconds: got shape \(2, 3\)"):
        to_samples(seconds.T, 8000, 2400)
