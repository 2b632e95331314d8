"""Nonsense for every argument of the public functions of `diffbook.priors`."""

import numpy as np
from nonsense import case, table_tests

from diffbook.priors import distances
from diffbook.priors.colour import ChannelPriors
from diffbook.priors.gaussian import GaussianPrior
from diffbook.priors.mixture import GaussianMixture

RNG = np.random.default_rng(0)
PRIOR = GaussianPrior.ramp(4)
PCA = GaussianPrior.from_covariance(np.diag([3.0, 2.0, 1.0, 0.5]))
IMAGE = GaussianPrior.inverse_f((4, 5))
COLOUR = ChannelPriors(np.eye(3), (IMAGE, IMAGE, IMAGE))
MIXTURE = GaussianMixture(
    np.array([0.4, 0.6]), RNG.standard_normal((2, 4)), np.stack([np.eye(4)] * 2), (2, 2)
)
X, PAIRS = RNG.standard_normal((6, 4)), RNG.standard_normal((6, 2, 2))
PHOTOS = RNG.standard_normal((6, 3, 4, 5))
MEAN, COV = X[0], np.diag([2.0, 1.0, 1.0, 0.5])

SIGNED = ("negative", "signals have any sign")
MU0 = {"mu0": ("negative", "a mean has any sign")}
X_T = {"x_t": ("nan inf negative", "a diverging sampler shows as such")}
TURNED = {"x": X_T["x_t"]}
MODES = {"x": ("complex negative", "modes of the DFT are complex")}
MEANS = {f"mean_{name}": ("negative", "a mean has any sign") for name in "xypq"}
ERROR = {"mean_error": ("complex negative", "modes of the DFT are complex")}

CASES = [
    # distances
    case(
        distances.w2_gaussian, {k: MEANS[k] for k in ("mean_x", "mean_y")},
        mean_x=MEAN, cov_x=COV, mean_y=MEAN, cov_y=COV,
    ),
    case(
        distances.kl_gaussian, {k: MEANS[k] for k in ("mean_p", "mean_q")},
        mean_p=MEAN, cov_p=COV, mean_q=MEAN, cov_q=COV,
    ),
    case(distances.w2_spectral, ERROR, lam=np.ones(3), std=np.ones(3), mean_error=X[0, :3]),
    case(distances.kl_spectral, ERROR, lam=np.ones(3), std=np.ones(3), mean_error=X[0, :3]),
    case(distances.frechet, {"x": SIGNED, "y": SIGNED}, x=X, y=X + 1.0),
    # Gaussian
    case(GaussianPrior.from_spectrum, MU0, lam=np.ones(4), mu0=MEAN),
    case(GaussianPrior.from_covariance, MU0, cov=COV, mu0=MEAN),
    case(GaussianPrior.estimated, {"x": SIGNED}, x=X, mean="constant", shrinkage=0.1),
    case(
        GaussianPrior.ramp, {**MU0, "l": ("negative", "a ramp may begin above zero")},
        d=4, l=0.1, mu0=0.3,
    ),
    case(
        GaussianPrior.inverse_f, {"beta": ("negative", "a spectrum may rise with frequency")},
        shape=(4, 5), beta=2.0, variance=1.0,
    ),
    case(GaussianPrior.inverse_f, shape=4),
    case(PRIOR.to_spectral, {"x": SIGNED}, x=X),
    case(PRIOR.from_spectral, MODES, x=X),
    case(PCA.from_spectral, {"x": SIGNED}, x=X),
    case(PRIOR.sample, n=2, rng=np.random.default_rng(0)),
    case(PRIOR.denoise, X_T, x_t=X, alpha_bar_t=0.5),
    case(PRIOR.denoise_ve, X_T, x_t=X, sigma_t=0.5),
    # colour
    case(ChannelPriors, rotation=np.eye(3), priors=(IMAGE, IMAGE, IMAGE)),
    case(ChannelPriors.estimated, {"x": SIGNED}, x=PHOTOS, channels="first"),
    case(COLOUR.to_channels, TURNED, x=PHOTOS),
    case(COLOUR.from_channels, TURNED, x=PHOTOS),
    case(COLOUR.denoise, X_T, x_t=PHOTOS, alpha_bar_t=0.5),
    case(COLOUR.sample, n=2, rng=np.random.default_rng(0)),
    # mixture
    case(
        GaussianMixture, {"means": ("negative", "a mean has any sign")},
        weights=MIXTURE.weights, means=MIXTURE.means, covariances=MIXTURE.covariances, shape=(2, 2),
    ),
    case(GaussianMixture.fitted, {"x": SIGNED}, x=X, components=1, floor=0.1, seed=0),
    case(MIXTURE.sample, n=2, rng=0),
    case(MIXTURE.denoise, X_T, x_t=PAIRS, alpha_bar_t=0.5),
]  # fmt: skip
EXEMPT = {"GaussianPrior": "a record that its class methods make"}


test_nonsense_is_refused_by_name, test_valid_calls_succeed, test_no_name_is_missing = table_tests(
    "diffbook.priors", CASES, EXEMPT
)
