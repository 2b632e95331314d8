"""MNIST from files of its format."""

import gzip

import numpy as np
import pytest

from diffbook.datasets import mnist


@pytest.fixture
def copy(data, tmp_path, monkeypatch):
    """The made-up set again, with one of its files replaced by other bytes."""
    (tmp_path / "mnist").mkdir()
    for path in (data / "mnist").iterdir():
        (tmp_path / "mnist" / path.name).symlink_to(path)
    monkeypatch.setenv("DIFFBOOK_DATA", str(tmp_path))

    def change(name, edit):
        path = tmp_path / "mnist" / name
        held = edit(path.read_bytes())
        path.unlink()
        path.write_bytes(held)
        return path

    return change


def test_splits_scale_and_labels(data, monkeypatch):
    monkeypatch.setenv("DIFFBOOK_DATA", str(data))
    for split, numbers in {
        "train": np.arange(55_000),
        "validation": np.arange(55_000, 60_000),
        "test": np.arange(10_000),
    }.items():
        x, y = mnist.images(split, labels=True)
        assert (x.shape, x.dtype, y.dtype) == ((len(numbers), 28, 28), np.float32, np.int64)
        np.testing.assert_array_equal(y, numbers // 7 % 10)
        np.testing.assert_allclose(x[:, 14, 7], numbers % 256 / 127.5 - 1.0, atol=1e-6)
        assert x[0, 0, 0] == -1.0
    np.testing.assert_array_equal(mnist.images("test"), x)


def unpacked(edit):
    return lambda held: gzip.compress(edit(gzip.decompress(held)), compresslevel=1)


@pytest.mark.parametrize(
    ("name", "edit", "words"),
    [
        (
            "images-idx3",
            unpacked(lambda b: b[:2] + b"\x0d" + b[3:]),
            "the header 00000d03 00002710",
        ),
        ("images-idx3", unpacked(lambda b: b[:7] + b"\x11" + b[8:]), "IDX format, .* 00002711"),
        ("images-idx3", unpacked(lambda b: b[:11] + b"\x20" + b[12:]), "IDX format, .* 00000020"),
        ("images-idx3", unpacked(lambda b: b[:-1]), "IDX format, .* and 7840015 bytes"),
        ("images-idx3", unpacked(lambda b: b[:16] + bytes(len(b) - 16)), "range of images: got 0"),
        ("images-idx3", lambda held: held[:-100], "expected a whole gzip file"),
        ("images-idx3", lambda held: held[:40] + held[60:], "expected a whole gzip file"),
        ("labels-idx1", lambda held: b"nothing", "expected a whole gzip file"),
        ("labels-idx1", unpacked(lambda b: b[:-1] + b"\x0a"), r"labels\[9999\] = 10: expected"),
        ("labels-idx1", unpacked(lambda b: b[:8]), r"of shape \(10000,\) .* and 8 bytes"),
    ],
)
def test_a_damaged_or_another_file_is_refused_with_its_name(copy, name, edit, words):
    path = copy(f"t10k-{name}-ubyte.gz", edit)
    with pytest.raises(ValueError, match=words) as error:
        mnist.images("test")
    assert str(error.value).startswith(f"{path}: ")
    assert mnist.images("validation").shape == (5000, 28, 28)


@pytest.mark.realdata
def test_the_real_digits_look_like_themselves():
    x, y = mnist.images("test", labels=True)
    train, digit = mnist.images("validation", labels=True)
    np.testing.assert_array_equal(np.unique(y), np.arange(10))
    assert (x.min(), x.max()) == (-1.0, 1.0)
    means = np.stack([train[digit == k].mean(0) for k in range(10)])
    nearest = ((x[:1000, None] - means) ** 2).sum((-1, -2)).argmin(1)
    assert (nearest == y[:1000]).mean() > 0.7
