"""Zero-shot posterior samplers as gains, and the guidance weights of the literature.

Every function takes a `diffbook.inverse.problem.Problem` and a schedule and returns the method's
`diffbook.inverse.filters.Steps`. Where a method has a weight per step it is an array (S,), row ``s - 1``
for the step from s to s - 1; all methods but DiffPIR depend on it linearly. With
``residual = y - h x0_hat`` most are

    x_{s-1} = a_s x_s + b_s x0_hat + Gam_s residual + noise,

and differ in the gain Gam_s alone. The published algorithms, for any denoiser, are in
`diffbook.inverse.published`; both agree to rounding.

Sources are named at each function. Two traps of the literature: the paper of DPS multiplies the
gradient of ``|r|^2`` by ``zeta'/|r|``, its code multiplies the gradient of ``|r|`` by ``scale``, so
``scale = 2 zeta'``; and the code's ``|r|`` is the norm of the whole batch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._checks import NON_NEGATIVE, complexes, real, reals, whole
from diffbook.inverse.filters import Steps
from diffbook.inverse.problem import Problem, ratio
from diffbook.samplers.transfer import step_coefficients
from diffbook.schedules.levels import alpha_bar_to_sigma, validate_alpha_bar

Array = NDArray[np.float64]


# --- coefficients -----------------------------------------------------------------------------


def levels(alpha_bar: ArrayLike) -> tuple[Array, Array, Array, Array]:
    """Columns (S, 1): ``alpha_bar`` and ``sigma`` before the step and after it."""
    ab = validate_alpha_bar(alpha_bar, allow_one=True)
    sigma = alpha_bar_to_sigma(ab)
    return ab[1:, None], ab[:-1, None], sigma[1:, None], sigma[:-1, None]


def ddim_coefficients(alpha_bar: ArrayLike, eta: float) -> tuple[Array, Array, Array]:
    """DDIM's coefficients of the state and of the denoiser's answer, and the noise variance.

    All are columns (S, 1), as from `fraction_coefficients`.
    """
    eta = real(eta, "eta", "[0, 1]", "0 is DDIM, 1 is DDPM")
    ab = validate_alpha_bar(alpha_bar, allow_one=True)
    a, b, c = step_coefficients(ab, "vp", eta).T[:, :, None]
    return a, b, c**2


def fraction_coefficients(alpha_bar: ArrayLike, fraction: float) -> tuple[Array, Array, Array]:
    """Coefficients when a fraction of the predicted noise's variance is drawn afresh."""
    f = real(fraction, "fraction", "[0, 1]")
    ab, ab_next, _, _ = levels(alpha_bar)
    a = np.sqrt((1.0 - f) * (1.0 - ab_next) / (1.0 - ab))
    return a, np.sqrt(ab_next) - np.sqrt(ab) * a, f * (1.0 - ab_next)


def kappa(alpha_bar: ArrayLike, eta: float = 0.0) -> Array:
    """Increment of ``x_{s-1}`` per unit of guidance added to the score, shape (S,).

    ``kappa_s = b_s (1 - ab_s) / sqrt(ab_s)``: guidance ``g ~ grad log p(y | x_s)`` moves the
    denoiser's answer by ``(1 - ab_s) / sqrt(ab_s) g``, and the state by b_s times that.
    """
    _, b, _ = ddim_coefficients(alpha_bar, eta)
    ab = levels(alpha_bar)[0]
    return (b * (1.0 - ab) / np.sqrt(ab)).ravel()


def check_weights(weights: ArrayLike, S: int, name: str = "weights") -> Array:
    """Check one finite, non-negative weight for each step, and return them as a column (S, 1)."""
    return reals(weights, name, NON_NEGATIVE, shape=(whole(S, "S"),))[:, None]


