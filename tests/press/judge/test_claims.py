"""Claims files, metrics, verdicts, and the ledger of a chapter."""

import copy
import json
import math
import re
import sys
import types

import numpy as np
import pytest
import yaml

from press import ledger as claims_ledger
from press import paths
from press.judge import claims, rule
from press.judge.rule import Metric, claim_verdict, condition_verdict, make_metric
from press.ledger import Ledger
from press.show import verdicts


def condition(op, value, **more):
    return {"metric": "m", "op": op, "value": value, **more}


@pytest.mark.parametrize(
    ("op", "bound", "inside", "outside"),
    [
        ("<=", 2.0, (2.0, -5.0), (2.0000001,)),
        ("<", 2.0, (1.9999,), (2.0, 3.0)),
        (">=", 2.0, (2.0, 7.0), (1.999,)),
        (">", 2.0, (2.1,), (2.0, 1.0)),
        ("==", 2.0, (2.0, 2), (2.0000001,)),
        ("between", [1.0, 2.0], (1.0, 1.5, 2.0), (0.999, 2.001)),
    ],
)
def test_operators(op, bound, inside, outside):
    assert all(rule.satisfies(value, op, bound) for value in inside)
    assert not any(rule.satisfies(value, op, bound) for value in outside)


def test_condition_needs_both_ends_of_the_interval():
    asked = condition(">=", 1.0)
    assert condition_verdict(asked, Metric("m", 1.5)) == "holds"
    assert condition_verdict(asked, Metric("m", 1.5, (1.0, 2.0))) == "holds"
    assert condition_verdict(asked, Metric("m", 1.5, (0.9, 2.0))) == "partly"
    assert condition_verdict(condition("<=", 1.9), Metric("m", 1.5, (1.0, 2.0))) == "partly"
    assert condition_verdict(asked, Metric("m", 0.9, (0.5, 1.5))) == "fails"
    assert condition_verdict(asked, None) == "missing"


def test_looser_threshold_gives_partly():
    asked = condition("<=", 1.0, partly=2.0)
    found = [condition_verdict(asked, Metric("m", value)) for value in (1.0, 1.5, 2.0, 2.5)]
    assert found == ["holds", "partly", "partly", "fails"]


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ({"a": 0.0, "b": 0.0}, "reproduced"),
        ({"a": 0.0, "b": 5.0}, "partly"),
        ({"a": 5.0, "b": 5.0}, "not reproduced"),
        ({"a": 0.0}, "partly"),
        ({"a": 5.0}, "not reproduced"),
        ({"a": 1.5, "b": 5.0}, "partly"),
        ({}, "not tried"),
        ({"other": 0.0}, "not tried"),
    ],
)
def test_verdict_of_a_claim(values, verdict):
    asked = {
        "conditions": [
            {"metric": "a", "op": "<=", "value": 1.0, "partly": 2.0},
            {"metric": "b", "op": "<=", "value": 1.0},
        ]
    }
    assert claim_verdict(asked, {k: Metric(k, v) for k, v in values.items()}) == verdict


def test_the_tally_counts_the_papers_claims_and_ours_apart(book):
    document = claims.load("demo")
    assert rule.tally(document, {}) == "the paper's 1: 1 not tried; ours 1: 1 not tried"
    metrics = {"forms": Metric("forms", 0.0), "mean": Metric("mean", 5.0)}
    text = "the paper's 1: 1 reproduced; ours 1: 1 partly"
    assert rule.tally(document, metrics) == text
    document["claims"].pop()
    assert rule.tally(document, metrics) == "the paper's 1: 1 reproduced"


def test_worse_lists_only_losses():
    before = {"A01": "reproduced", "A02": "partly", "A03": "not tried", "A04": "not reproduced"}
    after = {"A01": "partly", "A02": "reproduced", "A03": "partly", "A04": "not tried"}
    after["A05"] = "not reproduced"
    expected = {"A01": ("reproduced", "partly"), "A04": ("not reproduced", "not tried")}
    assert rule.worse(before, after) == expected
    assert rule.worse(before, before) == {}


# --- metrics ----------------------------------------------------------------------------------


def test_metric_takes_arrays_and_survives_json():
    metric = make_metric("m", np.float32(0.1), (np.float64(0.0), 1), n=np.int64(3), unit="s")
    assert metric == Metric("m", float(np.float32(0.1)), (0.0, 1), 3, "s")
    assert Metric.from_dict(json.loads(json.dumps(metric.as_dict()))) == metric
    third = make_metric("m", 1 / 3)
    assert Metric.from_dict(json.loads(json.dumps(third.as_dict()))).value == 1 / 3
    assert make_metric("m", np.bool_(True)).value == 1
    assert make_metric("m", np.array(2.5)).value == 2.5


