"""The comparison with deepinv that chapter 2 shows.

    python -m chapters.posterior.deepinv_record

needs deepinv (see "Comparing with deepinv" in book/how_to_rerun.md) and writes
`data/recorded/02_deepinv.json`. It takes a few seconds; the tests repeat it where deepinv is installed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from chapters.posterior import deepinv
from diffbook import inverse
from diffbook.inverse import gains
from diffbook.inverse.operators import Blur, gaussian_kernel, measure
from diffbook.priors.gaussian import GaussianPrior
from press import paths, records

SIZE, S, SIGMA_Y = 32, 20, 0.2


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

    def closed(self, method: Callable[..., inverse.Steps], *weights: ArrayLike) -> NDArray:
        """Run a method of `diffbook.inverse.gains` as one gain per frequency, and return its images."""
        problem = inverse.make_problem(self.prior, self.operator.spectrum, SIGMA_Y)
        modes = (self.prior.to_spectral(v).reshape(len(v), -1) for v in (self.x_T, self.y))
        steps = method(problem, self.alpha_bar, *weights)
        x = inverse.run(problem, self.alpha_bar, steps, *modes)
        return self.prior.from_spectral(x.reshape(self.x_T.shape))

    def theirs(self, method: deepinv.Method, **options: float) -> NDArray:
        """Run deepinv's sampler and return its images."""
        return deepinv.sample(
            method, self.prior, torch.from_numpy(self.x_T), S, y=torch.from_numpy(self.y),
            operator=self.operator, sigma_y=SIGMA_Y, **options,
        ).numpy()  # fmt: skip

    def annealed(self) -> NDArray[np.float64]:
        """Weights of DPS that deepinv calls annealed, (S,)."""
        problem = inverse.make_problem(self.prior, self.operator.spectrum, SIGMA_Y)
        return inverse.dps_annealed(problem, self.alpha_bar)


def make_case(seed: int = 0) -> Case:
    """Draw signals, measurements and starting noise of the problem."""
    prior, rng = lorentzian(SIZE), np.random.default_rng(seed)
    operator = Blur.from_kernel(gaussian_kernel(1.5, ndim=2), (SIZE, SIZE))
    x0 = prior.sample(4, rng)
    y = measure(operator, x0, SIGMA_Y, rng.standard_normal(x0.shape))
    return Case(prior, operator, deepinv.schedule(S), rng.standard_normal(x0.shape), y)


def relative(a: NDArray, b: NDArray) -> float:
    """Largest difference relative to the largest value of the second array."""
    return float(np.abs(a - b).max() / np.abs(b).max())


def differences(seed: int = 0) -> dict[str, float]:
    """Run deepinv's samplers and the closed forms on one deblurring problem.

    Returns
    -------
    dict
        Largest difference of four images relative to their largest value, by method.
    """
    case = make_case(seed)
    kappa, converged = gains.kappa(case.alpha_bar), {"cg_max_iter": 60, "cg_tol": 1e-7}
    pairs = {
        "annealed DPS": (case.theirs("dps"), case.closed(gains.dps, case.annealed())),
        "PiGDM": (case.theirs("pigdm"), case.closed(gains.pigdm, kappa)),
        "ALD": (case.theirs("ald"), case.closed(gains.ald, np.ones(S))),
        "moment matching": (
            case.theirs("moment_matching", **converged),
            case.closed(gains.ideal),
        ),
    }
    return {name: relative(other, exact) for name, (other, exact) in pairs.items()}


def default_path() -> Path:
    """File of the recorded comparison, under version control."""
    return paths.study("posterior", "deepinv")


def load() -> dict:
    """Read the recorded comparison: `differences` and what it was made with.

    Raises
    ------
    FileNotFoundError
        If there is none; the message has the command that makes it.
    """
    path = default_path()
    if not path.is_file():
        raise FileNotFoundError(
            f"no record at {path}; make it: python -m chapters.posterior.deepinv_record"
        )
    return json.loads(path.read_text("utf-8"))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Compare with deepinv and record the differences."""
    if deepinv.missing():
        raise click.ClickException(deepinv.missing())
    from importlib.metadata import version

    document = {
        "command": "python -m chapters.posterior.deepinv_record",
        "deepinv": version("deepinv"),
        "torch": torch.__version__,
        "size": SIZE,
        "steps": S,
        "sigma_y": SIGMA_Y,
        "differences": {name: float(f"{value:.2g}") for name, value in differences().items()},
    }
    records.write(default_path(), document)
    click.echo(json.dumps(document["differences"]))


if __name__ == "__main__":
    main()
