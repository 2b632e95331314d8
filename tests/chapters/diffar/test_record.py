"""The studies: their reader, what they consist of, what is kept on the way, and the command."""

import json
from dataclasses import asdict, replace
from itertools import product

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from chapters.diffar import auxiliary, record, speaking, training
from chapters.diffar.record import BASE, QUICK, SEEDS, Study
from chapters.diffar.speaking import Setting
from chapters.diffar.steps import LIMIT, RATE, TOLD, Recipe
from diffbook.datasets.aligned import SILENCE, Clip
from diffbook.nets.store import read_tensors
from press import paths
from press.records import write

torch.set_num_threads(1)


# --- the reader ----------------------------------------------------------------------------------


def rows():
    """Two settings, two seeds out of order, three sentences; every number tells its place."""
    for setting, seed, i in product((BASE, BASE._replace(S=10)), (1, 0), range(3)):
        scores = {"errors": seed + i, "phones": 10 * (i + 1), "cents": None if i == 2 else 5 + i}
        yield {
            **setting._asdict(),
            "seed": seed,
            "clip": i,
            "lsd": setting.S + seed + i / 10,
            **scores,
        }


STUDY = Study({}, {"said": list(rows()), "pairs": [{"told": "+P", "clip": 0, "mcd": 1.5}]})


def test_rows_are_those_of_the_default_setting_but_for_what_is_given():
    assert {r["S"] for r in STUDY.select()} == {BASE.S}
    assert len(STUDY.select()) == 6
    assert {r["S"] for r in STUDY.select(S=10)} == {10}
    assert STUDY.select(S=10, seed=1, clip=2)[0]["lsd"] == 11.2
    assert STUDY.select("pairs", told="+P") == STUDY.tables["pairs"] == STUDY.select("pairs")


def test_scores_have_a_row_for_each_seed():
    np.testing.assert_allclose(STUDY.scores("lsd"), [[50, 50.1, 50.2], [51, 51.1, 51.2]])
    np.testing.assert_allclose(STUDY.scores("lsd", S=10), [[10, 10.1, 10.2], [11, 11.1, 11.2]])
    cents = STUDY.scores("cents")
    assert np.isnan(cents[:, 2]).all() and cents[:, :2].tolist() == [[5, 6]] * 2


def test_the_mean_of_error_rates_is_errors_over_phones():
    found = STUDY.error_rate(S=10)
    assert found.shape == (2, 3)
    assert found.mean() == pytest.approx(100 * (0 + 1 + 2 + 1 + 2 + 3) / (2 * (10 + 20 + 30)))
    assert found[1].tolist() == pytest.approx([5.0, 10.0, 15.0])


@pytest.mark.parametrize("where", [{"S": 7}, {"told": "all"}, {"limit": 0}, {"seed": 5}])
def test_what_was_not_measured_is_no_row(where):
    with pytest.raises(ValueError, match="said: the study has no rows"):
        STUDY.select(**where)
    with pytest.raises(ValueError, match="said: the study has no rows"):
        STUDY.scores("lsd", **where)
    with pytest.raises(ValueError, match="pairs: the study has no rows"):
        STUDY.select("pairs", told="base")


@pytest.fixture
def home(monkeypatch, tmp_path):
    """Folders of a book of its own."""
    for name in ("working", "weights"):
        monkeypatch.setattr(paths, name, lambda name=name: tmp_path / name)
    monkeypatch.setattr(paths, "study", lambda slug, name: tmp_path / slug / f"{name}.json")
    return tmp_path


def test_a_study_is_read_as_it_was_written(home):
    write(home / "diffar" / "speech.json", {"about": {"threads": 1}, **STUDY.tables})
    found = record.load("speech")
    assert found.about == {"threads": 1} and found.tables == STUDY.tables
    np.testing.assert_array_equal(found.scores("cents"), STUDY.scores("cents"))
    with pytest.raises(FileNotFoundError, match=r"python -m chapters\.diffar\.record small"):
        record.load("small")


# --- what is said --------------------------------------------------------------------------------


