"""Distances between sets of samples, and the uncertainty of their differences."""

from diffbook._lazy import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "samples": (
            "FREQUENCIES ORIENTATIONS pixels gabor_energies sliced_w2 power_spectrum "
            "spectrum_error moment_metric image_metrics"
        ),
        "restoration": "DATA_RANGE psnr ssim energy_score spread_over_error consistency",
        "intervals": "crossed_ci mean_ci paired_ci bootstrap_ci",
        "cells": "Cell groups values summary means Comparison compare worst",
    },
)
