"""The ends of the ranges of chapters 3 and 4, as in `ends`."""

LOW = {
    "coupled": {"seed": 0, "n_world": 200, "n_images": 10, "n_clips": 10, "steps": 8},
    "coupled_appendix": {"seed": 0, "n_world": 200},
    "diffar": {"seed": 0, "n_markov": 200, "n_crops": 16, "steps": 2},
    "diffar_appendix": {"seed": 0, "n_text": 10},
}

HIGH = {
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
