"""The recorded studies: one tiny study from its trainings to its reader, and the committed ones."""

import hashlib
from dataclasses import asdict, replace

import matplotlib
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from chapters.coupled import evaluation, images, record, speech
from diffbook.metrics.intervals import crossed_ci
from press import paths
from press.documents import read_notebook


def test_the_reader_takes_the_last_round_and_the_mean_over_draws():
    """Three examples, two draws of each, two rounds, two seeds in any order."""
    right = {(0, 1): "100100", (0, 2): "110010", (1, 1): "000000", (1, 2): "111000"}
    rows = [
        {
            "task": "t", "seed": seed, "split": "test", "method": "alternating", "S": 9,
            "setting": "default", "round": k, "signal": None,
            "logits": evaluation.pack(torch.eye(2)[[int(bit) for bit in bits]], np.ones(6)),
        }
        for (seed, k), bits in reversed(right.items())
    ]  # fmt: skip
    study = record.Study("s", {"seeds": [0, 1], "draws": 2, "S": 9, "n": {"test": 6}}, rows)
    last = [[0.5, 1.0, 0.0], [0.5, 0.5, 0.5]]
    assert study.right("t", "alternating").tolist() == last
    assert study.right("t", "alternating", round=2).tolist() == last
    assert study.right("t", "alternating", round=1).tolist() == [[1.0, 0.0, 0.0], [0.0] * 3]


def test_points_are_differences_in_per_cent():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 3, 40))
    assert record.points(a, b) == pytest.approx([100 * v for v in crossed_ci(a - b)])
    assert record.points(a)[0] == pytest.approx(100 * a.mean())


@pytest.mark.parametrize("name", ["images", "speech"])
def test_the_committed_studies_are_whole_and_of_these_networks(name):
    study, plan = record.load(name), record.STUDIES[name]
    assert study.about["tasks"] == list(plan.tasks)
    assert study.about["recipe"] == asdict(plan.recipe("", "baselines"))
    assert paths.study("coupled", name).stat().st_size < 400_000
    for file, digest in study.about["networks"].items():
        path = paths.weights() / file
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest, file
        assert path.stat().st_size < 3_000_000
    task, _, f = record.live(name)
    _, u, labels = task.examples("test")
    expected = task.decide(f, u).argmax(-1).numpy() == labels
    read = study.right(plan.live, "noisy", "signal")[0]
    np.testing.assert_array_equal(read, expected.reshape(plan.draws, -1).mean(axis=0))


