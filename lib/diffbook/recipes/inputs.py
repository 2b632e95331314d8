"""What the commands of this package read and write: images of a folder, levels of a model, whole files."""

from __future__ import annotations

import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffbook._checks import whole
from diffbook._optional import need
from diffbook.recipes.schedulers import read_alphas_cumprod

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}


def images(
    folder: Path, size: int | None = None, grey: bool = False, limit: int = 500
) -> tuple[NDArray[np.float64], dict[str, str], str]:
    """Read the images of a folder, in the order of their names.

    Parameters
    ----------
    folder : Path
        At least two PNG, JPEG, BMP, TIFF or WebP files; others are passed over.
    size : int, optional
        Resize to squares of this side. Without it images of several sizes are cut to the largest square
        that fits all.
    grey : bool
        One channel in the place of three.
    limit : int
        Most images to read.

    Returns
    -------
    x : ndarray, shape (n, c, h, w)
        In [-1, 1].
    digests : dict
        SHA-256 of every file, by its name.
    note : str
        What was done to the images; empty if nothing.
    """
    need("PIL", "draw", "reading images")
    from PIL import Image

    if not folder.is_dir():
        raise ValueError(f"folder: there is no folder {folder}")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES)
    paths = paths[: whole(limit, "--limit", 2)]
    if len(paths) < 2:
        raise ValueError(f"folder: got {len(paths)} images in {folder}, expected at least 2")
    pictures, digests = [], {}
    for path in paths:
        content = path.read_bytes()
        digests[path.name] = hashlib.sha256(content).hexdigest()
        try:
            picture = Image.open(io.BytesIO(content)).convert("L" if grey else "RGB")
        except OSError as error:
            raise ValueError(f"{path}: cannot be read as an image: {error}") from None
        pictures.append(picture)
    note = ""
    sizes = {picture.size for picture in pictures}
    if len(sizes) > 1 or size is not None:
        side = min(min(s) for s in sizes)
        target = side if size is None else whole(size, "--size", 2)
        note = f"cut to squares from the middle and brought to {target} x {target}"
        pictures = [_square(picture, target, size is None) for picture in pictures]
    x = np.stack([np.atleast_3d(np.asarray(p, dtype=float)) for p in pictures])
    return np.moveaxis(x, 3, 1) / 127.5 - 1.0, digests, note


def _square(picture: Any, target: int, crop_only: bool) -> Any:
    """Cut a square from the middle, of the target's side or, to be resized, as large as fits."""
    from PIL import Image

    side = target if crop_only else min(picture.size)
    left, top = ((n - side) // 2 for n in picture.size)
    cut = picture.crop((left, top, left + side, top + side))
    return cut if side == target else cut.resize((target, target), Image.Resampling.LANCZOS)


def levels(path: Path) -> tuple[NDArray[np.float64], str]:
    """Levels of a model from its ``scheduler_config.json`` (`read_alphas_cumprod`), and the file's SHA-256."""
    text = Path(path).read_text("utf-8")
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"--model: {path} is no JSON file: {error}") from None
    return read_alphas_cumprod(config), hashlib.sha256(text.encode()).hexdigest()


def check_targets(*paths: Path | None) -> None:
    """Refuse a file to write whose folder is not there, before anything is computed."""
    for path in filter(None, paths):
        if not path.parent.is_dir():
            raise ValueError(f"{path}: there is no folder {path.parent}")


def replace(path: Path, content: bytes) -> None:
    """Write a file as a whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
