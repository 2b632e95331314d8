"""Overlaps and plans: against the definitions, by brute force, and beside the released scheduler."""

from itertools import count, islice, pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from diffbook.framewise import Frame, known, overlap_matrix, plan, plan_fixed, training_overlap


def tiled(lengths):
    """Intervals of phones with these lengths."""
    ends = np.cumsum(np.asarray(lengths, np.int64))
    return np.stack([ends - lengths, ends], axis=1)


def rule(lengths, start, stop, limit):
    """Overlap of a training pair, sample by sample: which phone is each sample of the crop of?"""
    label = np.repeat(np.arange(len(lengths)), lengths)[start:stop]
    ends = [int(np.flatnonzero(label == one)[-1]) + 1 for one in dict.fromkeys(label.tolist())]
    # The release reads the phone's own end, which the crop may have cut.
    ends[-1] = int(np.sum(lengths[: label[-1] + 1])) - start
    k = int(np.ceil(len(ends) / 3))
    while k > 1 and ends[k - 1] > limit:
        k -= 1
    return min(ends[k - 1], limit)


# --- the known overlap --------------------------------------------------------------------------


def test_the_last_samples_come_to_the_front():
    x = np.arange(1, 9)
    np.testing.assert_array_equal(known(x, 3, 8), [6, 7, 8, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(known(x, 0, 8), np.zeros(8))
    np.testing.assert_array_equal(known(x[-2:], 2, 5), [7, 8, 0, 0, 0])


@pytest.mark.parametrize("overlap", [0, 1, 4, 7])
def test_the_matrix_is_the_same_map(overlap):
    x = np.random.default_rng(0).standard_normal((5, 8))
    H = overlap_matrix(8, overlap)
    np.testing.assert_array_equal(x @ H.T, known(x, overlap, 8))
    assert H.sum() == overlap
    assert set(H.ravel()) <= {0.0, 1.0}


def test_the_precision_is_kept():
    x = np.ones(4, np.float32)
    assert known(x, 2, 3).dtype == np.float32
    assert known(x, 2, 3) is not x


@pytest.mark.parametrize(
    ("x", "overlap", "length"), [(np.ones(4), 5, 9), (np.ones(4), 4, 4), (1.0, 0, 3)]
)
def test_an_overlap_that_cannot_be_is_refused(x, overlap, length):
    with pytest.raises(ValueError, match=r"overlap|x_before"):
        known(x, overlap, length)


# --- the overlap of training ----------------------------------------------------------------------


def test_a_third_of_the_phones_is_known():
    ends = np.arange(10, 101, 10)
    # [15, 55) touches the phones that end at 20, 30, 40, 50 and 60: two of five are known.
    assert training_overlap(ends, 15, 40, 20) == 15
    assert training_overlap(ends, 15, 40, 14) == 5  # one, where two are too long
    assert training_overlap(ends, 15, 40, 3) == 3  # and a piece of it
    assert training_overlap(ends, 20, 40, 20) == 20  # four phones
    assert training_overlap(ends, 20, 30, 15) == 10  # three
    assert training_overlap(ends, 32, 5, 5) == 5  # one, cut at both sides


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.data())
def test_the_rule_is_that_of_labelled_samples(lengths, data):
    n = sum(lengths)
    start = data.draw(st.integers(0, n - 1))
    length = data.draw(st.integers(1, n - start))
    limit = data.draw(st.integers(0, length))
    found = training_overlap(np.cumsum(lengths), start, length, limit)
    assert found == rule(lengths, start, start + length, limit)
    assert isinstance(found, int)


def test_ends_must_increase_and_hold_the_crop():
    with pytest.raises(ValueError, match="ends"):
        training_overlap(np.array([3, 3, 5]), 0, 2, 1)
    with pytest.raises(ValueError, match="ends"):
        training_overlap(np.array([3.0, 5.0]), 0, 2, 1)
    with pytest.raises(ValueError, match="length: got 4, expected a whole number from 1 to 3"):
        training_overlap(np.array([3, 5]), 2, 4, 1)


# --- frames -----------------------------------------------------------------------------------------


def test_a_frame_has_new_samples():
    assert Frame(10, 30, 8).new == 12
    for start, stop, overlap in ((-1, 3, 0), (3, 3, 0), (0, 3, 3), (0, 3, -1)):
        with pytest.raises(ValueError, match=r"start|stop|overlap"):
            Frame(start, stop, overlap)


@st.composite
def utterances(draw):
    """Phones from one sample to three frames, the length of a frame, the limit of an overlap."""
    length = draw(st.integers(2, 40))
    short = st.integers(1, max(1, length // 3))
    phones = st.one_of(short, short, st.integers(1, 3 * length))
    lengths = draw(st.lists(phones, min_size=1, max_size=40))
    return lengths, length, draw(st.none() | st.integers(0, length // 2))


@settings(max_examples=300, deadline=None)
@given(utterances())
@example(([40] * 3, 20, None))  # phones of two frames
@example(([10] * 9, 20, None))  # of half a frame
@example(([1] * 200, 40, None))
@example(([5, 5, 5, 11], 20, None))  # the release plans for ever
def test_every_plan_keeps_its_promises(case):
    lengths, length, limit = case
    intervals, total = tiled(lengths), sum(lengths)
    frames = list(plan(intervals, length, limit))
    limit = length // 2 if limit is None else limit
    ends = intervals[:, 1]
    borders = {0, *ends.tolist()}

    assert (frames[0].start, frames[0].overlap) == (0, 0)
    assert frames[-1].stop == total
    assert sum(frame.new for frame in frames) == total
    for before, frame in pairwise(frames):
        assert frame.start + frame.overlap == before.stop
        assert frame.overlap <= min(limit, before.stop - before.start)
        size = frame.stop - frame.start
        assert frame.overlap <= rule(lengths, frame.start, frame.stop, min(limit, size))
        # Whole phones are known, or as much of one as may be.
        assert frame.start in borders or frame.overlap == limit
        # Half of the frame, or what is left is one phone.
        one = not any(frame.start < end < before.stop for end in ends)
        assert one or frame.overlap <= rule(lengths, frame.start, frame.stop, min(limit, size // 2))
    for frame in frames:
        size = frame.stop - frame.start
        assert frame.new >= 1
        assert size <= length + length // 4
        if frame.stop not in borders:
            first = ends[ends < frame.stop].max(initial=0)
            assert 2 * (ends[ends > frame.stop].min() - first) > length


@settings(max_examples=150, deadline=None)
@given(utterances())
def test_a_frame_ends_as_near_to_its_length_as_can_be(case):
    lengths, length, _ = case
    ends = np.cumsum(lengths)
    longest = length + length // 4
    for frame in plan(tiled(lengths), length, 0):  # without overlap the beginning does not move
        sizes = ends[ends > frame.start] - frame.start
        size = frame.stop - frame.start
        if sizes[-1] <= longest:
            assert size == sizes[-1]
            continue
        allowed = sizes[(2 * sizes > length) & (sizes <= longest)]
        assert size == (
            max(allowed, key=lambda n: (-abs(n - length), n)) if len(allowed) else length
        )


def test_a_known_third_of_the_frame_before():
    """Ten phones a frame: four of them are known, fewer where the limit is shorter."""
    frames = list(plan(tiled([10] * 40), 100))
    assert frames[:3] == [Frame(0, 100, 0), Frame(60, 160, 40), Frame(120, 220, 40)]
    assert list(plan(tiled([10] * 40), 100, 35))[1] == Frame(70, 170, 30)
    assert list(plan(tiled([10] * 40), 100, 30))[1] == Frame(70, 170, 30)
    assert list(plan(tiled([10] * 40), 100, 7))[1] == Frame(93, 190, 7)
    assert [f.overlap for f in plan(tiled([10] * 40), 100, 0)] == [0, 0, 0, 0]


def test_an_overlap_shrinks_to_that_of_training():
    """Seven phones, then long ones: three would be known of a frame that has five."""
    frames = list(plan(tiled([10] * 7 + [30] * 9), 80))
    assert frames[0] == Frame(0, 70, 0)
    # [40, 130) has five phones, of which training tells two.
    assert frames[1] == Frame(50, 130, 20)
    # Two phones may be known of seven, but not more than half of a short last frame.
    frames = list(plan(tiled([13] * 4 + [24] * 2 + [6] * 5), 100))
    assert frames == [Frame(0, 100, 0), Frame(76, 130, 24)]


def test_a_short_rest_joins_the_last_frame():
    assert list(plan(tiled([50, 50, 20]), 100)) == [Frame(0, 120, 0)]
    assert list(plan(tiled([50, 50, 30]), 100)) == [Frame(0, 100, 0), Frame(50, 130, 50)]


def test_a_phone_longer_than_a_frame_is_cut():
    frames = list(plan(tiled([20, 400, 20]), 100))
    assert frames[0] == Frame(0, 100, 0)
    assert frames[1] == Frame(50, 150, 50)
    assert all(frame.overlap == 50 for frame in frames[1:])


def test_a_stream_of_phones_is_read_as_far_as_a_frame_needs():
    read = 0

    def phones():
        nonlocal read
        for i in count():
            read = 10 * i + 10
            yield 10 * i, 10 * i + 10

    for frame in islice(plan(phones(), 100), 1000):
        assert read <= frame.start + 50 + 125 + 10
    assert frame.start > 50_000


@given(utterances())
def test_an_iterator_is_planned_like_an_array(case):
    lengths, length, limit = case
    pairs = tiled(lengths)
    assert list(plan(iter(pairs.tolist()), length, limit)) == list(plan(pairs, length, limit))


@pytest.mark.parametrize(
    ("intervals", "words"),
    [
        ([[1, 3]], "expected 0"),
        ([[0, 3], [4, 5]], r"intervals\[(0|1)\]"),
        ([[0, 3], [2, 5]], r"intervals\[(0|1)\]"),
        ([[0, 3], [3, 3]], r"intervals\[1\]"),
        ([[0, 3], [3, 1]], r"intervals\[1\]"),
        ([], "intervals"),
    ],
)
def test_phones_must_tile(intervals, words):
    with pytest.raises(ValueError, match=words):
        plan(intervals, 10)  # an array at once
    with pytest.raises(ValueError, match=words):
        list(plan(iter(intervals), 10))


# --- beside the released scheduler ------------------------------------------------------------------


def released(lengths, W):
    """Frames (start, stop, overlap) as the released scheduler plans them; None if for ever.

    Written anew from its functions; phones in samples.
    """
    phones = tiled(lengths).tolist()
    half, total, frames = W // 2, phones[-1][1], []
    start, overlap, cut, last = 0, 0, False, False
    while not last:
        if len(frames) > total // 10:
            return None
        stop, resumed = start, False
        for a, b in phones:
            if cut and a < stop < b:
                stop, cut, resumed = b, False, True
            if a != stop:
                continue
            size = stop - start
            fits = size + b - a <= W
            forced = size <= half or (resumed and size == half)
            if fits or forced or abs(size + b - a - W) <= abs(size - W):
                stop = b
            if not fits:
                break
        last = stop - start < half
        own = [(a, b) for a, b in phones if a < stop and b > start]
        if frames:
            allowed = rule(lengths, start, stop, round((stop - start) / 2))
            if allowed < overlap and resumed:
                start, overlap = start + overlap - allowed, allowed
            elif allowed < overlap:
                while overlap > allowed and overlap > own[0][1] - own[0][0]:
                    a, b = own.pop(0)
                    start, overlap = start + b - a, overlap - (b - a)
        frames.append((start, stop, overlap))
        fits = [stop - a for a, _ in own[-int(np.ceil(len(own) / 3)) :] if stop - a <= half]
        overlap, cut = (max(fits), False) if fits else (half, True)
        start = stop - overlap
    return frames


def test_frames_are_like_those_of_the_released_scheduler():
    """In milliseconds and on synthetic phones: quarter of a second of silence, 15 to 90 phones."""
    rng = np.random.default_rng(0)
    theirs, ours, same, of, seconds = [], [], 0, 0, 0.0
    endless = empty = 0
    for _ in range(200):
        phones = np.exp(rng.normal(np.log(75), 0.45, rng.integers(15, 91))).clip(40, 400)
        lengths = np.rint(np.r_[250, phones] * 16).astype(int).tolist()
        found = released(lengths, 8000)
        if found is None:
            endless += 1
            continue
        planned = [(f.start, f.stop, f.overlap) for f in plan(tiled(lengths), 8000)]
        empty += found[-1][1] - found[-1][0] == found[-1][2]
        same += len({f for f in found if f[1] - f[0] > f[2]} & set(planned))
        of += len(planned)
        seconds += sum(lengths) / 16000
        theirs += found
        ours += planned

    def figures(frames):
        start, stop, overlap = np.array(frames).T / 16
        size = stop - start
        full = size > overlap
        return (
            size[full].mean(), size[full].std(), overlap[overlap > 0].mean(),
            full.mean(), len(frames) / seconds, size.sum() / 1000 / seconds,
        )  # fmt: skip

    length, spread, overlap, _, rate, computed = figures(theirs)
    assert 0.8 < empty / 200 < 1.0  # a last frame without new samples
    assert endless <= 3
    np.testing.assert_allclose([length, spread, overlap], [476, 72, 159], atol=5)
    np.testing.assert_allclose([rate, computed], [3.24, 1.47], atol=0.03)

    # The same frames until the end of an utterance, most of them exactly.
    length, spread, overlap, full, rate, computed = figures(ours)
    assert full == 1.0
    assert same / of > 0.85
    np.testing.assert_allclose([length, overlap], [476, 159], atol=15)
    assert spread < 65
    assert 2.9 < rate < 3.1  # about one frame less in each utterance
    assert 1.44 < computed < 1.48


def test_where_the_released_scheduler_never_ends():
    lengths = [5, 5, 5, 11]
    assert released([1000 * n for n in lengths], 20_000) is None
    assert list(plan(tiled(lengths), 20)) == [Frame(0, 15, 0), Frame(10, 26, 5)]


# --- frames of one length -----------------------------------------------------------------------------


@given(st.integers(1, 200), st.integers(1, 40), st.data())
def test_fixed_frames_meet_the_total(total, length, data):
    overlap = data.draw(st.integers(0, length - 1))
    frames = list(plan_fixed(total, length, overlap))
    assert frames[0].overlap == 0
    assert all(frame.overlap == overlap for frame in frames[1:])
    assert all(frame.stop - frame.start == length for frame in frames[:-1])
    assert all(b.start + overlap == a.stop for a, b in pairwise(frames))
    assert frames[-1].stop == total
    assert sum(frame.new for frame in frames) == total


def test_three_and_a_half_seconds_are_six_frames():
    """The released unconditional examples: frames of a second that overlap by half."""
    assert len(list(plan_fixed(56_000, 16_000, 8_000))) == 6
