"""Chromium for the tests that look at rendered pages."""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# The variables that the book's theme sets, in its two modes.
THEME = """
html[data-theme=light]{--pst-color-background:#fff;--pst-color-text-base:#222832;
--pst-color-surface:#f3f4f5;--pst-color-text-muted:#48566b;--pst-color-border:#d1d5da}
html[data-theme=dark]{--pst-color-background:#14181e;--pst-color-text-base:#ced6dd;
--pst-color-surface:#29313d;--pst-color-text-muted:#9ca4af;--pst-color-border:#48566b}
body{margin:0;padding:8px;background:var(--pst-color-background);font-family:sans-serif}
"""

# As JupyterLab does: the script runs first, the output is attached afterwards.
INSERT_LATE = """html => {
    const box = document.createElement('div');
    box.innerHTML = html;
    const old = box.querySelector('script'), script = document.createElement('script');
    script.textContent = old.textContent;
    old.remove();
    document.body.append(script);
    setTimeout(() => document.querySelector('main').append(box), 200);
}"""


@contextmanager
def offline_pages(browser, folder, ready):
    """Yield a function that opens HTML as a page without a network and waits for the selector `ready`.

    Script errors, messages of the console and requests are noted in the page's ``errors``.
    """
    contexts = []

    def make(html, width=1280, theme="light", script=True, before=""):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, java_script_enabled=script, offline=True
        )
        contexts.append(context)
        if before:  # a script that changes what the browser can do
            context.add_init_script(before)
        page = context.new_page()
        page.set_default_timeout(0)  # a busy machine is no failure
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("console", lambda message: page.errors.append(message.text))
        path = Path(folder, f"{len(contexts)}.html")
        path.write_text(
            f'<!doctype html><html lang="en" data-theme="{theme}"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width"><title>t</title>'
            f"<style>{THEME}</style></head><body><main><h1>t</h1>{html}</main></body></html>",
            encoding="utf-8",
        )
        own = path.as_uri()
        page.on("request", lambda r: page.errors.append(r.url) if r.url != own else None)
        page.goto(own)
        if script:
            page.wait_for_selector(ready)
        return page

    try:
        yield make
    finally:
        for context in contexts:
            context.close()
