"""Fetching data sets, against a local web server; the command; reading archives."""

import functools
import hashlib
import http.server
import threading
import zipfile

import numpy as np
import pytest

from diffbook.datasets import fetch


@pytest.fixture
def server(tmp_path):
    """A local web server that counts requests; yields (folder, base url, list of paths served)."""
    root = tmp_path / "served"
    root.mkdir()
    served = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            served.append(self.path)
            super().do_GET()

        def log_message(self, *args):
            pass

    handler = functools.partial(Handler, directory=str(root))
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield root, f"http://127.0.0.1:{httpd.server_address[1]}/", served
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture
def toy(server, monkeypatch):
    """A data set of one file, on the local server."""
    root, url, served = server
    content = b"twelve bytes"
    (root / "a.bin").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    files = (fetch.File("a.bin", digest, 12, url + "a.bin"),)
    monkeypatch.setitem(fetch.DATASETS, "toy", fetch.Dataset("Toy", "CC0", files, "-"))
    monkeypatch.delenv("DIFFBOOK_DATA", raising=False)
    # pooch waits a second per retry and logs; neither is of interest here.
    monkeypatch.setattr("time.sleep", lambda s: None)
    return root, served


def test_fetch_downloads_once_and_reports_first(toy, tmp_path):
    _, served = toy
    lines = []
    (path,) = fetch.fetch("toy", cache=tmp_path / "cache", report=lines.append)
    assert path.read_bytes() == b"twelve bytes"
    assert lines == ["toy: Toy. Licence: CC0. Size: 0.0 MB in 1 file(s), can be downloaded."]
    fetch.fetch("toy", cache=tmp_path / "cache", report=lines.append)
    assert len(served) == len(lines) == 1


def test_damaged_file_is_fetched_again(toy, tmp_path):
    _, served = toy
    (path,) = fetch.fetch("toy", cache=tmp_path / "cache")
    path.write_bytes(b"twelve")
    (path,) = fetch.fetch("toy", cache=tmp_path / "cache")
    assert path.read_bytes() == b"twelve bytes"
    assert len(served) == 2


def test_wrong_content_is_refused_and_leaves_nothing(toy, tmp_path):
    root, served = toy
    (root / "a.bin").write_bytes(b"another file")
    with pytest.raises(RuntimeError, match="could not fetch data set 'toy'"):
        fetch.fetch("toy", cache=tmp_path / "cache")
    assert len(served) == 3  # one try and two more
    assert not list((tmp_path / "cache" / "toy").iterdir())


def test_unreachable_server(toy, tmp_path):
    root, _ = toy
    (root / "a.bin").unlink()
    with pytest.raises(RuntimeError, match="set DIFFBOOK_DATA"):
        fetch.fetch("toy", cache=tmp_path / "cache")


def test_local_folder_comes_first(toy, tmp_path, monkeypatch):
    _, served = toy
    (tmp_path / "data" / "toy").mkdir(parents=True)
    (tmp_path / "data" / "toy" / "a.bin").write_bytes(b"mine")
    monkeypatch.setenv("DIFFBOOK_DATA", str(tmp_path / "data"))
    (path,) = fetch.fetch("toy", cache=tmp_path / "cache")
    assert path.read_bytes() == b"mine"
    assert served == []


def test_unknown_data_set_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'mnist'"):
        fetch.fetch("mnsit")


def test_registry_is_complete():
    for name, found in fetch.DATASETS.items():
        assert found.licence
        assert found.how
        assert found.size_bytes > 0
        assert all(len(file.sha256) == 64 for file in found.files)
        assert f"Licence: {found.licence}" in fetch.describe(name)


@pytest.mark.realdata
@pytest.mark.parametrize("name", fetch.DATASETS)
def test_files_of_the_right_content_have_the_stated_size(name):
    for file, path in zip(fetch.dataset(name).files, fetch.local(name) or [], strict=False):
        assert path.stat().st_size == file.size_bytes or not fetch.intact(path, file.sha256)


# --- the command ------------------------------------------------------------------------------


@pytest.fixture
def sets(monkeypatch, tmp_path):
    """A data set that lies in the local folder, and one that has no public address."""
    file = fetch.File("a.bin", "0" * 64, 3_400_000)
    for name in ("toy", "absent"):
        entry = fetch.Dataset("Toy", "CC BY 4.0", (file,), "draw one")
        monkeypatch.setitem(fetch.DATASETS, name, entry)
    (tmp_path / "sets" / "toy").mkdir(parents=True)
    (tmp_path / "sets" / "toy" / "a.bin").write_bytes(b"x")
    monkeypatch.setenv("DIFFBOOK_DATA", str(tmp_path / "sets"))


