"""The zero-shot samplers' own cost, over the bare calls of their denoiser, and against deepinv.

Two stopwatches inside a run add up the time of what the caller brings, the denoiser and the noise;
the rest is the sampler's own. All in CPU seconds of this process on one thread; medians. A guided
step applies the degradation and its adjoint (two to four Fourier transforms for a blur), which plain
DDIM does not: that is part of the overhead, and weighs the more the cheaper the denoiser is. Where a
method differentiates the denoiser, the gradient belongs to the caller too, but no stopwatch reaches
it: there the same calls, each with its gradient, are timed beside the run.

deepinv runs DPS with the same Gaussian denoiser, schedule, noise and weights, if it is installed.
"""

from __future__ import annotations

from collections.abc import Callable
from time import process_time
from typing import Any

import numpy as np
import torch

from benchmarks.bench_samplers import general_prior
from benchmarks.timing import Report, Table, Target, cpu_seconds, median
from chapters.posterior import deepinv as peer
from diffbook import schedules
from diffbook.inverse import gains, published
from diffbook.inverse.exact import gaussian_vjp
from diffbook.inverse.operators import Blur, Degradation, Mask, gaussian_kernel, measure
from diffbook.nets import store
from diffbook.nets.unet import as_denoiser
from diffbook.priors.gaussian import GaussianPrior
from diffbook.samplers.protocol import initial_noise, step_noise
from press import paths

STEPS = 20
ALPHA_BAR = schedules.ddpm_respaced(STEPS)
SIGMA_Y = 0.05
PLAIN = ("ald", "ddnm", "ddnm_plus", "ddrm", "diffpir")
"""Methods without a gradient of the denoiser."""
WEIGHTS = {"diffpir": 7.0, "dps": 0.01, "pigdm": 0.001}
"""Constant weights, small enough that nothing overflows; 1 for the others."""


def problem(operator: Degradation, x_T: Any, prior: GaussianPrior) -> dict[str, Any]:
    """Measurements of prior samples, of the kind of ``x_T``, and how they were made."""
    x0 = prior.sample(len(x_T), np.random.default_rng(0)).reshape(x_T.shape)
    if isinstance(x_T, torch.Tensor):
        x0 = torch.from_numpy(x0).to(x_T.dtype)
    clean = operator.forward(x0)
    noise = initial_noise(range(1000, 1000 + len(x_T)), tuple(clean.shape[1:]), like=clean)
    return {"y": measure(operator, x0, SIGMA_Y, noise), "operator": operator, "sigma_y": SIGMA_Y}


def with_gradient(denoiser: Callable[..., Any], v: torch.Tensor) -> Callable[..., Any]:
    """Denoiser that is also differentiated at every call, as guidance through it needs."""

    def call(x: torch.Tensor, alpha_bar: float) -> torch.Tensor:
        leaf = x.detach().requires_grad_()
        x0_hat = denoiser(leaf, alpha_bar)
        torch.autograd.grad(x0_hat, leaf, v)
        return x0_hat

    return call


class Stopwatch:
    """A function that adds up the CPU seconds spent inside it."""

    def __init__(self, function: Callable[..., Any]):
        self.function, self.spent = function, 0.0

    def __call__(self, *arguments: Any) -> Any:
        start = process_time()
        result = self.function(*arguments)
        self.spent += process_time() - start
        return result


def inside_one_run(
    sample: Callable[..., Any], denoiser: Callable[..., Any], x_T: Any, options: dict[str, Any]
) -> tuple[float, float]:
    """CPU seconds of the caller's functions, and of everything, in one run of a sampler."""
    clocks = [Stopwatch(denoiser)]
    if "noise" in options:
        clocks.append(Stopwatch(options["noise"]))
        options = {**options, "noise": clocks[1]}
    total = cpu_seconds(lambda: sample(clocks[0], x_T, ALPHA_BAR, **options))
    return sum(clock.spent for clock in clocks), total


def beside_bare_calls(
    sample: Callable[..., Any], denoiser: Callable[..., Any], x_T: Any, options: dict[str, Any]
) -> tuple[float, float]:
    """CPU seconds of differentiated calls at the states of a run, and of that run."""
    states = sample(denoiser, x_T, ALPHA_BAR, keep_trajectory=True, **options).trajectory
    visited = list(zip(states, ALPHA_BAR[::-1].tolist(), strict=True))[:-1]
    call = with_gradient(denoiser, torch.ones_like(x_T))
    bare = cpu_seconds(lambda: [call(x, level) for x, level in visited])
    return bare, cpu_seconds(lambda: sample(denoiser, x_T, ALPHA_BAR, **options))


def overhead(
    method: str, denoiser: Callable[..., Any], x_T: Any, given: dict[str, Any], repeats: int
) -> tuple[float, float, float]:
    """Milliseconds of a bare step, overhead, and own microseconds of a step; medians."""
    sample = getattr(published, method)
    options = {**given, "weights": np.full(STEPS, WEIGHTS.get(method, 1.0))}
    if method in ("ddnm", "ddnm_plus", "ddrm", "diffpir"):
        options["noise"] = step_noise(range(len(x_T)))
    measure_pair = inside_one_run if method in PLAIN else beside_bare_calls
    pairs = [measure_pair(sample, denoiser, x_T, options) for _ in range(repeats)]
    return (
        1e3 * median(bare for bare, _ in pairs) / STEPS,
        median(total / bare for bare, total in pairs) - 1.0,
        1e6 * median(total - bare for bare, total in pairs) / STEPS,
    )


