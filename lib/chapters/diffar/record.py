"""The recorded trainings and studies of the chapter.

    python -m chapters.diffar.record main
    python -m chapters.diffar.record small
    python -m chapters.diffar.record speech
    python -m chapters.diffar.record front
    python -m chapters.diffar.record released

`main` trains the network that speaks (52 minutes on one core) and writes
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
CLIPS, SEEDS, TEXTS, ROW = 24, (0, 1, 2), 6, 8
BASE = Setting(S=50)
#: Longest overlaps in samples and numbers of steps that a reader can choose from.
LIMITS, COUNTS = (0, 250, 1000, 2000), (5, 10, 20, 50)


@dataclass(frozen=True, eq=False)
class Study:
    """A recorded study: what it says about itself, and its tables."""

    about: dict[str, Any]
    tables: dict[str, list[dict[str, Any]]]

    def select(self, table: str = "said", **where: Any) -> list[dict[str, Any]]:
        """Rows of a table with these values; for `said`, of the default setting where none is given."""
        where = {**BASE._asdict(), **where} if table == "said" else where
        found = [r for r in self.tables[table] if all(r[k] == v for k, v in where.items())]
        if not found:
            raise ValueError(f"{table}: the study has no rows {where}")
        return found

    def scores(self, score: str, **where: Any) -> NDArray:
        """Return one score of a setting, shape (seeds, sentences)."""
        rows = self.select(**where)
        seeds = sorted({r["seed"] for r in rows})
        return np.array([[r[score] for r in rows if r["seed"] == seed] for seed in seeds], float)

    def error_rate(self, **where: Any) -> NDArray:
        """Phone errors in per cent of the mean sentence, (seeds, sentences): their mean is the rate."""
        errors, phones = (self.scores(name, **where) for name in ("errors", "phones"))
        return 100.0 * errors / phones.mean()


def load(name: str) -> Study:
    """Read a study by its name."""
    path = paths.study("diffar", name)
    if not path.is_file():
        raise FileNotFoundError(f"no study at {path}; make it: {COMMAND} {name}")
    found = read(path)
    return Study(found.pop("about"), found)


def weights(name: str) -> Path:
    """File of a network of the chapter."""
    return paths.weights() / f"diffar_{name}.safetensors"


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
    """Long texts: sentences of the test after the first ones, spoken at one pitch each."""
    made = corpus("test", CLIPS + TEXTS * ROW)[CLIPS:]
    low_and_high = [made[k::2][i : i + ROW] for i in range(0, len(made) // 2, ROW) for k in (0, 1)]
    return low_and_high[:TEXTS]


# --- what is said --------------------------------------------------------------------------------


def settings() -> Iterator[tuple[Setting, int]]:
    """All settings of the study with the seeds of the sampler."""
    for told in ("+P", "base", "-E"):
        yield from ((BASE._replace(told=told), seed) for seed in SEEDS)
    yield from ((BASE._replace(told="base", limit=0), seed) for seed in SEEDS)
    for sampler, counts in (
        ("ddim", (5, 10, 20, 50)),
        ("spectral", (5, 10, 20)),
        ("ddpm", (10, 20)),
    ):
        yield from ((BASE._replace(sampler=sampler, S=S), seed) for S in counts for seed in SEEDS)
    yield BASE._replace(S=200), 0
    for limit in (0, 250, 500, 1000):
        yield from ((BASE._replace(limit=limit), seed) for seed in SEEDS)
    # What a reader can hear and is not above.
    for limit, S in product(LIMITS, COUNTS):
        setting = BASE._replace(sampler="spectral", S=S, limit=limit)
        if limit < BASE.limit or S == 50:
            yield setting, 0


def rounded(found: dict[str, float]) -> dict[str, float | None]:
    """Numbers as they are kept, None for those that could not be measured."""
    return {k: None if np.isnan(v) else short([v])[0] for k, v in found.items()}


def digest() -> str:
    """Checksum of the file of the network that speaks."""
    return hashlib.sha256(weights("main").read_bytes()).hexdigest()


def cell(net: Any, setting: Setting, seed: int) -> list[NDArray]:
    """Say the test sentences with one setting, or read what this network said; kept as 16-bit samples."""
    place = folder("speech") / digest()[:12] / ("-".join(map(str, (*setting, seed))) + ".npz")
    if not place.is_file():
        clips = test_clips()
        said = speaking.say(net, clips, setting, [1000 * seed + i for i in range(len(clips))])
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_suffix(".part.npz")
        np.savez(part, *[np.rint(32767 * x.clip(-1, 1)).astype(np.int16) for x in said])
        part.replace(place)
    with np.load(place) as found:
        return [found[f"arr_{i}"] / 32767 for i in range(len(found.files))]


def said(net: Any, ears: Any) -> dict[str, list[dict[str, Any]]]:
    """Say everything; rows of scores, of pairs of samples, and of joints."""
    from tqdm.auto import tqdm

    clips, rows, pairs, seams = test_clips(), [], [], []
    kept = {}
    for setting, seed in tqdm(list(settings()), desc="said"):
        waves = kept[setting, seed] = cell(net, setting, seed)
        heard = auxiliary.hear(ears, waves)
        for i, (x, clip) in enumerate(zip(waves, clips, strict=True)):
            found = rounded(speaking.score(x, clip, heard[i]))
            rows.append({**setting._asdict(), "seed": seed, "clip": i, **found})
    for told in ("-E", "base", "+P"):
        of = [kept[BASE._replace(told=told), seed] for seed in SEEDS]
        for i, several in enumerate(zip(*of, strict=True)):
            found = rounded(speaking.spread_of(list(several)))
            pairs.append({"told": told, "clip": i, **found})
    for limit in (0, BASE.limit):
        for seed in SEEDS:
            for i, x in enumerate(kept[BASE._replace(limit=limit), seed]):
                joints = speaking.joints(clips[i], limit)
                found = rounded(speaking.joint_ranks(x, joints, seed))
                seams.append({"limit": limit, "seed": seed, "clip": i, **found})
    recordings = [clip.samples.astype(float) for clip in clips]
    heard = auxiliary.hear(ears, recordings)
    ceiling = [
        {"clip": i, **rounded(speaking.score(x, clip, heard[i]))}
        for i, (x, clip) in enumerate(zip(recordings, clips, strict=True))
    ]
    return {"said": rows, "pairs": pairs, "seams": seams, "ceiling": ceiling}


def long(net: Any, ears: Any) -> list[dict[str, Any]]:
    """Say long texts with generated and with recorded contexts; rows by sentence."""
    rows, sentences = [], texts()
    whole = [speaking.joined(text) for text in sentences]
    for history in (False, True):
        setting = BASE._replace(history=history)
        waves = speaking.say(net, whole, setting, list(range(len(whole))))
        for i, (x, text) in enumerate(zip(waves, sentences, strict=True)):
            ends = np.cumsum([len(clip.samples) for clip in text])
            pieces = np.split(x, ends[:-1])
            heard = auxiliary.hear(ears, pieces)
            for k, (piece, clip) in enumerate(zip(pieces, text, strict=True)):
                found = rounded(speaking.score(piece, clip, heard[k]))
                rows.append({"history": history, "text": i, "sentence": k, **found})
    return rows


def front(net: Any, ears: Any) -> list[dict[str, Any]]:
    """Say the test sentences from phones alone, parts of the rest predicted; rows of scores."""
    rows = []
    for predicted in auxiliary.PARTS:
        for seed in SEEDS:
            scripts = [auxiliary.predicted_script(clip, predicted) for clip in test_clips()]
            seeds = [1000 * seed + i for i in range(CLIPS)]
            waves = speaking.say(net, test_clips(), BASE, seeds, scripts=scripts)
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
    tensors, about = read_tensors(folder("networks") / "main-seed1.safetensors", AGAIN)
    write_tensors(weights("main"), tensors, {**about, "command": f"{COMMAND} main"})
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
