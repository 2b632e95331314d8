"""What one training step sees: frames, overlaps, what is told, the loss; each computed again by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from chapters.diffar import steps
from chapters.diffar.steps import ALPHA_BAR, LENGTH, LIMIT, TOLD, Recipe
from diffbook.datasets.aligned import SILENCE, SYMBOLS, Clip

torch.set_num_threads(1)

RECIPE = Recipe("tiny", steps=1, batch=24, blind=0.0)


def clip(seed, size=9000, longest=1500):
    """Noise with made-up phones: no two samples are alike, so that a frame tells its place."""
    rng = np.random.default_rng(seed)
    ends = np.cumsum(rng.integers(100, longest, 100))
    ends = np.append(ends[ends < size - 100], size)
    places = np.stack([np.append(0, ends[:-1]), ends], axis=1)
    phones = (SILENCE, *rng.choice(SYMBOLS, len(ends) - 1))
    samples = (0.1 * rng.standard_normal(size)).astype(np.float32)
    return Clip(samples, phones, places, steps.RATE, f0=100.0 + 10 * seed)


CLIPS = [clip(0), clip(1, size=LENGTH), clip(2, longest=7000), clip(3, size=12_000, longest=300)]
POOL = [steps.heard(one) for one in CLIPS]


def draw(recipe=RECIPE, seed=0, n=None):
    return steps.draw(POOL, recipe, np.random.default_rng(seed), n)


def places(b):
    """Which clip each frame is of, and where it begins."""
    for x in b.x0.numpy():
        for i, one in enumerate(CLIPS):
            hits = np.flatnonzero(one.samples == x[0])
            if len(hits):
                yield i, int(hits[0])
                break
        else:
            pytest.fail("a frame is of no clip")


# --- clips ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("one", CLIPS[:3])
def test_a_clip_is_told_by_the_sample(one):
    heard, known = steps.heard(one), steps.tracks(one)
    assert known.shape == (2, len(one.phones))
    for i, (a, b) in enumerate(one.intervals):
        level = np.sqrt(np.abs(one.samples[a:b].astype(float)).mean())
        assert known[:, i] == pytest.approx([1 + 3 * level, one.f0 / 100])
        assert (heard.phones[a:b] == SYMBOLS.index(one.phones[i]) + 1).all()
        np.testing.assert_allclose(heard.tracks[:, a:b].T, np.tile(known[:, i], (b - a, 1)), 1e-6)
    assert (heard.samples == one.samples).all()
    assert (heard.ends == one.intervals[:, 1]).all()
    assert heard.tracks.dtype == np.float32
    # Zero stands for what is not told, and no phone or track has it.
    assert heard.phones.min() >= 1 and heard.tracks.min() >= 1.0


def test_the_corpus_is_spoken_low_and_high_in_turn():
    """Periods are whole numbers of the network's positions, so that a layer looks one period back."""
    clips = steps.corpus("test", 6)
    assert [one.f0 for one in clips] == [125.0, 250.0] * 3
    assert len({one.phones for one in clips}) == 6
    assert {one.sample_rate for one in clips} == {steps.RATE}
    for one, other in zip(steps.corpus("test", 4), clips, strict=False):
        assert (one.samples == other.samples).all() and one.phones == other.phones
    periods = {steps.RATE / f0 / RECIPE.fold for f0 in steps.PITCHES}
    assert periods <= {2.0**i for i in range(RECIPE.cycle)}
    assert steps.corpus("train", 2)[0].phones != clips[0].phones
    others = steps.corpus("test", 2, (110, 220))
    assert [one.f0 for one in others] == [110.0, 220.0]


# --- a batch -------------------------------------------------------------------------------------


def by_the_rule(one, first):
    """Overlap by the paper's rule, phone by phone."""
    last = first + LENGTH
    met = [int(b) for a, b in one.intervals if a < last and b > first]
    k = int(np.ceil(len(met) / 3))
    while k > 1 and met[k - 1] - first > LIMIT:
        k -= 1
    return min(met[k - 1] - first, LIMIT)


