"""Nonsense for every argument of the public functions of `diffbook.framewise`."""

import numpy as np
import torch
from nonsense import case, table_tests

from diffbook import framewise
from diffbook.framewise import frames
from diffbook.nets.diffar import DiffAR
from diffbook.schedules import ddpm_chain

SCRIPT = framewise.Script(
    np.array([1, 2, 3]), np.array([[0, 4], [4, 9], [9, 12]]), np.ones((1, 3)), 0
)
NET = DiffAR(3, 8, 1, speakers=1).requires_grad_(False)
TRAIN = ddpm_chain(5)
SCHEDULE = TRAIN[::2]
SIGNED = ("negative", "signals and tracks have any sign")
PAST = np.linspace(-1.0, 1.0, 12)
RUN = {"net": NET, "schedule": SCHEDULE, "alpha_bar_train": TRAIN, "context": "overlap"}
PLANNED = {"length": 6, "limit": 2, **RUN}

CASES = [
    case(frames.Frame, start=3, stop=9, overlap=2),
    case(frames.known, {"x_before": SIGNED}, x_before=np.linspace(-1.0, 1.0, 4), overlap=2, length=5),
    case(frames.overlap_matrix, length=5, overlap=2),
    case(frames.training_overlap, ends=np.array([4, 9, 12]), start=2, length=8, limit=4),
    case(frames.plan, intervals=SCRIPT.intervals, length=6, limit=2),
    case(frames.plan_fixed, total=20, length=6, overlap=2),
    case(
        framewise.Script,
        {"tracks": ("negative empty", "tracks have any sign, and there may be none")},
        phones=SCRIPT.phones, intervals=SCRIPT.intervals, tracks=SCRIPT.tracks, speaker=0,
    ),
    case(framewise.Script.within, self=SCRIPT, start=2, stop=7),
    case(framewise.noise_level_denoiser, net=NET, given=None, alpha_bar_train=TRAIN),
    case(framewise.stream, script=SCRIPT, seed=1, **PLANNED),
    case(framewise.generate, {"history": SIGNED}, scripts=[SCRIPT], seeds=[1], history=[PAST], **PLANNED),
    case(
        framewise.unconditional,
        total=12, length=6, overlap=2, seeds=[1], speaker=0, **RUN,
    ),
]  # fmt: skip

torch.set_num_threads(1)

test_nonsense_is_refused_by_name, test_valid_calls_succeed, test_no_name_is_missing = table_tests(
    "diffbook.framewise", CASES, {}
)
