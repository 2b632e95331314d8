"""The 8 x 8 digits: the splits partition the set, and labels follow images."""

import numpy as np

from diffbook.datasets import digits


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
