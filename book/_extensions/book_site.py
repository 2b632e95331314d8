"""Sphinx extension: where the book is published, and what its pages say of themselves to others.

The one setting ``site`` in _config.yml has two addresses, each empty until there is one::

    site: {url: https://example.org/book/, repository: https://github.com/someone/book}

With a repository the buttons that lead there are on (source, issues, Colab). With an address the pages
have canonical links and full social cards; a description and a title they have in any case. The claims
and the recorded runs that the scoreboard links to are copied beside the pages.
"""

import html
import re
import shutil
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx.errors import ConfigError

EMPTY = {"url": "", "repository": ""}
PICTURE = "_static/landing.png"


def addresses(app: Any, config: Any) -> None:
    """Check the setting, and turn on what needs an address."""
    site = config.site
    if not isinstance(site, dict) or set(site) != set(EMPTY):
        raise ConfigError(f"site: got {site!r}, expected the keys url and repository")
    for name, value in site.items():
        if value and not str(value).startswith("https://"):
            raise ConfigError(f"site: {name}: got {value!r}, expected an https address or nothing")
    on = bool(site["repository"])
    config.html_theme_options = {
        **config.html_theme_options,
        "repository_url": site["repository"] or "",
        "repository_branch": "main",
        "use_repository_button": on,
        "use_issues_button": on,
        "launch_buttons": {
            "notebook_interface": "classic",
            "colab_url": "https://colab.research.google.com" if on else "",
        },
    }
    if site["url"]:
        config.html_baseurl = site["url"].rstrip("/") + "/"


def description(app: Any, page: str, doctree: Any) -> str:
    """One or two sentences on a page: the summary of a chapter, or the first paragraph of its text."""
    claims = Path(app.srcdir) / "data" / Path(page).name / "claims.yaml"
    if page.startswith("notebooks/") and claims.is_file():
        text = yaml.safe_load(claims.read_text("utf-8"))["summary"]
        return text[0].upper() + text[1:] + "."
    paragraphs = doctree.findall(nodes.paragraph) if doctree else ()
    texts = (" ".join(paragraph.astext().split()) for paragraph in paragraphs)
    text = next((text for text in texts if len(text) > 40), "")
    return text if len(text) <= 200 else text[:200].rsplit(" ", 1)[0] + " …"


def tags(title: str, words: str, book: str, url: str, page: str) -> str:
    """Meta tags of a page: description and social card; with addresses where the site has one."""
    named = {"og:type": "article", "og:site_name": book, "og:title": title, "og:description": words}
    if url:
        named |= {"og:url": f"{url}{page}.html", "og:image": url + PICTURE}
    found = [f'<meta property="{k}" content="{html.escape(v)}" />' for k, v in named.items() if v]
    card = {"twitter:card": "summary_large_image" if url else "summary", "description": words}
    found += [f'<meta name="{k}" content="{html.escape(v)}" />' for k, v in card.items() if v]
    return "\n".join(found)


def describe(app: Any, page: str, _template: str, context: dict[str, Any], doctree: Any) -> None:
    """Put the tags into a page; the landing page has the book's name once in its title."""
    book = app.config.html_title
    if page == app.config.root_doc:
        context["docstitle"] = ""
    words = description(app, page, doctree)
    if 'name="description"' in (context.get("metatags") or ""):
        words = ""
    title = html.unescape(re.sub(r"<[^>]+>", "", context.get("title", "")))
    context["metatags"] = (context.get("metatags") or "") + tags(
        title, words, book, app.config.html_baseurl, page
    )


def copy_records(app: Any, error: Exception | None) -> None:
    """Copy claims and manifests beside the pages."""
    if error is None and app.builder.format == "html":
        for path in sorted((Path(app.srcdir) / "data").glob("*/**/*")):
            if path.name == "claims.yaml" or path.parent.name == "runs":
                target = Path(app.outdir) / "data" / path.relative_to(Path(app.srcdir) / "data")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target)


def setup(app: Any) -> dict[str, bool]:
    """Connect to the build."""
    app.add_config_value("site", EMPTY, "html")
    app.connect("config-inited", addresses, priority=10)
    app.connect("html-page-context", describe)
    app.connect("build-finished", copy_records)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
