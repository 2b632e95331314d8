"""Results of the chapters, made ready for a model and data of your own."""

from diffbook._lazy import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "spectra": "examples spectrum_of",
        "design": "ScheduleRecipe schedule_for schedule_for_spectrum",
        "schedulers": "configure read_alphas_cumprod",
        "schedule": "",
        "restoration": "levels_for prior_for problem_for",
        "weights": "WeightsRecipe weights_for",
        "guided": "guided_eps restore",
        "deepinv": "",
        "inputs": "",
    },
)
