"""The drawing kit."""

from diffbook._lazy import face
from diffbook._optional import need

need("matplotlib", "draw", "diffbook.draw")

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "style": "PANEL INK GRID SEQUENCE use_style show_crisp crisp_png looks label",
        "parts": (
            "LOSS distinct room lowest fixed_ticks narrow_log_ticks filled "
            "vector positive sparse log_sparse thin plain_log_ticks legend_below done"
        ),
        "curves": "lines over_steps panels dots step_ticks",
        "images": "grid",
    },
)
