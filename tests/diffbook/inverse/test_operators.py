"""Degradations against dense matrices: adjoints, spectra, solves, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve

from diffbook import inverse as inv


def half_mask(shape, seed=3):
    return np.random.default_rng(seed).random(shape) < 0.6


def random_kernel(shape, seed=5):
    return np.random.default_rng(seed).standard_normal(shape)


OPERATORS = {
    "blur-even": inv.Blur.from_transfer(inv.gaussian_transfer(8, 1.0, 0.7)),
    "blur-odd": inv.Blur.from_transfer(inv.gaussian_transfer((9,), 0.8, -1.3)),
    "kernel-even": inv.Blur.from_kernel(random_kernel(4), 10),
    "kernel-odd": inv.Blur.from_kernel(random_kernel(5), 7),
    "image-even": inv.Blur.from_transfer(inv.gaussian_transfer((4, 6), 0.7, 0.4)),
    "image-mixed": inv.Blur.from_kernel(random_kernel((3, 2)), (6, 5)),
    "image-odd": inv.Blur.from_kernel(random_kernel((5, 3)), (5, 7)),
    "identity": inv.identity((3, 4)),
    "down": inv.Downsampling(12, 3),
    "down-odd": inv.Downsampling((15,), 3, inv.Blur.from_kernel(random_kernel(4), 15)),
    "down-image": inv.Downsampling(
        (6, 4), 2, inv.Blur.from_transfer(inv.gaussian_transfer((6, 4), 0.9, 0.3))
    ),
    "down-image-odd": inv.Downsampling(
        (9, 3), 3, inv.Blur.from_kernel(random_kernel((3, 3)), (9, 3))
    ),
    "mask": inv.Mask(half_mask(11)),
    "mask-image": inv.Mask(half_mask((5, 4))),
}
over_operators = pytest.mark.parametrize("name", OPERATORS)
CIRCULANT = [name for name, op in OPERATORS.items() if op.spectrum is not None]


def as_torch(x, dtype=torch.float64):
    return torch.tensor(x, dtype=dtype)


def flat(x, n=3):
    return np.asarray(x).reshape(n, -1)


def random(shape, n=3, seed=1):
    return np.random.default_rng(seed).standard_normal((n, *shape))


# --- adjoints and matrices --------------------------------------------------------------------


@over_operators
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_adjoint_passes_the_dot_product_test(name, kind):
    op = OPERATORS[name]
    x, y = random(op.shape), random(op.measurement_shape, seed=2)
    if kind == "torch":
        x, y = as_torch(x), as_torch(y)
    Hx, Hty = op.forward(x), op.adjoint(y)
    assert tuple(Hx.shape) == tuple(y.shape)
    assert tuple(Hty.shape) == tuple(x.shape)
    np.testing.assert_allclose(
        (flat(Hx) * flat(y)).sum(1), (flat(x) * flat(Hty)).sum(1), rtol=1e-12, atol=1e-13
    )


@over_operators
def test_matrix_is_forward_and_its_transpose_is_adjoint(name):
    op = OPERATORS[name]
    H = inv.matrix(op)
    x, y = random(op.shape), random(op.measurement_shape, seed=2)
    np.testing.assert_allclose(flat(op.forward(x)), flat(x) @ H.T, atol=1e-13)
    np.testing.assert_allclose(flat(op.adjoint(y)), flat(y) @ H, atol=1e-13)


@over_operators
def test_torch_agrees_with_numpy_and_keeps_dtype_and_leading_axes(name):
    op = OPERATORS[name]
    x = random((2, *op.shape)).reshape(3, 2, *op.shape)
    y = op.forward(x)
    assert y.shape == (3, 2, *op.measurement_shape)
    for dtype, numpy_dtype, atol in (
        (torch.float64, np.float64, 1e-13),
        (torch.float32, np.float32, 2e-6),
    ):
        answers = {
            "forward": (op.forward, x),
            "adjoint": (op.adjoint, y),
            "pinv": (lambda v: inv.pinv(op, v, rcond=0.1), y),
            "solve": (lambda v: inv.solve(op, v, 0.7, 0.3), y),
            "range": (lambda v: inv.from_range(op, inv.to_range(op, v, 0.1), 0.1), x),
        }
        for call, (function, argument) in answers.items():
            expected = function(argument)
            got = function(as_torch(argument, dtype))
            assert got.dtype == dtype, call
            np.testing.assert_allclose(got.numpy(), expected, atol=30 * atol, err_msg=call)
            got = function(argument.astype(numpy_dtype))
            assert got.dtype == numpy_dtype, call
            np.testing.assert_allclose(got, expected, atol=30 * atol, err_msg=call)


@over_operators
def test_torch_operators_are_differentiable(name):
    op = OPERATORS[name]
    x = as_torch(random(op.shape)).requires_grad_()
    v = as_torch(random(op.measurement_shape, seed=2))
    (gradient,) = torch.autograd.grad((op.forward(x) * v).sum(), x)
    np.testing.assert_allclose(gradient.numpy(), op.adjoint(v).numpy(), atol=1e-13)
    v.requires_grad_()
    (gradient,) = torch.autograd.grad((op.adjoint(v) * x.detach()).sum(), v)
    np.testing.assert_allclose(gradient.numpy(), op.forward(x.detach()).numpy(), atol=1e-13)


def test_kernel_is_a_circular_convolution_centred_at_half_its_size():
    """Against SciPy's convolution, whose centre is at ``size // 2`` as well."""
    for kernel, shape in (((5,), (9,)), ((4,), (8,)), ((3, 4), (5, 6)), ((5, 5), (5, 5))):
        kernel, x = random_kernel(kernel), random(shape, n=1)[0]
        expected = convolve(x, kernel, mode="wrap")
        np.testing.assert_allclose(
            inv.Blur.from_kernel(kernel, shape).forward(x), expected, atol=1e-13
        )


