"""The library deepinv on this book's problems, where it is installed: another hand's samplers.

    python -m chapters.posterior.deepinv

compares its samplers with the closed forms in a few seconds and writes the numbers that the chapter
shows. Tests and benchmarks skip it with a reason where it is missing. What is compared is the Gaussian
denoiser of a stationary prior with a circular blur, on one schedule and from one starting noise, so that
both sides must agree to rounding (deepinv calls its denoisers in single precision).

Source: Tachella et al. 2025, "DeepInverse", Journal of Open Source Software,
doi:10.21105/joss.08923; version 0.5.0 was read.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import click
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from diffbook import inverse
from diffbook._deepinv import load, missing
from diffbook.inverse import gains
from diffbook.inverse.filters import Steps
from diffbook.inverse.operators import Blur, gaussian_kernel, measure
from diffbook.priors.gaussian import GaussianPrior
from press import paths, records

Method = Literal["dps", "dps_norm", "pigdm", "ald", "moment_matching"]

FIDELITIES: dict[str, tuple[str, dict[str, Any]]] = {
    "dps": ("DPSDataFidelity", {"guidance": "annealed"}),
    "dps_norm": ("DPSDataFidelity", {"guidance": "norm"}),
    "pigdm": ("PiGDMDataFidelity", {}),
    "ald": ("ALDDataFidelity", {}),
    "moment_matching": ("MomentMatchingDataFidelity", {}),
}
"""Approximations of ``p(y | x_s)``: deepinv's class and what selects the variant."""


def schedule(S: int, beta_min: float = 0.1, beta_max: float = 20.0) -> NDArray[np.float64]:
    """``alpha_bar`` (S + 1,) of deepinv's variance-preserving process at equidistant times."""
    if S < 1:
        raise ValueError(f"S must be at least 1, got {S!r}")
    t = np.linspace(0.0, 1.0, S + 1)
    return np.exp(-beta_min * t - 0.5 * (beta_max - beta_min) * t**2)


