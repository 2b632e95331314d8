"""Gradient of the averaged distance where modes couple, and the designs that use it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from block_cases import (
    AB,
    CASES,
    WEIGHTS,
    dense_step,
    gaussian_transfer,
    lorentzian,
    over_cases,
    unitary,
)

from diffbook import schedules as sc
from diffbook.inverse.blocks import design as bw
from diffbook.inverse.blocks import gains as bs
from diffbook.inverse.blocks import problem as bl
from diffbook.inverse.blocks.chain import Chain
from diffbook.inverse.gains import kappa
from diffbook.inverse.problem import make_problem
from diffbook.inverse.rules import dps_normalised

# --- gradient ---------------------------------------------------------------------------------


def torch_objective(p: bl.BlockProblem, method: str, weights: torch.Tensor) -> torch.Tensor:
    """``E_y W2^2`` straight from the step matrices, D2 included, for autograd."""
    kind = torch.complex128 if np.iscomplexobj(p.H) else torch.float64
    lam, H, S_y, K, root = (torch.as_tensor(v).to(kind) for v in (p.lam, p.H, p.S_y, p.K, p.root_p))
    mu0, count = torch.as_tensor(p.mu0).to(torch.complex128), torch.as_tensor(p.count)
    g, q = p.lam.shape[1], p.H.shape[1]
    eye, eye_q = torch.eye(g, dtype=kind), torch.eye(q, dtype=kind)
    D1, D2, D3 = eye.expand(len(lam), g, g), 0 * eye, torch.zeros(len(lam), g, q, dtype=kind)
    for s in range(len(AB) - 1, 0, -1):
        a = ((1 - AB[s - 1]) / (1 - AB[s])) ** 0.5
        b = AB[s - 1] ** 0.5 - AB[s] ** 0.5 * a
        W = torch.diag_embed(AB[s] ** 0.5 * lam / (AB[s] * lam + 1 - AB[s]))
        theta = weights[s - 1]
        if method == "dps":
            Gam = 2 * theta * W @ H.mH
        elif method == "pigdm":
            cov = (1 - AB[s]) * H @ H.mH + p.sigma_y**2 * eye_q
            Gam = theta * W @ H.mH @ torch.linalg.inv(cov)
        else:
            rho = theta * p.sigma_y**2 * AB[s] / (1 - AB[s])
            Gam = b * H.mH @ torch.linalg.inv(H @ H.mH + rho * eye_q)
        B = b * eye - Gam @ H
        G = a * eye + B @ W
        D1, D3 = G @ D1, G @ D3 + Gam
        D2 = G @ D2 + B @ (eye - AB[s] ** 0.5 * W)
    miss = (D2 + D3 @ H - eye).to(torch.complex128) @ mu0[..., None]
    gap = D3 - K

    def trace(A):
        return A.diagonal(dim1=-2, dim2=-1).sum(-1).real

    nuclear = torch.linalg.svdvals(root @ D1).sum(-1)
    return count @ (
        (miss.abs() ** 2).sum((-2, -1))
        + trace(gap @ S_y @ gap.mH)
        + trace(D1 @ D1.mH)
        + trace(torch.as_tensor(p.Sp).to(kind))
        - 2 * nuclear
    )


@over_cases
@pytest.mark.parametrize("method", ["dps", "pigdm", "diffpir"])
def test_gradient_is_that_of_autograd_and_of_differences(name, method):
    p = CASES[name].p
    for problem in {id(q): q for q in (p, bl.merged(p))}.values():
        chain = Chain(problem, AB, method)
        value, grad = chain.value_and_grad(WEIGHTS)
        weights = torch.tensor(WEIGHTS, requires_grad=True)
        expected = torch_objective(problem, method, weights)
        expected.backward()
        assert value == pytest.approx(expected.item(), rel=1e-10)
        scale = np.abs(grad).max()
        np.testing.assert_allclose(grad, weights.grad.numpy(), atol=1e-8 * scale)
        assert chain.value(WEIGHTS) == value
    step, eye = 1e-5, np.eye(len(WEIGHTS))
    differences = [
        (chain.value(WEIGHTS + step * e) - chain.value(WEIGHTS - step * e)) / (2 * step)
        for e in eye
    ]
    np.testing.assert_allclose(grad, differences, atol=1e-6 * scale)


@over_cases
def test_chain_value_is_the_composed_distance(name):
    """The thin recursion against full matrices, also with a schedule that ends below 1."""
    p = CASES[name].p
    for ab in (AB, sc.linear_beta(6)):
        for method, gains in (("dps", bs.dps), ("pigdm", bs.pigdm)):
            full = bs.compose(p, ab, gains(p, ab, WEIGHTS)).w2_squared
            assert Chain(p, ab, method).value(WEIGHTS) == pytest.approx(full, rel=1e-9)
        full = bs.compose(p, ab, bs.diffpir(p, ab, WEIGHTS, zeta=0.0)).w2_squared
        assert Chain(p, ab, "diffpir").value(WEIGHTS) == pytest.approx(full, rel=1e-9)


# --- weights ----------------------------------------------------------------------------------


@over_cases
@pytest.mark.parametrize("method", ["dps", "pigdm"])
def test_bounds_are_where_a_step_turns_a_mode_around(name, method):
    p = CASES[name].p
    chain, make = Chain(p, AB, method), {"dps": bs.dps, "pigdm": bs.pigdm}[method]
    for cap, least in (("no-overshoot", 0.0), ("stability", -1.0)):
        gains = make(p, AB, chain.bound(cap))
        for s in range(1, len(AB)):
            B = gains.b[s - 1] * np.eye(p.lam.shape[1]) - gains.Gam[s - 1] @ p.H
            G = gains.a[s - 1] * np.eye(p.lam.shape[1]) + B * p.slope(AB[s])[:, None]
            assert np.linalg.eigvals(G).real.min() == pytest.approx(least, abs=1e-9)


@over_cases
def test_reference_is_the_average_exact_guidance(name):
    case = CASES[name]
    chain, sy2 = Chain(case.p, AB), case.p.sigma_y**2
    # In the coordinates of y that make H H^T diagonal; of the DFT, where those are frequencies.
    if case.coarse is None:
        vectors = np.linalg.svd(case.H, full_matrices=False)[0]
    else:
        vectors = unitary(np.eye(case.q), case.coarse).T.conj()
    H = vectors.conj().T @ case.H
    S_y = np.diag(H @ case.cov @ H.conj().T).real + sy2
    expected = []
    for s, scale in enumerate(kappa(AB), start=1):
        inverse = np.linalg.inv(AB[s] * case.cov + (1 - AB[s]) * np.eye(case.d))
        W, V = np.sqrt(AB[s]) * case.cov @ inverse, (1 - AB[s]) * case.cov @ inverse
        weight = S_y * np.diag(H @ W @ W @ H.conj().T).real
        exact = scale / (sy2 + np.diag(H @ V @ H.conj().T).real)
        expected.append(np.sum(weight * exact) / np.sum(weight))
    expected = 0.5 * np.minimum(expected, chain.bound("stability"))
    # A mask's singular values are all 1, which leaves the coordinates of y open.
    rtol = 0.2 if name == "mask" else 1e-9
    np.testing.assert_allclose(chain.reference(), expected, rtol=rtol)


def test_normalised_rule_uses_the_expected_residual():
    """``zeta' / sqrt(E |r|^2)`` with the residual's moments from simulated trajectories."""
    case, rng, n = CASES["sr"], np.random.default_rng(4), 40_000
    weights = Chain(case.p, AB).normalised(0.7)
    x0 = case.prior.sample(n, rng).reshape(n, -1)
    y = x0 @ case.H.T + case.p.sigma_y * rng.standard_normal((n, case.q))
    x = rng.standard_normal((n, case.d))
    for s in range(len(AB) - 1, 0, -1):
        a, b, _, _, W, offset = dense_step("ideal", case, s)
        x0_hat = x @ W.T + offset
        r = y - x0_hat @ case.H.T
        assert weights[s - 1] == pytest.approx(0.7 / np.sqrt(np.mean(r**2) * case.q), rel=0.02)
        x = a * x + b * x0_hat + 2 * weights[s - 1] * r @ case.H @ W.T


def test_normalised_rule_of_single_modes_is_that_of_frequencies():
    """With a large mean, and a schedule that starts with half of it."""
    ab, prior = np.array([1.0, 0.9, 0.7, 0.5]), lorentzian(9)
    prior = replace(prior, mu0=5.0 * prior.mu0)
    h = gaussian_transfer((9,), 1.2)
    expected = dps_normalised(make_problem(prior, h, 0.2), ab, 0.7)
    found = Chain(bl.from_blur(prior, h, 0.2), ab).normalised(0.7)
    np.testing.assert_allclose(found, expected, rtol=1e-11)


@pytest.mark.parametrize("name", ["sr2d", "mask"])
@pytest.mark.parametrize("method", ["dps", "pigdm", "diffpir"])
def test_design_is_a_local_minimum_and_beats_its_starts(name, method):
    p = CASES[name].p
    start = {"mine": WEIGHTS}
    design = bw.design_weights(
        p, AB, method, starts=start, n_random=2, rng=np.random.default_rng(0)
    )
    chain = Chain(p, AB, method)
    assert design.objective == pytest.approx(chain.value(design.weights), rel=1e-10)
    assert design.objective == min(value for _, value, _ in design.starts)
    own = ["reference", "normalised"] if method == "dps" else ["reference"]
    assert [name for name, *_ in design.starts] == [*own, "mine", "random 0", "random 1"]
    assert design.objective < chain.value(design.reference)
    value, grad = chain.value_and_grad(design.weights)
    x = np.log(design.weights / design.reference)
    slope = grad * design.weights / value
    # Free weights are stationary, weights at a bound are pushed against it.
    free = (x > bw.BOX[0] + 1e-6) & (x < bw.BOX[1] - 1e-6)
    assert np.all(np.abs(slope[free]) < 1e-3) and np.all(slope[x >= bw.BOX[1] - 1e-6] < 1e-3)
    assert design.n_eval >= design.n_iter > 0
    again = bw.design_weights(p, AB, method, starts=start, n_random=2, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(again.weights, design.weights)


def test_cap_and_penalty():
    p = CASES["mask"].p
    free = bw.design_weights(p, AB)
    for cap in ("no-overshoot", "stability"):
        capped = bw.design_weights(p, AB, cap=cap)
        bound = Chain(p, AB).bound(cap)
        assert np.all(capped.weights <= bound * (1 + 1e-9))
        assert capped.objective >= free.objective * (1 - 1e-6)
    size = []
    for tikhonov in (0.0, 1e-2, 10.0):
        design = bw.design_weights(p, AB, tikhonov=tikhonov)
        x = np.log(design.weights / design.reference)
        value, grad = Chain(p, AB).value_and_grad(design.weights)
        slope = (grad * design.weights + 2 * tikhonov * x) / (value + tikhonov * x @ x)
        assert tikhonov == 0.0 or np.abs(slope).max() < 1e-3
        assert design.objective == pytest.approx(value, rel=1e-12)
        size.append(np.sum(x**2))
    assert size[0] > size[1] > size[2] and size[2] < 0.1


def test_no_start_is_above_the_stability_bound(monkeypatch):
    p = CASES["mask"].p
    monkeypatch.setattr(bw, "descend", lambda evaluate, reference, starts, *_, **__: starts)
    starts = bw.design_weights(p, AB, starts={"wild": np.full(len(WEIGHTS), 1e9)})
    top = np.log(Chain(p, AB).bound("stability") / Chain(p, AB).reference())
    np.testing.assert_allclose(starts["wild"], np.minimum(top, bw.BOX[1]), rtol=1e-9)
    assert np.any(top < bw.BOX[1])


def test_dps_and_pigdm_are_one_family_for_a_mask():
    """``H H^T = I`` makes PiGDM's denominator a number."""
    p = CASES["mask"].p
    theta = 2 * WEIGHTS * (1 - AB[1:] + p.sigma_y**2)
    a, b = (Chain(p, AB, m).value(w) for m, w in (("dps", WEIGHTS), ("pigdm", theta)))
    assert a == pytest.approx(b, rel=1e-12)