def test_frames_are_cut_from_clips_with_their_overlap():
    b, found = draw(n=100), set()
    for i, (which, first) in enumerate(places(b)):
        one, here = POOL[which], slice(first, first + LENGTH)
        overlap = by_the_rule(CLIPS[which], first)
        assert 0 < overlap <= LIMIT
        assert (b.x0[i].numpy() == one.samples[here]).all()
        assert (b.context[i, :overlap] == b.x0[i, :overlap]).all()
        assert not b.context[i, overlap:].any()
        assert not b.new[i, :overlap].any() and (b.new[i, overlap:] == 1).all()
        found.add((which, overlap))
    assert {which for which, _ in found} == {0, 1, 2, 3}
    overlaps = [overlap for _, overlap in found]
    assert max(overlaps) == LIMIT and min(overlaps) < LIMIT / 4


def test_the_first_and_the_last_place_of_a_clip_are_drawn():
    short = clip(5, size=LENGTH + 2)
    b = steps.draw([steps.heard(short)], RECIPE, np.random.default_rng(0), 60)
    assert set(b.x0[:, 0].tolist()) == set(short.samples[:3].tolist())


@pytest.mark.parametrize("kind", TOLD)
def test_what_is_not_told_is_zero(kind):
    b = draw(replace(RECIPE, told={kind: 1.0}))
    whole = draw(replace(RECIPE, told={"+P": 1.0}))
    phones, energy, pitch = {
        "none": (0, 0, 0), "-E": (1, 0, 0), "base": (1, 1, 0), "+P": (1, 1, 1)
    }[kind]  # fmt: skip
    for i, (which, first) in enumerate(places(b)):
        one, here = POOL[which], slice(first, first + LENGTH)
        assert (b.phones[i].numpy() == phones * one.phones[here]).all()
        assert (b.tracks[i, 0].numpy() == energy * one.tracks[0, here]).all()
        assert (b.tracks[i, 1].numpy() == pitch * one.tracks[1, here]).all()
    for name in ("x0", "context", "new", "s", "eps"):
        assert torch.equal(getattr(b, name), getattr(whole, name)), name


def test_kinds_and_empty_contexts_come_as_often_as_the_recipe_says():
    recipe = replace(RECIPE, told={"none": 0.1, "-E": 0.2, "base": 0.3, "+P": 0.4}, blind=0.25)
    b = draw(recipe, n=600)
    told = [b.phones.any(1), b.tracks[:, 0].any(1), b.tracks[:, 1].any(1)]
    for found, chance in zip(told, (0.9, 0.7, 0.4), strict=True):
        assert float(found.float().mean()) == pytest.approx(chance, abs=0.06)
    seen = b.context.any(1)
    assert float(seen.float().mean()) == pytest.approx(0.75, abs=0.06)
    # Contexts are empty whatever is told, and what is new does not depend on it.
    assert float(seen[told[2]].float().mean()) == pytest.approx(0.75, abs=0.09)
    assert torch.equal(b.new, draw(replace(recipe, blind=0.0), n=600).new)
    assert not draw(replace(recipe, blind=1.0)).context.any()


def test_noise_lies_on_the_known_samples_alone():
    clean, b = draw(n=60), draw(replace(RECIPE, corrupt=0.5), n=60)
    assert all(torch.equal(getattr(b, k), v) for k, v in clean._asdict().items() if k != "context")
    noise = (b.context - clean.context) * (1 - b.new)
    assert not (b.context * b.new).any()
    strength = np.array(
        [float(row[known == 0].std()) for row, known in zip(noise, b.new, strict=True)]
    )
    assert 0 < strength.min() < 0.1 and 0.4 < strength.max() < 0.55
    assert strength.mean() == pytest.approx(0.25, abs=0.06)
    twice = draw(replace(RECIPE, corrupt=1.0), n=60)
    torch.testing.assert_close(
        twice.context - clean.context, 2 * (b.context - clean.context), atol=1e-5, rtol=1e-4
    )


def test_steps_lie_one_in_each_part_of_the_chain():
    for seed in range(5):
        s = draw(seed=seed, n=16).s.numpy()
        for i, one in enumerate(s):
            assert np.floor(i * 200 / 16) <= one < np.ceil((i + 1) * 200 / 16)
    assert draw(n=200).s.tolist() == list(range(len(ALPHA_BAR)))


