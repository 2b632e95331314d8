"""Sphinx extension: pages that load little.

After the build, every page is gone through once more:

- sound is taken out of the page into a file of its own, which is loaded when it is played, and so is a
  long script of a figure, which is loaded when the figure comes near the window;
- pictures are loaded when they come near the window, and have their size, so that nothing jumps;
- what no page of this book uses is not loaded: the theme's 1.5 MB script of icons (its style sheet
  shows the same icons), sphinx-thebe, and, on every page but the search, the index of the search.

Pictures become WebP: without loss, or with one that nobody sees anywhere in the picture.
"""

import base64
import hashlib
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

UNUSED = r"scripts/fontawesome\.js|sphinx-thebe\.(?:js|css)"
SEARCHING = r"_static/searchtools\.js|_static/language_data\.js|searchindex\.js"
# Least peak signal-to-noise ratio in dB that each square of 32 x 32 pixels keeps. The mean over a picture
# would let bands pass in a photograph that has much white around it.
FAITHFUL, SQUARE = 38.0, 32
# Length from which on a script of a figure stands in a file.
LONG = 50_000
LATE = """<script>{
const here = document.currentScript;
new IntersectionObserver((seen, observer) => {
  if (!seen.some((entry) => entry.isIntersecting)) return;
  observer.disconnect();
  here.after(Object.assign(document.createElement("script"), { src: "%s" }));
}, { rootMargin: "1000px" }).observe(here.parentElement);
}</script>"""


def without_unused(text: str, searches: bool) -> str:
    """Leave out scripts and style sheets that the page does not need."""
    names = UNUSED if searches else f"{UNUSED}|{SEARCHING}"
    text = re.sub(rf'[ \t]*<script[^>]* src="[^"]*(?:{names})[^"]*"[^>]*></script>\n?', "", text)
    text = re.sub(rf'[ \t]*<link[^>]* href="[^"]*(?:{names})[^"]*"[^>]*>\n?', "", text)
    return re.sub(r"<script>(?:(?!</script>)[^<])*\bTHEBE_JS_URL\b.*?</script>\n?", "", text, flags=re.S)  # fmt: skip


def without_sound(text: str, folder: Path, up: str) -> str:
    """Move embedded sound to files in `folder`, which the page reaches by the prefix `up`."""

    def move(match: re.Match[str]) -> str:
        before, kind, data, after = match.groups()
        content = base64.b64decode(data)
        path = folder / f"{hashlib.sha256(content).hexdigest()[:16]}.{kind.split('-')[-1]}"
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        preload = "" if "preload=" in before + after else ' preload="none"'
        return f'<audio{before}src="{up}{folder.name}/{path.name}"{preload}{after}>'

    found = r'<audio([^>]*?)src="data:audio/([\w-]+);base64,([^"]*)"([^>]*)>'
    return re.sub(found, move, text)


def without_long_scripts(text: str, folder: Path, up: str) -> str:
    """Move long scripts of figures to files in `folder`, loaded when the figure is near."""

    def move(match: re.Match[str]) -> str:
        code = match[1]
        if len(code) < LONG:
            return match[0]
        path = folder / f"{hashlib.sha256(code.encode()).hexdigest()[:16]}.js"
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(code, "utf-8")
        return LATE % f"{up}{folder.name}/{path.name}"

    return re.sub(r"<script>((?:(?!</script>).)*)</script>", move, text, flags=re.S)


def with_lazy_pictures(text: str, page: Path) -> str:
    """Take the lighter copy of pictures that are files; give them their size, and let them load late."""

    def change(match: re.Match[str]) -> str:
        tag, source = match[0], match[1]
        path = (page.parent / source).with_suffix(".webp")
        if not path.is_file():
            return tag
        tag = tag.replace(source, source.rpartition(".")[0] + ".webp")
        more = ' loading="lazy" decoding="async"'
        if not re.search(r"\s(?:width|height)=", tag):
            with Image.open(path) as image:
                more += f' width="{image.width}" height="{image.height}"'
        return tag.replace("<img", f"<img{more}", 1)

    text = re.sub(r'<img[^>]*\ssrc="([^":]*_images/[^"]*\.png)"[^>]*>', change, text)
    # A figure leads to its picture.
    return re.sub(r'(<a [^>]*href="[^":]*_images/[^"]*)\.png"', r'\1.webp"', text)


def worst(one: Image.Image, other: Image.Image) -> float:
    """Peak signal-to-noise ratio in dB of the square in which two pictures differ most."""
    square = np.square(np.asarray(one, np.float32) - np.asarray(other, np.float32)).mean(axis=2)
    high, wide = (size // SQUARE * SQUARE for size in square.shape)
    blocks = square[:high, :wide].reshape(high // SQUARE, SQUARE, wide // SQUARE, SQUARE)
    most = blocks.mean(axis=(1, 3)).max() if blocks.size else square.max()
    return float(10 * np.log10(255**2 / max(most, 1e-9)))


def lighter(content: bytes) -> bytes:
    """Picture as WebP: the shortest of three ways that show the same."""

    def webp(image: Image.Image, **ways: Any) -> bytes:
        out = BytesIO()
        image.save(out, "WEBP", method=3, **ways)
        return out.getvalue()

    with Image.open(BytesIO(content)) as opened:
        full = opened.convert(
            "RGBA" if "transparency" in opened.info or "A" in opened.mode else "RGB"
        )
    if full.mode == "RGBA":
        if full.getextrema()[3] != (255, 255):
            return webp(full, lossless=True, exact=True)
        full = full.convert("RGB")
    few = full.quantize(256, dither=Image.Dither.NONE).convert("RGB")
    found = [webp(few if worst(full, few) >= FAITHFUL else full, lossless=True)]
    lossy = webp(full, quality=90)
    with Image.open(BytesIO(lossy)) as seen:
        if worst(full, seen.convert("RGB")) >= FAITHFUL:
            found.append(lossy)
    return min(found, key=len)


def pictures(folder: Path, kept: Path) -> None:
    """Write a lighter copy of each picture in a folder in its place; what was once made is kept."""
    kept.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.glob("*.png")):
        content = path.read_bytes()
        done = kept / hashlib.sha256(content).hexdigest()
        if not done.is_file():
            done.write_bytes(lighter(content))
        path.with_suffix(".webp").write_bytes(done.read_bytes())


def lighten(app: Any, error: Exception | None) -> None:
    """Go through the finished pages."""
    if error is not None or app.builder.format != "html":
        return
    out = Path(app.outdir)
    pictures(out / "_images", Path(app.doctreedir) / "pictures")
    for path in sorted(out.rglob("*.html")):
        inside = path.relative_to(out)
        if inside.parts[0] == "_static":
            continue
        old = path.read_text("utf-8")
        new = without_unused(old, searches=inside.name == "search.html")
        new = without_sound(new, out / "_late", "../" * (len(inside.parts) - 1))
        new = without_long_scripts(new, out / "_late", "../" * (len(inside.parts) - 1))
        new = with_lazy_pictures(new, path)
        if new != old:
            path.write_text(new, "utf-8")
    for path in (out / "_images").glob("*.webp"):
        path.with_suffix(".png").unlink(missing_ok=True)


def setup(app: Any) -> dict[str, bool]:
    """Connect to the end of the build, after everything else."""
    app.connect("build-finished", lighten, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
