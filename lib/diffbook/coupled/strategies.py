"""The three couplings of Nurko et al. 2026: parallel, alternating and nested.

All take the arguments of `diffbook.coupled.chains.enhance`, and return both estimates: a decision is
the argmax of the diffused logits, or the classifier's on the enhanced signal.
"""

from __future__ import annotations

from math import ceil
from typing import Any

from numpy.typing import ArrayLike

from diffbook._checks import real, whole
from diffbook.coupled._checks import check_finite
from diffbook.coupled._run import Run
from diffbook.coupled.protocol import DEFAULT, Coupling, Noise, Outcome, Switches


def parallel(
    coupling: Coupling, u: Any, schedule: ArrayLike, *,
    noise: Noise, switches: Switches = DEFAULT, logits_schedule: ArrayLike | None = None,
    keep_trajectory: bool = False,
) -> Outcome:  # fmt: skip
    """Walk both chains side by side: 2 chains.

    In every step one branch estimates, and the other sees that estimate once its gate is open.
    `logits_schedule` has as many levels as `schedule`, which is its default.
    """
    check_finite(u, "u")
    run = Run(coupling, schedule, noise, switches, keep_trajectory, logits_schedule)
    opens = {b: _last(getattr(switches, f"gate_{b}"), run.S) for b in ("signal", "logits")}
    x, y = run.start("signal", 0, u), run.start("logits", 0, run.classify(u))
    x_hat = y_hat = None

    def move_signal(s: int) -> None:
        nonlocal x, x_hat
        x_hat = run.signal(s, x, u, y_hat if s <= opens["signal"] else None)
        x = run.step("signal", 0, s, x, x_hat)

    def move_logits(s: int) -> None:
        nonlocal y, y_hat
        y_hat = run.logits(s, y, run.views(u, u if x_hat is None or s > opens["logits"] else x_hat))
        y = run.step("logits", 0, s, y, y_hat)

    moves = [move_signal, move_logits]
    for s in range(run.S, 0, -1):
        for move in moves if switches.order == "signal first" else moves[::-1]:
            move(s)
    return run.outcome([(x, y)])


def alternating(
    coupling: Coupling, u: Any, schedule: ArrayLike, *, rounds: int = 5,
    noise: Noise, switches: Switches = DEFAULT, logits_schedule: ArrayLike | None = None,
    keep_trajectory: bool = False,
) -> Outcome:  # fmt: skip
    """Take turns, a whole chain each: 2 chains for each of the `rounds`, each from fresh noise.

    The first signal sees no logits. With ``rounds=1`` nothing flows back: enhance, then diffuse logits.
    """
    check_finite(u, "u")
    whole(rounds, "rounds")
    run = Run(coupling, schedule, noise, switches, keep_trajectory, logits_schedule)
    found, y_hat = [], None
    for k in range(rounds):
        x_hat = run.signal_chain(u, y_hat, k)
        y_hat = run.logits_chain(run.views(u, x_hat), k)
        found.append((x_hat, y_hat))
    return run.outcome(found)


def nested(
    coupling: Coupling, u: Any, schedule: ArrayLike, *, refreshes: int = 5, window: float = 2 / 3,
    noise: Noise, switches: Switches = DEFAULT, logits_schedule: ArrayLike | None = None,
    keep_trajectory: bool = False,
) -> Outcome:  # fmt: skip
    """Walk one chain of logits and refresh the signal on the way: ``2 + refreshes`` chains.

    Before step s the signal is enhanced anew, given the logits' last estimate, at
    ``s = round(window S k / refreshes)`` for k = refreshes, ..., 1. A first signal is made without
    logits. ``refreshes=0`` is alternating with one round.
    """
    check_finite(u, "u")
    whole(refreshes, "refreshes", 0)
    real(window, "window", "(0, 1]", "a fraction of the steps")
    run = Run(coupling, schedule, noise, switches, keep_trajectory, logits_schedule)
    if refreshes > window * run.S:
        raise ValueError(
            f"refreshes: got {refreshes}, expected at most {int(window * run.S)}, the steps in window"
        )
    refresh_at = {round(window * run.S * k / refreshes) for k in range(1, refreshes + 1)}
    x_hat, y_hat, found = run.signal_chain(u, None, 0), None, []
    y = run.start("logits", 0, run.classify(run.views(u, x_hat)[-1]))
    for s in range(run.S, 0, -1):
        if s in refresh_at:
            found.append((x_hat, y_hat))
            x_hat = run.signal_chain(u, y_hat, len(found))
        y_hat = run.logits(s, y, run.views(u, x_hat))
        y = run.step("logits", 0, s, y, y_hat)
    return run.outcome([*found, (x_hat, y)])


def _last(gate: float, S: int) -> int:
    """Count the steps in the last fraction of S: rounded up, but not for a rounding error."""
    return ceil(round(gate * S, 9))
