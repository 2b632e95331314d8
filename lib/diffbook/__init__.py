"""The thin library behind the book: schedules, priors, samplers, inverse problems, networks.

Importing the package, or one of its packages, loads next to nothing: names are handed on when they
are asked for, and closed forms never load PyTorch.
"""

from diffbook._lazy import face

__version__ = "0.6.0"

__getattr__, __dir__, __all__ = face(
    __name__,
    dict.fromkeys(
        (
            "coupled",
            "datasets",
            "draw",
            "framewise",
            "inverse",
            "metrics",
            "nets",
            "priors",
            "recipes",
            "samplers",
            "schedules",
        ),
        "",
    ),
)
