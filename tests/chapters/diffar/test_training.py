"""Training of the chapter's networks: its clips, resuming, the running average, and what is kept."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from chapters.diffar import steps, training
from chapters.diffar.steps import LENGTH, Recipe
from diffbook.datasets import sentences, speech
from diffbook.datasets.aligned import SYMBOLS, Clip
from diffbook.nets import training as denoisers
from diffbook.nets.store import read_tensors

torch.set_num_threads(1)

TINY = Recipe(
    "tiny", steps=6, batch=4, warmup=2, channels=4, layers=2, cycle=2, embedding=3, c_emb=8
)  # fmt: skip
#: Frames here are shorter than the chapter's.
SHORT = 400
SPLITS = {"train": range(4), "validation": range(4, 6)}


def clip(seed):
    rng = np.random.default_rng(seed)
    ends = np.cumsum(np.full(20, 30))
    places = np.stack([ends - 30, ends], axis=1)
    samples = (0.1 * rng.standard_normal(ends[-1])).astype(np.float32)
    return Clip(samples, tuple(rng.choice(SYMBOLS, 20)), places, steps.RATE, f0=100.0)


@pytest.fixture
def few(monkeypatch):
    """A few clips of noise, others for each split."""
    pools = {split: [steps.heard(clip(s)) for s in seeds] for split, seeds in SPLITS.items()}
    monkeypatch.setattr(training, "pool", lambda split, pitches: pools[split])
    monkeypatch.setattr(steps, "LENGTH", SHORT)
    monkeypatch.setattr(steps, "LIMIT", SHORT // 2)
    return pools


def train(recipe=TINY, seed=0, **how):
    return training.train(recipe, seed, progress=False, **how)


def same(a, b):
    return all(torch.equal(value, b[name]) for name, value in a.items())


# --- the clips -----------------------------------------------------------------------------------


def test_half_of_the_training_is_in_words_that_do_not_exist(monkeypatch):
    said, speak = [], speech.speak
    monkeypatch.setattr(training, "SENTENCES", {"train": 6, "validation": 4})
    monkeypatch.setattr(
        speech, "speak", lambda texts, *a, **k: said.append(texts) or speak(texts, *a, **k)
    )
    clips = training.pool("train")
    low, high, own = said
    assert [len(texts) for texts in said] == [3, 3, 6]
    assert {one.f0 for one in low} == {125} and {one.f0 for one in high} == {250}
    assert {one.f0 for one in own} == {125, 250}
    assert {clip.tracks[1, 0] for clip in clips} == {1.25, 2.5}
    real, coined = ({w for one in texts for w in one.text.split()} for texts in (low + high, own))
    known, test = (
        {w for some in sentences.words(s).values() for w in some} for s in ("train", "test")
    )
    assert 10 <= len(clips) <= 12  # one with a phone that is no symbol may be left out
    assert not (real | coined) & test
    assert len(coined - known) > 0.9 * len(coined) and len(real & known) > 0.7 * len(real)
    assert {one.text for one in low} & {one.text for one in high} == set()
    assert min(len(one.samples) for one in clips) > LENGTH
    asked = []
    monkeypatch.setattr(training, "coined", lambda *a: asked.append(a) or [])
    assert {clip.tracks[1, 0] for clip in training.pool("train", (100, 200))} == {1.0, 2.0}
    assert asked == [(6, 1, (100, 200))]
    said[3:] = []
    held_out, others = training.pool("validation", (100, 200)), said[3] + said[4]
    assert len(said) == 5 and len(held_out) == len(others) == 4
    assert {clip.tracks[1, 0] for clip in held_out} == {1.0, 2.0}
    assert {w for one in others for w in one.text.split()} & test == set()
    assert {one.text for one in others} & {one.text for one in low + high} == set()


# --- training ------------------------------------------------------------------------------------


def test_an_interrupted_training_ends_with_the_same_weights(few, monkeypatch, tmp_path):
    whole, path = train(seed=3, every=2), tmp_path / "checkpoint"
    train(seed=3, every=2, checkpoint=path, stop_at=5)  # the fifth step is lost
    taken, loss = [], steps.loss
    monkeypatch.setattr(steps, "loss", lambda *a: taken.append(a) or loss(*a))
    again = train(seed=3, every=2, checkpoint=path)
    assert len(taken) == 2
    assert again.step == whole.step == 6
    assert same(whole.average, again.average)
    assert same(whole.model.state_dict(), again.model.state_dict())
    assert again.history == whole.history
    assert [entry["step"] for entry in whole.history] == [2, 4, 6]
    finished = train(seed=3, every=2, checkpoint=path)
    assert finished.step == 6 and same(finished.average, whole.average)
    assert len(taken) == 2


def test_a_training_depends_on_its_seed_and_on_nothing_else(few):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = training.start(TINY, 0).model.state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert same(one, training.start(TINY, 0).model.state_dict())
    assert not same(one, training.start(TINY, 1).model.state_dict())
    # Equal weights at the start, other clips: the batches are of the seed too.
    states = [train(replace(TINY, steps=1), seed) for seed in (0, 0, 1)]
    assert states[0].history == states[1].history
    assert states[0].history[0]["train"] != states[2].history[0]["train"]


def test_each_step_is_a_step_of_the_loss_at_its_rate(few, monkeypatch):
    factors, batches, losses, norms = [], [], [], []
    scale, step = training.MuonAdamW.scale, training.MuonAdamW.step
    draw, loss = steps.draw, steps.loss
    monkeypatch.setattr(
        training.MuonAdamW, "scale", lambda self, f: factors.append(f) or scale(self, f)
    )

    def drawn(clips, recipe, rng, n=None):
        found = draw(clips, recipe, rng, n)
        if n is None:
            assert clips is few["train"]
            batches.append(found)
        return found

    monkeypatch.setattr(steps, "draw", drawn)

    def of_batch(net, b, masked):
        assert torch.get_autocast_dtype("cpu") == torch.bfloat16
        losses.append((masked, torch.is_autocast_enabled("cpu")))
        return 100 * loss(net, b, masked)

    def stepped(self):
        gradients = [p.grad.norm() for p in (*self.hidden, *self.rest)]
        norms.append(float(torch.stack(gradients).norm()))
        step(self)

    monkeypatch.setattr(steps, "loss", of_batch)
    monkeypatch.setattr(training.MuonAdamW, "step", stepped)
    train(replace(TINY, masked=True), seed=2)
    cosine = 0.5 * (1 + np.cos(np.pi * np.arange(6) / 6))
    assert factors == pytest.approx(cosine * [0.5, 1, 1, 1, 1, 1])
    assert losses == [(True, True)] * 6  # masked, and in half precision where that is exact enough
    assert norms == pytest.approx([1.0] * 6, rel=1e-3)  # of 100 times the loss
    assert len(batches) == 6
    own = [draw(few["train"], TINY, np.random.default_rng([2, k])) for k in range(6)]
    for one, other in zip(batches, own, strict=True):
        assert torch.equal(one.x0, other.x0) and torch.equal(one.eps, other.eps)


def test_the_running_average_follows_the_weights(few):
    states = [training.start(TINY, 0)] + [train(stop_at=k) for k in (1, 2, 3)]
    average = states[0].average
    assert same(average, states[0].model.state_dict())
    for step, state in enumerate(states[1:]):
        decay = min(TINY.ema, (1 + step) / (10 + step))
        moved = {k: v.detach().clone() for k, v in state.model.state_dict().items()}
        assert not same(moved, states[0].model.state_dict())
        average = {k: decay * v + (1 - decay) * moved[k] for k, v in average.items()}
        for name, value in average.items():
            torch.testing.assert_close(state.average[name], value, rtol=1e-5, atol=1e-6)
    net = training.averaged(states[-1], TINY)
    assert same(states[-1].average, net.state_dict()) and not net.training


def test_a_training_learns(few):
    recipe = replace(TINY, steps=40, batch=8, channels=8)
    first, last = train(recipe, every=20).history
    assert last["whole"] < first["whole"] and last["train"] < first["train"] < 0.8


@pytest.mark.parametrize(
    ("change", "words"),
    [({"masked": True}, "masked False, not True"), ({"fold": 8}, "fold 16, not 8"), ({}, "seed 0")],
)
def test_a_checkpoint_of_another_training_is_refused(few, tmp_path, change, words):
    path = tmp_path / "checkpoint"
    train(checkpoint=path, every=2, stop_at=2)
    kept = path.read_bytes()
    with pytest.raises(ValueError, match=f"is of another run .*{words}"):
        train(replace(TINY, **change), seed=0 if change else 1, checkpoint=path)
    assert path.read_bytes() == kept


# --- validation ----------------------------------------------------------------------------------


def test_validation_is_always_the_same_and_means_what_it_says(few):
    net = training.start(TINY, 0).model
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.nn.init.normal_(net.leave.weight)
    found = training.validation(net, few["validation"], TINY, n=20)
    torch.manual_seed(5)
    assert training.validation(net, few["validation"], TINY, n=20) == found
    b = steps.draw(few["validation"], TINY, np.random.default_rng(10**6), 20)
    with torch.inference_mode():
        assert found["whole"] == pytest.approx(float(steps.loss(net, b)), rel=1e-5)
        assert found["new"] == pytest.approx(float(steps.loss(net, b, masked=True)), rel=1e-5)
    assert found["trivial"] == pytest.approx(float(steps.trivial(b).mean()), rel=1e-6)
    assert found["new"] != pytest.approx(found["whole"], rel=1e-4)


# --- what is kept --------------------------------------------------------------------------------


def test_the_file_holds_the_running_average_in_half_precision(few, tmp_path):
    expected = train()
    net = training.trained(TINY, 0, tmp_path)
    path = tmp_path / "tiny-seed0.safetensors"
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    tensors, about = read_tensors(path)
    assert {v.dtype for v in tensors.values()} == {torch.float16}
    assert same({k: v.half() for k, v in expected.average.items()}, tensors)
    assert not same({k: v.half() for k, v in expected.model.state_dict().items()}, tensors)
    assert same({k: v.float() for k, v in tensors.items()}, net.state_dict())
    assert about["seed"] == 0 and about["history"] == expected.history
    assert Recipe(**{**about["recipe"], "kernels": (3,), "pitches": (125, 250)}) == TINY
    again, told = training.network(path)
    assert same(net.state_dict(), again.state_dict()) and not again.training
    assert told == about and again.merged()


@pytest.fixture
def begun(few, monkeypatch):
    """Trainings that are begun, and not run."""

    class BeganError(Exception):
        pass

    def begin(*how, **more):
        raise BeganError

    def fixture():
        monkeypatch.setattr(training, "train", begin)
        return BeganError

    return fixture


def test_what_is_trained_is_read(tmp_path, begun):
    net = training.trained(TINY, 0, tmp_path)
    began = begun()
    assert same(net.state_dict(), training.trained(TINY, 0, tmp_path).state_dict())
    for recipe, seed in ((replace(TINY, blind=0.2), 0), (TINY, 1), (replace(TINY, name="b"), 0)):
        with pytest.raises(began):
            training.trained(recipe, seed, tmp_path)


def test_recipes_can_be_read_back_from_a_file():
    recipe = Recipe("a", 1, kernels=(3, 5), told={"none": 1.0})
    assert set(map(type, asdict(recipe).values())) <= {str, int, float, bool, dict, tuple}
    assert denoisers.learning_rate(recipe, 0) == pytest.approx(recipe.learning_rate / 200)


def test_a_damaged_file_says_how_to_make_it_again(tmp_path):
    path = tmp_path / "none.safetensors"
    with pytest.raises(FileNotFoundError, match=r"python -m chapters\.diffar\.record"):
        training.network(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"python -m chapters\.diffar\.record"):
        training.network(path)