def test_it_prints_licence_and_size_first(sets, capsys):
    assert fetch.main(["toy"]) == 0
    text = capsys.readouterr().out
    assert text.index("CC BY 4.0") < text.index("3.4 MB") < text.index("kept in")
    assert "a.bin" in text


def test_it_reports_what_cannot_be_had(sets, capsys):
    assert fetch.main(["absent"]) == 1
    found = capsys.readouterr()
    assert "CC BY 4.0" in found.out
    assert "To get it: draw one" in found.err


def test_it_refuses_unknown_names_and_a_folder_that_is_not_there(sets, capsys, monkeypatch):
    with pytest.raises(SystemExit) as stop:
        fetch.main(["mnsit"])
    assert stop.value.code == 2
    assert "invalid choice: 'mnsit'" in capsys.readouterr().err
    monkeypatch.setenv("DIFFBOOK_DATA", "nowhere")
    assert fetch.main(["toy"]) == 2
    assert "DIFFBOOK_DATA='nowhere': expected a folder" in capsys.readouterr().err


# --- reading archives -------------------------------------------------------------------------


def test_arrays_come_in_the_order_asked_for(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(3), y=np.zeros((2, 5)), z=np.ones(1))
    y, x = fetch.arrays(tmp_path / "a.npz", y=(np.float64, (2, None)), x=(np.integer, (None,)))
    np.testing.assert_array_equal(x, [0, 1, 2])
    assert y.shape == (2, 5)


def whole_archive(path):
    np.savez(path, x=np.arange(100))
    return path.read_bytes()


def npy(path):
    with path.open("wb") as file:
        np.save(file, np.arange(100))


def member(path, header):
    """An archive whose array is written by hand."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", header)


HUGE = b"{'descr': '<i8', 'fortran_order': False, 'shape': (99999999999999,), }"
DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("<html>not found</html>", "utf-8"),
    "truncated": lambda path: path.write_bytes(whole_archive(path)[:-30]),
    "half": lambda path: path.write_bytes(whole_archive(path)[:200]),
    "a flipped byte": lambda path: path.write_bytes(
        whole_archive(path)[:300] + b"\xff" + whole_archive(path)[301:]
    ),
    "other arrays": lambda path: np.savez(path, images=np.arange(100)),
    "one bare array": npy,
    "objects": lambda path: np.savez(path, x=np.array([{}, None])),
    "no array inside": lambda path: member(path, b"hello"),
    "a huge array": lambda path: member(
        path, b"\x93NUMPY\x01\x00" + len(HUGE).to_bytes(2, "little") + HUGE
    ),
    "a folder": lambda path: path.mkdir(),
    "nothing": lambda path: None,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_and_foreign_files_are_refused_with_their_name(tmp_path, damage):
    path = tmp_path / "a.npz"
    DAMAGES[damage](path)
    with pytest.raises(
        ValueError,
        match=r"expected (a whole \.npz file with the arrays x|integer of shape .*), got",
    ) as error:
        fetch.arrays(path, x=(np.integer, (None,)))
    assert str(error.value).startswith(f"{path}: ")


class Planted:
    """An object that touches a file when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return type(self.marker).touch, (self.marker,)


def test_nothing_in_an_archive_is_run(tmp_path):
    marker = tmp_path / "it ran"
    np.savez(tmp_path / "a.npz", x=np.array([Planted(marker)], dtype=object))
    with pytest.raises(ValueError, match="Object arrays cannot be loaded"):
        fetch.arrays(tmp_path / "a.npz", x=(np.integer, (None,)))
    assert not marker.exists()


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        (
            (np.uint8, (2, 3)),
            r"x: expected uint8 of shape \(2, 3\) .*, got int64 of shape \(2, 3\)",
        ),
        ((np.integer, (2,)), r"expected integer of shape \(2,\)"),
        ((np.integer, (None, 4)), r"expected integer of shape \(None, 4\)"),
    ],
)
def test_arrays_of_another_kind_or_shape_are_refused(tmp_path, expected, words):
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 3), int))
    with pytest.raises(ValueError, match=rf"a\.npz: .*{words}"):
        fetch.arrays(tmp_path / "a.npz", x=expected)
