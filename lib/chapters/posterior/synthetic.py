"""Guided samplers on the synthetic problems of chapter 2: tables, rivals and checks by sampling.

Everything is closed form but `z_scores` and `measured_coverage`, which ask whether drawn samples
agree with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook.inverse import design as weights
from diffbook.inverse import filters as posterior
from diffbook.inverse import gains as guidance
from diffbook.inverse.filters import PosteriorTransfer, Problem, Steps, compose
from diffbook.inverse.operators import gaussian_transfer
from diffbook.priors.gaussian import GaussianPrior
from diffbook.schedules import levels as schedules

Array = NDArray[np.float64]

NOISE = {"A": 0.1, "B": 0.5, "C": 0.02}
"""Measurement noise of the synthetic problems."""


def synthetic_prior(d: int = 64) -> GaussianPrior:
    """Return the prior of the synthetic problems: a first-order spectrum of unit average variance."""
    k = np.fft.fftfreq(d, 1.0 / d)
    lam = 1.0 / (1.0 + (k / 3.0) ** 2)
    mu0 = 0.05 + 0.3 * np.cos(2.0 * np.pi * np.arange(d) / d)
    return GaussianPrior.from_spectrum(lam / lam.mean(), mu0)


def synthetic_problems(d: int = 64) -> tuple[GaussianPrior, dict[str, Problem]]:
    """Return the prior and three problems: A mild blur, B denoising, C strong blur with little noise.

    The blurs are shifted by 0.7 samples, so that their transfer functions are complex.
    """
    prior = synthetic_prior(d)
    h = {
        "A": gaussian_transfer(d, 1.5, 0.7),
        "B": np.ones(d),
        "C": gaussian_transfer(d, 3.0, 0.7),
    }
    return prior, {name: posterior.make_problem(prior, h[name], NOISE[name]) for name in h}


def w2(problem: Problem, alpha_bar: ArrayLike, steps: Steps) -> float:
    """Averaged squared distance ``E_y W2^2`` of a sampler to the exact posterior."""
    return compose(problem, alpha_bar, steps).w2_squared


# --- tables -----------------------------------------------------------------------------------


def standard_methods(problem: Problem, alpha_bar: ArrayLike) -> dict[str, Steps]:
    """Return every method with the settings of its authors, without any search."""
    S = len(np.asarray(alpha_bar)) - 1
    rule = guidance.dps_normalised
    return {
        "ideal": guidance.ideal(problem, alpha_bar),
        "ideal, eta = 1": guidance.ideal(problem, alpha_bar, eta=1.0),
        "DPS, 0.3/|r|": guidance.dps(problem, alpha_bar, rule(problem, alpha_bar, 0.3)),
        "DPS, 1/|r|": guidance.dps(problem, alpha_bar, rule(problem, alpha_bar, 1.0)),
        "PiGDM, published": guidance.pigdm(problem, alpha_bar),
        "PiGDM, score": guidance.pigdm(problem, alpha_bar, guidance.kappa(alpha_bar)),
        "DDNM+": guidance.ddnm_plus(problem, alpha_bar, rcond=1e-17),
        "DDRM": guidance.ddrm(problem, alpha_bar, rcond=1e-17),
        "DiffPIR, 7": guidance.diffpir(problem, alpha_bar, np.full(S, 7.0)),
    }


def other_methods(problem: Problem, alpha_bar: ArrayLike) -> dict[str, Steps]:
    """Return methods that the table leaves out: they need a rank, or are not meant for blurs."""
    weight = guidance.reference(problem, alpha_bar)
    return {
        "DPS, eta = 0.5": guidance.dps(problem, alpha_bar, weight, eta=0.5),
        "DDNM": guidance.ddnm(problem, alpha_bar, rcond=0.05),
        "ALD": guidance.ald(problem, alpha_bar, np.ones(len(weight))),
        "MCG": guidance.mcg(problem, alpha_bar, weight, rcond=0.05),
    }


def fate(problem: Problem) -> list[float]:
    """Measurement noise, smallest distortion, and numbers of modes passed, restored and lost."""
    passed, lost = problem.rho > 0.9, problem.rho < 0.1
    counts = (passed.sum(), (~passed & ~lost).sum(), lost.sum())
    return [problem.sigma_y, problem.mmse, *map(float, counts)]


def method_table(
    problem: Problem,
    steps: Sequence[int],
    schedule: Callable[[int], Array] = schedules.ddpm_respaced,
) -> dict[str, Array]:
    """``E_y W2^2`` of every standard method for several numbers of steps."""
    rows: dict[str, list[float]] = {}
    for S in steps:
        for name, method in standard_methods(problem, schedule(S)).items():
            rows.setdefault(name, []).append(w2(problem, schedule(S), method))
    return {name: np.array(values) for name, values in rows.items()}


def dps_rivals(problem: Problem, alpha_bar: ArrayLike) -> dict[str, float]:
    """``E_y W2^2`` of DPS with the weights of the literature, searched ones included.

    A rule that diverges has an astronomic value, or infinity.
    """
    names = {
        "0.3/|r|": guidance.dps_normalised(problem, alpha_bar, 0.3),
        "1/|r|": guidance.dps_normalised(problem, alpha_bar, 1.0),
        "literal score": guidance.dps_literal(problem, alpha_bar),
        "annealed": guidance.dps_annealed(problem, alpha_bar),
    }
    with np.errstate(over="ignore", invalid="ignore"):
        found = {
            n: w2(problem, alpha_bar, guidance.dps(problem, alpha_bar, z)) for n, z in names.items()
        }
    found = {n: v if np.isfinite(v) else np.inf for n, v in found.items()}
    found["best constant"] = guidance.best_constant(problem, alpha_bar)[1]
    found["best zeta'/|r|"] = guidance.best_normalised(problem, alpha_bar)[1]
    return found


def normalised_grid(problem: Problem, steps: Sequence[int], zeta_primes: ArrayLike) -> Array:
    """``E_y W2^2`` of ``zeta'/|r|`` on a grid, shape (len(steps), len(zeta_primes))."""
    table = []
    for S in steps:
        ab = schedules.ddpm_respaced(S)
        with np.errstate(over="ignore", invalid="ignore"):
            table.append(
                [
                    w2(
                        problem,
                        ab,
                        guidance.dps(problem, ab, guidance.dps_normalised(problem, ab, z)),
                    )
                    for z in np.asarray(zeta_primes)
                ]
            )
    return np.nan_to_num(np.array(table), nan=np.inf, posinf=np.inf)


