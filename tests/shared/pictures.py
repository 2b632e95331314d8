"""What every figure of the book keeps, whoever draws it."""

import io

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from diffbook import draw


def check_picture(fig):
    """Refuse a figure that stays open, has another width than the book's, or is not on its colour."""
    assert plt.get_fignums() == []
    fig.savefig(buffer := io.BytesIO(), format="png")
    picture = Image.open(buffer)
    assert 680 <= picture.width <= 1400
    corner = np.array(picture.convert("RGBA"))[3, 3]
    assert tuple(corner) == (*(int(draw.PANEL[i : i + 2], 16) for i in (1, 3, 5)), 255)


def rows_with_labels(fig):
    """Panels by rows, each of which has a label of its y axis; the lowest row comes last."""
    rows = {}
    for ax in fig.axes:
        rows.setdefault(ax.get_subplotspec().rowspan.start, []).append(ax)
    assert all(any(ax.get_ylabel() for ax in row) for row in rows.values())
    return [rows[i] for i in sorted(rows)]
