"""Naive, independent versions of what the library computes in closed form.

Everything here is written straight from the formulas of Benita, Elad, Keshet 2025 (arXiv
2502.00180) and of the papers it builds on, in the coordinates of ``x`` (the library works in
``y = x / sqrt(alpha_bar)``), with explicit loops over steps. Nothing is imported from the library,
so an error there cannot hide here.
"""

from __future__ import annotations

import numpy as np

STEPS = (5, 10, 20, 50, 112)
GOLDEN_W2 = dict(zip(STEPS, (6.46814, 3.49374, 1.87017, 0.84112, 0.45264), strict=True))
GOLDEN_KL = dict(zip(STEPS, (6.99788, 1.45269, 0.33869, 0.05292, 0.01077), strict=True))
GOLDEN_W2_DDPM = {10: 5.123, 20: 2.913, 50: 1.289}
C_W2, C_KL = 1685.89, 138.54
"""Limits of ``S^2 W2^2`` and ``S^2 KL`` on the ramp prior with both ends at 1e-9."""
FLOOR_W2 = 0.02543
"""``W2^2`` of infinitely many steps on the ramp prior at the default ends."""


# --- the paper's synthetic prior --------------------------------------------------------------


def ramp_matrix(d: int = 50, l: float = 0.1) -> np.ndarray:  # noqa: E741 - the paper's symbol
    """``Sigma0 = A^T A`` with the circulant ``A`` written out row by row."""
    row = [-l + j / (d - 1) for j in range(d)]
    A = np.array([[row[(j - i) % d] for j in range(d)] for i in range(d)])
    return A.T @ A


def dft_matrix(d: int) -> np.ndarray:
    """Unitary DFT matrix."""
    k = np.arange(d)
    return np.exp(-2j * np.pi * np.outer(k, k) / d) / np.sqrt(d)


# --- denoiser ---------------------------------------------------------------------------------


def denoiser_normal_equations(x_s, ab, mu0, cov):
    """MAP estimate: solve ``(ab / (1 - ab) I + Sigma0^-1) x = ...``; needs an invertible Sigma0."""
    precision = np.linalg.inv(cov)
    left = ab / (1 - ab) * np.eye(len(mu0)) + precision
    return np.linalg.solve(left, np.sqrt(ab) / (1 - ab) * x_s + precision @ mu0)


def denoiser_theorem(x_s, ab, mu0, cov):
    """``(ab Sigma0 + (1 - ab) I)^-1 (sqrt(ab) Sigma0 x_s + (1 - ab) mu0)``."""
    left = ab * cov + (1 - ab) * np.eye(len(mu0))
    return np.linalg.solve(left, np.sqrt(ab) * cov @ x_s + (1 - ab) * mu0)


def denoiser_regression(x_s, ab, mu0, cov):
    """Conditional mean of a joint Gaussian: ``E x0 + Cov(x0, x_s) Cov(x_s)^-1 (x_s - E x_s)``."""
    var = ab * cov + (1 - ab) * np.eye(len(mu0))
    return mu0 + np.sqrt(ab) * cov @ np.linalg.solve(var, x_s - np.sqrt(ab) * mu0)


# --- DDIM and DDPM in x coordinates -----------------------------------------------------------


def ddim_factors(lam, ab):
    """``G_s`` and ``M_s`` of the paper's spectral recursion, for s = 1..S."""
    G, M = [], []
    for s in range(1, len(ab)):
        a = np.sqrt((1 - ab[s - 1]) / (1 - ab[s]))
        b = np.sqrt(ab[s - 1]) - np.sqrt(ab[s]) * a
        G.append(a + b * np.sqrt(ab[s]) * lam / (ab[s] * lam + 1 - ab[s]))
        M.append(b * (1 - ab[s]) / (ab[s] * lam + 1 - ab[s]))
    return G, M


