"""What is committed is what was made: manifests, notebooks and generated pages agree with the sources."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nbformat
import pytest
import yaml

from press import documents, ledger, paths
from press.judge import manifests
from press.run import parameters, plans
from press.show import pages

ROOT = Path(__file__).resolve().parents[2]


def stale() -> list[str]:
    """What disagrees in the book, one line each; code, packages and a reader's data may be others."""
    try:
        found = [f"{paths.relative(p)}: old" for p, text in pages.pages().items() if old(p, text)]
        for slug in paths.chapters():
            for profile in (path.stem for path in paths.room(slug).glob("runs/*.json")):
                found += [f"{slug} {profile}: {fault}" for fault in faults(slug, profile)]
    except ValueError as error:  # what cannot be right is not even read
        return [str(error)]
    return found


def old(path: Path, text: str) -> bool:
    return path.read_text("utf-8") != text


def faults(slug: str, profile: str) -> list[str]:
    manifest, plan = manifests.recorded(slug, profile), plans.plan(slug, profile)
    found = [
        f"input {name} has changed"
        for name in plan.inputs
        if name not in ("code", "packages", "data")
        and manifest["inputs"].get(name) != plan.inputs[name]
    ]
    if manifest["parameters"] != plan.parameters:
        found.append("other parameters")
    for path in manifests.networks(slug):
        name = paths.relative(path)
        if manifest["artefacts"].get(name) != documents.digest(path.read_bytes()):
            found.append(f"{name} has changed")
    if profile == parameters.parameters(slug)["profile"].default:
        found += notebook_faults(slug, manifest)
    return found


def notebook_faults(slug: str, manifest: dict) -> list[str]:
    path = paths.notebook(slug)
    notebook, found = nbformat.read(path, as_version=4), []
    if documents.digest(path.read_bytes()) != manifest["artefacts"].get(paths.relative(path)):
        found.append("the notebook is not the one that was recorded")
    measured = [metric.as_dict() for metric in ledger.collect_metrics(notebook)]
    if measured != manifest["metrics"]:
        found.append("other metrics than in the notebook")
    literals = {name: p.default for name, p in parameters.parameters(slug).items()}
    if literals != parameters.load_profile(slug, manifest["profile"]):
        found.append("the parameters cell is not the profile")
    return found


@pytest.fixture
def copy(tmp_path, monkeypatch) -> Path:
    """A copy of what the press reads, to plant edits in."""
    for name in ("data", "notebooks", "book"):
        shutil.copytree(
            ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("_static", ".*")
        )
    for name in ("_toc.yml", "README.md"):
        shutil.copy2(ROOT / name, tmp_path / name)
    monkeypatch.setenv("DIFFBOOK_ROOT", str(tmp_path))
    return tmp_path


def test_what_is_committed_is_what_was_made(monkeypatch):
    monkeypatch.setenv("DIFFBOOK_ROOT", str(ROOT))
    assert paths.chapters()
    assert all(paths.run(slug, "laptop").is_file() for slug in paths.chapters())
    assert stale() == [], "record the chapters again: python -m press run SLUG --record"


def edit_json(path: Path, change) -> None:
    document = json.loads(path.read_text("utf-8"))
    change(document)
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")


def loosen(root: Path) -> None:
    path = root / "data" / "spectral" / "claims.yaml"
    document = yaml.safe_load(path.read_text("utf-8"))
    document["claims"][0]["conditions"][0]["value"] = 1e-2
    path.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")


def change_metric(root: Path) -> None:
    def change(manifest):
        manifest["metrics"][0]["value"] *= 1.5

    edit_json(root / "data" / "spectral" / "runs" / "laptop.json", change)


def change_manifest(change):
    return lambda root: edit_json(root / "data" / "posterior" / "runs" / "laptop.json", change)


def change_output(root: Path) -> None:
    def change(notebook):
        outputs = [o for c in notebook["cells"] for o in c.get("outputs", []) if "text" in o]
        outputs[0]["text"][0] = "another number\n"

    edit_json(root / "notebooks" / "core" / "spectral.ipynb", change)


def swap_pictures(root: Path) -> None:
    def change(notebook):
        outputs = [o for c in notebook["cells"] for o in c.get("outputs", [])]
        found = [o["data"] for o in outputs if "image/png" in o.get("data", {})]
        found[0]["image/png"], found[1]["image/png"] = found[1]["image/png"], found[0]["image/png"]

    edit_json(root / "notebooks" / "core" / "posterior.ipynb", change)


def change_profile(root: Path) -> None:
    path = root / "data" / "spectral" / "laptop.yaml"
    path.write_text(path.read_text("utf-8").replace("seed: 0", "seed: 1"), "utf-8")


def change_text(name: str, before: str, after: str):
    def edit(root: Path) -> None:
        text = (root / name).read_text("utf-8")
        assert before in text
        (root / name).write_text(text.replace(before, after, 1), "utf-8")

    return edit


def change_network(root: Path) -> None:
    one, two = sorted((root / "data" / "weights").glob("digits8_seed[01].safetensors"))
    shutil.copyfile(one, two)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (loosen, "spectral laptop: input claims has changed"),
        (change_metric, "spectral laptop: other metrics than in the notebook"),
        (
            change_manifest(lambda m: m.update(key="0" * 64)),
            "data/posterior/runs/laptop.json: key: it is not the hash",
        ),
        (
            change_manifest(lambda m: m["parameters"].update(seed=1)),
            "data/posterior/runs/laptop.json: parameters: they are not those of the inputs",
        ),
        (
            change_manifest(lambda m: m["packages"].update(numpy="1")),
            "data/posterior/runs/laptop.json: packages: they are not those of the inputs",
        ),
        (
            change_manifest(lambda m: m["metrics"].append(m["metrics"][0])),
            "data/posterior/runs/laptop.json: metrics: ",
        ),
        (change_manifest(lambda m: m.update(device="NVIDIA H200")), "book/scoreboard.md: old"),
        (change_output, "spectral laptop: the notebook is not the one that was recorded"),
        (swap_pictures, "posterior laptop: the notebook is not the one that was recorded"),
        (change_profile, "spectral laptop: other parameters"),
        (change_network, "digits8_seed1.safetensors has changed"),
        (
            change_text("data/posterior/studies/restoration.json", '"zeta"', '"zeto"'),
            "posterior laptop: input studies has changed",
        ),
        (change_text("README.md", "| 1 | [", "| 9 | ["), "README.md: old"),
        (change_text("book/scoreboard.md", "<td>", "<td>x"), "book/scoreboard.md: old"),
    ],
)
def test_an_edit_by_hand_is_noticed(copy, edit, words):
    edit(copy)
    assert [line for line in stale() if words in line]
