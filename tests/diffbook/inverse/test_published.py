"""Published posterior samplers against recursions per frequency and dense matrices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracles
import pytest
import torch
from guided_cases import (
    DENSE,
    SHORT_OF_ONE,
    SIGMA_Y,
    TO_ONE,
    TRANSFERS,
    S,
    arrays,
    columns,
    modes,
    problem_prior,
)

from diffbook import inverse, samplers
from diffbook import samplers as sm
from diffbook.inverse import exact as conditional
from diffbook.inverse import gains, guidance
from diffbook.inverse import published as zs
from diffbook.inverse.exact import conditional_denoiser, gaussian_vjp
from diffbook.inverse.operators import (
    Blur,
    Mask,
    gaussian_transfer,
    identity,
    matrix,
    measure,
)
from diffbook.priors.colour import ChannelPriors
from diffbook.priors.gaussian import GaussianPrior
from diffbook.samplers import protocol
from diffbook.schedules.families import ddpm_respaced

GRADIENT = ("dps", "pigdm", "mcg")
METHODS = ("dps", "pigdm", "mcg", "ald", "ddnm", "ddnm_plus", "ddrm", "diffpir")


def settings(name, kind, prior, Z, Z_y):
    """Arguments of a method that exercise all its terms."""
    rng = np.random.default_rng(11)
    weights = rng.uniform(0.2, 1.0, S)
    like = torch.tensor if kind == "torch" else np.asarray
    options = {
        "dps": {"eta": 0.6},
        "pigdm": {"eta": 0.3, "r2": rng.uniform(0.1, 0.9, S)},
        "mcg": {"eta": 0.5, "noise_y": lambda s, y: like(Z_y[s])},
        "ald": {"eta": 0.4},
        "ddnm": {"eta": 0.85},
        "ddnm_plus": {"eta": 0.85},
        "ddrm": {"eta": 0.85, "eta_b": 0.7},
        "diffpir": {"zeta": 0.3},
    }[name]
    scale = {"diffpir": 5.0, "dps": 0.1, "mcg": 0.1, "ald": 0.5}.get(name, 1.0)
    if kind == "numpy" and name in GRADIENT:
        options["vjp"] = gaussian_vjp(prior)
    return {"weights": scale * weights, "noise": lambda s, x: like(Z[s]), **options}


def run(name, kind, prior, operator, alpha_bar, x_T, y, options, **more):
    like = torch.tensor if kind == "torch" else np.asarray
    return getattr(zs, name)(
        prior.denoise,
        like(x_T),
        alpha_bar,
        y=like(y),
        operator=operator,
        sigma_y=SIGMA_Y,
        **{**options, **more},
    )


# --- the oracle for circulant H: one frequency at a time --------------------------------------


def ddim_row(ab, ab1, eta):
    c2 = eta**2 * (1 - ab1) / (1 - ab) * (1 - ab / ab1)
    a = np.sqrt(1 - ab1 - c2) / np.sqrt(1 - ab)
    return a, np.sqrt(ab1) - np.sqrt(ab) * a, np.sqrt(c2)


def fraction_row(ab, ab1, f):
    a = np.sqrt((1 - f) * (1 - ab1)) / np.sqrt(1 - ab)
    return a, np.sqrt(ab1) - np.sqrt(ab) * a, np.sqrt(f * (1 - ab1))


def frequency_step(name, s, x, y, z, z_y, *, lam, mu, h, alpha_bar, weights, options):
    """``x_{s-1} = a x + b x0_hat + Gam (y - h x0_hat) + c z`` and its exceptions, per mode."""
    ab, ab1, sig2 = alpha_bar[s], alpha_bar[s - 1], SIGMA_Y**2
    sg, sg1 = np.sqrt((1 - ab) / ab), np.sqrt((1 - ab1) / ab1)
    w = np.sqrt(ab) * lam / (ab * lam + 1 - ab)
    x0 = w * x + (1 - np.sqrt(ab) * w) * mu
    r, weight, eta = y - h * x0, weights[s - 1], options.get("eta", 0.0)
    seen = np.abs(h) > 1e-8 * np.abs(h).max()
    plus = np.where(seen, 1.0 / np.where(seen, h, 1.0), 0.0)
    size = np.abs(h)
    if name in ("dps", "mcg"):
        a, b, c = ddim_row(ab, ab1, eta)
        x = a * x + b * x0 + 2 * weight * w * np.conj(h) * r + c * z
        if name == "mcg":
            x = np.where(seen, plus * (np.sqrt(ab1) * y + np.sqrt(1 - ab1) * z_y), x)
        return x
    if name == "pigdm":
        a, b, c = ddim_row(ab, ab1, eta)
        gain = weight * w * np.conj(h) / (options["r2"][s - 1] * size**2 + sig2)
        return a * x + b * x0 + gain * r + c * z
    if name == "ald":
        a, b, c = ddim_row(ab, ab1, eta)
        g = weight * b * sg**2 * np.conj(h) / (sig2 + sg**2)
        return a * x + b * x0 + g * (y - h * x / np.sqrt(ab)) + c * z
    if name == "ddnm":
        a, b, c = fraction_row(ab, ab1, eta**2)
        return a * x + b * x0 + weight * np.sqrt(ab1) * plus * r + c * z
    if name == "diffpir":
        a, b, c = fraction_row(ab, ab1, options["zeta"])
        gain = b * np.conj(h) / (size**2 + weight * sig2 / sg**2)
        return a * x + b * x0 + gain * r + c * z
    if name == "ddnm_plus":
        a, b, c = fraction_row(ab, ab1, eta**2)
        lost = a * x + b * x0 + c * z
        st, carried = np.sqrt(1 - ab1), np.sqrt(ab1) * SIGMA_Y * np.abs(plus)
        Lam = np.sqrt(1 - eta**2) * st / np.where(seen, carried, 1.0)
        inside = x0 + weight * Lam * plus * r
        noisy = np.sqrt(ab1) * inside + st * eta * z
        clear = np.sqrt(ab1) * (x0 + weight * plus * r)
        clear = clear + np.sqrt(np.maximum(st**2 - carried**2, 0)) * z
        return np.where(seen, np.where(st >= carried, clear, noisy), lost)
    if name == "ddrm":
        eps = (x / np.sqrt(ab) - x0) / sg
        lost = x0 + sg1 * (np.sqrt(1 - eta**2) * eps + eta * z)
        pull = np.sqrt(1 - eta**2) * sg1 * (size * plus) * r / SIGMA_Y
        noisy = x0 + weight * pull + eta * sg1 * z
        eta_b = options["eta_b"]
        left = sg1**2 - eta_b**2 * sig2 * np.abs(plus) ** 2
        clear = x0 + weight * eta_b * plus * r + np.sqrt(np.maximum(left, 0)) * z
        return np.sqrt(ab1) * np.where(
            seen, np.where(sg1 * size >= SIGMA_Y, clear, noisy), lost
        )  # fmt: skip
    raise AssertionError(name)


def frequency_start(name, x, y, *, h, alpha_bar):
    if name != "ddrm":
        return x
    sg = np.sqrt((1 - alpha_bar[-1]) / alpha_bar[-1])
    seen = sg * np.abs(h) > SIGMA_Y
    ybar = y / np.where(seen, h, 1.0)
    width = np.sqrt(sg**2 - np.where(seen, SIGMA_Y / np.where(seen, np.abs(h), 1.0), 0.0) ** 2)
    return np.sqrt(alpha_bar[-1]) * np.where(seen, ybar + width * x, sg * x)


def recursion(name, prior, h, alpha_bar, x_T, y, Z, Z_y, options):
    """Modes of all states from x_S to x_0."""
    F = lambda v: modes(v, h.ndim)  # noqa: E731 - a short name for a long formula
    fixed = {"lam": prior.lam, "mu": F(prior.mu0), "h": h, "alpha_bar": alpha_bar}
    x, y = F(x_T), F(y)
    states = [frequency_start(name, x, y, h=h, alpha_bar=alpha_bar)]
    for s in range(S, 0, -1):
        x = frequency_step(
            name, s, states[-1], y, F(Z[s]), F(Z_y[s]),
            weights=options["weights"], options=options, **fixed,
        )  # fmt: skip
        states.append(x)
    return states


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize("alpha_bar", [TO_ONE, SHORT_OF_ONE], ids=["to-one", "short-of-one"])
@pytest.mark.parametrize("case", TRANSFERS)
@pytest.mark.parametrize("name", METHODS)
def test_algorithm_is_its_recursion_per_frequency(name, case, alpha_bar, kind):
    h = TRANSFERS[case]
    prior, operator = problem_prior(h.shape), Blur.from_transfer(h)
    x_T, y, Z, Z_y = arrays(h.shape, h.shape)
    options = settings(name, kind, prior, Z, Z_y)
    result = run(
        name, kind, prior, operator, alpha_bar, x_T, y, options, keep_trajectory=True
    )  # fmt: skip
    expected = recursion(name, prior, h, alpha_bar, x_T, y, Z, Z_y, options)
    assert result.nfe == S
    assert len(result.trajectory) == S + 1
    for got, want in zip(result.trajectory, expected, strict=True):
        error = np.abs(modes(got, h.ndim) - want).max()
        assert error < 1e-10 * np.abs(want).max()
    assert result.sample is result.trajectory[-1]


@pytest.mark.parametrize("case", ["even", "zeros"])
def test_published_defaults(case):
    """PiGDM's weight and variance, DDRM's and DDNM's factor 1, DDNM+'s eta."""
    h = TRANSFERS[case]
    prior, operator = problem_prior(h.shape), Blur.from_transfer(h)
    x_T, y, Z, Z_y = arrays(h.shape, h.shape)
    ab = TO_ONE[1:]
    noise = {"noise": lambda s, x: Z[s]}
    published = {
        "pigdm": {"weights": np.sqrt(ab) * (1 - ab), "r2": 1 - ab},
        "ald": {"weights": np.ones(S)},
        "ddnm": {"weights": np.ones(S), "eta": 0.85},
        "ddnm_plus": {"weights": np.ones(S), "eta": 0.85},
        "ddrm": {"weights": np.ones(S), "eta": 0.85, "eta_b": 1.0},
        "diffpir": {"weights": np.full(S, 7.0), "zeta": 0.1},
    }
    for name, options in published.items():
        short = {"weights": options["weights"]} if name == "diffpir" else {}
        if name == "pigdm":
            short["vjp"] = gaussian_vjp(prior)
        result = run(name, "numpy", prior, operator, TO_ONE, x_T, y, {**noise, **short})
        want = recursion(name, prior, h, TO_ONE, x_T, y, Z, Z_y, options)[-1]
        error = np.abs(modes(result.sample, 1) - want).max()
        assert error < 1e-10 * np.abs(want).max(), name


# --- any H: dense matrices --------------------------------------------------------------------


def dense_step(name, s, x, y, z, z_y, *, prior, H, alpha_bar, weights, options):
    """The published step with matrices; states are columns."""
    cov, mu = prior.covariance(), prior.mu0.reshape(-1, 1)
    ab, ab1, weight = alpha_bar[s], alpha_bar[s - 1], weights[s - 1]
    sg, sg1 = np.sqrt((1 - ab) / ab), np.sqrt((1 - ab1) / ab1)
    d, m = len(cov), len(H)
    W = np.sqrt(ab) * cov @ np.linalg.inv(ab * cov + (1 - ab) * np.eye(d))
    x0 = mu + W @ (x - np.sqrt(ab) * mu)
    eps = (x - np.sqrt(ab) * x0) / np.sqrt(1 - ab)
    r, st, eta, eye = y - H @ x0, np.sqrt(1 - ab1), options.get("eta", 0.0), np.eye(m)
    plus = np.linalg.pinv(H)
    a, b, c = ddim_row(ab, ab1, eta)
    if name in ("dps", "mcg"):
        x = a * x + b * x0 + c * z + 2 * weight * W.T @ H.T @ r
        if name == "mcg":
            x = x - plus @ H @ x + plus @ (np.sqrt(ab1) * y + st * z_y)
        return x
    if name == "pigdm":
        g = W.T @ H.T @ np.linalg.solve(options["r2"][s - 1] * H @ H.T + SIGMA_Y**2 * eye, r)
        return a * x + b * x0 + c * z + weight * g
    if name == "ald":
        g = H.T @ (y - H @ x / np.sqrt(ab)) / (SIGMA_Y**2 + sg**2)
        return a * x + b * x0 + c * z + weight * b * sg**2 * g
    if name == "ddnm":
        x0y = x0 + weight * plus @ r
        return np.sqrt(ab1) * x0y + st * (np.sqrt(1 - eta**2) * eps + eta * z)
    if name == "diffpir":
        rho = weight * SIGMA_Y**2 / sg**2
        x0y = np.linalg.solve(H.T @ H + rho * np.eye(d), H.T @ y + rho * x0)
        eps = (x - np.sqrt(ab) * x0y) / np.sqrt(1 - ab)
        f = options["zeta"]
        return np.sqrt(ab1) * x0y + st * (np.sqrt(1 - f) * eps + np.sqrt(f) * z)
    U, t, Vt = np.linalg.svd(H)
    t = np.concatenate([t, np.zeros(d - len(t))])[:, None]
    ybar = np.concatenate([U.T @ y, np.zeros((d - m, y.shape[1]))]) / np.where(t > 0, t, 1.0)
    x0, eps, z = Vt @ x0, Vt @ eps, Vt @ z
    out, keep = np.empty_like(x0), np.sqrt(1 - eta**2)
    for i, si in enumerate(t[:, 0]):
        if si == 0:
            out[i] = np.sqrt(ab1) * x0[i] + st * (keep * eps[i] + eta * z[i])
        elif name == "ddnm_plus" and st >= np.sqrt(ab1) * SIGMA_Y / si:
            fresh = np.sqrt(st**2 - ab1 * SIGMA_Y**2 / si**2)
            out[i] = np.sqrt(ab1) * (x0[i] + weight * (ybar[i] - x0[i])) + fresh * z[i]
        elif name == "ddnm_plus":
            Lam = si * st * keep / (np.sqrt(ab1) * SIGMA_Y)
            out[i] = np.sqrt(ab1) * (x0[i] + weight * Lam * (ybar[i] - x0[i])) + st * eta * z[i]
        elif sg1 * si < SIGMA_Y:
            pull = keep * sg1 * (ybar[i] - x0[i]) / (SIGMA_Y / si)
            out[i] = np.sqrt(ab1) * (x0[i] + weight * pull + eta * sg1 * z[i])
        else:
            fresh = np.sqrt(sg1**2 - options["eta_b"] ** 2 * SIGMA_Y**2 / si**2)
            pull = options["eta_b"] * (ybar[i] - x0[i])
            out[i] = np.sqrt(ab1) * (x0[i] + weight * pull + fresh * z[i])
    return Vt.T @ out


def dense_start(name, x, y, *, H, alpha_bar):
    if name != "ddrm":
        return x
    U, t, Vt = np.linalg.svd(H)
    sg = np.sqrt((1 - alpha_bar[-1]) / alpha_bar[-1])
    x = sg * (Vt @ x)
    for i, si in enumerate(t):
        if sg * si > SIGMA_Y:
            x[i] = (U.T @ y)[i] / si + np.sqrt(sg**2 - SIGMA_Y**2 / si**2) * x[i] / sg
    return np.sqrt(alpha_bar[-1]) * Vt.T @ x


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize("case", DENSE)
@pytest.mark.parametrize("name", METHODS)
def test_algorithm_is_its_matrices_for_masks_and_downsampling(name, case, kind):
    operator = DENSE[case]
    prior, H = problem_prior(operator.shape), matrix(operator)
    x_T, y, Z, Z_y = arrays(operator.shape, operator.measurement_shape)
    options = settings(name, kind, prior, Z, Z_y)
    for alpha_bar in (TO_ONE, SHORT_OF_ONE):
        result = run(name, kind, prior, operator, alpha_bar, x_T, y, options)
        x = dense_start(name, columns(x_T), columns(y), H=H, alpha_bar=alpha_bar)
        for s in range(S, 0, -1):
            x = dense_step(
                name, s, x, columns(y), columns(Z[s]), columns(Z_y[s]), prior=prior, H=H,
                alpha_bar=alpha_bar, weights=options["weights"], options=options,
            )  # fmt: skip
        assert np.abs(columns(result.sample) - x).max() < 1e-10 * np.abs(x).max()


# --- the gradient -----------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["even", "odd", "image"])
def test_gradients_of_the_squared_norm_and_of_the_norm(case):
    """What one step subtracts, against automatic differentiation of the norm and closed form."""
    h, ab = TRANSFERS[case], np.array([0.9, 0.3])
    prior, operator = problem_prior(h.shape), Blur.from_transfer(h)
    x_T, y, _, _ = (torch.tensor(v) if isinstance(v, np.ndarray) else v
                    for v in arrays(h.shape, h.shape))  # fmt: skip

    def sample(weights):
        return zs.dps(
            prior.denoise, x_T, ab, y=y, operator=operator, sigma_y=SIGMA_Y, weights=weights
        ).sample

    subtracted = {
        "squared": sample([0.0]) - sample([1.0]),
        "norm": sample([0.0]) - sample(zs.normalised(0.5)),
    }
    w = np.sqrt(ab[1]) * prior.lam / (ab[1] * prior.lam + 1 - ab[1])
    x = modes(x_T, h.ndim)
    r = modes(y, h.ndim) - h * (w * x + (1 - np.sqrt(ab[1]) * w) * modes(prior.mu0, h.ndim))
    norm = np.sqrt((np.abs(r) ** 2).reshape(3, -1).sum(1)).reshape(3, *(1,) * h.ndim)
    closed = {"squared": -2 * w * np.conj(h) * r, "norm": -w * np.conj(h) * r / norm}
    leaf = x_T.clone().requires_grad_()
    norms = (y - operator.forward(prior.denoise(leaf, ab[1]))).flatten(1).norm(dim=1)
    auto = {
        "squared": torch.autograd.grad((norms**2).sum(), leaf, retain_graph=True)[0],
        "norm": torch.autograd.grad(norms.sum(), leaf)[0],
    }
    for which, got in subtracted.items():
        scale = np.abs(closed[which]).max()
        assert np.abs(modes(got, h.ndim) - closed[which]).max() < 1e-11 * scale
        np.testing.assert_allclose(got.numpy(), auto[which].numpy(), atol=1e-11)


def small_network():
    """Convolutional denoiser in float64 whose Jacobian is not symmetric."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 6, 3, padding=1), torch.nn.Tanh(), torch.nn.Conv2d(6, 1, 3, padding=1)
    ).double()
    return lambda x, level, cond=None: level**0.5 * x + net(x[:, None])[:, 0]


