"""Ends of the ranges of chapters 3 and 4: a run at `smoke` with these values goes through.

All low ends in one run, all high ends in another; a text's choices that need data sets of the reader are
left out. With one thread on two busy cores the high ends take up to @ minutes.
"""

ENDS = {
    "coupled": {
        "low": {"seed": 0, "n_world": 200, "n_images": 10, "n_clips": 10, "steps": 8},
        "high": {
            "seed": 2147483647, "n_world": 100_000, "n_images": 300, "n_clips": 300, "steps": 150,
        },
    },
    "coupled_appendix": {
        "low": {"seed": 0, "n_world": 200},
        "high": {"seed": 2147483647, "n_world": 100_000},
    },
    "diffar": {
        "low": {"seed": 0, "n_markov": 200, "n_crops": 16, "steps": 2},
        "high": {"seed": 2147483647, "n_markov": 20_000, "n_crops": 1024, "steps": 200},
    },
    "diffar_appendix": {
        "low": {"seed": 0, "n_text": 10},
        "high": {"seed": 2147483647, "n_text": 500},
    },
}  # fmt: skip
