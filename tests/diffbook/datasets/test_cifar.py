"""CIFAR-10 from a file."""

import numpy as np
import pytest

from diffbook.datasets import cifar


def test_cifar_reads_the_local_folder(data, monkeypatch):
    monkeypatch.setenv("DIFFBOOK_DATA", str(data))
    images = np.load(data / "cifar10" / "cifar10_train4000_lossless.npz")["images"]
    parts = [cifar.images(split) for split in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [3200, 400, 400]
    np.testing.assert_allclose((np.concatenate(parts) + 1) * 127.5, images, atol=1e-9)


def test_labels_belong_to_their_images(data, monkeypatch):
    monkeypatch.setenv("DIFFBOOK_DATA", str(data))
    held = np.load(data / "cifar10" / "cifar10_train4000_lossless.npz")
    parts = [cifar.images(split, labels=True) for split in ("train", "validation", "test")]
    np.testing.assert_array_equal(np.concatenate([y for _, y in parts]), held["labels"])
    np.testing.assert_array_equal(parts[2][0], cifar.images("test"))
    assert parts[0][1].dtype == np.int64


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.full(4000, 10, np.uint8), r"labels\[0\] = 10: expected numbers in \[0, 9\]"),
        (np.zeros(3999, np.uint8), r"labels: expected integer of shape \(4000,\)"),
        (np.zeros(4000), "labels: expected integer .*, got float64"),
    ],
)
def test_wrong_labels_are_refused_where_they_are_wanted(changed, labels, words):
    path = changed("cifar10", labels=labels)
    assert cifar.images("test").shape == (400, 32, 32, 3)
    with pytest.raises(ValueError, match=words) as error:
        cifar.images("test", labels=True)
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.ones((4000, 32, 32, 3)), "images: expected uint8 of shape .*, got float64"),
        (np.ones((4000, 32, 32, 3), np.uint8), "range of images: got 0, .* from 128 to 255"),
        (np.zeros((10, 32, 32, 3), np.uint8), r"images: .*, got uint8 of shape \(10, 32, 32, 3\)"),
        (np.zeros((4000, 3, 32, 32), np.uint8), r"got uint8 of shape \(4000, 3, 32, 32\)"),
        (np.zeros((4000, 32, 32), np.uint8), r"got uint8 of shape \(4000, 32, 32\)"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name(changed, images, words):
    path = changed("cifar10", images=images)
    with pytest.raises(ValueError, match=words) as error:
        cifar.images("test")
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.realdata
def test_the_real_images_have_the_shape_and_scale_that_the_chapters_expect():
    x, y = cifar.images("validation", labels=True)
    assert x.shape == (400, 32, 32, 3)
    assert np.bincount(y, minlength=10).min() > 20
    assert -1.0 <= x.min() < -0.9
    assert 0.9 < x.max() <= 1.0


def test_absent_images_say_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.delenv("DIFFBOOK_DATA", raising=False)
    monkeypatch.setenv("DIFFBOOK_CACHE", str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match=r"To get it: python -m diffbook\.datasets\.fetch cifar10\."
    ):
        cifar.images()
