"""Sphinx extension: a bibliography whose labels are what the text says, ``Benita et al., 2025``."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from pybtex.plugin import register_plugin
from pybtex.style.formatting.unsrt import Style as Unsorted
from pybtex.style.labels import BaseLabelStyle


def label(entry: Any) -> str:
    """Surnames and year of an entry."""
    people = entry.persons.get("author") or entry.persons.get("editor") or []
    surnames = [" ".join((*p.prelast_names, *p.last_names)).replace("{", "").replace("}", "") for p in people]  # fmt: skip
    names = surnames[0] + " et al." if len(surnames) > 2 else " and ".join(surnames)
    return f"{names or entry.fields.get('title', entry.key)}, {entry.fields.get('year', 'n.d.')}"


class Labels(BaseLabelStyle):
    """Labels with a letter behind the year where two entries would have the same."""

    def format_labels(self, sorted_entries: Iterable[Any]) -> Iterator[str]:
        """Labels of entries, in their order."""
        labels = [label(entry) for entry in sorted_entries]
        count, seen = Counter(labels), Counter()
        for text in labels:
            letter = chr(ord("a") + seen[text]) if count[text] > 1 else ""
            seen[text] += 1
            yield text + letter


class Style(Unsorted):
    """Entries by author, year and title."""

    default_sorting_style = "author_year_title"
    default_label_style = "surnames_year"


def setup(_app: Any) -> dict[str, bool]:
    """Make the style known."""
    register_plugin("pybtex.style.labels", "surnames_year", Labels)
    register_plugin("pybtex.style.formatting", "surnames_year", Style)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