def test_settings_come_once_each_and_those_that_are_compared_are_there():
    found = list(record.settings())
    assert len(set(found)) == len(found) == len({cell_name(*one) for one in found})
    assert all(setting.told in TOLD and setting.context != "recording" for setting, _ in found)
    assert {seed for _, seed in found} == set(SEEDS)
    for told in ("+P", "base", "-E"):  # what the conditions are worth
        assert {(BASE._replace(told=told), seed) for seed in SEEDS} <= set(found)
    for told, seed in product(("+P", "-E"), SEEDS):  # what the overlap is worth
        assert (BASE._replace(told=told, context="none"), seed) in found
    for limit, seed in product((0, 250, 1000, LIMIT), SEEDS):
        assert (QUICK._replace(limit=limit), seed) in found
    for S, seed in product((10, 20), SEEDS):  # what steps are worth
        for sampler in ("ddim", "spectral", "even", "ddpm"):
            assert (BASE._replace(sampler=sampler, S=S), seed) in found
    assert (BASE._replace(S=200), 0) in found
    for limit, S in product(record.LIMITS, record.COUNTS):  # what a reader can hear
        assert (QUICK._replace(S=S, limit=limit), 0) in found


def cell_name(setting, seed):
    return "-".join(map(str, (*setting, seed)))


def test_every_setting_has_levels_within_those_of_training():
    for setting, _ in record.settings():
        # Even steps of the logarithm are finer than the levels of training at the clean end.
        merged = int(setting.sampler == "even" and setting.S == 20)
        assert len(speaking.levels(setting.sampler, setting.S)) == setting.S + 1 - merged


def test_sentences_are_of_the_test_and_long_texts_of_others(monkeypatch):
    monkeypatch.setattr(record, "CLIPS", 4)
    monkeypatch.setattr(record, "TEXTS", 2)
    monkeypatch.setattr(record, "ROW", 2)
    clips, texts = record.test_clips(), record.texts()
    assert [one.f0 for one in clips] == [125, 250, 125, 250]
    assert [len(text) for text in texts] == [2, 2]
    assert [{one.f0 for one in text} for text in texts] == [{125}, {250}]
    every = [*clips, *texts[0], *texts[1]]
    assert len({one.phones for one in every}) == len(every)
    pauses = [[one.phones[0] == SILENCE, one.phones[-1] == SILENCE] for one in texts[0]]
    assert pauses == [[True, False], [False, False]]


def test_every_text_is_spoken_at_one_pitch(monkeypatch):
    class Some:
        def __init__(self, i):
            self.i, self.f0 = i, (125, 250)[i % 2]

    monkeypatch.setattr(speaking, "cut", lambda one, first, last: one)
    asked = []
    monkeypatch.setattr(
        record, "corpus", lambda split, n: asked.append(split) or list(map(Some, range(n)))
    )
    found = record.texts()
    assert len(record.test_clips()) == record.CLIPS and asked == ["test", "test"]
    assert [len(text) for text in found] == [record.ROW] * record.TEXTS
    assert all(len({one.f0 for one in text}) == 1 for text in found)
    used = [one.i for text in found for one in text]
    assert sorted(used) == list(range(record.CLIPS, record.CLIPS + len(used)))


def clip(seed, phones=("_:", "a", "b", "_:"), f0=125.0):
    n = 1000 * len(phones)
    places = 1000 * np.arange(len(phones))[:, None] + np.array([0, 1000])
    samples = 0.1 * np.random.default_rng(seed).standard_normal(n)
    return Clip(samples.astype(np.float32), phones, places, RATE, f0=f0)


CLIPS = [clip(0), clip(1, ("_:", "k", "a", "t", "b", "_:"), 250.0)]


@pytest.fixture
def said(home, monkeypatch):
    """Two sentences; what is said of them is noise that depends on setting and seeds, 0.1 loud."""
    calls = []

    def say(net, clips, setting, seeds, scripts=None):
        calls.append((net, tuple(len(c.samples) for c in clips), setting, tuple(seeds), scripts))
        loud = (
            0.1 + setting.S / 1e4 + (0.1 if setting.limit == 0 or setting.context == "none" else 0)
        )
        sizes = [len(c.samples) for c in clips] if scripts is None else [s.total for s in scripts]
        return [
            loud * np.random.default_rng(seed).standard_normal(size).astype(np.float32).clip(-8, 8)
            for size, seed in zip(sizes, seeds, strict=True)
        ]

    monkeypatch.setattr(speaking, "say", say)
    monkeypatch.setattr(record, "test_clips", lambda: CLIPS)
    (home / "weights").mkdir()
    (home / "weights" / "diffar_main.safetensors").write_bytes(b"one network")
    return calls


