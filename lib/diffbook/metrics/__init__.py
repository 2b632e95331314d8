"""Distances between sets of samples, metrics of speech, and the uncertainty of differences."""

from diffbook._lazy import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "samples": (
            "FREQUENCIES ORIENTATIONS pixels gabor_energies sliced_w2 power_spectrum "
            "spectrum_error moment_metric image_metrics"
        ),
        "restoration": "DATA_RANGE psnr ssim energy_score spread_over_error consistency",
        "voice": (
            "PhoneErrors mel_cepstral_distance energy_rmse noise_floor intelligibility "
            "phone_error_rate pairwise"
        ),
        "intonation": "PitchErrors pitch pitch_errors track_errors",
        "seams": "MEASURES seam_ranks random_ranks",
        "intervals": "crossed_ci mean_ci paired_ci bootstrap_ci",
        "cells": "Cell groups values summary means Comparison compare worst",
    },
)
