"""Data sets: splits, ranges, no silent download; and fetching, against a local web server."""

import functools
import hashlib
import http.server
import threading

import numpy as np
import pytest

from diffbook.datasets import audio, cifar, digits, fetch, photos

# --- photographs ------------------------------------------------------------------------------


def test_all_photographs_ship_and_no_network_is_touched(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("network access")

    monkeypatch.setattr("socket.socket.connect", refuse)
    photos.photograph.cache_clear()
    for name in photos.PHOTOGRAPHS:
        image = photos.photograph(name)
        assert image.ndim == 2
        assert min(image.shape) >= 300
        assert -1.0 <= image.min() < image.max() <= 1.0
        assert image.std() > 0.1


def test_grey_is_luminance_of_the_bundled_file():
    from skimage import color, data

    expected = 2 * color.rgb2gray(data.astronaut()) - 1
    np.testing.assert_allclose(photos.photograph("astronaut"), expected, atol=1e-12)


def test_tiles_of_splits_are_disjoint_and_cover(monkeypatch):
    # Mark every pixel with its position; then count how often each appears in all splits together.
    size = (5 * photos.TILE + 7, 6 * photos.TILE)
    marked = np.arange(np.prod(size), dtype=float).reshape(size)
    monkeypatch.setattr(photos, "photograph", lambda name: marked)
    found = {s: np.concatenate([t.ravel() for t in photos.tiles(s, ("x",))]) for s in photos.SPLITS}
    together = np.concatenate(list(found.values()))
    assert len(np.unique(together)) == len(together) == 30 * photos.TILE**2
    assert len(found["train"]) == 3 * len(found["test"]) == 3 * len(found["validation"])


def test_patches_shape_range_seed_and_split():
    x = photos.patches(50, size=16, split="test", rng=3)
    assert x.shape == (50, 16, 16)
    assert np.abs(x).max() <= 1.0
    np.testing.assert_array_equal(x, photos.patches(50, size=16, split="test", rng=3))
    assert np.any(x != photos.patches(50, size=16, split="train", rng=3))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n": 0}, "n: got 0"),
        ({"n": 1, "size": 65}, "size: got 65"),
        ({"n": 1, "split": "dev"}, "split: got 'dev'"),
    ],
)
def test_patches_refuse(kwargs, message):
    with pytest.raises(ValueError, match=message):
        photos.patches(**kwargs)


def test_unknown_photograph():
    with pytest.raises(ValueError, match=r"name: got 'lena'"):
        photos.photograph("lena")


def test_missing_file_is_an_error_not_a_download(monkeypatch):
    monkeypatch.setitem(photos.PHOTOGRAPHS, "gone", ("skimage", "data/gone.png"))
    with pytest.raises(FileNotFoundError, match="does not ship"):
        photos.photograph("gone")


# --- digits -----------------------------------------------------------------------------------


def test_digits_splits_partition_the_set():
    parts = [digits.images(split) for split in digits.SPLIT_SIZES]
    assert [len(p) for p in parts] == list(digits.SPLIT_SIZES.values())
    both = np.concatenate(parts)
    np.testing.assert_array_equal(both, digits.images("all"))
    from sklearn.datasets import load_digits

    original = load_digits().images / 8 - 1
    assert sorted(map(bytes, both)) == sorted(map(bytes, original))
    assert both.min() == -1.0
    assert both.max() == 1.0


def test_digits_labels_follow_images():
    from sklearn.datasets import load_digits

    data = load_digits()
    truth = {bytes(image / 8 - 1): t for image, t in zip(data.images, data.target, strict=True)}
    x, y = digits.images("validation", labels=True)
    assert all(truth[bytes(image)] == label for image, label in zip(x, y, strict=True))
    assert set(y) == set(range(10))


def test_digits_refuse_unknown_split():
    with pytest.raises(ValueError, match="split: got 'dev'"):
        digits.images("dev")


# --- sound ------------------------------------------------------------------------------------


def test_note_has_the_right_pitch_and_decays():
    x = audio.note(69, 1.0, 16000)
    power = np.abs(np.fft.rfft(x * np.hanning(len(x)))) ** 2
    assert abs(np.argmax(power) - 440) <= 1  # bins of 1 Hz
    assert np.mean(x[-4000:] ** 2) < 0.5 * np.mean(x[1000:5000] ** 2)