@pytest.mark.parametrize("operator", [DENSE["mask-image"], identity((4, 5))], ids=["mask", "id"])
def test_guidance_through_a_network_is_the_gradient_of_the_likelihood(operator):
    denoiser, (ab1, ab) = small_network(), (0.8, 0.4)
    x_T, y, _, _ = (torch.tensor(v) if isinstance(v, np.ndarray) else v
                    for v in arrays((4, 5), operator.measurement_shape))  # fmt: skip
    H = torch.tensor(matrix(operator))
    leaf = x_T.clone().requires_grad_()
    x0 = denoiser(leaf, ab)
    r = y - x0.flatten(1) @ H.T if y.ndim == 2 else (y - x0).flatten(1)
    a, b, _ = ddim_row(ab, ab1, 0.0)
    plain = (a * x_T + b * x0).detach()
    r2, eye = 0.7, torch.eye(len(H), dtype=torch.float64)
    # log p(y | x_s) = -1/2 r^T (r2 H H^T + sigma_y^2)^{-1} r, with its matrix held fixed.
    whitened = torch.linalg.solve(r2 * H @ H.T + SIGMA_Y**2 * eye, r.T).T
    score = torch.autograd.grad(-0.5 * (r * whitened).sum(), leaf, retain_graph=True)[0]
    gradient = torch.autograd.grad((r**2).sum(), leaf)[0]
    fixed = {"y": y, "operator": operator, "sigma_y": SIGMA_Y}
    got = zs.pigdm(denoiser, x_T, [ab1, ab], weights=[0.3], r2=[r2], **fixed).sample
    np.testing.assert_allclose(got.numpy(), (plain + 0.3 * score).numpy(), atol=1e-12)
    got = zs.dps(denoiser, x_T, [ab1, ab], weights=[0.2], **fixed).sample
    np.testing.assert_allclose(got.numpy(), (plain - 0.2 * gradient).numpy(), atol=1e-12)
    assert not got.requires_grad


