"""The recogniser of phones: features, the best path, noise, training, files."""

from copy import deepcopy
from itertools import groupby, pairwise, product

import numpy as np
import pytest
import torch

from diffbook.datasets.aligned import SYMBOLS, Clip
from diffbook.datasets.spectrograms import mel_filters
from diffbook.nets import recogniser
from diffbook.nets.recogniser import HOP, Hearing, PhoneRecogniser, best_path, recognise

TONES = {"_:": 0.0, "a": 300.0, "b": 900.0, "c": 2500.0}
LETTERS = tuple(TONES)
TINY = Hearing(channels=16, steps=60, batch=4, learning_rate=1e-2, warmup=5)


def clip(text, rng):
    """Tones for letters, and silence before and after."""
    text = ("_:", *text, "_:")
    lengths = rng.integers(600, 1200, len(text))
    ends = np.cumsum(lengths)
    hertz = np.repeat([TONES[phone] for phone in text], lengths)
    samples = 0.1 * np.sin(2 * np.pi * np.cumsum(hertz) / 8000) * (hertz > 0)
    return Clip(samples.astype(np.float32), text, np.stack([ends - lengths, ends], axis=1), 8000)


def clips(n, seed=0):
    rng = np.random.default_rng(seed)
    orders = (rng.choice(LETTERS[1:], 12) for _ in range(n))
    return [clip([phone for phone, _ in groupby(order)], rng) for order in orders]


CLIPS = clips(12)


def train(**how):
    config = how.pop("config", TINY)
    return recogniser.train_recogniser(CLIPS, config=config, symbols=LETTERS, progress=False, **how)


@pytest.fixture(scope="module")
def trained():
    return train(every=20)


@pytest.fixture
def stirred():
    torch.manual_seed(0)
    net = PhoneRecogniser(LETTERS, 8).eval()
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return net


def features(net, sound):
    seen = []
    handle = net.convs[0].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    with torch.inference_mode():
        net(torch.as_tensor(sound, dtype=torch.float32)[None])
    handle.remove()
    return seen[0][0].double().numpy()


def test_a_label_is_the_phone_in_the_middle_of_a_frame():
    intervals = np.array([[0, 120], [120, 121], [121, 281], [281, 399]])
    one = Clip(np.zeros(399, np.float32), ("_:", "c", "a", "b"), intervals, 8000)
    assert recogniser.frame_labels(one, LETTERS).tolist() == [0, 3, 1, 1]
    two = Clip(np.zeros(400, np.float32), ("_:", "a"), np.array([[0, 121], [121, 400]]), 8000)
    assert recogniser.frame_labels(two, LETTERS).tolist() == [0, 0, 1, 1, 1]
    with pytest.raises(ValueError, match="clip: sample_rate: got 16000"):
        recogniser.frame_labels(Clip(one.samples, one.phones, intervals, 16000), LETTERS)