def recipe(self, name, training):
    return record.Recipe(training, name, 4, 8, warmup=1, pool=4, every=2, chain=2)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A study of one task with two seeds and few examples, in a folder of its own."""
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        plan = record.Plan(images, "digits", ("pixels 50%",), 4, 4, 8, 2, "pixels 50%")
        patch.setitem(record.STUDIES, "images", plan)
        patch.setattr(record, "SEEDS", (0, 1))
        patch.setattr(images, "N_TEST", 6)
        patch.setattr(evaluation, "BUDGETS", (1, 2))
        patch.setattr(paths, "working", lambda: folder / "results")
        patch.setattr(paths, "weights", lambda: folder / "weights")
        small = images.task("digits", "pixels 50%", 8)
        patch.setattr(images, "task", lambda data, name: small._replace(steps=(9, 3)))
        patch.setattr(record.Plan, "recipe", recipe)
        yield folder / "study.json"


def run(out):
    result = CliRunner().invoke(record.main, ["images", "--jobs", "1", "--out", str(out)])
    assert result.exit_code == 0, result.output
    return record.load("images", out)


def test_a_study_from_its_trainings_to_its_reader(tiny, monkeypatch):
    study = run(tiny)
    assert study.about["n"] == {"validation": 12, "test": 12}
    assert set(study.about["networks"]) == {
        f"coupled_images_{training}.safetensors" for training in record.LIVE
    }
    assert {row["seed"] for row in study.rows} == {0, 1}
    # What the reader says is what the networks that the notebook loads do.
    task, nets, f = record.live("images")
    _, u, labels = task.examples("test")
    how = {"noise": evaluation.batch_noise(evaluation.NOISE)}
    coupling = evaluation.couple(task, nets["alternating"], f)
    found = evaluation.alternating(coupling, u, task.levels(9), **how)
    for k, (x_hat, y_hat) in enumerate(found.rounds, start=1):
        for decision, logits in (("logits", y_hat), ("signal", f(x_hat))):
            right = (logits.argmax(-1).numpy() == labels).reshape(2, 6).mean(axis=0)
            read = study.right("pixels 50%", "alternating", decision, round=k)
            assert read.shape == (2, 6)
            np.testing.assert_array_equal(read[0], right)
            if k == 5:
                last = study.right("pixels 50%", "alternating", decision)
                np.testing.assert_array_equal(last, read)
    assert sorted(nets["baselines"]) == ["logits", "signal", "student"]
    # Again: nothing is trained or evaluated twice, and the numbers stay.
    monkeypatch.setattr(record, "trained", lambda *a: pytest.fail("trained again"))
    again = run(tiny)
    assert again.rows == study.rows


def test_the_reader_refuses_what_is_not_there(tiny):
    study = record.load("images", tiny)
    for bad in ({"setting": "other"}, {"S": 4}, {"round": 6}, {"split": "train"}):
        with pytest.raises(ValueError, match="images: the study has no rows"):
            study.select("pixels 50%", "alternating", **bad)
    with pytest.raises(ValueError, match="enhanced has no decision by logits"):
        study.right("pixels 50%", "enhanced")
    with pytest.raises(FileNotFoundError, match=r"python -m chapters\.coupled\.record speech"):
        record.load("speech", tiny.with_name("none.json"))


def test_another_recipe_is_not_taken_for_this_one(tiny, monkeypatch):
    def longer(self, name, training):
        return replace(recipe(self, name, training), steps=8)

    class BeganError(Exception):
        pass

    def begin(*how):
        raise BeganError

    record.cell("images", "pixels 50%", 0)  # read
    monkeypatch.setattr(record.Plan, "recipe", longer)
    monkeypatch.setattr(record, "trained", begin)
    with pytest.raises(BeganError):
        record.cell("images", "pixels 50%", 0)


def test_missing_data_are_named_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "working", lambda: tmp_path / "results")
    monkeypatch.setattr(record, "make", lambda *_: pytest.fail("trained"))
    monkeypatch.setenv("DIFFBOOK_CACHE", str(tmp_path))
    for room, reader in ((images, "images"), (speech, "clips")):
        monkeypatch.setattr(room, reader, getattr(room, reader).__wrapped__)
    monkeypatch.delenv("DIFFBOOK_DATA", raising=False)
    assert record.studies("embedded") == ("images", "speech")
    for name in ("mnist", "cifar10"):
        with pytest.raises(FileNotFoundError, match=rf"diffbook\.datasets\.fetch {name}\."):
            record.studies(name)
    # Images are there, spoken digits are not.
    monkeypatch.setattr(images, "images", lambda *_: None)
    with pytest.raises(FileNotFoundError, match=r"diffbook\.datasets\.fetch fsdd\."):
        record.studies("mnist")
    # Studies that were made need no data.
    (tmp_path / "results" / "coupled").mkdir(parents=True)
    for name in ("mnist", "fsdd"):
        assert record.place_of(name) == tmp_path / "results" / "coupled" / f"{name}.json"
        record.place_of(name).write_text("{}", "utf-8")
    assert record.studies("mnist") == ("mnist", "fsdd")


@pytest.mark.parametrize("name", ["mnist", "cifar10", "fsdd"])
def test_a_study_of_the_reader_is_made_once(name, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "working", lambda: tmp_path)
    made = []

    def make(study):
        made.append(study)
        record.write(record.place_of(study), {"about": {"made": True}, "rows": []})

    monkeypatch.setattr(record, "make", make)
    for _ in range(2):
        assert record.obtain(name).about["made"]
    assert made == [name]


def test_the_first_cell_after_the_parameters_asks_for_the_data(tmp_path, monkeypatch):
    cells = [c for c in read_notebook(paths.notebook("coupled")).cells if c.cell_type == "code"]
    asked, values = [], {}
    monkeypatch.setattr(record, "studies", asked.append)
    exec(cells[0].source, values)
    with matplotlib.rc_context():
        exec(cells[1].source, values | {"data": "mnist"})
    assert asked == ["mnist"]