@pytest.mark.parametrize("value", [math.nan, math.inf, "1", None, 1j, 10**400, -(10**400)])
def test_metric_refuses_what_is_no_finite_number(value):
    with pytest.raises(ValueError, match=r"m: value: got .* expected one finite number"):
        make_metric("m", value)


def test_metric_refuses_bad_intervals_names_and_counts():
    with pytest.raises(ValueError, match="does not hold the value"):
        make_metric("m", 1.0, (1.5, 2.0))
    with pytest.raises(ValueError, match="does not hold the value"):
        make_metric("m", 1.0, (2.0, 0.0))
    with pytest.raises(ValueError, match="name: got 'a b'"):
        make_metric("a b", 1.0)
    with pytest.raises(ValueError, match="at least 1"):
        make_metric("m", 1.0, n=0)
    with pytest.raises(ValueError, match="at least 1"):
        make_metric("m", 1.0, n=2.5)
    with pytest.raises(ValueError, match="m: unit: got 5, expected text"):
        make_metric("m", 1.0, unit=5)


# --- files ------------------------------------------------------------------------------------

FILE = "data/demo/claims.yaml"


def edited(book, change):
    path = book.root / FILE
    document = yaml.safe_load(path.read_text("utf-8"))
    change(document)
    book.write_yaml(FILE, document)


def test_a_good_file_loads(book):
    document = claims.load("demo")
    assert [claim["id"] for claim in document["claims"]] == ["demo-01", "demo-02"]
    assert list(claims.load_book()) == ["demo"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["claims"][0].update(colour="red"), "claims/0: .*'colour'"),
        (lambda d: d["claims"][0].pop("scale"), "'scale' is a required property"),
        (lambda d: d["claims"][0].update(kind="guess"), "claims/0/kind: 'guess'"),
        (lambda d: d["claims"][0].update(id="d1"), "claims/0/id"),
        (lambda d: d["claims"][0].update(conditions=[]), "claims/0/conditions"),
        (lambda d: d["claims"][0]["conditions"][0].update(value="1e-10"), "write 1.0e-10"),
        (lambda d: d["claims"][0]["conditions"][0].update(op="=<"), "'=<' is not one of"),
        (lambda d: d["claims"][0]["conditions"][0].update(value=[0, 1]), "conditions/0/value"),
        (lambda d: d["claims"][0]["conditions"][0].update(partly=1e-12), "must be looser"),
        (lambda d: d["claims"][1]["conditions"][0].update(value=0.5), "conditions/0/value"),
        (lambda d: d["claims"][1]["conditions"][0].update(value=[2, 1]), "is empty"),
        (lambda d: d["claims"][1]["conditions"][0].update(partly=[0, 1]), "must be looser"),
        (
            lambda d: d["claims"][0]["conditions"][0].update(value=math.inf),
            "value inf is not finite",
        ),
        (
            lambda d: d["claims"][0]["conditions"][0].update(value=math.nan),
            "value nan is not finite",
        ),
        (lambda d: d["claims"][1]["conditions"][1].update(partly=-math.inf), "partly -inf is not"),
        (lambda d: d.update(data={"real": ["../up"]}), "data/real/0"),
        (lambda d: d["claims"][1].update(id="demo-01"), "demo-01 is used twice"),
        (lambda d: d.update(chapter="other"), "chapter is 'other', expected 'demo'"),
        (lambda d: d["paper"].update(arxiv="2502"), "paper/arxiv"),
        (lambda d: d["paper"].pop("code"), "'code' is a required property"),
        (lambda d: d.pop("claims"), "'claims' is a required property"),
    ],
)
def test_a_bad_file_is_refused_with_the_place(book, change, message):
    edited(book, change)
    with pytest.raises(ValueError, match=message):
        claims.load("demo")


def test_yaml_number_without_a_point_is_explained(book):
    # PyYAML reads 1e-10 as text; a person who writes a claim cannot know.
    path = book.root / FILE
    text = path.read_text("utf-8").replace("value: 1.0e-10", "value: 1e-10")
    assert "value: 1e-10" in text
    path.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=r"YAML reads 1e-10 as text"):
        claims.load("demo")


def test_claim_ids_are_unique_over_the_book(book):
    book.add_chapter("more")
    document = yaml.safe_load(paths.claims("more").read_text("utf-8"))
    document["claims"][0]["id"] = "demo-01"
    book.write_yaml("data/more/claims.yaml", document)
    with pytest.raises(ValueError, match="demo-01 stands in demo and in more"):
        claims.load_book()


