"""Short English sentences without end, made of known words: what models that speak are taught with.

A sentence is drawn by a pattern, such as "a miller carries seven green baskets". The words of the test
sentences do not occur in the training ones, but for those that stand in the patterns themselves.
"""

from __future__ import annotations

import re

import numpy as np

from diffbook._checks import choice, generator, whole

# Every fifth word of a list is for the test, the first one too.
_HELD_OUT = 5
# No word is in two lists; every phone of eSpeak NG in a test word is in several training words.
_LISTS = {
    "adjective": """
        old young small large green yellow silver golden heavy light gentle quiet noisy angry
        happy thirsty clever foolish early late warm frozen broken perfect simple famous ancient
        modern narrow wide lonely purple bitter sweet empty honest royal careful brave lazy proud
        shy thick thin rough muddy smooth wooden cheerful tired""",
    "noun": """
        miller basket river mountain garden kitchen teacher student doctor sailor farmer painter
        window table blanket letter bottle button candle ladder hammer bucket pencil paper orange
        cherry apple pepper cabbage mushroom chicken turkey rabbit monkey tiger donkey kitten
        pigeon village city island forest harbour meadow valley castle desert temple station
        market machine engine bicycle picture mirror curtain carpet cushion journey story riddle
        song trumpet treasure whistle cloud storm morning evening winter summer coin""",
    "verb": """
        carries follows watches paints measures forgets discovers collects repairs borrows
        finishes admires visits chooses delivers gathers imagines remembers touches protects
        washes pushes answers copies describes ignores manages orders promises questions""",
    "place": """
        above below behind beside beyond around across near inside outside""",
    "number": """
        two three four five six seven eight nine eleven twelve fourteen sixteen thirty forty""",
    "manner": """
        slowly quickly quietly loudly gladly badly suddenly softly together again today tomorrow""",
    "frequency": """
        always never often seldom rarely""",
}
_PATTERNS = (
    "the {adjective} {noun} {verb} the {noun}",
    "{a} {noun} {verb} {number} {adjective} {nouns}",
    "{number} {nouns} {place} the {adjective} {noun}",
    "the {noun} {verb} her {adjective} {noun} {manner}",
    "my {noun} {frequency} {verb} this {noun} {place} the {noun}",
)


def words(split: str) -> dict[str, list[str]]:
    """Return the words of a split by their kind; nouns are singular.

    Parameters
    ----------
    split : {"train", "validation", "test"}
        Test has a fifth of the words of each kind, training the others; validation has the words
        of training.
    """
    test = choice(split, "split", ("train", "validation", "test")) == "test"
    return {
        kind: [word for i, word in enumerate(text.split()) if (i % _HELD_OUT == 0) == test]
        for kind, text in _LISTS.items()
    }


def texts(n: int, split: str = "train", rng: int | np.random.Generator = 0) -> list[str]:
    """Draw n sentences of 6 to 9 words, small letters without marks.

    Parameters
    ----------
    n
        Number of sentences. A longer list begins with a shorter one of the same seed.
    split : {"train", "validation", "test"}
        Whose words; see :func:`words`.
    rng
        Seed or generator. Validation differs from training by its seed alone: take another one.
    """
    n, rng, lists = whole(n, "n"), generator(rng), words(split)
    return [_fill(_PATTERNS[rng.integers(len(_PATTERNS))], lists, rng) for _ in range(n)]


def _fill(pattern: str, lists: dict[str, list[str]], rng: np.random.Generator) -> str:
    """Put words into a pattern from left to right; `{a}` becomes "a" or "an" by the next letter."""

    def word(place: re.Match) -> str:
        kind = place[1]
        found = lists[kind.removesuffix("s")]
        one = found[rng.integers(len(found))]
        return _plural(one) if kind == "nouns" else one

    text = re.sub(r"\{(\w{2,})\}", word, pattern)
    return re.sub(r"\{a\}(?= ([aeiou])?)", lambda found: "an" if found[1] else "a", text)


def _plural(noun: str) -> str:
    if re.search("[^aeiou]y$", noun):
        return f"{noun[:-1]}ies"
    return f"{noun}es" if re.search("(s|x|ch|sh)$", noun) else f"{noun}s"
