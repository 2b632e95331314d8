"""Sentences of known words: which words, in which split, and how they agree."""

import re
from itertools import pairwise

import pytest

from diffbook.datasets import aligned, sentences, speech

ALL = {split: sentences.words(split) for split in ("train", "validation", "test")}


def vocabulary(split):
    return [word for found in ALL[split].values() for word in found]


def test_test_words_are_held_out_of_training():
    train, test = vocabulary("train"), vocabulary("test")
    both = train + test
    assert len(both) == len(set(both)) == 193
    assert 0.18 < len(test) / len(both) < 0.23
    assert all(ALL["test"].values())
    assert ALL["validation"] == ALL["train"]


def test_every_word_is_used_and_no_other():
    for split in ALL:
        glue = set(re.findall(r"[a-z]+", re.sub(r"\{\w+\}", "", " ".join(sentences._PATTERNS))))
        nouns = ALL[split]["noun"]
        known = {*vocabulary(split), *map(sentences._plural, nouns), *glue, "a", "an"}
        used = {word for text in sentences.texts(2000, split, 4) for word in text.split()}
        assert used <= known
        assert set(vocabulary(split)) <= used


def test_numbers_and_articles_agree():
    for split in ALL:
        plurals = set(map(sentences._plural, ALL[split]["noun"]))
        singular = set(ALL[split]["noun"])
        assert not plurals & singular
        for text in sentences.texts(500, split, 1):
            words = text.split()
            assert 6 <= len(words) <= 9
            assert re.fullmatch("[a-z ]+", text)
            counted = [words[i:] for i, word in enumerate(words) if word in ALL[split]["number"]]
            assert len(counted) == len(plurals & set(words))
            for after in counted:
                assert plurals & set(after[1:3])
            for article, word in pairwise(words):
                if article in ("a", "an"):
                    assert (article == "an") == (word[0] in "aeiou")


def test_both_articles_occur():
    text = " ".join(sentences.texts(1000, "train", 0))
    assert re.search(r"\ban (orange|apple|engine|evening)\b", text)
    assert re.search(r"\ba (river|garden)\b", text)


@pytest.mark.parametrize(
    ("noun", "plural"),
    [("city", "cities"), ("journey", "journeys"), ("miller", "millers"), ("peach", "peaches"),
     ("box", "boxes"), ("brush", "brushes"), ("glass", "glasses"), ("village", "villages")],
)  # fmt: skip
def test_plurals(noun, plural):
    assert sentences._plural(noun) == plural


def test_a_longer_list_begins_with_a_shorter_one():
    long = sentences.texts(50, "train", 7)
    assert sentences.texts(20, "train", 7) == long[:20]
    assert sentences.texts(50, "train", 8) != long
    assert len(set(long)) == 50
    # All patterns: every kind of sentence begins in another way.
    assert {"the", "my", "a"} < {text.split()[0] for text in long}


def test_training_words_have_every_phone_of_test_words(tmp_path):
    """And each phone in two words or more, so that none stands for its word."""
    heard = {}
    for split in ("train", "test"):
        spoken = speech.speak(
            [speech.Utterance(word) for word in vocabulary(split)], 8000, cache=tmp_path
        )
        heard[split] = [set(aligned.from_spoken(one, 8000).phones) for one in spoken]
    names = set().union(*heard["train"])
    assert set().union(*heard["test"]) <= names <= set(aligned.SYMBOLS)
    for name in names:
        assert sum(name in one for one in heard["train"]) >= 2, name


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"split: got 'tset', .*did you mean 'test'"):
        sentences.words("tset")
    with pytest.raises(ValueError, match="n: got 0"):
        sentences.texts(0)
