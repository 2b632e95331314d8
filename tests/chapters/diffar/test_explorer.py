"""The interactive figure: it plays and shows what Python gave it, and anyone can use it."""

import base64
import io
import json
import re
from dataclasses import replace
from itertools import pairwise

import nbformat
import numpy as np
import pytest
import soundfile
from browser import AXE_TAGS, INSERT_LATE, offline_pages

from chapters.diffar.explorer import Variant, explorer
from diffbook.datasets.aligned import synthetic
from press.run import guard

OVERLAPS, STEPS = (0.0, 31.25, 125.0), (5, 20)
RATE, HOP = 8000, 2000
SENTENCE, MEAN, DISTANCE = "errors, this sentence", "errors, all sentences", "spectral distance"
# Margins of the pictures and the place of the joints' triangles, in CSS pixels.
LEFT, RIGHT, TRIANGLE = 38, 8, 8
# Notes what Web Audio starts to play; samples as 16 bits in base64, which is soon sent.
LISTEN = """
window.started = [];
const start = AudioBufferSourceNode.prototype.start;
AudioBufferSourceNode.prototype.start = function (when, offset) {
  const x = Int16Array.from(this.buffer.getChannelData(0), (v) => Math.round(32768 * v));
  const bytes = Array.from(new Uint8Array(x.buffer), (c) => String.fromCharCode(c)).join("");
  started.push({ when, offset, loop: this.loop, rate: this.buffer.sampleRate, x: btoa(bytes) });
  return start.call(this, when, offset);
};
"""
# Notes what is written on which canvas, from the last time that it was cleared.
READ = """
window.written = {};
const fillText = CanvasRenderingContext2D.prototype.fillText, size = HTMLCanvasElement.prototype;
const width = Object.getOwnPropertyDescriptor(size, "width");
Object.defineProperty(size, "width", { ...width, set(v) { written[this.id] = []; width.set.call(this, v); } });
CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
  written[this.canvas.id].push({ text, x, y, wide: this.measureText(text).width, align: this.textAlign });
  return fillText.call(this, text, x, y);
};
"""


@pytest.fixture(scope="module")
def clip():
    return synthetic("test", 1)[0]


