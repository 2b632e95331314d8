"""Grey patches of the photographs that ship inside the scikit-image and scikit-learn wheels.

The files are read from the installed packages' own folders. `skimage.data` would fall back to a
download for a photograph that it does not ship; reading the files directly cannot.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from diffbook._checks import choice, generator, whole
from diffbook._optional import need

#: The photographs used, name -> (package, path inside the package).
PHOTOGRAPHS = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "camera": ("skimage", "data/camera.png"),
    "chelsea": ("skimage", "data/chelsea.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "rocket": ("skimage", "data/rocket.jpg"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
}

#: Photographs of no split: nothing is trained or estimated on them.
UNSEEN = {
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "coins": ("skimage", "data/coins.png"),
}

#: Side of the square tiles that are dealt out to the splits, in pixels.
TILE = 64

#: Split of the tile in row i, column j: entry (2 i + j) mod 5. Every row and column of tiles is mixed.
_DEAL = ("train", "train", "validation", "train", "test")

SPLITS = ("train", "validation", "test")


@cache
def photograph(name: str) -> np.ndarray:
    """Return one bundled photograph as a grey image.

    Raises FileNotFoundError if the installed package lacks the file: nothing is downloaded instead.

    Parameters
    ----------
    name
        One of `PHOTOGRAPHS` or `UNSEEN`.

    Returns
    -------
    ndarray, shape (height, width), float64
        Luminance in [-1, 1] (scikit-image's `rgb2gray` weights). Read-only, because it is cached.
    """
    image = _read(name)
    from skimage import color

    grey = image if image.ndim == 2 else color.rgb2gray(image[..., :3])
    grey = 2.0 * grey - 1.0
    grey.flags.writeable = False
    return grey


def _read(name: str) -> np.ndarray:
    """Read a bundled photograph from its package's folder, in [0, 1]."""
    known = PHOTOGRAPHS | UNSEEN
    package, inside = known[choice(name, "name", known)]
    need(package, "data", f"photograph {name!r}")
    folder = Path(find_spec(package).origin).parent
    if not (folder / inside).is_file():
        raise FileNotFoundError(
            f"the installed package {package!r} does not ship {inside!r}; "
            "install the versions of requirements.lock"
        )
    need("skimage", "data", "datasets.photos")
    from skimage import io, util

    return util.img_as_float64(io.imread(folder / inside))


def tiles(split: str, photographs: tuple[str, ...] = tuple(PHOTOGRAPHS)) -> list[np.ndarray]:
    """Return the tiles (64 x 64 pixels, [-1, 1]) that belong to one split.

    Tiles of different splits share no pixel. All photographs appear in all splits, so the splits have
    the same statistics: what is tested is whether a sampler reproduces them, not whether a network
    generalises to a subject that it has never seen.
    """
    choice(split, "split", SPLITS)
    found = []
    for name in [choice(one, "photographs", PHOTOGRAPHS) for one in photographs]:
        image = photograph(name)
        for i, j in np.ndindex(image.shape[0] // TILE, image.shape[1] // TILE):
            if _DEAL[(2 * i + j) % len(_DEAL)] == split:
                found.append(image[i * TILE : (i + 1) * TILE, j * TILE : (j + 1) * TILE])
    return found


def patches(n: int, size: int = 16, split: str = "train", rng: int | np.random.Generator = 0):
    """Draw grey patches at random places, each inside one tile of the split.

    Parameters
    ----------
    n
        Number of patches, at least 1.
    size
        Side in pixels, 1 to 64 (no resampling: photographs are used at their own resolution).
    split
        `"train"`, `"validation"` or `"test"`.
    rng
        Seed or generator that picks tile, place and mirror image.

    Returns
    -------
    ndarray, shape (n, size, size), float64
        Values in [-1, 1]. Half of the patches, on average, are mirrored left to right.
    """
    n, rng = whole(n, "n"), generator(rng)
    size = whole(size, "size", 1, TILE, hint="a patch lies inside one tile")
    pool = np.stack(tiles(split))
    which = rng.integers(len(pool), size=n)
    top, left = rng.integers(TILE - size + 1, size=(2, n))
    window = np.arange(size)
    x = pool[
        which[:, None, None],
        top[:, None, None] + window[None, :, None],
        left[:, None, None] + window[None, None, :],
    ]
    mirror = rng.random(n) < 0.5
    x[mirror] = x[mirror, :, ::-1]
    return x


#: Colour photographs of each split of `colour_crops`: no photograph is in two splits.
COLOUR_SPLITS = {
    "train": ("astronaut", "coffee", "china", "rocket"),
    "test": ("chelsea", "flower"),
}


def colour_crops(n: int, size: int, split: str = "train", rng: int | np.random.Generator = 0):
    """Draw square colour crops of any size, for models of larger images.

    Parameters
    ----------
    n
        Number of crops, at least 1.
    size
        Side in pixels; the photographs are resampled so that their shorter side is 1.25 times it.
    split
        `"train"` or `"test"`: different photographs.
    rng
        Seed or generator that picks photograph, place and mirror image.

    Returns
    -------
    ndarray, shape (n, 3, size, size), float64
        Values in [-1, 1].
    """
    n, size, rng = whole(n, "n"), whole(size, "size", 8), generator(rng)
    choice(split, "split", COLOUR_SPLITS)
    photographs = [_read(name)[..., :3] for name in COLOUR_SPLITS[split]]
    from skimage.transform import resize

    scaled = []
    for image in photographs:
        factor = 1.25 * size / min(image.shape[:2])
        shape = tuple(int(np.ceil(factor * side)) for side in image.shape[:2])
        scaled.append(2.0 * resize(image, (*shape, 3), anti_aliasing=factor < 1) - 1.0)
    crops = np.empty((n, 3, size, size))
    for i in range(n):
        image = scaled[rng.integers(len(scaled))]
        top, left = (rng.integers(side - size + 1) for side in image.shape[:2])
        crop = image[top : top + size, left : left + size]
        crops[i] = np.moveaxis(crop[:, :: rng.choice((-1, 1))], -1, 0)
    return np.clip(crops, -1.0, 1.0)
