"""The recorded trainings and studies of the chapter.

    python -m chapters.diffar.record main
    python -m chapters.diffar.record small
    python -m chapters.diffar.record speech
    python -m chapters.diffar.record front
    python -m chapters.diffar.record released

`main` trains the network that speaks (two and a quarter hours on one core) and writes
`data/weights/diffar_main.safetensors`; `small` trains variants with three seeds each, `speech` lets the
network say the test sentences in many ways and scores them, `front` trains the duration predictor with
and without a fault, and `released` measures the authors' own audio, which must lie in `DIFFBOOK_DATA`
(2 minutes). The last four write `data/diffar/studies/*.json`. Finished trainings and what was said stay in
`results/diffar/`, so an interrupted study goes on.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

from chapters.diffar import auxiliary, released, small, speaking
from chapters.diffar.speaking import Setting
from chapters.diffar.steps import Recipe, corpus
from chapters.diffar.training import AGAIN, network, trained
from diffbook.datasets import aligned
from diffbook.nets.store import read_tensors, write_tensors
from press import paths
from press.records import provenance, read, short, write

COMMAND = "python -m chapters.diffar.record"
#: The network that speaks is trained twice, each time with a learning rate that falls to zero.
FIRST, MAIN = Recipe("first", 8000), Recipe("main", 15_000)
#: Test sentences, seeds of the sampler, and long texts of so many sentences.
CLIPS, SEEDS, TEXTS, ROW = 24, (0, 1, 2), 6, 10
#: As the paper samples, with fewer steps, and what costs less than half of it.
BASE, QUICK = Setting(S=50), Setting(sampler="spectral", S=20)
#: Longest overlaps in samples and numbers of steps that a reader can choose from.
LIMITS, COUNTS = (0, 250, 1000, 2000), (3, 5, 10, 20)


@dataclass(frozen=True, eq=False)
class Study:
    """A recorded study: what it says about itself, and its tables."""

    about: dict[str, Any]
    tables: dict[str, list[dict[str, Any]]]

    def select(self, table: str = "said", **where: Any) -> list[dict[str, Any]]:
        """Rows of a table with these values; tables by setting have the default one where none is given."""
        where = {**BASE._asdict(), **where} if table in ("said", "apart") else where
        found = [r for r in self.tables[table] if all(r[k] == v for k, v in where.items())]
        if not found:
            raise ValueError(f"{table}: the study has no rows {where}")
        return found

    def scores(self, score: str, **where: Any) -> NDArray:
        """Return one score of a setting, shape (seeds, sentences)."""
        rows = self.select(**where)
        seeds = sorted({r["seed"] for r in rows})
        return np.array([[r[score] for r in rows if r["seed"] == seed] for seed in seeds], float)

    def energy_score(self, **where: Any) -> NDArray:
        """Energy score of log-spectra in decibel, (sentences,): a proper score, lower is better."""
        rows = self.select("apart", **where)
        return np.array([r["to_recording"] - 0.5 * r["apart"] for r in rows])

    def error_rate(self, **where: Any) -> NDArray:
        """Phone errors in per cent of the mean sentence, (seeds, sentences): their mean is the rate."""
        errors, phones = (self.scores(name, **where) for name in ("errors", "phones"))
        return 100.0 * errors / phones.mean()

    def by_sentence(self, score: str, context: str) -> NDArray:
        """Return a score of the long texts, (texts, sentences); errors in per cent of the phones."""
        rows = self.select("long", context=context)
        values = [
            100.0 * r["errors"] / r["phones"] if score == "errors" else r[score] for r in rows
        ]
        return np.array(values, float).reshape(1 + max(r["text"] for r in rows), -1)


def load(name: str) -> Study:
    """Read a study by its name."""
    path = paths.study("diffar", name)
    if not path.is_file():
        raise FileNotFoundError(f"no study at {path}; make it: {COMMAND} {name}")
    found = read(path)
    return Study(found.pop("about"), found)


def timings() -> list[list[dict[str, Any]]]:
    """Tables of the recorded benchmark: a step of a frame, time by steps, memory by length."""
    path = paths.study("diffar", "speed")
    if not path.is_file():
        raise FileNotFoundError(f"no {path}; python -m benchmarks --only frames --out {path}")
    tables = read(path)["tables"]
    return [[dict(zip(t["columns"], row, strict=True)) for row in t["rows"]] for t in tables]


def weights(name: str) -> Path:
    """File of a network of the chapter."""
    return paths.weights() / f"diffar_{name}.safetensors"


def history() -> dict[int, dict[str, float]]:
    """Losses of the network that speaks, by the number of crops that its two trainings had seen."""
    about = network(weights("main"))[1]
    done, batch = about["earlier"][-1]["step"], about["recipe"]["batch"]
    found = {batch * row["step"]: row for row in about["earlier"]}
    return found | {batch * (done + row["step"]): row for row in about["history"]}


def live() -> torch.nn.Module:
    """Return the network that speaks, merged; what the notebook runs."""
    return network(weights("main"))[0].merged().eval()


def folder(study: str) -> Path:
    """Folder of what is finished of a study."""
    return paths.working() / "diffar" / study


def test_clips() -> list[aligned.Clip]:
    """Sentences of the test, of words that no network has heard."""
    return corpus("test", CLIPS)


def texts() -> list[list[aligned.Clip]]:
    """Long texts: sentences of the test after the first ones, at one pitch each, without a pause between."""
    made = corpus("test", CLIPS + TEXTS * ROW)[CLIPS:]
    low_and_high = [made[k::2][i : i + ROW] for i in range(0, len(made) // 2, ROW) for k in (0, 1)]
    return [
        # The first begins with the silence that every recording begins with.
        [speaking.cut(clip, int(i > 0), -1) for i, clip in enumerate(text)]
        for text in low_and_high[:TEXTS]
    ]


# --- what is said --------------------------------------------------------------------------------


def settings() -> Iterator[tuple[Setting, int]]:
    """All settings of the study with the seeds of the sampler."""
    for told in ("+P", "base", "-E"):
        yield from ((BASE._replace(told=told), seed) for seed in SEEDS)
    for told in ("+P", "-E"):
        yield from ((BASE._replace(told=told, context="none"), seed) for seed in SEEDS)
    for sampler, counts in (
        ("ddim", (5, 10, 20)),
        ("spectral", (5, 10, 20)),
        ("even", (10, 20)),
        ("ddpm", (10, 20)),
    ):
        yield from ((BASE._replace(sampler=sampler, S=S), seed) for S in counts for seed in SEEDS)
    yield BASE._replace(sampler="ddim"), 0
    yield BASE._replace(S=200), 0
    # The sweep of overlaps, and what else a reader can hear.
    for limit, S in product(LIMITS, COUNTS):
        if limit < BASE.limit or S == COUNTS[0]:
            for seed in SEEDS if S == QUICK.S else SEEDS[:1]:
                yield QUICK._replace(S=S, limit=limit), seed


def rounded(found: dict[str, float]) -> dict[str, float | None]:
    """Numbers as they are kept, None for those that could not be measured."""
    return {k: None if np.isnan(v) else short([v])[0] for k, v in found.items()}


def digest() -> str:
    """Checksum of the file of the network that speaks."""
    return hashlib.sha256(weights("main").read_bytes()).hexdigest()


def kept(name: str, make: Callable[[], list[NDArray]]) -> list[NDArray]:
    """Return what this network said under a name, now or before; kept as 16-bit samples."""
    place = folder("speech") / digest()[:12] / f"{name}.npz"
    if not place.is_file():
        said = make()
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_suffix(".part.npz")
        np.savez(part, *[np.rint(32767 * x.clip(-1, 1)).astype(np.int16) for x in said])
        part.replace(place)
    with np.load(place) as found:
        return [found[f"arr_{i}"] / 32767 for i in range(len(found.files))]


def cell(net: Any, setting: Setting, seed: int) -> list[NDArray]:
    """Say the test sentences with one setting."""
    clips = test_clips()
    seeds = [1000 * seed + i for i in range(len(clips))]
    name = "-".join(map(str, (*setting, seed)))
    return kept(name, partial(speaking.say, net, clips, setting, seeds))


def said(net: Any, ears: Any) -> dict[str, list[dict[str, Any]]]:
    """Say everything; rows of scores, of distances between samples of one text, and of joints."""
    from tqdm.auto import tqdm

    clips, rows, apart, waves = test_clips(), [], [], {}
    for setting, seed in tqdm(list(settings()), desc="said"):
        waves.setdefault(setting, []).append(cell(net, setting, seed))
        heard = auxiliary.hear(ears, waves[setting][-1])
        for i, (x, clip) in enumerate(zip(waves[setting][-1], clips, strict=True)):
            found = rounded(speaking.score(x, clip, heard[i]))
            rows.append({**setting._asdict(), "seed": seed, "clip": i, **found})
    for setting, seeds in waves.items():
        for i, several in enumerate(zip(*seeds, strict=True)):
            if len(several) > 1:
                found = speaking.distances(several, clips[i].samples.astype(float))
                apart.append({**setting._asdict(), "clip": i, **rounded(found)})
    pairs = [
        {"told": told, "clip": i, **rounded(speaking.spread_of(list(several)))}
        for told in ("-E", "base", "+P")
        for i, several in enumerate(zip(*waves[BASE._replace(told=told)], strict=True))
    ]
    recordings = [clip.samples.astype(float) for clip in clips]
    heard = auxiliary.hear(ears, recordings)
    ceiling = [
        {"clip": i, **rounded(speaking.score(x, clip, heard[i]))}
        for i, (x, clip) in enumerate(zip(recordings, clips, strict=True))
    ]
    alone = waves[BASE._replace(context="none")]
    sounds = {"generated": waves[BASE], "no past": alone, "recording": [recordings]}
    joints = [speaking.joints(clip) for clip in clips]
    sounds["with a step"] = [list(map(speaking.stepped, recordings, joints))]
    seams = [
        {"sound": kind, "seed": seed, "clip": i, **rounded(speaking.joint_ranks(x, joints[i]))}
        for kind, seeds in sounds.items()
        for seed, several in enumerate(seeds)
        for i, x in enumerate(several)
    ]
    return {"said": rows, "apart": apart, "pairs": pairs, "seams": seams, "ceiling": ceiling}


def long(net: Any, ears: Any) -> list[dict[str, Any]]:
    """Say long texts with generated and with recorded contexts; rows by sentence."""
    rows, sentences = [], texts()
    whole = [speaking.joined(text) for text in sentences]
    for context in ("own", "recording"):
        setting, seeds = BASE._replace(context=context), list(range(len(whole)))
        waves = kept(f"long-{context}", partial(speaking.say, net, whole, setting, seeds))
        for i, (x, text) in enumerate(zip(waves, sentences, strict=True)):
            ends = np.cumsum([len(clip.samples) for clip in text])
            pieces = np.split(x, ends[:-1])
            heard = auxiliary.hear(ears, pieces)
            for k, (piece, clip) in enumerate(zip(pieces, text, strict=True)):
                found = rounded(speaking.score(piece, clip, heard[k]))
                rows.append({"context": context, "text": i, "sentence": k, **found})
    return rows


def front(net: Any, ears: Any) -> list[dict[str, Any]]:
    """Say the test sentences from phones alone, parts of the rest predicted; rows of scores."""
    rows = []
    for predicted in auxiliary.PARTS:
        for seed in SEEDS:
            scripts = [auxiliary.predicted_script(clip, predicted) for clip in test_clips()]
            seeds = [1000 * seed + i for i in range(CLIPS)]
            say = partial(speaking.say, net, test_clips(), QUICK, seeds, scripts=scripts)
            told = predicted != "nothing"
            waves = kept(f"front-{predicted}-{seed}", say) if told else cell(net, QUICK, seed)
            heard = auxiliary.hear(ears, waves)
            for i, clip in enumerate(test_clips()):
                found = speaking.understood(clip, heard[i])
                rows.append({"predicted": predicted, "seed": seed, "clip": i, **found})
    return rows


def free(net: Any) -> list[dict[str, Any]]:
    """Speak without a text in the paper's three pairs of frame and overlap; rows by sample."""
    reference = np.concatenate([clip.samples for clip in test_clips()]).astype(float)
    rows = []
    for length, overlap in ((400, 200), (500, 250), (1000, 500)):
        found = speaking.without_text(net, length, overlap, list(range(6)))
        for i, x in enumerate(found):
            scores = rounded(speaking.envelope_distance(x, reference))
            rows.append({"length": length, "overlap": overlap, "sample": i, **scores})
    return rows


