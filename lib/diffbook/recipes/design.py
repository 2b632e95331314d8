"""A noise schedule for a model of your own: data and the model's noise levels in, steps out.

The schedule is the optimum of chapter 1 for a Gaussian with the spectrum of the data, between the
ends that the model was trained for. ``python -m diffbook.recipes.schedule FOLDER`` does the same for
a folder of images.

Source: Benita, Elad, Keshet 2025 (arXiv 2502.00180), Section 4; see `diffbook.schedules.design`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._checks import POSITIVE, reals, whole
from diffbook.recipes.spectra import spectrum_of
from diffbook.samplers.unguided import ddim, dpmpp_2m
from diffbook.schedules.design import Loss, ScheduleProblem, design_schedule, make_problem
from diffbook.schedules.families import edm, log_linear
from diffbook.schedules.levels import Process, alpha_bar_to_sigma, validate_alpha_bar

Array = NDArray[np.float64]
OURS, ROUNDED = "this recipe", "on its time steps"
_SOLVERS = {"first order (DDIM, Euler)": ddim, "second order (DPM-Solver++ 2M)": dpmpp_2m}
FIRST, SECOND = _SOLVERS
#: Below this share of the largest variance a mode is rounding error.
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class ScheduleRecipe:
    """A designed schedule in the forms that samplers take, with what to expect of it.

    Parameters
    ----------
    sigmas : ndarray, shape (S + 1,)
        Noise levels ``sqrt((1 - alpha_bar) / alpha_bar)``, noise end first: the S levels at which
        the network is asked, from the model's largest, and 0, where the last step ends.
        diffusers' Euler and k-diffusion take them as they are.
    timesteps : ndarray of int, shape (S,), or None
        The nearest time steps that the model was trained on, descending and distinct, for
        schedulers that take whole ones. None for a model of continuous levels.
    schedule : ndarray, shape (S + 1,)
        For the samplers of this library, clean end first: ``alpha_bar`` of the time steps with 1 in
        front, or ``sigma`` with 0 in front.
    process : {"vp", "ve"}
        What `schedule` holds.
    alphas_cumprod : ndarray, shape (T,), or None
        The model's levels that the recipe was made for.
    sigma_range : (float, float)
        The model's smallest and largest level.
    lam : ndarray, shape (modes,)
        Variances of the data's modes; those without variance left out.
    predicted : dict of str to dict of str to float
        For each solver, by schedule: W2 between the output and the data, both Gaussian, in the
        units of the data (whole signals: the root of the summed squares).
    converged : bool
        Whether the design came to rest.
    starts_reached : float
        Share of the starts that ended at the best objective.
    notes : tuple of str
        What a user should know before believing it.
    """

    sigmas: Array
    timesteps: NDArray[np.int64] | None
    schedule: Array
    process: Process
    alphas_cumprod: Array | None
    sigma_range: tuple[float, float]
    lam: Array
    predicted: dict[str, dict[str, float]]
    converged: bool
    starts_reached: float
    notes: tuple[str, ...]

    @property
    def S(self) -> int:
        """Number of steps, each with one call of the network."""
        return len(self.sigmas) - 1

    def report(self) -> str:
        """Say in plain text what was designed, and what it should gain over the usual schedules."""
        lines = [
            f"{self.S} steps for a spectrum of {self.lam.size} modes",
            "sigmas      " + " ".join(f"{sigma:.4g}" for sigma in self.sigmas),
        ]
        if self.timesteps is not None:
            lines.append("time steps  " + " ".join(map(str, self.timesteps)))
        word = "converged" if self.converged else "NOT converged"
        lines.append(f"design      {word}; {self.starts_reached:.0%} of the starts end here")
        width = max(map(len, self.predicted[FIRST]))
        lines += ["", "predicted W2".ljust(width) + "  1st order  2nd order"]
        for name in self.predicted[FIRST]:
            first, second = (self.predicted[solver][name] for solver in (FIRST, SECOND))
            lines.append(f"{name:{width}s}  {first:9.4g}  {second:9.4g}")
        return "\n".join([*lines, *(f"\nNote: {note}" for note in self.notes)])

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold: all but the spectrum and the model's levels."""
        return {
            "S": self.S,
            "sigmas": self.sigmas.tolist(),
            "timesteps": None if self.timesteps is None else self.timesteps.tolist(),
            "schedule": self.schedule.tolist(),
            "process": self.process,
            "sigma_range": list(self.sigma_range),
            "modes": int(self.lam.size),
            "predicted_w2": self.predicted,
            "converged": self.converged,
            "starts_reached": self.starts_reached,
            "notes": list(self.notes),
        }


