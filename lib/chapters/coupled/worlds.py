"""Closed-form worlds: Gaussian mixtures in which every coupling has its exact networks.

A signal and its logits are drawn together, z = (x0, y0): component j has ``x0 ~ N(m_j, s^2 I)`` and
``y0 ~ N(code of its class, tau^2 I)``, and ``u = A x0 + noise`` is seen. Whatever a network is shown
(u, a noised state, the other branch's estimate) is a Gaussian observation of z of stated variance, so
its exact answer is a softmax and a Kalman gain. Noised states are in the coordinates v = x0 + sigma eps.
"""

from collections import namedtuple
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import circulant
from scipy.special import softmax
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis

from diffbook import coupled
from diffbook.priors import GaussianMixture

Seen = tuple[NDArray, float, NDArray]  # an observation of z: matrix, variance, values (n, rows)
Draw = namedtuple("Draw", "x0 y0 label u")  # (n, d), (n, K), (n,), (n, d)


def wiener(covariance: NDArray, seen: list[Seen]) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Observations as one: matrix, values, their precision under this covariance, transposed gain."""
    matrix = np.concatenate([m for m, _, _ in seen])
    variance = np.concatenate([np.full(len(m), v) for m, v, _ in seen])
    precision = np.linalg.inv(matrix @ covariance @ matrix.T + np.diag(variance))
    return matrix, np.hstack([z for _, _, z in seen]), precision, precision @ matrix @ covariance


@dataclass(frozen=True, eq=False)
class World:
    """A mixture seen through u = A x0 + noise: means (J, d), their classes (J,), equal class priors.

    `trust_logits` is the variance with which the signal network reads y_hat, `trust_signal` that with
    which the logits network reads x_hat (None: the variance of x0 given u, averaged over coordinates).
    """

    means: NDArray
    labels: NDArray
    A: NDArray
    noise: float
    s: float = 0.25
    tau: float = 0.1
    trust_logits: float = 0.05
    trust_signal: float | None = None

    @cached_property
    def codes(self) -> NDArray:
        """Clean logits of the classes, (K, K): centred and of spread 0.8."""
        return coupled.standardise(np.eye(self.labels.max() + 1))

    @cached_property
    def joint(self) -> GaussianMixture:
        """Mixture over z = (x0, y0)."""
        share = 1.0 / np.bincount(self.labels)[self.labels]
        means = np.hstack([self.means, self.codes[self.labels]])
        variances = np.repeat([self.s**2, self.tau**2], [self.d, len(self.codes)])
        covariances = np.broadcast_to(np.diag(variances), (len(means), *2 * variances.shape))
        return GaussianMixture(share / share.sum(), means, covariances, means.shape[1:])

    @property
    def d(self) -> int:
        """Length of a signal."""
        return self.means.shape[1]

    @property
    def variance_x(self) -> float:
        """Variance with which the logits network reads x_hat."""
        if self.trust_signal is not None:
            return self.trust_signal
        precision = np.eye(self.d) / self.s**2 + self.A.T @ self.A / self.noise**2
        return float(np.linalg.inv(precision).trace()) / self.d

    def sample(self, n: int, seed: int) -> Draw:
        """Draw signals, logits, classes and observations."""
        rng = np.random.default_rng(seed)
        x0, y0 = np.split(self.joint.sample(n, rng), [self.d], axis=1)
        u = x0 @ self.A.T + self.noise * rng.standard_normal(x0.shape)
        return Draw(x0, y0, y0.argmax(1), u)

    def of_x(self, x: NDArray, variance: float, A: NDArray | None = None) -> Seen:
        """Return what a signal, or A times it, plus noise of this variance says of z."""
        matrix = np.eye(self.d) if A is None else A
        return np.pad(matrix, ((0, 0), (0, len(self.codes)))), variance, x

    def of_u(self, u: NDArray) -> Seen:
        """Return what the observation says of z."""
        return self.of_x(u, self.noise**2, self.A)

    def of_y(self, y: NDArray, variance: float) -> Seen:
        """Return what logits with noise of this variance say of z."""
        return np.eye(len(self.codes), self.d + len(self.codes), self.d), variance, y

    def given(self, *seen: Seen, log_prior: NDArray | None = None) -> tuple[NDArray, NDArray]:
        """Exact E[z | seen], (n, d + K), and the posterior of the components, (n, J)."""
        matrix, values, precision, gain = wiener(self.joint.covariances[0], list(seen))
        expected = self.joint.means @ matrix.T
        log_r = values @ precision @ expected.T - 0.5 * ((expected @ precision) * expected).sum(1)
        prior = np.log(self.joint.weights) if log_prior is None else log_prior
        r = softmax(log_r + prior, axis=1)
        mean = r @ self.joint.means
        return mean + (values - mean @ matrix.T) @ gain, r

    def posterior(self, u: NDArray) -> NDArray:
        """Probability of each class given u, (n, K); its argmax is the Bayes classifier."""
        return self.given(self.of_u(u))[1] @ np.eye(len(self.codes))[self.labels]

    def classifier(self, x: NDArray) -> NDArray:
        """Frozen classifier f: mean of the codes under the clean posterior of the components."""
        return self.given(self.of_x(x, 0.0))[1] @ self.codes[self.labels]

    def coupling(self, u: NDArray) -> coupled.Coupling:
        """Exact networks for observations u: a view that equals u is read as u, any other as x_hat."""

        def signal(v, sigma, cond):
            y_hat = [] if cond[1] is None else [self.of_y(cond[1], self.trust_logits)]
            seen = self.of_u(cond[0]), self.of_x(v, sigma**2), *y_hat
            return self.given(*seen)[0][:, : self.d]

        def logits(v, sigma, cond):
            views = [
                self.of_u(w) if np.array_equal(w, u) else self.of_x(w, self.variance_x)
                for w in cond[0]
            ]
            return self.given(*views, self.of_y(v, sigma**2))[0][:, self.d :]

        return coupled.Coupling(signal, logits, self.classifier)

    def stacked(self, u: NDArray) -> tuple[coupled.Coupling, NDArray]:
        """Return one exact network for z and u padded to its shape: joint sampling with `enhance`."""

        def signal(v, sigma, cond):
            x, y = v[:, : self.d], v[:, self.d :]
            return self.given(self.of_u(u), self.of_x(x, sigma**2), self.of_y(y, sigma**2))[0]

        return coupled.Coupling(signal, None, lambda v: v[:, self.d :]), np.pad(
            u, ((0, 0), (0, len(self.codes)))
        )


def decoy(noise: float, **trust: float) -> World:
    """Class 0 has two modes, halfway between which lie the other classes; u hides the second axis."""
    means = np.array([[0.0, 1.6], [0.0, -1.6], [1.2, 0.0], [-1.2, 0.0]])
    return World(means, np.array([0, 0, 1, 2]), np.diag([1.0, 0.1]), noise, **trust)


def linear(noise: float, d: int = 16, classes: int = 4) -> World:
    """One mode a class and a blur: the decision argmax f(x) is linear in x."""
    means = np.random.default_rng(0).standard_normal((classes, d))
    means *= 2.0 / np.linalg.norm(means, axis=1, keepdims=True)
    kernel = np.exp(-(np.minimum(np.arange(d), d - np.arange(d)) ** 2) / 8.0)
    return World(means, np.arange(classes), circulant(kernel / kernel.sum()), noise)


def cross(noise: float) -> World:
    """Five classes in the plane, the fifth in the middle; home of the limited signal network."""
    means = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [0.0, 0.0]])
    return World(means, np.arange(5), np.array([[0.8, 0.2], [0.2, 0.8]]), noise, s=0.18)


def limited(world: World) -> Callable:
    """Signal network that knows Gaussians only: all data's, or the classes' mixed as y_hat says."""
    codes, mean = world.codes, world.joint.weights @ world.means
    within = np.eye(world.d) * world.s**2
    overall = within + np.cov(world.means.T, aweights=world.joint.weights, bias=True)

    def signal(v, sigma, cond):
        start, spread = mean, overall
        if cond[1] is not None:  # codes = gap (identity - 1/K): probabilities are affine in logits
            start = (cond[1] / np.ptp(codes[0]) + 1.0 / len(codes)) @ world.means
            spread = within
        seen = [(world.A, world.noise**2, cond[0]), (np.eye(world.d), sigma**2, v)]
        matrix, values, _, gain = wiener(spread, seen)
        return start + (values - start @ matrix.T) @ gain

    return signal


def refitted(
    world: World, train: Draw, test: Draw, schedule: NDArray, sampler: str, *,
    rounds: int = 5, soft: bool = False, seed: int = 0,
) -> Iterator[tuple[NDArray, NDArray]]:  # fmt: skip
    """Alternate with the limited signal network; each round fits a quadratic discriminant to x_hat.

    Yields f(x_hat) and y_hat of `test`; y_hat comes from a logits chain, or is its mean if `soft`.
    """
    u, n, y_hat = np.concatenate([train.u, test.u]), len(train.u), None
    switches = coupled.Switches(sampler=sampler, standardise=False)
    how = {"noise": coupled.batch_noise(seed), "switches": switches}
    net = coupled.Coupling(limited(world), None, world.classifier)
    for number in range(rounds):
        x = coupled.enhance(net, u, schedule, y_hat=y_hat, round=number, **how).signal
        fit = QuadraticDiscriminantAnalysis().fit(x[:n], train.label)
        log_p = np.log(fit.predict_proba(x) + 1e-300)

        def logits(v, sigma, cond, log_p=log_p):
            return world.given(world.of_y(v, sigma**2), log_prior=log_p)[0][:, world.d :]

        y_hat = np.exp(log_p) @ world.codes
        if not soft:
            judge = net._replace(logits=logits)
            y_hat = coupled.diffuse_logits(judge, (x,), schedule, round=number, **how).logits
        yield world.classifier(x[n:]), y_hat[n:]