def _steps(problem: Problem, P: Array, Q: Array, Y: NDArray, C2: Array) -> Steps:
    m, S = problem.lam.size, len(Y)
    P, Q, C2 = (np.broadcast_to(v, (S, m)) for v in (P, Q, C2))
    return Steps(P, Q, np.broadcast_to(Y, (S, m)), C2, np.zeros(m), np.ones(m))


def _residual_form(problem: Problem, a: Array, b: Array, C2: Array, gain: NDArray) -> Steps:
    """Write ``a x + b x0_hat + gain (y - h x0_hat)`` as steps."""
    return _steps(problem, a, b - np.real(gain * problem.h), gain, C2)


def _wiener(problem: Problem, alpha_bar: ArrayLike) -> tuple[NDArray, Array, Array]:
    """``h*`` (m,), and slope and variance of the denoiser at every step (S, m)."""
    ab = levels(alpha_bar)[0]
    return np.conj(problem.h), problem.slope(ab), problem.var_x0(ab)


# --- methods ----------------------------------------------------------------------------------


def prior(problem: Problem, alpha_bar: ArrayLike, *, eta: float = 0.0) -> Steps:
    """DDIM without guidance: ignores the measurement."""
    a, b, C2 = ddim_coefficients(alpha_bar, eta)
    return _residual_form(problem, a, b, C2, np.zeros((len(a), problem.lam.size)))


def ideal(problem: Problem, alpha_bar: ArrayLike, *, eta: float = 0.0) -> Steps:
    """DDIM with the exact conditional denoiser ``E[x0 | x_s, y]``.

    Its gain is the Kalman gain ``b_s v_s h* / (sigma_y^2 + |h|^2 v_s)`` with ``v_s = Var(x0 | x_s)``.
    """
    a, b, C2 = ddim_coefficients(alpha_bar, eta)
    h, _, v = _wiener(problem, alpha_bar)
    kalman = ratio(v * h, problem.sigma_y**2 + np.abs(h) ** 2 * v)
    return _residual_form(problem, a, b, C2, b * kalman)


def dps(problem: Problem, alpha_bar: ArrayLike, weights: ArrayLike, *, eta: float = 0.0) -> Steps:
    """Diffusion posterior sampling: ``- zeta_s grad |y - H x0_hat(x_s)|^2``, gain ``2 zeta_s w_s h*``.

    Source: Chung et al. 2023 (arXiv 2209.14687), Algorithm 1, with the weight of the squared norm.
    """
    a, b, C2 = ddim_coefficients(alpha_bar, eta)
    h, w, _ = _wiener(problem, alpha_bar)
    return _residual_form(problem, a, b, C2, 2.0 * check_weights(weights, len(a)) * w * h)


def pigdm(
    problem: Problem,
    alpha_bar: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    eta: float = 0.0,
    r2: ArrayLike | None = None,
) -> Steps:
    """Pseudo-inverse guidance: ``p(x0 | x_s) ~ N(x0_hat, r2_s I)`` and the denoiser's Jacobian.

    Gain ``theta_s w_s h* / (r2_s |h|^2 + sigma_y^2)``; ``r2_s = 1 - ab_s`` unless given (S,), and
    ``theta_s`` as published, see `pigdm_published`.

    Source: Song, Vahdat, Mardani, Kautz 2023 (ICLR, "Pseudoinverse-guided diffusion models").
    """
    a, b, C2 = ddim_coefficients(alpha_bar, eta)
    h, w, _ = _wiener(problem, alpha_bar)
    theta = pigdm_published(alpha_bar) if weights is None else weights
    r2 = 1.0 - levels(alpha_bar)[0] if r2 is None else check_weights(r2, len(a), "r2")
    unit = ratio(w * h, r2 * np.abs(h) ** 2 + problem.sigma_y**2)
    return _residual_form(problem, a, b, C2, check_weights(theta, len(a)) * unit)