@pytest.fixture(scope="module")
def variants(clip):
    """Speech in noise, the less of it the longer the overlap and the more the steps; all scores differ."""
    rng, found = np.random.default_rng(0), []
    for i, overlap in enumerate(OVERLAPS):
        for j, steps in enumerate(STEPS):
            noise = rng.standard_normal(len(clip.samples)) / (50 + 100 * i + 50 * j)
            joints = list(range(4000, len(clip.samples), 4000 - HOP * i // 2))
            k = 10 * i + j
            scores = {SENTENCE: 30.25 - k, MEAN: (40 - k, 38.5 - k, 41.75 - k), DISTANCE: 9 - k / 4}
            found.append(Variant(overlap, steps, clip.samples + noise, joints, scores))
    return found


@pytest.fixture(scope="module")
def make(clip, variants):
    def made(variants=variants, original=clip.samples, **changes):
        known = {"phones": clip.phones, "intervals": clip.intervals, "text": "A sentence."}
        known |= {
            "original_scores": {SENTENCE: 3.125, "level": 60.0},
            "units": {SENTENCE: "%", MEAN: "%"},
        }
        return explorer(variants, original, **known | changes)

    return made


def payload(html):
    return json.loads(re.search(r'mount\("dbd-\w+",(\{.*\})\);</script>$', html)[1])


# --- without a browser ------------------------------------------------------------------------


def test_html_is_self_contained_small_and_deterministic(make, variants):
    html = make()._repr_html_()
    assert html == make()._repr_html_() == make(variants[::-1]).html != make(text="Another.").html
    assert len(re.sub(r",\{\"rate\".*\}\);</script>$", "", html).encode()) < 20_000
    assert not re.search(r"""(src|href)=|url\(|@import|https?://""", html)
    assert html.count("</script>") == 1 and "<noscript>" in html
    assert make(text="</script>").html.count("</script>") == 1
    assert repr(make()).startswith("Explorer of overlaps")


def test_nothing_that_makes_pages_rewrites_or_refuses_it(make):
    html = make().html
    assert html.startswith('<div class="dbd tex2jax_ignore"')
    assert not re.search(r"\\\(|\\\[|\$\$|<!--|\{\{", html)
    sounds = [cell["flac"] for cell in payload(html)["cells"]]
    assert all(re.fullmatch(r"[\w=-]+", sound, re.ASCII) for sound in sounds)
    shown = nbformat.v4.new_output("display_data", data={"text/html": html})
    cell = nbformat.v4.new_code_cell("explorer()", outputs=[shown], execution_count=1)
    assert guard.no_absolute_paths(nbformat.v4.new_notebook(cells=[cell])) == []


def test_the_sound_is_what_python_gave(make, clip, variants):
    data = payload(make().html)
    waves = [clip.samples, *(one.wave for one in variants)]
    for part, wave in zip([data["original"], *data["cells"]], waves, strict=True):
        file = io.BytesIO(base64.urlsafe_b64decode(part["flac"]))
        assert soundfile.info(file).format == "FLAC"
        file.seek(0)
        found, rate = soundfile.read(file)
        assert rate == RATE and found.shape == wave.shape
        assert np.abs(found - wave).max() <= 0.51 / 32768


def test_settings_stand_in_order_with_their_joints_phones_and_scores(make, clip, variants):
    data = payload(make(variants[::-1]).html)
    assert (data["overlaps"], data["steps"]) == (["0", "31.25", "125"], [5, 20])
    assert [cell["joints"] for cell in data["cells"]] == [one.joints for one in variants]
    assert data["cells"][3]["scores"] == {
        SENTENCE: "19.2 %",
        MEAN: "29.0 % [27.5, 30.8]",
        DISTANCE: "6.2",
    }
    assert data["original"]["scores"] == {SENTENCE: "3.1 %", "level": "60.0"}
    assert data["phones"] == ["·" if phone == "_:" else phone for phone in clip.phones]
    assert data["ends"] == clip.intervals[:, 1].tolist()


def test_a_grid_with_a_gap_is_refused(make, variants):
    with pytest.raises(ValueError, match=r"variants: missing \['31.25 ms with 20 steps'\]"):
        make([one for one in variants if (one.overlap_ms, one.steps) != (31.25, 20)])
    with pytest.raises(ValueError, match="variants: missing all"):
        make([])
    with pytest.raises(ValueError, match="got the variant of 0 ms with 5 steps twice"):
        make([*variants, variants[0]])


def test_sound_that_cannot_be_kept_is_refused(make, clip, variants):
    first, *others = variants
    for value, words in (
        (np.nan, "nan: expected"),
        (1.0, "1.0: expected .*clipped"),
        (-1.5, "-1.5"),
    ):
        wave = first.wave.copy()
        wave[7] = value
        with pytest.raises(ValueError, match=rf"variant of 0 ms with 5 steps\[7\] = {words}"):
            make([replace(first, wave=wave), *others])
        with pytest.raises(ValueError, match=rf"original\[7\] = {words}"):
            make(original=wave)
    with pytest.raises(ValueError, match="variant of 0 ms with 5 steps: expected shape"):
        make([replace(first, wave=first.wave[1:]), *others])
    with pytest.raises(ValueError, match="original: expected 1 dimensions"):
        make(original=clip.samples[None])
    loud = clip.samples / np.abs(clip.samples).max() * 32767 / 32768
    assert make(original=loud).html


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"joints": [0]}, "joints of the variant of 0 ms with 5 steps: got 0"),
        ({"joints": [10**6]}, "joints of the variant"),
        ({"joints": [100.5]}, "joints of the variant"),
        ({"overlap_ms": -1}, "overlap_ms: got -1"),
        ({"steps": 0}, "steps: got 0"),
        ({"scores": {SENTENCE: np.nan, MEAN: 1.0, DISTANCE: 1.0}}, f"score '{SENTENCE}' of the"),
        ({"scores": {SENTENCE: (1.0, 2.0), MEAN: 1.0, DISTANCE: 1.0}}, r"expected shape \(3,\)"),
        ({"scores": {SENTENCE: (1.0, 2.0, 3.0), MEAN: 1.0, DISTANCE: 1.0}}, "lower and its upper"),
        ({"scores": {SENTENCE: 1.0}}, "scores of the variant of 0 ms with 20 steps: got"),
    ],
)
def test_a_variant_that_makes_no_sense_is_refused(make, variants, change, words):
    with pytest.raises(ValueError, match=words):
        make([replace(variants[0], **change), *variants[1:]])


