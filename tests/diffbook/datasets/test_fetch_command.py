"""The command that fetches a data set: what it says first, and how it ends."""

import pytest

from diffbook.datasets import fetch


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """A data set that lies in the local folder, and one that has no public address."""
    file = fetch.File("a.bin", "0" * 64, 3_400_000)
    for name in ("toy", "absent"):
        entry = fetch.Dataset("Toy", "CC BY 4.0", (file,), "draw one")
        monkeypatch.setitem(fetch.DATASETS, name, entry)
    (tmp_path / "sets" / "toy").mkdir(parents=True)
    (tmp_path / "sets" / "toy" / "a.bin").write_bytes(b"x")
    monkeypatch.setenv("DIFFBOOK_DATA", str(tmp_path / "sets"))


def test_it_prints_licence_and_size_first(toy, capsys):
    assert fetch.main(["toy"]) == 0
    text = capsys.readouterr().out
    assert text.index("CC BY 4.0") < text.index("3.4 MB") < text.index("kept in")
    assert "a.bin" in text


def test_it_reports_what_cannot_be_had(toy, capsys):
    assert fetch.main(["absent"]) == 1
    found = capsys.readouterr()
    assert "CC BY 4.0" in found.out
    assert "To get it: draw one" in found.err


def test_it_refuses_unknown_names_and_a_folder_that_is_not_there(toy, capsys, monkeypatch):
    with pytest.raises(SystemExit) as stop:
        fetch.main(["mnsit"])
    assert stop.value.code == 2
    assert "invalid choice: 'mnsit'" in capsys.readouterr().err
    monkeypatch.setenv("DIFFBOOK_DATA", "nowhere")
    assert fetch.main(["toy"]) == 2
    assert "DIFFBOOK_DATA='nowhere': expected a folder" in capsys.readouterr().err