def test_downsampling_takes_every_factorth_sample_of_the_blurred_signal():
    op = OPERATORS["down-image"]
    x = random(op.shape)
    np.testing.assert_allclose(op.forward(x), op.blur.forward(x)[:, ::2, ::2], atol=1e-15)
    x = np.arange(12.0)
    np.testing.assert_array_equal(inv.Downsampling(12, 3).forward(x), [0, 3, 6, 9])


def test_operators_own_their_data():
    """What is derived from a mask or a transfer function is kept; the caller's array may change."""
    mask, h = np.array([True, False, True]), np.ones(4, dtype=np.complex128)
    kept, blur, direct = inv.Mask(mask), inv.Blur.from_transfer(h), inv.Blur(h)
    mask[:], h[:] = False, 2.0
    np.testing.assert_array_equal(kept.forward(np.arange(3.0)), [0.0, 2.0])
    assert kept.mask.sum() == 2
    np.testing.assert_array_equal(blur.spectrum, np.ones(4))
    np.testing.assert_array_equal(direct.spectrum, np.ones(4))


def test_mask_keeps_row_major_order():
    mask = np.array([[True, False, True], [False, True, False]])
    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(inv.Mask(mask).forward(x), [0, 2, 4])
    np.testing.assert_array_equal(
        inv.Mask(mask).adjoint(np.array([7.0, 8.0, 9.0])), [[7, 0, 8], [0, 9, 0]]
    )


# --- spectra and coordinates ------------------------------------------------------------------


def unitary_dft(shape):
    eye = np.eye(int(np.prod(shape))).reshape(-1, *shape)
    return np.fft.fftn(eye, axes=tuple(range(1, eye.ndim)), norm="ortho").reshape(len(eye), -1).T


@pytest.mark.parametrize("name", CIRCULANT)
def test_spectrum_diagonalises_the_dense_matrix(name):
    op = OPERATORS[name]
    F = unitary_dft(op.shape)
    np.testing.assert_allclose(
        F @ inv.matrix(op) @ F.conj().T, np.diag(op.spectrum.ravel()), atol=1e-13
    )


@over_operators
def test_coordinates_are_unitary_and_diagonalise_h_h_transposed(name):
    op = OPERATORS[name]
    m = int(np.prod(op.measurement_shape))
    U = op.to_coords(np.eye(m).reshape(m, *op.measurement_shape)).reshape(m, m).T
    np.testing.assert_allclose(U @ U.conj().T, np.eye(m), atol=1e-13)
    H = inv.matrix(op)
    np.testing.assert_allclose(
        U @ H @ H.T @ U.conj().T, np.diag(op.singular_values.ravel() ** 2), atol=1e-12
    )
    np.testing.assert_allclose(
        np.sort(op.singular_values.ravel()),
        np.sort(np.linalg.svd(H, compute_uv=False)),
        atol=1e-13,
    )
    y = random(op.measurement_shape)
    np.testing.assert_allclose(op.from_coords(op.to_coords(y)), y, atol=1e-14)


@over_operators
def test_solve_against_dense_algebra(name):
    op = OPERATORS[name]
    H, r = inv.matrix(op), random(op.measurement_shape)
    for a, b in ((0.8, 0.05), (0.0, 0.3), (3.0, 1e-3)):
        expected = np.linalg.solve(a * H @ H.T + b * np.eye(len(H)), flat(r).T).T
        np.testing.assert_allclose(flat(inv.solve(op, r, a, b)), expected, rtol=1e-9, atol=1e-10)