class Denoiser(torch.nn.Module):
    """The Gaussian denoiser in deepinv's protocol: ``D(x0 + sigma noise, sigma)``, (n, 1, h, w)."""

    def __init__(self, prior: GaussianPrior):
        super().__init__()
        self.prior = prior

    def forward(self, x: torch.Tensor, sigma: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Denoise images that all have the noise level ``sigma`` (one number, or equal ones)."""
        level = float(torch.as_tensor(sigma).flatten()[0])
        return self.prior.denoise_ve(x[:, 0], level)[:, None]


def physics(operator: Blur, sigma_y: float) -> Any:
    """Circular blur with white noise as deepinv's ``BlurFFT``, for images (n, 1, h, w)."""
    if len(operator.shape) != 2:
        raise ValueError(f"operator must be for images, got one for {operator.shape}")
    deepinv = load()
    centre = [n // 2 for n in operator.shape]
    kernel = np.roll(np.fft.ifftn(operator.spectrum).real, centre, (0, 1))
    return deepinv.physics.BlurFFT(
        img_size=(1, *operator.shape),
        filter=torch.from_numpy(kernel[None, None].copy()),
        noise_model=deepinv.physics.GaussianNoise(sigma_y),
    )


def sampler(method: Method, prior: GaussianPrior, S: int, **options: Any) -> Any:
    """Make deepinv's ``PosteriorDiffusion`` with DDIM steps on `schedule` (S)."""
    if method not in FIDELITIES:
        raise ValueError(f"method must be one of {sorted(FIDELITIES)}, got {method!r}")
    deepinv = load()
    name, selected = FIDELITIES[method]
    times = torch.linspace(1.0, 0.0, S + 1, dtype=torch.float64)
    return deepinv.sampling.PosteriorDiffusion(
        data_fidelity=getattr(deepinv.sampling, name)(**selected, **options),
        denoiser=Denoiser(prior),
        sde=deepinv.sampling.VariancePreservingDiffusion(alpha=0.0),
        solver=deepinv.sampling.DDIMSolver(timesteps=times),
        minus_one_one=False,
    )


# --- the recorded comparison ------------------------------------------------------------------

SIZE, S, SIGMA_Y = 32, 20, 0.2
COMMAND = "python -m chapters.posterior.deepinv"


def lorentzian(size: int, scale: float = 1.0, mean: float = 0.2) -> GaussianPrior:
    """Prior of images whose spectrum falls with the square of the frequency; pixel variance scale."""
    k = np.fft.fftfreq(size) * size
    lam = 1.0 / (1.0 + (k[:, None] ** 2 + k**2) / 9.0)
    return GaussianPrior.from_spectrum(scale * lam / lam.mean(), mean)


class Case(NamedTuple):
    """One deblurring problem: arrays (4, SIZE, SIZE), and a schedule of S steps."""

    prior: GaussianPrior
    operator: Blur
    alpha_bar: NDArray[np.float64]
    x_T: NDArray[np.float64]
    y: NDArray[np.float64]

    @property
    def problem(self) -> inverse.Problem:
        """The same problem, mode by mode."""
        return inverse.make_problem(self.prior, self.operator.spectrum, SIGMA_Y)

    def closed(self, method: Callable[..., Steps], *weights: ArrayLike) -> NDArray:
        """Run a method of `diffbook.inverse.gains` as one gain per frequency, and return its images."""
        problem = self.problem
        modes = (self.prior.to_spectral(v).reshape(len(v), -1) for v in (self.x_T, self.y))
        steps = method(problem, self.alpha_bar, *weights)
        x = inverse.run(problem, self.alpha_bar, steps, *modes)
        return self.prior.from_spectral(x.reshape(self.x_T.shape))

    def theirs(self, method: Method, **options: float) -> NDArray:
        """Run deepinv's sampler and return its images."""
        y, x_T = (torch.from_numpy(v)[:, None] for v in (self.y, self.x_T))
        diffusion = sampler(method, self.prior, S, **options)
        return diffusion(y, physics(self.operator, SIGMA_Y), x_init=x_T)[:, 0].numpy(force=True)

    def annealed(self) -> NDArray[np.float64]:
        """Weights of DPS that deepinv calls annealed, (S,)."""
        return inverse.dps_annealed(self.problem, self.alpha_bar)


def make_case(seed: int = 0) -> Case:
    """Draw signals, measurements and starting noise of the problem."""
    prior, rng = lorentzian(SIZE), np.random.default_rng(seed)
    operator = Blur.from_kernel(gaussian_kernel(1.5, ndim=2), (SIZE, SIZE))
    x0 = prior.sample(4, rng)
    y = measure(operator, x0, SIGMA_Y, rng.standard_normal(x0.shape))
    return Case(prior, operator, schedule(S), rng.standard_normal(x0.shape), y)


def relative(a: NDArray, b: NDArray) -> float:
    """Largest difference relative to the largest value of the second array."""
    return float(np.abs(a - b).max() / np.abs(b).max())


def differences(seed: int = 0) -> dict[str, float]:
    """Run deepinv's samplers and the closed forms on one deblurring problem."""
    case = make_case(seed)
    kappa, converged = gains.kappa(case.alpha_bar), {"cg_max_iter": 60, "cg_tol": 1e-7}
    pairs = {
        "annealed DPS": (case.theirs("dps"), case.closed(gains.dps, case.annealed())),
        "PiGDM": (case.theirs("pigdm"), case.closed(gains.pigdm, kappa)),
        "ALD": (case.theirs("ald"), case.closed(gains.ald, np.ones(S))),
        "moment matching": (case.theirs("moment_matching", **converged), case.closed(gains.ideal)),
    }
    return {name: relative(other, exact) for name, (other, exact) in pairs.items()}


def recorded() -> dict:
    """Read the recorded comparison; a missing one is an error that names the command."""
    path = paths.study("posterior", "deepinv")
    if not path.is_file():
        raise FileNotFoundError(f"no record at {path}; make it: {COMMAND}")
    return json.loads(path.read_text("utf-8"))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Compare with deepinv and record the differences."""
    if missing():
        raise click.ClickException(missing())
    from importlib.metadata import version

    found = {name: float(f"{value:.2g}") for name, value in differences().items()}
    versions = {"deepinv": version("deepinv"), "torch": torch.__version__}
    sizes = {"size": SIZE, "steps": S, "sigma_y": SIGMA_Y}
    document = {"command": COMMAND, **versions, **sizes, "differences": found}
    records.write(paths.study("posterior", "deepinv"), document)
    click.echo(json.dumps(document["differences"]))


if __name__ == "__main__":
    main()
