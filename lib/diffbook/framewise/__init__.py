"""Frame-wise autoregressive generation: each frame of a long signal is diffused given the end of the last.

Source: Benita, Elad, Keshet 2023 (arXiv 2310.01381).
"""

from diffbook._lazy import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "frames": "Frame known overlap_matrix training_overlap plan plan_fixed",
        "scripts": "Script",
        "denoiser": "noise_level_denoiser",
        "generation": "stream generate unconditional",
    },
)
