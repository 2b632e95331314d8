"""Training: determinism, resuming, checkpoints, weights, and that it learns."""

import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from diffbook.nets import store, training

TINY = training.Config("digits", channels=(8, 16), fold=1, steps=12, batch=16, warmup=4)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def equal(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_draw_is_a_function_of_seed_and_step():
    images = torch.arange(40.0).reshape(10, 1, 2, 2)
    first, again = training.draw(images, 8, 0, 5), training.draw(images, 8, 0, 5)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    for other in ((0, 6), (1, 5), (1, 4)):
        assert not torch.equal(first[2], training.draw(images, 8, *other)[2])


def test_noise_levels_are_stratified_over_the_stated_range():
    sigma = training.draw(torch.zeros(4, 1, 2, 2), 1000, 0, 0)[1].double()
    u = (sigma / training.SIGMA_MIN).log() / np.log(training.SIGMA_MAX / training.SIGMA_MIN)
    assert torch.all(u >= 0)
    assert torch.all(u <= 1 + 1e-6)
    counts = torch.histc(u, 10, 0, 1)
    assert torch.all((counts - 100).abs() <= 1)


def test_training_range_covers_the_schedules():
    from diffbook.schedules.levels import sigma_range

    low, high = sigma_range()
    assert low >= training.SIGMA_MIN
    assert high <= training.SIGMA_MAX


def test_loss_is_near_one_before_training():
    """EDM's weights make the loss of a network that outputs zero equal to 1 at every noise level."""
    images = training.pool("digits", "train")
    state = training.start(TINY, images, 0)
    last = state.model.net.leave[-1]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)
    x0 = images[:512]
    for sigma in (0.02, 0.6, 50.0):
        eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
        level = torch.full((512,), sigma)
        with torch.no_grad():
            loss = training.edm_loss(state.model, x0, level, eps, state.model.sigma_data)
        assert float(loss) == pytest.approx(1.0, rel=0.06)


def test_same_seed_same_weights_other_seed_other_weights():
    runs = [training.train(TINY, seed, progress=False).average for seed in (3, 3, 4)]
    assert equal(runs[0], runs[1])
    assert not equal(runs[0], runs[2])


def test_training_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    training.train(replace(TINY, steps=2), 0, progress=False)
    assert torch.equal(torch.rand(3), expected)


def test_resuming_gives_the_uninterrupted_run(tmp_path):
    whole = training.train(TINY, 0, every=5, progress=False)
    path = tmp_path / "run.checkpoint"
    first = training.train(TINY, 0, checkpoint=path, every=5, stop_at=8, progress=False)
    assert first.step == 8  # steps 6 to 8 are lost: the last checkpoint was at 5
    resumed = training.train(TINY, 0, checkpoint=path, every=5, progress=False)
    assert resumed.step == 12
    assert equal(whole.average, resumed.average)
    assert equal(whole.model.state_dict(), resumed.model.state_dict())
    assert whole.history == resumed.history


def test_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "run.checkpoint"
    training.train(TINY, 0, checkpoint=path, every=4, stop_at=4, progress=False)
    with pytest.raises(
        ValueError, match=r"run\.checkpoint: is of another run \(seed 0, not 1\); delete"
    ):
        training.train(TINY, 1, checkpoint=path, progress=False)
    other = replace(TINY, batch=8, ema=0.9)
    with pytest.raises(
        ValueError, match=r"run \(batch 16, not 8; ema 0\.999, not 0\.9\); delete it"
    ):
        training.train(other, 0, checkpoint=path, progress=False)


