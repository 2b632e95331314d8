"""The ends of the ranges of the chapters' parameters, and combinations of values, at small sizes.

`LOW` holds for each page the lowest value of every parameter that has a range, in one run; a list
has one member there. `HIGH` has runs with the highest values, those that go together in one run, at
`smoke` otherwise. `MIXED` are combinations that are easily forgotten.
"""

LOW = {
    "spectral": {"seed": 0, "steps": [1], "n_starts": 1, "n_samples": 8},
    "spectral_appendix": {"seed": 0, "steps": [2], "n_mc": 2, "n_signals": 2000},
    "posterior": {
        "seed": 0, "n_mc": 100, "n_starts": 1, "max_iter": 1, "n_images": 2, "patch": 8,
        "n_train": 100, "n_seeds": 2, "n_restored": 2,
    },
    "posterior_appendix": {
        "seed": 0, "n_starts": 1, "max_iter": 1, "n_images": 2, "patch": 9, "n_train": 100,
        "colour_steps": [1],
    },
    "coupled": {"seed": 0, "n_world": 200, "n_images": 10, "n_clips": 10, "steps": 8},
    "coupled_appendix": {"seed": 0, "n_world": 200},
    "diffar": {"seed": 0, "n_markov": 200, "n_crops": 16, "steps": 2},
    "diffar_appendix": {"seed": 0, "n_text": 10},
}  # fmt: skip

HIGH = {
    "spectral": [
        {"seed": 2**31 - 1, "steps": [1000]},
        {"n_starts": 100},
        {"n_samples": 20_000},
    ],
    "spectral_appendix": [
        {"seed": 2**31 - 1, "steps": [1000]},
        {"n_mc": 1_000_000, "n_signals": 50_000},
    ],
    "posterior": [
        {"seed": 2**31 - 1, "n_mc": 1_000_000, "patch": 64, "n_train": 50_000, "n_seeds": 3},
        {"n_starts": 30, "max_iter": 10_000},
        {"n_images": 1000, "n_restored": 300},
    ],
    "posterior_appendix": [
        {"seed": 2**31 - 1, "patch": 64, "n_train": 50_000, "n_images": 400},
        {"colour_steps": [250]},
        {"n_starts": 30, "max_iter": 10_000},
    ],
    "coupled": [
        {"seed": 2**31 - 1, "n_images": 300, "n_clips": 300, "steps": 150},
        {"n_world": 100_000},
    ],
    "coupled_appendix": [{"seed": 2**31 - 1, "n_world": 100_000}],
    "diffar": [
        {"seed": 2**31 - 1, "steps": 200},
        {"n_markov": 20_000, "n_crops": 1024},
    ],
    "diffar_appendix": [{"seed": 2**31 - 1, "n_text": 500}],
}

MIXED = {
    "spectral": [{"steps": [3, 7]}, {"steps": [10]}, {"steps": [50, 1000]}],
    "spectral_appendix": [{"steps": [3, 7]}, {"steps": [50]}],
}