def ddim_d1_d2(lam, ab):
    """``D1 = prod_s G_s`` and ``D2 = sum_s (prod_{j<s} G_j) M_s``, as printed in the paper."""
    G, M = ddim_factors(lam, ab)
    D1 = np.ones_like(lam)
    for factor in G:
        D1 = D1 * factor
    D2 = np.zeros_like(lam)
    for s in range(len(G)):
        before = np.ones_like(lam)
        for j in range(s):
            before = before * G[j]
        D2 = D2 + before * M[s]
    return D1, D2


def ddim_d1_sigma(lam, ab):
    """``D1`` with ``sigma``: ``sqrt(ab_0 / ab_S) prod (lam + sg sg') / (lam + sg^2)``."""
    sg = [np.sqrt((1 - a) / a) for a in ab]
    D1 = np.sqrt(ab[0] / ab[-1]) * np.ones_like(lam)
    for s in range(1, len(ab)):
        D1 = D1 * (lam + sg[s] * sg[s - 1]) / (lam + sg[s] ** 2)
    return D1


def ddpm_recursion(lam, ab):
    """Gain, mean gain and variance of DDPM's ancestral sampler, every state, in x coordinates.

    Returns three lists indexed by s = 0..S.
    """
    S = len(ab) - 1
    one = np.ones_like(lam)
    gain, mean_gain, var = [None] * (S + 1), [None] * (S + 1), [None] * (S + 1)
    gain[S], mean_gain[S], var[S] = one, 0 * one, one
    for s in range(S, 0, -1):
        al = ab[s] / ab[s - 1]
        c0 = np.sqrt(ab[s - 1]) * (1 - al) / (1 - ab[s])
        ct = np.sqrt(al) * (1 - ab[s - 1]) / (1 - ab[s])
        beta_tilde = (1 - ab[s - 1]) * (1 - al) / (1 - ab[s])
        wiener = ab[s] * lam + 1 - ab[s]
        G = ct + c0 * np.sqrt(ab[s]) * lam / wiener
        gain[s - 1] = G * gain[s]
        mean_gain[s - 1] = G * mean_gain[s] + c0 * (1 - ab[s]) / wiener
        var[s - 1] = G**2 * var[s] + beta_tilde
    return gain, mean_gain, var


def ddpm_closed_sum(lam, ab, process="vp"):
    """Output variance of DDPM as one sum over steps, without a recursion."""
    sg2 = [(1 - a) / a for a in ab]
    V = [lam + v for v in sg2]
    vS = 1 / ab[-1] if process == "vp" else sg2[-1]
    total = sum(
        (sg2[s] - sg2[s - 1]) ** 2 / (sg2[s] * V[s] * V[s - 1] ** 2) for s in range(1, len(ab))
    )
    scale = ab[0] if process == "vp" else 1.0
    return scale * V[0] * (1 - V[0] * ((1 - vS / V[-1]) / V[-1] + lam * total))


def eta_step_song(x, x0_hat, ab_t, ab_prev, eta, z):
    """One step of DDIM's family as printed by Song et al. 2021 (arXiv 2010.02502), eq. 12, 16."""
    # Powers instead of np.sqrt, so that torch tensors pass through.
    sd = eta * ((1 - ab_prev) / (1 - ab_t)) ** 0.5 * (1 - ab_t / ab_prev) ** 0.5
    eps_hat = (x - ab_t**0.5 * x0_hat) / (1 - ab_t) ** 0.5
    return ab_prev**0.5 * x0_hat + (1 - ab_prev - sd**2) ** 0.5 * eps_hat + sd * z


def eta_matrices(cov, mu0, ab, eta):
    """Mean and covariance of every state of the eta family by dense matrix algebra.

    Returns lists indexed by s = 0..S; the sampler starts from N(0, I).
    """
    d, S = len(mu0), len(ab) - 1
    eye = np.eye(d)
    mean, out = [None] * (S + 1), [None] * (S + 1)
    mean[S], out[S] = np.zeros(d), eye
    for s in range(S, 0, -1):
        solve = np.linalg.inv(ab[s] * cov + (1 - ab[s]) * eye)
        den_x, den_1 = np.sqrt(ab[s]) * cov @ solve, (1 - ab[s]) * solve @ mu0
        zero = np.zeros(d)
        # The step is affine: read its matrix and offset off the printed formula.
        sd = eta_step_song(zero, zero, ab[s], ab[s - 1], eta, 1.0)
        A = eta_step_song(eye, den_x, ab[s], ab[s - 1], eta, 0.0)
        c = eta_step_song(zero, den_1, ab[s], ab[s - 1], eta, 0.0)
        mean[s - 1] = A @ mean[s] + c
        out[s - 1] = A @ out[s] @ A.T + sd**2 * eye
    return mean, out