def test_vjp_replaces_automatic_differentiation():
    denoiser, operator = small_network(), DENSE["mask-image"]
    x_T, y, _, _ = arrays((4, 5), operator.measurement_shape)

    def vjp(x, level, v):
        return torch.autograd.functional.vjp(lambda u: denoiser(u, level), x, v)[1]

    def numpy_vjp(x, level, v):
        return vjp(torch.tensor(x), level, torch.tensor(v)).numpy()

    def numpy_denoiser(x, level, cond=None):
        return denoiser(torch.tensor(x), level).detach().numpy()

    fixed = {"operator": operator, "sigma_y": SIGMA_Y, "weights": zs.normalised(0.4)}
    tensors = {"y": torch.tensor(y), **fixed}
    auto = zs.dps(denoiser, torch.tensor(x_T), TO_ONE, **tensors).sample.numpy()
    with torch.no_grad():
        given = zs.dps(denoiser, torch.tensor(x_T), TO_ONE, vjp=vjp, **tensors).sample.numpy()
    arrays_ = zs.dps(numpy_denoiser, x_T, TO_ONE, y=y, vjp=numpy_vjp, **fixed).sample
    np.testing.assert_allclose(given, auto, atol=1e-13)
    np.testing.assert_allclose(arrays_, auto, atol=1e-13)


