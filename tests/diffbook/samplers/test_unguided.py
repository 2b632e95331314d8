"""Samplers on the analytic denoiser, where every answer is known."""

from __future__ import annotations

import inspect

import numpy as np
import oracles
import pytest
import torch

from diffbook import samplers as sm
from diffbook import schedules as sc
from diffbook.priors.gaussian import GaussianPrior
from diffbook.samplers.transfer import flow_gain, transfer

PRIOR = GaussianPrior.ramp(d=12, mu0=0.3)
IMAGE = GaussianPrior.inverse_f((4, 6), beta=2.0)
ALL = {"ddim": sm.ddim, "ddpm": sm.ddpm, "heun": sm.heun, "dpmpp_2m": sm.dpmpp_2m}
DETERMINISTIC = {name: ALL[name] for name in ("ddim", "heun", "dpmpp_2m")}
over_all = pytest.mark.parametrize("name", ALL)
over_deterministic = pytest.mark.parametrize("name", DETERMINISTIC)
over_processes = pytest.mark.parametrize("process", ["vp", "ve"])


def setting(process: str, S: int, prior: GaussianPrior = PRIOR):
    """Analytic denoiser, schedule and the scale of the initial noise."""
    alpha_bar = sc.linear_beta(S)
    if process == "vp":
        return prior.denoise, alpha_bar, 1.0
    sigma = sc.alpha_bar_to_sigma(alpha_bar)
    return prior.denoise_ve, sigma, sigma[-1]


def start(n: int = 3, prior: GaussianPrior = PRIOR, scale: float = 1.0, seed: int = 0):
    return scale * sm.initial_noise(range(seed, seed + n), prior.shape)


def no_noise(s, x):
    return 0.0 * x


# --- against the transfer functions -----------------------------------------------------------


@over_processes
@pytest.mark.parametrize("prior", [PRIOR, IMAGE], ids=["signal", "image"])
@pytest.mark.parametrize("S", [1, 2, 10, 50])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_is_its_transfer_function_mode_by_mode(process, prior, S, eta):
    """``x_s = gain x_S + mean_gain mu0`` exactly at every state, once the noise is taken out."""
    denoiser, schedule, scale = setting(process, S, prior)
    x_T = start(prior=prior, scale=scale)
    result = sm.ddim(
        denoiser, x_T, schedule, process=process, eta=eta, noise=no_noise, keep_trajectory=True
    )
    t = transfer(prior.lam, schedule, eta=eta, process=process)
    modes, mu0 = prior.to_spectral(x_T).reshape(3, -1), prior.mu0_spectral.ravel()
    for s, state in zip(range(S, -1, -1), result.trajectory, strict=True):
        expected = t.gain[s] * modes + t.mean_gain[s] * mu0
        actual = prior.to_spectral(state).reshape(3, -1)
        np.testing.assert_allclose(actual, expected, atol=1e-11 * np.abs(expected).max())


@over_processes
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_monte_carlo_moments_of_all_modes(process, eta):
    """The paper's synthetic prior at its size; thresholds for 100 modes' worth of z-scores."""
    prior, n = GaussianPrior.ramp(mu0=0.05), 50_000
    alpha_bar = sc.cosine(10)
    schedule = alpha_bar if process == "vp" else sc.alpha_bar_to_sigma(alpha_bar)
    denoiser = prior.denoise if process == "vp" else prior.denoise_ve
    rng = np.random.default_rng(20_250_200)
    x_T = rng.standard_normal((n, 50)) * (1.0 if process == "vp" else schedule[-1])
    out = sm.ddim(
        denoiser,
        x_T,
        schedule,
        process=process,
        eta=eta,
        noise=lambda s, x: rng.standard_normal(x.shape),
    ).sample
    t = transfer(prior.lam, schedule, eta=eta, process=process)
    real = np.isin(np.arange(50), (0, 25))
    z_mean, z_var = oracles.z_scores(
        prior.to_spectral(out), t.D2 * prior.mu0_spectral, t.std**2, real
    )
    assert z_mean.max() < 4.5
    assert np.abs(z_var).max() < 4.5


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_ddim_is_song_et_als_update(eta):
    alpha_bar = sc.cosine(7)
    x_T, noise = start(), sm.step_noise([5, 6, 7])
    x = x_T
    for s in range(7, 0, -1):
        ab_t, ab_prev = alpha_bar[s], alpha_bar[s - 1]
        x = oracles.eta_step_song(x, PRIOR.denoise(x, ab_t), ab_t, ab_prev, eta, noise(s, x))
    result = sm.ddim(PRIOR.denoise, x_T, alpha_bar, eta=eta, noise=noise)
    np.testing.assert_allclose(result.sample, x, atol=1e-12)