# --- losses -----------------------------------------------------------------------------------


def w2_squared(lam, std, mean_error=0.0):
    """``sum (sqrt(lam) - std)^2 + sum |mean error|^2``, one mode at a time."""
    error = np.broadcast_to(mean_error, np.shape(lam))
    return sum(
        (float(v) ** 0.5 - float(s)) ** 2 + abs(e) ** 2
        for v, s, e in zip(lam, std, error, strict=True)
    )


def kl_1d(mean_p, var_p, mean_q, var_q):
    """KL(N(mean_p, var_p) || N(mean_q, var_q)) in nats."""
    return 0.5 * (var_p / var_q - 1 - np.log(var_p / var_q) + abs(mean_p - mean_q) ** 2 / var_q)


def loss_of_schedule(kind, lam, ab, mu=0.0, weights=None, eta=0.0, process="vp"):
    """Design losses from the naive recursions above (``mu`` per mode, in the eigenbasis)."""
    mu = np.broadcast_to(mu, np.shape(lam))
    D2, var = eta_output(lam, ab, eta, process)
    error = (1 - D2) * mu
    if kind == "w2":
        return w2_squared(lam, np.sqrt(var), error)
    if kind == "kl":
        return float(np.sum(kl_1d(0.0, lam, error, var)))
    if kind == "kl_reverse":
        return float(np.sum(kl_1d(error, var, 0.0, lam)))
    return float(np.sum(weights * np.abs(lam - var)) + np.sum(np.abs(error) ** 2))


def eta_output(lam, ab, eta=0.0, process="vp"):
    """``D2`` and output variance of the eta family, mode by mode (diagonal matrices)."""
    if process == "ve":
        return _eta_output_ve(lam, [np.sqrt((1 - a) / a) for a in ab], eta)
    mean, cov = eta_matrices(np.diag(lam), np.ones(len(lam)), ab, eta)
    return mean[0], np.diag(cov[0]).copy()


def _eta_output_ve(lam, sigma, eta):
    mean, var = np.zeros_like(lam), sigma[-1] ** 2 * np.ones_like(lam)
    for s in range(len(sigma) - 1, 0, -1):
        hi, lo = sigma[s], sigma[s - 1]
        sd = eta * lo * np.sqrt(1 - lo**2 / hi**2)
        keep = np.sqrt(lo**2 - sd**2) / hi
        wiener = lam / (lam + hi**2)
        # x0_hat = wiener x + (1 - wiener) mu, x' = x0_hat + keep (x - x0_hat) + sd z
        mean = wiener * mean + (1 - wiener) + keep * (mean - wiener * mean - (1 - wiener))
        var = (wiener + keep * (1 - wiener)) ** 2 * var + sd**2
    return mean, var


# --- Monte Carlo ------------------------------------------------------------------------------


def z_scores(samples, mean, var, real):
    """z-scores of sample means and variances of spectral coordinates (n, d).

    ``real`` marks the modes whose coordinates are real: their variance estimate has relative
    standard error sqrt(2 / n), that of a circular complex mode 1 / sqrt(n).
    """
    n = len(samples)
    shift = samples.mean(0) - mean
    z_mean = np.abs(shift) / np.sqrt(var / n)
    measured = np.mean(np.abs(samples - mean) ** 2, axis=0)
    z_var = (measured / var - 1) / np.where(real, np.sqrt(2 / n), np.sqrt(1 / n))
    return z_mean, z_var