def test_gradients_survive_no_grad_around_the_call():
    prior = problem_prior((9,))
    x_T, y = torch.tensor(np.random.default_rng(0).standard_normal((2, 2, 9)))
    fixed = {"y": y, "operator": identity(9), "sigma_y": 0.1, "weights": np.full(S, 0.1)}
    with torch.no_grad():
        inside = zs.dps(prior.denoise, x_T, TO_ONE, **fixed).sample
    torch.testing.assert_close(inside, zs.dps(prior.denoise, x_T, TO_ONE, **fixed).sample)


def test_a_network_without_gradients_is_refused():
    prior, n = problem_prior((9,)), np.random.default_rng(0).standard_normal
    with pytest.raises(ValueError, match=r"^denoiser must be differentiable"):
        zs.pigdm(
            lambda x, level: prior.denoise(x.detach(), level),
            torch.tensor(n((2, 9))),
            TO_ONE,
            y=torch.tensor(n((2, 9))),
            operator=identity(9),
            sigma_y=0.1,
        )


# --- the ideal sampler ------------------------------------------------------------------------


@pytest.mark.parametrize("eta", [0.0, 0.7])
@pytest.mark.parametrize("case", TRANSFERS)
def test_ideal_is_ddim_of_the_posterior_gaussian(case, eta):
    h = TRANSFERS[case]
    prior, operator = problem_prior(h.shape), Blur.from_transfer(h)
    x_T, y, Z, _ = arrays(h.shape, h.shape)
    common = {"eta": eta, "noise": lambda s, x: Z[s][: len(x)]}
    got = zs.ideal(prior, x_T, TO_ONE, y=y, operator=operator, sigma_y=SIGMA_Y, **common).sample
    S_y = np.abs(h) ** 2 * prior.lam + SIGMA_Y**2
    K, mu = prior.lam * np.conj(h) / S_y, prior.mu0_spectral
    for i in range(3):
        mu_p = prior.from_spectral((mu + K * (modes(y[i], h.ndim) - h * mu))[None])[0]
        posterior = replace(prior, lam=prior.lam * SIGMA_Y**2 / S_y, mu0=mu_p)
        own = {**common, "noise": lambda s, x, i=i: Z[s][i : i + 1]}
        want = sm.ddim(posterior.denoise, x_T[i : i + 1], TO_ONE, **own).sample[0]
        np.testing.assert_allclose(got[i], want, atol=1e-12 * np.abs(want).max())
    tensor = zs.ideal(
        prior, torch.tensor(x_T), TO_ONE, y=torch.tensor(y), operator=operator, sigma_y=SIGMA_Y,
        eta=eta, noise=lambda s, x: torch.tensor(Z[s]),
    ).sample  # fmt: skip
    np.testing.assert_allclose(tensor.numpy(), got, atol=1e-12)


def test_pigdm_with_the_true_variance_is_ideal_for_white_data():
    """With lam = 1 the variance of x0 given x_s is ``1 - alpha_bar`` at every frequency."""
    prior = GaussianPrior.from_spectrum(np.ones(16), 0.3)
    operator = Blur.from_transfer(TRANSFERS["even"])
    x_T, y, _, _ = arrays((16,), (16,))
    _, b, _ = np.array(
        [ddim_row(TO_ONE[s], TO_ONE[s - 1], 0.0) for s in range(1, S + 1)]
    ).T  # fmt: skip
    kappa = b * (1 - TO_ONE[1:]) / np.sqrt(TO_ONE[1:])
    common = {"y": y, "operator": operator, "sigma_y": SIGMA_Y}
    got = zs.pigdm(
        prior.denoise, x_T, TO_ONE, weights=kappa, vjp=gaussian_vjp(prior), **common
    ).sample
    want = zs.ideal(prior, x_T, TO_ONE, **common).sample
    np.testing.assert_allclose(got, want, atol=1e-12)


