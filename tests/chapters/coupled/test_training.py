"""Training of the coupled networks: what each step sees, resuming, and what is kept."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from chapters.coupled import images, steps, training
from chapters.coupled.steps import Recipe
from diffbook.coupled import Frozen, standardise

TINY = Recipe("baselines", "pixels 50%", steps=8, batch=8, warmup=1, pool=6, every=2, chain=2)


@pytest.fixture(scope="module")
def task():
    return images.task("digits", "pixels 50%", 8)


@pytest.fixture(scope="module")
def f(task, tmp_path_factory):
    recipe = replace(TINY, training="classifier")
    nets = training.trained(task, recipe, 0, tmp_path_factory.mktemp("classifier"))
    return Frozen(nets["classifier"])


def stirred(task, seed=0):
    """Networks that answer to all their conditions: the blocks of new ones are the identity."""
    nets = training.start(task, TINY, seed).model
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for p in nets.parameters():
            torch.nn.init.normal_(p, std=0.1)
    return nets


def batch(task, f, n=8, **how):
    return steps.draw(task, n, steps.generator(0, 0), "cpu", f, **how)


@pytest.mark.parametrize("kind", training.TRAININGS)
def test_an_interrupted_training_ends_with_the_same_weights(task, f, tmp_path, kind):
    recipe, f = replace(TINY, training=kind), None if kind == "classifier" else f
    for place in ("whole", "parts"):
        if kind in training.FORKED:
            training.train(task, TINY, 3, tmp_path / place, f)
    whole = training.train(task, recipe, 3, tmp_path / "whole", f)
    training.train(task, recipe, 3, tmp_path / "parts", f, stop_at=7)  # the seventh step is lost
    again = training.train(task, recipe, 3, tmp_path / "parts", f)
    assert again.step == whole.step == 8
    for name, value in whole.average.items():
        assert torch.equal(value, again.average[name]), name


def test_half_time_need_not_be_a_time_of_checkpoints(task, f, tmp_path):
    recipe = replace(TINY, steps=6, every=4)
    training.train(task, recipe, 0, tmp_path, f)
    state = training.start(task, recipe, 0)
    training.load_checkpoint(tmp_path / "half.checkpoint", state, recipe, 0)
    assert state.step == 3


def test_a_fork_needs_its_baselines_and_no_checkpoint_of_another_seed(task, f, tmp_path):
    forked = replace(TINY, training="alternating")
    with pytest.raises(FileNotFoundError, match=r"half\.checkpoint"):
        training.train(task, forked, 0, tmp_path, f)
    training.train(task, TINY, 0, tmp_path, f)
    with pytest.raises(ValueError, match="is of another run"):
        training.train(task, forked, 1, tmp_path, f)
    # It goes on from half time, not from the end.
    half = training.start(task, TINY, 0)
    training.load_checkpoint(tmp_path / "half.checkpoint", half, TINY, 0)
    end = training.train(task, forked, 0, tmp_path, f)
    assert (half.step, end.step) == (4, 8)
    assert [entry["step"] for entry in end.history] == [2, 4, 6, 8]
    assert end.history[:2] == half.history
    assert not torch.equal(end.average["signal.null"], half.average["signal.null"])
    assert torch.equal(end.model["student"].leave.bias, half.model["student"].leave.bias)


def test_a_batch_is_the_same_for_the_same_seed_and_step_only(task, f):
    a, b = (steps.draw(task, 4, steps.generator(1, 5), "cpu", f) for _ in range(2))
    others = [steps.generator(*key) for key in ((2, 5), (1, 6), (2, 4), (1, 5, 1))]
    assert all(torch.equal(p, q) for p, q in zip(a[:7], b[:7], strict=True))
    for rng in others:
        assert not torch.equal(a.u, steps.draw(task, 4, rng, "cpu", f).u)
    torch.testing.assert_close(a.y, standardise(f(a.x)))
    # One level in each fourth of the chain, between its ends.
    levels = task.levels(task.T)
    place = np.interp(a.sigma.log().numpy(), np.log(levels[1:]), np.linspace(0.0, 1.0, task.T))
    assert np.floor(4 * place).tolist() == [0, 1, 2, 3]
    assert steps.sigma_at(task, np.array([0.0, 1.0])) == pytest.approx(levels[[1, -1]])


def test_the_loss_is_that_of_the_denoiser(task, f):
    """Weighted so that a denoiser off by c_out everywhere has loss 1."""
    b = batch(task, f)
    level = b.sigma.reshape(-1, 1, 1, 1)
    c_out = level * 0.5 / (level**2 + 0.25).sqrt()
    seen = []

    def off(v):
        seen.append(v)
        return b.x + c_out

    assert float(steps.denoising_loss(off, b.x, b.eps_x, b.sigma, 0.5)) == pytest.approx(1.0)
    torch.testing.assert_close(seen[0], b.x + level * b.eps_x)


def test_no_loss_reaches_another_s_network(task, f):
    """Each loss has gradients in its own network alone: no estimate carries any."""
    order = {
        "baselines": ("signal", "logits", "clean", "student"),
        "parallel": ("signal", "logits"),
        "nested": ("signal", "logits"),
    }
    for kind, names in order.items():
        nets = stirred(task)
        b = batch(task, f)._replace(x_hat=torch.rand(8, 1, 8, 8), y_hat=torch.rand(8, 10))
        for name, loss in zip(names, steps.losses(task, kind, nets, f, b), strict=True):
            nets.zero_grad()
            loss.backward()
            with_gradient = {
                k.split(".")[0] for k, p in nets.named_parameters() if p.grad is not None
            }
            assert with_gradient == {name}, kind


def test_half_of_a_parallel_batch_sees_closed_gates(task, f, monkeypatch):
    b, seen = batch(task, f), []
    nets = stirred(task)
    spy = {}
    for name in ("signal", "logits"):
        forward = nets[name].forward

        def watch(*args, name=name, forward=forward):
            seen.append((name, torch.is_grad_enabled(), args))
            return forward(*args)

        spy[name] = watch
        monkeypatch.setattr(nets[name], "forward", watch)
    steps.losses(task, "parallel", nets, f, b)
    with torch.no_grad():
        level = b.sigma[1::2].reshape(-1, 1, 1, 1)
        v = b.x[1::2] + level * b.eps_x[1::2]
        x_hat = nets["signal"](v, b.sigma[1::2], b.u[1::2]).clip(-1, 1)
        c = standardise(f(x_hat))
        y = b.y[1::2] + b.sigma[1::2, None] * b.eps_y[1::2]
        y_hat = standardise(nets["logits"](y, b.sigma[1::2], (x_hat,), c))
    kinds = [(name, grad) for name, grad, _ in seen[:5]]
    assert kinds[:2] == [("signal", False), ("logits", False)]
    assert kinds[2:] == [("signal", True), ("signal", True), ("logits", True)]
    alone, paired, logits = (args for _, _, args in seen[2:5])
    assert alone[3] is None
    torch.testing.assert_close(alone[2], b.u[0::2])
    torch.testing.assert_close(paired[3], y_hat)
    torch.testing.assert_close(logits[2][0], torch.cat([b.u[0::2], x_hat]))
    torch.testing.assert_close(logits[3], standardise(f(logits[2][0])), rtol=1e-4, atol=1e-5)


def test_pools_hold_what_the_chains_show(task, f):
    nets, n = stirred(task), 6
    b = batch(task, f, n)
    alternating = replace(TINY, training="alternating")
    pool = steps.make_pool(task, alternating, nets, f, b, 5)
    assert pool.x_hat.shape == (steps.ROUNDS * n, 1, 8, 8)
    torch.testing.assert_close(pool.u, torch.cat([b.u] * steps.ROUNDS))
    coupling = steps.couple(task, nets, f)
    how = {"noise": steps.batch_noise(5)}
    found = steps.alternating(coupling, b.u, task.levels(2), rounds=steps.ROUNDS, **how)
    for k, (x_hat, y_hat) in enumerate(found.rounds):
        torch.testing.assert_close(pool.x_hat[k * n : (k + 1) * n], x_hat)
        torch.testing.assert_close(pool.y_hat[k * n : (k + 1) * n], y_hat)
    nested = steps.make_pool(task, replace(TINY, training="nested"), nets, f, b, 5)
    first = steps.enhance(coupling, b.u, task.levels(2), **how).signal
    again = steps.enhance(coupling, b.u, task.levels(2), y_hat=nested.y_hat[:n], round=1, **how)
    torch.testing.assert_close(nested.x_hat, torch.cat([first, again.signal]))
    torch.testing.assert_close(nested.y_hat[:n], steps.estimates(task, nets, f, b, first)[1])
    torch.testing.assert_close(nested.y, torch.cat([b.y, b.y]))


def test_what_is_kept_is_what_is_used(task, f, tmp_path):
    made = training.trained(task, TINY, 0, tmp_path, f)
    assert sorted(made) == ["clean", "logits", "signal", "student"]
    assert not (tmp_path / "baselines.checkpoint").exists()
    before = f.digest()
    again = training.trained(task, TINY, 0, tmp_path, lambda x: pytest.fail("trained again"))
    assert f.digest() == before
    for name, net in made.items():
        assert not net.training
        for key, value in net.state_dict().items():
            assert torch.equal(value, again[name].state_dict()[key])
            assert torch.equal(value, value.half().float()) or key.endswith("frequencies")
    other = training.trained(task, replace(TINY, steps=12), 0, tmp_path, f)
    assert not torch.equal(other["signal"].null, made["signal"].null)
