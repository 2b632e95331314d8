"""Sphinx extension: ``{theorems}`` lists every theorem, proposition and so on, page by page, with links."""

from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive


class theorems(nodes.General, nodes.Element):
    """Place of the list, filled when every page has been read."""


class Theorems(Directive):
    """The directive; it has neither arguments nor content."""

    def run(self) -> list[nodes.Node]:
        """Leave the place."""
        return [theorems()]


def fill(app: Any, doctree: nodes.document, page: str) -> None:
    """Put the list in its place: pages in the book's order, entries in the order of the page."""
    for place in list(doctree.findall(theorems)):
        content: list[nodes.Node] = []
        named = {entry["docname"] for entry in getattr(app.env, "proof_list", {}).values()}
        for name in (name for name in _order(app.env) if name in named):
            listed = nodes.bullet_list()
            for entry in app.env.get_doctree(name).findall(nodes.Element):
                if entry.get("realtype", "proof") == "proof":
                    continue
                kind, title = entry["realtype"].capitalize(), _plain(entry["title"])
                uri = f"{app.builder.get_relative_uri(page, name)}#{entry['ids'][0]}"
                link = nodes.reference("", f"{kind}: {title}" if title else kind, refuri=uri)
                listed += nodes.list_item("", nodes.paragraph("", "", link))
            if len(listed):
                content += [nodes.rubric("", app.env.titles[name].astext()), listed]
        place.replace_self(content)


def _plain(title: str) -> str:
    """Title without the brackets that the directive puts about it."""
    return title.strip().removeprefix("(").removesuffix(")")


def _order(env: Any) -> list[str]:
    """Pages in the order of the table of contents."""
    found: list[str] = []

    def walk(name: str) -> None:
        found.append(name)
        for child in env.toctree_includes.get(name, []):
            if child not in found:
                walk(child)

    walk(env.config.root_doc)
    return found


def setup(app: Any) -> dict[str, bool]:
    """Register the directive."""
    app.add_node(theorems)
    app.add_directive("theorems", Theorems)
    app.connect("doctree-resolved", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
