"""Generation frame by frame: what networks are told, how frames are joined, and an exact answer."""

import gc
import tracemalloc
import weakref
from itertools import pairwise

import numpy as np
import pytest
import torch

from diffbook.framewise import (
    Frame,
    Script,
    generate,
    known,
    plan,
    plan_fixed,
    stream,
    unconditional,
)
from diffbook.nets.diffar import DiffAR
from diffbook.samplers import ddim, ddpm, dpmpp_2m, heun
from diffbook.schedules import ddpm_chain

torch.set_num_threads(1)

TRAIN = ddpm_chain(200)
PAPER = np.r_[1.0, TRAIN]
FEW = np.r_[1.0, TRAIN[9::38]]  # six steps
LENGTH = 60


def script(phones, seed=0, tracks=2, symbols=9, speaker=None, high=25):
    rng = np.random.default_rng(seed)
    ends = np.cumsum(rng.integers(5, high, phones))
    intervals = np.stack([np.r_[0, ends[:-1]], ends], axis=1)
    return Script(
        rng.integers(1, symbols + 1, phones), intervals, rng.random((tracks, phones)), speaker
    )


SCRIPTS = [script(20, 1), script(2, 2), script(11, 3), script(20, 4)]
SEEDS = [5, 6, 7, 8]


def random_net(**more):
    torch.manual_seed(0)
    net = DiffAR(9, 8, 3, tracks=2, **more)
    torch.nn.init.normal_(net.leave.weight, std=0.2)
    return net.requires_grad_(False)


NET = random_net()


class Spy(torch.nn.Module):
    """A network that finds no noise and remembers what it was told."""

    def __init__(self, phones=9, tracks=2, speakers=0, dtype=torch.float32):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1, dtype=dtype))
        self.phones, self.tracks, self.speakers = phones, tracks, speakers
        self.told, self.seen = [], []

    def given(self, context, phones, tracks=None, speaker=None, lengths=None):
        self.told.append((context, phones, tracks, speaker, lengths))
        return len(self.told) - 1

    def forward(self, x, s, given):
        self.seen.append((given, x.numpy().copy(), s.tolist()))
        return torch.zeros_like(x)


def frames_of(one, length=LENGTH):
    return list(plan(one.intervals, length))


def spied(spy, sampler=ddim, **more):
    return list(stream(spy, SCRIPTS[0], FEW, length=LENGTH, sampler=sampler, seed=5, **more))


# --- what a network is told ---------------------------------------------------------------------


def test_a_frame_knows_what_was_generated_before_it_and_its_own_text():
    spy, frames = Spy(), frames_of(SCRIPTS[0])
    pieces = spied(spy)
    assert len(spy.told) == len(pieces) == len(frames) > 3
    for i, (frame, (context, phones, tracks, speaker, lengths)) in enumerate(
        zip(frames, spy.told, strict=True)
    ):
        so_far = np.concatenate([np.zeros(1, np.float32), *pieces[:i]])
        size = frame.stop - frame.start
        np.testing.assert_array_equal(context[0], known(so_far, frame.overlap, size))
        its_phones, its_tracks = SCRIPTS[0].within(frame.start, frame.stop)
        np.testing.assert_array_equal(phones[0], its_phones)
        np.testing.assert_array_equal(tracks[0], its_tracks.astype(np.float32))
        assert (speaker, lengths) == (None, None)
        assert len(pieces[i]) == frame.new
        assert pieces[i].dtype == np.float32


def test_steps_run_from_the_last_to_the_first():
    spy = Spy()
    spied(spy)
    np.testing.assert_allclose(
        [s for _, _, (s,) in spy.seen[:6]], [199, 161, 123, 85, 47, 9], atol=1e-4
    )


def test_speaker_and_precision_are_handed_on():
    spy = Spy(tracks=0, speakers=4, dtype=torch.float64)
    one = script(9, 1, tracks=0, speaker=3)
    pieces = list(stream(spy, one, FEW, length=LENGTH))
    assert pieces[0].dtype == np.float64
    context, _, tracks, speaker, _ = spy.told[-1]
    assert (context.dtype, tracks, speaker.tolist()) == (torch.float64, None, [3])


