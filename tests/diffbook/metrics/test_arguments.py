"""Nonsense for every argument of the public functions of `diffbook.metrics`."""

import numpy as np
from nonsense import case, table_tests

from diffbook import inverse
from diffbook.metrics import (
    audio,
    cells,
    intervals,
    intonation,
    restoration,
    samples,
    seams,
    voice,
)

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((2, 5, 8, 8))
DRAWS = RNG.standard_normal((5, 3, 8, 8))
TABLE = RNG.standard_normal((3, 4))
CELLS = [
    cells.Cell(5, method, metric, seed, float(seed + 1))
    for method in ("ours", "theirs") for metric in ("PSNR", "SSIM") for seed in (0, 1)
]  # fmt: skip

SIGNED = ("negative", "values have any sign")
ANY_NAME = ("text", "any name will do")

SOUNDS, CLEAN = RNG.standard_normal((2, 3, 600))
VOICE, SPOKEN = 0.1 * RNG.standard_normal((2, 4000))
TWO = {"x": SIGNED, "x0": SIGNED}
UNVOICED = ("nan", "not-a-number where nothing is voiced")
ANY_PHONE = ("text", "phones have any name")

CASES = [
    # audio
    case(audio.si_sdr, {"x": SIGNED, "x0": SIGNED}, x=SOUNDS, x0=CLEAN),
    case(
        audio.segmental_snr, {"x": SIGNED, "x0": SIGNED},
        x=SOUNDS, x0=CLEAN, frame=64, range_db=40.0,
    ),
    case(
        audio.log_spectral_distance, {"x": SIGNED, "x0": SIGNED},
        x=SOUNDS, x0=CLEAN, window=64, range_db=60.0,
    ),
    # cells
    case(
        cells.Cell,
        {"method": ANY_NAME, "metric": ANY_NAME,
         "value": ("inf negative", "the PSNR of equal images is infinite")},
        S=5, method="ours", metric="PSNR", seed=0, value=TABLE[0],
    ),
    case(cells.values, cells=CELLS, metric="PSNR"),
    case(cells.summary, cells=CELLS, metric="PSNR"),
    case(cells.means, cells=CELLS, metrics=["PSNR", "SSIM"]),
    case(cells.compare, cells=CELLS, metric="PSNR", method="ours", others="theirs"),
    case(cells.compare, cells=CELLS, metric="PSNR", method="ours", others=["theirs"]),
    # intervals
    case(intervals.crossed_ci, {"values": SIGNED}, values=TABLE, level=0.9),
    case(intervals.mean_ci, {"values": SIGNED}, values=TABLE[0], level=0.9),
    case(intervals.paired_ci, {"a": SIGNED, "b": SIGNED}, a=TABLE[0], b=TABLE[1], level=0.9),
    case(
        intervals.bootstrap_ci, {"x": SIGNED},
        statistic=np.mean, x=TABLE[0], level=0.9, draws=5, rng=0,
    ),
    # restoration
    case(restoration.psnr, {"x": SIGNED, "x0": SIGNED}, x=X, x0=Y, data_range=2.0),
    case(restoration.ssim, {"x": SIGNED, "x0": SIGNED}, x=X, x0=Y, data_range=2.0, window=5),
    case(restoration.energy_score, {"x": SIGNED, "x0": SIGNED}, x=DRAWS, x0=X),
    case(restoration.spread_over_error, {"x": SIGNED, "x0": SIGNED}, x=DRAWS, x0=X),
    case(
        restoration.consistency, {"x": SIGNED, "y": SIGNED},
        x=X, y=Y, operator=inverse.identity((8, 8)), sigma_y=0.1,
    ),
    # voice
    case(
        voice.mel_cepstral_distance, TWO, x=VOICE, x0=SPOKEN, sample_rate=8000, aligned=False,
    ),
    case(
        voice.energy_rmse, {**TWO, "threshold_db": ("negative", "decibels have any sign")},
        x=VOICE, x0=SPOKEN, sample_rate=8000, threshold_db=-60.0,
    ),
    case(voice.noise_floor, {"x": SIGNED}, x=VOICE, sample_rate=8000),
    case(voice.intelligibility, TWO, x=VOICE, x0=SPOKEN, sample_rate=8000),
    case(
        voice.phone_error_rate, {"found": ANY_PHONE, "spoken": ANY_PHONE},
        found=[["a"]], spoken=[["b"]],
    ),
    case(
        voice.pairwise, {"sounds": ("text", "the metric says what it takes")},
        metric=lambda a, b: 0.0, sounds=["one", "other"],
    ),
    # intonation
    case(
        intonation.pitch, {"x": SIGNED}, x=VOICE[:1000], sample_rate=8000, span=(70.0, 450.0),
    ),
    case(intonation.pitch_errors, TWO, x=VOICE[:1000], x0=SPOKEN[:1000], sample_rate=8000),
    case(
        intonation.track_errors, {"track": UNVOICED, "track0": UNVOICED},
        track=np.array([100.0, 120.0, 110.0]), track0=np.array([110.0, 150.0, 130.0]),
    ),
    # seams
    case(
        seams.seam_ranks, {"x": SIGNED},
        x=VOICE, seams=np.array([1000, 2000]), sample_rate=8000, measure="flux", window_ms=50.0,
    ),
    case(
        seams.random_ranks, {"x": SIGNED},
        x=VOICE, n=3, sample_rate=8000, measure="flux", rng=0, window_ms=50.0,
    ),
    # samples
    case(samples.pixels, {"x": SIGNED}, x=X),
    case(samples.gabor_energies, {"x": SIGNED}, x=X),
    case(samples.sliced_w2, {"x": SIGNED, "y": SIGNED}, x=X, y=Y, n_projections=3, seed=0),
    case(samples.power_spectrum, {"x": SIGNED}, x=X),
    case(samples.spectrum_error, {"x": SIGNED, "y": SIGNED}, x=X, y=Y),
    case(samples.moment_metric, {"mean": SIGNED}, mean=TABLE[0], covariance=np.eye(4)),
    case(samples.image_metrics, {"reference": SIGNED}, reference=X),
]  # fmt: skip
EXEMPT = {
    "PhoneErrors": "a record that phone_error_rate makes",
    "PitchErrors": "a record that track_errors makes",
    "Comparison": "a record that compare makes",
    "groups": "takes cells only",
    "worst": "takes comparisons only",
}


test_nonsense_is_refused_by_name, test_valid_calls_succeed, test_no_name_is_missing = table_tests(
    "diffbook.metrics", CASES, EXEMPT
)
