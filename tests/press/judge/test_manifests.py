"""Manifests: what a run depends on, and what can be no manifest of a run."""

import json
import shutil

import pytest
from click.testing import CliRunner

from press import cli, documents, paths
from press.judge import manifests
from press.judge.rule import Metric

RUN = "data/demo/runs/laptop.json"


def build(**more):
    metrics = [Metric("forms", 1e-15), Metric("mean", 0.5, (0.25, 0.75), 10)]
    found = manifests.inputs("demo", {"seed": 3})
    options = {"device": "cpu", "wall_s": 1.0, "artefacts": {}, "found": found, **more}
    return manifests.build("demo", "laptop", {"seed": 3}, metrics, **options)


# --- inputs -----------------------------------------------------------------------------------


def write(name, text="1"):
    def change(book, _):
        path = book.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    return change


CHANGES = {
    "notebook": lambda book, _: book.edit_cell("demo", 3, "x = 1"),
    "claims": lambda book, _: book.edit_yaml("data/demo/claims.yaml", summary="another"),
    "networks": write("data/weights/net.safetensors"),
    "studies": write("data/demo/studies/long.json"),
    "studies, a reference": write("data/demo/reference/values.yaml"),
    "data": write("sets/speech/deep/a.npz"),
    "sources": write("model.py", "x = 2"),
    "packages": lambda _, patch: patch.setattr("press.machine.packages", lambda: {"numpy": "0"}),
    "code": lambda _, patch: patch.setattr("press.closure.files", lambda *_: []),
}
NO_INPUT = {
    "a network that the claims do not name": write("data/weights/other.safetensors"),
    "a data set that they do not name": write("sets/faces/a.npz"),
    "the record of a run": write("data/demo/runs/laptop.json"),
    "another profile": write("data/demo/gpu.yaml", "profile: gpu"),
}


@pytest.mark.parametrize("name", [*CHANGES, *NO_INPUT])
def test_exactly_the_input_that_changed_is_another(book, monkeypatch, name):
    monkeypatch.setenv("DIFFBOOK_DATA", str(book.root / "sets"))
    book.edit_yaml("data/demo/claims.yaml", networks=["net*"], data={"real": ["speech"]})
    (book.root / "model.py").write_text("x = 1", "utf-8")

    def found():
        values = {"seed": 3, "data": "real"}
        return manifests.inputs("demo", values, [book.root / "model.py"])

    before = found()
    assert found() == before
    {**CHANGES, **NO_INPUT}[name](book, monkeypatch)
    after = found()
    changed = {key for key in after if after[key] != before[key]}
    assert changed == (set() if name in NO_INPUT else {name.split(",")[0]})
    assert (manifests.key(after) == manifests.key(before)) == (not changed)


def test_parameters_are_an_input_and_choose_the_data(book, monkeypatch):
    monkeypatch.setenv("DIFFBOOK_DATA", str(book.root / "sets"))
    monkeypatch.setenv("DIFFBOOK_CACHE", str(book.root / "cache"))
    book.edit_yaml("data/demo/claims.yaml", data={"real": ["speech"]})
    write("sets/speech/a.npz")(book, None)
    embedded, real = (manifests.inputs("demo", {"data": d}) for d in ("embedded", "real"))
    assert {k for k in real if real[k] != embedded[k]} == {"parameters", "data"}
    monkeypatch.delenv("DIFFBOOK_DATA")
    assert manifests.inputs("demo", {"data": "real"})["data"] == embedded["data"]


def test_data_sets_are_found_where_loaders_find_them(book, monkeypatch):
    for home in ("DIFFBOOK_DATA", "DIFFBOOK_CACHE"):
        monkeypatch.setenv(home, str(book.root / home))
    book.edit_yaml("data/demo/claims.yaml", data={"real": ["speech"]})
    read = lambda: manifests.files("demo", {"data": "real"})  # noqa: E731
    assert read() == {}
    write("DIFFBOOK_CACHE/speech/a.npz")(book, None)
    fetched, before = read(), manifests.inputs("demo", {"data": "real"})
    assert list(fetched) == ["DIFFBOOK_DATA/speech/a.npz"]
    shutil.copytree(book.root / "DIFFBOOK_CACHE", book.root / "DIFFBOOK_DATA")
    assert (read(), manifests.inputs("demo", {"data": "real"})) == (fetched, before)
    (book.root / "DIFFBOOK_DATA/speech/a.npz").write_text("another", "utf-8")
    assert read() != fetched, "the reader's own folder comes first"