def single_rule(
    problem: Problem, steps: Sequence[int], grid: ArrayLike | None = None
) -> tuple[float, dict[int, float]]:
    """Return what one ``zeta'`` for all numbers of steps loses at worst, and the best one for each.

    Parameters
    ----------
    grid : array_like, optional
        Values of zeta' that are tried.
    """
    grid = np.geomspace(0.03, 5.0, 60) if grid is None else np.asarray(grid)
    table = normalised_grid(problem, steps, grid)
    loss = np.min(np.max(table / table.min(axis=1, keepdims=True), axis=0))
    best = np.round(grid[table.argmin(axis=1)], 2).tolist()
    return float(loss), dict(zip(steps, best, strict=True))


def start_spread(family: Mapping[int, weights.Design]) -> float:
    """Worst objective that a deterministic start reached, over the best of all starts."""
    return max(
        value / design.objective
        for design in family.values()
        for start, value, _ in design.starts
        if start in ("reference", "normalised")
    )


def basin_designs(
    problems: Mapping[str, Problem], alpha_bar: ArrayLike, n: int, seed: int = 0
) -> dict[str, weights.Design]:
    """Design DPS weights for the three problems from many random starts, and for A regularised."""
    rng = np.random.default_rng([seed, 1])
    free = {"A: deblurring": "A", "B: denoising": "B", "C: strong blur": "C"}
    found = {
        label: weights.design_weights(problems[name], alpha_bar, n_random=n, rng=rng)
        for label, name in free.items()
    }
    found["A, regularised"] = weights.design_weights(
        problems["A"], alpha_bar, n_random=n, rng=rng, cap="no-overshoot", tikhonov=1e-3
    )
    return found


def random_ends(design: weights.Design) -> Array:
    """Objectives that the random starts of a design reached, sorted."""
    return np.sort([value for start, value, _ in design.starts if start.startswith("random")])


def distinct_minima(
    design: weights.Design, count: int = 3, gap: float = 0.01
) -> list[tuple[Array, float]]:
    """Best local minima of a design whose objectives differ by more than `gap`: (weights, value)."""
    found: list[tuple[Array, float]] = []
    for _, value, theta in sorted(design.starts, key=lambda item: item[1]):
        if len(found) < count and (not found or value > (1.0 + gap) * found[-1][1]):
            found.append((theta, value))
    return found


