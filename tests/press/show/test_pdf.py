"""Chapters are printed from the built book, whole or not at all."""

import re
import subprocess
import sys

import pytest

from press import paths
from press.show import pdf

PAGE = """<!doctype html><html lang="en" data-ready><title>A demonstration</title>
<body><main><h1>A demonstration</h1>{}<p style="break-before: page">The end.</p></main></body></html>"""


def build(book, slug="demo", inside=""):
    page = (book.root / "_build/html" / paths.relative(paths.notebook(slug))).with_suffix(".html")
    page.parent.mkdir(parents=True)
    page.write_text(PAGE.format(inside), "utf-8")


def test_an_unknown_chapter_an_unbuilt_book_and_no_browser_are_named(book, monkeypatch, capsys):
    with pytest.raises(ValueError, match="slug: got 'other', expected one of demo"):
        pdf.write(["other"])
    with pytest.raises(FileNotFoundError, match="render the book first"):
        pdf.write()
    build(book)
    monkeypatch.setenv("CHROMIUM", "/no/such/program")
    with pytest.raises(FileNotFoundError, match="CHROMIUM=/no/such/program"):
        pdf.write()
    monkeypatch.setattr("sys.argv", ["pdf", "demo"])
    assert pdf.main() == 2
    assert capsys.readouterr().err.startswith("error: no Chromium")
    assert not (book.root / "_build/pdf").exists()


@pytest.mark.browser
def test_a_chapter_is_printed(book):
    try:
        pdf.browser_path()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    build(book)
    # A process of its own: Playwright allows no second browser beside that of other tests.

    done = subprocess.run(
        [sys.executable, "-m", "press.show.pdf", "demo"],
        env=book.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "_build/pdf/demo.pdf\n"), done.stderr
    content = (book.root / "_build/pdf/demo.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert max(map(int, re.findall(rb"/Count (\d+)", content))) == 2
    assert [path.name for path in (book.root / "_build/pdf").iterdir()] == ["demo.pdf"]