# --- studies -------------------------------------------------------------------------------------


def make_main() -> dict[str, list[dict[str, Any]]]:
    """Train the network that speaks and put it among the book's weights."""
    trained(MAIN, 1, folder("networks"), after=(FIRST, 0))  # Another seed: other frames.
    files = [folder("networks") / f"{name}.safetensors" for name in ("first-seed0", "main-seed1")]
    (_, first), (tensors, about) = (read_tensors(path, AGAIN) for path in files)
    earlier = {"earlier": first["history"], "command": f"{COMMAND} main"}
    write_tensors(weights("main"), tensors, about | earlier)
    return {}


def make_speech() -> dict[str, list[dict[str, Any]]]:
    """Let the network speak in all ways and score it."""
    net, ears = live(), auxiliary.ears()
    tables = said(net, ears)
    return tables | {"long": long(net, ears), "front": front(net, ears), "free": free(net)}


STUDIES: dict[str, Callable[[], dict[str, list[dict[str, Any]]]]] = {
    "main": make_main, "small": small.make, "speech": make_speech,
    "front": lambda: {"forgetting": auxiliary.forgetting()}, "released": released.make,
}  # fmt: skip


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("study", type=click.Choice(list(STUDIES)))
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True)
def main(study: str, threads: int) -> None:
    """Train the chapter's networks or make one of its studies."""
    start = time.perf_counter()
    torch.set_num_threads(threads)
    tables = STUDIES[study]()
    if tables:
        about: dict[str, Any] = {"command": f"{COMMAND} {study}"}
        if study == "speech":
            about |= {"recipe": asdict(MAIN), "networks": {weights("main").name: digest()}}
        about |= provenance() | {"threads": threads}
        write(paths.study("diffar", study), {"about": about, **tables})
    click.echo(f"{time.perf_counter() - start:6.0f} s  made {study}")


if __name__ == "__main__":
    main()
