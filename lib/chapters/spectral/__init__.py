"""Spectral analysis and schedule design (arXiv 2502.00180)."""