def test_phones_and_rate_that_do_not_fit_are_refused(make, clip):
    with pytest.raises(ValueError, match="intervals: got"):
        make(phones=clip.phones[1:])
    with pytest.raises(ValueError, match="the last ends at"):
        make(phones=clip.phones[:-1], intervals=clip.intervals[:-1])
    with pytest.raises(ValueError, match=r"rate: got 44\.1"):
        make(rate=44.1)


# --- in a browser -----------------------------------------------------------------------------


@pytest.fixture
def open_page(browser, tmp_path, make):
    with offline_pages(browser, tmp_path, ".dbd[data-shown]") as opened:
        yield lambda width=1280, theme="light", script=True, before="": opened(
            make().html, width, theme, script, before
        )


def until(page, expression, arg=None):
    """Wait, even on a busy machine, but not for ever."""
    page.wait_for_function(expression, arg=arg, timeout=120_000)


def control(page, name):
    return page.locator(f"[id$='-{name}']")


def shown(page, overlap, steps):
    """Wait until the picture is that of a setting."""
    index = OVERLAPS.index(overlap) * len(STEPS) + STEPS.index(steps)
    until(page, f"document.querySelector('.dbd').dataset.shown === '{index}'")
    return index


def started(page, count):
    until(page, f"started.length >= {count}")
    return page.evaluate("started")


def assert_same(found, wave):
    """Samples of 16 bits are those of a wave; Chromium divides positive ones by 32767."""
    np.testing.assert_allclose(found, 32768 * np.asarray(wave, float), rtol=0, atol=1.51)


def samples(one):
    return np.frombuffer(base64.b64decode(one["x"]), "<i2")


@pytest.mark.browser
def test_spectrogram_equals_numpy(open_page, clip):
    x = clip.samples[3000:5001].astype(float)
    found = open_page().evaluate("x => [...diffbookDiffar.math.spectrogram(x)]", x.tolist())
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(256) / 256)
    padded = np.pad(x, 128)
    frames = np.stack([padded[at : at + 256] for at in range(0, len(x), 64)])
    power = np.abs(np.fft.rfft(frames * window)) ** 2 / 64**2
    expected = 10 * np.log10(power + 1e-12)
    np.testing.assert_allclose(np.reshape(found, expected.shape), expected, atol=1e-3)
    sine = np.sin(2 * np.pi * 20 * np.arange(1000) / 256)
    found = open_page().evaluate("x => [...diffbookDiffar.math.spectrogram(x)]", sine.tolist())
    assert np.reshape(found, (-1, 129))[8, 20] == pytest.approx(0, abs=1e-3)


