"""Guidance weights for a restoration problem of your own, and the error to expect with them.

    python -m diffbook.recipes.weights FOLDER --blur-sigma 1.5 --noise 0.05 --steps 25
        --model scheduler_config.json --out weights.json --report report.png

The images are taken for Gaussian, with the spectrum that they have. For a linear degradation and a
number of steps the averaged squared distance between what a guided sampler draws and the exact posterior
is then an explicit function of the sampler's weights, and these minimise it.

The design is the one that held up on trained networks where nothing could be tuned: weights below
the stability bound (no mode of a state is amplified), a small penalty on the distance of their logarithms
from the score-matched reference, and DPS's own fresh noise, ``eta = 1``. Weights from the objective alone
are better in the Gaussian model and fail on networks at few steps.

Everything is in the units of the model, images mostly in [-1, 1]; ``sigma_y`` too.

Sources: the objective, Benita, Elad, Keshet 2026 (arXiv 2602.07715); DPS, Chung et al. 2023 (arXiv
2209.14687); PiGDM, Song et al. 2023 (ICLR).
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._checks import NON_NEGATIVE, choice, real, whole
from diffbook.inverse import design, filters, gains, rules
from diffbook.inverse import problem as modes
from diffbook.inverse.blocks import design as block_design
from diffbook.inverse.blocks import gains as block_gains
from diffbook.inverse.blocks import problem as blocks
from diffbook.inverse.blocks.chain import Chain
from diffbook.inverse.kernels import gaussian_transfer
from diffbook.inverse.operators import Blur, Degradation, Downsampling, identity
from diffbook.priors.colour import ChannelPriors
from diffbook.recipes import inputs
from diffbook.recipes.restoration import Prior, levels_for, prior_for, problem_for
from diffbook.schedules.levels import alpha_bar_to_sigma

Array = NDArray[np.float64]
Method = Literal["dps", "pigdm"]

PENALTY = 1e-4
"""Weight of the penalty on the weights' logarithms, in units of the images' total variance."""

BINS = 128
"""Bins of similar modes (each way) on large images."""

SLOPE = 1e-3
"""A search has converged if no logarithm of a weight could lower the penalised objective faster."""

CONVENTION = (
    "Row s - 1 is the step from level s to s - 1, clean end first. DPS: weights[s-1] times the gradient "
    "by x_s of ||y - H x0_hat(x_s)||^2, the sum over all numbers of one image's measurement, is "
    "subtracted from the state after the step. PiGDM: weights[s-1] times J^T H^T ((1 - alpha_bar_s) H "
    "H^T + sigma_y^2)^-1 (y - H x0_hat) is added. score_weights multiply the same vector inside the "
    "score, eps_weights inside the predicted noise (with the opposite sign), ve_weights multiply the "
    "gradient by x0 + sigma noise, subtracted from such a state."
)


@dataclass(frozen=True, eq=False)
class WeightsRecipe:
    """Designed guidance weights, made by `weights_for`.

    Parameters
    ----------
    method : {"dps", "pigdm"}
    eta : float
        Fresh noise of the steps: 0 is DDIM, 1 is DDPM.
    sigma_y : float
        Standard deviation of the measurement's noise.
    operator : Degradation
    shape : tuple of int
        Of one image; colour images are (3, h, w).
    alpha_bar : ndarray, shape (S + 1,)
        Levels, clean end first; ``alpha_bar[0] = 1`` unless a schedule was given.
    timesteps : ndarray of int, shape (S,), or None
        Time steps of the model that the levels ``alpha_bar[1:]`` belong to, clean end first.
    weights : ndarray, shape (S,)
        Row ``s - 1`` for the step from s to s - 1. DPS: of the gradient of the *squared* norm
        ``||y - H x0_hat(x_s)||^2``, summed over an image, subtracted from the state.
    reference : ndarray, shape (S,)
        What the penalty keeps the weights near: score-matched for DPS, published for PiGDM.
    expected : dict of str to dict
        In the Gaussian model: averaged squared distance to the posterior (``distance``) and mean squared
        error (``mse``), per number of an image, of this recipe and of what it competes with.
    search : dict
        Evidence: what every start reached, ``slope``, ``converged``, ``iterations``.
    n_images : int or None
        Number of images that the spectrum was estimated from.
    """

    method: Method
    eta: float
    sigma_y: float
    operator: Degradation
    shape: tuple[int, ...]
    alpha_bar: Array
    timesteps: NDArray[np.int_] | None
    weights: Array
    reference: Array
    expected: dict[str, dict[str, float]]
    search: dict[str, Any]
    n_images: int | None = None

    @property
    def S(self) -> int:
        """Number of steps."""
        return len(self.weights)

    @property
    def sigmas(self) -> Array:
        """Noise levels ``sqrt((1 - alpha_bar) / alpha_bar)``, (S + 1,), clean end first."""
        return alpha_bar_to_sigma(self.alpha_bar)

    @property
    def score_weights(self) -> Array:
        """``weights / kappa``, (S,): the same guidance as a term of the score ``grad log p(x_s)``."""
        return self.weights / gains.kappa(self.alpha_bar, self.eta)

    @property
    def eps_weights(self) -> Array:
        """``sqrt(1 - alpha_bar) score_weights``, (S,): the same as a term of the predicted noise."""
        return np.sqrt(1.0 - self.alpha_bar[1:]) * self.score_weights

    @property
    def ve_weights(self) -> Array:
        """The same for states ``x0 + sigma noise``, (S,): ``weights / sqrt(ab_s ab_{s-1})``."""
        return self.weights / np.sqrt(self.alpha_bar[1:] * self.alpha_bar[:-1])

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain lists and numbers, ready for JSON; what diverges is None."""
        of = {"operator": type(self.operator).__name__, "sigma_y": self.sigma_y}
        of |= {"shape": list(self.shape), "n_images": self.n_images}
        of["measurement_shape"] = list(self.operator.measurement_shape)
        names = ("alpha_bar", "sigmas", "weights", "score_weights", "eps_weights", "ve_weights")
        finite = {
            name: {k: v if np.isfinite(v) else None for k, v in row.items()}
            for name, row in self.expected.items()
        }
        return {
            "method": self.method, "eta": self.eta, "S": self.S, "problem": of,
            "timesteps": None if self.timesteps is None else self.timesteps.tolist(),
            **{name: getattr(self, name).tolist() for name in names},
            "expected": finite, "search": self.search, "convention": CONVENTION,
        }  # fmt: skip

    def report(self) -> str:
        """Say what to expect, as a table, and whether the search converged."""
        sizes = " x ".join(map(str, self.shape))
        width = max(map(len, self.expected))
        lines = [
            f"{self.method}, {self.S} steps, eta = {self.eta:g}: {type(self.operator).__name__} of "
            f"{sizes}, noise {self.sigma_y:g}",
            f"{'expected in the Gaussian model':{width}}  distance^2      MSE",
        ]
        for name, row in self.expected.items():
            lines.append(f"{name:{width}}  {row['distance']:10.3g}  {row['mse']:7.3g}")
        state = "converged" if self.search["converged"] else "NOT converged: raise max_iter"
        lines.append(f"search: {state} ({len(self.search['starts'])} starts)")
        return "\n".join(lines)


