"""The authors' audio is measured run by run; what is committed is what a new measurement gives."""

import numpy as np
import pytest

from chapters.diffar import record, released
from diffbook.datasets.released import MODELS, Babble, Read
from diffbook.metrics import intonation, voice
from press import paths
from press.documents import read_notebook
from press.records import short

RATE = released.RATE


def buzz(f0, seed=0, n=12_000):
    """A voice of one pitch with a pause, and breath of its own."""
    t = np.arange(n) / RATE
    x = sum(np.cos(2 * np.pi * k * f0 * t + k * k) / k for k in range(1, 30))
    x[n // 3 : n // 2] = 0.0
    return (0.02 * x + 1e-4 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


ORIGINAL = buzz(120.0)


def test_a_recording_differs_in_nothing_from_itself():
    x = ORIGINAL.astype(float)
    found = released.row(x, x)
    best = dict.fromkeys(("lsd", "mcd", "mcd_warped", "energy", "f0_rmse", "cents"), 0.0)
    assert {k: found[k] for k in best} == pytest.approx(best, abs=1e-6)
    assert found["estoi"] == pytest.approx(1.0)
    assert found["floor"] == found["floor_of_recording"] == voice.noise_floor(x, RATE)
    assert found["floor"] == pytest.approx(-80.0, abs=3)


def test_a_row_measures_the_run_beside_the_recording():
    x, x0 = buzz(150.0, 1).astype(float) + 1e-2, ORIGINAL.astype(float)
    found = released.row(x, x0)
    assert found["f0_rmse"] == pytest.approx(30.0, abs=2)
    assert found["cents"] == pytest.approx(1200 * np.log2(150 / 120), abs=15)
    assert found["floor"] > -45 > found["floor_of_recording"]
    assert found["lsd"] > 1 and found["energy"] > 1 and found["estoi"] < 0.99
    assert found["mcd_warped"] < found["mcd"]


@pytest.fixture(scope="module")
def made():
    """Two sentences, of which one model has two runs, and three sounds, of which one was cut."""
    runs = {
        "diffar_200": np.stack([buzz(130.0, 1), buzz(146.0, 2)]),
        "diffar_p_200": np.stack([buzz(120.0, 3)]),
    }
    sentences = [
        Read("one", ORIGINAL, runs),
        Read("two", buzz(100.0), {"diffar_200": ORIGINAL[None]}),
    ]
    babbles = [
        Babble("whole", buzz(110.0, 4, 16_000), 4000, 2000),
        Babble("cut", buzz(110.0, 5, 15_001), 4000, 2000),
    ]
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            released.released, "sentences", lambda corpus: asked.append(corpus) or sentences
        )
        patch.setattr(released.released, "babbles", lambda: babbles)
        tables = released.make()
    assert asked == ["ljspeech"]
    return sentences, babbles, tables


def test_every_run_has_its_row(made):
    sentences, _, tables = made
    rows = {(r.pop("sentence"), r.pop("model"), r.pop("run")): r for r in map(dict, tables["runs"])}
    assert list(rows) == [
        ("one", "diffar_200", 0), ("one", "diffar_200", 1), ("one", "diffar_p_200", 0),
        ("two", "diffar_200", 0),
    ]  # fmt: skip
    x, x0 = sentences[0].runs["diffar_200"][1].astype(float), ORIGINAL.astype(float)
    expected = released.row(x, x0)
    assert rows["one", "diffar_200", 1] == {k: short([v])[0] for k, v in expected.items()}
    assert rows["one", "diffar_p_200", 0]["cents"] < 15 < rows["one", "diffar_200", 0]["cents"]


def test_pairs_are_of_models_with_several_runs(made):
    sentences, _, tables = made
    (row,) = tables["pairs"]
    assert (row["sentence"], row["model"]) == ("one", "diffar_200")
    a, b = sentences[0].runs["diffar_200"].astype(float)
    expected = {
        "energy": voice.energy_rmse(a, b, RATE),
        "mcd": voice.mel_cepstral_distance(a, b, RATE),
        "cents": intonation.pitch_errors(a, b, RATE).median_cents,
    }
    assert {k: row[k] for k in expected} == {k: short([v])[0] for k, v in expected.items()}
    assert row["cents"] == pytest.approx(1200 * np.log2(146 / 130), abs=15)


def test_joints_are_ranked_where_it_is_known_where_they_are(made):
    _, (whole, cut), tables = made
    assert whole.joints.tolist() == [4000, 6000, 8000, 10_000, 12_000, 14_000]
    assert cut.joints is None
    rows = tables["joints"]
    assert [(r["sound"], r["measure"]) for r in rows] == [
        ("whole", measure) for measure in ("difference", "residual", "flux")
    ]
    for row in rows:
        assert row["joints"] == 6
        assert row["at"] == pytest.approx(
            released.seams.seam_ranks(whole.samples, whole.joints, RATE, row["measure"]).mean(),
            rel=1e-3,
        )
        away = released.seams.random_ranks(whole.samples, 200, RATE, row["measure"], rng=0)
        assert row["elsewhere"] == pytest.approx(away.mean(), rel=1e-3)


def test_the_committed_study_is_of_all_sentences_and_models():
    study = record.load("released")
    assert study.about["command"] == "python -m chapters.diffar.record released"
    runs, pairs = study.tables["runs"], study.tables["pairs"]
    names = sorted({r["sentence"] for r in runs})
    assert len(names) == 4 and {r["model"] for r in runs} == set(MODELS)
    first = [(r["sentence"], r["model"]) for r in runs if r["run"] == 0]
    assert sorted(first) == sorted((name, model) for name in names for model in MODELS)
    several = {(r["sentence"], r["model"]) for r in runs if r["run"] > 0}
    assert {(r["sentence"], r["model"]) for r in pairs} == several
    assert len({r["floor_of_recording"] for r in runs}) == 4
    joints = {r["sound"]: r["joints"] for r in study.tables["joints"]}
    assert sum(joints.values()) == 35


@pytest.mark.realdata
def test_the_committed_study_is_what_a_new_measurement_gives(monkeypatch):
    """Of the sentence with several runs, the first run of each model; and of the first sound."""
    *_, one = released.released.sentences("ljspeech")
    few = {model: runs[:1] for model, runs in one.runs.items()}
    sound = next(one for one in released.released.babbles() if one.joints is not None)
    monkeypatch.setattr(
        released.released, "sentences", lambda corpus: [Read(one.name, one.original, few)]
    )
    monkeypatch.setattr(released.released, "babbles", lambda: [sound])
    found, study = released.make(), record.load("released")
    assert len(found["runs"]) == 4 and found["pairs"] == []
    for table, keys in (("runs", ("sentence", "model", "run")), ("joints", ("sound", "measure"))):
        for row in found[table]:
            (kept,) = study.select(table, **{k: row[k] for k in keys})
            numbers = [k for k in kept if k not in keys]
            assert [row[k] for k in numbers] == pytest.approx([kept[k] for k in numbers], rel=2e-3)


def test_missing_audio_is_named_by_the_first_cell_after_the_parameters(tmp_path, monkeypatch):
    monkeypatch.delenv("DIFFBOOK_DATA", raising=False)
    monkeypatch.setenv("DIFFBOOK_CACHE", str(tmp_path))
    cells = [c for c in read_notebook(paths.notebook("diffar")).cells if c.cell_type == "code"]
    values = {}
    exec(cells[0].source, values)
    with pytest.raises(FileNotFoundError, match="data set 'diffar_speech' is neither"):
        exec(cells[1].source, values | {"data": "released"})
