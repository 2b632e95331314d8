"""Design a noise schedule for a trained model from a folder of images: the command line.

``python -m diffbook.recipes.schedule FOLDER --steps 10 --sigma-range 0.002 80 --out schedule.json``
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffbook import __version__
from diffbook._checks import whole
from diffbook._optional import need
from diffbook.recipes import inputs
from diffbook.recipes.design import FIRST, OURS, ROUNDED, ScheduleRecipe, schedule_for

_COUNTS = (5, 10, 20, 50)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 if it went well, 2 if something was wrong with what it got."""
    parser = argparse.ArgumentParser(
        prog="python -m diffbook.recipes.schedule", description=__doc__.split("\n")[0]
    )
    parser.add_argument("folder", type=Path, help="images, read in the order of their names")
    parser.add_argument("--steps", type=int, required=True, help="calls of the network")
    ends = parser.add_mutually_exclusive_group(required=True)
    ends.add_argument("--model", type=Path, help="scheduler_config.json of a diffusers model")
    ends.add_argument("--sigma-range", type=float, nargs=2, metavar=("MIN", "MAX"))
    parser.add_argument("--size", type=int, help="resize to squares of this side")
    parser.add_argument("--grey", action="store_true", help="one channel instead of three")
    parser.add_argument("--limit", type=int, default=500, help="images to use (default 500)")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--report", type=Path, help="PNG file to write")
    given = parser.parse_args(arguments)
    try:
        _run(given)
    except (OSError, ValueError, ImportError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def _run(given: argparse.Namespace) -> None:
    whole(given.steps, "--steps")
    inputs.check_targets(given.out, given.report)
    images, digests, note = inputs.images(given.folder, given.size, given.grey, given.limit)
    if note:
        sys.stdout.write(f"note: {note}\n")
    ends: dict[str, Any] = {"sigma_range": given.sigma_range}
    if given.model is not None:
        table, digests[given.model.name] = inputs.levels(given.model)
        ends = {"alphas_cumprod": table}
    recipe = schedule_for(images, given.steps, channels="first", **ends)
    sys.stdout.write(recipe.report() + "\n")
    made_from = {
        "images": len(images), "shape": list(images.shape[1:]), "units": "[-1, 1]", "note": note,
        "sha256": digests,
        "versions": {"diffbook": __version__} | {p: version(p) for p in ("numpy", "scipy")},
    }  # fmt: skip
    found = json.dumps(recipe.as_dict() | {"made_from": made_from}, indent=2, allow_nan=False)
    if given.report is not None:
        inputs.replace(given.report, _picture(images, recipe, ends))
    inputs.replace(given.out, f"{found}\n".encode())


def _picture(images: NDArray, recipe: ScheduleRecipe, ends: dict[str, Any]) -> bytes:
    """Draw the spectrum, where the steps stand, and the predicted error by the number of steps."""
    need("matplotlib", "draw", "a report as a picture")
    from PIL import Image

    from diffbook.draw import lines, over_steps, use_style
    from diffbook.recipes.design import rivals

    use_style()
    lam = np.sort(recipe.lam)[::-1]
    rank = np.arange(1, lam.size + 1)
    figures = [lines(rank, {"variance": lam}, xlabel="mode, by decreasing variance",
                     ylabel="variance", log="xy", title="Spectrum of the images")]  # fmt: skip
    position = np.arange(recipe.S)
    others = rivals(recipe.S, *recipe.sigma_range, recipe.alphas_cumprod)
    stands = {OURS: recipe.sigmas[:-1]} | {name: sigma[:0:-1] for name, sigma in others.items()}
    figures.append(lines(position, stands, xlabel="step", ylabel="sigma", log="y",
                         title="Where the network is asked"))  # fmt: skip
    top = len(recipe.lam) if recipe.alphas_cumprod is None else recipe.alphas_cumprod.size
    counts = sorted({S for S in (*_COUNTS, recipe.S) if S <= top})
    family = {S: schedule_for(images, S, channels="first", n_starts=1, **ends) for S in counts}
    names = [name for name in recipe.predicted[FIRST] if name != ROUNDED]
    curves = {name: [family[S].predicted[FIRST][name] for S in counts] for name in names}
    figures.append(over_steps(counts, curves, ylabel="predicted W2, first order",
                              title="Predicted error"))  # fmt: skip
    pages = []
    for figure in figures:
        held = io.BytesIO()
        figure.savefig(held, format="png", dpi=110)
        pages.append(Image.open(held).convert("RGB"))
    whole_page = Image.new(
        "RGB", (max(p.width for p in pages), sum(p.height for p in pages)), "white"
    )
    top_edge = 0
    for page in pages:
        whole_page.paste(page, (0, top_edge))
        top_edge += page.height
    held = io.BytesIO()
    whole_page.save(held, format="PNG")
    return held.getvalue()


if __name__ == "__main__":
    raise SystemExit(main())