# --- moments, relations, special steps --------------------------------------------------------


@pytest.mark.parametrize("name", ["dps", "ddrm", "ddnm_plus", "diffpir"])
def test_monte_carlo_moments(name):
    """Mean and variance over 20,000 draws for one measurement, from impulse responses."""
    n, h = 20_000, TRANSFERS["zeros" if name == "ddrm" else "odd"]
    shape = h.shape
    prior, operator = problem_prior(shape), Blur.from_transfer(h)
    _, y, Z, Z_y = arrays(shape, shape, n=1)
    options = settings(name, "numpy", prior, Z, Z_y)
    silent = {s: np.zeros((1, *shape)) for s in Z}

    def respond(x, noises):
        return recursion(name, prior, h, TO_ONE, x, y, noises, silent, options)[-1][0]

    # A real impulse at the origin has the same coefficient in every mode.
    impulse = np.zeros((1, *shape))
    impulse[0, 0] = np.sqrt(h.size)
    mean = respond(0 * impulse, silent)
    responses = [respond(impulse, silent)]
    responses += [respond(0 * impulse, {**silent, s: impulse}) for s in Z]
    var = sum(np.abs(one - mean) ** 2 for one in responses)
    rng = np.random.default_rng(2_602)
    result = run(
        name, "numpy", prior, operator, TO_ONE, rng.standard_normal((n, *shape)),
        np.repeat(y, n, axis=0), {**options, "noise": lambda s, x: rng.standard_normal(x.shape)},
    )  # fmt: skip
    index = np.arange(h.size)
    z_mean, z_var = oracles.z_scores(modes(result.sample, 1), mean, var, -index % h.size == index)
    assert z_mean.max() < 5
    assert np.abs(z_var).max() < 5


@pytest.mark.parametrize("operator", [Blur(TRANSFERS["zeros"]), DENSE["down"], DENSE["mask"]])
def test_ddrm_with_full_weight_is_ddnm_plus_after_the_first_state(operator):
    prior = problem_prior(operator.shape)
    x_T, y, Z, _ = arrays(operator.shape, operator.measurement_shape)
    common = {"noise": lambda s, x: Z[s], "eta": 0.6}
    ddrm = run(
        "ddrm", "numpy", prior, operator, SHORT_OF_ONE, x_T, y, common, keep_trajectory=True
    )  # fmt: skip
    start = ddrm.trajectory[0]
    assert np.abs(start - x_T).max() > 1e-3
    plus = run("ddnm_plus", "numpy", prior, operator, SHORT_OF_ONE, start, y, common)
    np.testing.assert_allclose(plus.sample, ddrm.sample, atol=1e-11)


def test_last_step_to_one_returns_what_the_algorithm_says():
    """DDNM+ and unguided DPS end at x0_hat; DDNM at H^+ y; DiffPIR at its data step."""
    prior, operator = problem_prior((12,)), DENSE["mask"]
    x_T, y, Z, _ = arrays((12,), operator.measurement_shape)
    last = {}
    common = {"noise": lambda s, x: Z[s], "callback": last.update}

    def sample(name, **options):
        options = {**common, **options}
        return run(name, "numpy", prior, operator, TO_ONE, x_T, y, options).sample

    zero = {"weights": np.zeros(S), "vjp": gaussian_vjp(prior)}
    np.testing.assert_array_equal(sample("dps", **zero), last["x0_hat"])
    np.testing.assert_allclose(sample("ddnm_plus"), last["x0_hat"], atol=1e-13)
    np.testing.assert_allclose(operator.forward(sample("ddnm")), y, atol=1e-13)
    got = sample("diffpir", weights=np.full(S, 7.0))
    rho = 7.0 * SIGMA_Y**2 * TO_ONE[1] / (1 - TO_ONE[1])
    want = (y + rho * operator.forward(last["x0_hat"])) / (1 + rho)
    np.testing.assert_allclose(operator.forward(got), want, atol=1e-13)
    assert last["s"] == 0
    assert last["level"] == 1.0