def test_what_was_said_is_kept_in_16_bits_and_read(said, home):
    first = record.cell("net", BASE, 2)
    assert said == [("net", (4000, 6000), BASE, (2000, 2001), None)]
    again = record.cell("net", BASE, 2)
    assert len(said) == 1
    raw = speaking.say("net", CLIPS, BASE, [2000, 2001])
    for one, other, x in zip(first, again, raw, strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_allclose(one, x, atol=0.51 / 32767)
        assert np.abs(one).max() <= 1.0
        np.testing.assert_allclose(one * 32767, np.round(one * 32767), atol=1e-6)
    assert not list(home.rglob("*.part*"))
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(record.cell("net", BASE, 1)[0], first[0])
    for field, value in (
        ("told", "base"),
        ("sampler", "ddim"),
        ("S", 10),
        ("limit", 0),
        ("context", "recording"),
    ):
        before = len(said)
        record.cell("net", BASE._replace(**{field: value}), 2)
        assert len(said) == before + 1, field


def test_what_another_network_said_is_not_taken_for_this_one_s(said, home):
    record.cell("net", BASE, 0)
    record.weights("main").write_bytes(b"another network")
    record.cell("net", BASE, 0)
    assert len(said) == 2


def test_what_is_louder_than_full_scale_is_kept_as_full_scale(said, monkeypatch):
    monkeypatch.setattr(speaking, "say", lambda *a: [np.array([2.0, -3.0, 0.5])])
    np.testing.assert_allclose(record.cell("net", BASE, 0)[0], [1.0, -1.0, 0.5], atol=2e-5)


@pytest.fixture
def scored(monkeypatch):
    """Scores that say of what they are, instead of those that take seconds."""

    def score(x, one, heard):
        return {**speaking.understood(one, heard), "lsd": float(np.std(x)), "cents": np.nan}

    monkeypatch.setattr(speaking, "score", score)
    monkeypatch.setattr(
        speaking, "spread_of", lambda w: {"n": len(w), "mcd": float(np.std(w[0])), "cents": np.nan}
    )
    monkeypatch.setattr(
        speaking, "joint_ranks", lambda x, joints: {"flux": len(joints) + float(np.std(x))}
    )
    monkeypatch.setattr(speaking, "joints", lambda one: [1000, 2000, 3000])
    monkeypatch.setattr(
        speaking, "distances", lambda w, x0: {"to_recording": len(w), "apart": float(np.std(x0))}
    )

    def hear(ears, waves):
        assert ears == "ears"
        return [["a", "b"] for _ in waves]

    monkeypatch.setattr(auxiliary, "hear", hear)


def test_the_tables_of_what_is_said(said, scored, home):
    tables = record.said("net", "ears")
    study = Study({}, tables)
    every = list(record.settings())
    assert len(tables["said"]) == 2 * len(every)
    for setting, seed in every:
        found = study.select(**setting._asdict(), seed=seed)
        assert [r["clip"] for r in found] == [0, 1]
        assert [(r["errors"], r["phones"]) for r in found] == [(0, 2), (2, 4)]
        loud = (
            0.1 + setting.S / 1e4 + (0.1 if setting.limit == 0 or setting.context == "none" else 0)
        )
        assert found[0]["lsd"] == pytest.approx(loud, rel=0.05)
        assert found[0]["cents"] is None
        assert len(str(found[0]["lsd"])) <= 6
    assert study.error_rate().shape == (3, 2)
    pairs = {(r["told"], r["clip"]): r["n"] for r in tables["pairs"]}
    assert pairs == dict.fromkeys(product(("-E", "base", "+P"), (0, 1)), 3)
    seams = {(r["sound"], r["seed"], r["clip"]): r["flux"] for r in tables["seams"]}
    level = {"generated": 0.105, "no past": 0.205, "recording": 0.1, "with a step": 0.1}
    expected = {
        (sound, seed, i): 3 + value
        for sound, value in level.items()
        for seed in (SEEDS if sound in ("generated", "no past") else (0,))
        for i in (0, 1)
    }
    assert seams == pytest.approx(expected, abs=0.02)
    apart = [Setting(**{k: r[k] for k in Setting._fields}) for r in tables["apart"]]
    several = {setting for setting, seed in every if seed > 0}
    assert set(apart) == several and len(apart) == 2 * len(several)
    assert study.energy_score() == pytest.approx([3 - 0.05, 3 - 0.05], abs=0.01)
    loud = {r["clip"]: r for r in tables["ceiling"]}
    assert [loud[i]["lsd"] for i in (0, 1)] == pytest.approx([0.1, 0.1], rel=0.05)
    assert [loud[i]["phones"] for i in (0, 1)] == [2, 4]
    write(home / "diffar" / "speech.json", {"about": {}, **tables})  # nothing in it is no number
    assert record.load("speech").tables == tables


def test_long_texts_are_scored_by_sentence_with_both_contexts(said, scored, monkeypatch):
    texts, seen = [CLIPS, CLIPS[::-1]], []
    monkeypatch.setattr(record, "texts", lambda: texts)
    score = speaking.score
    monkeypatch.setattr(
        speaking, "score", lambda x, one, heard: seen.append((len(x), one)) or score(x, one, heard)
    )
    rows = record.long("net", "ears")
    assert [(r["context"], r["text"], r["sentence"]) for r in rows] == list(
        product(("own", "recording"), (0, 1), (0, 1))
    )
    assert [call[1:4] for call in said] == [
        ((10_000, 10_000), BASE._replace(context=c), (0, 1)) for c in ("own", "recording")
    ]
    assert [one for _, one in seen] == [*texts[0], *texts[1]] * 2
    assert all(size == len(one.samples) for size, one in seen)
    assert {r["cents"] for r in rows} == {None}
    study = Study({}, {"long": rows})
    np.testing.assert_allclose(study.by_sentence("errors", "own"), [[0, 50], [50, 0]])
    loud = study.by_sentence("lsd", "recording")
    assert loud.shape == (2, 2) and loud[1, 0] == rows[6]["lsd"]


def test_the_front_end_is_measured_with_each_part_predicted(said, scored, monkeypatch):
    asked = []

    def predicted(one, part):
        asked.append(part)
        return speaking.script(one)

    monkeypatch.setattr(auxiliary, "predicted_script", predicted)
    monkeypatch.setattr(record, "CLIPS", 2)
    rows = record.front("net", "ears")
    assert [(r["predicted"], r["seed"], r["clip"]) for r in rows] == list(
        product(auxiliary.PARTS, SEEDS, (0, 1))
    )
    assert asked == [part for part in auxiliary.PARTS for _ in range(len(SEEDS) * 2)]
    assert all(call[2] == QUICK for call in said)
    # Where nothing is predicted, it is what is said anyway.
    assert [call[4] is None for call in said] == [True] * 3 + [False] * (len(said) - 3)
    assert {call[3] for call in said} == {(1000 * s, 1000 * s + 1) for s in SEEDS}
    assert [(r["errors"], r["phones"]) for r in rows[:2]] == [(0, 2), (2, 4)]


def test_speech_without_a_text_is_measured_for_the_three_frames_of_the_paper(said, monkeypatch):
    asked = []

    def without_text(net, length, overlap, seeds):
        asked.append((net, length, overlap, len(set(seeds))))
        return 0.1 * np.random.default_rng(length).standard_normal((len(seeds), 5120))

    monkeypatch.setattr(speaking, "without_text", without_text)
    rows = record.free("net")
    frames = [(400, 200), (500, 250), (1000, 500)]
    assert asked == [("net", *one, 6) for one in frames]
    assert [(r["length"], r["overlap"], r["sample"]) for r in rows] == [
        (*one, i) for one in frames for i in range(6)
    ]
    assert all(0 < r["distance"] < 3 for r in rows)  # both are white here


def test_timings_are_rows_by_column(home):
    with pytest.raises(FileNotFoundError, match=r"benchmarks --only frames --out .*speed\.json"):
        record.timings()
    tables = [{"title": "a step", "columns": ["C", "ms"], "rows": [[16, 2.5], [32, 5.0]]}]
    path = paths.study("diffar", "speed")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"tables": tables}))
    assert record.timings() == [[{"C": 16, "ms": 2.5}, {"C": 32, "ms": 5.0}]]