def weights_for(
    data: ArrayLike | Prior, operator: Degradation, sigma_y: float, S: int, *,
    method: Method = "dps", eta: float = 1.0, alphas_cumprod: ArrayLike | None = None,
    sigma_range: tuple[float, float] | None = None, schedule: ArrayLike | None = None,
    channels: Literal["first", "last"] | None = None, max_iter: int = 100,
) -> WeightsRecipe:  # fmt: skip
    """Design guidance weights for images, a degradation, its noise and a number of steps.

    Parameters
    ----------
    data : array_like, GaussianPrior or ChannelPriors
        Images or signals, or a Gaussian model of them; see `prior_for`.
    operator : Degradation
        `diffbook.inverse.Blur`, `Downsampling`, `Mask`, `identity`, for one grey image or one colour.
    sigma_y : float
        Standard deviation of the measurement's noise, in the units of the data.
    S : int
        Number of steps: weights are designed for one.
    method : {"dps", "pigdm"}
    eta : float in [0, 1]
        Fresh noise of the steps; 1, as DPS is published and as held up on networks, by default.
    alphas_cumprod, sigma_range, schedule
        What the model knows, exactly one of them; see `levels_for`.
    channels : {"first", "last"}, optional
        Where the colours are; needed only if both places have size 3.
    max_iter : int
        Iterations of the search per start.

    Returns
    -------
    WeightsRecipe

    Raises
    ------
    ValueError
        Naming the argument, before anything is designed.
    """
    choice(method, "method", ("dps", "pigdm"))
    eta, max_iter = real(eta, "eta", "[0, 1]"), whole(max_iter, "max_iter")
    alpha_bar, timesteps = levels_for(S, alphas_cumprod, sigma_range, schedule)
    sigma_y = real(sigma_y, "sigma_y", NON_NEGATIVE)
    prior = prior_for(data, channels)
    problem = problem_for(prior, operator, sigma_y)
    found, slope = _designed(problem, alpha_bar, method, eta, max_iter)
    one = prior.priors[0] if isinstance(prior, ChannelPriors) else prior
    search = {
        "starts": {name: value / prod(prior.shape) for name, value, _ in found.starts},
        "slope": slope, "converged": bool(slope < SLOPE), "iterations": int(found.n_iter),
    }  # fmt: skip
    return WeightsRecipe(
        method, eta, sigma_y, operator, tuple(prior.shape), alpha_bar, timesteps, found.weights,
        found.reference, _expected(problem, alpha_bar, method, eta, found.weights), search,
        one.n_samples,
    )  # fmt: skip


