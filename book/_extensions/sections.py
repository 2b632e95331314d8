"""Sphinx extension: the words of every section, so that the search can lead to sections.

Sphinx's index knows pages. The script ``search_sections.js`` adds to each page that it finds those
sections that hold the words, from the list that is written here; it is a script and not a JSON file
because a page that is opened from the disk may load no other.
"""

import json
import re
from pathlib import Path
from typing import Any

from docutils import nodes

SKIPPED = (nodes.math, nodes.math_block, nodes.literal_block, nodes.comment, nodes.target)


def words(node: nodes.Node) -> str:
    """Text of a node without formulas, code, and the sections inside it."""
    if isinstance(node, nodes.raw):
        text = re.sub(r"<(style|script).*?</\1>", " ", node.astext(), flags=re.S)
        text = re.sub(r'<span class="math[^>]*>.*?</span>', " ", text, flags=re.S)
        return re.sub(r"<[^>]+>", " ", text)
    if isinstance(node, nodes.Text):
        return node.astext()
    if isinstance(node, (*SKIPPED, nodes.section)):
        return " "
    # What stands in blocks of its own is not one word with what follows.
    joint = "" if isinstance(node, nodes.TextElement) else " "
    return joint.join(map(words, node.children))


def collect(app: Any, page: str, _template: str, context: dict[str, Any], doctree: Any) -> None:
    """Note the sections of a page."""
    if page == "search":
        app.add_js_file("sections.js")
        app.add_js_file("search_sections.js", loading_method="defer")
    if doctree is None:
        return
    found = []
    for section in doctree.findall(nodes.section):
        title = section.next_node(nodes.title)
        if title is None or title.parent is not section or not section["ids"]:
            continue
        inside = " ".join(words(child) for child in section.children if child is not title)
        text = re.sub(r"\s+", " ", inside).strip()
        found.append([section["ids"][0], re.sub(r"\s+", " ", words(title)).strip(), text])
    app.env.db_sections[page] = found


def write(app: Any, error: Exception | None) -> None:
    """Write the list as a script."""
    if error is None and app.builder.format == "html":
        listed = json.dumps(app.env.db_sections, ensure_ascii=False, separators=(",", ":"))
        (Path(app.outdir) / "_static" / "sections.js").write_text(f"const SECTIONS = {listed};", "utf-8")  # fmt: skip


def begin(app: Any) -> None:
    """Start with no sections; pages that were not read again keep theirs."""
    app.env.db_sections = getattr(app.env, "db_sections", {})


def setup(app: Any) -> dict[str, bool]:
    """Connect to the build."""
    app.connect("builder-inited", begin)
    app.connect("html-page-context", collect)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