# --- networks and the command --------------------------------------------------------------------


def test_the_history_counts_the_crops_of_both_trainings(monkeypatch):
    about = {
        "recipe": {"batch": 16},
        "earlier": [{"step": 10, "new": 3.0}, {"step": 20, "new": 2.0}],
    }
    about["history"] = [{"step": 5, "new": 1.0}]
    monkeypatch.setattr(record, "network", lambda path: (None, about))
    found = {crops: row["new"] for crops, row in record.history().items()}
    assert found == {160: 3.0, 320: 2.0, 400: 1.0}


def test_the_weights_are_among_the_book_s():
    assert record.weights("main") == paths.root() / "data" / "weights" / "diffar_main.safetensors"


@pytest.fixture
def tiny(home, monkeypatch):
    """The network that speaks, of two steps of a training that learns nothing."""
    sizes = {"channels": 4, "layers": 2, "cycle": 2, "embedding": 3, "c_emb": 8}
    recipe = Recipe("main", 2, batch=2, warmup=1, kernels=(3, 5), **sizes)
    monkeypatch.setattr(record, "MAIN", recipe)
    monkeypatch.setattr(record, "FIRST", replace(recipe, name="first"))
    monkeypatch.setattr(
        training, "train", lambda recipe, seed, *a, **k: training.start(recipe, seed, k["first"])
    )
    return recipe


