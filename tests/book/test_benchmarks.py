"""The benchmarks run at small sizes and write what they print; their numbers are not judged."""

import json

import numpy as np
import pytest
from benchmarks import __main__ as benchmarks
from benchmarks import bench_design, bench_frames, bench_import, bench_prediction, bench_weights
from benchmarks.timing import Report, Table, Target

from diffbook.priors.gaussian import GaussianPrior
from diffbook.schedules.families import cosine


def test_design_reaches_what_a_straightforward_optimiser_reaches():
    table = bench_design.compare({5: 1}, repeats=1)
    assert len(table.rows) == 1
    assert all(len(row) == len(table.columns) for row in table.rows)


def test_prediction_in_closed_form_agrees_with_monte_carlo():
    prior, alpha_bar = GaussianPrior.ramp(d=8), cosine(5)
    exact = bench_prediction.closed_form(prior, alpha_bar)
    assert bench_prediction.monte_carlo(prior, alpha_bar, 20_000, 0) == pytest.approx(
        exact, rel=0.1
    )


def test_weight_designs_start_from_one_objective():
    problem = bench_weights.line(8)
    alpha_bar, zeta = cosine(3), np.full(3, 0.1)
    recursion = bench_weights.numpy_recursion(problem, alpha_bar)(zeta)
    assert bench_weights.numpy_products(problem, alpha_bar)(zeta) == pytest.approx(recursion)


def test_both_ways_through_a_frame_give_one_answer():
    assert bench_frames.compare(8, 200, 1)[-1] < 1e-5


def test_import_of_the_library_loads_no_torch():
    elapsed, torch = bench_import.measure("diffbook")
    assert elapsed > 0 and not torch


@pytest.mark.parametrize(("bound", "status"), [(2.0, 0), (0.5, 1)])
def test_command_writes_what_it_prints(tmp_path, monkeypatch, capsys, bound, status):
    table = Table("Demo", ["n", "s"], [[3, 1.0]])
    report = Report([table], [Target("seconds", 1.0, bound)])
    monkeypatch.setattr(bench_import, "run", lambda quick: report)
    out = tmp_path / "benchmarks.json"
    assert benchmarks.main(["--quick", "--only", "import", "--out", str(out)]) == status
    document = json.loads(out.read_text("utf-8"))
    assert document["quick"] and document["tables"] == [table.as_dict()]
    assert str(table) in capsys.readouterr().out
