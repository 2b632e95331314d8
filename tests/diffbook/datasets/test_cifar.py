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
    x = cifar.images("validation")
    assert x.shape == (400, 32, 32, 3)
    assert -1.0 <= x.min() < -0.9
    assert 0.9 < x.max() <= 1.0


def test_absent_images_say_how_to_get_them(monkeypatch):
    monkeypatch.delenv("DIFFBOOK_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"To get it: .*; then set DIFFBOOK_DATA"):
        cifar.images()
