"""Results of the chapters, for a model and data of your own."""

from diffbook._lazy import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "inputs": "",
        "restoration": "levels_for prior_for problem_for",
        "weights": "WeightsRecipe weights_for",
        "guided": "guided_eps restore",
        "deepinv": "",
    },
)