def test_ddpm_is_ho_et_als_posterior():
    """``x_{s-1} = c0 x0_hat + ct x_s + sqrt(beta_tilde) z`` with DDPM's coefficients."""
    alpha_bar = sc.linear_beta(9)
    x_T, noise = start(), sm.step_noise([1, 2, 3])
    x = x_T
    for s in range(9, 0, -1):
        al, hi, lo = alpha_bar[s] / alpha_bar[s - 1], alpha_bar[s], alpha_bar[s - 1]
        mean = (np.sqrt(lo) * (1 - al) * PRIOR.denoise(x, hi) + np.sqrt(al) * (1 - lo) * x) / (
            1 - hi
        )
        x = mean + np.sqrt((1 - lo) * (1 - al) / (1 - hi)) * noise(s, x)
    result = sm.ddpm(PRIOR.denoise, x_T, alpha_bar, noise=noise)
    np.testing.assert_allclose(result.sample, x, atol=1e-12)
    same = sm.ddim(PRIOR.denoise, x_T, alpha_bar, eta=1.0, noise=noise)
    np.testing.assert_array_equal(result.sample, same.sample)


def test_ddim_is_eulers_method_on_the_probability_flow():
    sigma = sc.edm(8, 0.01, 50.0)
    y = x_T = 50.0 * start()
    for s in range(8, 0, -1):
        y = y + (sigma[s - 1] - sigma[s]) * (y - PRIOR.denoise_ve(y, sigma[s])) / sigma[s]
    result = sm.ddim(PRIOR.denoise_ve, x_T, sigma, process="ve")
    np.testing.assert_allclose(result.sample, y, atol=1e-12)


# --- second-order methods ---------------------------------------------------------------------


def test_heun_is_edms_algorithm_1():
    sigma = np.concatenate([[0.0], sc.edm(6, 0.02, 30.0)])
    calls = 0

    def D(x, s):
        nonlocal calls
        calls += 1
        return PRIOR.denoise_ve(x, s)

    x_T = 30.0 * start()
    x = x_T
    for s in range(7, 0, -1):
        d = (x - D(x, sigma[s])) / sigma[s]
        x_next = x + (sigma[s - 1] - sigma[s]) * d
        if sigma[s - 1] != 0:
            d_next = (x_next - D(x_next, sigma[s - 1])) / sigma[s - 1]
            x_next = x + (sigma[s - 1] - sigma[s]) * 0.5 * (d + d_next)
        x = x_next
    result = sm.heun(PRIOR.denoise_ve, x_T, sigma, process="ve")
    np.testing.assert_allclose(result.sample, x, atol=1e-12)
    assert result.nfe == calls == 2 * 7 - 1


def test_dpmpp_2m_is_its_algorithm_2():
    """Lu et al.'s update in their variables: lambda = log(alpha / sigma), alpha^2 = alpha_bar."""
    alpha_bar = sc.cosine(9, eps_0=1e-3, eps_S=1e-3)[::-1]  # from noise to data, as they count
    alpha, sd = np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)
    lam = np.log(alpha / sd)
    x_T = start()
    x, old = x_T, None
    for i in range(1, 10):
        h = lam[i] - lam[i - 1]
        new = PRIOR.denoise(x, alpha_bar[i - 1])
        D = new
        if old is not None:
            r = (lam[i - 1] - lam[i - 2]) / h
            D = (1 + 1 / (2 * r)) * new - 1 / (2 * r) * old
        x = sd[i] / sd[i - 1] * x - alpha[i] * np.expm1(-h) * D
        old = new
    result = sm.dpmpp_2m(PRIOR.denoise, x_T, alpha_bar[::-1])
    np.testing.assert_allclose(result.sample, x, atol=1e-12)
    assert result.nfe == 9