def test_without_context_frames_are_alone():
    spy = Spy()
    pieces = spied(spy, context="none", limit=20)
    assert all(not context.any() for context, *_ in spy.told)
    assert [len(piece) for piece in pieces] == [
        frame.stop - frame.start for frame in plan(SCRIPTS[0].intervals, LENGTH, 0)
    ]
    # Given frames may overlap still; each is what it is without those before it.
    spy, frames = Spy(), frames_of(SCRIPTS[0])
    pieces = list(stream(spy, SCRIPTS[0], FEW, frames=frames, sampler=ddim, context="none"))
    assert all(not context.any() for context, *_ in spy.told)
    assert [len(piece) for piece in pieces] == [frame.new for frame in frames]


def test_with_a_history_a_frame_knows_the_recording():
    spy = Spy()
    past = np.random.default_rng(0).standard_normal(SCRIPTS[0].total).astype(np.float32)
    more = {"seeds": [5], "length": LENGTH, "sampler": ddim}
    taught = generate(spy, [SCRIPTS[0]], FEW, history=[past], **more)[0]
    for frame, (context, *_) in zip(frames_of(SCRIPTS[0]), spy.told, strict=True):
        size, stop = frame.stop - frame.start, frame.start + frame.overlap
        np.testing.assert_array_equal(context[0], known(np.r_[0, past[:stop]], frame.overlap, size))
    # A network that does not listen says the same; what is returned is not the recording.
    np.testing.assert_array_equal(taught, generate(Spy(), [SCRIPTS[0]], FEW, **more)[0])
    listening = generate(NET, [SCRIPTS[0]], FEW, history=[past], **more)[0]
    assert np.abs(listening - generate(NET, [SCRIPTS[0]], FEW, **more)[0]).max() > 1e-3


# --- noise -----------------------------------------------------------------------------------------


def test_every_frame_starts_from_its_own_standard_noise():
    spy, n = Spy(tracks=0), 40
    unconditional(spy, 900, 100, 0, FEW, seeds=range(n), sampler=ddim)
    starts = np.stack([x for _, x, s in spy.seen if s[0] > 190], axis=1)
    assert starts.shape == (n, 9, 100)
    assert starts.mean() == pytest.approx(0, abs=4 / np.sqrt(starts.size))
    assert starts.var() == pytest.approx(1, abs=4 * np.sqrt(2 / starts.size))
    rows = np.corrcoef(starts.reshape(n * 9, 100)) - np.eye(n * 9)
    assert np.abs(rows).max() < 0.55  # ten thousand pairs of a hundred samples


def test_every_step_has_its_own_noise():
    spy = Spy(tracks=0)
    unconditional(spy, 1000, 500, 0, FEW, seeds=[1, 2], sampler=ddpm)
    # Where no noise is found a step adds its own to a multiple of the state.
    states = [np.stack([x for g, x, _ in spy.seen if g == frame]) for frame in range(2)]
    fresh = []
    for walk in states:
        for before, after in pairwise(walk):
            for a, b in zip(before, after, strict=True):
                fresh.append(b - a * (a @ b) / (a @ a))
    found = np.corrcoef(fresh) - np.eye(len(fresh))
    assert len(fresh) == 20
    assert np.abs(found).max() < 0.25


