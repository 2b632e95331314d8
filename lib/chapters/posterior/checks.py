"""Closed forms against published algorithms on signals, against sampling and against autograd."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chapters.posterior.synthetic import synthetic_prior, synthetic_problems
from diffbook import inverse, schedules
from diffbook.inverse import gains, published
from diffbook.inverse.blocks import gains as block_gains
from diffbook.inverse.blocks import problem as blocks
from diffbook.inverse.exact import gaussian_vjp
from diffbook.inverse.filters import PosteriorTransfer, Steps, compose
from diffbook.inverse.problem import Problem
from diffbook.priors.gaussian import GaussianPrior

Array = NDArray[np.float64]
NAMES = {"dps": "DPS", "pigdm": "PiGDM", "diffpir": "DiffPIR", "ideal": "ideal"}


def block_errors(seed: int = 0, d: int = 32, S: int = 10, sigma_y: float = 0.2) -> dict[str, float]:
    """Run four samplers (super-resolution by 4, a random mask) on signals and in blocks."""
    prior, rng = synthetic_prior(d), np.random.default_rng([seed, d])
    blur = inverse.Blur.from_transfer(inverse.gaussian_transfer(d, 1.0, 0.7))
    down = inverse.Downsampling(prior.shape, 4, blur)
    mask = inverse.Mask(rng.permutation(d) % 8 < 5)
    basis = blocks.real_basis(prior)
    cases = {
        "super-resolution": (
            down,
            blocks.from_downsampling(prior, 4, blur.spectrum, sigma_y),
            lambda x: np.fft.fft(x, norm="ortho"),
            lambda u: np.fft.ifft(u, norm="ortho").real,
        ),
        "mask": (
            mask,
            blocks.from_matrix(prior, inverse.matrix(mask), sigma_y),
            lambda x: x @ basis,
            lambda u: u @ basis.T,
        ),
    }
    ab, found = schedules.ddpm_respaced(S), {}
    weights, sevens, vjp = 0.3 * gains.kappa(ab), np.full(S, 7.0), gaussian_vjp(prior)
    for task, (op, problem, forward, back) in cases.items():
        x_T = rng.standard_normal((1, d))
        y = op.forward(prior.sample(1, rng))
        y = y + sigma_y * rng.standard_normal(y.shape)
        # method: (guidance weights, options of both, options of the published algorithm alone)
        methods = {
            "dps": ([weights], {}, {"vjp": vjp}),
            "pigdm": ([], {}, {"vjp": vjp}),
            "diffpir": ([sevens], {"zeta": 0.0}, {}),
            "ideal": ([], {}, {}),
        }
        for name, (theta, options, own) in methods.items():
            own = {**own, **options, "y": y, "operator": op, "sigma_y": sigma_y}
            own |= {"weights": theta[0]} if theta else {}
            start = prior if name == "ideal" else prior.denoise
            run = getattr(published, name)(start, x_T, ab, **own).sample
            steps = getattr(block_gains, name)(problem, ab, *theta, **options)
            transfer = block_gains.compose(problem, ab, steps)
            modes = _apply(problem, transfer, forward(x_T[0]), op.to_coords(y)[0])
            gap = np.abs(back(modes) - run[0]).max()
            found[f"{task}, {NAMES[name]}"] = float(gap / np.abs(run).max())
    return found


def _apply(
    problem: blocks.BlockProblem, transfer: block_gains.BlockTransfer, x: NDArray, y: NDArray
) -> NDArray:
    """Output modes (d,) of a composed sampler for starting modes x and measured coordinates y."""
    blocks_of_x = x[problem.modes][..., None]
    blocks_of_y = y.reshape(len(problem.lam), -1, 1)
    out = (
        transfer.D1 @ blocks_of_x + transfer.D2 @ problem.mu0[..., None] + transfer.D3 @ blocks_of_y
    )
    modes = np.zeros(problem.lam.size, out.dtype)
    modes[problem.modes] = out[..., 0]
    return modes


def draw(problem: Problem, n: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Draw true modes and their measurements (n, m), as complex circular Gaussians."""
    x0 = problem.mu0 + np.sqrt(problem.lam) * _normal(rng, (n, problem.lam.size))
    return x0, problem.h * x0 + problem.sigma_y * _normal(rng, x0.shape)


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.complex128]:
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2.0)


