"""The authors' own audio, measured with the instruments that measure ours."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from chapters.diffar import speaking
from diffbook.datasets import released
from diffbook.metrics import audio, intonation, seams, voice
from press.records import short

RATE, WINDOW = released.SAMPLE_RATE, 1024


def row(x: NDArray, x0: NDArray) -> dict[str, float]:
    """Scores of one run beside its recording."""
    pitch = intonation.pitch_errors(x, x0, RATE)
    return {
        "lsd": float(audio.log_spectral_distance(x[None], x0[None], WINDOW, 80.0)[0]),
        "mcd": voice.mel_cepstral_distance(x, x0, RATE),
        "mcd_warped": voice.mel_cepstral_distance(x, x0, RATE, aligned=False),
        "energy": voice.energy_rmse(x, x0, RATE),
        "estoi": voice.intelligibility(x, x0, RATE),
        "f0_rmse": pitch.rmse_hz,
        "cents": pitch.median_cents,
        "floor": voice.noise_floor(x, RATE),
        "floor_of_recording": voice.noise_floor(x0, RATE),
    }


def make() -> dict[str, list[dict[str, Any]]]:
    """Measure every run, every pair of runs of one sentence and model, and the joints without a text."""
    runs, pairs, joints = [], [], []
    for one in released.sentences("ljspeech"):
        x0 = one.original.astype(float)
        for model, found in one.runs.items():
            sounds = [x.astype(float) for x in found]
            for k, x in enumerate(sounds):
                scores = {key: short([v])[0] for key, v in row(x, x0).items()}
                runs.append({"sentence": one.name, "model": model, "run": k, **scores})
            if len(sounds) > 1:
                spread = speaking.spread_of(sounds, RATE)
                spread = {key: short([value])[0] for key, value in spread.items()}
                pairs.append({"sentence": one.name, "model": model, **spread})
    for one in released.babbles():
        if one.joints is not None:
            x = one.samples.astype(float)
            for measure in seams.MEASURES:
                at = seams.seam_ranks(x, one.joints, RATE, measure).mean()
                away = seams.random_ranks(x, 200, RATE, measure, rng=0).mean()
                ranks = dict(zip(("at", "elsewhere"), short([at, away]), strict=True))
                count = len(one.joints)
                joints.append({"sound": one.name, "measure": measure, "joints": count, **ranks})
    return {"runs": runs, "pairs": pairs, "joints": joints}
