"""Fetching data sets, against a local web server; the command; reading archives."""

import dataclasses
import functools
import hashlib
import http.server
import io
import tarfile
import threading
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.io import wavfile

from diffbook.datasets import _convert, fetch


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
    said = (
        "toy: Toy. Licence: CC0. Size: 0.0 MB in 1 file(s), can be downloaded. Used by no chapter."
    )
    assert lines == [said]
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
    with pytest.raises(RuntimeError, match=r"could not .*404.*--to FOLDER.*set DIFFBOOK_DATA"):
        fetch.fetch("toy", cache=tmp_path / "cache")


def test_full_disk_is_said_before_the_first_byte(toy, tmp_path, monkeypatch):
    _, served = toy
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda _: SimpleNamespace(free=11))
    with pytest.raises(RuntimeError, match="0 MB are needed, 0 MB are free"):
        fetch.fetch("toy", cache=tmp_path / "cache")
    assert served == []


def test_local_folder_comes_first(toy, tmp_path, monkeypatch):
    _, served = toy
    (tmp_path / "data" / "toy").mkdir(parents=True)
    (tmp_path / "data" / "toy" / "a.bin").write_bytes(b"mine")
    monkeypatch.setenv("DIFFBOOK_DATA", str(tmp_path / "data"))
    for find in (fetch.fetch, fetch.files):
        (path,) = find("toy")
        assert path.read_bytes() == b"mine"
    assert served == []
    (path,) = fetch.fetch("toy", cache=tmp_path / "cache")  # a folder of one's own wish
    assert path.read_bytes() == b"twelve bytes"


def test_loaders_find_what_was_fetched_and_never_download(toy, tmp_path, monkeypatch):
    _, served = toy
    monkeypatch.setenv("DIFFBOOK_CACHE", str(tmp_path / "cache"))
    way = (
        "neither under DIFFBOOK_DATA .not set. nor whole in .*To get it: -. toy: Toy. Licence: CC0"
    )
    with pytest.raises(FileNotFoundError, match=way):
        fetch.files("toy")
    assert served == []
    assert fetch.fetch("toy") == fetch.files("toy")
    fetch.files("toy")[0].write_bytes(b"twelve bites")
    with pytest.raises(FileNotFoundError, match=way):
        fetch.files("toy")


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
def test_local_files_have_the_stated_content(name):
    paths, found = fetch.local(name), fetch.dataset(name)
    if paths is None:
        pytest.skip(f"no {name} in DIFFBOOK_DATA")
    for file, path in zip(found.files, paths, strict=True):
        # A set that was packed anew may differ byte for byte; its arrays may not.
        assert found.intact(file, path) or not found.archive
        assert path.stat().st_size == file.size_bytes or not fetch.intact(path, file.sha256)


# --- archives ---------------------------------------------------------------------------------


