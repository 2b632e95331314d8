"""From text to phones in both alphabets."""

import pytest

from diffbook.datasets import pronunciation
from diffbook.datasets.aligned import SILENCE, SYMBOLS
from diffbook.datasets.corpora import ARPABET
from diffbook.datasets.pronunciation import pronounce


def said(text):
    """Phones without stress, words joined, silence as a bar."""
    return "".join(phone.rstrip("012") or "|" for phone in pronounce(text))


def test_words_follow_each_other_without_silence_until_the_end():
    """The released front-end gives these phones for its own example."""
    wanted = "P ER1 S IH0 N AH0 L R IY0 L EY1 SH AH0 N Z "
    assert pronounce("Personal relations") == tuple(wanted.split(" "))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("no, no", "NOW|NOW|"),
        ("no. no", "NOW|NOW|"),
        ("no; no", "NOW|NOW|"),
        ("no? no! no: no", "NOW|NOW|NOW|NOW|"),
        ("no ... no ?! no", "NOW|NOW|NOW|"),
        ("no , no.", "NOW|NOW|"),
        (", no", "NOW|"),
        ("no-no", "NOWNOW|"),
        ('(no) "no"\nno', "NOWNOWNOW|"),
        ("'no' ' no", "NOWNOW|"),
        ("don't", "DOWNT|"),
        ("don’t", "DOWNT|"),
        ("'em", "AHM|"),
        ("NO", "NOW|"),
    ],
)
def test_marks_become_silence_or_nothing(text, wanted):
    assert said(text) == wanted


def test_the_first_pronunciation_is_taken():
    assert pronounce("read")[:-1] == ("R", "EH1", "D")
    assert pronounce("boxes")[:-1] == ("B", "AA1", "K", "S", "AH0", "Z")


@pytest.mark.parametrize("text", ["", "  \n", "...", "'", "?!", None, 3, "a\0b"])
def test_a_text_without_words_is_refused(text):
    for alphabet in ("arpabet", "espeak"):
        with pytest.raises(ValueError, match=r"text: got .*expected words"):
            pronounce(text, alphabet)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "the xyzzyq and the bllrgh",
            "text: got 'xyzzyq', 'bllrgh', expected words of the CMU dict",
        ),
        ("12 men", "text: got '1' in '12 men', .*write numbers as words"),
        ("a café", "text: got 'é'"),
        ("three & four", "text: got '&'"),
        ("the İ", "text: got 'İ'"),
    ],
)
def test_unknown_words_and_characters_are_named(text, words):
    with pytest.raises(ValueError, match=words):
        pronounce(text)


def test_the_dictionary_speaks_the_papers_alphabet():
    names = {
        phone for ways in pronunciation._dictionary().values() for way in ways for phone in way
    }
    assert names == set(ARPABET) - {"", "spn", "sil"}


def test_espeak_gives_the_phones_of_the_synthetic_corpus(tmp_path):
    phones = pronounce("Boxes, and xyzzyq.", "espeak", cache=tmp_path)
    assert phones[:8] == ("b", "0", "k", "s", "I#", "z", SILENCE, "a")
    assert phones[-1] == SILENCE
    assert phones.count(SILENCE) == 2
    assert set(phones) <= set(SYMBOLS)
    with pytest.raises(ValueError, match=r"alphabet: got 'espaek', .*did you mean 'espeak'"):
        pronounce("no", "espaek")