@pytest.mark.browser
def test_every_setting_shows_its_own_numbers_by_keyboard(open_page, variants):
    page, seen = open_page(), set()
    table = "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    for key in ("Home", "ArrowRight", "ArrowRight"):
        control(page, "overlap").press(key)
        for other in ("Home", "End"):
            control(page, "steps").press(other)
            i, j = (int(control(page, name).input_value()) for name in ("overlap", "steps"))
            one = variants[shown(page, OVERLAPS[i], STEPS[j])]
            assert (one.overlap_ms, one.steps) == (OVERLAPS[i], STEPS[j])
            mean, low, high = one.scores[MEAN]
            words = [
                f"{one.scores[SENTENCE]:.1f} %",
                f"{mean:.1f} % [{low:.1f}, {high:.1f}]",
                f"{one.scores[DISTANCE]:.1f}",
            ]
            rows = page.eval_on_selector_all(".dbd tbody tr", table)
            assert rows == [
                [SENTENCE, words[0], "3.1 %"],
                [MEAN, words[1], "–"],
                [DISTANCE, words[2], "–"],
                ["level", "–", "60.0"],
            ]
            setting = (
                f"overlap of {one.overlap_ms:g} ms" if one.overlap_ms else "independent frames"
            )
            live = page.locator("[role=status]").text_content()
            assert live.startswith(
                f"Generated, {setting}, {one.steps} steps, {SENTENCE} {words[0]}"
            )
            assert (
                all(word in live for word in words)
                and f"Original, {SENTENCE} 3.1 %, level 60.0." in live
            )
            label = control(page, "generated").get_attribute("aria-label")
            joints = re.search(r"Joints in seconds: ([\d., ]+)\.", label)[1].split(", ")
            assert np.allclose(np.float64(joints), np.array(one.joints) / RATE, atol=0.0051)
            image = page.evaluate("document.querySelector('.dbd canvas').toDataURL()")
            assert image not in seen
            seen.add(image)
    assert page.locator("[role=status]").get_attribute("aria-live") == "polite"
    assert control(page, "overlap").get_attribute("aria-valuetext") == "125 ms"
    assert page.errors == []


@pytest.mark.browser
def test_a_change_while_playing_keeps_the_place_to_the_sample(open_page, clip, variants):
    page = open_page(before=LISTEN)
    seconds = len(clip.samples) / RATE
    control(page, "loop").press("Space")  # a slow machine does not come to the end
    control(page, "play").press("Enter")
    until(page, "document.querySelector('[id$=-position]').value > 0")
    assert control(page, "play").text_content() == "Pause"
    control(page, "steps").press("ArrowLeft")
    started(page, 2)
    control(page, "original").press("Space")
    assert control(page, "original").get_attribute("aria-pressed") == "true"
    started(page, 3)
    control(page, "overlap").press("Home")  # is not heard now
    shown(page, 0.0, 5)
    control(page, "original").press("Space")
    found = started(page, 4)
    waves = variants[5].wave, variants[4].wave, clip.samples, variants[0].wave
    for one, wave in zip(found, waves, strict=True):
        assert one["rate"] == RATE and one["loop"]
        assert_same(samples(one), wave)
        passed = one["when"] - found[0]["when"]
        assert one["offset"] == pytest.approx(passed % seconds, abs=1e-9)
    assert 0 < found[1]["when"] < found[2]["when"] < found[3]["when"]
    assert page.errors == []


@pytest.mark.browser
def test_pause_goes_on_where_it_was_and_the_end_is_the_beginning(open_page, clip):
    page = open_page(before=LISTEN)
    position, play, loop = (control(page, name) for name in ("position", "play", "loop"))
    loop.check()
    assert found_offset(page, play) == 0
    until(page, "document.querySelector('[id$=-position]').value > 0.05")
    play.click()
    assert play.text_content() == "Play"
    paused = float(position.input_value())
    control(page, "overlap").press("Home")
    shown(page, 0.0, 20)
    assert float(position.input_value()) == paused
    assert found_offset(page, play) == pytest.approx(paused, abs=0.01)
    play.click()
    loop.uncheck()
    position.press("End")
    position.press("ArrowLeft")
    assert found_offset(page, play) == pytest.approx(len(clip.samples) / RATE, abs=0.03)
    until(page, "document.querySelector('[id$=-play]').textContent === 'Play'")
    assert float(position.input_value()) == 0
    assert found_offset(page, play) == 0
    assert page.evaluate("started.map(one => one.loop)") == [True, True, False, False]
    assert page.errors == []


