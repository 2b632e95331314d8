"""The recorded study: it belongs to the networks that it measured, and says when others are in use."""

from __future__ import annotations

import json
import shutil

import pytest

from chapters.spectral import record, signals
from diffbook.metrics.cells import Cell
from press import paths, records


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A copy of the networks and the study, to change them."""
    for name in ("data", "notebooks"):
        (tmp_path / name).mkdir()
    shutil.copy2(paths.root() / "_toc.yml", tmp_path)
    shutil.copytree(paths.weights(), tmp_path / "data" / "weights")
    shutil.copytree(paths.room("spectral") / "studies", tmp_path / "data" / "spectral" / "studies")
    monkeypatch.setenv(paths.ROOT_VARIABLE, str(tmp_path))
    return tmp_path


def test_the_study_belongs_to_the_committed_networks():
    found, about = record.load()
    assert about["fits"]
    assert len(about["networks"]) == 2 * len(record.SEEDS)
    assert {name for name, _ in found} == {"digits", "photos"}


def test_a_network_that_is_another_one_or_missing_is_noticed(elsewhere):
    assert record.load()[1]["fits"]
    path = paths.network("photos", 1)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert not record.load()[1]["fits"]
    path.unlink()
    assert not record.load()[1]["fits"]


def test_retrained_networks_are_not_those_of_the_study(elsewhere):
    assert not record.load(retrained=True)[1]["fits"]
    shutil.copytree(paths.weights(), paths.working() / "weights")  # the same files are the same
    assert record.load(retrained=True)[1]["fits"]


def test_a_study_without_digests_is_refused(elsewhere):
    path = paths.study("spectral", "networks")
    document = records.read(path)
    del document["about"]["networks"]
    records.write(path, document)
    with pytest.raises(ValueError, match="names no networks"):
        record.load()
    with pytest.raises(FileNotFoundError, match="make it"):
        record.load(path.with_name("none.json"))


def test_ratios_over_the_designed_schedule():
    row = {"spectral W2": 2.0} | dict.fromkeys(signals.HEURISTICS, 3.0)
    measured = [
        Cell(10, name, "pixels", seed, value * (1 + seed))
        for name, value in row.items()
        for seed in (0, 1)
    ]
    found = record.over_designed(measured, "pixels", 10)
    assert found == dict.fromkeys(signals.HEURISTICS, pytest.approx(1.5))
    assert json.dumps(found)