def test_note_does_not_alias():
    # MIDI 100 is 2637 Hz: at 8 kHz only the fundamental fits below Nyquist.
    x = audio.note(100, 1.0, 8000)
    power = np.abs(np.fft.rfft(x * np.hanning(len(x)))) ** 2
    peak = np.argmax(power)
    near = power[peak - 40 : peak + 41].sum()
    assert near > 0.99 * power.sum()


def test_piano_segments():
    x = audio.piano(200, rng=1)
    assert x.shape == (200, 400)
    assert 0.6 < np.mean(x**2) < 1.5
    np.testing.assert_array_equal(x[:3], audio.piano(200, rng=1)[:3])
    assert np.any(audio.piano(3, split="test") != audio.piano(3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: audio.piano(2, sample_rate=44100), "sample_rate: got 44100"),
        (lambda: audio.piano(2, split="dev"), "split: got 'dev'"),
        (lambda: audio.segments(np.zeros(10), 2, length=11), "length: got 11"),
        (lambda: audio.note(60, 1.0, velocity=0), "velocity: got 0"),
        (lambda: audio.speech(2, split="dev"), "split: got 'dev'"),
        (lambda: cifar.images("dev"), "split: got 'dev'"),
    ],
)
def test_audio_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def tiny_fsdd(folder):
    """A made-up archive in the layout of the real one: 60 takes of 500 samples."""
    rng = np.random.default_rng(0)
    (folder / "fsdd").mkdir()
    np.savez(
        folder / "fsdd" / "fsdd_8k_int16.npz",
        samples=rng.integers(-3000, 3000, 60 * 500).astype(np.int16),
        offsets=np.arange(61) * 500,
        take=(np.arange(60) % 50).astype(np.uint8),
    )


def test_speech_reads_the_local_folder(tmp_path, monkeypatch):
    tiny_fsdd(tmp_path)
    monkeypatch.setenv("DIFFBOOK_DATA", str(tmp_path))
    x = audio.speech(100, split="test")
    assert x.shape == (100, 400)
    assert np.mean(x**2) == pytest.approx(1.0, abs=0.1)


def test_cifar_reads_the_local_folder(tmp_path, monkeypatch):
    (tmp_path / "cifar10").mkdir()
    images = np.random.default_rng(0).integers(0, 256, (4000, 32, 32, 3), dtype=np.uint8)
    np.savez(tmp_path / "cifar10" / "cifar10_train4000_lossless.npz", images=images)
    monkeypatch.setenv("DIFFBOOK_DATA", str(tmp_path))
    x = cifar.images("validation")
    assert x.shape == (400, 32, 32, 3)
    np.testing.assert_allclose((x + 1) * 127.5, images[3200:3600], atol=1e-9)


@pytest.mark.realdata
def test_the_real_sets_have_the_shape_and_scale_that_the_chapters_expect():
    x = audio.speech(200, split="test")
    assert x.shape == (200, 400)
    assert np.all(np.isfinite(x))
    y = cifar.images("validation")
    assert y.shape == (400, 32, 32, 3)
    assert -1.0 <= y.min() < -0.9
    assert 0.9 < y.max() <= 1.0


@pytest.mark.parametrize("load", [lambda: audio.speech(2), cifar.images])
def test_absent_data_says_how_to_get_it(load, monkeypatch):
    monkeypatch.delenv("DIFFBOOK_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"To get it: .*; then set DIFFBOOK_DATA"):
        load()


# --- fetching ---------------------------------------------------------------------------------


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


# --- colour crops of the photographs ----------------------------------------------------------


@pytest.mark.parametrize("size", [16, 300])
def test_colour_crops_have_colour_and_any_size(size):
    x = photos.colour_crops(4, size, "test", rng=1)
    assert x.shape == (4, 3, size, size)
    assert x.min() >= -1.0
    assert x.max() <= 1.0
    assert np.abs(x[:, 0] - x[:, 2]).mean() > 0.02
    np.testing.assert_array_equal(x, photos.colour_crops(4, size, "test", rng=1))


def test_colour_splits_share_no_photograph():
    assert not set(photos.COLOUR_SPLITS["train"]) & set(photos.COLOUR_SPLITS["test"])


@pytest.mark.parametrize(
    ("n", "size", "split", "name"),
    [(0, 16, "test", "n"), (2, 4, "test", "size"), (2, 16, "all", "split")],
)
def test_colour_crops_refuse_bad_input(n, size, split, name):
    with pytest.raises(ValueError, match=name):
        photos.colour_crops(n, size, split)