def found_offset(page, play):
    """Start to play, and say where it began."""
    count = page.evaluate("started.length")
    play.click()
    return started(page, count + 1)[-1]["offset"]


@pytest.mark.browser
def test_repeated_sound_keeps_its_place_in_the_second_round(open_page, clip):
    page = open_page(before=LISTEN)
    seconds = len(clip.samples) / RATE
    control(page, "loop").check()
    control(page, "position").fill(str(round(seconds - 0.1, 2)))
    control(page, "play").click()
    until(page, "const v = document.querySelector('[id$=-position]').value; v > 0 && v < 1")
    control(page, "original").click()
    first, second = started(page, 2)[:2]
    passed = second["when"] - first["when"]
    assert second["offset"] == pytest.approx((first["offset"] + passed) % seconds, abs=1e-9)
    assert second["offset"] < first["offset"]


@pytest.mark.browser
def test_a_click_in_a_picture_plays_that_one_from_there(open_page, clip, variants):
    page = open_page(before=LISTEN)
    for name, wave in (("spoken", clip.samples), ("generated", variants[-1].wave)):
        box = control(page, name).bounding_box()
        plot = box["width"] - LEFT - RIGHT
        page.mouse.click(box["x"] + LEFT + 0.25 * plot, box["y"] + 40)
        one = started(page, 1)[-1]
        assert one["offset"] == pytest.approx(len(clip.samples) / RATE / 4, abs=0.01)
        assert_same(samples(one), wave)
        assert page.locator(".dbd-heard:not([hidden])").count() == 1
        page.evaluate("started.length = 0")


@pytest.mark.browser
def test_plays_without_a_picture_where_the_sound_cannot_be_decoded(open_page):
    media = """
    window.plays = [];
    const play = HTMLMediaElement.prototype.play;
    HTMLMediaElement.prototype.play = function () {
      plays.push({ media: this, at: this.currentTime });
      return play.call(this);
    };
    """
    page = open_page(before="delete window.OfflineAudioContext;" + media + READ)
    texts = page.evaluate("Object.values(written).flat().map(one => one.text)")
    assert texts.count("No picture: this browser cannot decode the sound.") == 2
    control(page, "loop").check()
    control(page, "play").click()
    until(page, "document.querySelector('[id$=-position]').value > 1")
    control(page, "steps").press("ArrowLeft")
    until(page, "plays.length === 2 && plays[0].media.paused && !plays[1].media.paused")
    place, at = page.evaluate("[plays[0].media.currentTime, plays[1].at]")
    assert at == pytest.approx(place, abs=0.3)
    control(page, "play").click()
    assert page.evaluate("plays[1].media.paused && plays[1].media.loop")
    assert [error for error in page.errors if not error.startswith("blob:")] == []


@pytest.mark.browser
def test_says_that_it_cannot_play(open_page):
    page = open_page(
        before="delete window.OfflineAudioContext;"
        "HTMLMediaElement.prototype.play = () => Promise.reject(new Error());"
    )
    control(page, "play").click()
    until(page, "document.querySelector('.dbd [role=alert]').textContent.includes('FLAC')")
    assert control(page, "play").text_content() == "Play"


