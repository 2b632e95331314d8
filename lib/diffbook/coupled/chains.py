"""Chains of signals and of logits, the two halves that every coupling is made of.

Both branches run in the coordinates ``v = x0 + sigma z``, which take in VP, OU-VE and CARD-like
processes (see `diffbook.schedules.ouve`). From level s to s - 1 a chain goes ``v <- a v + b hat + c z``
with the coefficients of DDIM's family, where hat is the network's clean estimate. Three samplers:

- ``"ancestral"``: eta = 1, DDPM's;
- ``"ddim"``: eta = 0;
- ``"zero-variance"``: eta = 1 with its noise dropped. The released code calls this DDIM; it returns
  nearly the posterior mean, whatever noise it starts from.

Source: Nurko et al. 2026 (arXiv 2602.15405), of which we know the abstract, summaries and the code.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from diffbook._checks import whole
from diffbook.coupled.protocol import (
    BRANCHES,
    DEFAULT,
    Calls,
    Coupling,
    Noise,
    Outcome,
    Switches,
    check_finite,
    check_logits,
    check_shape,
    standardised,
)
from diffbook.samplers.protocol import same_shape
from diffbook.samplers.transfer import step_coefficients
from diffbook.schedules.levels import validate_sigma


class Run:
    """One call of a coupling: its checked arguments, its walks, and the count of its calls."""

    def __init__(
        self,
        coupling: Coupling,
        schedule: ArrayLike,
        noise: Noise,
        switches: Switches,
        keep_trajectory: bool,
        logits_schedule: ArrayLike | None = None,
    ) -> None:
        levels = {"signal": schedule, "logits": schedule}
        if logits_schedule is not None:
            levels["logits"] = logits_schedule
        names = dict(zip(BRANCHES, ("schedule", "logits_schedule"), strict=True))
        self.sigma = {b: _levels(levels[b], names[b]) for b in BRANCHES}
        self.S = len(self.sigma["signal"]) - 1
        if len(self.sigma["logits"]) != self.S + 1:
            raise ValueError(
                f"logits_schedule: got {len(self.sigma['logits'])} levels, expected {self.S + 1} "
                "as in schedule"
            )
        kinds = {"signal": switches.sampler, "logits": switches.logits_sampler or switches.sampler}
        self.coefficients = {b: _coefficients(self.sigma[b], kinds[b]) for b in BRANCHES}
        self.coupling, self.noise, self.switches = coupling, noise, switches
        self.count = dict.fromkeys(Calls._fields, 0)
        self.trajectory = [] if keep_trajectory else None
        self.classified = None, None
        # A classifier that knows whether it is ready says so before anything is computed.
        getattr(coupling.classifier, "check_ready", lambda: None)()

    def start(self, branch: str, round: int, mean: Any) -> Any:
        """Start a chain at the noisy end, around `mean` or 0 as the switch says."""
        mean = mean if self.switches.start == "observation" else 0.0 * mean
        z = same_shape("noise", self.noise(branch, round, self.S, mean), mean)
        v = mean + self.sigma[branch][-1] * z
        self._keep(branch, round, self.S, v, None)
        return v

    def step(self, branch: str, round: int, s: int, v: Any, hat: Any) -> Any:
        """Go from level s to s - 1."""
        a, b, c = self.coefficients[branch][s - 1]
        v = a * v + b * hat
        if c > 0.0:
            v = v + c * same_shape("noise", self.noise(branch, round, s - 1, v), v)
        self._keep(branch, round, s - 1, v, hat)
        return v

    def _keep(self, branch: str, round: int, s: int, v: Any, hat: Any) -> None:
        if self.trajectory is not None:
            at = {"branch": branch, "round": round, "s": s, "sigma": self.sigma[branch][s]}
            self.trajectory.append({**at, "v": v, "hat": hat})

    def signal(self, s: int, v: Any, u: Any, y_hat: Any) -> Any:
        """Ask for the clean signal."""
        self.count["signal"] += 1
        hat = self.coupling.signal(v, self.sigma["signal"][s], (u, y_hat))
        return same_shape("the signal denoiser", hat, v)

    def logits(self, s: int, v: Any, views: tuple[Any, ...]) -> Any:
        """Ask for the clean logits, given what the classifier says of the last view; standardise."""
        c = self.classify(views[-1])
        self.count["logits"] += 1
        hat = self.coupling.logits(v, self.sigma["logits"][s], (views, c))
        return self._standard(same_shape("the logits denoiser", hat, v))

    def classify(self, x: Any) -> Any:
        """Ask the classifier, and standardise its logits; what it saw last it need not see again."""
        if x is not self.classified[0]:
            self.count["classifier"] += 1
            c = check_shape(self.coupling.classifier(x), "logits of the classifier", x.shape[0])
            self.classified = x, self._standard(c)
        return self.classified[1]

    def _standard(self, logits: Any) -> Any:
        return standardised(logits) if self.switches.standardise else logits

    def views(self, u: Any, x_hat: Any) -> tuple[Any, ...]:
        """Choose what the logits' network sees."""
        return {"observation": (u,), "estimate": (x_hat,), "both": (u, x_hat)}[self.switches.view]

    def signal_chain(self, u: Any, y_hat: Any, round: int) -> Any:
        """Run a whole chain of the signal."""
        v = self.start("signal", round, u)
        for s in range(self.S, 0, -1):
            v = self.step("signal", round, s, v, self.signal(s, v, u, y_hat))
        return v

    def logits_chain(self, views: tuple[Any, ...], round: int) -> Any:
        """Run a whole chain of the logits."""
        v = self.start("logits", round, self.classify(views[-1]))
        for s in range(self.S, 0, -1):
            v = self.step("logits", round, s, v, self.logits(s, v, views))
        return v

    def outcome(self, rounds: list[tuple[Any, Any]]) -> Outcome:
        """Close the run; its result is that of the last round."""
        return Outcome(*rounds[-1], Calls(**self.count), self.S, rounds, self.trajectory)