@over_operators
def test_adjoint_solve_against_dense_algebra(name):
    op = OPERATORS[name]
    H, r = inv.matrix(op), random(op.measurement_shape)
    for a, b in ((0.8, 0.05), (0.0, 0.3), (3.0, 1e-3)):
        expected = np.linalg.solve(a * H @ H.T + b * np.eye(len(H)), flat(r).T).T @ H
        np.testing.assert_allclose(flat(inv.adjoint_solve(op, r, a, b)), expected, atol=1e-11)
    np.testing.assert_allclose(
        inv.adjoint_solve(op, r, 2.0, 0.0), inv.pinv(op, r) / 2.0, rtol=1e-12, atol=1e-12
    )


def test_adjoint_solve_drops_no_weak_mode_while_b_is_positive():
    """Against the closed form of each frequency; without b, modes below RCOND are dropped."""
    h = np.array([1.0, 1e-9, 0.0, 1e-9])
    op, r = inv.Blur.from_transfer(h), random((4,))
    for b, kept in ((1e-16, h > 0), (0.0, h > inv.RCOND)):
        gain = np.where(kept, h / np.where(kept, 2.0 * h**2 + b, 1.0), 0.0)
        expected = np.fft.ifft(gain * np.fft.fft(r)).real
        np.testing.assert_allclose(
            inv.adjoint_solve(op, r, 2.0, b), expected, rtol=1e-12, atol=1e-12 * np.abs(gain).max()
        )


def test_adjoint_solve_keeps_single_precision_with_a_strong_blur():
    op = inv.Blur.from_transfer(inv.gaussian_transfer((32, 32), 3.0))
    r = 0.02 * random((32, 32))
    exact = inv.adjoint_solve(op, r, 1.0, 1e-7)
    single = inv.adjoint_solve(op, r.astype(np.float32), 1.0, 1e-7)
    assert np.abs(single - exact).max() < 3e-6 * np.abs(exact).max()


@over_operators
@pytest.mark.parametrize("rcond", [1e-8, 0.3])
def test_pinv_against_dense_algebra(name, rcond):
    op = OPERATORS[name]
    y = random(op.measurement_shape)
    expected = flat(y) @ np.linalg.pinv(inv.matrix(op), rcond=rcond).T
    np.testing.assert_allclose(flat(inv.pinv(op, y, rcond)), expected, rtol=1e-9, atol=1e-10)


@over_operators
@pytest.mark.parametrize("rcond", [1e-8, 0.3])
def test_range_coordinates_against_dense_algebra(name, rcond):
    """``to_range`` is a partial isometry with the row space of the kept modes as its support."""
    op = OPERATORS[name]
    x, H = random(op.shape), inv.matrix(op)
    _, s, Vt = np.linalg.svd(H, full_matrices=False)
    V = Vt[s > rcond * s[0]]
    u = inv.to_range(op, x, rcond)
    assert u.shape == (3, *op.measurement_shape)
    np.testing.assert_allclose(
        (np.abs(flat(u)) ** 2).sum(1), ((flat(x) @ V.T) ** 2).sum(1), rtol=1e-9
    )
    np.testing.assert_allclose(flat(inv.from_range(op, u, rcond)), flat(x) @ V.T @ V, atol=1e-9)
    np.testing.assert_array_equal(u[:, ~inv.kept(op, rcond)], 0.0)
    # A measurement's coordinates are the singular values times these.
    modes = op.to_coords(op.forward(x))[:, inv.kept(op, rcond)]
    expected = (op.singular_values * u)[:, inv.kept(op, rcond)]
    np.testing.assert_allclose(modes, expected, atol=1e-12)


def test_vanishing_singular_values_are_dropped_not_inverted():
    h = np.array([1.0, 0.5, 0.0, 0.0, 0.0, 0.5])
    op = inv.Blur.from_transfer(h)
    y = random((6,))
    x = inv.pinv(op, y)
    np.testing.assert_array_equal(inv.kept(op), h > 0)
    expected = flat(y) @ np.linalg.pinv(inv.matrix(op)).T
    np.testing.assert_allclose(flat(x), expected, atol=1e-13)
    with pytest.raises(ValueError, match=r"^b must .*positive where a singular value"):
        inv.solve(op, y, 1.0, 0.0)


def test_pinv_survives_a_strong_blur():
    """Modes of very different size must not pollute each other by rounding."""
    op = inv.Blur.from_transfer(inv.gaussian_transfer(64, 1.5, 0.7))
    x = random((64,))
    F = op.to_coords(x)
    expected = op.from_coords(np.where(inv.kept(op), F, 0.0))
    u = inv.to_range(op, x)
    np.testing.assert_allclose(inv.from_range(op, u), expected, atol=1e-13)
    y = op.from_coords(op.to_coords(x))
    gain = np.where(inv.kept(op), 1.0 / np.where(inv.kept(op), op.spectrum, 1.0), 0.0)
    np.testing.assert_allclose(
        op.to_coords(inv.pinv(op, y)), gain * F, rtol=1e-7, atol=1e-12 * np.abs(gain).max()
    )