def test_noiseless_measurements_take_the_limit_of_small_noise():
    prior = problem_prior((16,))
    operator = Blur.from_transfer(TRANSFERS["zeros"])
    x_T, y, Z, Z_y = arrays((16,), (16,))
    y = operator.forward(y)
    for name in ("pigdm", "ddnm_plus", "ddrm", "diffpir"):
        options = settings(name, "numpy", prior, Z, Z_y)
        exact, limit = (
            getattr(zs, name)(
                prior.denoise, x_T, SHORT_OF_ONE, y=y, operator=operator, sigma_y=sigma_y,
                **options,
            ).sample
            for sigma_y in (0.0, 1e-6)
        )  # fmt: skip
        np.testing.assert_allclose(exact, limit, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("case", ["even", "zeros"])
@pytest.mark.parametrize("name", ["pigdm", "ddnm", "ddnm_plus", "ddrm", "diffpir"])
def test_noiseless_measurements_in_both_forms(name, case):
    """Without noise nothing is left to trade: the last step, to alpha_bar = 1, meets y exactly."""
    h = TRANSFERS[case]
    prior, operator = problem_prior(h.shape), Blur.from_transfer(h)
    x_T, y, Z, _ = arrays(h.shape, h.shape)
    y = operator.forward(y)
    options = {"weights": np.full(S, 7.0)} if name == "diffpir" else {}
    fresh = {} if name == "pigdm" else {"noise": lambda s, x: Z[s]}
    gradient = {"vjp": gaussian_vjp(prior)} if name == "pigdm" else {}
    found = getattr(zs, name)(
        prior.denoise, x_T, TO_ONE, y=y, operator=operator, sigma_y=0.0, **options, **fresh,
        **gradient,
    ).sample  # fmt: skip
    problem = inverse.make_problem(prior, h, 0.0)
    steps = getattr(gains, name)(problem, TO_ONE, **options)
    spectra = (prior.to_spectral(v) for v in (x_T, y))
    want = inverse.run(problem, TO_ONE, steps, *spectra, lambda s: prior.to_spectral(Z[s]))
    np.testing.assert_allclose(found, prior.from_spectral(want), atol=1e-9)
    if name != "pigdm":
        np.testing.assert_allclose(operator.forward(found), y, atol=1e-9)


def test_mcg_with_an_invertible_blur_is_the_inverse_filter():
    prior, operator = problem_prior((9,)), Blur.from_transfer(gaussian_transfer(9, 0.4, 0.3))
    x_T, y, Z, Z_y = arrays((9,), (9,))
    options = settings("mcg", "numpy", prior, Z, Z_y)
    result = run("mcg", "numpy", prior, operator, TO_ONE, x_T, y, options).sample
    np.testing.assert_allclose(operator.forward(result), y, atol=1e-11)


# --- batches, kinds, colour -------------------------------------------------------------------


@pytest.mark.parametrize("channels", [(), (3,)], ids=["grey", "colour"])
@pytest.mark.parametrize("operator", ["blur", "down-image", "mask-image"])
@pytest.mark.parametrize("name", [*METHODS, "normalised", "ideal"])
def test_tensors_stay_on_their_device(name, operator, channels, monkeypatch):
    """The meta device stands in for a GPU: it has no values, and refuses tensors of the CPU."""
    for module in (guidance, conditional):  # whether values are finite cannot be asked there
        monkeypatch.setattr(module, "check_measurement", lambda *arguments: None)
    monkeypatch.setattr(protocol, "check_state", lambda *arguments: None)
    op = {**DENSE, "blur": Blur.from_transfer(TRANSFERS["image"])}[operator]
    prior = problem_prior(op.shape)
    prior = ChannelPriors(np.eye(3), (prior,) * 3) if channels else prior
    x_T, y = (
        torch.empty((2, *channels, *shape), device="meta")
        for shape in (op.shape, op.measurement_shape)
    )
    options = {
        "normalised": {"weights": zs.normalised(0.3)},
        "mcg": {"weights": np.ones(S), "noise_y": lambda s, y: torch.empty_like(y)},
        "ideal": {},
    }.get(name, {"weights": np.ones(S)})
    sample = zs.dps if name == "normalised" else getattr(zs, name)
    found = sample(
        prior if name == "ideal" else prior.denoise, x_T, TO_ONE, y=y, operator=op,
        sigma_y=SIGMA_Y, noise=lambda s, x: torch.empty_like(x), **options,
    ).sample  # fmt: skip
    assert (found.device, found.dtype, found.shape) == (x_T.device, x_T.dtype, x_T.shape)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize("name", [*METHODS, "normalised"])
def test_a_sample_does_not_depend_on_its_batch(name, kind):
    operator = DENSE["down-image"]
    prior, seeds = problem_prior(operator.shape), [3, 1, 4, 1]
    method = "dps" if name == "normalised" else name
    x_T = sm.initial_noise(seeds, operator.shape)
    y = sm.initial_noise([9, 8, 7, 6], operator.measurement_shape)
    options = settings(method, kind, prior, None, None)
    if name == "normalised":
        options["weights"] = zs.normalised(0.5)

    def sample(rows):
        streams = {"noise": sm.step_noise([seeds[i] for i in rows])}
        if method == "mcg":
            streams["noise_y"] = sm.step_noise([100 + i for i in rows])
        return np.asarray(
            run(
                method, kind, prior, operator, TO_ONE, x_T[rows], y[rows], {**options, **streams}
            ).sample
        )

    together = sample([0, 1, 2, 3])
    alone = np.concatenate([sample([i]) for i in range(4)])
    np.testing.assert_allclose(alone, together, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", METHODS)
def test_single_precision_stays_single(name):
    operator = DENSE["down-image"]
    prior = problem_prior(operator.shape)
    x_T, y, Z, Z_y = arrays(operator.shape, operator.measurement_shape)
    options = settings(name, "numpy", prior, Z, Z_y)
    want = run(name, "numpy", prior, operator, TO_ONE, x_T, y, options).sample
    single = {
        "noise": lambda s, x: Z[s].astype(np.float32),
        **({"noise_y": lambda s, x: Z_y[s].astype(np.float32)} if name == "mcg" else {}),
    }
    got = run(
        name, "numpy", prior, operator, TO_ONE, np.float32(x_T), np.float32(y),
        {**options, **single},
    ).sample  # fmt: skip
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, atol=2e-3 * np.abs(want).max())
    options.pop("vjp", None)
    tensors = {k: lambda s, x, f=f: torch.tensor(f(s, x)) for k, f in single.items()}
    got = getattr(zs, name)(
        prior.denoise, torch.tensor(x_T, dtype=torch.float32), TO_ONE, operator=operator,
        y=torch.tensor(y, dtype=torch.float32), sigma_y=SIGMA_Y, **{**options, **tensors},
    ).sample  # fmt: skip
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got.numpy(), want, atol=2e-3 * np.abs(want).max())


COLOUR = ChannelPriors(
    np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0],
    tuple(replace(problem_prior((6, 4)), lam=scale * problem_prior((6, 4)).lam)
          for scale in (4.0, 1.0, 0.3)),
)  # fmt: skip
COLOUR_OPERATORS = {
    "blur": Blur.from_transfer(gaussian_transfer((6, 4), 0.7, 0.3)),
    "down": DENSE["down-image"],
    "mask": Mask(np.random.default_rng(1).random((6, 4)) < 0.5),
}


@pytest.mark.parametrize("case", COLOUR_OPERATORS)
@pytest.mark.parametrize("name", [*METHODS, "ideal"])
def test_colour_batches_are_their_rotated_channels(name, case):
    operator = COLOUR_OPERATORS[case]
    rng = np.random.default_rng(1)
    x_T, y = rng.standard_normal((2, 3, 6, 4)), rng.standard_normal(
        (2, 3, *operator.measurement_shape)
    )  # fmt: skip
    Z = {s: rng.standard_normal(x_T.shape) for s in range(1, S + 1)}
    Z_y = {s: rng.standard_normal(y.shape) for s in range(1, S + 1)}
    rotate = COLOUR.to_channels

    def sample(prior, pick, vjp):
        noise = {"noise": lambda s, x: pick(Z[s])}
        if name == "ideal":
            options, first = {"eta": 0.5, **noise}, prior
        else:
            options = {**settings(name, "numpy", COLOUR.priors[0], Z, Z_y), **noise}
            first = prior.denoise
            if name in GRADIENT:
                options["vjp"] = vjp
            if name == "mcg":
                options["noise_y"] = lambda s, v: pick(Z_y[s])
        return getattr(zs, name)(
            first, pick(x_T), TO_ONE, y=pick(y), operator=operator, sigma_y=SIGMA_Y, **options
        ).sample

    got = rotate(sample(COLOUR, lambda v: v, gaussian_vjp(COLOUR)))
    for i, prior in enumerate(COLOUR.priors):
        want = sample(prior, lambda v, i=i: rotate(v)[:, i], gaussian_vjp(prior))
        np.testing.assert_allclose(got[:, i], want, atol=1e-10 * np.abs(want).max())