def _levels(schedule: ArrayLike, name: str) -> list[float]:
    sigma = validate_sigma(schedule, name)
    if sigma[0] > 0.0:
        raise ValueError(f"{name}[0] = {sigma[0]}: expected 0, so that chains end on an estimate")
    return sigma.tolist()


def _coefficients(sigma: list[float], sampler: str) -> list[list[float]]:
    rows = step_coefficients(sigma, "ve", 0.0 if sampler == "ddim" else 1.0)
    return (rows * [1.0, 1.0, float(sampler != "zero-variance")]).tolist()


# --- single chains ----------------------------------------------------------------------------


def enhance(
    coupling: Coupling,
    u: Any,
    schedule: ArrayLike,
    *,
    noise: Noise,
    y_hat: Any = None,
    switches: Switches = DEFAULT,
    round: int = 0,
    keep_trajectory: bool = False,
) -> Outcome:
    """Run one chain of the signal: the baseline "enhanced", or half a round of alternating.

    Parameters
    ----------
    coupling : Coupling
        Only its signal denoiser is asked.
    u : array, shape (n, *shape), NumPy or torch
        Observations.
    schedule : array_like, shape (S + 1,)
        sigma, clean end first, from 0; see `diffbook.coupled.levels`.
    noise : callable
        See `sample_noise` and `batch_noise`.
    y_hat : array, shape (n, K), optional
        Estimate of the logits that the denoiser sees in every step.
    switches : Switches
        Its `sampler` and `start`.
    round : int
        Handed on to the noise.
    keep_trajectory : bool
        Whether all states are kept.

    Returns
    -------
    Outcome
    """
    check_finite(u, "u")
    if y_hat is not None:
        check_logits(y_hat, "y_hat", u.shape[0])
    run = Run(coupling, schedule, noise, switches, keep_trajectory)
    return run.outcome([(run.signal_chain(u, y_hat, whole(round, "round", 0)), None)])


def diffuse_logits(
    coupling: Coupling,
    views: tuple[Any, ...],
    schedule: ArrayLike,
    *,
    noise: Noise,
    switches: Switches = DEFAULT,
    round: int = 0,
    keep_trajectory: bool = False,
) -> Outcome:
    """Run one chain of the logits: CARD-like on observations, or half a round of alternating.

    Parameters are those of `enhance`, except `views`: a tuple of batches of signals, the last of which
    the classifier sees. `view` of the switches is not used.
    """
    if not isinstance(views, tuple) or not views:
        raise ValueError(
            f"views: got {type(views).__name__}, expected a tuple of one signal or more"
        )
    for view in views:
        check_finite(view, "views")
    if len({view.shape[0] for view in views}) > 1:
        raise ValueError(
            f"views: got {[v.shape[0] for v in views]} signals, expected equal numbers"
        )
    run = Run(coupling, schedule, noise, switches, keep_trajectory)
    return run.outcome([(None, run.logits_chain(views, whole(round, "round", 0)))])