def test_frames_lie_around_their_middle(stirred):
    """A click in the middle of a frame is loudest there, and as loud in the frames beside it."""
    x = np.zeros(20 * HOP)
    x[7 * HOP + HOP // 2] = 1.0
    found = features(stirred, x)
    assert found.shape == (40, 20)
    assert (found[5:].argmax(axis=1) == 7).all()
    np.testing.assert_allclose(found[:, 6], found[:, 8], atol=1e-5)
    np.testing.assert_allclose(found[:, [0, 15]], 0.5 * np.log10(1e-4) + 1, atol=1e-5)


def test_features_are_the_logarithms_of_mel_energies(stirred):
    x = 0.1 * np.random.default_rng(0).standard_normal(10 * HOP + 33)
    piece = x[5 * HOP + 40 - 127 : 5 * HOP + 40 + 127] * np.sin(np.pi * np.arange(254) / 254) ** 2
    power = mel_filters(40, 8000) @ np.abs(np.fft.rfft(piece)) ** 2
    found = features(stirred, x)
    assert found.shape == (40, 10)
    np.testing.assert_allclose(found[:, 5], np.log10(power + 1e-4) / 2 + 1, rtol=1e-4, atol=1e-5)


def test_a_network_is_its_convolutions_written_out(stirred):
    for norm in stirred.norms:
        torch.nn.init.uniform_(norm.running_mean, -1.0, 1.0)
        torch.nn.init.uniform_(norm.running_var, 0.5, 2.0)
    x = 0.1 * np.random.default_rng(0).standard_normal(12 * HOP)
    p = {k: v.double().numpy() for k, v in stirred.state_dict().items()}
    h = features(stirred, x)
    for i, step in enumerate((1, 2, 4, 1)):
        padded, w = np.pad(h, ((0, 0), (2 * step, 2 * step))), p[f"convs.{i}.weight"]
        taps = [w[..., k] @ padded[:, k * step : k * step + h.shape[1]] for k in range(5)]
        new = (sum(taps).T + p[f"convs.{i}.bias"] - p[f"norms.{i}.running_mean"]).T
        new *= (p[f"norms.{i}.weight"] / np.sqrt(p[f"norms.{i}.running_var"] + 1e-5))[:, None]
        new = np.maximum(new + p[f"norms.{i}.bias"][:, None], 0.0)
        h = h + new if i else new
    y = p["leave.weight"][..., 0] @ h + p["leave.bias"][:, None]
    with torch.inference_mode():
        found = stirred(torch.as_tensor(x, dtype=torch.float32)[None])[0]
    np.testing.assert_allclose(found, y - np.log(np.exp(y).sum(0)), rtol=1e-3, atol=1e-4)


def test_answers_are_chances_and_depend_on_what_is_near(stirred):
    x = 0.1 * torch.randn(2, 6000, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = stirred(x)
        changed = x.clone()
        changed[:, :1600] = 0.0
        after = stirred(changed)
    assert found.shape == (2, 4, 75)
    torch.testing.assert_close(found.exp().sum(1), torch.ones(2, 75))
    # The convolutions see 2 (1 + 2 + 4 + 1) frames to each side, the window one more.
    torch.testing.assert_close(after[..., 38:], found[..., 38:])
    assert (after[..., 34] - found[..., 34]).abs().max() > 1e-6


def value(path, ends, scores, follows):
    starts = [0, *ends[:-1]]
    total = sum(scores[a:b, k].sum() for k, a, b in zip(path, starts, ends, strict=True))
    return total + sum(follows[pair] for pair in pairwise(path))


@pytest.mark.parametrize(("count", "minimum", "seed"), list(product((5, 8), (1, 2, 3), (0, 5))))
def test_the_best_path_is_the_best_of_all(count, minimum, seed):
    rng = np.random.default_rng(seed)
    scores, follows = 2 * rng.standard_normal((count, 3)), rng.standard_normal((3, 3))
    values = {}
    for frames in product(range(3), repeat=count):
        runs = [(k, len(list(group))) for k, group in groupby(frames)]
        if min(length for _, length in runs) >= minimum:
            path = tuple(k for k, _ in runs)
            ends = np.cumsum([length for _, length in runs]).tolist()
            values[path] = max(values.get(path, -np.inf), value(path, ends, scores, follows))
    assert best_path(scores, follows, minimum) == list(max(values, key=values.get))


def test_a_short_slip_is_no_phone():
    scores = np.log(np.full((9, 3), 0.1))
    scores[range(9), [0, 0, 0, 1, 0, 0, 2, 2, 2]] = np.log(0.8)
    free = np.zeros((3, 3))
    assert best_path(scores, free, 1) == [0, 1, 0, 2]
    assert best_path(scores, free) == [0, 2]
    assert best_path(scores[:2], free) == [0]
    rare = free.copy()
    rare[0, 1:] = -50.0
    assert best_path(scores, rare) == [0]
    with pytest.raises(ValueError, match="minimum: got 2, expected a whole number from 1 to 1"):
        best_path(scores[:1], free)


def test_noise_has_the_ratio_and_loudness_asked_for(monkeypatch):
    rng, x = np.random.default_rng(7), np.zeros((400, 800))
    x[:, 100:] = 0.1 * np.sin(np.arange(700) * rng.uniform(0.1, 0.5, (400, 1)))
    monkeypatch.setattr(recogniser, "GAIN", 0.0)
    monkeypatch.setattr(recogniser, "SNR", (10.0, 10.0))
    noise = recogniser._noisy(x, np.random.default_rng(0)) - x
    np.testing.assert_allclose((x**2).mean(1) / (noise**2).mean(1), 10.0, rtol=1e-6)
    # Half of it is white, the rest has the peak of another sound.
    power = np.abs(np.fft.rfft(noise)) ** 2
    peaked = power.max(1) > 20 * power.mean(1)
    assert 0.35 < peaked.mean() < 0.65
    other = np.abs(np.fft.rfft(np.roll(x, 1, axis=0))).argmax(1)
    assert (np.abs(power.argmax(1) - other)[peaked] <= 3).all()
    monkeypatch.setattr(recogniser, "SNR", (5.0, 25.0))
    noise = recogniser._noisy(x, np.random.default_rng(1)) - x
    snr = 10 * np.log10((x**2).mean(1) / (noise**2).mean(1))
    assert 5 <= snr.min() < 6
    assert 24 < snr.max() <= 25
    monkeypatch.setattr(recogniser, "SNR", (200.0, 200.0))
    monkeypatch.setattr(recogniser, "GAIN", 6.0)
    loud = recogniser._noisy(x, np.random.default_rng(2)).std(1) / x.std(1)
    gains = 20 * np.log10(loud)
    assert -6 <= gains.min() < -5.8
    assert 5.8 < gains.max() <= 6
    silent = recogniser._noisy(np.zeros((2, 80)), np.random.default_rng(0))
    assert not silent.any()


def test_it_hears_tones_it_was_not_trained_on(trained):
    net, history = trained
    assert [entry["step"] for entry in history] == [20, 40, 60]
    assert history[-1]["loss"] < 0.3 * history[0]["loss"]
    new = clips(4, seed=5)
    assert recognise(net, [one.samples for one in new]) == [list(one.phones[1:-1]) for one in new]
    noise = 0.01 * np.random.default_rng(0).standard_normal(len(new[0].samples))
    assert recognise(net, [0.7 * new[0].samples + noise]) == [list(new[0].phones[1:-1])]


def test_the_prior_counts_who_follows_whom(trained):
    pairs = np.full((4, 4), 0.1)
    for one in CLIPS:
        for pair in zip(one.phones, one.phones[1:], strict=False):
            pairs[LETTERS.index(pair[0]), LETTERS.index(pair[1])] += 1
    expected = np.log(pairs / pairs.sum(1, keepdims=True))
    np.testing.assert_allclose(trained[0].prior, expected, rtol=1e-5)


def test_a_prior_decides_where_it_is_strong(trained, monkeypatch):
    net, x = deepcopy(trained[0]), CLIPS[0].samples
    net.prior.fill_(-1e4)
    assert len(recognise(net, [x])[0]) <= 1
    monkeypatch.setattr(recogniser, "WEIGHT", 0.0)
    assert recognise(net, [x])[0] == list(CLIPS[0].phones[1:-1])


def test_training_is_a_function_of_its_seed():
    few = Hearing(channels=8, steps=4, batch=2)
    before = torch.random.get_rng_state()
    nets = [train(config=few, seed=seed)[0].state_dict() for seed in (1, 1, 2)]
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(nets[0][k], nets[1][k]) for k in nets[0])
    assert not torch.equal(nets[0]["leave.weight"], nets[2]["leave.weight"])


def test_weights_are_a_running_average():
    """After one step of Adam, of length learning_rate, the average has moved by 9/10 of it."""
    torch.manual_seed(0)
    before = PhoneRecogniser(LETTERS, 8).leave.bias.detach()
    net, _ = train(config=Hearing(channels=8, steps=1, batch=2, learning_rate=1e-2, warmup=1))
    moved = (net.leave.bias.detach() - before).abs()
    torch.testing.assert_close(moved, torch.full((4,), 0.009), rtol=0.02, atol=0)


def test_an_interrupted_training_ends_with_the_same_weights(tmp_path, monkeypatch):
    few, path = Hearing(channels=8, steps=7, batch=2), tmp_path / "r.checkpoint"
    expected, history = train(config=few, every=2)
    draw = recogniser._draw

    def interrupted(pool, n, seed, step):
        if step == 5:
            raise KeyboardInterrupt
        return draw(pool, n, seed, step)

    monkeypatch.setattr(recogniser, "_draw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(config=few, every=2, checkpoint=path)
    monkeypatch.setattr(recogniser, "_draw", draw)
    found, again = train(config=few, every=2, checkpoint=path)
    assert again == history
    for k, v in found.state_dict().items():
        assert torch.equal(v, expected.state_dict()[k])
    with pytest.raises(ValueError, match="of another run"):
        train(config=few, seed=1, checkpoint=path)


def test_pieces_have_the_labels_of_their_samples(monkeypatch):
    monkeypatch.setattr(recogniser, "SNR", (30.0, 30.0))
    pool = [(one.samples, recogniser.frame_labels(one, LETTERS)) for one in CLIPS]
    pool.append((pool[0][0][: 50 * HOP], pool[0][1][:50]))  # shorter than a piece
    x, y = recogniser._draw(pool, 64, 0, 0)
    for other, same in (((0, 0), True), ((1, 0), False), ((0, 1), False)):
        assert torch.equal(x, recogniser._draw(pool, 64, *other)[0]) == same
    assert x.shape == (64, 160 * HOP)
    assert y.shape == (64, 160)
    assert {int(k) for k in y.unique()} == {-1, 0, 1, 2, 3}
    level = x.unflatten(1, (160, HOP)).square().mean(-1)
    loud = torch.where(y > 0, level, torch.nan).nanmean(1)
    soft = torch.where(y == 0, level, torch.nan).nanmedian(1).values
    known = (y == 0).sum(1) > 4
    assert known.sum() > 10
    assert (loud[known] > 10 * soft[known]).all()


def test_a_recogniser_survives_a_file_in_half_precision(tmp_path, trained):
    path, net = tmp_path / "ears.safetensors", trained[0]
    recogniser.save_recogniser(path, net, "a command")
    again = recogniser.load_recogniser(path)
    assert (again.symbols, again.training) == (LETTERS, False)
    for k, v in net.state_dict().items():
        kept = v.half().float() if v.is_floating_point() else v
        assert torch.equal(again.state_dict()[k], kept)
    new = clips(2, seed=6)
    assert recognise(again, [c.samples for c in new]) == recognise(net, [c.samples for c in new])
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="save_recogniser"):
        recogniser.load_recogniser(path)


def test_what_is_no_sound_is_refused(stirred):
    for bad in (np.zeros(159), np.zeros((2, 400)), np.full(400, np.nan)):
        with pytest.raises(ValueError, match=r"sounds\[1\]"):
            recognise(stirred, [np.zeros(400), bad])
    with pytest.raises(ValueError, match="symbols: got 'a' twice"):
        PhoneRecogniser(("a", "a"))
    with pytest.raises(ValueError, match="clips: got none"):
        recogniser.train_recogniser([])


def test_phones_that_sound_alike_are_phones():
    assert set(recogniser.MERGED) | set(recogniser.MERGED.values()) <= set(SYMBOLS)
    assert not set(recogniser.MERGED) & set(recogniser.MERGED.values())