def schedule_for(
    data: ArrayLike,
    S: int,
    *,
    alphas_cumprod: ArrayLike | None = None,
    sigma_range: tuple[float, float] | None = None,
    channels: Literal["first", "last"] | None = None,
    loss: Loss = "w2",
    n_starts: int = 4,
    seed: int = 0,
) -> ScheduleRecipe:
    """Design the schedule of S steps for your data and your trained model.

    Parameters
    ----------
    data : array_like
        Examples in the units that the model was trained on, usually [-1, 1]; see `spectrum_of` for
        their shapes. Some hundreds suffice.
    S : int
        Number of steps: of calls of the network.
    alphas_cumprod : array_like, shape (T,), optional
        Of a model with time steps, index 0 least noisy, as ``scheduler.alphas_cumprod`` of
        diffusers. Exactly one of this and `sigma_range` is given.
    sigma_range : (float, float), optional
        Smallest and largest noise level of a model with continuous levels (EDM: 0.002, 80).
    channels : {"first", "last"}, optional
        Where the channels of images are, if their sizes do not say it.
    loss : {"w2", "kl", "kl_reverse"}
        What is made small; see `diffbook.schedules.design_schedule`.
    n_starts : int
        Starts of the optimiser, all but the first at random.
    seed : int
        Of the random starts.

    Returns
    -------
    ScheduleRecipe

    Raises
    ------
    ValueError
        Naming the argument at fault and what to do, before anything is designed.
    """
    lam, mu = spectrum_of(data, channels=channels)
    n = len(data)
    notes = []
    if n < 100:
        notes.append(f"{n} examples are few: the spectrum is rough; some hundreds are better")
    if np.min(data) >= 0.0:
        notes.append(
            "no value of the data is negative: right for a model of [0, 1], but one of [-1, 1] needs "
            "2 * data - 1"
        )
    return _design(lam, mu, S, alphas_cumprod, sigma_range, loss, n_starts, seed, notes)


def schedule_for_spectrum(
    lam: ArrayLike,
    S: int,
    *,
    alphas_cumprod: ArrayLike | None = None,
    sigma_range: tuple[float, float] | None = None,
    mu0_spectral: ArrayLike | None = None,
    loss: Loss = "w2",
    n_starts: int = 4,
    seed: int = 0,
) -> ScheduleRecipe:
    """Design the schedule of S steps for known variances of the data's modes.

    Parameters
    ----------
    lam : array_like, shape (modes,)
        Variances, positive; of data that are not stationary, the eigenvalues of their covariance
        (``GaussianPrior.estimated(x, stationary=False).lam``).
    mu0_spectral : array_like, shape (modes,), optional
        Mean of the data in the eigenbasis; zero by default.
    S, alphas_cumprod, sigma_range, loss, n_starts, seed
        As in `schedule_for`.
    """
    lam = reals(lam, "lam", POSITIVE, ndim=1, hint="variances, without modes that have none")
    return _design(lam, mu0_spectral, S, alphas_cumprod, sigma_range, loss, n_starts, seed, [])


def _design(
    lam: Array,
    mu: ArrayLike | None,
    S: int,
    alphas_cumprod: ArrayLike | None,
    sigma_range: tuple[float, float] | None,
    loss: Loss,
    n_starts: int,
    seed: int,
    notes: list[str],
) -> ScheduleRecipe:
    S, n_starts, seed = whole(S, "S"), whole(n_starts, "n_starts"), whole(seed, "seed", 0)
    train, (low, high) = _ends(alphas_cumprod, sigma_range)
    if train is not None and S > train.size:
        raise ValueError(f"S: got {S}, expected at most {train.size}, the model's time steps")
    kept = lam > _TINY * lam.max()
    if not np.all(kept):
        lam, mu = lam[kept], None if mu is None else mu[kept]
        notes.append(f"{np.count_nonzero(~kept)} modes without variance were left out")
    process: Process = "ve" if train is None else "vp"
    settings = {
        "loss": loss, "mu0_spectral": mu, "process": process,
        "eps_0": low**2 / (1.0 + low**2), "eps_S": 1.0 / (1.0 + high**2),
    }  # fmt: skip
    problem = make_problem(lam, **settings)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        best = design_schedule(
            lam, S, n_starts=n_starts, rng=np.random.default_rng(seed), **settings
        )
    if best.merged:
        raise ValueError(
            f"S: got {S}, but only {S - best.merged} steps differ at the optimum for these data: "
            "ask for so many"
        )
    notes += [f"of the design: {warning.message}" for warning in caught]
    # The step to the smallest level goes all the way to 0, as samplers in use do it.
    sigma = np.concatenate([[0.0], best.sigma[1:-1], [high]])
    timesteps, rounded, schedule = None, {}, sigma
    if train is not None:
        timesteps = _distinct_steps(sigma[1:], train)
        schedule = np.concatenate([[1.0], train[timesteps]])
        rounded = {ROUNDED: alpha_bar_to_sigma(schedule)}
        timesteps = timesteps[::-1].copy()
    levels = {OURS: sigma} | rounded | rivals(S, low, high, train)
    predicted = {
        solver: {name: _w2(problem, level, solver) for name, level in levels.items()}
        for solver in _SOLVERS
    }
    converged = bool(best.grad_norm < 1e-3)
    if not converged:
        notes.append("the design did not come to rest: give more starts")
    return ScheduleRecipe(
        sigma[::-1].copy(), timesteps, schedule, process, train, (low, high), lam, predicted,
        converged, best.starts_reached, tuple(notes),
    )  # fmt: skip