def _designed(
    problem: modes.Problem | blocks.BlockProblem, alpha_bar: Array, method: Method, eta: float,
    max_iter: int,
) -> tuple[design.WeightDesign, float]:  # fmt: skip
    """Bounded design, and the steepest free slope of its penalised objective (relative)."""
    options: dict[str, Any] = {"eta": eta, "max_iter": max_iter}
    penalty = PENALTY * float(np.sum(problem.count * problem.lam.T))
    evaluate: Callable[[Array], tuple[float, Array]]
    if isinstance(problem, blocks.BlockProblem):
        search, chain = block_design.design_weights, Chain(problem, alpha_bar, method, eta=eta)
        evaluate, bound = chain.value_and_grad, chain.bound("stability")
    else:
        search, small = design.design_weights, problem
        if len(problem.lam) > 8 * BINS:
            options["n_bins"], small = BINS, modes.binned(problem, BINS)
        evaluate = design.objective(method, small, alpha_bar, {"eta": eta})
        bound = rules.stability_bound(small, alpha_bar, design.METHODS[method], eta=eta)
    # The objective has several minima: a design that may not overshoot is a start of its own.
    shy = search(problem, alpha_bar, method, cap="no-overshoot", **options)
    options |= {"cap": "stability", "tikhonov": penalty, "starts": {"no overshoot": shy.weights}}
    found = search(problem, alpha_bar, method, **options)
    x = np.log(found.weights / found.reference)
    value, grad = evaluate(found.weights)
    slope = (grad * found.weights + 2.0 * penalty * x) / (value + penalty * x @ x)
    held = (found.weights > (1.0 - 1e-9) * bound) & (slope < 0.0)
    steepest = float(np.max(np.abs(np.where(held, 0.0, slope))))
    if "n_bins" in options:  # the bound of the bins is not quite that of their modes
        bound = rules.stability_bound(problem, alpha_bar, design.METHODS[method], eta=eta)
        found = replace(found, weights=np.minimum(found.weights, bound))
    return found, steepest


def _expected(
    problem: modes.Problem | blocks.BlockProblem, alpha_bar: Array, method: Method, eta: float,
    weights: Array,
) -> dict[str, dict[str, float]]:  # fmt: skip
    """Distance and error in the model of the weights and of what they compete with, per number."""
    coupled = isinstance(problem, blocks.BlockProblem)
    home, compose = (block_gains, block_gains.compose) if coupled else (gains, filters.compose)
    steps, d = getattr(home, method), problem.d

    def row(used: Any) -> dict[str, float]:
        with np.errstate(over="ignore", invalid="ignore"):
            transfer = compose(problem, alpha_bar, used)
            return {"distance": transfer.w2_squared / d, "mse": transfer.mse / d}

    rows = {"these weights": row(steps(problem, alpha_bar, weights, eta=eta))}
    if method == "pigdm":
        rows["published weights"] = row(steps(problem, alpha_bar, eta=eta))
    else:
        best, _ = (block_design if coupled else rules).best_normalised(problem, alpha_bar, eta=eta)
        for zeta, name in ((best, f"best rule, {best:.2g}/|r|"), (1.0, "published rule, 1/|r|")):
            if coupled:
                rule = Chain(problem, alpha_bar, eta=eta).normalised(zeta)
            else:
                rule = rules.dps_normalised(problem, alpha_bar, zeta, eta=eta)
            rows[name] = row(steps(problem, alpha_bar, rule, eta=eta))
    rows["exact guidance, same steps"] = row(home.ideal(problem, alpha_bar, eta=eta))
    rows["no guidance"] = row(home.prior(problem, alpha_bar, eta=eta))
    mmse = problem.mmse / d
    rows["posterior sample"] = {"distance": 0.0, "mse": 2.0 * mmse}
    rows["Wiener estimate"] = {"distance": mmse, "mse": mmse}
    return rows


