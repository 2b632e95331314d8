"""Joint enhancement and classification: a signal's diffusion coupled with that of its logits.

Source: Nurko et al. 2026 (arXiv 2602.15405).
"""

from diffbook._lazy import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "levels": "vp_levels ouve_levels",
        "protocol": (
            "Coupling Switches RELEASED Calls Outcome Noise standardise sample_noise batch_noise"
        ),
        "chains": "enhance diffuse_logits",
        "strategies": "parallel alternating nested",
        "frozen": "Frozen",
    },
)
