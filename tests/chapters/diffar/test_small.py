"""Variants of the training: what is taken from a batch, and what is measured under each change."""

from dataclasses import asdict
from itertools import product

import numpy as np
import pytest
import torch

from chapters.diffar import small, steps
from chapters.diffar.steps import ALPHA_BAR, Batch, Recipe
from diffbook.datasets.aligned import SYMBOLS, Clip
from press import paths

torch.set_num_threads(1)

#: What each change is about; everything else stays as it was.
FIELDS = {
    "nothing": None, "context zero": "context", "context of another": "context",
    "context with noise": "context", "phones of another": "phones",
    "no pitch": "tracks", "nor energy": "tracks", "nor phones": "phones tracks",
}  # fmt: skip


def clip(seed):
    rng = np.random.default_rng(seed)
    ends = np.arange(100, 1501, 100)
    samples = (0.1 * rng.standard_normal(1500)).astype(np.float32)
    places = np.stack([ends - 100, ends], axis=1)
    return Clip(samples, tuple(rng.choice(SYMBOLS, 15)), places, steps.RATE, f0=100.0 + seed)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """A few clips of noise, and frames that are shorter than the chapter's."""
    asked, clips = [], [steps.heard(clip(seed)) for seed in range(4)]
    monkeypatch.setattr(small, "pool", lambda *which: asked.append(which) or clips)
    monkeypatch.setattr(steps, "LENGTH", 400)
    monkeypatch.setattr(steps, "LIMIT", 200)
    return asked, clips


@pytest.fixture
def b(short):
    return steps.draw(
        short[1], Recipe("", 1, told={"+P": 1.0}, blind=0.3), np.random.default_rng(0), 20
    )


@pytest.mark.parametrize("name", small.CHANGES)
def test_a_change_is_of_its_fields_alone(b, name):
    before = Batch(*(value.clone() for value in b))
    found = small.CHANGES[name](b)
    for field, value in found._asdict().items():
        assert torch.equal(value, getattr(before, field)) == (
            field not in (FIELDS[name] or "").split()
        ), field
        assert torch.equal(getattr(b, field), getattr(before, field)), field
        assert (
            value.dtype == getattr(before, field).dtype
            and value.shape == b[0].shape[:1] + value.shape[1:]
        )


def test_changes_do_what_they_say(b):
    change = {name: function(b) for name, function in small.CHANGES.items()}
    assert not change["context zero"].context.any()
    other = change["context of another"].context
    assert not (other * b.new).any()
    i = int(torch.argmax((1 - b.new).sum(1)))  # of the longest overlap nothing is cut
    both = (b.new[i] == 0) & (b.new[i - 1] == 0)
    assert torch.equal(other[i][both], b.context[i - 1][both])
    assert torch.equal(change["phones of another"].phones[1:], b.phones[:-1])
    level, pitch = change["no pitch"].tracks.unbind(1)
    assert not pitch.any() and torch.equal(level, b.tracks[:, 0])
    assert not change["nor energy"].tracks.any() and change["nor energy"].phones.any()
    nothing = change["nor phones"]
    assert not nothing.tracks.any() and not nothing.phones.any()


def test_noise_on_the_context_is_weak_always_the_same_and_where_something_is_known(b):
    noise = small.CHANGES["context with noise"](b).context - b.context
    assert not (noise * b.new).any()
    empty = ~b.context.any(1)
    assert empty.any() and not noise[empty].any()
    inside = noise[~empty][(b.new == 0)[~empty]]
    assert float(inside.std()) == pytest.approx(0.02, rel=0.05)
    torch.manual_seed(8)
    assert torch.equal(small.CHANGES["context with noise"](b).context - b.context, noise)


class Fake:
    """A network that answers with the sum of what it is told of each sample."""

    def given(self, context, phones, tracks):
        return context + phones / 100 + tracks[:, 0] / 10 - tracks[:, 1] / 5

    def __call__(self, x, s, given):
        return given