# --- command line -----------------------------------------------------------------------------


def draw(recipe: WeightsRecipe) -> Any:
    """Draw the weights over the noise level, beside their reference; a matplotlib figure."""
    from diffbook import draw as kit

    kappa = gains.kappa(recipe.alpha_bar, recipe.eta)
    curves = {"these weights": recipe.score_weights, "reference": recipe.reference / kappa}
    return kit.lines(
        recipe.sigmas[1:], curves, log="xy", xlabel="noise level (units of the data)",
        ylabel="weight inside the score", title=recipe.report().splitlines()[0],
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Design guidance weights for a folder of images; print what to expect, return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m diffbook.recipes.weights", description=main.__doc__
    )
    parser.add_argument("folder", type=Path, help="images")
    parser.add_argument("--blur-sigma", type=float, help="Gaussian blur, in pixels")
    parser.add_argument("--factor", type=int, help="keep every n-th pixel, after the blur")
    parser.add_argument("--noise", type=float, required=True, help="in units of [-1, 1]")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--method", default="dps", help="dps or pigdm")
    parser.add_argument("--eta", type=float, default=1.0, help="fresh noise, 0 to 1")
    levels = parser.add_mutually_exclusive_group(required=True)
    levels.add_argument("--model", type=Path, help="scheduler_config.json of diffusers")
    levels.add_argument("--sigma-range", type=float, nargs=2, metavar=("LOW", "HIGH"))
    parser.add_argument("--size", type=int, help="cut images to this many pixels")
    parser.add_argument("--grey", action="store_true")
    parser.add_argument("--out", type=Path, help="write the recipe as JSON")
    parser.add_argument("--report", type=Path, help="draw the weights as PNG")
    given = parser.parse_args(arguments)
    try:
        inputs.check_targets(given.out, given.report)
        images, digests, note = inputs.images(given.folder, given.size, given.grey)
        table = None
        if given.model is not None:
            table, digests[given.model.name] = inputs.levels(given.model)
        operator = _operator(images.shape[2:], given.blur_sigma, given.factor)
        recipe = weights_for(
            images[:, 0] if given.grey else images, operator, given.noise, given.steps,
            method=given.method, eta=given.eta, alphas_cumprod=table,
            sigma_range=given.sigma_range, channels=None if given.grey else "first",
        )  # fmt: skip
        sys.stdout.write(f"{len(images)} images. {note}\n{recipe.report()}\n")
        if given.out is not None:
            made_from = {"images": len(images), "note": note, "sha256": digests}
            text = json.dumps(
                recipe.as_dict() | {"made_from": made_from}, indent=1, allow_nan=False
            )
            inputs.replace(given.out, f"{text}\n".encode())
        if given.report is not None:
            held = io.BytesIO()
            draw(recipe).savefig(held, format="png")
            inputs.replace(given.report, held.getvalue())
    except (OSError, ValueError, ImportError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def _operator(shape: Sequence[int], blur_sigma: float | None, factor: int | None) -> Degradation:
    if blur_sigma is None:
        blur = None
    else:
        std = real(blur_sigma, "--blur-sigma", NON_NEGATIVE)
        blur = Blur.from_transfer(gaussian_transfer(tuple(shape), std))
    if factor is not None:
        return Downsampling(tuple(shape), factor, blur)
    return identity(tuple(shape)) if blur is None else blur


if __name__ == "__main__":
    sys.exit(main())