def test_unknown_chapter_names_the_nearest(book):
    with pytest.raises(ValueError, match="did you mean 'demo'"):
        claims.load("dem")


def test_claims_of_this_book_are_valid(root, monkeypatch):
    monkeypatch.setenv("DIFFBOOK_ROOT", str(root))
    book = claims.load_book()
    assert set(book) == {path.stem for path in (root / "notebooks").glob("*/*.ipynb")}
    for slug, document in book.items():
        assert all(
            claim["id"].startswith(f"{paths.chapter_of(slug)}-") for claim in document["claims"]
        )


# --- ledger -----------------------------------------------------------------------------------


def test_ledger_judges_what_it_has(book):
    ledger = Ledger("demo", profile="smoke")
    assert set(ledger.verdicts().values()) == {"not tried"}
    ledger.record("forms", 1e-12)
    ledger.record("mean", 0.0, ci=(-2.0, 2.0), n=10)
    assert ledger.verdicts() == {"demo-01": "reproduced", "demo-02": "partly"}
    ledger.record("mean", 50.0)
    assert ledger.verdict("demo-02") == "not reproduced"


def test_ledger_refuses_unknown_names(book):
    with pytest.raises(ValueError, match="did you mean 'demo'"):
        Ledger("1_demo")
    with pytest.raises(ValueError, match="did you mean 'demo-01'"):
        Ledger("demo").check("D1")


def test_check_carries_full_precision_in_the_metadata_only(book):
    ledger = Ledger("demo", device="a device")
    ledger.record("mean", 1 / 3, n=3)
    ledger.record("spread", 2 / 3)
    ledger.record("forms", 1.2345e-15)
    data, metadata = ledger.check("demo-02")._repr_mimebundle_()
    assert [m["value"] for m in metadata["diffbook"]["metrics"]] == [1 / 3, 2 / 3]
    assert metadata["diffbook"]["device"] == "a device"
    assert "0.333" in data["text/plain"]
    assert "0.3333" not in data["text/plain"] + data["text/html"]
    assert 'id="claim-demo-02"' in data["text/html"]


def test_roundoff_is_shown_with_one_digit(book):
    for error, text in ((1.2345e-15, "forms ~1e-15 rel."), (7.7e-13, "~8e-13"), (0.0, "forms ~0 ")):
        ledger = Ledger("demo")
        ledger.record("forms", error)
        assert text in ledger.check("demo-01").text
    ledger.record("forms", 3e-4)
    failed = ledger.check("demo-01")
    assert "forms 3.00e-4" in failed.text
    assert "not reproduced" in failed.text


def test_table_holds_all_metrics_also_unclaimed_ones(book):
    ledger = Ledger("demo")
    ledger.record("forms", 1e-15)
    ledger.record("extra", 4.0, note="no claim uses it")
    metadata = ledger.table().metadata
    assert [m["name"] for m in metadata["diffbook"]["metrics"]] == ["forms", "extra"]


def test_documents_are_not_shared_between_ledgers(book):
    first = Ledger("demo")
    before = copy.deepcopy(first.document)
    first.record("forms", 1.0)
    first.table()
    assert Ledger("demo").document == before
    assert Ledger("demo").metrics == {}


def test_the_ledger_names_the_gpu_that_torch_uses(book, monkeypatch):
    ledger = claims_ledger.Ledger("demo")
    ledger.record("forms", 0.0)

    def device(ledger):
        return ledger.check("demo-01").metadata[claims_ledger.METADATA_KEY]["device"]

    gpu = types.SimpleNamespace(is_available=lambda: True, get_device_name=lambda: "NVIDIA H200")
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=gpu))
    assert device(ledger) == "NVIDIA H200"
    monkeypatch.delitem(sys.modules, "torch")
    assert device(ledger) == "cpu"


def test_the_last_value_of_a_metric_counts(book):
    ledger = Ledger("demo")
    outputs = []
    for value in (1.0, 2.0):
        ledger.record("mean", value)
        ledger.record("spread", 3 * value)
        data, metadata = ledger.check("demo-02")._repr_mimebundle_()
        outputs.append({"data": data, "metadata": metadata})
    notebook = {"cells": [{"outputs": [output]} for output in outputs]}
    found = claims_ledger.collect_metrics(notebook)
    assert [(m.name, m.value) for m in found] == [("mean", 2.0), ("spread", 6.0)]


