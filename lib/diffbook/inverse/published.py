"""Zero-shot posterior samplers as published: any denoiser, any linear degradation.

All draw from (something near) p(x0 | y) for ``y = H x0 + sigma_y n`` with a denoiser that knows
nothing of H. They share one signature::

    sample(denoiser, x_T, alpha_bar, *, y, operator, sigma_y, weights,
           noise=None, callback=None, keep_trajectory=False) -> Result

with the denoiser, the standard normal ``x_T`` of shape ``(n, ..., *shape)``, the schedule and the noise of
`diffbook.samplers.unguided`, one measurement for each sample, and the guidance weights as data: row
``s - 1`` of ``weights`` belongs to the step from s to s - 1. ``alpha_bar[0] = 1`` is allowed, and
usual: the last step then ends at the denoiser's answer, guided as the method says.

DPS, PiGDM and MCG differentiate the denoiser. Torch arrays do so by automatic differentiation;
any array can bring ``vjp(x_t, alpha_bar_t, v)``, the product of the transposed Jacobian with v.

Let ``signal = sqrt(alpha_bar)``, ``spread = sqrt(1 - alpha_bar)`` and ``eps_hat = (x_s - signal_s
x0_hat) / spread_s``, the noise that the denoiser believes in. Under a Gaussian prior and a
circulant H all of these methods are linear; `diffbook.inverse.gains` holds them as gains.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._arrays import array_namespace
from diffbook._checks import NON_NEGATIVE, POSITIVE, real, reals
from diffbook.inverse.exact import Vjp, conditional_denoiser
from diffbook.inverse.gains import check_weights, pigdm_published
from diffbook.inverse.guidance import (
    Ask,
    Run,
    check_differentiable,
    ddim_steps,
    linearised,
    prepare,
    renoised_steps,
)
from diffbook.inverse.operators import (
    RCOND,
    Degradation,
    adjoint_solve,
    from_range,
    kept,
    pinv,
    times,
    to_range,
)
from diffbook.priors.colour import ChannelPriors
from diffbook.priors.gaussian import GaussianPrior
from diffbook.samplers import protocol, unguided
from diffbook.samplers.protocol import Callback, Denoiser, Noise, Result
from diffbook.samplers.transfer import step_coefficients

Rule = Callable[[int, Any], Any]
"""``rule(s, residual_norm) -> weights``, both of shape (n,): a weight evaluated on the way."""


# --- guidance through the denoiser ------------------------------------------------------------


def dps(
    denoiser: Denoiser, x_T: Any, alpha_bar: ArrayLike, *, y: Any, operator: Degradation,
    sigma_y: float, weights: ArrayLike | Rule, eta: float = 0.0, vjp: Vjp | None = None,
    noise: Noise | None = None, callback: Callback | None = None, keep_trajectory: bool = False,
) -> Result:  # fmt: skip
    """Sample with diffusion posterior sampling (DPS).

    A step of DDIM's family, then ``- weights[s-1] * grad ||y - H x0_hat(x_s)||^2``.
    All arguments are checked before the first call of the denoiser.

    Parameters
    ----------
    denoiser : callable
        ``denoiser(x_t, alpha_bar_t, cond=None) -> x0_hat``.
    x_T : array, shape (n, ..., *shape), NumPy or torch
        Standard normal noise. Axes between the batch and ``operator.shape`` (colour) are treated
        by the degradation one by one, by the denoiser together.
    alpha_bar : array_like, shape (S + 1,)
        Schedule, clean end first; ``alpha_bar[0]`` may be 1.
    y : array, shape (n, ..., *measurement_shape)
        One measurement for each sample, of the kind and dtype of ``x_T``.
    operator : Degradation
        H, see `diffbook.inverse.operators`.
    sigma_y : float
        Standard deviation of the measurement noise.
    weights : array_like, shape (S,), or callable
        ``zeta_s``, multiplying the gradient of the *squared* norm; or a rule
        ``(s, residual_norm (n,)) -> (n,)``, see `normalised`.
    eta : float in [0, 1]
        0 is DDIM, 1 is DDPM (which the paper uses).
    vjp : callable, optional
        ``vjp(x_t, alpha_bar_t, v) -> J^T v``; needed for NumPy arrays.
    noise : callable, optional
        ``noise(s, x)``, needed if ``eta > 0``; see `diffbook.samplers.protocol.step_noise`.
    callback : callable, optional
        Called after every step with ``{"s", "x", "level", "x0_hat"}``; the denoiser's own answer.
    keep_trajectory : bool
        Whether all states are kept.

    Returns
    -------
    Result
        ``nfe`` counts calls of the denoiser; each comes with one product with its Jacobian.

    Notes
    -----
    Source: Chung et al. 2023 (arXiv 2209.14687), Algorithm 1. Two traps in comparing weights: the
    authors' code multiplies the gradient of the norm by ``scale``, which is ``2 zeta'`` in the
    paper's ``zeta_s = zeta' / ||r||``; and it takes one norm over the whole batch. Here every
    sample has its own, so its result does not depend on its companions.
    """
    run = prepare(
        denoiser, x_T, alpha_bar, y, operator, sigma_y, noise, callback, keep_trajectory, eta=eta
    )
    return run.walk(_dps_step(run, weights, eta, vjp))


def _dps_step(run: Run, weights: ArrayLike | Rule, eta: float, vjp: Vjp | None) -> Callable:
    rule = weights if callable(weights) else None
    zeta = None if rule else check_weights(weights, run.S)[:, 0].tolist()
    check_differentiable(run.x_T, vjp)
    ddim_step = ddim_steps(run, eta)

    def step(s: int, x: Any, ask: Ask, draw: Noise) -> tuple[Any, Any]:
        x0_hat, pullback = linearised(run, s, x, ask, vjp)
        r = run.residual(x0_hat)
        # The gradient of ||r||^2 is -2 J^T H^T r.
        downhill = 2.0 * pullback(run.operator.adjoint(r))
        weight = _per_sample(rule(s, _norm(r)), x) if rule else zeta[s - 1]
        x = ddim_step(s, x, x0_hat, draw)
        x += weight * downhill
        return x, x0_hat

    return step


def normalised(zeta_prime: float) -> Rule:
    """Weight rule of the DPS paper, ``zeta_s = zeta' / ||y - H x0_hat||``, for every sample.

    Parameters
    ----------
    zeta_prime : float
        Half of what the authors' code calls ``scale``.
    """
    zeta_prime = real(zeta_prime, "zeta_prime", NON_NEGATIVE)

    def rule(s: int, residual_norm: Any) -> Any:
        xp = array_namespace(residual_norm)
        # Where the residual vanishes the gradient does too, and any finite weight will do.
        tiny = float(xp.finfo(residual_norm.dtype).tiny) ** 0.5
        return zeta_prime / xp.clip(residual_norm, min=tiny)

    return rule


def _norm(r: Any) -> Any:
    """Euclidean norm of every sample, shape (n,)."""
    xp = array_namespace(r)
    return xp.sqrt(xp.sum(xp.reshape(r, (r.shape[0], -1)) ** 2, axis=1))


def _per_sample(weight: Any, x: Any) -> Any:
    if tuple(weight.shape) != (x.shape[0],):
        raise ValueError(
            f"weights returned shape {tuple(weight.shape)}, expected ({x.shape[0]},), one value "
            "for each sample"
        )
    return array_namespace(x).reshape(weight, (-1, *(1,) * (x.ndim - 1)))


def pigdm(
    denoiser: Denoiser, x_T: Any, alpha_bar: ArrayLike, *, y: Any, operator: Degradation,
    sigma_y: float, weights: ArrayLike | None = None, r2: ArrayLike | None = None,
    eta: float = 0.0, vjp: Vjp | None = None, noise: Noise | None = None,
    callback: Callback | None = None, keep_trajectory: bool = False,
) -> Result:  # fmt: skip
    """Sample with pseudo-inverse guidance (PiGDM); parameters as in `dps`, and those below.

    A step of DDIM's family, then ``+ theta_s J^T H^T (r2_s H H^T + sigma_y^2 I)^{-1} r``: the
    score of y when x0 given x_s is taken for N(x0_hat, r2_s I). Modes that ``H`` does not measure
    take no part when ``sigma_y = 0``.

    Parameters
    ----------
    weights : array_like, shape (S,), optional
        ``theta_s``; as published ``sqrt(alpha_bar_s) (1 - alpha_bar_s)`` by default, which does
        not shrink with the step.
    r2 : array_like, shape (S,), optional
        ``r2_s``, positive; ``1 - alpha_bar_s`` by default, the value for data of unit variance.

    Notes
    -----
    Source: Song, Vahdat, Mardani, Kautz 2023 (ICLR, "Pseudoinverse-guided diffusion models for
    inverse problems"), Algorithm 1.
    """
    run = prepare(
        denoiser, x_T, alpha_bar, y, operator, sigma_y, noise, callback, keep_trajectory, eta=eta
    )
    theta = run.weights(pigdm_published(run.alpha_bar) if weights is None else weights)
    r2 = 1.0 - np.asarray(run.alpha_bar[1:]) if r2 is None else r2
    r2 = reals(r2, "r2", POSITIVE, shape=(run.S,)).tolist()
    check_differentiable(x_T, vjp)
    ddim_step = ddim_steps(run, eta)

    def step(s: int, x: Any, ask: Ask, draw: Noise) -> tuple[Any, Any]:
        x0_hat, pullback = linearised(run, s, x, ask, vjp)
        g = pullback(adjoint_solve(operator, run.residual(x0_hat), r2[s - 1], sigma_y**2))
        x = ddim_step(s, x, x0_hat, draw)
        x += theta[s - 1] * g
        return x, x0_hat

    return run.walk(step)


def mcg(
    denoiser: Denoiser, x_T: Any, alpha_bar: ArrayLike, *, y: Any, operator: Degradation,
    sigma_y: float, weights: ArrayLike | Rule, eta: float = 0.0, vjp: Vjp | None = None,
    noise: Noise | None = None, noise_y: Noise | None = None, rcond: float = RCOND,
    callback: Callback | None = None, keep_trajectory: bool = False,
) -> Result:  # fmt: skip
    """Sample with manifold-constrained gradients (MCG); parameters as in `dps`, and those below.

    The step of `dps`, then the measured part is replaced by a noisy measurement,
    ``x <- (I - H^+ H) x + H^+ (signal_{s-1} y + spread_{s-1} z')``. For an invertible H nothing
    of the guidance is left and the output is ``H^+ y``; the method is meant for masks.

    Parameters
    ----------
    noise_y : callable, optional
        ``noise_y(s, y)``: standard normal ``z'`` like y, independent of ``noise`` (seeds of its
        own). Needed unless the schedule has one step that ends at ``alpha_bar[0] = 1``.
    rcond : float
        Singular values of H below this fraction of the largest count as zero.

    Notes
    -----
    Source: Chung et al. 2022 (MCG, arXiv 2206.00941). Its authors' code noises y at
    the level before the step, here it is the level after it.
    """
    run = prepare(
        denoiser, x_T, alpha_bar, y, operator, sigma_y, noise, callback, keep_trajectory, eta=eta
    )
    signal, spread, rcond = run.signal, run.spread, real(rcond, "rcond", "[0, 1)")
    if noise_y is None and max(spread[:-1]) > 0.0:
        raise ValueError("noise_y is needed to noise the measurement; use step_noise(seeds)")
    dps_step = _dps_step(run, weights, eta, vjp)

    def step(s: int, x: Any, ask: Ask, draw: Noise) -> tuple[Any, Any]:
        x, x0_hat = dps_step(s, x, ask, draw)
        y_s = signal[s - 1] * y
        if spread[s - 1] > 0.0:
            y_s += spread[s - 1] * protocol.same_shape("noise_y", noise_y(s, y), y)
        x += pinv(operator, y_s - operator.forward(x), rcond)
        return x, x0_hat

    return run.walk(step)


# --- no gradient ------------------------------------------------------------------------------


def ald(
    denoiser: Denoiser, x_T: Any, alpha_bar: ArrayLike, *, y: Any, operator: Degradation,
    sigma_y: float, weights: ArrayLike | None = None, eta: float = 0.0, noise: Noise | None = None,
    callback: Callback | None = None, keep_trajectory: bool = False,
) -> Result:  # fmt: skip
    """Sample with the annealed likelihood score; parameters as in `dps`, and those below.

    A step of DDIM's family, then ``+ theta_s b_s sigma_s^2 H^T (y - H x_s / signal_s) /
    (sigma_y^2 + sigma_s^2)``: the noisy state itself is compared with the measurement, as if its
    noise ``sigma_s = spread_s / signal_s`` were noise of the measurement.

    Parameters
    ----------
    weights : array_like, shape (S,), optional
        ``theta_s``; 1 by default.

    Notes
    -----
    Source: the likelihood score of Jalal et al. 2021 (arXiv 2108.01368), carried over from
    annealed Langevin dynamics to the steps of DDIM.
    """
    run = prepare(
        denoiser, x_T, alpha_bar, y, operator, sigma_y, noise, callback, keep_trajectory, eta=eta
    )
    theta = run.weights(weights)
    b = step_coefficients(run.alpha_bar, "vp", eta)[:, 1].tolist()
    signal, spread, ddim_step = run.signal, run.spread, ddim_steps(run, eta)

    def step(s: int, x: Any, ask: Ask, draw: Noise) -> tuple[Any, Any]:
        x0_hat = ask(s, x)
        sigma2 = (spread[s] / signal[s]) ** 2
        score = operator.adjoint(run.residual(x / signal[s]))
        score *= theta[s - 1] * b[s - 1] * sigma2 / (sigma_y**2 + sigma2)
        x = ddim_step(s, x, x0_hat, draw)
        x += score
        return x, x0_hat

    return run.walk(step)


def ddnm(
    denoiser: Denoiser, x_T: Any, alpha_bar: ArrayLike, *, y: Any, operator: Degradation,
    sigma_y: float = 0.0, weights: ArrayLike | None = None, eta: float = 0.85,
    noise: Noise | None = None, rcond: float = RCOND, callback: Callback | None = None,
    keep_trajectory: bool = False,
) -> Result:  # fmt: skip
    """Sample with the denoising diffusion null-space model; parameters as in `dps`, those below.

    ``x0_y = x0_hat + theta_s H^+ (y - H x0_hat)``, then ``signal_{s-1} x0_y + spread_{s-1}
    (sqrt(1 - eta^2) eps_hat + eta z)`` with the ``eps_hat`` of x0_hat. The measurement is taken to
    be free of noise; `ddnm_plus` is for noisy ones.

    Parameters
    ----------
    sigma_y : float
        Not used by the method.
    weights : array_like, shape (S,), optional
        ``theta_s``; 1, as published, by default.
    eta : float in [0, 1]
        ``eta^2`` is the fraction of the predicted noise that is drawn afresh. Not DDIM's eta.
    rcond : float
        Singular values of H below this fraction of the largest count as zero.

    Notes
    -----
    Source: Wang, Yu, Zhang 2023 (DDNM, arXiv 2212.00490), with the noise of its authors' code.
    """
    run = prepare(
        denoiser, x_T, alpha_bar, y, operator, sigma_y, noise, callback, keep_trajectory, eta=eta
    )
    theta, rcond = run.weights(weights), real(rcond, "rcond", "[0, 1)")
    renoise = renoised_steps(run, eta**2)

    def step(s: int, x: Any, ask: Ask, draw: Noise) -> tuple[Any, Any]:
        x0_hat = ask(s, x)
        x0_y = x0_hat + theta[s - 1] * pinv(operator, run.residual(x0_hat), rcond)
        return renoise(s, x, x0_y, x0_hat, run.z(s, x, draw)), x0_hat

    return run.walk(step)


def diffpir(
    denoiser: Denoiser, x_T: Any, alpha_bar: ArrayLike, *, y: Any, operator: Degradation,
    sigma_y: float, weights: ArrayLike, zeta: float = 0.1, noise: Noise | None = None,
    callback: Callback | None = None, keep_trajectory: bool = False,
) -> Result:  # fmt: skip
    """Sample with plug-and-play image restoration (DiffPIR); parameters as in `dps`, those below.

    ``x0_y = argmin ||y - H x||^2 + rho_s ||x - x0_hat||^2`` with ``rho_s = lambda_s sigma_y^2 /
    sigma_s^2``, then ``signal_{s-1} x0_y + spread_{s-1} (sqrt(1 - zeta) eps_hat + sqrt(zeta) z)``
    with the ``eps_hat`` of x0_y.

    Parameters
    ----------
    weights : array_like, shape (S,)
        ``lambda_s``, non-negative; 1 to 25 in the paper. Where ``rho_s = 0`` the limit is taken:
        the measured part of x0_hat is replaced by ``H^+ y``.
    zeta : float in [0, 1]
        Fraction of the predicted noise that is drawn afresh.

    Notes
    -----
    Source: Zhu et al. 2023 (DiffPIR, arXiv 2305.08995), Algorithm 1. Its authors' code holds y in
    [0, 1] and the noise levels of images in [-1, 1]: its lambda is four times this one.
    """
    run = prepare(
        denoiser, x_T, alpha_bar, y, operator, sigma_y, noise, callback, keep_trajectory, zeta=zeta
    )
    ab = np.asarray(run.alpha_bar[1:])
    rho = (check_weights(weights, run.S)[:, 0] * sigma_y**2 * ab / (1.0 - ab)).tolist()
    renoise = renoised_steps(run, zeta)

    def step(s: int, x: Any, ask: Ask, draw: Noise) -> tuple[Any, Any]:
        x0_hat = ask(s, x)
        x0_y = x0_hat + adjoint_solve(operator, run.residual(x0_hat), 1.0, rho[s - 1])
        return renoise(s, x, x0_y, x0_y, run.z(s, x, draw)), x0_hat

    return run.walk(step)


def ddnm_plus(
    denoiser: Denoiser, x_T: Any, alpha_bar: ArrayLike, *, y: Any, operator: Degradation,
    sigma_y: float, weights: ArrayLike | None = None, eta: float = 0.85,
    noise: Noise | None = None, rcond: float = RCOND, callback: Callback | None = None,
    keep_trajectory: bool = False,
) -> Result:  # fmt: skip
    """Sample with DDNM+ for noisy measurements; parameters as in `ddnm`, all of them used.

    In the coordinates of H's right singular vectors, with singular value t and ``ybar`` the
    measurement divided by it, the answer of the denoiser moves to ``x0_hat + theta_s Lam (ybar -
    x0_hat)``; with ``signal`` and ``spread`` of level s - 1

    - ``spread >= signal sigma_y / t``: Lam = 1, and fresh noise fills the variance up to
      ``spread^2``;
    - otherwise ``Lam = sqrt(1 - eta^2) spread t / (signal sigma_y)``, and fresh noise
      ``eta spread``;
    - ``t = 0``: x0_hat stays, with noise ``spread (sqrt(1 - eta^2) eps_hat + eta z)``.

    ``noise`` is always needed.

    Notes
    -----
    Source: Wang, Yu, Zhang 2023 (arXiv 2212.00490), DDNM+ as in its authors' code.
    """
    run = prepare(
        denoiser, x_T, alpha_bar, y, operator, sigma_y, noise, callback, keep_trajectory,
        needs_noise=True, eta=eta,
    )  # fmt: skip
    theta = run.weights(weights)
    measured, ybar, error = _measured(run, sigma_y, rcond)
    pull = _pull(operator, ybar, rcond)
    renoise, signal, spread = renoised_steps(run, eta**2), run.signal, run.spread

    def rule(s: int) -> tuple[NDArray, NDArray]:
        carried = signal[s - 1] * error
        clear = spread[s - 1] >= carried
        inside = np.where(clear, 0.0, (1.0 - eta**2) ** 0.5 * spread[s - 1])
        Lam = np.where(clear, 1.0, inside / np.where(clear, 1.0, carried))
        filled = np.sqrt(np.maximum(spread[s - 1] ** 2 - carried**2, 0.0))
        return measured * Lam, measured * np.where(clear, filled, eta * spread[s - 1])

    def step(s: int, x: Any, ask: Ask, draw: Noise) -> tuple[Any, Any]:
        x0_hat, z = ask(s, x), run.z(s, x, draw)
        Lam, fresh = rule(s)
        x = renoise(s, x, x0_hat, x0_hat, z)
        level = signal[s - 1]
        return pull(x, x0_hat, z, level, level * theta[s - 1] * Lam, fresh), x0_hat

    return run.walk(step)


def ddrm(
    denoiser: Denoiser, x_T: Any, alpha_bar: ArrayLike, *, y: Any, operator: Degradation,
    sigma_y: float, weights: ArrayLike | None = None, eta: float = 0.85, eta_b: float = 1.0,
    noise: Noise | None = None, rcond: float = RCOND, callback: Callback | None = None,
    keep_trajectory: bool = False,
) -> Result:  # fmt: skip
    """Sample with denoising diffusion restoration (DDRM); parameters as in `ddnm`, those below.

    In variance-exploding coordinates ``x / signal`` along H's right singular vectors, with
    singular value t, ``ybar`` the measurement divided by it and sigma the level s - 1:

    - ``t = 0``: ``x0_hat + sigma (sqrt(1 - eta^2) eps_hat + eta z)``;
    - ``sigma t < sigma_y``: ``x0_hat + sqrt(1 - eta^2) sigma (ybar - x0_hat) / (sigma_y / t) +
      eta sigma z``;
    - otherwise ``(1 - eta_b) x0_hat + eta_b ybar + sqrt(sigma^2 - eta_b^2 sigma_y^2 / t^2) z``.

    The first state is made from the measurement: ``ybar + sqrt(sigma_S^2 - sigma_y^2 / t^2) x_T``
    where that is possible, ``sigma_S x_T`` elsewhere.

    Parameters
    ----------
    weights : array_like, shape (S,), optional
        Factor of the pull towards ``ybar``; 1, as published, by default.
    eta_b : float in [0, 1]
        Weight of the measurement where its noise is below the level.

    Notes
    -----
    Source: Kawar, Elad, Ermon, Song 2022 (arXiv 2201.11793). With ``eta_b = 1`` the steps are
    those of `ddnm_plus`; the first state differs. ``noise`` is always needed.
    """
    run = prepare(
        denoiser, x_T, alpha_bar, y, operator, sigma_y, noise, callback, keep_trajectory,
        needs_noise=True, eta=eta, eta_b=eta_b,
    )  # fmt: skip
    theta = run.weights(weights)
    measured, ybar, error = _measured(run, sigma_y, rcond)
    pull = _pull(operator, ybar, rcond)
    signal = run.signal
    sigma = [spread / root for spread, root in zip(run.spread, signal, strict=True)]
    keep = (1.0 - eta**2) ** 0.5

    def rule(s: int) -> tuple[NDArray, NDArray]:
        clear = sigma[s - 1] >= error
        share = np.where(clear, eta_b, keep * sigma[s - 1] / np.where(clear, 1.0, error))
        filled = np.sqrt(np.maximum(sigma[s - 1] ** 2 - (eta_b * error) ** 2, 0.0))
        return measured * share, measured * np.where(clear, filled, eta * sigma[s - 1])

    def step(s: int, x: Any, ask: Ask, draw: Noise) -> tuple[Any, Any]:
        x0_hat, z = ask(s, x), run.z(s, x, draw)
        share, fresh = rule(s)
        # Everything in variance-exploding coordinates until the last line.
        x_next = x0_hat + (keep * sigma[s - 1] / sigma[s]) * (x / signal[s] - x0_hat)
        if z is not None:
            x_next += (eta * sigma[s - 1]) * z
        x_next = pull(x_next, x0_hat, z, 1.0, theta[s - 1] * share, fresh)
        x_next *= signal[s - 1]
        return x_next, x0_hat

    clear = measured * (sigma[-1] >= error)
    width = np.where(clear, np.sqrt(np.maximum(sigma[-1] ** 2 - error**2, 0.0)), sigma[-1])
    u = times(ybar, clear) + times(to_range(operator, x_T, rcond), width)
    start = sigma[-1] * x_T
    start += from_range(operator, u - to_range(operator, start, rcond), rcond)
    start *= signal[-1]
    return replace(run, x_T=start).walk(step)


def _measured(run: Run, sigma_y: float, rcond: float) -> tuple[NDArray, Any, NDArray]:
    """Modes that are measured (0 or 1), their values ``ybar``, and the standard error of those."""
    op = run.operator
    measured = kept(op, rcond).astype(np.float64)
    inverse = np.divide(1.0, op.singular_values, out=np.zeros_like(measured), where=measured > 0)
    return measured, times(op.to_coords(run.y), inverse), sigma_y * inverse


def _pull(op: Degradation, ybar: Any, rcond: float) -> Callable[..., Any]:
    """Replace the measured coordinates of a state and leave the others."""
    xp = array_namespace(ybar)
    # A blur that loses no mode leaves nothing of the state: no need to transform it.
    everything = op.spectrum is not None and bool(kept(op, rcond).all())

    def replaced(x: Any, x0_hat: Any, z: Any, level: float, gain: NDArray, fresh: NDArray) -> Any:
        """Coordinates ``level x0_hat + gain (ybar - x0_hat) + fresh z``."""
        # One transform of a stack is cheaper than those of its parts.
        parts = [x0_hat] if z is None else [x0_hat, z]
        u = to_range(op, xp.stack(parts if everything else [*parts, x]), rcond)
        new = times(ybar, gain) + times(u[0], level - gain)
        if z is not None:
            new += times(u[1], fresh)
        if everything:
            return from_range(op, new, rcond)
        new -= u[-1]
        return x + from_range(op, new, rcond)

    return replaced


# --- the ideal sampler ------------------------------------------------------------------------


def ideal(
    prior: GaussianPrior | ChannelPriors, x_T: Any, alpha_bar: ArrayLike, *, y: Any,
    operator: Degradation, sigma_y: float, eta: float = 0.0, noise: Noise | None = None,
    callback: Callback | None = None, keep_trajectory: bool = False,
) -> Result:  # fmt: skip
    """Sample with the best that a guided sampler can do: DDIM with ``E[x0 | x_s, y]``.

    Takes the prior in the place of a denoiser; the other parameters as in `dps`. The result of
    infinitely many steps is a draw from the posterior.
    """
    prepare(
        prior.denoise, x_T, alpha_bar, y, operator, sigma_y, noise, callback, keep_trajectory,
        eta=eta,
    )  # fmt: skip
    denoiser = conditional_denoiser(prior, operator, y, sigma_y)
    return unguided.ddim(
        denoiser, x_T, alpha_bar, eta=eta, noise=noise, callback=callback,
        keep_trajectory=keep_trajectory,
    )  # fmt: skip