def test_a_batch_is_of_its_generator_and_fits_the_network():
    b, again, other = draw(seed=3), draw(seed=3), draw(seed=4)
    assert len(b.x0) == RECIPE.batch
    for name, value in b._asdict().items():
        assert torch.equal(value, getattr(again, name)), name
        assert not torch.equal(value, getattr(other, name)), name
    whole = {"phones", "s"}
    assert {k for k, v in b._asdict().items() if v.dtype == torch.int64} == whole
    assert {v.dtype for k, v in b._asdict().items() if k not in whole} == {torch.float32}
    assert torch.corrcoef(b.eps).fill_diagonal_(0).abs().max() < 0.1  # each frame has its own noise
    assert float(b.eps.mean()) == pytest.approx(0.0, abs=0.02)
    assert float(b.eps.std()) == pytest.approx(1.0, abs=0.02)


def test_a_recipe_makes_its_network():
    sizes = {"channels": 4, "layers": 3, "kernels": (5, 3), "cycle": 2, "c_emb": 8}
    net = replace(RECIPE, **sizes, embedding=3, fold=8, gain=False).network()
    assert (net.phones, net.tracks, net.speakers) == (len(SYMBOLS), 2, 0)
    assert net.enter.weight.shape == (4, 8, 1) and net.symbol.weight.shape == (64, 3)
    assert [m.convs[0].dilation[0] for m in net.mix] == [1, 2, 1]
    assert [c.kernel_size[0] for c in net.mix[0].convs] == [5, 3]
    assert net.step[0].out_features == 8 and net.gain is None
    plain = replace(RECIPE, **sizes, embedding=0).network()
    assert not hasattr(plain, "symbol") and plain.gain is not None


# --- the loss ------------------------------------------------------------------------------------


class Fake:
    """A network that makes its answer of all that it is given."""

    def given(self, context, phones, tracks):
        return context + 0.01 * phones + 0.1 * tracks[:, 0] - 0.2 * tracks[:, 1]

    def __call__(self, x, s, given):
        return 0.7 * x + 0.01 * s[:, None] + given


def test_the_loss_by_hand():
    b = draw(n=6)
    parts = {k: v.double().numpy() for k, v in b._asdict().items()}
    level = np.cumprod(1 - np.linspace(1e-4, 0.02, 200))[b.s.numpy()][:, None]
    x_s = np.sqrt(level) * parts["x0"] + np.sqrt(1 - level) * parts["eps"]
    answer = 0.7 * x_s + 0.01 * parts["s"][:, None] + parts["context"] + 0.01 * parts["phones"]
    answer += 0.1 * parts["tracks"][:, 0] - 0.2 * parts["tracks"][:, 1]
    away = np.abs(answer - parts["eps"])
    np.testing.assert_allclose(steps.errors(Fake(), b).numpy(), away, atol=1e-5)
    assert float(steps.loss(Fake(), b)) == pytest.approx(away.mean(), rel=1e-5)
    new = away[parts["new"] == 1].mean()
    assert float(steps.loss(Fake(), b, masked=True)) == pytest.approx(new, rel=1e-5)
    assert abs(new - away.mean()) > 1e-4


def test_the_trivial_error_is_that_of_the_guess_that_all_is_noise():
    class Guess(Fake):
        def __call__(self, x, s, given):
            return x / (1 - torch.as_tensor(ALPHA_BAR)[s])[:, None].sqrt()

    b = draw(n=6)
    b = b._replace(x0=b.x0.double(), eps=b.eps.double(), context=b.context.double())
    found = steps.trivial(b)
    torch.testing.assert_close(found, steps.errors(Guess(), b), rtol=1e-9, atol=1e-12)
    last = b._replace(s=torch.full((6,), 199))
    ratio = ALPHA_BAR[-1] / (1 - ALPHA_BAR[-1])
    torch.testing.assert_close(steps.trivial(last), ratio**0.5 * b.x0.abs())
    assert float(ratio) == pytest.approx(0.1322 / 0.8678, rel=1e-3)


def test_texts_do_not_hang_on_the_pitches():
    usual, other = steps.corpus("test", 4), steps.corpus("test", 4, (110, 220))
    assert [clip.phones for clip in usual] == [clip.phones for clip in other]
    assert [clip.f0 for clip in other] == [110, 220, 110, 220]
