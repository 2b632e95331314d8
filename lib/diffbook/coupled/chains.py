"""Chains of signals and of logits, the two halves that every coupling is made of.

Both branches run in the coordinates ``v = x0 + sigma z``, which take in VP, OU-VE and CARD-like
processes (see `diffbook.schedules.ouve`). From level s to s - 1 a chain goes ``v <- a v + b hat + c z``
with the coefficients of DDIM's family, where hat is the network's clean estimate. Three samplers:

- ``"ancestral"``: eta = 1, DDPM's;
- ``"ddim"``: eta = 0;
- ``"zero-variance"``: eta = 1 with its noise dropped. The released code calls this DDIM, but it
  forgets the noise it starts from: on Gaussian data it returns the posterior mean.

Source: Nurko et al. 2026 (arXiv 2602.15405), of which we know the abstract, summaries and the code.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from diffbook._checks import whole
from diffbook.coupled._checks import check_finite, check_logits
from diffbook.coupled._run import Run
from diffbook.coupled.protocol import DEFAULT, Coupling, Noise, Outcome, Switches


def enhance(
    coupling: Coupling, u: Any, schedule: ArrayLike, *, noise: Noise, y_hat: Any = None,
    switches: Switches = DEFAULT, round: int = 0, keep_trajectory: bool = False,
) -> Outcome:  # fmt: skip
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
    coupling: Coupling, views: tuple[Any, ...], schedule: ArrayLike, *, noise: Noise,
    switches: Switches = DEFAULT, round: int = 0, keep_trajectory: bool = False,
) -> Outcome:  # fmt: skip
    """Run one chain of the logits: CARD-like on observations, or half a round of alternating.

    Parameters are those of `enhance`, except `views`: a tuple of batches of signals, the last of which
    the classifier sees. `view` of the switches is not used.
    """
    if not isinstance(views, tuple) or not views:
        found = 0 if isinstance(views, tuple) else type(views).__name__
        raise ValueError(f"views: got {found}, expected a tuple of one signal or more")
    for view in views:
        check_finite(view, "views")
    if len({view.shape[0] for view in views}) > 1:
        raise ValueError(
            f"views: got {[v.shape[0] for v in views]} signals, expected equal numbers"
        )
    run = Run(coupling, schedule, noise, switches, keep_trajectory)
    return run.outcome([(None, run.logits_chain(views, whole(round, "round", 0)))])