def run(*words):
    threads = torch.get_num_threads()
    try:
        return CliRunner().invoke(record.main, words)
    finally:
        torch.set_num_threads(threads)


def test_the_command_trains_the_network_that_the_notebook_runs(tiny, home):
    found = run("main", "--threads", "1")
    assert found.exit_code == 0 and "made main" in found.output
    tensors, about = read_tensors(record.weights("main"))
    assert about["command"] == "python -m chapters.diffar.record main"
    assert about["earlier"] == []  # of the first training; this one wrote nothing down
    assert about["recipe"] == json.loads(json.dumps(asdict(tiny)))
    assert (about["seed"], about["after"]["recipe"]["name"], about["after"]["seed"]) == (
        1,
        "first",
        0,
    )
    first = training.start(record.FIRST, 0).model.state_dict()  # where the second training began
    assert all(torch.equal(tensors[k], v.half()) for k, v in first.items())
    assert {v.dtype for v in tensors.values()} == {torch.float16}
    assert not (home / "diffar").exists()  # no study
    net = record.live()
    assert not net.training
    whole = training.network(record.weights("main"))[0]
    assert all(len(bank.convs) == 1 for bank in net.mix)
    assert all(len(bank.convs) == 2 for bank in whole.mix)
    x, phones = torch.zeros(1, 64), torch.ones(1, 64, dtype=torch.int64)
    tracks, s = torch.ones(1, 2, 64), torch.tensor([3.0])
    with torch.inference_mode():
        answers = [m(x + 0.1, s, m.given(x, phones, tracks)) for m in (whole, net)]
    torch.testing.assert_close(*answers)


def test_the_command_writes_a_study_and_what_it_was_made_with(tiny, home, monkeypatch):
    tables = {"losses": [{"a": 1.5}]}
    monkeypatch.setitem(record.STUDIES, "small", lambda: tables)
    monkeypatch.setitem(record.STUDIES, "speech", lambda: tables)
    run("main")
    for name in ("small", "speech"):
        found = run(name, "--threads", "1")
        assert found.exit_code == 0, found.output
        study = record.load(name)
        assert study.tables == tables
        assert study.about["command"] == f"python -m chapters.diffar.record {name}"
        assert "torch" in study.about["packages"] and study.about["threads"] == 1
    assert study.about["networks"] == {"diffar_main.safetensors": record.digest()}
    assert study.about["recipe"] == json.loads(json.dumps(asdict(tiny)))
    assert record.digest() != record.hashlib.sha256(b"").hexdigest()


def test_the_command_knows_its_studies():
    found = run("speach")
    assert found.exit_code == 2 and "'speech'" in found.output
    assert set(record.STUDIES) == {"main", "small", "speech", "front", "released"}
    for name in record.STUDIES:
        assert f"record {name}" in record.__doc__


def test_the_speech_study_has_all_tables(monkeypatch):
    monkeypatch.setattr(record, "live", lambda: "net")
    monkeypatch.setattr(auxiliary, "ears", lambda: "ears")
    monkeypatch.setattr(record, "said", lambda *a: {"said": a})
    for name in ("long", "front"):
        monkeypatch.setattr(record, name, lambda *a, name=name: (name, *a))
    monkeypatch.setattr(record, "free", lambda net: ("free", net))
    assert record.make_speech() == {
        "said": ("net", "ears"), "long": ("long", "net", "ears"),
        "front": ("front", "net", "ears"), "free": ("free", "net"),
    }  # fmt: skip