@over_processes
@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("heun", 2), ("dpmpp_2m", 2)])
def test_order_of_convergence_to_the_exact_flow(name, order, process):
    prior, (lo, hi) = GaussianPrior.from_spectrum([2.0, 0.7, 0.7], 0.5), (0.05, 20.0)
    ends = sc.sigma_to_alpha_bar(np.array([lo, hi]))

    def error(S: int) -> float:
        sigma = sc.edm(S, lo, hi)
        schedule = sigma if process == "ve" else sc.sigma_to_alpha_bar(sigma)
        denoiser = prior.denoise_ve if process == "ve" else prior.denoise
        x_T = start(2, prior, hi if process == "ve" else 1.0)
        out = ALL[name](denoiser, x_T, schedule, process=process).sample
        scale = np.sqrt(ends) if process == "vp" else np.ones(2)
        gain = flow_gain(prior.lam, ends) * (1.0 if process == "vp" else np.sqrt(ends[1] / ends[0]))
        shift = prior.to_spectral(x_T) - scale[1] * prior.mu0_spectral
        exact = scale[0] * prior.mu0_spectral + gain * shift
        return np.abs(prior.to_spectral(out) - exact).max()

    errors = np.array([error(S) for S in (100, 200, 400)])
    rates = np.log2(errors[:-1] / errors[1:])
    np.testing.assert_allclose(rates, order, atol=0.15)
    assert errors[-1] < {1: 0.02, 2: 5e-4}[order]


@over_deterministic
def test_a_schedule_may_end_without_noise(name):
    sigma = np.concatenate([[0.0], sc.edm(30, 0.002, 50.0)])
    x_T = 50.0 * start()
    out = ALL[name](PRIOR.denoise_ve, x_T, sigma, process="ve")
    assert np.all(np.isfinite(out.sample))
    before = ALL[name](PRIOR.denoise_ve, x_T, sigma[1:], process="ve").sample
    # The last step is of first order: it ends on the denoiser's answer.
    np.testing.assert_allclose(out.sample, PRIOR.denoise_ve(before, 0.002), atol=1e-12)
    stochastic = sm.ddpm(
        PRIOR.denoise_ve, x_T, sigma, process="ve", noise=sm.step_noise([0, 1, 2]),
        keep_trajectory=True,
    )  # fmt: skip
    last_but_one = stochastic.trajectory[-2]
    np.testing.assert_allclose(stochastic.sample, PRIOR.denoise_ve(last_but_one, 0.002), atol=1e-12)


@over_deterministic
def test_vp_and_ve_follow_the_same_path(name):
    alpha_bar = sc.cosine(12)
    x_T, root = start(), np.sqrt(alpha_bar)
    vp = ALL[name](PRIOR.denoise, x_T, alpha_bar, keep_trajectory=True)
    ve = ALL[name](
        PRIOR.denoise_ve, x_T / root[-1], sc.alpha_bar_to_sigma(alpha_bar), process="ve",
        keep_trajectory=True,
    )  # fmt: skip
    for x, y, scale in zip(vp.trajectory, ve.trajectory, root[::-1], strict=True):
        np.testing.assert_allclose(x, scale * y, atol=1e-10)


# --- one signature, two array libraries -------------------------------------------------------


def test_all_samplers_share_one_signature():
    shared = list(inspect.signature(sm.heun).parameters)
    assert shared == [
        "denoiser",
        "x_T",
        "schedule",
        "process",
        "noise",
        "callback",
        "keep_trajectory",
    ]
    for name in ("ddim", "dpmpp_2m"):
        parameters = [p for p in inspect.signature(ALL[name]).parameters if p != "eta"]
        assert parameters == shared


@over_all
@over_processes
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_torch_equals_numpy(name, process, dtype):
    denoiser, schedule, scale = setting(process, 8)
    x_T = start(scale=scale)
    kwargs = {"process": process, "noise": sm.step_noise([3, 4, 5])}
    expected = ALL[name](denoiser, x_T, schedule, **kwargs).sample
    seen = set()

    def watched(x, level):
        seen.add((type(x), x.dtype, type(level)))
        return denoiser(x, level)

    actual = ALL[name](watched, torch.from_numpy(x_T).to(dtype), schedule, **kwargs).sample
    assert seen == {(torch.Tensor, dtype, float)}
    assert actual.dtype == dtype
    tolerance = {torch.float64: 1e-12, torch.float32: 2e-5}[dtype]
    np.testing.assert_allclose(actual, expected, atol=tolerance * np.abs(expected).max())


@over_all
def test_float32_stays_float32(name):
    x_T = start().astype(np.float32)
    result = ALL[name](PRIOR.denoise, x_T, sc.cosine(5), noise=sm.step_noise([0, 1, 2]))
    assert result.sample.dtype == np.float32


@over_all
def test_samplers_do_not_touch_their_inputs(name):
    schedule, x_T = sc.cosine(5), start()
    before = (schedule.copy(), x_T.copy())
    ALL[name](PRIOR.denoise, x_T, schedule, noise=sm.step_noise([0, 1, 2]))
    np.testing.assert_array_equal(schedule, before[0])
    np.testing.assert_array_equal(x_T, before[1])


