"""Predictors of durations, energies and pitch, and the places made of durations."""

import numpy as np
import pytest
import torch

from diffbook.datasets.aligned import Clip, tiling
from diffbook.nets import frontend
from diffbook.nets.frontend import PhonePredictor, predict, targets, timing, train_predictor

LETTERS = ("_:", "a", "b", "c")
#: Samples of each phone at 1000 Hz, and its amplitude: what the predictors have to learn.
LONG = {"_:": 250, "a": 120, "b": 50, "c": 80}
LOUD = {"_:": 0.0, "a": 0.49, "b": 0.04, "c": 0.16}
HOW = {"symbols": LETTERS, "embedding": 8, "width": 12, "progress": False}


def clip(text, f0=200.0):
    lengths = [LONG[phone] for phone in text]
    ends = np.cumsum(lengths)
    samples = np.repeat([LOUD[phone] for phone in text], lengths).astype(np.float32)
    samples[::2] *= -1
    return Clip(samples, tuple(text), np.stack([ends - lengths, ends], axis=1), 1000, f0=f0)


def texts(n, seed=0):
    rng = np.random.default_rng(seed)
    return [("_:", *rng.choice(LETTERS[1:], rng.integers(3, 9)), "_:") for _ in range(n)]


CLIPS = [clip(text) for text in texts(40)]


def stirred(kind, **how):
    torch.manual_seed(0)
    net = PhonePredictor(kind, **{"symbols": LETTERS, "embedding": 3, "width": 5, **how}).eval()
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.5)
    torch.nn.init.zeros_(net.embed.weight[0].detach())
    return net


def test_the_paper_s_sizes():
    """The released duration predictor holds 174,337 numbers: 72 phones, one unused, and padding."""
    sizes = {
        kind: sum(p.numel() for p in PhonePredictor(kind, tuple(map(str, range(73)))).parameters())
        for kind in frontend.KINDS
    }
    convs = 128 * 128 * 7 + 128 + 128 * 256 * 5 + 256 + 256 * 256 * 7 + 256 + 256 * 256 * 5 + 256
    energy = 74 * 128 + convs + 2 * 2 * 256 + 256 + 1
    assert sizes == {"duration": 174_337, "energy": energy, "pitch": 174_337}


