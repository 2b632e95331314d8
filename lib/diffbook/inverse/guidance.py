"""What guided samplers share: checked arguments, the denoiser's Jacobian, unguided steps.

The samplers themselves are in `diffbook.inverse.published`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from diffbook._checks import real, whole
from diffbook.inverse.exact import Vjp
from diffbook.inverse.gains import check_weights
from diffbook.inverse.operators import Degradation, _checked, check_measurement
from diffbook.samplers import protocol
from diffbook.samplers.protocol import Callback, Denoiser, Noise, Result, Sampler
from diffbook.samplers.transfer import step_coefficients
from diffbook.schedules.levels import validate_alpha_bar

Ask = Callable[[int, Any], Any]


@dataclass(frozen=True, eq=False)
class Run:
    """Checked arguments of one call."""

    denoiser: Denoiser
    x_T: Any
    y: Any
    operator: Degradation
    alpha_bar: list[float]
    walking: dict[str, Any]

    @property
    def S(self) -> int:
        """Number of steps."""
        return len(self.alpha_bar) - 1

    @property
    def signal(self) -> list[float]:
        """``sqrt(alpha_bar)`` of every level, clean end first."""
        return [ab**0.5 for ab in self.alpha_bar]

    @property
    def spread(self) -> list[float]:
        """``sqrt(1 - alpha_bar)`` of every level."""
        return [(1.0 - ab) ** 0.5 for ab in self.alpha_bar]

    def z(self, s: int, x: Any, draw: Noise) -> Any:
        """Noise of the step from s, or None for a last step that ends without noise."""
        s = whole(s, "s", 1, self.S)
        return None if self.alpha_bar[s - 1] == 1.0 else draw(s, x)

    def residual(self, x: Any) -> Any:
        """``y - H x``."""
        return self.y - self.operator.forward(_checked(x, tuple(self.x_T.shape), "x"))

    def weights(self, weights: ArrayLike | None) -> list[float]:
        """One weight a step, finite and non-negative, 1 unless given."""
        return check_weights(np.ones(self.S) if weights is None else weights, self.S)[:, 0].tolist()

    def walk(self, step: Callable[..., tuple[Any, Any]]) -> Result:
        """Walk with ``step(s, x, ask, draw)`` from x_T."""
        return protocol.walk(
            Sampler(lambda x_T: x_T, step), self.denoiser, self.x_T, self.alpha_bar, **self.walking
        )


def prepare(
    denoiser: Denoiser, x_T: Any, alpha_bar: ArrayLike, y: Any, operator: Degradation,
    sigma_y: float, noise: Noise | None, callback: Callback | None, keep_trajectory: bool, *,
    needs_noise: bool = False, **fractions: float,
) -> Run:  # fmt: skip
    """Check everything before the first call of the denoiser.

    Noise is needed where one of the `fractions`, ``eta`` or ``zeta``, is positive, or always.
    """
    levels = validate_alpha_bar(alpha_bar, allow_one=True).tolist()
    protocol.check_state(x_T)
    cut = x_T.ndim - len(operator.shape)
    if cut < 1 or tuple(x_T.shape[cut:]) != tuple(operator.shape):
        raise ValueError(
            f"operator must be for signals of shape {tuple(x_T.shape[1:])} like x_T (or for its "
            f"trailing axes), got one for {tuple(operator.shape)}"
        )
    check_measurement(operator, y, sigma_y)
    expected = (*x_T.shape[:cut], *operator.measurement_shape)
    if tuple(y.shape) != tuple(expected) or y.dtype != x_T.dtype:
        raise ValueError(
            f"y must have shape {tuple(expected)} and dtype {x_T.dtype}, one measurement for each "
            f"sample of x_T; got {tuple(y.shape)} and {y.dtype}"
        )
    drawn = [real(value, name, "[0, 1]") for name, value in fractions.items()]
    needs_noise = needs_noise or any(drawn)
    if needs_noise and noise is None:
        raise ValueError("noise is needed for a stochastic sampler; use step_noise(seeds)")
    # A noise that the method does not use is not drawn either: drawing costs time.
    noise = noise if needs_noise else None
    walking = {"noise": noise, "callback": callback, "keep_trajectory": keep_trajectory}
    return Run(denoiser, x_T, y, operator, levels, walking)


def check_differentiable(x_T: Any, vjp: Vjp | None) -> None:
    """Refuse NumPy arrays that come without the Jacobian's product."""
    if vjp is None and isinstance(x_T, np.ndarray):
        raise ValueError(
            "vjp is needed for NumPy arrays: vjp(x_t, alpha_bar_t, v) -> J^T v of the denoiser; "
            "torch arrays are differentiated automatically"
        )


def linearised(
    run: Run, s: int, x: Any, ask: Ask, vjp: Vjp | None
) -> tuple[Any, Callable[[Any], Any]]:
    """Answer of the denoiser, and the product of its transposed Jacobian with a vector."""
    level = run.alpha_bar[whole(s, "s", 1, run.S)]
    x = _checked(x, tuple(run.x_T.shape), "x")
    if vjp is None:
        return differentiated(lambda leaf, _: ask(s, leaf), x, level)
    return ask(s, x), lambda v: protocol.same_shape("vjp", vjp(x, level, v), x)


def differentiated(
    denoiser: Denoiser, x: Any, alpha_bar_t: float
) -> tuple[Any, Callable[[Any], Any]]:
    """Answer of a denoiser at torch states, and ``v -> J^T v`` by automatic differentiation.

    The product can be taken once: the graph is freed with it.
    """
    import torch

    alpha_bar_t = real(alpha_bar_t, "alpha_bar_t", "(0, 1]")
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        x0_hat = protocol.ask(denoiser, leaf, alpha_bar_t)
    if not x0_hat.requires_grad:
        raise ValueError(
            "denoiser must be differentiable, but its answer carries no gradient; let it run "
            "without no_grad or inference_mode, or pass vjp"
        )
    return x0_hat.detach(), lambda v: torch.autograd.grad(x0_hat, leaf, v)[0]


def ddim_steps(run: Run, eta: float) -> Callable[[int, Any, Any, Noise], Any]:
    """Step of DDIM's family without guidance, ``a x + b x0_hat + c z``."""
    coefficients = step_coefficients(run.alpha_bar, "vp", real(eta, "eta", "[0, 1]")).tolist()

    def step(s: int, x: Any, x0_hat: Any, draw: Noise) -> Any:
        a, b, c = coefficients[s - 1]
        # In place on the new array: the update must stay cheap beside the denoiser.
        x = a * x
        x += b * x0_hat
        if c > 0.0:
            x += c * draw(s, x)
        return x

    return step


def renoised_steps(run: Run, fraction: float) -> Callable[[int, Any, Any, Any, Any], Any]:
    """Step to level s - 1 around ``x0_y``, with the predicted noise partly drawn afresh.

    ``signal x0_y + spread (sqrt(1 - fraction) eps_hat + sqrt(fraction) z)``, where ``eps_hat``
    belongs to ``x0``.
    """
    signal, spread, fraction = run.signal, run.spread, real(fraction, "fraction", "[0, 1]")
    keep, fresh = (1.0 - fraction) ** 0.5, fraction**0.5

    def step(s: int, x: Any, x0_y: Any, x0: Any, z: Any) -> Any:
        slope = keep * spread[s - 1] / spread[s]
        x_next = signal[s - 1] * x0_y
        if slope > 0.0:
            x_next += slope * x
            x_next -= (slope * signal[s]) * x0
        if z is not None:
            x_next += (fresh * spread[s - 1]) * z
        return x_next

    return step
