"""What the network is asked to say, with which levels, and how the answer is scored."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from chapters.diffar import speaking, steps
from chapters.diffar.speaking import Setting
from chapters.diffar.steps import ALPHA_BAR, LENGTH, LIMIT, RATE, Recipe
from diffbook import framewise
from diffbook.datasets import aligned
from diffbook.datasets.aligned import SILENCE, SYMBOLS, Clip
from diffbook.metrics import audio
from diffbook.samplers import ddim, ddpm
from diffbook.samplers.transfer import ddim_gain
from diffbook.schedules import validate_alpha_bar

torch.set_num_threads(1)


def voice(f0, n=6000, loud=0.1):
    """A buzz of one pitch, with a little breath."""
    t = np.arange(n) / RATE
    x = sum(np.cos(2 * np.pi * k * f0 * t + k * k) / k for k in range(1, 20))
    x = x / np.abs(x).max() + 0.01 * np.random.default_rng(0).standard_normal(n)
    return loud * x


def clip(phones=("_:", "h", "E", "l", "oU", "_:"), n=6000, f0=125.0):
    ends = np.linspace(0, n, len(phones) + 1).astype(int)
    places = np.stack([ends[:-1], ends[1:]], axis=1)
    return Clip(voice(f0, n).astype(np.float32), tuple(phones), places, RATE, f0=f0)


@pytest.fixture(scope="module")
def net():
    sizes = {"channels": 4, "layers": 2, "cycle": 2, "embedding": 3, "c_emb": 8}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Recipe("tiny", 1, **sizes).network()
        torch.nn.init.normal_(net.leave.weight, std=0.1)
    return net.merged().eval()


# --- what is said --------------------------------------------------------------------------------


@pytest.mark.parametrize("told", steps.TOLD)
def test_a_script_tells_what_its_kind_allows(told):
    one = clip()
    phones, energy, pitch = {
        "none": (0, 0, 0), "-E": (1, 0, 0), "base": (1, 1, 0), "+P": (1, 1, 1)
    }[told]  # fmt: skip
    found, (level, height) = speaking.script(one, told), steps.tracks(one)
    place = [SYMBOLS.index(name) + 1 for name in one.phones]
    np.testing.assert_array_equal(found.phones, phones * np.array(place))
    np.testing.assert_array_equal(found.tracks, [energy * level, pitch * height])
    np.testing.assert_array_equal(found.intervals, one.intervals)
    assert found.total == len(one.samples) and found.speaker is None
    assert height == pytest.approx(1.25) and level.min() > 1.05


def test_a_script_tells_each_sample_what_the_training_told():
    one = clip()
    heard, found = steps.heard(one), speaking.script(one)
    phones, tracks = found.within(0, found.total)
    np.testing.assert_array_equal(phones, heard.phones)
    np.testing.assert_allclose(tracks, heard.tracks, rtol=1e-6)


def test_joined_clips_follow_each_other():
    parts = [clip(), clip(["b", "a"], 2000, 150.0), clip(n=4000, f0=200.0)]
    whole = speaking.joined(parts)
    assert (whole.f0, whole.sample_rate) == (125.0, RATE)
    assert whole.phones == parts[0].phones + parts[1].phones + parts[2].phones
    assert aligned.tiling(whole.intervals)[-1, 1] == len(whole.samples) == 12_000
    for one, (a, b) in zip(parts, ((0, 6000), (6000, 8000), (8000, 12_000)), strict=True):
        assert (whole.samples[a:b] == one.samples).all()
        inside = (whole.intervals[:, 0] >= a) & (whole.intervals[:, 1] <= b)
        np.testing.assert_array_equal(whole.intervals[inside] - a, one.intervals)


# --- levels --------------------------------------------------------------------------------------

SCHEDULES = [("ddpm", 50), ("ddpm", 200), ("ddim", 5), ("ddim", 10)]
SPECTRAL = [("spectral", S) for S in (5, 10, 20, 50)]


@pytest.mark.parametrize(("sampler", "S"), SCHEDULES + SPECTRAL)
def test_levels_are_levels_of_training_and_the_clean_end(sampler, S):
    found = speaking.levels(sampler, S)
    assert len(found) == S + 1 and found[0] == 1.0
    assert (np.diff(found) < 0).all()
    low, high = ALPHA_BAR[[-1, 0]]
    assert found[-1] == pytest.approx(low, rel=1e-9) and found[1] <= high + 1e-9
    validate_alpha_bar(found, allow_one=True)
    assert set(found[1:]) <= set(ALPHA_BAR)
    if sampler != "spectral":
        uniform = np.diff(np.searchsorted(-ALPHA_BAR, -found[1:]))
        assert set(uniform) == {200 // S}


def test_all_levels_are_those_of_the_paper():
    chain = np.cumprod(1 - np.linspace(1e-4, 0.02, 200))
    np.testing.assert_allclose(speaking.levels("ddpm", 200), [1.0, *chain], rtol=1e-12)


def test_the_spectrum_is_of_speech():
    lam = speaking.spectrum()
    clips = steps.corpus("train", 100)
    power = np.mean(np.concatenate([one.samples for one in clips]).astype(float) ** 2)
    assert lam.shape == (400,)
    assert lam.mean() == pytest.approx(power, rel=1e-3)
    below = lam[1:50].sum() / lam[1:200].sum()  # of 20 Hz to 1 kHz in all
    assert 0.6 < below < 1.0


@pytest.mark.parametrize(("sampler", "S"), SPECTRAL)
def test_the_spectral_schedule_is_nearer_to_the_spectrum_than_the_uniform_one(sampler, S):
    lam = speaking.spectrum()
    lam = lam[lam > 0]
    designed, uniform = speaking.levels(sampler, S), speaking.levels("ddim", S)
    assert np.abs(designed - uniform).max() > 0.05
    away = [
        np.sum((np.sqrt(lam) - np.abs(ddim_gain(lam, levels))) ** 2)
        for levels in (designed, uniform)
    ]
    assert away[0] < 0.9 * away[1]


# --- saying it -----------------------------------------------------------------------------------


def test_a_setting_reaches_the_generation(monkeypatch):
    seen, clips = [], [clip(), clip(n=5000)]
    monkeypatch.setattr(framewise, "generate", lambda *a, **k: seen.append((a, k)))
    for setting in (
        Setting(),
        Setting("base", "ddim", 10, limit=500),
        Setting("-E", "spectral", 5, limit=0),
        Setting(S=20, context="recording"),
        Setting(S=20, context="none"),
    ):
        speaking.say("net", clips, setting, [7, 8])
        (net, scripts, levels), how = seen.pop()
        assert net == "net"
        np.testing.assert_array_equal(levels, speaking.levels(setting.sampler, setting.S))
        for script, one in zip(scripts, clips, strict=True):
            own = speaking.script(one, setting.told)
            np.testing.assert_array_equal(script.tracks, own.tracks)
            np.testing.assert_array_equal(script.phones, own.phones)
        assert how["sampler"] is (ddpm if setting.sampler == "ddpm" else ddim)
        for frames, one in zip(how["frames"], clips, strict=True):
            assert frames == list(framewise.plan(one.intervals, LENGTH, setting.limit))
        assert how["seeds"] == [7, 8]
        assert how["context"] == ("none" if setting.context == "none" else "overlap")
        if setting.context == "recording":
            assert all(a is b.samples for a, b in zip(how["history"], clips, strict=True))
        else:
            assert how["history"] is None
    assert Setting() == ("+P", "ddpm", 200, LIMIT, "own")
    own = [speaking.script(one, "none") for one in clips]
    speaking.say("net", clips, Setting(), [7, 8], scripts=own)
    assert seen.pop()[0][1] is own


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "spectral"])
def test_utterances_have_the_length_of_their_clips(net, sampler):
    clips = [clip(n=9000), clip(n=5000)]
    setting = Setting(sampler=sampler, S=5)
    found = speaking.say(net, clips, setting, [0, 1])
    assert [len(x) for x in found] == [9000, 5000]
    assert all(np.isfinite(x).all() for x in found)
    again = speaking.say(net, clips[1:], setting, [1])[0]
    np.testing.assert_allclose(again, found[1], atol=1e-3 * np.abs(again).max())
    other = speaking.say(net, clips[1:], setting, [2])[0]
    assert np.abs(other - again).max() > 0.01 * np.abs(again).max()


def test_a_clip_is_said_with_several_overlaps_as_with_each_alone(net):
    one, limits = clip(n=9000), (0, 700, 2000)
    setting = Setting("base", "ddim", 4)
    several = speaking.say(net, [one] * 3, setting, [5] * 3, limits=limits)
    assert len(several) == 3
    for x, limit in zip(several, limits, strict=True):
        alone = speaking.say(net, [one], setting._replace(limit=limit), [5])[0]
        np.testing.assert_allclose(x, alone, atol=1e-3 * np.abs(alone).max())
    assert np.abs(several[0] - several[2]).max() > 0.01 * np.abs(several[0]).max()


@pytest.mark.parametrize("limit", [0, 700, LIMIT])
def test_joints_are_where_the_new_samples_begin(limit):
    one = clip(n=20_000)
    found, frames = speaking.joints(one, limit), list(framewise.plan(one.intervals, LENGTH, limit))
    assert found == list(np.cumsum([frame.new for frame in frames])[:-1])
    assert len(found) >= 4 and min(found) >= LENGTH // 2
    assert speaking.joints(one) == speaking.joints(one, LIMIT)
    assert speaking.joints(clip(n=4000)) == []


def test_sound_without_a_text_is_made_of_frames_of_the_given_length(net, monkeypatch):
    make, seen = framewise.unconditional, []
    monkeypatch.setattr(
        speaking, "levels", lambda sampler, S: np.array([1.0, *ALPHA_BAR[[99, 199]]])
    )
    monkeypatch.setattr(
        framewise, "unconditional", lambda *a, **k: seen.append((a, k)) or make(*a, **k)
    )
    found = speaking.without_text(net, 400, 200, [3, 4])
    assert found.shape == (2, int(3.5 * RATE)) and np.isfinite(found).all()
    assert np.abs(found[0] - found[1]).max() > 0.01 * np.abs(found).max()
    ((a, how),) = seen
    assert a[1:4] == (28_000, 3200, 1600)
    assert how["sampler"] is ddpm and how["seeds"] == [3, 4]


# --- scores --------------------------------------------------------------------------------------


def test_errors_of_phones_are_counted_without_silence():
    one = clip(["_:", "a", "b", "b", "_:", "k", "l", "m", "_:"])
    for heard, errors in (
        ("a b b k l m", 0), ("a b b k l", 1), ("a b k l m n", 2), ("a g b k l m", 1), ("", 6)
    ):  # fmt: skip
        assert speaking.understood(one, heard.split()) == {"errors": errors, "phones": 6}
    assert SILENCE in one.phones


@pytest.fixture(scope="module")
def spoken():
    return aligned.synthetic("test", 1)[0]


def test_a_recording_has_the_scores_of_itself(spoken):
    phones = [phone for phone in spoken.phones if phone != SILENCE]
    found = speaking.score(spoken.samples, spoken, phones)
    best = {"errors": 0, "lsd": 0.0, "mcd": 0.0, "energy": 0.0, "estoi": 1.0}
    assert {k: found[k] for k in best} == pytest.approx(best, abs=1e-6)
    assert found["phones"] == len(phones)
    # The tracker's steps are 10 cents wide.
    assert 0 < found["cents"] < 12 and 0 < found["wander"] < 30
    sounds = {"quieter": 0.5 * spoken.samples, "noisy": spoken.samples + 0.01 * noise(spoken)}
    for name, x in sounds.items():
        worse = speaking.score(x, spoken, phones[1:])
        assert worse["errors"] == 1
        assert worse["energy"] > 1.0 and worse["lsd"] > 1.0
        assert (worse["estoi"] < 0.99) == (name == "noisy")
    assert speaking.score(sounds["quieter"], spoken, phones)["energy"] == pytest.approx(
        6.02, abs=0.3
    )


def noise(one):
    return np.random.default_rng(0).standard_normal(len(one.samples)).astype(np.float32)


def test_pitch_errors_are_in_cents_of_the_pitch_that_was_told():
    one = replace(clip(n=8000), f0=100.0)
    glide = np.append(voice(100.0 * 2 ** (1 / 12), 4000), voice(100.0 * 2 ** (3 / 12), 4000))
    found = speaking.score(glide.astype(np.float32), one, [])
    assert found["cents"] == pytest.approx(200, abs=110)
    assert found["wander"] == pytest.approx(100, abs=25)
    flat = speaking.score(voice(100.0 / 2 ** (1 / 12), 8000).astype(np.float32), one, [])
    assert flat["cents"] == pytest.approx(100, abs=12) and flat["wander"] < 20


def test_of_a_sound_without_pitch_no_pitch_is_known():
    one = clip(n=8000)
    found = speaking.score(0 * one.samples, one, [])
    assert np.isnan([found["cents"], found["wander"]]).all()
    assert all(np.isfinite(v) for k, v in found.items() if k not in ("cents", "wander"))


def test_equal_utterances_do_not_differ_and_others_do():
    x = voice(120.0)
    assert speaking.spread_of([x, x, x]) == pytest.approx({"energy": 0, "mcd": 0, "cents": 0})
    found = speaking.spread_of([x, 0.5 * x])
    assert found["energy"] == pytest.approx(20 * np.log10(2), abs=0.01)
    assert (found["mcd"], found["cents"]) == pytest.approx((0.0, 0.0), abs=0.1)
    higher = voice(120.0 * 2 ** (2 / 12))
    found = speaking.spread_of([x, higher, x])  # two of three pairs differ
    assert found["cents"] == pytest.approx(200 * 2 / 3, abs=12)
    assert found["mcd"] > 0.3
    # Of the pitch it is the median.
    partly = np.where(np.arange(len(x)) < 2000, higher, x)
    assert speaking.spread_of([x, partly])["cents"] < 11
    # Where one has no pitch, nothing is known of the difference.
    assert np.isnan(speaking.spread_of([x, 1e-3 * noise(clip())])["cents"])


def test_joints_too_near_the_ends_have_no_rank():
    x = 0.01 * np.random.default_rng(0).standard_normal(8000)
    x[4000:] += 0.5
    found = speaking.joint_ranks(x, [4000])
    assert set(found) == {"difference", "residual", "flux"}
    assert found["difference"] > 0.95 and found["residual"] > 0.7
    near = [1, 479, 4000, 7521, 7999]
    assert speaking.joint_ranks(x, near) == found
    for outermost in (480, 7520):
        assert speaking.joint_ranks(x, [4000, outermost]) != found
    # A place like all others.
    even = np.mean([speaking.joint_ranks(x[:4000], [2000 + k])["difference"] for k in range(40)])
    assert abs(even - 0.5) < 0.15


def test_a_step_at_each_joint_is_found_by_the_difference():
    x = voice(120.0, 8000)
    joints = [2000, 3500, 5000]
    found = speaking.stepped(x, joints, 0.3)
    np.testing.assert_allclose(found - x, np.repeat([0.0, 0.3, 0.0, 0.3], [2000, 1500, 1500, 3000]))
    rank = speaking.joint_ranks(found, joints)["difference"]
    assert rank > speaking.joint_ranks(x, joints)["difference"] + 0.1


def test_distances_are_those_of_the_metric_and_pairs_end_at_one_floor():
    rng, x0 = np.random.default_rng(0), voice(120.0, 8000)
    several = [x0 + 0.05 * rng.standard_normal(8000) for _ in range(3)]
    found = speaking.distances(several, x0)
    rows = np.stack([x0] * 3)
    library = audio.log_spectral_distance(np.stack(several), rows, speaking.WINDOW, 80.0).mean()
    assert found["to_recording"] == pytest.approx(library, rel=0.1)  # borders are counted here
    assert 0 < found["apart"] < found["to_recording"]
    same = speaking.distances([x0, x0], x0)
    assert same == {"to_recording": 0.0, "apart": 0.0}
    # What lies below the floor of the recording is no distance.
    faint = speaking.distances([1e-7 * s for s in several], x0)
    assert faint["apart"] == 0.0


def test_phones_of_a_clip_are_cut_with_their_samples():
    one = steps.corpus("test", 2)[0]
    part = speaking.cut(one, 1, -1)
    assert part.phones == one.phones[1:-1] and len(part.samples) == part.intervals[-1, 1]
    first, last = one.intervals[1, 0], one.intervals[-2, 1]
    np.testing.assert_array_equal(part.samples, one.samples[first:last])
    np.testing.assert_array_equal(part.intervals, one.intervals[1:-1] - first)


def test_steps_even_in_snr_have_the_ends_of_training():
    found = speaking.levels("even", 10)
    assert found[0] == 1.0 and {found[1], found[-1]} == {ALPHA_BAR[0], ALPHA_BAR[-1]}
    snr = 10 * np.log10(found[1:] / (1 - found[1:]))
    assert np.abs(np.diff(snr, 2)).max() < 2.5 and set(found[1:]) <= set(ALPHA_BAR)


def test_spectra_are_means_of_power_at_one_level():
    t = np.arange(5000) / RATE
    x = np.sin(2 * np.pi * 1000 * t)
    found = speaking.mean_spectrum(x)
    assert found.shape == (129,) and int(found.argmax()) == 1000 * 256 // RATE
    np.testing.assert_allclose(speaking.mean_spectrum(0.01 * x), found, atol=1e-6)
    white = np.random.default_rng(0).standard_normal(200_000)
    level = 10 * np.log10(np.sum(np.hanning(256) ** 2))
    np.testing.assert_allclose(speaking.mean_spectrum(white)[1:-1], level, atol=1.2)


def test_a_sound_is_at_no_distance_from_its_own_spectrum():
    x = voice(120.0, 28_000)
    found = speaking.envelope_distance(x, x)
    assert found["distance"] == 0.0 and found["of_noise"] > 5.0
    hiss = np.random.default_rng(1).standard_normal(28_000)
    other = speaking.envelope_distance(hiss, x)
    assert other["distance"] == pytest.approx(other["of_noise"], rel=0.1)
    assert other["of_noise"] == found["of_noise"]