def start(seed=0, config=TINY):
    images = torch.rand(32, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return training.start(config, images, seed)


def test_a_checkpoint_holds_the_whole_state(tmp_path):
    """Weights, running average, both moments of the optimiser, step and history come back."""
    state, path = start(), tmp_path / "c"
    for value in state.model.parameters():
        value.grad = torch.ones_like(value)
    state.optimiser.step()
    state.average = {k: v + 1 for k, v in state.average.items()}
    state.step, state.history = 7, [{"step": 7, "train_loss": 0.5}]
    training.save_checkpoint(path, state, TINY, 3)
    found = start(seed=1)
    training.load_checkpoint(path, found, TINY, 3)
    assert equal(found.model.state_dict(), state.model.state_dict())
    assert equal(found.average, state.average)
    moments, kept = found.optimiser.state_dict()["state"], state.optimiser.state_dict()["state"]
    assert moments.keys() == kept.keys()
    assert all(equal(moments[i], kept[i]) for i in kept)
    assert set(moments[0]) == {"step", "exp_avg", "exp_avg_sq"}
    assert (found.step, found.history) == (7, state.history)
    assert store.read_tensors(path)[1].keys() == {"config", "seed", "step", "history"}


def test_damaged_and_foreign_checkpoints_say_what_to_do(tmp_path):
    state, path = start(), tmp_path / "c"
    training.save_checkpoint(path, state, TINY, 0)
    whole = path.read_bytes()
    for damaged in (b"", whole[:-100], whole[:50], whole[:-9] + b"?" + whole[-8:], b"text"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"/c: .*; delete it to start again$"):
            training.load_checkpoint(path, state, TINY, 0)
    training.save_weights(path, state, TINY, 0, "the command")
    with pytest.raises(ValueError, match=r"/c: is no checkpoint of a training; delete it"):
        training.load_checkpoint(path, state, TINY, 0)
    with torch.no_grad():
        state.model.net.enter.bias.fill_(torch.nan)
    training.save_checkpoint(path, state, TINY, 0)
    with pytest.raises(
        ValueError, match=r"/c: values that are not finite.*; delete it to start again"
    ):
        training.load_checkpoint(path, state, TINY, 0)


def test_gradients_are_clipped_to_norm_one(monkeypatch):
    """A loss 1e4 times as large takes steps whose gradients have norm 1."""
    norms, step, loss = [], torch.optim.AdamW.step, training.edm_loss

    def watched(self, *arguments, **options):
        gradients = [p.grad.norm() for group in self.param_groups for p in group["params"]]
        norms.append(float(torch.stack(gradients).norm()))
        return step(self, *arguments, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    monkeypatch.setattr(training, "edm_loss", lambda *arguments: 1e4 * loss(*arguments))
    training.train(replace(TINY, steps=3), 0, progress=False)
    assert norms == pytest.approx([1.0] * 3, rel=1e-4)


def test_failed_write_keeps_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "run.checkpoint"
    training.train(TINY, 0, checkpoint=path, every=4, stop_at=4, progress=False)
    before = path.read_bytes()

    def fail(tensors, target, metadata):
        target.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(store, "save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        training.train(TINY, 0, checkpoint=path, every=4, progress=False)
    assert path.read_bytes() == before


def test_average_follows_the_weights():
    state = training.start(TINY, training.pool("digits", "train"), 0)
    name = "net.enter.weight"
    for step in range(3):
        with torch.no_grad():
            state.model.net.enter.weight.fill_(float(step))
        training._update_average(state, replace(TINY, ema=0.5), step)
    # decay is min(0.5, (1 + s)/(10 + s)) = 1/10, 2/11, 3/12
    expected = 3 / 12 * (2 / 11 * 0.0 + 9 / 11 * 1.0) + 9 / 12 * 2.0
    first = training.start(TINY, training.pool("digits", "train"), 0).average[name]
    got = state.average[name]
    torch.testing.assert_close(
        got, first * (0.1 * 2 / 11 * 3 / 12) + expected, rtol=1e-5, atol=1e-6
    )


def test_learning_rate_rises_and_falls():
    rates = [training.learning_rate(TINY, s) for s in range(12)]
    assert rates[0] < rates[2] < TINY.learning_rate
    assert max(rates) <= TINY.learning_rate
    assert rates[-1] < 0.05 * TINY.learning_rate


def test_command(tmp_path, monkeypatch):
    """Interrupted after 2 of 4 steps, it goes on from the checkpoint beside the output."""
    config = replace(TINY, steps=4)
    monkeypatch.setitem(training.CONFIGS, "digits", config)
    whole, out = tmp_path / "whole.safetensors", tmp_path / "cut.safetensors"
    beside = tmp_path / "cut.checkpoint"
    training.train(config, 2, checkpoint=beside, every=2, stop_at=2, progress=False)
    resumed = training.load_checkpoint
    steps = []

    def load(path, state, *arguments):
        resumed(path, state, *arguments)
        steps.append((path, state.step))

    monkeypatch.setattr(training, "load_checkpoint", load)
    for path in (whole, out):
        result = CliRunner().invoke(training.main, ["digits", "--seed", "2", "--out", str(path)])
        assert result.exit_code == 0, result.output
        about = store.read_tensors(path)[1]
        assert about["command"] == (
            f"python -m diffbook.nets.training digits --seed 2 --out {path.as_posix()}"
        )
    assert steps == [(beside, 2)]
    assert equal(store.read_tensors(out)[0], store.read_tensors(whole)[0])
    assert not list(tmp_path.rglob("*.checkpoint"))


def command(*arguments):
    return CliRunner().invoke(training.main, ["digits", *map(str, arguments)])


@pytest.fixture
def few_steps(monkeypatch):
    monkeypatch.setitem(training.CONFIGS, "digits", replace(TINY, steps=2))


def test_a_file_that_exists_is_kept_unless_forced(tmp_path, few_steps):
    out = tmp_path / "w.safetensors"
    out.write_bytes(b"mine")
    found = command("--out", out)
    assert found.exit_code == 2
    assert found.output == (
        f"error: out: {out} exists; name another file, or give --force to write over it\n"
    )
    assert out.read_bytes() == b"mine"
    assert command("--out", out, "--force").exit_code == 0
    assert store.read_tensors(out)[1]["steps"] == 2


def test_a_damaged_checkpoint_ends_in_one_line(tmp_path, few_steps):
    (tmp_path / "w.checkpoint").write_bytes(b"half")
    found = command("--out", tmp_path / "w.safetensors")
    assert found.exit_code == 2
    assert found.output.startswith(f"error: {tmp_path / 'w.checkpoint'}: no whole safetensors file")
    assert found.output.endswith("; delete it to start again\n")
    assert found.output.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["w.checkpoint"]


SLOWLY = """
import functools, signal, sys
from diffbook.nets import training
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background
training.CONFIGS["digits"] = training.Config("digits", (8, 16), 1, steps=10**6, batch=8)
training.train = functools.partial(training.train, every=3)
training.main(["digits", "--out", sys.argv[1]])
"""


def test_an_interruption_ends_in_one_line_and_keeps_the_checkpoint(tmp_path):
    out, checkpoint = tmp_path / "w.safetensors", tmp_path / "w.checkpoint"
    run = subprocess.Popen(
        [sys.executable, "-c", SLOWLY, str(out)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    while not checkpoint.exists() and run.poll() is None:
        time.sleep(0.1)
    run.send_signal(signal.SIGINT)
    try:
        stdout, stderr = run.communicate(timeout=120)
    finally:
        run.kill()
    assert run.returncode == 130, stderr
    assert stdout == ""
    last = stderr.replace("\r", "\n").strip().splitlines()[-1]
    assert last.startswith("interrupted; the same command goes on from the last checkpoint, if")
    assert str(out) in last
    assert "Traceback" not in stderr
    assert store.read_tensors(checkpoint)[1]["step"] % 3 == 0
    assert [path.name for path in tmp_path.iterdir()] == ["w.checkpoint"]


def test_command_wants_known_data_and_the_output_named(tmp_path):
    out = ["--out", str(tmp_path / "w.safetensors")]
    for arguments, message in ((["cats", *out], "cats"), (["digits"], "--out")):
        bad = CliRunner().invoke(training.main, arguments)
        assert bad.exit_code == 2
        assert message in bad.output


@pytest.mark.slow
def test_it_learns():
    config = replace(TINY, steps=150, batch=64, channels=(16, 32), learning_rate=4e-3)
    history = training.train(config, 0, every=50, progress=False).history
    held = [entry["validation_loss"] for entry in history]
    assert held[0] > held[1] > held[2]
    assert held[2] < 0.75  # a Wiener filter of white data has 1