def test_losses_are_means_over_all_over_new_samples_and_over_those_of_the_middle(
    short, monkeypatch
):
    drawn, draw = [], steps.draw
    monkeypatch.setattr(steps, "draw", lambda *a: drawn.append((a, draw(*a))) or drawn[-1][1])
    found = small.use(Fake(), 64, (110, 220))
    assert short[0] == [("validation", (110, 220))]
    (((_, recipe, _, n), b),) = drawn
    assert (recipe.told, recipe.blind, recipe.corrupt, n) == ({"+P": 1.0}, 0.0, 0.0, 64)
    assert list(found) == list(small.CHANGES)
    for name, change in small.CHANGES.items():
        c = change(b)
        error = (Fake().given(c.context, c.phones, c.tracks) - b.eps).abs().double().numpy()
        new, s = b.new.numpy() == 1, b.s.numpy()
        low, high = small.MIDDLE
        middle = new & ((low <= s) & (s < high))[:, None]
        level = ALPHA_BAR[s][:, None]
        guess = np.sqrt(level / (1 - level)) * np.abs(b.x0.numpy())
        expected = error.mean(), error[new].mean(), error[middle].mean() / guess[middle].mean()
        assert found[name] == pytest.approx(
            dict(zip(("whole", "new", "middle"), expected, strict=True)), rel=1e-4
        )
    assert len({losses["whole"] for losses in found.values()}) == len(found)
    assert small.use(Fake(), 64, (110, 220)) == found


def test_the_middle_of_the_chain_has_the_signal_to_noise_ratio_that_it_says():
    """Speech of the corpus has about the level of the four recordings of the paper."""
    x = np.concatenate([one.samples for one in steps.corpus("test", 8)]).astype(float)
    level = ALPHA_BAR[list(small.MIDDLE)]
    below = -10 * np.log10(level / (1 - level) * (x**2).mean())
    assert below[0] == pytest.approx(5, abs=2.5) and below[1] == pytest.approx(17, abs=2.5)


def test_variants_differ_in_what_they_are_named_for():
    vector = asdict(small.RECIPES["vector"])
    odd = {
        name: {k: v for k, v in asdict(recipe).items() if v != vector[k]}
        for name, recipe in small.RECIPES.items()
    }
    assert odd.pop("vector") == {}
    assert {name: set(change) - {"name"} for name, change in odd.items()} == {
        "number": {"embedding"}, "masked": {"masked"}, "noisy": {"corrupt"}, "other pitches": {"pitches"},
    }  # fmt: skip
    assert small.RECIPES["number"].embedding == 0 and small.RECIPES["masked"].masked
    assert small.RECIPES["noisy"].corrupt > 0 == small.RECIPES["vector"].corrupt
    assert len({recipe.name for recipe in small.RECIPES.values()}) == len(small.RECIPES)


def test_every_variant_is_trained_and_measured_with_every_seed(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(paths, "working", lambda: tmp_path)
    monkeypatch.setattr(small, "trained", lambda *a: asked.append(a) or a)
    losses = {"whole": 0.123456, "new": 2.0, "middle": 3.0}
    monkeypatch.setattr(
        small,
        "use",
        lambda net, pitches: {
            "nothing": losses,
            "a": {"new": net[1], "middle": pitches[0], "whole": 1},
        },
    )
    rows = small.make()["losses"]
    pitches = {
        name: (110, 220) if name == "other pitches" else steps.PITCHES for name in small.RECIPES
    }
    assert {name: recipe.pitches for name, recipe in small.RECIPES.items()} == pitches
    folder = tmp_path / "diffar" / "small"
    assert asked == [
        (recipe, seed, folder) for seed in small.SEEDS for recipe in small.RECIPES.values()
    ]  # fmt: skip
    found = {(r["variant"], r["seed"], r["change"]): r for r in rows}
    assert len(found) == len(rows)
    assert set(found) == set(product(small.RECIPES, small.SEEDS, ("nothing", "a")))
    for (variant, seed, change), row in found.items():
        if change == "nothing":
            assert (row["whole"], row["new"], row["middle"]) == (0.1235, 2.0, 3.0)
        else:
            assert (row["new"], row["middle"]) == (seed, pitches[variant][0])