def fsdd_archive(path, takes):
    """Pack WAV files as the repository's archive has them; takes (speaker, digit, take): samples."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as held:
        top = "free-spoken-digit-dataset-26eb9aaf"
        held.writestr(f"{top}/README.md", "recordings/0_nobody_0.txt")
        for (speaker, digit, take), samples in takes.items():
            sound = io.BytesIO()
            wavfile.write(sound, 8000, samples)
            held.writestr(f"{top}/recordings/{digit}_{speaker}_{take}.wav", sound.getvalue())
    return path


def cifar10_archive(path, images, labels):
    """Pack images as the binary archive has them, with more of them behind."""
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    batch = np.hstack([labels[:, None], planes]).astype(np.uint8).tobytes() + b"more"
    with tarfile.open(path, "w:gz") as held:
        member = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
        member.size = len(batch)
        held.addfile(member, io.BytesIO(batch))
    return path


@pytest.fixture
def takes():
    """Recordings in no order; two lengths, two speakers, takes of one and of two digits."""
    rng = np.random.default_rng(0)
    keys = [("theo", 3, 10), ("theo", 3, 9), ("george", 7, 0), ("theo", 0, 49)]
    return {k: rng.integers(-999, 999, 50 + 10 * i).astype(np.int16) for i, k in enumerate(keys)}


def test_recordings_are_joined_by_speaker_digit_and_take(takes, tmp_path):
    made = _convert.fsdd(fsdd_archive(tmp_path / "a.zip", takes))
    order = [("george", 7, 0), ("theo", 0, 49), ("theo", 3, 9), ("theo", 3, 10)]
    assert list(made["speaker_names"]) == ["george", "theo"]
    for i, (speaker, digit, take) in enumerate(order):
        assert made["speaker_names"][made["speaker"][i]] == speaker
        assert (made["digit"][i], made["take"][i]) == (digit, take)
        sound = made["samples"][made["offsets"][i] : made["offsets"][i + 1]]
        assert np.array_equal(sound, takes[speaker, digit, take])
    kinds = [made[k].dtype.str for k in ("samples", "offsets", "digit", "speaker", "take")]
    assert kinds == ["<i2", "<i8", "|u1", "|u1", "|u1"]


def test_records_become_images(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(256, size=(3, 32, 32, 3)), np.array([3, 0, 9])
    made = _convert.cifar10(cifar10_archive(tmp_path / "a.tar.gz", images, labels), 3)
    assert np.array_equal(made["images"], images)
    assert np.array_equal(made["labels"], labels)
    assert {a.dtype for a in made.values()} == {np.dtype(np.uint8)}


@pytest.fixture
def packed(server, monkeypatch, takes, tmp_path):
    """A data set that is made from an archive on the local server."""
    root, url, served = server
    made = _convert.fsdd(fsdd_archive(root / "a.zip", takes))
    checked = _convert.CHECKED["fsdd"]
    sha256 = fetch.content({k: made[k] for k in checked})
    source = fetch.Archive(url + "a.zip", None, 2_000_000, _convert.fsdd, checked)
    file = fetch.File("a.npz", sha256, 1000)
    entry = fetch.Dataset("Packed", "CC0", (file,), "ask", "chapter 9", source)
    monkeypatch.setitem(fetch.DATASETS, "packed", entry)
    monkeypatch.delenv("DIFFBOOK_DATA", raising=False)
    monkeypatch.setenv("DIFFBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("time.sleep", lambda s: None)
    return root, served, tmp_path / "cache" / "packed"


def test_archive_is_converted_once(packed, takes):
    _, served, folder = packed
    lines = []
    (path,) = fetch.fetch("packed", report=lines.append)
    assert "made from a download of about 2.0 MB. Used by chapter 9." in lines[0]
    assert list(folder.iterdir()) == [path]
    with np.load(path, allow_pickle=False) as held:
        assert held["samples"].sum() == sum(x.sum(dtype=int) for x in takes.values())
    assert fetch.fetch("packed", report=lines.append) == fetch.files("packed") == [path]
    assert len(served) == len(lines) == 1


@pytest.mark.parametrize("damage", ["cut", "value", "kind", "another"])
def test_damaged_conversion_is_made_again(packed, damage):
    _, served, folder = packed
    (path,) = fetch.fetch("packed")
    with np.load(path) as held:
        arrays = dict(held)
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    else:
        arrays["samples"] = {
            "value": arrays["samples"] + np.int16(1),
            "kind": arrays["samples"].astype(np.int32),
            "another": np.array([None]),
        }[damage]
        np.savez(path, **arrays)
    assert not fetch.dataset("packed").intact(fetch.dataset("packed").files[0], path)
    assert fetch.fetch("packed") == [path]
    assert fetch.dataset("packed").intact(fetch.dataset("packed").files[0], path)
    assert list(folder.iterdir()) == [path]
    assert len(served) == 2


def test_one_sample_in_another_place_changes_the_content():
    a = {"x": np.arange(6).reshape(2, 3)}
    others = ({"x": a["x"].T.copy()}, {"y": a["x"]}, {"x": a["x"].reshape(3, 2)})
    assert len({fetch.content(b) for b in (a, *others)}) == 4
    assert fetch.content({"x": np.asfortranarray(a["x"])}) == fetch.content(a)


@pytest.mark.parametrize("content", ["cut", "no archive", "fewer takes"])
def test_another_archive_is_refused_and_leaves_nothing(packed, takes, content):
    root, _, folder = packed
    whole = (root / "a.zip").read_bytes()
    if content == "fewer takes":
        fsdd_archive(root / "a.zip", dict(list(takes.items())[1:]))
    else:
        (root / "a.zip").write_bytes(whole[:500] if content == "cut" else b"<html>")
    with pytest.raises(
        RuntimeError, match=r"'packed': http.*a\.zip: (no whole archive|its arrays)"
    ):
        fetch.fetch("packed")
    assert list(folder.iterdir()) == []


def test_archive_of_another_checksum_is_not_opened(packed, monkeypatch):
    found = fetch.dataset("packed")
    source = dataclasses.replace(
        found.archive, sha256="0" * 64, convert=lambda path: pytest.fail("opened")
    )
    monkeypatch.setitem(fetch.DATASETS, "packed", dataclasses.replace(found, archive=source))
    with pytest.raises(RuntimeError, match="does not match the known hash"):
        fetch.fetch("packed")
    assert len(packed[1]) == 3  # one try and two more
    assert list(packed[2].iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_interrupted_or_full_leaves_nothing(packed, monkeypatch, error):
    def fail(path, **arrays):
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(fetch.np, "savez", fail)
    expected = RuntimeError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected, match="No space left" if isinstance(error, OSError) else None):
        fetch.fetch("packed")
    assert list(packed[2].iterdir()) == []


@pytest.mark.realdata
def test_the_sets_of_the_book_come_out_of_their_archives(tmp_path):
    known = {name: fetch.local(name) for name in ("fsdd", "cifar10")}
    if None in known.values():
        pytest.skip("no fsdd and cifar10 in DIFFBOOK_DATA")
    with np.load(known["fsdd"][0]) as held:
        of = {k: held[k] for k in held.files}
    sounds = np.split(of["samples"], of["offsets"][1:-1])
    names = of["speaker_names"][of["speaker"]]
    keys = zip(names, of["digit"].tolist(), of["take"].tolist(), strict=True)
    backwards = dict(list(zip(keys, sounds, strict=True))[::-1])
    with np.load(known["cifar10"][0]) as held:
        images, labels = held["images"], held["labels"]
    packed = {
        "fsdd": fsdd_archive(tmp_path / "a.zip", backwards),
        "cifar10": cifar10_archive(tmp_path / "a.tar.gz", images, labels),
    }
    for name, path in packed.items():
        found = fetch.dataset(name)
        made = found.archive.convert(path)
        right = fetch.content({k: made[k] for k in found.archive.checked})
        assert right == found.files[0].sha256


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


def test_it_puts_a_set_where_it_is_told_and_says_how_the_chapters_find_it(
    packed, tmp_path, capsys, monkeypatch
):
    home = tmp_path / "my sets"
    assert fetch.main(["packed", "--to", str(home)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"export DIFFBOOK_DATA='{home.resolve()}'"
    monkeypatch.setenv("DIFFBOOK_DATA", str(home))
    assert fetch.files("packed") == [home / "packed" / "a.npz"]


def test_the_folder_that_is_named_holds_the_set_however_deep_its_files_lie(
    toy, tmp_path, capsys, monkeypatch
):
    file = fetch.dataset("toy").files[0]
    deep = dataclasses.replace(file, path="deep/a.bin")
    monkeypatch.setitem(fetch.DATASETS, "toy", fetch.Dataset("Toy", "CC0", (deep,), "-"))
    assert fetch.main(["toy", "--to", str(tmp_path / "there")]) == 0
    assert capsys.readouterr().out.endswith(f"DIFFBOOK_DATA={tmp_path / 'there'}\n")
    assert (tmp_path / "there" / "toy" / "deep" / "a.bin").is_file()


def test_it_can_be_stopped(packed, capsys, monkeypatch):
    def stop(path, **arrays):
        raise KeyboardInterrupt

    monkeypatch.setattr(fetch.np, "savez", stop)
    assert fetch.main(["packed"]) == 130
    assert capsys.readouterr().err == "stopped; nothing half is left\n"
    assert list(packed[2].iterdir()) == []


def test_list_has_licence_size_and_chapter_of_every_set(capsys):
    assert fetch.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [fetch.describe(name) for name in fetch.DATASETS]
    by_name = dict(zip(fetch.DATASETS, lines, strict=True))
    assert "CC BY-SA 4.0" in by_name["fsdd"]
    assert "about 16.0 MB" in by_name["fsdd"]
    assert "a download of 170.1 MB" in by_name["cifar10"]
    assert all("chapter" in line for line in lines)


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