def test_samplers_are_differentiable():
    x_T = torch.from_numpy(start(1)).requires_grad_()
    (grad,) = torch.autograd.grad(sm.ddim(PRIOR.denoise, x_T, sc.cosine(6)).sample.sum(), x_T)
    D1 = transfer(PRIOR.lam, sc.cosine(6)).D1
    np.testing.assert_allclose(grad, np.full((1, 12), D1[0]), atol=1e-12)  # ones: the DC mode


# --- noise ------------------------------------------------------------------------------------


@over_all
def test_samples_do_not_depend_on_the_batch(name):
    schedule = sc.linear_beta(10)

    def run(seeds):
        x_T = sm.initial_noise(seeds, (12,))
        return ALL[name](PRIOR.denoise, x_T, schedule, noise=sm.step_noise(seeds)).sample

    np.testing.assert_allclose(run([4, 5, 6])[1:2], run([5]), atol=1e-13)


# --- what is reported -------------------------------------------------------------------------


@over_all
@over_processes
def test_trajectory_callback_and_nfe(name, process):
    S, seen, calls = 6, [], []
    denoiser, schedule, scale = setting(process, S)
    x_T = start(scale=scale)

    def counted(x, level):
        calls.append(level)
        return denoiser(x, level)

    kwargs = {"process": process, "noise": sm.step_noise([0, 1, 2])}
    result = ALL[name](counted, x_T, schedule, callback=seen.append, keep_trajectory=True, **kwargs)
    assert result.nfe == len(calls) == (2 * S if name == "heun" else S)
    assert set(calls) <= set(schedule.tolist())
    assert calls[0] == schedule[-1]
    assert len(result.trajectory) == S + 1
    np.testing.assert_array_equal(result.trajectory[0], x_T)
    np.testing.assert_array_equal(result.trajectory[-1], result.sample)
    assert [report["s"] for report in seen] == list(range(S - 1, -1, -1))
    for report, state in zip(seen, result.trajectory[1:], strict=True):
        np.testing.assert_array_equal(report["x"], state)
        assert report["level"] == schedule[report["s"]]
        assert report["x0_hat"].shape == x_T.shape
    plain = ALL[name](denoiser, x_T, schedule, **kwargs)
    assert plain.trajectory is None
    np.testing.assert_array_equal(plain.sample, result.sample)


# --- what is refused --------------------------------------------------------------------------


def never(x, level):
    raise AssertionError("the denoiser must not be called")


@over_all
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schedule": [0.1, 0.9]}, r"schedule\[1\]"),
        ({"schedule": [0.9, 0.1], "process": "ve"}, r"schedule\[1\]"),
        ({"x_T": np.ones(5)}, r"x_T must be a real floating array \(n, \*shape\)"),
        ({"x_T": np.ones((2, 3), int)}, "x_T must be a real floating array.*int"),
        ({"x_T": torch.ones(2, 3, dtype=torch.long)}, "x_T must be a real floating array"),
    ],
)
def test_bad_arguments_are_named_before_any_compute(name, change, message):
    arguments = {"x_T": start(), "schedule": [0.9, 0.1], "noise": no_noise} | change
    with pytest.raises(ValueError, match=message):
        ALL[name](never, **arguments)


def test_stochastic_samplers_ask_for_noise():
    with pytest.raises(ValueError, match="noise is needed when eta > 0"):
        sm.ddim(never, start(), [0.9, 0.1], eta=0.5)
    with pytest.raises(ValueError, match="noise is needed"):
        sm.ddpm(never, start(), [0.9, 0.1])


@over_all
@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize(
    ("wrong", "shape"),
    [
        (lambda x: x[:, :4], r"\(3, 4\)"),
        (lambda x: x[:1], r"\(1, 12\)"),
        (lambda x: x[None], r"\(1, 3, 12\)"),
        (lambda x: x[..., None], r"\(3, 12, 1\)"),
    ],
    ids=["cut", "one sample", "extra axis", "channel"],
)
def test_a_denoiser_of_the_wrong_shape_is_refused(name, kind, wrong, shape):
    x_T = start() if kind == "numpy" else torch.from_numpy(start())
    with pytest.raises(ValueError, match=rf"denoiser returned shape {shape}.*\(3, 12\)"):
        ALL[name](lambda x, level: wrong(x), x_T, sc.cosine(4), noise=no_noise)


def test_noise_of_the_wrong_shape_is_refused():
    x_T = np.zeros((3, 12))
    with pytest.raises(ValueError, match=r"noise returned shape \(1, 12\).*\(3, 12\)"):
        sm.ddim(lambda x, level: x, x_T, sc.cosine(4), eta=1.0, noise=lambda s, x: x[:1])
