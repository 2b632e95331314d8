"""The recogniser that listens to the network, and the predictors of what the network is told.

    python -m chapters.diffar.auxiliary

trains them (five minutes on one core), writes `data/weights/diffar_recogniser.safetensors` and
`data/weights/diffar_frontend.safetensors`, and prints how good they are on the test sentences.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import click
import numpy as np

from chapters.diffar.steps import PITCHES, RATE, as_level, corpus, tracks
from diffbook.datasets import aligned, sentences, speech
from diffbook.datasets.aligned import SILENCE, SYMBOLS, Clip
from diffbook.framewise import Script
from diffbook.metrics.voice import phone_error_rate
from diffbook.nets import frontend, recogniser
from diffbook.threads import one_thread_each
from press import paths

COMMAND = "python -m chapters.diffar.auxiliary"
#: What is predicted; the pitch of the corpus is drawn for each sentence and cannot be.
KINDS = ("duration", "energy")
PARTS = ("nothing", *KINDS, "everything")


def file(name: str) -> Path:
    """File of the weights of "recogniser" or "frontend"."""
    return paths.weights() / f"diffar_{name}.safetensors"


def coined(n: int, seed: int = 0, pitches: tuple[int, int] = PITCHES) -> list[Clip]:
    """Speak at most n sentences of six words that do not exist, heads and tails of those of training.

    Two hundred words have too few pairs of phones to hear new ones; none of these is a test word.
    """
    rng, texts = np.random.default_rng([seed, 9]), []
    known, test = (
        [word for some in sentences.words(split).values() for word in some if len(word) > 3]
        for split in ("train", "test")
    )
    for _ in range(n):
        words: list[str] = []
        while len(words) < 6:
            head, tail = rng.choice(known, 2)
            word = head[: rng.integers(2, len(head) - 1)] + tail[rng.integers(2, len(tail) - 1) :]
            words += [word] if word not in test else []
        texts.append(speech.Utterance(" ".join(words), f0=int(rng.choice(pitches))))
    spoken = zip(speech.speak(texts, RATE), texts, strict=True)
    clips = [aligned.from_spoken(one, RATE, f0=text.f0) for one, text in spoken]
    return [clip for clip in clips if set(clip.phones) <= set(SYMBOLS)]


hear = recogniser.recognise


@cache
def ears() -> recogniser.PhoneRecogniser:
    """Read the frozen recogniser."""
    return recogniser.load_recogniser(file("recogniser"))


@cache
def predictors() -> dict[str, frontend.PhonePredictor]:
    """Read the frozen predictors."""
    return frontend.load_predictors(file("frontend"))


def predicted_script(clip: Clip, predicted: str) -> Script:
    """Tell what a clip says, with one of `PARTS` predicted from its phones."""
    kinds = [kind for kind in KINDS if predicted in (kind, "everything")]
    found = {k: frontend.predict(predictors()[k], [clip.phones])[0] for k in kinds}
    level, place = tracks(clip), clip.intervals
    if "duration" in found:
        place = frontend.timing(found["duration"][1:], RATE)
    if "energy" in found:
        level[0] = as_level(found["energy"])
    return Script(aligned.indices(clip.phones, SYMBOLS), place, level)


def errors_of(net: frontend.PhonePredictor, train: list[Clip], test: list[Clip]) -> dict[str, dict]:
    """Errors of a predictor and of two means of the training clips, silences left out."""
    kind, texts = net.kind, [clip.phones for clip in test]
    place = aligned.indices(sum(texts, ()), SYMBOLS)
    said, mean = place != SYMBOLS.index(SILENCE) + 1, frontend.means(kind, train)
    true = frontend.decoded(kind, np.concatenate([frontend.targets(kind, clip) for clip in test]))
    ways = {"network": np.concatenate(frontend.predict(net, texts)), "phone": mean[place]}
    ways["global"] = np.full(len(place), mean[0])
    if kind == "duration":
        return {k: frontend.accuracy(v[said], true[said]) for k, v in ways.items()}
    return {k: {"error": float(np.abs(v - true)[said].mean())} for k, v in ways.items()}


def forgetting(seeds: tuple[int, ...] = (0, 1, 2)) -> list[dict]:
    """Accuracy of durations with and without gradients set to zero before each step."""
    train, test, rows = corpus("train", 500), corpus("test", 50), []
    for seed in seeds:
        for zero_grad in (True, False):
            net, _ = frontend.train_predictor("duration", train, seed, zero_grad=zero_grad)
            found = errors_of(net, train, test)["network"]
            rows.append({"seed": seed, "zero_grad": zero_grad, **found})
    return rows


def heard(net: recogniser.PhoneRecogniser, clips: list[Clip], snr: float | None = None) -> dict:
    """Phone error rate in per cent, in white noise at `snr` dB; `merged` counts like phones as one."""
    rng, sounds = np.random.default_rng(0), [clip.samples.astype(float) for clip in clips]
    if snr is not None:
        sounds = [x + x.std() * 10 ** (-snr / 20) * rng.standard_normal(len(x)) for x in sounds]
    pair = hear(net, sounds), [[p for p in clip.phones if p != SILENCE] for clip in clips]
    like = [[[recogniser.MERGED.get(p, p) for p in text] for text in texts] for texts in pair]
    per, merged = (100 * phone_error_rate(*texts).rate for texts in (pair, like))
    return {"snr": snr, "per": per, "merged": merged}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def main(seed: int) -> None:
    """Train recogniser and predictors, write them, and print how good they are."""
    train, test = corpus("train", 500) + coined(500), corpus("test", 50)
    checkpoint = paths.working() / "diffar" / "recogniser.checkpoint"
    with one_thread_each():
        net, history = recogniser.train_recogniser(train, seed, checkpoint=checkpoint)
        recogniser.save_recogniser(file("recogniser"), net, COMMAND)
        checkpoint.unlink()
        nets = [frontend.train_predictor(kind, train, seed)[0] for kind in KINDS]
        frontend.save_predictors(file("frontend"), nets, COMMAND)
        found = {kind: errors_of(net, train, test) for kind, net in predictors().items()}
        found["recogniser"] = [heard(ears(), test, snr) for snr in (None, 30.0, 20.0, 10.0)]
    click.echo(json.dumps({**found, "history": history}, indent=1))


if __name__ == "__main__":
    main()
