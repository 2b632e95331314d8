"""Photographs: splits that share nothing, ranges, colour crops, no download."""

import numpy as np
import pytest

from diffbook.datasets import photos


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
    one = ("camera",)
    found = {s: np.concatenate([t.ravel() for t in photos.tiles(s, one)]) for s in photos.SPLITS}
    together = np.concatenate(list(found.values()))
    assert len(np.unique(together)) == len(together) == 30 * photos.TILE**2
    assert len(found["train"]) == 3 * len(found["test"]) == 3 * len(found["validation"])


def test_the_deal_of_the_tiles_stays(monkeypatch):
    """Recorded networks were trained on it: another deal would train on today's test tiles."""
    marked = np.kron(np.arange(25.0).reshape(5, 5), np.ones((photos.TILE, photos.TILE)))
    monkeypatch.setattr(photos, "photograph", lambda name: marked)
    dealt = {s: [int(t[0, 0]) for t in photos.tiles(s, ("camera",))] for s in photos.SPLITS}
    assert dealt["validation"] == [2, 5, 13, 16, 24]
    assert dealt["test"] == [4, 7, 10, 18, 21]


def test_half_of_the_patches_and_crops_are_mirrored(monkeypatch):
    rising = np.broadcast_to(np.linspace(0, 1, 640), (320, 640))
    monkeypatch.setattr(photos, "photograph", lambda name: rising)
    monkeypatch.setattr(photos, "_read", lambda name: np.repeat(rising[..., None], 3, -1))
    for x in (photos.patches(200, 8), photos.colour_crops(200, 8)[:, 0]):
        mirrored = x[:, 0, 0] > x[:, 0, -1]
        assert 0.4 < mirrored.mean() < 0.6


def test_patches_shape_range_seed_and_split():
    x = photos.patches(50, size=16, split="test", rng=3)
    assert x.shape == (50, 16, 16)
    assert np.abs(x).max() <= 1.0
    np.testing.assert_array_equal(x, photos.patches(50, size=16, split="test", rng=3))
    assert np.any(x != photos.patches(50, size=16, split="train", rng=3))


def test_missing_file_is_an_error_not_a_download(monkeypatch):
    monkeypatch.setitem(photos.PHOTOGRAPHS, "gone", ("skimage", "data/gone.png"))
    with pytest.raises(FileNotFoundError, match="does not ship"):
        photos.photograph("gone")


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