def test_files_of_one_name_are_told_apart(book, tmp_path_factory):
    folder = tmp_path_factory.mktemp("outside")
    weights = [folder / name / "w.bin" for name in ("a", "b")]
    for path in weights:
        path.parent.mkdir()
        path.write_text(path.parent.name, "utf-8")
    assert list(manifests.files("demo", {}, weights)) == ["w.bin", "b/w.bin"]
    before = manifests.inputs("demo", {}, weights)["sources"]
    weights[0].write_text("changed", "utf-8")
    assert manifests.inputs("demo", {}, weights)["sources"] != before


# --- what cannot be right ---------------------------------------------------------------------


def metric(place, **changes):
    return lambda document: document["metrics"][place].update(changes)


BROKEN = [
    (metric(0, value=float("nan")), "NaN is no finite number"),
    (metric(0, value=float("inf")), "Infinity is no finite number"),
    (metric(1, ci=[0.75, 0.25]), r"mean: ci \[0.75, 0.25\] does not hold"),
    (metric(1, ci=[0.6, 0.7]), "does not hold the value 0.5"),
    (metric(1, n=0), "metrics/1/n: 0 is less"),
    (metric(1, name="forms"), "metrics: forms stands there twice"),
    (metric(1, unit=5), "metrics/1/unit"),
    (lambda d: d.update(key="0" * 64), "key: it is not the hash of the inputs"),
    (lambda d: d["inputs"].update(code="0" * 64), "key: it is not the hash of the inputs"),
    (lambda d: d["inputs"].pop("code"), "key: it is not the hash of the inputs"),
    (lambda d: d["parameters"].update(n=4), "parameters: they are not those of the inputs"),
    (lambda d: d["packages"].update(numpy="9"), "packages: they are not those of the inputs"),
    (lambda d: d.update(seed=4), "seed: got 4"),
    (lambda d: d.pop("metrics"), "'metrics' is a required property"),
    (lambda d: d.update(more=1), "'more' was unexpected"),
    (lambda d: d.update(date="yesterday"), "date"),
]


def plant(book, change):
    document = build()
    change(document)
    path = book.root / RUN
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), "utf-8")
    return path


@pytest.mark.parametrize(("change", "words"), BROKEN)
def test_a_manifest_that_cannot_be_right_is_refused_everywhere(book, change, words):
    path = plant(book, change)
    with pytest.raises(ValueError, match=rf"^data/demo/runs/laptop\.json: .*{words}"):
        manifests.read(path)
    for request in (("claims", "--check"), ("pages",), ("list",)):
        done = CliRunner().invoke(cli.main, request)
        assert done.exit_code == 2
        assert f"error: {RUN}: " in done.output


def test_a_manifest_that_can_be_right_is_read(book):
    path = plant(book, lambda document: None)
    assert manifests.read(path) == build() | {"date": json.loads(path.read_text())["date"]}
    assert manifests.metrics_of(manifests.read(path))["mean"] == Metric(
        "mean", 0.5, (0.25, 0.75), 10
    )


def test_what_cannot_be_right_is_not_built(book):
    with pytest.raises(ValueError, match=r"manifest of demo: .*wall_s"):
        build(wall_s=-1.0)


def test_every_field_is_required(book):
    good = build()
    for name in good:
        with pytest.raises(ValueError, match=f"here: top level: '{name}' is a required"):
            manifests.check({k: v for k, v in good.items() if k != name}, "here")


def test_a_manifest_under_a_wrong_name_is_refused(book):
    documents.write_json(paths.run("demo", "gpu"), build())
    with pytest.raises(ValueError, match=r"gpu\.json: holds the run of demo at laptop"):
        manifests.of_chapter("demo")
