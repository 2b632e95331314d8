"""The comparison with deepinv that chapter 2 shows.

    python -m diffbook.peer_record

needs deepinv (see "Comparing with deepinv" in book/how_to_rerun.md) and writes
`data/recorded/02_deepinv.json`. It takes a few seconds; the tests repeat it where deepinv is installed.
"""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
import torch

from diffbook import guidance, manifests, paths, peer, posterior
from diffbook.gaussian import GaussianPrior
from diffbook.inverse import Blur, gaussian_kernel, measure

SIZE, S, SIGMA_Y = 32, 20, 0.2


def differences(seed: int = 0) -> dict[str, float]:
    """Run deepinv's samplers and the closed forms on one deblurring problem.

    Returns
    -------
    dict
        Largest difference of four images relative to their largest value, by method.
    """
    k = np.fft.fftfreq(SIZE) * SIZE
    lam = 1.0 / (1.0 + (k[:, None] ** 2 + k**2) / 9.0)
    prior, rng = GaussianPrior.from_spectrum(lam / lam.mean(), 0.2), np.random.default_rng(seed)
    operator, ab = Blur.from_kernel(gaussian_kernel(1.5, ndim=2), (SIZE, SIZE)), peer.schedule(S)
    x0 = prior.sample(4, rng)
    y = measure(operator, x0, SIGMA_Y, rng.standard_normal(x0.shape))
    x_T = rng.standard_normal(x0.shape)
    problem = posterior.make_problem(prior, operator.spectrum, SIGMA_Y)
    modes = [prior.to_spectral(v).reshape(len(v), -1) for v in (x_T, y)]
    cases = {
        "annealed DPS": ("dps", {}, guidance.dps(problem, ab, guidance.dps_annealed(problem, ab))),
        "PiGDM": ("pigdm", {}, guidance.pigdm(problem, ab, guidance.kappa(ab))),
        "ALD": ("ald", {}, guidance.ald(problem, ab, np.ones(S))),
        "moment matching": (
            "moment_matching",
            {"cg_max_iter": 60, "cg_tol": 1e-7},
            guidance.ideal(problem, ab),
        ),
    }
    found = {}
    for name, (method, options, steps) in cases.items():
        exact = prior.from_spectral(posterior.run(problem, ab, steps, *modes).reshape(x_T.shape))
        other = peer.sample(
            method, prior, torch.from_numpy(x_T), S, y=torch.from_numpy(y), operator=operator,
            sigma_y=SIGMA_Y, **options,
        ).numpy()  # fmt: skip
        found[name] = float(np.abs(other - exact).max() / np.abs(exact).max())
    return found


def default_path() -> Path:
    """File of the recorded comparison, under version control."""
    return paths.studies() / "02_deepinv.json"


def load() -> dict:
    """Read the recorded comparison: `differences` and what it was made with.

    Raises
    ------
    FileNotFoundError
        If there is none; the message has the command that makes it.
    """
    path = default_path()
    if not path.is_file():
        raise FileNotFoundError(f"no record at {path}; make it: python -m diffbook.peer_record")
    return json.loads(path.read_text("utf-8"))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Compare with deepinv and record the differences."""
    if peer.missing():
        raise click.ClickException(peer.missing())
    from importlib.metadata import version

    document = {
        "command": "python -m diffbook.peer_record",
        "deepinv": version("deepinv"),
        "torch": torch.__version__,
        "size": SIZE,
        "steps": S,
        "sigma_y": SIGMA_Y,
        "differences": {name: float(f"{value:.2g}") for name, value in differences().items()},
    }
    manifests.write_text(default_path(), json.dumps(document, indent=1) + "\n")
    click.echo(json.dumps(document["differences"]))


if __name__ == "__main__":
    main()