# --- errors -----------------------------------------------------------------------------------

PRIOR = lorentzian(8)
P = bl.from_downsampling(PRIOR, 2, None, 0.1)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: Chain(P, AB, "ddnm"), "method"),
        (lambda: Chain(P, AB).value(WEIGHTS[:2]), "weights"),
        (lambda: bw.design_weights(P, AB, n_random=1), "rng"),
        (lambda: bw.design_weights(P, AB, starts={"x": WEIGHTS[1:]}), "starts"),
        (lambda: bw.design_weights(bl.from_matrix(PRIOR, np.zeros((2, 8)), 0.1), AB), "H"),
    ],
)
def test_bad_input_is_named(call, name):
    with pytest.raises(ValueError, match=name):
        call()


# --- power of the states ----------------------------------------------------------------------


def drawn_power(p: bl.BlockProblem, weights: np.ndarray, eta: float, n: int = 40_000) -> np.ndarray:
    """Power of DPS's states over that of noisy data, by running it mode by mode on drawn modes."""
    p, rng = bl.merged(p), np.random.default_rng(0)
    chain, S = Chain(p, AB, eta=eta), len(AB) - 1

    def normal(*shape):
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2.0)

    x0 = np.sqrt(p.lam)[..., None] * normal(*p.lam.shape, n)
    y = p.H @ x0 + p.sigma_y * normal(*p.H.shape[:2], n)
    x, found = normal(*p.lam.shape, n), np.empty(S)
    unit = chain.family.filters(np.ones(S))[0]
    for s in range(S - 1, -1, -1):
        gradient = np.conj(p.H.swapaxes(-1, -2)) @ (
            unit[s][..., None] * (y - p.H @ (chain.W[s] * x))
        )
        x = chain.keep[s] * x + weights[s] * chain.family.L[s][..., None] * gradient
        low, ab = AB[s], AB[s + 1]
        x = x + eta * np.sqrt((1 - low) / (1 - ab) * (1 - ab / low)) * normal(*x.shape)
        power = p.count @ (np.abs(x) ** 2).mean(-1).sum(-1)
        found[s] = power / (AB[s] * (p.count @ p.lam.sum(1)) + (1 - AB[s]) * p.d)
    return found


# Where there are more measurements than modes, the chain works on fewer than are drawn here.
@pytest.mark.parametrize("name", [name for name in CASES if name != "tall"])
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_state_power_is_that_of_drawn_states_and_trimming_bounds_it(name, eta):
    p = CASES[name].p
    weights = 3.0 * bw.design_weights(p, AB, "dps", eta=eta).reference
    power = bw.state_power(p, AB, weights, eta=eta)
    np.testing.assert_allclose(power, drawn_power(p, weights, eta), rtol=0.05)
    assert power.max() > 1.05
    found = bw.trimmed(p, AB, weights, eta=eta)
    assert bw.state_power(p, AB, found, eta=eta).max() <= 1.05 + 1e-9
    assert np.all((found >= 0) & (found <= weights))
    np.testing.assert_array_equal(bw.trimmed(p, AB, weights, 1e9, eta=eta), weights)
    with pytest.raises(ValueError, match=r"slack: got 0\.9, expected a number in \[1, inf\)"):
        bw.trimmed(p, AB, weights, 0.9)