def _ends(
    alphas_cumprod: ArrayLike | None, sigma_range: tuple[float, float] | None
) -> tuple[Array | None, tuple[float, float]]:
    """Levels that the model was trained on, or None, and its smallest and largest sigma."""
    if (alphas_cumprod is None) == (sigma_range is None):
        got = "neither" if sigma_range is None else "both"
        raise ValueError(
            f"alphas_cumprod, sigma_range: got {got}, expected one of them: the ends of a schedule "
            "are the model's (scheduler.alphas_cumprod of diffusers, or (0.002, 80) for EDM)"
        )
    if sigma_range is not None:
        low, high = reals(sigma_range, "sigma_range", POSITIVE, shape=(2,)).tolist()
        if low * high <= 0.0 or low >= high:
            raise ValueError(f"sigma_range: got {sigma_range}, expected (smallest, largest)")
        return None, (low, high)
    train = reals(alphas_cumprod, "alphas_cumprod", ndim=1)
    if train[-1] == 0.0:
        raise ValueError(
            "alphas_cumprod: the last one is 0 (zero terminal SNR), where sigma is infinite; set it to "
            "2**-24, as diffusers does"
        )
    train = validate_alpha_bar(train, "alphas_cumprod")
    if train[-1] > 0.5:
        raise ValueError(
            f"alphas_cumprod: the last one is {train[-1]:.4g}, expected the products of all alphas, "
            "close to 0; of single alphas: np.cumprod(alphas)"
        )
    low, high = alpha_bar_to_sigma(train[[0, -1]]).tolist()
    return train, (low, high)


def _distinct_steps(sigma: Array, train: Array) -> NDArray[np.int64]:
    """Nearest time steps in log(sigma), ascending; two that meet move apart to neighbours."""
    grid, wanted = np.log(alpha_bar_to_sigma(train)), np.log(sigma)
    right = np.clip(np.searchsorted(grid, wanted), 1, grid.size - 1)
    near = right - (wanted - grid[right - 1] < grid[right] - wanted)
    order = np.arange(sigma.size)
    up = np.maximum.accumulate(near - order)  # each at least one above the one before
    return np.minimum(up, train.size - sigma.size) + order


def rivals(
    S: int, sigma_min: float, sigma_max: float, alphas_cumprod: ArrayLike | None = None
) -> dict[str, Array]:
    """Schedules in common use on a model's range, as ``sigma``, clean end (0) first.

    Parameters
    ----------
    S : int
        Number of steps.
    sigma_min, sigma_max : float
        Smallest and largest level at which the network may be asked.
    alphas_cumprod : array_like, shape (T,), optional
        Of a model with time steps: adds the three spacings of diffusers ("leading" with an offset
        of 0).

    Returns
    -------
    dict of str to ndarray, shape (S + 1,)
    """
    S = whole(S, "S")
    low, high = reals(sigma_min, "sigma_min", POSITIVE), reals(sigma_max, "sigma_max", POSITIVE)
    if low >= high:
        raise ValueError(f"sigma_min must be below sigma_max, got {low} >= {high}")
    found = {}
    if alphas_cumprod is not None:
        train = validate_alpha_bar(alphas_cumprod, "alphas_cumprod")
        T = whole(train.size, "alphas_cumprod", S)
        steps = {
            "leading": np.arange(S) * (T // S),
            "trailing": np.rint(T - np.arange(S) * (T / S)).astype(int)[::-1] - 1,
            "linspace": np.rint(np.linspace(0, T - 1, S)).astype(int),
        }
        found = {name: alpha_bar_to_sigma(train[t]) for name, t in steps.items()}
    last = np.array([float(high)])
    found["Karras rho=7"] = edm(S - 1, float(low), float(high)) if S > 1 else last
    found["log-uniform"] = log_linear(S - 1, float(low), float(high)) if S > 1 else last
    found["uniform"] = np.linspace(low, high, S) if S > 1 else last
    return {name: np.concatenate([[0.0], sigma]) for name, sigma in found.items()}


def _w2(problem: ScheduleProblem, sigma: Array, solver: str) -> float:
    """W2 of a deterministic solver's output: its gain is what it makes of 1 in every mode."""
    lam = problem.lam

    def denoise(y: Array, sigma_t: float, cond: Any = None) -> Array:
        return lam / (lam + sigma_t**2) * y

    gain = _SOLVERS[solver](denoise, np.ones((1, lam.size)), sigma, process="ve").sample[0]
    start = np.sqrt(sigma[-1] ** 2 + (problem.process == "vp"))
    # The start lacks the mean; what the gain leaves of that is missing in the output.
    gap = np.abs(gain) * start - np.sqrt(lam)
    return float(np.sqrt(problem.count @ gap**2 + problem.mean_power @ gain**2))
