"""The four rooms of a new chapter, from a template that builds and passes."""

import re
from importlib import resources
from pathlib import Path

from press import closure, paths
from press.documents import write_text

_NAME = re.compile(r"[a-z][a-z0-9_]*(?<!_appendix)")


def make(slug: str, part: str) -> list[Path]:
    """Write a chapter's notebook, code, data and tests, and its line in ``_toc.yml``.

    `part` is a folder of ``notebooks/``; a new one becomes a new part of the book. ValueError if a
    name is not fit or taken; nothing is written then.
    """
    for name, value in (("slug", slug), ("part", part)):
        if not _NAME.fullmatch(value):
            raise ValueError(
                f"{name}: got {value!r}, expected lower-case letters, digits and '_', and no appendix"
            )
    root = paths.root()
    code = root / "lib" if (root / "lib").is_dir() else closure.LIB
    places = {
        "chapter.ipynb": paths.notebooks() / part / f"{slug}.ipynb",
        "package.txt": code / "chapters" / slug / "__init__.py",
        "study.txt": code / "chapters" / slug / "study.py",
        "claims.yaml": paths.claims(slug),
        **{f"{name}.yaml": paths.profile(slug, name) for name in ("smoke", "laptop", "gpu")},
        "test_study.txt": root / "tests" / "chapters" / slug / "test_study.py",
    }
    folders = sorted({path.parent for path in places.values()} - {paths.notebooks() / part})
    taken = [path for path in [*folders, places["chapter.ipynb"]] if path.exists()]
    if slug in paths.chapters() or taken:
        where = ", ".join(map(paths.relative, taken)) or "_toc.yml"
        raise ValueError(f"slug: {slug!r} is taken ({where}); choose another")
    contents = _with_line((root / "_toc.yml").read_text("utf-8"), slug, part)
    template = resources.files("press.run").joinpath("template")
    for name, path in places.items():
        write_text(path, template.joinpath(name).read_text("utf-8").replace("SLUG", slug))
    write_text(root / "_toc.yml", contents)
    return [*places.values(), root / "_toc.yml"]


def _with_line(text: str, slug: str, part: str) -> str:
    """Add a chapter to the table of contents: behind its part's last page, or as a new part.

    Edited as text, so that comments and the order of keys stay.
    """
    chapters = list(re.finditer(r"^( *)- file: notebooks/(\w+)/\w+ *\n", text, re.M))
    same = [found for found in chapters if found[2] == part]
    last = (same or chapters)[-1]
    # An appendix is indented deeper; the first chapter never is.
    line = f"{chapters[0][1]}- file: notebooks/{part}/{slug}\n"
    if not same:
        dash = re.search(r"^( *)- caption:", text, re.M)[1]
        caption = part.replace("_", " ").capitalize()
        head = (f"- caption: {caption}", "  numbered: true", "  chapters:")
        line = "".join(f"{dash}{words}\n" for words in head) + line
    return text[: last.end()] + line + text[last.end() :]
