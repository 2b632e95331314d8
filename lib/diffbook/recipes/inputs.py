"""Images of a folder and the levels of a model, from files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diffbook._optional import need


def images(folder, size=None, grey=False) -> tuple[NDArray[np.float64], str]:
    """Read images, centre-cropped to one square, as (n, h, w) or (n, h, w, 3) in [-1, 1], and a note."""
    need("PIL", "data", "reading images")
    from PIL import Image

    found = []
    for path in sorted(Path(folder).iterdir()):
        if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"):
            with Image.open(path) as image:
                found.append(np.asarray(image.convert("L" if grey else "RGB"), np.float64))
    if len(found) < 2:
        raise ValueError(f"folder: got {len(found)} images in {folder}, expected at least 2")
    side = min([*(n for x in found for n in x.shape[:2]), *([size] if size else [])])
    cut = [x[(x.shape[0] - side) // 2 :, (x.shape[1] - side) // 2 :][:side, :side] for x in found]
    return np.stack(cut) / 127.5 - 1.0, f"{len(cut)} images, the central {side} x {side} pixels"


def alphas_cumprod(path) -> NDArray[np.float64]:
    """Levels of a model from its scheduler's configuration."""
    config = json.loads(Path(path).read_text("utf-8"))
    low, high, T = config["beta_start"], config["beta_end"], config["num_train_timesteps"]
    if config["beta_schedule"] == "linear":
        return np.cumprod(1.0 - np.linspace(low, high, T))
    if config["beta_schedule"] == "scaled_linear":
        return np.cumprod(1.0 - np.linspace(low**0.5, high**0.5, T) ** 2)
    raise ValueError(f"path: beta_schedule is {config['beta_schedule']!r}")
