"""Image tasks, and the evaluation that images and speech share."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from chapters.coupled import evaluation, images
from chapters.coupled.steps import couple, one_shot
from diffbook.coupled import RELEASED, Frozen, Switches, batch_noise, parallel, standardise


@pytest.fixture(scope="module")
def small():
    """A task with few examples, and networks that answer to all conditions."""
    task = images.task("digits", "pixels 50%", 8)
    x, u, labels = task.examples("test")
    task = task._replace(examples=lambda split: (x[:20], u[:20], labels[:20]), steps=(9, 3))
    nets = {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for training in ("baselines", "clean", "parallel", "alternating", "nested"):
            nets[training] = {k: task.networks[k]().eval() for k in ("signal", "logits")}
        nets["baselines"]["student"] = task.networks["logits"]().eval()
        f = task.networks["classifier"]()
        for net in (f, *(net for group in nets.values() for net in group.values())):
            for p in net.parameters():
                torch.nn.init.normal_(p, std=0.2)
    return task, nets, Frozen(f)


@pytest.fixture(scope="module")
def rows(small):
    return evaluation.evaluate(*small, "test")


def find(rows, method, setting="default", steps=9, k=None):
    found = [r for r in rows if (r["method"], r["setting"], r["S"]) == (method, setting, steps)]
    return found[-1] if k is None else next(r for r in found if r["round"] == k)


@pytest.mark.parametrize("name", images.STRENGTHS["digits"])
def test_observations_are_degraded_as_said(name):
    x, _ = images.images("digits", "train")
    u = images.degrade(x, images.STRENGTHS["digits"][name], np.random.default_rng(0), "digits")
    assert u.shape == x.shape
    assert np.abs(u).max() <= 1.0
    if name.startswith("pixels"):
        share = {"pixels 30%": 0.3, "pixels 50%": 0.5}[name]
        # Background that is replaced by less than -1 is background again.
        ink = x > -1.0
        assert np.mean((u != x)[ink]) == pytest.approx(share, abs=0.01)
        new = u[ink & (u != x)]
        assert np.median(new) == pytest.approx(x.mean(), abs=0.02)
        low, high = np.quantile(new, [0.3, 0.7])  # of what is not cut off
        assert high - low == pytest.approx(2 * 0.5244 * x.std(), rel=0.05)
    else:
        blur, noise = images.STRENGTHS["digits"][name]
        one = np.full((2000, 1, 8, 8), -0.2, np.float32)
        one[:, :, 4, 4] = 1.0
        seen = images.degrade(one, (blur, noise), np.random.default_rng(0), "digits")
        clean = images.degrade(one[:1], (blur, 0.0), np.random.default_rng(0), "digits")[0, 0]
        assert seen[:, 0, 2, 2].std() == pytest.approx(noise, rel=0.1)
        assert clean[4, 4] - clean[4, 5] > 0
        ratio = (clean[4, 5] + 0.2) / (clean[4, 4] + 0.2)
        assert ratio == pytest.approx(np.exp(-0.5 / blur**2), rel=1e-4)


def test_shifts_are_small_and_leave_half_in_place():
    x = np.zeros((4000, 1, 8, 8), np.float32)
    x[:, :, 3, 5] = 1.0
    where = np.argwhere(images.shifted(x, np.random.default_rng(0)))[:, 2:] - [3, 5]
    assert len(where) == 4000
    assert np.abs(where).max() == 1
    assert np.mean(~where.any(axis=1)) == pytest.approx(0.5 + 0.5 / 9, abs=0.03)
    assert sorted({tuple(w) for w in where.tolist()}) == [
        (i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)
    ]


def test_examples_are_each_image_with_fresh_draws():
    task = images.task("digits", "pixels 30%", 8)
    x, u, labels = task.examples("test")
    n = images.N_TEST
    assert len(x) == images.DRAWS * n
    assert torch.equal(x[:n], x[n:])
    assert (labels[:n] == labels[n:]).all()
    assert not torch.equal(u[:n], u[n:])
    assert torch.equal(u, task.examples("test")[1])
    train, test = (images.images("digits", split)[0] for split in ("train", "test"))
    assert not (train[:, None] == test[None]).all(axis=(2, 3, 4)).any()


def test_decisions_are_packed_and_back():
    labels = np.arange(11) % 3
    logits = torch.nn.functional.one_hot(torch.as_tensor(np.where(np.arange(11) < 5, labels, 3)), 4)
    right = evaluation.unpack(evaluation.pack(logits, labels), 11)
    assert right.tolist() == [1.0] * 5 + [0.0] * 6
    assert evaluation.pack(None, labels) is None


def test_rows_are_what_the_samplers_give(small, rows):
    task, nets, f = small
    x, u, labels = task.examples("test")
    how = {"noise": batch_noise(evaluation.NOISE)}
    base = Switches()
    for setting, switches, steps in (
        ("default", base, 9),
        ("default", base, 3),
        ("ancestral", replace(base, sampler="ancestral"), 9),
        ("gates 1", replace(base, gate_signal=1.0, gate_logits=1.0), 9),
        ("released", RELEASED, 9),
    ):
        found = parallel(
            couple(task, nets["parallel"], f), u, task.levels(steps), switches=switches, **how
        )
        row = find(rows, "parallel", setting, steps)
        assert row["logits"] == evaluation.pack(found.logits, labels)
        assert row["signal"] == evaluation.pack(f(found.signal), labels)
        assert row["quality"] == pytest.approx(task.quality(found.signal, x).mean())
        assert row["calls"] == list(found.calls)
    assert find(rows, "noisy", steps=0)["signal"] == evaluation.pack(f(u), labels)
    with torch.inference_mode():
        y = one_shot(task, nets["baselines"]["student"], u, standardise(f(u)))
    assert find(rows, "student", steps=0)["logits"] == evaluation.pack(y, labels)


def test_every_method_has_its_rounds_and_networks(small, rows):
    _, nets, _ = small
    assert [r["round"] for r in rows if r["method"] == "alternating"][:5] == [1, 2, 3, 4, 5]
    nested = [r["round"] for r in rows if (r["method"], r["setting"]) == ("nested", "ancestral")]
    assert nested == [1, 2, 3, 4, 5, 6]
    assert {training for training, _ in evaluation.METHODS.values()} == set(nets)
    for method in evaluation.METHODS:
        row = find(rows, method)
        assert (row["signal"] is None) == method.startswith("card")
        assert (row["logits"] is None) == (method == "enhanced")
    keys = [(r["method"], r["setting"], r["S"], r["round"]) for r in rows]
    assert len(set(keys)) == len(keys)


def test_the_equal_budget_adds_up_samples(small, rows):
    task, nets, f = small
    _, u, labels = task.examples("test")
    coupling = couple(task, nets["baselines"], f)
    switches = Switches(sampler="ancestral")
    drawn = [
        evaluation.enhance(
            coupling,
            u,
            task.levels(9),
            noise=batch_noise(evaluation.NOISE),
            switches=switches,
            round=k,
        ).signal
        for k in range(2)
    ]
    assert not torch.equal(*drawn)
    mean = torch.stack([f(x).softmax(-1) for x in drawn]).mean(0)
    noise = batch_noise(evaluation.NOISE)
    values = {name: v for name, _, v in evaluation.equal_budget(task, coupling, u, noise)}
    torch.testing.assert_close(values["mean of 2"], mean)
    both = sum(torch.nn.functional.one_hot(f(x).argmax(-1), 10) for x in drawn)
    torch.testing.assert_close(values["vote of 2"], both / 2 + 1e-3 * mean)
    row = find(rows, "enhanced", "mean of 2")
    assert row["signal"] == evaluation.pack(mean, labels)
    assert row["calls"] == [18, 0, 2]
    assert {r["setting"] for r in rows if r["setting"][-1].isdigit()} >= {
        f"{kind} of {k}" for kind in ("mean", "vote") for k in evaluation.BUDGETS
    }