def diffpir(
    problem: Problem, alpha_bar: ArrayLike, weights: ArrayLike, *, zeta: float = 0.1
) -> Steps:
    """DiffPIR: a proximal step on the denoiser's answer, then noise again.

    Gain ``b_s h* / (|h|^2 + rho_s)`` with ``rho_s = lambda_s sigma_y^2 / sigma_s^2``; `weights` are
    the ``lambda_s``, `zeta` the fraction of the noise that is drawn afresh. It is the Kalman gain
    of a flat prior, with ``sigma_s^2 / lambda_s`` in place of ``Var(x0 | x_s)``.

    Source: Zhu et al. 2023 (arXiv 2305.08995), Algorithm 1.
    """
    a, b, C2 = fraction_coefficients(alpha_bar, real(zeta, "zeta", "[0, 1]"))
    sigma = levels(alpha_bar)[2]
    rho = check_weights(weights, len(a)) * problem.sigma_y**2 / sigma**2
    h = np.conj(problem.h)
    return _residual_form(problem, a, b, C2, b * ratio(h, np.abs(h) ** 2 + rho))


def ddnm(
    problem: Problem,
    alpha_bar: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    eta: float = 0.85,
    rcond: float = 1e-8,
) -> Steps:
    """DDNM: the measured part of the denoiser's answer is replaced by the pseudo-inverse's.

    Gain ``sqrt(ab_{s-1}) / h`` and 0 where ``|h|`` is below `rcond` times its maximum; `weights`
    (1 if not given) scale it.

    Source: Wang, Yu, Zhang 2023 (arXiv 2212.00490), Algorithm 1.
    """
    a, b, C2 = fraction_coefficients(alpha_bar, real(eta, "eta", "[0, 1]") ** 2)
    theta = check_weights(np.ones(len(a)) if weights is None else weights, len(a))
    root = np.sqrt(levels(alpha_bar)[1])
    return _residual_form(problem, a, b, C2, theta * root * pseudo_inverse(problem.h, rcond))


def ddnm_plus(
    problem: Problem,
    alpha_bar: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    eta: float = 0.85,
    rcond: float = 1e-8,
) -> Steps:
    """DDNM+: DDNM with a gain that never carries more noise than the next level holds.

    Source: Wang, Yu, Zhang 2023 (arXiv 2212.00490), Section 3.3 and appendix, in its SVD form.
    """
    a, b, fresh = fraction_coefficients(alpha_bar, real(eta, "eta", "[0, 1]") ** 2)
    theta = check_weights(np.ones(len(a)) if weights is None else weights, len(a))
    _, ab, _, _ = levels(alpha_bar)
    inverse = pseudo_inverse(problem.h, rcond)
    size = np.abs(inverse)
    carried = np.sqrt(ab) * problem.sigma_y * size  # noise of the measurement at the next level
    room = np.sqrt(1.0 - ab)
    full = room >= carried  # without measurement noise also at the last level, where room is 0
    Lam = np.where(full, 1.0, np.sqrt(1.0 - eta**2) * ratio(room, carried))
    gain = theta * np.sqrt(ab) * Lam * inverse
    lost = size == 0.0
    P = np.where(lost, a, 0.0)
    Q = np.where(lost, b, np.sqrt(ab) - np.real(gain * problem.h))
    C2 = np.where(lost | ~full, fresh, room**2 - carried**2)
    return _steps(problem, P, Q, gain, C2)