def structure_distance(designed: ArrayLike, heuristic: ArrayLike) -> float:
    """How far two weight profiles are apart after the best rescaling.

    Returns
    -------
    float
        ``exp`` of the root mean square deviation of their log ratio from its mean: 1 for
        proportional profiles, 2 if they differ by a factor of 2 on average.
    """
    ratio = np.log(np.asarray(designed)) - np.log(np.asarray(heuristic))
    return float(np.exp(ratio.std()))


def reused_weights(
    problem: Problem, design: weights.Design, S: int, steps: Sequence[int]
) -> dict[str, Array]:
    """Evaluate the weights designed for S steps at other numbers of steps.

    Returns
    -------
    dict
        ``"copied"`` over s/S, and ``"rescaled"`` by the step size over log SNR; both are kept below
        the stability bound, without which they may diverge.
    """
    found: dict[str, list[float]] = {"copied": [], "rescaled": []}
    source = schedules.ddpm_respaced(S)
    for target in steps:
        ab = schedules.ddpm_respaced(target)
        bound = guidance.stability_bound(problem, ab)
        for name, rescale in (("copied", False), ("rescaled", True)):
            moved = weights.interpolate_weights(design.weights, source, ab, rescale=rescale)
            found[name].append(w2(problem, ab, guidance.dps(problem, ab, np.minimum(moved, bound))))
    return {name: np.array(values) for name, values in found.items()}


# --- checks by sampling -----------------------------------------------------------------------


