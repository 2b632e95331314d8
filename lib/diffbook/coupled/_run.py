"""One call of a coupling at work: the steps of its two chains, and the count of its network calls."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from diffbook.coupled._checks import check_shape
from diffbook.coupled.protocol import (
    BRANCHES,
    Calls,
    Coupling,
    Noise,
    Outcome,
    Switches,
    standardised,
)
from diffbook.samplers.protocol import same_shape
from diffbook.samplers.transfer import step_coefficients
from diffbook.schedules.levels import validate_sigma


class Run:
    """One call of a coupling: its checked arguments, its walks, and the count of its calls."""

    def __init__(
        self, coupling: Coupling, schedule: ArrayLike, noise: Noise, switches: Switches,
        keep_trajectory: bool, logits_schedule: ArrayLike | None = None,
    ) -> None:  # fmt: skip
        if not isinstance(switches, Switches):
            raise ValueError(f"switches: got {switches!r}, expected a record of Switches")
        levels = schedule if logits_schedule is None else logits_schedule
        self.sigma = {
            "signal": _levels(schedule, "schedule"),
            "logits": _levels(levels, "logits_schedule"),
        }
        self.S, found = (len(self.sigma[b]) - 1 for b in BRANCHES)
        if found != self.S:
            raise ValueError(
                f"logits_schedule: got {found} steps, expected {self.S} as in schedule"
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
