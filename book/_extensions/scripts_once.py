"""Sphinx extension: an inline script stands on a page once.

Sphinx adds the scripts that extensions have registered twice, and does not see that an inline one is
the same: its file name is None first and then empty. Where such a script declares a constant, as that
of sphinx-thebe does, the browser reports an error on every page.
"""

from typing import Any


def _once(_app: Any, _page: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    found: dict[tuple, Any] = {}
    for script in context["script_files"]:
        found.setdefault((script.filename or "", *sorted(script.attributes.items())), script)
    context["script_files"] = list(found.values())


def setup(app: Any) -> dict[str, bool]:
    """Connect to the last moment before a page is written."""
    app.connect("html-page-context", _once, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