# --- measurements and bad input ---------------------------------------------------------------


def test_measure_adds_the_noise():
    op = OPERATORS["down-image"]
    x, noise = random(op.shape), random(op.measurement_shape, seed=4)
    y = inv.measure(op, x, 0.3, noise)
    np.testing.assert_allclose(y, op.forward(x) + 0.3 * noise)
    np.testing.assert_array_equal(inv.measure(op, x, 0.0), op.forward(x))
    inv.check_measurement(op, y, 0.3)
    inv.check_measurement(op, as_torch(y), 0.0)


BLUR, MASK = OPERATORS["blur-even"], OPERATORS["mask-image"]
GOOD = random((8,))
BAD = [
    (r"^kernel must not be longer", lambda: inv.Blur.from_kernel(np.ones(9), 8)),
    (r"^kernel must not be longer", lambda: inv.Blur.from_kernel(np.ones((3, 5)), (4, 4))),
    (r"^kernel: expected 1 dim", lambda: inv.Blur.from_kernel(np.ones((3, 3)), 8)),
    (r"^shape: .*one or two sizes", lambda: inv.Blur.from_kernel(np.ones(3), (2, 3, 4))),
    (r"^shape: got 0", lambda: inv.identity((4, 0))),
    (r"^h must be Hermitian .*h\[1\]", lambda: inv.Blur.from_transfer([1.0, 1j, 0.2, 1j])),
    (r"^h must be Hermitian", lambda: inv.Blur.from_transfer([1.0, 0.5, 0.3j, 0.5])),
    (r"^h: expected 1 or 2 dimensions", lambda: inv.Blur.from_transfer(1.0)),
    (r"^spectrum must be Hermitian", lambda: inv.Blur(np.array([1.0, 1j, 0.2, 1j]))),
    (r"^mask must be .*booleans.*int", lambda: inv.Mask(np.array([0, 1]))),
    (r"^mask must keep", lambda: inv.Mask(np.zeros(4, dtype=bool))),
    (r"^the shape of mask", lambda: inv.Mask(np.ones((2, 2, 2), dtype=bool))),
    (r"^factor must .*divide", lambda: inv.Downsampling(10, 3)),
    (r"^factor must .*divide", lambda: inv.Downsampling((6, 8), 3)),
    (r"^blur must be for signals", lambda: inv.Downsampling(10, 2, BLUR)),
    (r"^std: got 0.0", lambda: inv.gaussian_kernel(0.0)),
    (r"^ndim: got 3", lambda: inv.gaussian_kernel(1.0, 3)),
    (r"^size: got 4, expected an odd", lambda: inv.motion_kernel(2, 0.0, 4)),
    (r"^length: got 8, .* in \[1, 7\]", lambda: inv.motion_kernel(8, 0.0, 7)),
    (r"^x must end in the axes \(8,\)", lambda: BLUR.forward(np.ones((2, 7)))),
    (r"^x must be a real floating", lambda: BLUR.forward(np.ones(8, dtype=int))),
    (r"^x must end in the axes \(5, 4\)", lambda: MASK.forward(np.ones((4, 5)))),
    (r"^y must end in the axes", lambda: MASK.adjoint(np.ones((2, 3)))),
    (r"^r must end in the axes", lambda: inv.solve(BLUR, np.ones((2, 9)), 1.0, 1.0)),
    (r"^r must end in the axes", lambda: inv.adjoint_solve(BLUR, np.ones((2, 9)), 1.0, 1.0)),
    (r"^u must end in the axes", lambda: inv.from_range(BLUR, np.ones((2, 9)))),
    (r"^gain must have the last axes", lambda: inv.times(GOOD, np.ones(1))),
    (r"^a and b must", lambda: inv.adjoint_solve(BLUR, GOOD, 0.0, 0.0)),
    (r"^noise is needed", lambda: inv.measure(BLUR, GOOD, 0.1)),
    (r"^noise must have shape \(3, 8\)", lambda: inv.measure(BLUR, GOOD, 0.1, GOOD[:1])),
    (r"^y must end in the axes", lambda: inv.check_measurement(BLUR, GOOD[:, 1:], 0.1)),
    (
        r"^y must be finite",
        lambda: inv.check_measurement(BLUR, as_torch(GOOD) * float("nan"), 0.1),
    ),
]


@pytest.mark.parametrize(("message", "call"), BAD)
def test_bad_input_is_refused_by_name(message, call):
    with pytest.raises(ValueError, match=message):
        call()
