"""What the couplings share: networks, switches, results, noise.

Source: Nurko et al. 2026 (arXiv 2602.15405), of which we know the abstract, summaries and the code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffbook._arrays import array_namespace, device
from diffbook._checks import POSITIVE, choice, real, whole
from diffbook.coupled._checks import check_logits

SAMPLERS = ("zero-variance", "ancestral", "ddim")
BRANCHES = ("signal", "logits")

Noise = Callable[[str, int, int, Any], Any]
"""``noise(branch, round, s, like) -> z``, standard normal, for the state at level s; S is the start."""


class Coupling(NamedTuple):
    """Two denoisers and a frozen classifier, on arrays of NumPy or torch.

    Parameters
    ----------
    signal : callable
        ``signal(v, sigma, (u, y_hat)) -> x0_hat``: the clean signal given its noised state, the
        observation and an estimate of the logits, shape (n, K), or None where there is none.
    logits : callable
        ``logits(v, sigma, (views, c)) -> y0_hat``: the clean logits given their noised state, a tuple
        of signals, and the classifier's (standardised) logits of the last of them.
    classifier : callable
        ``classifier(x) -> logits``, shape (n, K); see `diffbook.coupled.frozen`.
    """

    signal: Callable[..., Any]
    logits: Callable[..., Any]
    classifier: Callable[[Any], Any]


@dataclass(frozen=True)
class Switches:
    """What the couplings leave open.

    Parameters
    ----------
    sampler : {"zero-variance", "ancestral", "ddim"}
        Sampler of the signal's chain.
    logits_sampler : same, or None
        Sampler of the logits' chain; None is that of the signal.
    order : {"signal first", "logits first"}
        Which branch of a parallel step moves first, and is then seen by the other.
    gate_signal, gate_logits : float in [0, 1]
        Parallel: in the last `gate_signal` S steps the signal's network sees the logits' estimate (None
        before), in the last `gate_logits` S steps the logits' network sees x_hat (u before).
    view : {"observation", "estimate", "both"}
        What the logits' network sees: (u,), (x_hat,) or (u, x_hat).
    standardise : bool
        Whether classifier logits and logit estimates are brought to mean 0 and spread 0.8.
    start : {"zero", "observation"}
        Where chains start, up to noise: 0, or u for signals and the classifier's logits for logits.
    """

    sampler: str = "zero-variance"
    logits_sampler: str | None = None
    order: str = "signal first"
    gate_signal: float = 0.5
    gate_logits: float = 0.5
    view: str = "estimate"
    standardise: bool = True
    start: str = "zero"

    def __post_init__(self) -> None:
        choice(self.sampler, "sampler", SAMPLERS)
        choice(self.logits_sampler, "logits_sampler", (*SAMPLERS, None))
        choice(self.order, "order", ("signal first", "logits first"))
        real(self.gate_signal, "gate_signal", "[0, 1]", "a fraction of the steps")
        real(self.gate_logits, "gate_logits", "[0, 1]", "a fraction of the steps")
        choice(self.view, "view", ("observation", "estimate", "both"))
        choice(self.standardise, "standardise", (True, False))
        choice(self.start, "start", ("zero", "observation"))


DEFAULT = Switches()
RELEASED = Switches(
    sampler="ancestral", logits_sampler="zero-variance", order="logits first", gate_signal=1.0
)
"""Parallel coupling as in the released code."""


class Calls(NamedTuple):
    """Network calls, each of a whole batch."""

    signal: int
    logits: int
    classifier: int


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a chain or a coupling returns.

    Parameters
    ----------
    signal, logits : array or None
        The clean ends; None for a branch that did not run.
    calls : Calls
        Network calls.
    S : int
        Steps of a chain.
    rounds : list of (x_hat, y_hat)
        The two estimates after each round (alternating) or stretch between refreshes (nested).
    trajectory : list of dict, or None
        ``{"branch", "round", "s", "sigma", "v", "hat"}`` of every state in the order of the walk: v at
        level s, and the estimate that led there (None at a chain's start).
    """

    signal: Any
    logits: Any
    calls: Calls
    S: int
    rounds: list[tuple[Any, Any]]
    trajectory: list[dict[str, Any]] | None

    @property
    def chains(self) -> float:
        """Denoiser calls in units of one chain."""
        return (self.calls.signal + self.calls.logits) / self.S


# --- logits and noise -------------------------------------------------------------------------


def standardise(logits: Any, spread: float = 0.8) -> Any:
    """Bring each sample's logits to mean 0 and standard deviation `spread`, shape (n, K) kept.

    Divides by the unbiased deviation plus 1e-5 (Nurko et al. 2026, released code); K is at least 2.
    """
    check_logits(logits, "logits")
    return standardised(logits, real(spread, "spread", POSITIVE))


def standardised(logits: Any, spread: float = 0.8) -> Any:
    """Do what `standardise` does, for a state that may diverge: without its checks."""
    xp = array_namespace(logits)
    deviation = xp.std(logits, axis=-1, correction=1, keepdims=True)
    return spread * (logits - xp.mean(logits, axis=-1, keepdims=True)) / (deviation + 1e-5)


def sample_noise(seeds: Iterable[int]) -> Noise:
    """Noise with one stream for each sample, branch, round and step: no matter what the batch is."""
    seeds = [whole(seed, "seeds", 0) for seed in seeds]

    def noise(branch: str, round: int, s: int, like: Any) -> Any:
        if len(seeds) != like.shape[0]:
            raise ValueError(f"noise has {len(seeds)} seeds for a batch of {like.shape[0]}")
        keys = [[seed, BRANCHES.index(branch), round, s] for seed in seeds]
        draws = [np.random.default_rng(key).standard_normal(like.shape[1:]) for key in keys]
        return _like(np.stack(draws), like)

    return noise


def batch_noise(seed: int) -> Noise:
    """Noise with one stream for each branch, round and step: fast, for one large batch."""
    seed = whole(seed, "seed", 0)

    def noise(branch: str, round: int, s: int, like: Any) -> Any:
        rng = np.random.default_rng([seed, BRANCHES.index(branch), round, s])
        return _like(rng.standard_normal(tuple(like.shape)), like)

    return noise


def _like(values: NDArray, x: Any) -> Any:
    return array_namespace(x).asarray(values, dtype=x.dtype, device=device(x))
