"""The setting `site`: with addresses pages lead there, without they do not, and nonsense is refused."""

import re
from pathlib import Path

import pytest
from sphinx.application import Sphinx
from sphinx.errors import ConfigError

EXTENSIONS = Path(__file__).resolve().parents[2] / "book" / "_extensions"
PAGE = "Title & more\n============\n\nA paragraph of words, long enough to say what the page is about.\n"


def build(folder: Path, **site: str) -> str:
    """One page of a book with this setting."""
    source, out = folder / "source", folder / "out"
    source.mkdir()
    (source / "conf.py").write_text(
        f"import sys\nsys.path.insert(0, {str(EXTENSIONS)!r})\n"
        "extensions = ['book_site']\nproject = html_title = 'The book'\nhtml_theme = 'sphinx_book_theme'\n"
        f"site = {site!r}\n",
        "utf-8",
    )
    (source / "index.rst").write_text("Book\n====\n\n.. toctree::\n\n   page\n", "utf-8")
    (source / "page.rst").write_text(PAGE, "utf-8")
    Sphinx(source, source, out, folder / "trees", "html", status=None, freshenv=True).build()
    return (out / "page.html").read_text("utf-8")


def meta(html: str) -> dict[str, str]:
    return dict(re.findall(r'<meta (?:property|name)="([^"]+)" content="([^"]*)"', html))


def test_with_addresses_pages_lead_there(tmp_path):
    html = build(tmp_path, url="https://a.org/book", repository="https://github.com/a/b")
    assert '<link rel="canonical" href="https://a.org/book/page.html"' in html
    found = meta(html)
    assert found["og:url"] == "https://a.org/book/page.html"
    assert found["og:image"] == "https://a.org/book/_static/landing.png"
    assert found["og:title"] == "Title &amp; more"
    assert found["description"].startswith("A paragraph of words")
    assert found["twitter:card"] == "summary_large_image"
    assert 'href="https://github.com/a/b"' in html
    (issue,) = re.findall(r'href="(https://github.com/a/b/issues/new[^"]*)"', html)
    assert "page.html" in issue


def test_without_addresses_they_only_say_what_they_are(tmp_path):
    html = build(tmp_path, url="", repository="")
    assert "canonical" not in html
    assert "github.com" not in html
    found = meta(html)
    assert found["description"].startswith("A paragraph of words")
    assert "og:image" not in found
    assert "og:url" not in found


@pytest.mark.parametrize(
    ("site", "words"),
    [
        ({"url": "a.org", "repository": ""}, "site: url: got 'a.org', expected an https address"),
        ({"url": ""}, "expected the keys url and repository"),
    ],
)
def test_nonsense_is_refused(tmp_path, site, words):
    with pytest.raises(ConfigError, match=words):
        build(tmp_path, **site)