def draw(problem: Problem, n: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Draw true modes and their measurements (n, m), as complex circular Gaussians.

    A stand-in for the modes of real signals with the same second moments, mode by mode.
    """
    x0 = problem.mu0 + np.sqrt(problem.lam) * _normal(rng, (n, problem.lam.size))
    return x0, problem.h * x0 + problem.sigma_y * _normal(rng, x0.shape)


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.complex128]:
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2.0)


def z_scores(
    problem: Problem, alpha_bar: ArrayLike, steps: Steps, n: int, rng: np.random.Generator
) -> Array:
    """Run a sampler on drawn measurements and standardise its moments by the closed form.

    Returns
    -------
    ndarray, shape (4 m,)
        Per mode: real and imaginary part of the output's average, variance given y, and distortion.
        Standard normal if the closed form is right.
    """
    x0, y = draw(problem, n, rng)
    found = posterior.run(
        problem, alpha_bar, steps, _normal(rng, x0.shape), y, lambda s: _normal(rng, x0.shape)
    )
    t = compose(problem, alpha_bar, steps)
    given_y = found - (t.D2 * problem.mu0 + t.D3 * y)
    centre = (t.mean_response - 1.0) * problem.mu0
    mode_mse = problem.lam_p + np.abs(t.D3 - problem.K) ** 2 * problem.S_y + t.V
    scores = []
    mean = np.mean(found - t.mean_response * problem.mu0, axis=0)
    half = np.sqrt(t.output_spectrum / (2.0 * n))
    scores += [mean.real / half, mean.imag / half]
    for sample, variance in ((given_y, t.V), (found - x0 - centre, mode_mse)):
        power = np.mean(np.abs(sample) ** 2, axis=0)
        scores.append((power / variance - 1.0) * np.sqrt(n))
    return np.concatenate(scores)


def measured_coverage(
    prior: GaussianPrior,
    problem: Problem,
    alpha_bar: ArrayLike,
    steps: Steps,
    levels: ArrayLike,
    n: int,
    rng: np.random.Generator,
) -> tuple[Array, Array, Array]:
    """Share of true pixels inside a sampler's central intervals, from sampler runs alone.

    Every signal is measured and restored twice, with noise and with none; the second run is the
    sampler's mean given y, and their difference gives its spread.

    Returns
    -------
    mean, low, high : ndarray, shape (len(levels),)
        With the 95 % interval; the pixels of one signal depend on each other, signals do not.
    """
    from scipy.special import ndtri

    def modes() -> NDArray:
        return prior.to_spectral(rng.standard_normal((n, *prior.shape))).reshape(n, -1)

    x0 = prior.sample(n, rng)
    y = problem.h * prior.to_spectral(x0).reshape(n, -1) + problem.sigma_y * modes()
    zero = np.zeros_like(y)
    centre = posterior.run(problem, alpha_bar, steps, zero, y, lambda s: zero)
    drawn = posterior.run(problem, alpha_bar, steps, modes(), y, lambda s: modes())
    centre, drawn = (prior.from_spectral(v.reshape(n, *prior.shape)) for v in (centre, drawn))
    s = np.sqrt(np.mean((drawn - centre) ** 2))
    z = ndtri(0.5 + 0.5 * np.asarray(levels))
    shares = np.array([np.mean(np.abs(x0 - centre) <= width * s, axis=1) for width in z])
    mean, half = shares.mean(axis=1), 1.96 * shares.std(axis=1) / np.sqrt(n)
    return mean, mean - half, np.minimum(mean + half, 1.0)


def conditional_w2(
    prior: GaussianPrior, problem: Problem, transfer: PosteriorTransfer, y: ArrayLike
) -> tuple[float, float]:
    """W2^2 between sampler and exact posterior for one measurement: by matrices, and mode by mode.

    Parameters
    ----------
    y : array_like, shape of a signal
        The measurement, in the signal domain.
    """
    from diffbook.priors.distances import w2_gaussian

    y_modes = prior.to_spectral(np.asarray(y)[None]).ravel()
    means = (transfer.D2 * problem.mu0 + transfer.D3 * y_modes, problem.mean_given(y_modes))
    F = np.fft.fft(np.eye(prior.d), norm="ortho")
    covs = [((F.conj().T * v) @ F).real for v in (transfer.V, problem.lam_p)]
    signals = [prior.from_spectral(m.reshape(1, *prior.shape)).ravel() for m in means]
    by_matrices = w2_gaussian(signals[0], covs[0], signals[1], covs[1]) ** 2
    return by_matrices, float(np.sum(np.abs(means[0] - means[1]) ** 2) + transfer.std.sum())


# --- designs ----------------------------------------------------------------------------------


def design_table(
    problems: Mapping[str, Problem],
    steps: Sequence[int],
    methods: Sequence[weights.Method] = ("dps", "pigdm", "diffpir"),
    n_random: int = 0,
    seed: int = 0,
    max_iter: int = 500,
) -> dict[tuple[str, str], dict[int, weights.Design]]:
    """Designs of several methods for several problems: {(problem, method): {S: Design}}."""
    schedule = {S: schedules.ddpm_respaced(S) for S in steps}
    return {
        (name, method): weights.design_family(
            problem,
            schedule,
            method,
            n_random=n_random,
            rng=np.random.default_rng(seed),
            max_iter=max_iter,
        )
        for name, problem in problems.items()
        for method in methods
    }


# --- published algorithms against gains -------------------------------------------------------


def shared_noise_errors(
    seed: int = 0, S: int = 10, sizes: Sequence[int] = (63, 64)
) -> dict[str, float]:
    """Run every method as published, on signals, and as a filter, under the same noise.

    A blur with a phase, a prior with a mean, three signals; guidance by automatic differentiation.

    Returns
    -------
    dict
        Largest difference of the outputs relative to their largest value, over the sizes.
    """
    errors: dict[str, float] = {}
    for d in sizes:
        for name, error in _shared_noise_errors(d, S, seed).items():
            errors[name] = max(error, errors.get(name, 0.0))
    return errors


def _shared_noise_errors(d: int, S: int, seed: int) -> dict[str, float]:
    import torch

    from diffbook.inverse import operators as inverse
    from diffbook.inverse import published as zero_shot

    prior, problems = synthetic_problems(d)
    p, ab, rng = problems["A"], schedules.ddpm_respaced(S), np.random.default_rng([seed, d])
    op = inverse.Blur.from_transfer(p.h)
    x_T, y = rng.standard_normal((3, d)), op.forward(prior.sample(3, rng))
    y = y + p.sigma_y * rng.standard_normal(y.shape)
    z = rng.standard_normal((S + 1, 3, d))
    # MCG's second noise enters through the inverse of H, whose phase is undone here.
    phase = np.exp(1j * np.angle(p.h))
    turned = prior.from_spectral(phase * prior.to_spectral(z.reshape(-1, d))).reshape(z.shape)

    def noise(s: int, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(z[s])

    weight = guidance.reference(p, ab)
    kwargs = {"y": torch.as_tensor(y), "operator": op, "sigma_y": p.sigma_y}
    noisy = {**kwargs, "noise": noise}
    other = {**kwargs, "noise_y": lambda s, y: torch.as_tensor(turned[s])}
    # method: (published algorithm, its arguments, the same as gains)
    pairs = {
        "DPS": (zero_shot.dps, {**kwargs, "weights": weight}, guidance.dps(p, ab, weight)),
        "DPS, eta = 1": (
            zero_shot.dps,
            {**noisy, "weights": weight, "eta": 1.0},
            guidance.dps(p, ab, weight, eta=1.0),
        ),
        "PiGDM": (zero_shot.pigdm, kwargs, guidance.pigdm(p, ab)),
        "DiffPIR": (
            zero_shot.diffpir,
            {**noisy, "weights": np.full(S, 7.0)},
            guidance.diffpir(p, ab, np.full(S, 7.0)),
        ),
        "DDNM": (zero_shot.ddnm, {**noisy, "rcond": 0.05}, guidance.ddnm(p, ab, rcond=0.05)),
        "DDNM+": (zero_shot.ddnm_plus, noisy, guidance.ddnm_plus(p, ab)),
        "DDRM": (zero_shot.ddrm, {**noisy, "eta_b": 0.9}, guidance.ddrm(p, ab, eta_b=0.9)),
        "ALD": (zero_shot.ald, kwargs, guidance.ald(p, ab, np.ones(S))),
        "MCG": (
            zero_shot.mcg,
            {**other, "weights": weight, "rcond": 0.05},
            guidance.mcg(p, ab, weight, rcond=0.05),
        ),
    }
    found = {}
    for name, (sample, arguments, steps) in pairs.items():
        signals = sample(prior.denoise, torch.as_tensor(x_T), ab, **arguments).sample.numpy()
        spectra = [prior.to_spectral(v) for v in (x_T, y)]
        filtered = posterior.run(p, ab, steps, *spectra, lambda s: prior.to_spectral(z[s]))
        gap = signals - prior.from_spectral(filtered)
        found[name] = float(np.abs(gap).max() / np.abs(signals).max())
    return found


def reference_table() -> dict[str, dict[str, Array]]:
    """Return the values of an earlier, independent computation of `method_table`."""
    import yaml

    from press import paths

    text = (paths.reference() / "02_posterior.yaml").read_text("utf-8")
    return {
        problem: {name: np.array(values) for name, values in rows.items()}
        for problem, rows in yaml.safe_load(text).items()
    }


def autograd_gradient(
    problem: Problem,
    alpha_bar: ArrayLike,
    theta: ArrayLike,
    method: weights.Method,
    **options: float,
) -> Array:
    """Gradient of ``E_y W2^2`` by the weights from automatic differentiation.

    The sampler is unrolled in torch from the gains of the methods' table, independently of the
    adjoint recursion; for DPS, PiGDM and DiffPIR.
    """
    import torch

    eta, zeta = options.get("eta", 0.0), options.get("zeta", 0.1)
    lam, h, mu0, count = (
        torch.tensor(v) for v in (problem.lam, problem.h, np.abs(problem.mu0), problem.count)
    )
    weight = torch.tensor(np.asarray(theta), requires_grad=True)
    D3, V, m = torch.zeros_like(lam), torch.ones_like(lam), torch.zeros_like(lam)
    for s in range(len(alpha_bar) - 1, 0, -1):
        ab, ab_next = float(alpha_bar[s]), float(alpha_bar[s - 1])
        c2 = eta**2 * (1 - ab_next) / (1 - ab) * (1 - ab / ab_next)
        c2 = zeta * (1 - ab_next) if method == "diffpir" else c2
        a = ((1 - ab_next - c2) / (1 - ab)) ** 0.5
        b = ab_next**0.5 - ab**0.5 * a
        w, theta_s = ab**0.5 * lam / (ab * lam + 1 - ab), weight[s - 1]
        gain = {
            "dps": lambda w=w, t=theta_s: 2 * t * w * h,
            "pigdm": lambda w=w, t=theta_s, r2=1 - ab: t * w * h / (r2 * h**2 + problem.sigma_y**2),
            "diffpir": lambda b=b, t=theta_s, s2=(1 - ab) / ab: (
                b * h / (h**2 + t * problem.sigma_y**2 / s2)
            ),
        }[method]()
        G = a + (b - gain * h) * w
        m = G * m + (b - gain * h) * (1 - ab**0.5 * w) + gain * h
        D3, V = G * D3 + gain, G**2 * V + c2
    S_y, K = torch.tensor(problem.S_y), torch.tensor(problem.K)
    spread = (V.sqrt() - torch.tensor(problem.lam_p).sqrt()) ** 2
    loss = (count * ((m - 1) ** 2 * mu0**2 + (D3 - K) ** 2 * S_y + spread)).sum()
    (grad,) = torch.autograd.grad(loss, weight)
    return grad.numpy()