def test_a_predictor_is_its_convolutions_written_out():
    x = np.array([2, 1, 3, 2, 4])
    for kind, kernels in (("duration", [[5]]), ("energy", [[7, 5], [7, 5]])):
        net = stirred(kind)
        p = {k: v.double().numpy() for k, v in net.state_dict().items()}
        h = p["embed.weight"][x]  # (phones, channels)
        for i, block in enumerate(kernels):
            for j, size in enumerate(block):
                w, padded = p[f"blocks.{i}.{j}.weight"], np.pad(h, ((size // 2,) * 2, (0, 0)))
                rows = [np.einsum("ock,kc->o", w, padded[t : t + size]) for t in range(len(x))]
                h = np.array(rows) + p[f"blocks.{i}.{j}.bias"]
            h = np.maximum(h, 0.0)
            mean, spread = h.mean(1, keepdims=True), np.sqrt(h.var(1, keepdims=True) + 1e-5)
            h = (h - mean) / spread * p[f"norms.{i}.weight"] + p[f"norms.{i}.bias"]
        expected = h @ p["leave.weight"][0] + p["leave.bias"]
        with torch.inference_mode():
            found = net(torch.as_tensor(x)[None])[0]
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", frontend.KINDS)
def test_a_text_in_a_batch_is_answered_as_if_it_were_alone(kind):
    net, short = stirred(kind), torch.tensor([[1, 2, 3]])
    with torch.inference_mode():
        alone = net(short)
        both = net(torch.tensor([[1, 2, 3, 0, 0, 0, 0], [4, 3, 2, 1, 2, 3, 4]]))
    torch.testing.assert_close(both[:1, :3], alone)
    assert (both[0, 3:] == 0).all()
    assert both[1].abs().min() > 0


def test_targets_keep_the_paper_s_rounding():
    """Hundredths are cut, not rounded; energy is the root of the mean absolute value."""
    x = np.repeat(np.float32([0.25, -0.0388, 0.0]), [399, 400, 401])
    one = Clip(x, ("a", "b", "_:"), np.array([[0, 399], [399, 799], [799, 1200]]), 8000, f0=200.0)
    np.testing.assert_allclose(targets("duration", one), np.log([5, 6, 6]))
    np.testing.assert_allclose(targets("energy", one), np.log([51, 20, 1]))
    np.testing.assert_allclose(targets("pitch", one), [1, 1, 1])
    for kind, values in (("duration", [0.04, 0.05, 0.05]), ("energy", [0.5, 0.19, 0.0])):
        np.testing.assert_allclose(frontend.decoded(kind, targets(kind, one)), values, atol=1e-12)
    np.testing.assert_allclose(frontend.decoded("pitch", [[1.0], [-1.0]]), [[200.0], [50.0]])
    with pytest.raises(ValueError, match="clip: got one without f0"):
        targets("pitch", clip("ab", f0=None))


def test_durations_become_places_behind_a_quarter_of_a_second():
    """Rounded to 10 ms, never below 40 ms."""
    found = timing([0.004, 0.0449, 0.0451, 0.1239, -0.009], 8000)
    lengths = np.diff(found)[:, 0]
    assert lengths.tolist() == [2000, 320, 320, 400, 960, 320]
    assert np.array_equal(tiling(found), found)
    assert found.dtype == np.int64
    assert np.array_equal(timing([0.1, 0.2], 16000), [[0, 4000], [4000, 5600], [5600, 8800]])
    with pytest.raises(ValueError, match="sample_rate: got 22050, expected a multiple of 100"):
        timing([0.1], 22050)
    with pytest.raises(ValueError, match=r"durations\[1\] = -0.02"):
        timing([0.1, -0.02], 8000)


@pytest.mark.parametrize("kind", frontend.KINDS)
def test_it_learns_what_each_phone_is_like(kind):
    net, history = train_predictor(
        kind, CLIPS, epochs=40, batch=8, learning_rate=1e-2, dropout=0.0, **HOW
    )
    assert [entry["epoch"] for entry in history] == list(range(1, 41))
    assert history[-1]["loss"] < 0.05 * history[0]["loss"]
    assert not net.training
    new = [clip(text) for text in texts(5, seed=1)]
    found = predict(net, [one.phones for one in new])
    for values, one in zip(found, new, strict=True):
        if kind == "pitch":
            np.testing.assert_allclose(values, 200.0, rtol=0.05)
        else:
            true = [(LONG if kind == "duration" else LOUD)[phone] for phone in one.phones]
            true = np.array(true) / 1000 if kind == "duration" else np.sqrt(true)
            np.testing.assert_allclose(values, true, atol=0.02 if kind == "duration" else 0.12)


def test_the_loss_counts_all_places_of_a_padded_batch():
    """Padding adds no error, but is counted in the mean, as in the released code."""
    few = [clip(("a", "b")), clip(("_:", "a", "c", "b", "a"))]
    _, history = train_predictor("duration", few, 3, epochs=1, dropout=0.0, **HOW)
    torch.manual_seed(3)
    net = PhonePredictor("duration", LETTERS, 8, 12, 0.0)
    with torch.inference_mode():
        errors = [net(torch.tensor([x]))[0] for x in ([2, 3], [1, 2, 4, 3, 2])]
    aims = [targets("duration", one) for one in few]
    total = sum(((e.numpy() - a) ** 2).sum() for e, a in zip(errors, aims, strict=True))
    assert history[0]["loss"] == pytest.approx(total / 10, rel=1e-5)


def test_training_is_a_function_of_its_seed_and_leaves_the_global_state_alone():
    def weights(**how):
        net, _ = train_predictor("duration", CLIPS, **{"epochs": 2, "batch": 8, **HOW, **how})
        return torch.cat([p.detach().flatten() for p in net.parameters()])

    before = torch.random.get_rng_state()
    first, again, other = weights(seed=1), weights(seed=1), weights(seed=2)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_without_zero_grad_each_step_sees_all_gradients_before():
    def last(steps, zero_grad):
        """Gradient of the last step, with one batch of all clips a step."""
        how = {"epochs": steps, "batch": 40, "dropout": 0.0, "learning_rate": 1e-12, **HOW}
        net, _ = train_predictor("duration", CLIPS, zero_grad=zero_grad, **how)
        return torch.cat([p.grad.flatten() for p in net.parameters()])

    one = last(1, True)
    torch.testing.assert_close(last(1, False), one)
    # The network hardly moves, so that every gradient is the same, of norm above 1.
    assert one.norm() == pytest.approx(1.0, rel=1e-3)
    torch.testing.assert_close(last(3, True), one, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(last(3, False), one, atol=1e-4, rtol=1e-3)
    nets = [
        train_predictor("duration", CLIPS, epochs=4, batch=8, zero_grad=z, **HOW)[0]
        for z in (True, False)
    ]
    assert not torch.equal(nets[0].leave.weight, nets[1].leave.weight)


def test_baseline_is_the_mean_of_a_phone():
    found = frontend.means("duration", [clip("ab"), clip("aca")], LETTERS)
    everything = (3 * 0.12 + 0.05 + 0.08) / 5
    np.testing.assert_allclose(found, [everything, everything, 0.12, 0.05, 0.08])


def test_accuracy_counts_units_of_ten_milliseconds():
    found = frontend.accuracy([0.104, 0.115, 0.13, 0.06], [0.10, 0.10, 0.10, 0.10])
    assert [found[f"within_{k}"] for k in range(4)] == [0.25, 0.25, 0.5, 0.75]
    assert found["error_ms"] == pytest.approx((4 + 15 + 30 + 40) / 4)
    assert found["bias_ms"] == pytest.approx((4 + 15 + 30 - 40) / 4)


def test_predictors_survive_a_file_in_half_precision(tmp_path):
    path, nets = tmp_path / "front.safetensors", [stirred("duration"), stirred("energy")]
    frontend.save_predictors(path, nets, "a command")
    found = frontend.load_predictors(path)
    assert list(found) == ["duration", "energy"]
    for net in nets:
        again = found[net.kind]
        assert (again.symbols, again.training) == (LETTERS, False)
        for k, v in again.state_dict().items():
            assert torch.equal(v, net.state_dict()[k].half().float())
    with pytest.raises(ValueError, match=r"nets: got .*each kind at most once"):
        frontend.save_predictors(path, [nets[0], nets[0]], "a command")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="save_predictors"):
        frontend.load_predictors(path)


def test_what_is_no_phone_is_refused():
    with pytest.raises(ValueError, match="phones: got 'x'"):
        predict(stirred("duration"), [("a", "x")])
    with pytest.raises(ValueError, match="symbols: got 'a' twice"):
        PhonePredictor("duration", ("a", "b", "a"))
    with pytest.raises(ValueError, match="clips: got none"):
        train_predictor("duration", [])
