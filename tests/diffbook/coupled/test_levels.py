"""Levels of the two processes."""

import numpy as np
import pytest

from diffbook import schedules
from diffbook.coupled import ouve_levels, vp_levels


def test_all_levels_of_the_cosine_chain():
    sigma = vp_levels(150)
    ab = 1.0 / (1.0 + sigma**2)
    assert sigma[0] == 0.0
    found = ab[1 + np.array([0, 49, 74, 99, 119])]
    np.testing.assert_allclose(found, [0.99963, 0.743, 0.494, 0.246, 0.094], atol=6e-4)
    assert ab[150] == pytest.approx(1.1e-7, rel=0.05)


@pytest.mark.parametrize("S", [1, 5, 7, 50, 149])
def test_a_strided_chain_walks_over_selected_levels_of_the_whole(S):
    sigma, whole = vp_levels(S), vp_levels(150)
    np.testing.assert_array_equal(sigma, whole[np.rint(np.arange(S + 1) * 150 / S).astype(int)])
    assert (sigma[0], sigma[-1]) == (0.0, whole[-1])


def test_a_chain_of_another_length():
    ab = schedules.cosine_chain(40)
    np.testing.assert_allclose(vp_levels(20, T=40)[1:] ** 2, 1.0 / ab[1::2] - 1.0, rtol=1e-12)
    with pytest.raises(ValueError, match=r"S: got 41, .* from 1 to 40 \(T is the length"):
        vp_levels(41, T=40)


def test_speech_levels_are_even_in_time():
    sigma = ouve_levels(4, t_min=0.25, theta=1.5)
    np.testing.assert_allclose(sigma[1:], schedules.ouve_sigma([0.25, 0.5, 0.75, 1.0], theta=1.5))
    np.testing.assert_allclose(ouve_levels(1), [0.0, schedules.ouve_sigma(1.0)])
