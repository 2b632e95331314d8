"""Scripts: what does not fit together is refused; conditions sample by sample."""

import numpy as np
import pytest

from diffbook.framewise import Script

ENDS = np.array([4, 5, 11, 20])
INTERVALS = np.stack([[0, 4, 5, 11], ENDS], axis=1)
PHONES = np.array([3, 1, 2, 9])
TRACKS = np.array([[0.1, 0.2, 0.3, 0.4], [5.0, 6.0, 7.0, 8.0]])


@pytest.mark.parametrize(("start", "stop"), [(0, 20), (3, 6), (5, 11), (6, 10), (19, 20), (4, 12)])
def test_conditions_of_samples(start, stop):
    script = Script(PHONES, INTERVALS, TRACKS)
    who = np.searchsorted(ENDS, np.arange(start, stop), side="right")
    phones, tracks = script.within(start, stop)
    np.testing.assert_array_equal(phones, PHONES[who])
    np.testing.assert_array_equal(tracks, TRACKS[:, who])
    assert (phones.dtype, tracks.dtype) == (np.int64, np.float64)
    assert script.total == 20


def test_a_script_without_tracks_and_one_of_lists():
    _, tracks = Script(PHONES, INTERVALS, np.zeros((0, 4))).within(2, 9)
    assert tracks.shape == (0, 7)
    script = Script([0], [[0, 5]], [[1]], 2)
    assert script.phones.dtype == script.intervals.dtype == np.int64
    assert (script.tracks.dtype, script.speaker) == (np.float64, 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("intervals", INTERVALS + 1),
        ("intervals", INTERVALS[:-1]),
        ("intervals", INTERVALS[::-1]),
        ("intervals", np.array([[0, 4], [4, 4], [4, 11], [11, 20]])),  # an empty phone
        ("intervals", np.array([[0, 4], [4, 2], [2, 11], [11, 20]])),  # a negative duration
        ("intervals", np.array([[0, 4], [5, 6], [6, 11], [11, 20]])),  # a gap
        ("intervals", np.array([[0, 4], [3, 5], [5, 11], [11, 20]])),  # two at once
        ("tracks", np.full((2, 4), np.nan)),
        ("tracks", np.zeros(4)),
        ("tracks", np.zeros((2, 3))),
        ("phones", np.array([3, 1, 2])),
        ("phones", np.array([3, 1, -2, 4])),
        ("phones", PHONES.astype(float)),
        ("speaker", -1),
        ("speaker", 0.5),
    ],
)
def test_what_does_not_fit_is_refused_by_name(name, value):
    given = {"phones": PHONES, "intervals": INTERVALS, "tracks": TRACKS, "speaker": 0}
    words = name if name != "phones" or len(value) == 4 else "intervals"
    with pytest.raises(ValueError, match=rf"^{words}"):
        Script(**{**given, name: value})


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (0, 21), (3, 3), (20, 21)])
def test_samples_beyond_the_end_are_refused(start, stop):
    with pytest.raises(ValueError, match=r"start|stop"):
        Script(PHONES, INTERVALS, TRACKS).within(start, stop)
