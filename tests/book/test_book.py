"""The rendered book: it builds without a warning, and every page works for every reader.

The book is built once, from a copy, as `make book` builds it. The pages are then read as files, and
opened from the disk in headless Chromium, each once: it is seen light and dark, at the width of a desktop
and of a phone, with every request to a network recorded. With DIFFBOOK_SCREENSHOTS=1 pictures of all
pages go to ``results/screenshots``.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from browser import AXE_TAGS

bs4 = pytest.importorskip("bs4")

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("_config.yml", "_toc.yml", "README.md", "CHANGELOG.md", "book", "notebooks", "data")
SCREENSHOTS = ROOT / "results" / "screenshots"
THEMES = ("light", "dark")
WIDTHS = (1280, 390)

pytestmark = pytest.mark.book


def _toc_files() -> list[str]:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    files = [toc["root"]]
    for part in toc["parts"]:
        for chapter in part["chapters"]:
            files += [chapter["file"], *(entry["file"] for entry in chapter.get("sections", []))]
    return files


PAGES = _toc_files()
CHAPTERS = [page for page in PAGES if page.startswith("notebooks/")]
# In the order in which an open page is turned from one to the next.
VIEWS = [(page, theme, width) for page in PAGES for width in WIDTHS for theme in THEMES]
# Bytes that a chapter may ask for when it is opened, text compressed as servers do.
WEIGHT = 1_000_000


@dataclass
class Site:
    """A built book: its folder of pages, the build's exit status and log."""

    html: Path
    status: int
    log: str


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Site:
    folder = tmp_path_factory.mktemp("book")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        more = {"ignore": shutil.ignore_patterns("weights", "studies")} if name == "data" else {}
        copy(ROOT / name, folder / name, **more)
    # A Markdown file where none may be read as a page.
    for trap in (".venv/lib", "results", "notebooks/.ipynb_checkpoints"):
        (folder / trap).mkdir(parents=True, exist_ok=True)
        (folder / trap / "trap.md").write_text("# trap\n\n{doc}`nowhere`\n", "utf-8")
    run = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    done = subprocess.run(
        [*run, "build", ".", "-n", "-W", "--keep-going"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return Site(folder / "_build" / "html", done.returncode, f"{done.stdout}\n{done.stderr}")


@cache
def _soup(path: Path):
    return bs4.BeautifulSoup(path.read_text("utf-8"), "html.parser")


@cache
def _anchors(path: Path) -> frozenset[str]:
    soup = _soup(path)
    named = {tag["name"] for tag in soup.find_all("a", attrs={"name": True})}
    return frozenset({tag["id"] for tag in soup.find_all(id=True)} | named)


def _html_files(site: Site) -> list[Path]:
    files = sorted(path for path in site.html.rglob("*.html") if "_static" not in path.parts)
    assert len(files) > len(PAGES)
    return files


# --- Without a browser ----------------------------------------------------------------------------


def test_builds_without_a_warning(site):
    faults = re.findall(r".*(?:WARNING|ERROR).*", site.log)
    assert site.status == 0, "\n".join(faults) or site.log[-3000:]


def test_expected_pages_exist_and_no_others(site):
    missing = [page for page in PAGES if not (site.html / f"{page}.html").is_file()]
    assert not missing
    assert "url=book/index.html" in (site.html / "index.html").read_text("utf-8")
    known = {f"{page}.html" for page in PAGES} | {"index.html", "search.html", "genindex.html"}
    found = {path.relative_to(site.html).as_posix() for path in _html_files(site)}
    assert {name for name in found - known if not name.startswith("prf-")} == set()


@pytest.mark.parametrize("page", PAGES)
def test_page_has_one_title_and_a_language(site, page):
    soup = _soup(site.html / f"{page}.html")
    assert len(soup.select("article h1")) == 1
    assert soup.html["lang"] == "en"
    assert soup.title.get_text(strip=True)


def test_no_broken_internal_link(site):
    broken = []
    for path in _html_files(site):
        for tag, key in (("a", "href"), ("link", "href"), ("script", "src"), ("img", "src")):
            for element in _soup(path).find_all(tag, attrs={key: True}):
                fault = _fault(site.html, path, element[key])
                if fault:
                    broken.append(f"{path.relative_to(site.html)}: {fault}")
    assert not broken, "\n".join(broken)


def _fault(html: Path, path: Path, link: str) -> str | None:
    """What is wrong with a link of a page, or None; links that leave the book are not followed."""
    parts = urlsplit(link)
    if parts.scheme in ("https", "mailto", "data"):
        return None
    if parts.scheme or parts.netloc:
        return f"{link} is no https link"
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if html.resolve() not in target.parents or not target.is_file():
        return f"{link} has no target"
    fragment = unquote(parts.fragment)
    if fragment and target.suffix == ".html" and fragment not in _anchors(target):
        return f"{link} has no such place"
    return None


def test_every_image_has_an_alternative_text(site):
    bare = [
        f"{path.relative_to(site.html)}: {image.get('src', '')[:80]}"
        for path in _html_files(site)
        for image in _soup(path).find_all("img")
        if not image.get("alt", "").strip()
    ]
    assert not bare, "\n".join(bare)


@pytest.mark.parametrize("page", PAGES)
def test_identifiers_are_unique(site, page):
    """A link to a claim or a figure has one place to go."""
    ids = [tag["id"] for tag in _soup(site.html / f"{page}.html").select("main [id]")]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    assert not [name for name in twice if re.match(r"(claim|fig|sec|eq|tab)-", name)]


@pytest.mark.parametrize("page", CHAPTERS)
def test_chapter_can_be_downloaded(site, page):
    soup = _soup(site.html / f"{page}.html")
    links = [a["href"] for a in soup.find_all("a", href=True)]
    sources = [link for link in links if link.endswith(f"_sources/{page}.ipynb")]
    assert sources
    copy = (site.html / page).parent / sources[0]
    assert copy.resolve().read_bytes() == (ROOT / f"{page}.ipynb").read_bytes()


def test_pages_say_what_they_are_and_lead_to_no_repository_that_is_not_there(site):
    """The setting `site` has no addresses yet: no buttons, no canonical links, but titles and words."""
    for page in PAGES:
        soup = _soup(site.html / f"{page}.html")
        assert not soup.select(
            ".btn-source-repository-button, .btn-issues-button, [href*='colab.']"
        )
        assert not soup.select("link[rel=canonical], meta[property='og:image']")
        words = soup.select("meta[name=description]")
        assert len(words) == 1 and len(words[0]["content"]) > 20, page
        assert "<" not in soup.select_one("meta[property='og:title']")["content"]
    title = _soup(site.html / "book/index.html").title.get_text(strip=True)
    assert title == yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["title"]


def test_every_theorem_is_listed(site):
    links = {
        a["href"].partition("#")[2]
        for a in _soup(site.html / "book/theorems.html").select("main a[href*='#']")
    }
    stated = {
        tag["id"]
        for page in CHAPTERS
        for tag in _soup(site.html / f"{page}.html").select("main div.proof.admonition[id]")
        if "proof-type" not in tag.get("class", []) and not re.match(r"proof(-\d+)?$", tag["id"])
    }
    assert stated and stated <= links


def test_all_references_are_cited_with_a_number_or_a_place(site):
    """The bibliography page shows every entry of the file, each once."""
    entries = re.findall(r"^@\w+\{(\S+),$", (ROOT / "book/references.bib").read_text("utf-8"), re.M)
    shown = _soup(site.html / "book/bibliography.html").select("main div.citation")
    assert len(entries) == len(set(entries)) == len(shown)


# --- In the browser -------------------------------------------------------------------------------


@dataclass
class View:
    """What the browser saw of one page."""

    requests: list[str]
    errors: list[str]
    theme: str
    scroll_width: int
    width: int
    unset_formulas: list[str]
    broken_formulas: list[str]
    failed_fonts: list[str]
    cut: list[str]
    unmarked: list[str]
    violations: list[str]
    weight: int


@pytest.fixture(scope="session")
def view(site, browser):
    """Open a page once, turn it to each width and theme; several tests look at what came of it."""

    @cache
    def turn(page: str) -> dict[tuple[str, int], View]:
        return _turn(browser, site.html / f"{page}.html")

    return lambda page, theme, width: turn(page)[theme, width]


# Formulas are set by MathJax: a `.math` element without its container, or TeX in the running text,
# was not.
_UNSET = r"""() => {
  const out = [...document.querySelectorAll("main .math")]
    .filter((e) => !e.querySelector("mjx-container") && !e.closest("mjx-container"))
    .map((e) => e.textContent.slice(0, 80));
  const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (node.parentElement.closest("pre, code, script, style, mjx-container")) continue;
    if (/\\\(|\\\[|\$[^$\s][^$]*\$|\\(frac|sqrt|sum|bar|lambda)\b/.test(node.textContent))
      out.push(node.textContent.trim().slice(0, 80));
  }
  return out;
}"""


# What is wider than the box that shows it: code and outputs, formulas, tables. Where such a box
# scrolls, a fading edge must say so.
_CUT = r"""() => {
  const box = (e) => e.matches("table") ? e.parentElement : e;
  const width = (e) => e.matches("table") ? e.offsetWidth : e.scrollWidth;
  return [...document.querySelectorAll("main pre, main mjx-container[display='true'], main table")]
    .filter((e) => e.offsetParent && width(e) > box(e).clientWidth + 1)
    .map((e) => [
      `${e.tagName} ${width(e)} > ${box(e).clientWidth}: ${e.textContent.trim().slice(0, 60)}`,
      getComputedStyle(box(e)).maskImage !== "none" && getComputedStyle(box(e)).overflowX === "auto",
    ]);
}"""


# Nearly all elements of a chapter are the glyphs of its formulas, made by MathJax, in which axe looks for
# nothing, and the tokens of its code. For axe a formula becomes an empty box of the same size, and of the
# tokens of one kind the first three stay.
_THIN = r"""() => {
  const glyphs = [...document.querySelectorAll("mjx-math")];
  const sizes = glyphs.map((e) => e.getBoundingClientRect());
  glyphs.forEach((e, i) => {
    e.replaceChildren();
    e.style.cssText = `display: inline-block; width: ${sizes[i].width}px; height: ${sizes[i].height}px`;
  });
  document.querySelectorAll("mjx-assistive-mml").forEach((e) => e.replaceChildren());
  const kinds = new Map();
  for (const e of document.querySelectorAll("main pre span:not(:has(*))")) {
    const kind = `${e.className} ${e.parentElement.className} ${e.closest("div")?.className}`;
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    if (kinds.get(kind) > 3) e.replaceWith(e.textContent);
  }
  document.querySelectorAll("main pre").forEach((e) => e.normalize());
}"""
# Contrast follows from the colour and size of a text and from what lies beneath it. Of all texts that
# agree in these, three are marked for axe: measuring each of thousands would take most of the time.
_MARK_LOOKS = r"""() => {
  document.querySelectorAll("[data-look]").forEach((e) => delete e.dataset.look);
  const grounds = new Map([[null, ""]]), looks = new Map();
  const ground = (e) => {
    if (!grounds.has(e)) {
      const { backgroundColor, backgroundImage, opacity, filter } = getComputedStyle(e);
      const own = `${backgroundColor} ${backgroundImage} ${opacity} ${filter}; `;
      const below = ground(e.parentElement);
      grounds.set(e, below.endsWith(own) ? below : below + own);
    }
    return grounds.get(e);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const texts = new Set();
  while (walker.nextNode()) if (walker.currentNode.data.trim()) texts.add(walker.currentNode.parentElement);
  for (const e of texts) {
    const box = e.getBoundingClientRect();
    if (box.width < 2 || box.height < 2 || e.closest("mjx-container") || !e.checkVisibility()) continue;
    const { color, fontSize, fontWeight, textShadow } = getComputedStyle(e);
    const look = [color, fontSize, fontWeight, textShadow, ground(e)].join();
    looks.set(look, (looks.get(look) ?? 0) + 1);
    if (looks.get(look) <= 3) e.dataset.look = "";
  }
}"""
# Pictures come when they are near, so all of a page is passed once.
_TO_THE_END = """async () => {
  for (let y = 0; y < document.documentElement.scrollHeight; y += 800) {
    scrollTo(0, y);
    await new Promise((done) => setTimeout(done, 20));
  }
  await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
  scrollTo(0, 0);
}"""


def _bytes(urls: list[str]) -> int:
    """Size of local files, text as it is sent."""
    paths = {Path(unquote(urlsplit(url).path)) for url in urls if url.startswith("file:")}
    text = {".html", ".css", ".js", ".svg"}
    contents = ((path.suffix in text, path.read_bytes()) for path in paths)
    return sum(len(gzip.compress(data, 6) if packed else data) for packed, data in contents)


# Style sheets finish their transitions at once, and what follows from a new size has happened.
_SETTLED = """() => new Promise((done) => {
  document.getAnimations().forEach((all) => all.finish());
  requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(done)));
})"""


def _violations(page, rules: dict, marked: bool = False) -> list[str]:
    """What axe finds on a page, or in its marked places."""
    from axe_playwright_python.sync_playwright import Axe

    # Without `preload` axe does not fetch style sheets, which a page opened from a file forbids.
    options = {"resultTypes": ["violations"], "preload": False, **rules}
    context = {"include": [["[data-look]"]]} if marked else None
    return [
        f"{violation['id']}: {node['target']} {node['html'][:200]}"
        for violation in Axe().run(page, context, options).response["violations"]
        for node in violation["nodes"]
    ]


def _turn(browser, path: Path) -> dict[tuple[str, int], View]:
    """Load a page and look at it in each theme, at each width.

    Contrast is measured in every view; the other rules for accessibility see no colour, so that once for
    each width is enough.
    """
    context = browser.new_context(color_scheme=THEMES[0], reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(0)  # a busy machine is no failure
    page.set_viewport_size({"width": WIDTHS[0], "height": 900})
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda r: asked.append(r.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda m: errors.append(m.text) if m.type in ("error", "warning") else None)
    page.goto(path.as_uri(), wait_until="load")
    page.wait_for_selector("html[data-ready]", state="attached")
    weight = _bytes(asked)
    page.evaluate(_TO_THE_END)
    local, seen = ("file:", "data:", "blob:", "about:"), {}
    for theme, width in _turns(page):
        if os.environ.get("DIFFBOOK_SCREENSHOTS"):
            SCREENSHOTS.mkdir(parents=True, exist_ok=True)
            name = f"{path.parent.name}-{path.stem}-{width}-{theme}.png"
            page.screenshot(path=SCREENSHOTS / name, full_page=True)
        cut = page.evaluate(_CUT)
        seen[theme, width] = View(
            requests=[url for url in asked if not url.startswith(local)],
            errors=errors,
            theme=page.evaluate("document.documentElement.dataset.theme"),
            scroll_width=page.evaluate("document.documentElement.scrollWidth"),
            width=page.evaluate("window.innerWidth"),
            unset_formulas=page.evaluate(_UNSET),
            broken_formulas=page.eval_on_selector_all("mjx-merror", "all => all.map(e => e.title)"),
            failed_fonts=page.evaluate(
                "[...document.fonts].filter(f => f.status === 'error').map(f => f.family)"
            ),
            cut=[words for words, _ in cut],
            unmarked=[words for words, marked in cut if not marked],
            violations=[],
            weight=weight,
        )
    page.evaluate(_THIN)
    for theme, width in _turns(page):
        page.evaluate(_MARK_LOOKS)
        found = _violations(page, {"runOnly": {"type": "rule", "values": ["color-contrast"]}}, True)
        if theme == THEMES[0]:
            rest = {"runOnly": AXE_TAGS, "rules": {"color-contrast": {"enabled": False}}}
            layout = _violations(page, rest)
        seen[theme, width].violations += layout + found
    context.close()
    return seen


def _turns(page) -> Iterator[tuple[str, int]]:
    """Turn an open page to each width and theme."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        for theme in THEMES:
            page.emulate_media(color_scheme=theme)
            page.wait_for_selector(f"html[data-theme={theme}]", state="attached")
            page.evaluate(_SETTLED)
            page.evaluate("document.fonts.ready")
            yield theme, width


_each_view = pytest.mark.parametrize(("page", "theme", "width"), VIEWS)


@pytest.mark.browser
@_each_view
def test_page_asks_no_network_and_has_no_script_error(view, page, theme, width):
    seen = view(page, theme, width)
    assert seen.requests == []
    assert seen.errors == []
    assert seen.theme == theme


@pytest.mark.browser
@_each_view
def test_formulas_are_set_offline(view, page, theme, width):
    seen = view(page, theme, width)
    assert seen.unset_formulas == []
    assert seen.broken_formulas == []
    assert seen.failed_fonts == []


@pytest.mark.browser
@_each_view
def test_page_does_not_scroll_sideways(view, page, theme, width):
    seen = view(page, theme, width)
    assert seen.width == width
    assert seen.scroll_width <= width


@pytest.mark.browser
@_each_view
def test_nothing_is_cut(view, page, theme, width):
    """At 1280 pixels everything fits its box; on a phone what does not scrolls, and shows that it does."""
    seen = view(page, theme, width)
    assert not (seen.cut if width >= 1280 else seen.unmarked)


@pytest.mark.browser
@pytest.mark.parametrize("page", CHAPTERS)
def test_chapter_is_light(view, page):
    """What a chapter asks for before anybody scrolls; pictures, sound and long scripts come when near."""
    assert view(page, "light", 1280).weight <= WEIGHT


@pytest.mark.browser
@_each_view
def test_page_is_accessible(view, page, theme, width):
    """No violation of WCAG 2.2, levels A and AA, that axe-core can find."""
    violations = view(page, theme, width).violations
    assert not violations, "\n".join(violations)


@pytest.mark.browser
@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("verdict", "book/how_to_read.html#"),
        ("Frechet", "#"),
        ("spectral-13", "book/scoreboard.html#"),
    ],
)
def test_search_leads_to_sections_offline(site, browser, words, place):
    page = browser.new_page()
    page.set_default_timeout(0)  # a busy machine is no failure
    errors: list[str] = []
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.goto(f"{(site.html / 'search.html').as_uri()}?q={words}", wait_until="load")
    page.wait_for_selector("#search-results .db-sections a")
    links = page.eval_on_selector_all("#search-results a", "all => all.map(a => a.href)")
    text = page.inner_text("#search-results")
    page.close()
    assert any(place in link for link in links)
    assert all(
        _fault(site.html, site.html / "search.html", link.partition("/html/")[2]) is None
        for link in links
    )
    assert "\\(" not in text and "$" not in text
    assert errors == []


@pytest.mark.browser
def test_scoreboard_can_be_filtered_by_address_and_by_hand(site, browser):
    page = browser.new_page()
    page.set_default_timeout(0)  # a busy machine is no failure
    address = (site.html / "book/scoreboard.html").as_uri()
    page.goto(f"{address}#verdict=partly&chapter=posterior", wait_until="load")
    seen = ".db-claims tbody tr:not([hidden])"
    page.wait_for_selector(".db-filter select")
    rows = page.eval_on_selector_all(seen, "all => all.map(r => r.querySelector('th').innerText)")
    assert rows and all(row.startswith("posterior-") and "partly" in row for row in rows)
    page.select_option(".db-filter label:nth-of-type(1) select", "all")
    assert page.locator(seen).count() > len(rows)
    assert page.url.endswith("#chapter=posterior")
    page.close()