def test_norms_of_colour_images_run_over_all_channels():
    operator = COLOUR_OPERATORS["blur"]
    rng = np.random.default_rng(2)
    x_T, y = rng.standard_normal((2, 3, 6, 4)), rng.standard_normal((2, 3, 6, 4))
    seen = []

    def rule(s, norm):
        seen.append(norm)
        return 0.0 * norm

    zs.dps(
        COLOUR.denoise, x_T, [0.9, 0.3], y=y, operator=operator, sigma_y=SIGMA_Y, weights=rule,
        vjp=gaussian_vjp(COLOUR),
    )  # fmt: skip
    r = y - operator.forward(COLOUR.denoise(x_T, 0.3))
    np.testing.assert_allclose(seen[0], np.linalg.norm(r.reshape(2, -1), axis=1))


# --- protocol ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_callback_trajectory_and_one_draw_of_noise_a_step(name):
    operator = DENSE["mask"]
    prior = problem_prior((12,))
    x_T, y, Z, Z_y = arrays((12,), operator.measurement_shape)
    before = x_T.copy(), y.copy()
    reports, drawn = [], []
    options = settings(name, "numpy", prior, Z, Z_y)
    options["noise"] = lambda s, x: drawn.append(s) or Z[s]
    result = run(
        name, "numpy", prior, operator, TO_ONE, x_T, y, options, callback=reports.append,
        keep_trajectory=True,
    )  # fmt: skip
    assert [report["s"] for report in reports] == list(range(S - 1, -1, -1))
    assert [report["level"] for report in reports] == list(TO_ONE[S - 1 :: -1])
    # The last step ends at alpha_bar = 1, where no method adds noise.
    assert drawn == list(range(S, 1, -1))
    for x, s, report in zip(result.trajectory, range(S, 0, -1), reports, strict=False):
        np.testing.assert_array_equal(report["x0_hat"], prior.denoise(x, TO_ONE[s]))
    for x, report in zip(result.trajectory[1:], reports, strict=True):
        assert report["x"] is x
    np.testing.assert_array_equal(x_T, before[0])
    np.testing.assert_array_equal(y, before[1])
    again = run(name, "numpy", prior, operator, TO_ONE, x_T, y, options)
    assert again.trajectory is None
    np.testing.assert_array_equal(again.sample, result.sample)


def test_deterministic_settings_need_and_draw_no_noise():
    operator, prior = DENSE["mask"], problem_prior((12,))
    x_T, y, _, _ = arrays((12,), operator.measurement_shape)

    def never(s, x):
        raise AssertionError("noise was drawn")

    for name, off in (
        ("dps", {"eta": 0.0, "weights": np.full(S, 0.1), "vjp": gaussian_vjp(prior)}),
        ("pigdm", {"eta": 0.0, "vjp": gaussian_vjp(prior)}),
        ("ald", {"eta": 0.0}),
        ("ddnm", {"eta": 0.0}),
        ("diffpir", {"zeta": 0.0, "weights": np.full(S, 7.0)}),
    ):
        for noise in (None, never):
            run(name, "numpy", prior, operator, SHORT_OF_ONE, x_T, y, off, noise=noise)


def test_clipped_denoiser():
    prior = problem_prior((9,))
    x = 10.0 * np.random.default_rng(0).standard_normal((2, 9))
    raw = prior.denoise(x, 0.3)
    clip = samplers.clipped(prior.denoise, -1.0, 1.5)
    np.testing.assert_array_equal(clip(x, 0.3), np.clip(raw, -1.0, 1.5))
    leaf = torch.tensor(x, requires_grad=True)
    answer = clip(leaf, 0.3)
    np.testing.assert_allclose(answer.detach().numpy(), np.clip(raw, -1.0, 1.5), atol=1e-14)
    inside = (raw > -1.0) & (raw < 1.5)
    (gradient,) = torch.autograd.grad(answer.sum(), leaf)
    want = gaussian_vjp(prior)(x, 0.3, inside.astype(float))
    np.testing.assert_allclose(gradient.numpy(), want, atol=1e-14)
    with pytest.raises(ValueError, match=r"^low must be below high"):
        samplers.clipped(prior.denoise, 1.0, 1.0)


def good(name):
    operator = DENSE["mask"]
    x_T, y, Z, Z_y = arrays((12,), operator.measurement_shape)
    options = settings(name, "numpy", problem_prior((12,)), Z, Z_y)
    return {
        "x_T": x_T,
        "alpha_bar": TO_ONE,
        "y": y,
        "operator": operator,
        "sigma_y": 0.1,
        **options,
    }