def pixels(page, name, y):
    """Colours of a row of a canvas, shape (width, 3)."""
    read = "(c, y) => [...c.getContext('2d').getImageData(0, y, c.width, 1).data]"
    return np.reshape(control(page, name).evaluate(read, round(y)), (-1, 4))[:, :3]


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_joints_and_phones_stand_at_their_places(open_page, clip, variants, width):
    page = open_page(width, before=READ)
    box, n = control(page, "generated").bounding_box(), len(clip.samples)
    wide = box["width"] - LEFT - RIGHT
    marked = np.flatnonzero((pixels(page, "generated", TRIANGLE) == [184, 64, 10]).all(1))
    expected = [LEFT + joint / n * wide for joint in variants[5].joints]
    assert all(any(abs(x - place) <= 3 for place in expected) for x in marked)
    assert all(any(abs(x - place) <= 3 for x in marked) for place in expected)
    texts = page.evaluate("Object.entries(written).find(([id]) => id.endsWith('generated'))[1]")
    texts = [one for one in texts if one["align"] == "left"]
    assert [one["text"] for one in texts] == payload_phones(clip)
    for one, (start, stop) in zip(texts, clip.intervals, strict=True):
        middle = LEFT + (start + stop) / 2 / n * wide
        assert one["x"] + one["wide"] / 2 == pytest.approx(middle, abs=1)
    for y in {one["y"] for one in texts}:
        row = [one for one in texts if one["y"] == y]
        assert all(a["x"] + a["wide"] < b["x"] for a, b in pairwise(row))
        assert y + 10 <= box["height"]


def payload_phones(clip):
    return ["·" if phone == "_:" else phone for phone in clip.phones]


@pytest.mark.browser
def test_loud_is_far_from_the_ground_and_lies_at_its_time_and_frequency(open_page, clip):
    page, n = open_page(), len(clip.samples)
    wide = control(page, "spoken").bounding_box()["width"] - LEFT - RIGHT
    first = clip.intervals[0, 1]
    silence = pixels(page, "spoken", 100)[round(LEFT + 0.3 * first / n * wide)]
    assert silence.tolist() == [255, 255, 255]  # exact silence before the first phone
    loudest = np.argmax(np.convolve(clip.samples**2, np.ones(400), "same"))
    at = round(LEFT + loudest / n * wide)
    low, high = (pixels(page, "spoken", 3 + 130 * (1 - f / 4000))[at].sum() for f in (250, 3900))
    assert low < 300 and high > low


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_fits_and_reads_in_both_themes(open_page, width, theme):
    page = open_page(width, theme)
    control(page, "original").click()
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    background = page.eval_on_selector(".dbd", "e => getComputedStyle(e).backgroundColor")
    assert background == ("rgb(255, 255, 255)" if theme == "light" else "rgb(20, 24, 30)")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = (
        axe.Axe().run(page, context=".dbd", options={"runOnly": AXE_TAGS}).response["violations"]
    )
    assert [rule["id"] for rule in found] == []
    assert page.errors == []


@pytest.mark.browser
def test_is_drawn_anew_in_another_theme_and_at_another_width(open_page):
    page = open_page(theme="dark")
    dark = pixels(page, "spoken", 60)[LEFT + 5].tolist()
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    until(
        page,
        """([x, red]) => document.querySelector("[id$=-spoken]").getContext("2d")
            .getImageData(x, 60, 1, 1).data[0] !== red""",
        arg=[LEFT + 5, dark[0]],
    )
    light = pixels(page, "spoken", 60)[LEFT + 5].tolist()
    assert (dark, light) == ([20, 24, 30], [255, 255, 255])
    page.set_viewport_size({"width": 390, "height": 800})
    until(page, "document.querySelector('[id$=-spoken]').width < 390")
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    # Chromium has advice for those who read pixels twice.
    assert [error for error in page.errors if "getImageData" not in error] == []


@pytest.mark.browser
def test_says_what_it_is_without_script(open_page):
    page = open_page(script=False)
    assert "needs JavaScript" in page.locator(".dbd").inner_text()


@pytest.mark.browser
def test_twins_and_late_insertion(open_page, make):
    page = open_page()
    for html in (make().html, make(text="Another.").html):
        page.evaluate(INSERT_LATE, html)
    until(page, "document.querySelectorAll('.dbd[data-shown]').length === 3")
    ids = page.eval_on_selector_all("[id]", "nodes => nodes.map(n => n.id)")
    assert len(ids) == len(set(ids))
    page.locator("[id$='-steps']").nth(1).press("Home")
    live = [page.locator("[role=status]").nth(k).text_content() for k in range(3)]
    assert ["5 steps" in words for words in live] == [False, True, False]
    assert page.errors == []