def test_the_seed_is_the_only_chance():
    first, again, other = (
        np.concatenate(list(stream(NET, SCRIPTS[2], FEW, length=LENGTH, seed=seed)))
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


# --- one frame is the paper's chain -------------------------------------------------------------------


def test_a_frame_is_the_reverse_process_of_the_paper():
    """Eq. 6 written out, with the noise that the sampler draws."""
    net = random_net().double()
    drawn = {}

    def spying(denoiser, x_T, schedule, *, noise):
        drawn["T"] = x_T.clone()

        def keep(s, x):
            drawn[s] = noise(s, x)
            return drawn[s]

        return ddpm(denoiser, x_T, schedule, noise=keep)

    one = script(4, 3)
    (found,) = stream(net, one, PAPER, length=one.total, sampler=spying)
    phones, tracks = one.within(0, one.total)
    given = net.given(
        torch.zeros(1, one.total, dtype=torch.float64), torch.as_tensor(phones)[None],
        torch.as_tensor(tracks)[None],
    )  # fmt: skip
    beta = np.linspace(1e-4, 0.02, 200)
    level = np.cumprod(1 - beta)
    x = drawn["T"]
    for s in range(199, -1, -1):
        eps = net(x, torch.tensor([float(s)], dtype=torch.float64), given)
        x = (x - beta[s] / np.sqrt(1 - level[s]) * eps) / np.sqrt(1 - beta[s])
        if s > 0:
            x += np.sqrt((1 - level[s - 1]) / (1 - level[s]) * beta[s]) * drawn[s + 1]
    np.testing.assert_allclose(found, x[0], rtol=0, atol=1e-8)


# --- streams, batches, joints -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [{}, {"embedding": 4, "fold": 4, "gain": True}])
def test_each_utterance_of_a_batch_is_what_it_is_alone(kind):
    net = random_net(**kind)
    more = {"length": LENGTH, "sampler": ddpm}
    batch = generate(net, SCRIPTS, FEW, seeds=SEEDS, **more)
    for one, seed, found in zip(SCRIPTS, SEEDS, batch, strict=True):
        alone = np.concatenate(list(stream(net, one, FEW, seed=seed, **more)))
        assert found.shape == alone.shape == (one.total,)
        assert np.abs(alone).max() > 0.1
        np.testing.assert_allclose(found, alone, rtol=1e-5, atol=1e-5)
        (single,) = generate(net, [one], FEW, seeds=[seed], **more)
        np.testing.assert_array_equal(single, alone)


@pytest.mark.parametrize("sampler", [ddim, heun, dpmpp_2m])
def test_other_samplers_will_do(sampler):
    more = {"length": LENGTH, "sampler": sampler}
    batch = generate(NET, SCRIPTS[:2], FEW, seeds=SEEDS[:2], **more)
    alone = np.concatenate(list(stream(NET, SCRIPTS[0], FEW, seed=SEEDS[0], **more)))
    np.testing.assert_allclose(batch[0], alone, rtol=1e-5, atol=1e-5)


def test_utterances_that_have_ended_leave_the_batch():
    spy = Spy()
    generate(spy, SCRIPTS, FEW, seeds=SEEDS, length=LENGTH, sampler=ddim)
    turns = [len(frames_of(one)) for one in SCRIPTS]
    assert len(set(turns)) > 2
    assert [len(context) for context, *_ in spy.told] == [
        sum(turn > i for turn in turns) for i in range(max(turns))
    ]
    for context, phones, tracks, _, lengths in spy.told:
        for i, size in enumerate(lengths if lengths is not None else []):
            assert not context[i, size:].any()
            assert not phones[i, size:].any()
            assert not tracks[i, :, size:].any()


def test_what_fills_a_frame_up_cannot_diverge():
    class Loud(Spy):
        """Finds a thousandfold noise where there is no frame."""

        def forward(self, x, s, given):
            *_, lengths = self.told[given]
            if lengths is None:
                return torch.zeros_like(x)
            outside = (torch.arange(x.shape[1]) >= lengths[:, None]).float()
            self.seen.append(float((x * outside).abs().max()))
            return -1e3 * outside

    spy = Loud()
    found = generate(spy, SCRIPTS, PAPER, seeds=SEEDS, length=LENGTH)
    assert len(spy.seen) > 400
    assert max(spy.seen) == 0
    assert all(np.isfinite(one).all() for one in found)


def test_nothing_is_lost_at_the_joints():
    """A frame is the process's own answer where it is new; old samples win where it is not."""
    spy, frames = Spy(), frames_of(SCRIPTS[0])
    whole, pieces = [], []

    def keeping(*given, **more):
        result = ddpm(*given, **more)
        whole.append(result.sample[0].numpy())
        return result

    for frame, piece in zip(frames, stream(
        spy, SCRIPTS[0], FEW, length=LENGTH, sampler=keeping, seed=5
    ), strict=True):  # fmt: skip
        np.testing.assert_array_equal(piece, whole[-1][frame.overlap :])
        pieces.append(piece)
    assert sum(map(len, pieces)) == SCRIPTS[0].total
    (joined,) = generate(Spy(), [SCRIPTS[0]], FEW, seeds=[5], length=LENGTH)
    np.testing.assert_array_equal(joined, np.concatenate(pieces))


def test_a_frame_is_made_when_it_is_asked_for():
    spy = Spy()
    pieces = stream(spy, SCRIPTS[0], FEW, length=LENGTH, sampler=ddim)
    assert not spy.told
    next(pieces)
    assert len(spy.told) == 1
    assert not torch.is_inference_mode_enabled()


def test_what_is_done_to_a_piece_does_not_reach_the_next():
    plain = np.concatenate(spied(Spy()))
    spy, found = Spy(), []
    for piece in stream(spy, SCRIPTS[0], FEW, length=LENGTH, sampler=ddim, seed=5):
        found.append(piece.copy())
        piece *= 0
    np.testing.assert_array_equal(np.concatenate(found), plain)
    assert all(context.any() for context, *_ in spy.told[1:])


def test_memory_does_not_grow_with_the_utterance():
    class Deaf(Spy):
        def given(self, *told):
            return None

        def forward(self, x, s, given):
            return torch.zeros_like(x)

    one = script(600, 9, tracks=2, high=900)
    pieces = stream(Deaf(), one, FEW, length=2000, sampler=ddim)
    kept, marks = [], []
    tracemalloc.start()
    for i in range(201):
        kept.append(weakref.ref(next(pieces)))
        if i in (5, 200):
            peak = tracemalloc.get_traced_memory()[1]
            tensors = sum(type(x) is torch.Tensor for x in gc.get_objects())
            marks.append((peak, tensors, sum(piece() is not None for piece in kept)))
            tracemalloc.reset_peak()
    tracemalloc.stop()
    (early, tensors, alive), (late, tensors_late, alive_late) = marks
    assert (alive, alive_late) == (0, 0)
    assert tensors_late <= tensors
    assert late < early + 100_000  # 200 frames have more than a million bytes


# --- without a text -----------------------------------------------------------------------------------


def test_unconditional_frames_of_one_length():
    spy = Spy(tracks=1, speakers=2)
    found = unconditional(spy, 250, 100, 50, FEW, seeds=[1, 2, 3], sampler=ddim, speaker=1)
    assert found.shape == (3, 250)
    assert [context.shape for context, *_ in spy.told] == [(3, 100)] * 4
    for i, (context, phones, tracks, speaker, lengths) in enumerate(spy.told):
        np.testing.assert_array_equal(context[:, :50], found[:, 50 * i : 50 * i + 50] * (i > 0))
        assert not context[:, 50:].any()
        assert not phones.any()
        assert not tracks.any()
        assert speaker.tolist() == [1, 1, 1]
        assert lengths is None


def test_unconditional_signals_are_those_of_their_seeds():
    two = unconditional(NET, 130, 60, 20, FEW, seeds=[4, 9])
    (one,) = unconditional(NET, 130, 60, 20, FEW, seeds=[9])
    np.testing.assert_allclose(two[1], one, rtol=1e-5, atol=1e-5)


def test_progress_is_shown_if_wanted(capsys):
    unconditional(Spy(tracks=0), 250, 100, 50, FEW, seeds=[1], sampler=ddim, progress=True)
    assert "4/4" in capsys.readouterr().err


# --- an exact answer ------------------------------------------------------------------------------------

# A Markov source: x_t = A x_{t-1} + e_t, of variance 1.
A, FRAME, KNOWN, TOTAL = 0.8, 16, 5, 38
MARKOV_LEVELS = ddpm_chain(100, 1e-4, 0.15)
MARKOV = np.r_[1.0, MARKOV_LEVELS]


class Markov(Spy):
    """The exact mean of the noise in a frame of the Markov source, given its known samples."""

    def __init__(self):
        super().__init__(tracks=0, dtype=torch.float64)

    def given(self, context, phones, tracks, speaker, lengths):
        n = context.shape[1]
        o = int(context.any(0).sum())
        at = torch.arange(n, dtype=torch.float64)
        cov = A ** (at[:, None] - at).abs()
        mean = context.clone()
        if o:
            since = at - (o - 1)
            cov = torch.where(
                (at < o)[:, None] | (at < o), 0.0, cov - A ** (since[:, None] + since)
            )
            mean[:, o:] = context[:, o - 1 : o] * A ** since[o:]
        return mean, cov

    def forward(self, x, s, given):
        mean, cov = given
        level = float(MARKOV_LEVELS[round(s[0].item())])
        seen = level * cov + (1 - level) * torch.eye(len(cov), dtype=x.dtype)
        residual = torch.linalg.solve(seen, (x - level**0.5 * mean).T).T
        return (1 - level) ** 0.5 * residual


def markov(n, **more):
    return unconditional(
        Markov(), TOTAL, FRAME, KNOWN, MARKOV, seeds=range(n), alpha_bar_train=MARKOV_LEVELS, **more
    )


def z_scores(x, cov):
    """Sample covariances of x (n, d), mean zero, as standard errors from `cov`."""
    found = x.T @ x / len(x)
    variance = np.diag(cov)
    return (found - cov) / np.sqrt((np.outer(variance, variance) + cov**2) / len(x))


LAGS = np.abs(np.arange(TOTAL)[:, None] - np.arange(TOTAL))
JOINTS = [FRAME + i * (FRAME - KNOWN) for i in range(2)]  # first new samples of frames 2 and 3


@pytest.mark.parametrize(("sampler", "n"), [(heun, 3000), (ddpm, 500)])
def test_frames_that_know_the_end_of_the_last_are_exact_for_a_markov_source(sampler, n):
    """The process that the network knows comes out, within frames and across all joints."""
    x = markov(n, sampler=sampler)
    assert np.abs(z_scores(x, A**LAGS)).max() < 5
    for joint in JOINTS:
        # What is new at a joint has the variance of e_t, and owes nothing to the past.
        e = x[:, joint] - A * x[:, joint - 1]
        assert e.var() == pytest.approx(1 - A**2, rel=4 * np.sqrt(2 / n))
        past = np.array([np.corrcoef(e, x[:, joint - lag])[0, 1] for lag in range(1, joint + 1)])
        assert np.abs(past).max() < 4.5 / np.sqrt(n)


def test_one_known_sample_is_enough_for_a_markov_source():
    x = unconditional(
        Markov(), 31, 16, 1, MARKOV, seeds=range(2000), alpha_bar_train=MARKOV_LEVELS, sampler=heun
    )
    assert np.abs(z_scores(x, A ** LAGS[:31, :31])).max() < 5


def test_frames_alone_are_not_joined():
    x = unconditional(
        Markov(), 32, 16, 0, MARKOV, seeds=range(2000), alpha_bar_train=MARKOV_LEVELS, sampler=heun
    )
    alone = A ** LAGS[:32, :32] * np.kron(np.eye(2), np.ones((16, 16)))
    assert np.abs(z_scores(x, alone)).max() < 5
    # And with frames that overlap, but know nothing.
    x = markov(2000, sampler=heun, context="none")
    across = [np.corrcoef(x[:, joint - 1], x[:, joint])[0, 1] for joint in JOINTS]
    assert np.abs(across).max() < 4.5 / np.sqrt(2000)


# --- nonsense -----------------------------------------------------------------------------------------


def refused(words, net=NET, one=SCRIPTS[0], schedule=FEW, **more):
    calls = []
    more = {"length": LENGTH, **more}
    one_of_them = {k: [v] if k == "frames" and v is not None else v for k, v in more.items()}
    for call in (
        lambda: stream(net, one, schedule, **more),
        lambda: generate(net, [one], schedule, seeds=[1], **one_of_them),
    ):
        with pytest.raises(ValueError, match=words):
            calls.append(call())
    assert not calls


def test_what_cannot_be_generated_is_refused_at_the_call():
    refused("script.*got phone 14, expected at most 9", one=script(40, symbols=14))
    refused("script.*got 1 tracks, expected 2", one=script(5, tracks=1))
    refused("script.*got speaker 1, the network has none", one=script(5, speaker=1))
    refused("script.*got speaker None, the network has 3", net=Spy(speakers=3))
    refused(
        "script.*got speaker 3, the network has 3", net=Spy(speakers=3), one=script(5, speaker=3)
    )
    refused("script.*expected a Script", one=np.zeros(5))
    refused("context.*did you mean 'overlap'", context="overlaps")
    refused("schedule.*from 0.132", schedule=np.array([1.0, 0.5, 0.1]))
    refused("schedule must decrease", schedule=FEW[::-1])
    refused("sampler", sampler="ddpm")
    refused("limit", limit=LENGTH)
    refused("length", length=None)
    refused("frames: got frames and a length", frames=frames_of(SCRIPTS[0]))


@pytest.mark.parametrize(
    "frames",
    [
        [Frame(0, 40, 0)],  # ends early
        [Frame(1, SCRIPTS[1].total, 0)],  # begins late
        [Frame(0, 8, 0), Frame(9, SCRIPTS[1].total, 0)],  # a gap
        [Frame(0, 8, 0), Frame(6, SCRIPTS[1].total, 1)],  # another overlap than told
        [
            Frame(0, 4, 0),
            Frame(4, 8, 0),
            Frame(3, SCRIPTS[1].total, 5),
        ],  # more than the frame before
        [Frame(0, SCRIPTS[1].total + 1, 0)],
        [(0, SCRIPTS[1].total, 0)],
        [],
    ],
)
def test_frames_must_follow_each_other_to_the_end(frames):
    with pytest.raises(ValueError, match="frames"):
        list(stream(Spy(), SCRIPTS[1], FEW, frames=frames, sampler=ddim))
    with pytest.raises(ValueError, match=r"frames\[0\]"):
        generate(Spy(), [SCRIPTS[1]], FEW, seeds=[0], frames=[frames], sampler=ddim)


def test_frames_of_another_plan():
    """Where most of a frame is known, a frame knows samples of several before it: the old ones."""
    spy, frames = Spy(), list(plan_fixed(SCRIPTS[1].total, 20, 15))
    pieces = list(stream(spy, SCRIPTS[1], FEW, frames=iter(frames), sampler=ddim))
    assert [len(piece) for piece in pieces] == [frame.new for frame in frames]
    for frame, (context, *_) in zip(frames[1:], spy.told[1:], strict=True):
        so_far = np.concatenate(pieces)[: frame.start + frame.overlap]
        np.testing.assert_array_equal(context[0], known(so_far, 15, frame.stop - frame.start))


@pytest.mark.parametrize(
    ("words", "more"),
    [
        ("seeds", {"seeds": [1]}),
        ("seeds", {"seeds": [1, -1]}),
        ("frames", {"length": None, "frames": [frames_of(SCRIPTS[0])]}),
        ("history", {"history": [np.zeros(SCRIPTS[0].total)]}),
        (r"history\[1\]", {"history": [np.zeros(SCRIPTS[0].total), np.zeros(3)]}),
        ("history.*nan", {"history": [np.full(SCRIPTS[0].total, np.nan)] * 2}),
        ("history", {"context": "none", "history": [np.zeros(one.total) for one in SCRIPTS[:2]]}),
    ],
)
def test_batches_that_do_not_fit_are_refused(words, more):
    spy = Spy()
    with pytest.raises(ValueError, match=words):
        generate(spy, SCRIPTS[:2], FEW, **{"seeds": [1, 2], "length": LENGTH, **more})
    assert not spy.told


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match="scripts"):
        generate(NET, [], FEW, seeds=[], length=LENGTH)
    with pytest.raises(ValueError, match="seeds"):
        unconditional(NET, 100, 50, 20, FEW, seeds=[])
