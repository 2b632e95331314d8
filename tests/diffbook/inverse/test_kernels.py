"""Blur kernels and their transfer functions: moments, shifts, directions."""

from __future__ import annotations

import numpy as np
import pytest

from diffbook import inverse as inv


def test_gaussian_kernel_has_its_moments():
    kernel = inv.gaussian_kernel(2.0)
    n = np.arange(len(kernel)) - len(kernel) // 2
    assert len(kernel) == 17
    assert kernel.sum() == pytest.approx(1.0, abs=1e-14)
    assert (kernel * n).sum() == pytest.approx(0.0, abs=1e-14)
    assert (kernel * n**2).sum() == pytest.approx(4.0, rel=1e-2)
    assert inv.gaussian_kernel(1.0, 2, radius=3).shape == (7, 7)


def test_gaussian_transfer_is_the_dft_of_a_gaussian_kernel():
    for shape, ndim in (((32,), 1), ((31,), 1), ((24, 31), 2)):
        kernel = inv.gaussian_kernel(1.5, ndim, radius=11)
        np.testing.assert_allclose(
            inv.gaussian_transfer(shape, 1.5),
            inv.Blur.from_kernel(kernel, shape).spectrum,
            atol=3e-5,
        )


def test_shift_moves_the_signal():
    x = np.zeros(9)
    x[2] = 1.0
    op = inv.Blur.from_transfer(inv.gaussian_transfer(9, 0.0, 3.0))
    np.testing.assert_allclose(op.forward(x), np.roll(x, 3), atol=1e-15)
    h = inv.gaussian_transfer(8, 1.0, 0.7)
    assert np.abs(h.imag).max() > 0.1
    assert h[4].imag == 0.0
    inv.Blur.from_transfer(inv.gaussian_transfer((8, 6), 1.0, 0.7))


def test_motion_kernel_lies_along_its_direction():
    kernel = inv.motion_kernel(5, 0.0, 7)
    assert kernel.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(kernel[3], kernel.sum(0), atol=1e-15)
    np.testing.assert_allclose(kernel[3, 2:5], 0.25, rtol=0.02)
    np.testing.assert_allclose(inv.motion_kernel(5, 90.0, 7), kernel.T, atol=1e-12)
    # Counter-clockwise as seen: up and to the right, with rows counted downwards.
    rising = inv.motion_kernel(7, 45.0, 7)
    row, column = np.meshgrid(np.arange(7) - 3, np.arange(7) - 3, indexing="ij")
    assert (rising * row * column).sum() < -1.0
    np.testing.assert_allclose(inv.motion_kernel(1, 30.0, 3), np.pad([[1.0]], 1), atol=1e-15)


def test_shape_of_a_signal_is_one_or_two_sizes():
    for given, expected in ((5, (5,)), ((np.int64(4), 6), (4, 6)), ([3], (3,))):
        found = inv.signal_shape(given)
        assert found == expected
        assert all(type(n) is int for n in found)
    with pytest.raises(ValueError, match=r"^size: got 2\.5, expected a whole number"):
        inv.signal_shape((4, 2.5), "size")


def test_box_kernel_is_a_mean():
    np.testing.assert_allclose(inv.box_kernel(4), 0.25)
    np.testing.assert_allclose(inv.box_kernel(3, 2), np.full((3, 3), 1 / 9))