def ddrm(
    problem: Problem,
    alpha_bar: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    eta: float = 0.85,
    eta_b: float = 1.0,
    rcond: float = 1e-8,
) -> Steps:
    """DDRM: variational sampling in the SVD of the degradation, started from the measurement.

    `weights` (1 if not given) scale the correction by the residual.

    Source: Kawar, Elad, Ermon, Song 2022 (arXiv 2201.11793), eq. 7 and 8.
    """
    eta_b = real(eta_b, "eta_b", "[0, 1]")
    a, b, fresh = fraction_coefficients(alpha_bar, real(eta, "eta", "[0, 1]") ** 2)
    theta = check_weights(np.ones(len(a)) if weights is None else weights, len(a))
    _, ab, sigma_all, sigma = levels(alpha_bar)
    inverse = pseudo_inverse(problem.h, rcond)
    carried = problem.sigma_y * np.abs(inverse)  # the measurement's noise in units of the data
    clear, lost = sigma >= carried, inverse == 0.0
    share = np.where(clear, eta_b, np.sqrt(1.0 - eta**2) * ratio(sigma, carried))
    gain = np.where(lost, 0.0, theta * np.sqrt(ab) * share * inverse)
    P = np.where(lost, a, 0.0)
    Q = np.where(lost, b, np.sqrt(ab) - np.real(gain * problem.h))
    C2 = np.where(clear & ~lost, ab * (sigma**2 - (eta_b * carried) ** 2), fresh)
    last, root = sigma_all[-1, 0], np.sqrt(validate_alpha_bar(alpha_bar, allow_one=True)[-1])
    known = (last > carried) & ~lost
    return Steps(
        P, Q, gain, C2,
        np.where(known, root * inverse, 0.0),
        root**2 * (last**2 - np.where(known, carried**2, 0.0)),
    )  # fmt: skip


def ald(problem: Problem, alpha_bar: ArrayLike, weights: ArrayLike, *, eta: float = 0.0) -> Steps:
    """Guidance on the state itself, ``y - H x_s / sqrt(ab_s)``, without the denoiser's Jacobian.

    Increment ``theta_s b_s sigma_s^2 h* / (sigma_y^2 + sigma_s^2) (y - h x_s / sqrt(ab_s))``.

    Source: the likelihood term of Jalal et al. 2021 (arXiv 2108.01368), inside DDIM.
    """
    a, b, C2 = ddim_coefficients(alpha_bar, eta)
    ab, _, sigma, _ = levels(alpha_bar)
    share = sigma**2 / (problem.sigma_y**2 + sigma**2)
    gain = check_weights(weights, len(a)) * b * share * np.conj(problem.h)
    return _steps(problem, a - np.real(gain * problem.h) / np.sqrt(ab), b, gain, C2)


def mcg(
    problem: Problem,
    alpha_bar: ArrayLike,
    weights: ArrayLike,
    *,
    eta: float = 0.0,
    rcond: float = 1e-8,
) -> Steps:
    """Manifold-constrained gradient: a DPS step, then the measured part is replaced by the measurement.

    The measurement is brought to the next noise level first, as ``sqrt(ab_{s-1}) y`` with noise of
    variance ``1 - ab_{s-1}``. For an invertible blur the output is the inverse filter's.

    Source: Chung, Sim, Ryu, Ye 2022 (arXiv 2206.00941), eq. 14 and 15.
    """
    step = dps(problem, alpha_bar, weights, eta=eta)
    ab = levels(alpha_bar)[1]
    inverse = pseudo_inverse(problem.h, rcond)
    keep = (inverse == 0.0).astype(float)
    return _steps(
        problem,
        keep * step.P,
        keep * step.Q,
        keep * step.Y + np.sqrt(ab) * inverse,
        keep * step.C2 + np.abs(inverse) ** 2 * (1.0 - ab),
    )


def pseudo_inverse(h: ArrayLike, rcond: float) -> NDArray:
    """``1 / h``, and 0 where ``|h|`` is at most `rcond` (in [0, 1)) times its maximum."""
    h, rcond = complexes(h, "h"), real(rcond, "rcond", "[0, 1)")
    return np.divide(1.0, h, out=np.zeros_like(h), where=np.abs(h) > rcond * np.abs(h).max())


def pigdm_published(alpha_bar: ArrayLike) -> Array:
    """PiGDM's published weight ``sqrt(ab_s) (1 - ab_s)``: it does not shrink with the step."""
    ab = levels(alpha_bar)[0].ravel()
    return np.sqrt(ab) * (1.0 - ab)