def z_scores(
    problem: Problem, alpha_bar: ArrayLike, steps: Steps, n: int, rng: np.random.Generator
) -> Array:
    """Run a sampler on drawn measurements and standardise its moments by the closed form."""
    x0, y = draw(problem, n, rng)
    found = inverse.run(
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
) -> Array:
    """Share of true pixels inside a sampler's central intervals, from sampler runs alone."""
    from scipy.special import ndtri

    def modes() -> NDArray:
        return prior.to_spectral(rng.standard_normal((n, *prior.shape))).reshape(n, -1)

    x0 = prior.sample(n, rng)
    y = problem.h * prior.to_spectral(x0).reshape(n, -1) + problem.sigma_y * modes()
    zero = np.zeros_like(y)
    centre = inverse.run(problem, alpha_bar, steps, zero, y, lambda s: zero)
    drawn = inverse.run(problem, alpha_bar, steps, modes(), y, lambda s: modes())
    centre, drawn = (prior.from_spectral(v.reshape(n, *prior.shape)) for v in (centre, drawn))
    s = np.sqrt(np.mean((drawn - centre) ** 2))
    z = ndtri(0.5 + 0.5 * np.asarray(levels))
    return np.array([np.mean(np.abs(x0 - centre) <= width * s) for width in z])


def conditional_w2(
    prior: GaussianPrior, problem: Problem, transfer: PosteriorTransfer, y: ArrayLike
) -> tuple[float, float]:
    """W2^2 between sampler and exact posterior for one measurement: by matrices, and by modes."""
    from diffbook.priors.distances import w2_gaussian

    y_modes = prior.to_spectral(np.asarray(y)[None]).ravel()
    means = (transfer.D2 * problem.mu0 + transfer.D3 * y_modes, problem.mean_given(y_modes))
    F = np.fft.fft(np.eye(prior.d), norm="ortho")
    covs = [((F.conj().T * v) @ F).real for v in (transfer.V, problem.lam_p)]
    signals = [prior.from_spectral(m.reshape(1, *prior.shape)).ravel() for m in means]
    by_matrices = w2_gaussian(signals[0], covs[0], signals[1], covs[1]) ** 2
    return by_matrices, float(np.sum(np.abs(means[0] - means[1]) ** 2) + transfer.std.sum())


def shared_noise_errors(seed: int = 0, S: int = 10) -> dict[str, float]:
    """Run every method as published, on signals, and as a filter, under the same noise."""
    # An even and an odd length: the mode at half the sampling rate is its own mirror image.
    even, odd = (_shared_noise_errors(d, S, seed) for d in (64, 63))
    return {name: max(error, odd[name]) for name, error in even.items()}


def _shared_noise_errors(d: int, S: int, seed: int) -> dict[str, float]:
    import torch

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

    weight = inverse.reference(p, ab)
    kwargs = {"y": torch.as_tensor(y), "operator": op, "sigma_y": p.sigma_y}
    noisy = {**kwargs, "noise": noise}
    other = {**kwargs, "noise_y": lambda s, y: torch.as_tensor(turned[s])}
    sevens, designed = np.full(S, 7.0), {"weights": weight}
    # method: (published algorithm, its arguments, the same as gains)
    pairs = {
        "DPS": ("dps", kwargs | designed, gains.dps(p, ab, weight)),
        "DPS, eta = 1": ("dps", noisy | designed | {"eta": 1.0}, gains.dps(p, ab, weight, eta=1.0)),
        "PiGDM": ("pigdm", kwargs, gains.pigdm(p, ab)),
        "DiffPIR": ("diffpir", noisy | {"weights": sevens}, gains.diffpir(p, ab, sevens)),
        "DDNM": ("ddnm", noisy | {"rcond": 0.05}, gains.ddnm(p, ab, rcond=0.05)),
        "DDNM+": ("ddnm_plus", noisy, gains.ddnm_plus(p, ab)),
        "DDRM": ("ddrm", noisy | {"eta_b": 0.9}, gains.ddrm(p, ab, eta_b=0.9)),
        "ALD": ("ald", kwargs, gains.ald(p, ab, np.ones(S))),
        "MCG": ("mcg", other | designed | {"rcond": 0.05}, gains.mcg(p, ab, weight, rcond=0.05)),
    }
    found = {}
    for name, (sample, arguments, steps) in pairs.items():
        run = getattr(published, sample)
        signals = run(prior.denoise, torch.as_tensor(x_T), ab, **arguments).sample.numpy()
        spectra = [prior.to_spectral(v) for v in (x_T, y)]
        filtered = inverse.run(p, ab, steps, *spectra, lambda s: prior.to_spectral(z[s]))
        gap = signals - prior.from_spectral(filtered)
        found[name] = float(np.abs(gap).max() / np.abs(signals).max())
    return found


def autograd_gradient(
    problem: Problem,
    alpha_bar: ArrayLike,
    theta: ArrayLike,
    method: inverse.Method,
    **options: float,
) -> Array:
    """Gradient of ``E_y W2^2`` by the weights from automatic differentiation."""
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
