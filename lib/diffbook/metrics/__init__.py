"""Distances between sets of samples, and the uncertainty of their differences."""