X, Y = arrays((12,), DENSE["mask"].measurement_shape)[:2]
BAD = [
    ({"x_T": X[0]}, METHODS, r"^x_T must be a real floating array"),
    ({"x_T": X.astype(int)}, METHODS, r"^x_T must be a real floating array"),
    ({"x_T": X[:, :11]}, METHODS, r"^operator must be for signals of shape \(11,\)"),
    ({"operator": identity(11)}, METHODS, r"^operator must be for signals of shape \(12,\)"),
    ({"operator": Mask(np.ones((3, 4), bool))}, METHODS, r"^operator must be .*got one for \(3, 4"),
    ({"alpha_bar": TO_ONE[::-1]}, METHODS, r"^alpha_bar"),
    ({"alpha_bar": np.append(TO_ONE, 0.0)}, METHODS, r"^alpha_bar"),
    ({"alpha_bar": [1.0, 0.5, 0.5]}, METHODS, r"^alpha_bar must decrease"),
    ({"y": Y[:2]}, METHODS, r"^y must have shape \(3, \d+\)"),
    ({"y": Y[0]}, METHODS, r"^y must have shape"),
    ({"y": Y[:, 1:]}, METHODS, r"^y must end in the axes"),
    ({"y": Y * np.nan}, METHODS, r"^y must be finite"),
    ({"y": Y.astype(np.float32)}, METHODS, r"^y must have .*dtype float64.*float32"),
    ({"y": torch.tensor(Y)}, METHODS, r"^y must have .*torch.float64"),
    ({"sigma_y": -0.1}, METHODS, r"^sigma_y: got -0.1, expected a number in \[0, inf\)"),
    ({"weights": np.ones(S + 1)}, METHODS, r"^weights: expected shape \(6,\)"),
    ({"weights": 1.0}, METHODS, r"^weights: expected shape \(6,\)"),
    ({"weights": [1, 1, 1, -1, 1, 1]}, METHODS, r"^weights\[3\] = -1: expected .* in \[0, inf\)"),
    ({"weights": np.ones(S) + 0j}, METHODS, r"^weights: expected real numbers, got dtype complex"),
    ({"rcond": 2.0}, ("mcg", "ddnm", "ddnm_plus", "ddrm"), r"^rcond: got 2.0, .* in \[0, 1\)"),
    ({"noise": None}, METHODS, r"^noise is needed"),
    ({"noise_y": None}, ("mcg",), r"^noise_y is needed"),
    ({"eta": 1.1}, [m for m in METHODS if m != "diffpir"], r"^eta: got 1.1, .* in \[0, 1\]"),
    ({"eta_b": -0.1}, ("ddrm",), r"^eta_b: got -0.1"),
    ({"zeta": 2.0}, ("diffpir",), r"^zeta: got 2.0"),
    ({"r2": np.ones(S - 1)}, ("pigdm",), r"^r2: expected shape"),
    ({"r2": np.zeros(S)}, ("pigdm",), r"^r2\[0\] = 0.0: expected"),
    ({"vjp": None}, GRADIENT, r"^vjp is needed for NumPy"),
]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [(name, change, message) for change, names, message in BAD for name in names],
)
def test_bad_input_is_refused_by_name_before_any_call(name, change, message):
    arguments = {**good(name), **change}
    calls = []
    with pytest.raises(ValueError, match=message):
        getattr(zs, name)(lambda x, level: calls.append(1) or x, **arguments)
    assert not calls


def test_ideal_and_the_conditional_denoiser_refuse_what_does_not_fit():
    prior, operator = problem_prior((12,)), DENSE["mask"]
    fixed = {"operator": operator, "sigma_y": 0.1}
    for arguments, message in (
        ({"y": Y[:2]}, r"^y must have shape \(3"),
        ({"y": Y, "eta": 0.5}, r"^noise is needed"),
    ):
        with pytest.raises(ValueError, match=message):
            zs.ideal(prior, X, TO_ONE, **{**fixed, **arguments})
    with pytest.raises(ValueError, match=r"^operator must be for signals of the prior's shape"):
        conditional_denoiser(problem_prior((11,)), operator, Y, 0.1)
    with pytest.raises(ValueError, match=r"^y must have shape \(n"):
        conditional_denoiser(prior, operator, Y[0], 0.1)
    with pytest.raises(ValueError, match=r"^x_t must have shape \(3, 12\)"):
        conditional_denoiser(prior, operator, Y, 0.1)(X[:2], 0.5)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("ddrm", {"noise": lambda s, x: x[:1]}, r"^noise returned shape"),
        ("mcg", {"noise_y": lambda s, y: y[:1]}, r"^noise_y returned shape"),
        ("dps", {"vjp": lambda x, level, v: v[:, :1]}, r"^vjp returned shape"),
        ("dps", {"weights": lambda s, norm: norm[:1]}, r"^weights returned shape"),
        ("dps", {"weights": lambda s, norm: norm[:, None]}, r"^weights returned shape"),
    ],
)
def test_answers_of_another_shape_are_refused(name, change, message):
    with pytest.raises(ValueError, match=message):
        getattr(zs, name)(problem_prior((12,)).denoise, **{**good(name), **change})
    with pytest.raises(ValueError, match=r"^denoiser returned shape"):
        getattr(zs, name)(lambda x, level: x[:, :1], **good(name))


def test_normalised_rule():
    rule = zs.normalised(0.3)
    np.testing.assert_allclose(rule(1, np.array([2.0, 0.5])), [0.15, 0.6])
    assert np.all(np.isfinite(rule(1, np.zeros(2, dtype=np.float32))))
    assert rule(1, torch.ones(2, dtype=torch.float32)).dtype == torch.float32


def test_measurements_made_here_are_restored():
    """The methods do their job: closer to the truth than an unguided sample, in every case."""
    rng = np.random.default_rng(3)
    h = gaussian_transfer(32, 1.0, 0.7)
    prior, operator = problem_prior(h.shape), Blur.from_transfer(h)
    x0 = prior.sample(200, rng)
    y = measure(operator, x0, SIGMA_Y, rng.standard_normal(x0.shape))
    x_T = rng.standard_normal(x0.shape)
    alpha_bar = ddpm_respaced(20)
    common = {"y": y, "operator": operator, "sigma_y": SIGMA_Y}
    noise = {"noise": lambda s, x: rng.standard_normal(x.shape)}
    vjp = {"vjp": gaussian_vjp(prior)}
    mse = lambda x: float(np.mean((x - x0) ** 2))  # noqa: E731
    free = mse(sm.ddim(prior.denoise, x_T, alpha_bar).sample)
    ideal = mse(zs.ideal(prior, x_T, alpha_bar, **common).sample)
    found = {
        "dps": zs.dps(
            prior.denoise, x_T, alpha_bar, weights=zs.normalised(1.0), **vjp, **common
        ),
        "pigdm": zs.pigdm(prior.denoise, x_T, alpha_bar, **vjp, **common),
        "ddnm_plus": zs.ddnm_plus(prior.denoise, x_T, alpha_bar, **noise, **common),
        "ddrm": zs.ddrm(prior.denoise, x_T, alpha_bar, **noise, **common),
        "diffpir": zs.diffpir(
            prior.denoise, x_T, alpha_bar, weights=np.full(20, 7.0), **noise, **common
        ),
        "ald": zs.ald(prior.denoise, x_T, alpha_bar, **common),
    }  # fmt: skip
    for name, result in found.items():
        assert ideal * 0.5 < mse(result.sample) < 0.35 * free, name
