"""Pages are made light without a change of what they show."""

import base64
import importlib.util
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SOURCE = Path(__file__).resolve().parents[2] / "book" / "_extensions" / "light.py"
spec = importlib.util.spec_from_file_location("light", SOURCE)
light = importlib.util.module_from_spec(spec)
spec.loader.exec_module(light)


def png(pixels):
    out = BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def drawing():
    """Coloured lines on white."""
    pixels = np.full((128, 256, 3), 255, np.uint8)
    pixels[40:44], pixels[:, 100:103] = (200, 30, 30), (20, 90, 200)
    return pixels


def gradients():
    """More colours than 256 in one corner, white around: bands there must not pass for the mean."""
    pixels = np.full((512, 512, 3), 255, np.uint8)
    x = np.arange(128)
    pixels[:128, :128] = np.stack(np.broadcast_arrays(2 * x, 2 * x[:, None], 128), axis=-1)
    return pixels


def speckles():
    """What a lossy picture would blur."""
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)


@pytest.mark.parametrize("make", [drawing, gradients, speckles])
def test_a_lighter_picture_shows_the_same_everywhere(make):
    pixels = make()
    content = png(pixels)
    seen = light.lighter(content)
    with Image.open(BytesIO(seen)) as image:
        assert image.format == "WEBP"
        assert light.worst(Image.fromarray(pixels), image.convert("RGB")) >= light.FAITHFUL
    assert len(seen) < len(content)


def test_the_worst_square_decides():
    pixels = gradients()
    full = Image.fromarray(pixels)
    other = pixels.copy()
    other[:32, :32] = 255 - other[:32, :32]
    assert light.worst(full, full) > 100
    assert light.worst(full, Image.fromarray(other)) < 10


def test_a_transparent_picture_stays_transparent():
    pixels = np.zeros((40, 40, 4), np.uint8)
    pixels[:20] = (10, 200, 30, 255)
    with Image.open(BytesIO(light.lighter(png(pixels)))) as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGBA")), pixels)


def test_sound_moves_to_a_file_that_is_fetched_when_played(tmp_path):
    data = bytes(range(256))
    code = base64.b64encode(data).decode()
    page = f'<audio controls aria-label="a" src="data:audio/x-wav;base64,{code}"></audio>'
    found = light.without_sound(page, tmp_path / "_late", "../../")
    (file,) = (tmp_path / "_late").iterdir()
    assert file.read_bytes() == data
    assert file.suffix == ".wav"
    assert f'aria-label="a" src="../../_late/{file.name}" preload="none"' in found
    assert light.without_sound(found, tmp_path / "_late", "../../") == found


def test_long_scripts_alone_move_to_files(tmp_path):
    short, long = "mount(1)", "mount(2);" * light.LONG
    page = f"<div><script>{short}</script><script>{long}</script></div>"
    found = light.without_long_scripts(page, tmp_path / "_late", "../")
    (file,) = (tmp_path / "_late").iterdir()
    assert file.read_text("utf-8") == long
    assert f"<script>{short}</script>" in found
    assert f'src: "../_late/{file.name}"' in found
    assert long not in found
    assert light.without_long_scripts(found, tmp_path / "_late", "../") == found


def test_pictures_come_late_and_say_their_size(tmp_path):
    (tmp_path / "_images").mkdir()
    (tmp_path / "_images" / "a.png").write_bytes(png(drawing()))
    light.pictures(tmp_path / "_images", tmp_path / "kept")
    page = '<img alt="A" src="_images/a.png" /><img alt="B" src="_static/logo.svg" />'
    found = light.with_lazy_pictures(page, tmp_path / "page.html")
    assert 'src="_images/a.webp"' in found
    assert 'loading="lazy" decoding="async" width="256" height="128" alt="A"' in found
    assert '<img alt="B" src="_static/logo.svg" />' in found
    assert light.with_lazy_pictures(found, tmp_path / "page.html") == found


def test_what_no_page_needs_is_left_out_and_the_rest_stays():
    needed = (
        '<script src="../_static/diffbook.js"></script>\n<link rel="stylesheet" href="a.css" />\n'
    )
    unused = (
        '<script defer src="../_static/scripts/fontawesome.js?digest=1"></script>\n'
        '<link rel="stylesheet" href="../_static/sphinx-thebe.css?v=1" />\n'
        '<script>const THEBE_JS_URL = "x"</script>\n'
    )
    searching = '<script src="../searchindex.js"></script>\n'
    assert light.without_unused(needed + unused + searching, searches=False) == needed
    assert light.without_unused(needed + unused + searching, searches=True) == needed + searching