def own_cost(quick: bool) -> Table:
    """Overhead of every method over the recorded network and over analytic denoisers."""
    table = Table(
        f"Guided samplers' own cost over the bare denoiser calls, {STEPS} steps, one thread, CPU time",
        ["denoiser", "batch", "degradation", "method", "bare ms a step", "overhead",
         "own us a step"],
    )  # fmt: skip
    model, _ = store.load_weights(paths.network("photos", 0))
    kernel = gaussian_kernel(1.0, ndim=2, radius=3)
    small, large = Blur.from_kernel(kernel, (16, 16)), Blur.from_kernel(kernel, (32, 32))
    mask = Mask(np.random.default_rng(0).random((16, 16)) < 0.6)
    images = initial_noise(range(128), (1, 16, 16), like=torch.zeros(1))
    patches = initial_noise(range(64), (32, 32))
    general, photo = general_prior(), GaussianPrior.inverse_f((32, 32))
    tiny = GaussianPrior.inverse_f((16, 16))
    plain, differentiable = as_denoiser(model), as_denoiser(model, differentiable=True)
    net, shape = "U-Net, photos 16 x 16", "128 x 1 x 16 x 16"
    cases = [
        (net, shape, "blur", PLAIN, plain, images, problem(small, images, tiny)),
        (net, shape, "mask", PLAIN, plain, images, problem(mask, images, tiny)),
        (net + ", with gradient", shape, "blur", ("dps", "pigdm"), differentiable, images,
         problem(small, images, tiny)),
        ("analytic, general covariance", "64 x 32 x 32", "blur", PLAIN, general.denoise, patches,
         problem(large, patches, photo)),
    ]  # fmt: skip
    repeats = 3 if quick else 9
    for name, batch, degradation, methods, denoiser, x_T, given in cases[:1] if quick else cases:
        for method in methods:
            table.add(
                name, batch, degradation, method, *overhead(method, denoiser, x_T, given, repeats)
            )
    return table


def against_deepinv(quick: bool) -> Table:
    """DPS with the analytic denoiser of a 1/f prior; one row with the reason without deepinv."""
    S, size, n, repeats = (10, 32, 4, 3) if quick else (100, 64, 16, 9)
    table = Table(
        f"DPS with the same Gaussian denoiser, {n} x {size} x {size}, {S} steps, one thread, "
        "CPU seconds",
        ["sampler", "gradient", "s", "relative to deepinv", "difference of the samples"],
    )
    if peer.missing():
        table.add(f"skipped: {peer.missing()}", None, None, None, None)
        return table
    prior = GaussianPrior.inverse_f((size, size))
    operator = Blur.from_kernel(gaussian_kernel(1.5, ndim=2), (size, size))
    x_T = initial_noise(range(n), (size, size), like=torch.zeros(1, dtype=torch.float64))
    given = problem(operator, x_T, prior)
    alpha_bar = peer.schedule(S)
    kappa = gains.kappa(alpha_bar)
    diffusion, physics = peer.sampler("dps_norm", prior, S), peer.physics(operator, SIGMA_Y)
    single = {**given, "y": given["y"].float()}

    def deepinv() -> torch.Tensor:
        return diffusion(given["y"][:, None], physics, x_init=x_T[:, None])[:, 0]

    def rule(s: int, residual_norm: torch.Tensor) -> torch.Tensor:
        # deepinv adds the gradient of the residual's norm to the score, which kappa carries to x.
        return 0.5 * kappa[s - 1] / residual_norm

    def ours(x: torch.Tensor, arguments: dict, vjp: Any = None) -> torch.Tensor:
        return published.dps(
            prior.denoise, x, alpha_bar, weights=rule, vjp=vjp, **arguments
        ).sample  # fmt: skip

    ways: list[tuple[str, str, Callable[[], torch.Tensor]]] = [
        ("deepinv, double with a single denoiser", "autograd", deepinv),
        ("this library, double", "autograd", lambda: ours(x_T, given)),
        ("this library, single", "autograd", lambda: ours(x_T.float(), single)),
        ("this library, double", "closed form", lambda: ours(x_T, given, gaussian_vjp(prior))),
    ]
    exact = ways[-1][2]()
    samples = [way() for _, _, way in ways]
    # Interleaved, so that a busy moment of the machine falls on all.
    times = [[cpu_seconds(way) for _, _, way in ways] for _ in range(repeats)]
    columns = list(zip(*times, strict=True))
    for (name, gradient, _), spent, sample in zip(ways, columns, samples, strict=True):
        gap = float((sample - exact).abs().max() / exact.abs().max())
        ratio = median(t / base for t, base in zip(spent, columns[0], strict=True))
        table.add(name, gradient, median(spent), ratio, gap)
    return table


def run(quick: bool = False) -> Report:
    """Overhead over a network and over analytic denoisers; DPS beside deepinv's."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        cost, beside = own_cost(quick), against_deepinv(quick)
    finally:
        torch.set_num_threads(threads)
    rows = [dict(zip(cost.columns, row, strict=True)) for row in cost.rows]
    targets = [
        Target(
            f"overhead of methods without gradient over the network, worst of them ({kind})",
            max(
                row["overhead"]
                for row in rows
                if row["denoiser"].startswith("U-Net")
                and row["method"] in PLAIN
                and row["degradation"] == kind
            ),
            0.05,
        )
        for kind in ("blur",) + (() if quick else ("mask",))
    ]
    if len(beside.rows) > 1:
        ratio = beside.column("relative to deepinv")[1]
        targets.append(
            Target("DPS by autograd in double precision, time over deepinv's", ratio, 1.0)
        )
    return Report([cost, beside], targets)
