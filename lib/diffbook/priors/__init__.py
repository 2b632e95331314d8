"""Data with an exact denoiser, and distances between Gaussians."""

from diffbook._lazy import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "gaussian": "GaussianPrior",
        "mixture": "GaussianMixture",
        "colour": "ChannelPriors",
        "distances": "w2_gaussian kl_gaussian w2_spectral kl_spectral frechet",
    },
)
