"""Chapters as PDF, printed from the rendered book: ``python -m press.show.pdf [SLUG ...]``."""

import os
import shutil
import sys
from collections.abc import Iterable
from html import escape
from pathlib import Path

from press import paths

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
MARGINS = {"top": "17mm", "bottom": "18mm", "left": "15mm", "right": "15mm"}
# Width of A4 between the margins at 96 dots per inch.
WIDTH = 680
FOOTER = (
    '<div style="font: 8px sans-serif; color: #444; width: 100%; margin: 0 15mm; display: flex;'
    ' justify-content: space-between"><span>{}</span><span class="pageNumber"></span></div>'
)
# A formula that is wider than the paper is set smaller; pictures are fetched before the paper is made.
FIT = """async () => {
  dispatchEvent(new Event("beforeprint"));
  for (const formula of document.querySelectorAll('mjx-container[display="true"]')) {
    const ratio = formula.parentElement.clientWidth / formula.scrollWidth;
    if (ratio < 1) formula.style.fontSize = `${Math.floor(95 * ratio)}%`;
  }
  const pictures = [...document.images].filter((image) => image.src);
  await Promise.all(pictures.map((image) => image.decode().catch(() => {})));
}"""


def browser_path() -> str:
    """Program that prints; ``CHROMIUM`` names another one."""
    named = os.environ.get("CHROMIUM")
    found = shutil.which(named) if named else next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        looked = f"CHROMIUM={named}" if named else ", ".join(CHROMIUM)
        raise FileNotFoundError(
            f"no Chromium to print with (looked for {looked}): install one, or name it in the variable CHROMIUM"
        )
    return found


def _keep(path: Path, content: bytes) -> Path:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
    return path


def write(slugs: Iterable[str] = (), theme: str = "light") -> list[Path]:
    """Print chapters and appendices of the built book to ``_build/pdf``, all of them by default."""
    built, out = paths.root() / "_build" / "html", paths.root() / "_build" / "pdf"
    book = [slug for part in paths.contents().values() for slug in part]
    unknown = sorted(set(slugs) - set(book))
    if unknown:
        raise ValueError(f"slug: got {unknown[0]!r}, expected one of {', '.join(book)}")
    pages = {
        slug: (built / paths.relative(paths.notebook(slug))).with_suffix(".html")
        for slug in (slugs or book)
    }
    absent = [page for page in pages.values() if not page.is_file()]
    if absent:
        raise FileNotFoundError(f"{paths.relative(absent[0])} is not there: render the book first (make book)")  # fmt: skip
    program = browser_path()
    from playwright.sync_api import sync_playwright

    written = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS, timeout=0)
        for slug, source in pages.items():
            view = browser.new_page(viewport={"width": WIDTH, "height": 960}, color_scheme=theme)
            view.set_default_timeout(0)
            view.add_init_script(f"localStorage.setItem('mode', '{theme}'); localStorage.setItem('theme', '{theme}')")  # fmt: skip
            view.emulate_media(media="print")
            view.goto(source.as_uri(), wait_until="load")
            view.wait_for_selector("html[data-ready]", state="attached")
            view.evaluate(FIT)
            content = view.pdf(
                format="A4",
                margin=MARGINS,
                print_background=True,
                display_header_footer=True,
                header_template="<span></span>",
                footer_template=FOOTER.format(escape(view.title())),
                outline=True,
                tagged=True,
            )
            view.close()
            written.append(_keep(out / f"{slug}.pdf", content))
        browser.close()
    return written


def main() -> int:
    """Print the chapters that the command line names."""
    try:
        for path in write(sys.argv[1:]):
            sys.stdout.write(f"{paths.relative(path)}\n")
    except (OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
