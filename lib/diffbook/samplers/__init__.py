"""Samplers as pure functions of a schedule, and their transfer functions."""

from diffbook._lazy import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "protocol": "Result Sampler walk initial_noise step_noise ask same_shape check_state",
        "unguided": "ddim ddpm heun dpmpp_2m",
        "adapters": "clipped vp_from_ve x0_from_eps at_timesteps",
        "comparison": "score compare sampled_z_scores",
        "transfer": "",
    },
)
