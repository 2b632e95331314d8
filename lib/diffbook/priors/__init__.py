"""Data with an exact denoiser, and distances between Gaussians."""