def test_the_last_device_counts(book):
    cells = []
    for device in ("one", "two"):
        ledger = Ledger("demo", device=device)
        data, metadata = ledger.table()._repr_mimebundle_()
        cells.append({"outputs": [{"data": data, "metadata": metadata}]})
    assert claims_ledger.collect_device({"cells": cells}) == "two"
    assert claims_ledger.collect_device({"cells": []}) == "cpu"


# --- the size of a run ------------------------------------------------------------------------


def sized(book, **more):
    """Give the second claim of the demonstration a size."""

    def change(document):
        document["claims"][1].update(more)

    edited(book, change)


def test_numbers_in_words_come_from_the_run(book):
    sized(
        book, statement="Of {n_draws} draws, $x^{n}$ `{n}` and {scales}.", scale="{n_draws} draws"
    )
    claim = claims.load("demo", {"n_draws": 20000, "scales": [1, 5]})["claims"][1]
    assert claim["statement"] == "Of 20,000 draws, $x^{n}$ `{n}` and 1, 5."
    assert claim["scale"] == "20,000 draws"
    assert claims.load("demo")["claims"][1]["scale"] == "10 draws"


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"n_draws": 10, "scales": [1, 2]}, ""),
        ({"n_draws": 11, "scales": [1, 2, 3]}, ""),
        ({"n_draws": 9, "scales": [1, 2]}, "n_draws is 9, 10 needed"),
        ({"n_draws": 10, "scales": [1, 3]}, "scales is [1, 3], [1, 2] needed"),
        ({"n_draws": 9, "scales": [1]}, "n_draws is 9, 10 needed; scales is [1], [1, 2] needed"),
    ],
)
def test_a_claim_that_needs_a_size_is_not_tried_below_it(book, parameters, words):
    sized(book, judged_from="laptop", needs=["n_draws", "scales"])
    document = claims.load("demo", parameters)
    failing = {name: Metric(name, 1e9) for name in ("forms", "mean", "spread")}
    verdict = rule.verdicts(document, failing)["demo-02"]
    claim = document["claims"][1]
    if words:
        expected = f"not tried at this size: judged from `laptop` on ({words})"
        assert (verdict, claim["untried"]) == ("not tried", expected)
        assert verdicts.reason_of(claim, verdict) == expected
    else:
        assert verdict == "partly"
        assert "untried" not in claim


def test_texts_and_switches_must_be_equal(book):
    book.write_yaml("data/demo/real.yaml", {"profile": "real", "broken": True, "data": "real"})
    book.edit_yaml("data/demo/laptop.yaml", data="embedded")
    sized(book, judged_from="real", needs=["broken", "data"])
    at = [
        claims.load("demo", {"broken": broken, "data": data})["claims"][1].get("untried", "")
        for broken, data in ((True, "real"), (False, "real"), (True, "embedded"))
    ]
    assert at[0] == ""
    assert "broken is False, True needed" in at[1]
    assert "data is embedded, real needed" in at[2]


@pytest.mark.parametrize(
    ("change", "parameters", "words"),
    [
        ({"judged_from": "laptop"}, None, "'needs' is a dependency of 'judged_from'"),
        ({"judged_from": "huge", "needs": ["n_draws"]}, None, "data/demo/huge.yaml has no n_draws"),
        ({"judged_from": "laptop", "needs": ["n_drew"]}, None, "data/demo/laptop.yaml has no n_drew"),
        ({"scale": "{n_draws} draws"}, {}, "names the parameter n_draws: give the ledger its value"),
        ({}, {"n_drew": 1}, "parameter: got 'n_drew'; did you mean 'n_draws'"),
        ({"scale": "{n_drew}"}, None, "scale: {n_drew} is no parameter; did you mean 'n_draws'"),
    ],
)  # fmt: skip
def test_a_size_that_cannot_be_judged_is_refused(book, change, parameters, words):
    sized(book, **change)
    with pytest.raises(ValueError, match=re.escape(words)):
        claims.load("demo", parameters)


def test_what_has_not_converged_refutes_nothing(book):
    asked = condition("<=", 1.0, partly=2.0)
    found = [
        condition_verdict(asked, make_metric("m", value, converged=False))
        for value in (1.0, 1.5, 5.0)
    ]
    assert found == ["holds", "partly", "missing"]
    ledger = Ledger("demo")
    ledger.record("forms", 5.0, converged=False)
    assert ledger.verdict("demo-01") == "not tried"
    assert "(not converged)" in ledger.check("demo-01").text
    assert (
        Metric.from_dict(json.loads(json.dumps(ledger.metrics["forms"].as_dict())))
        == (ledger.metrics["forms"])
    )
    assert "converged" not in make_metric("m", 1.0).as_dict()
