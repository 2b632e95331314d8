"""Noise schedules as arrays, their laws and their design."""

from diffbook._lazy import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "levels": (
            "EPS_0 EPS_S validate_alpha_bar validate_sigma alpha_bar_to_sigma "
            "sigma_to_alpha_bar alpha_bar_to_log_snr log_snr_to_alpha_bar "
            "sigma_range check_modes check_mean sigma_and_scale"
        ),
        "families": (
            "match_ends linear_alpha_bar ddpm_chain ddpm_respaced cosine_chain linear_beta "
            "cosine sigmoid edm log_linear tangent constant_rate AYS_TABLE align_your_steps "
            "nearest_timesteps heuristics"
        ),
        "ouve": "ouve_kernel ouve_sigma",
        "laws": ("Density kernel step_error optimal_density law_density w2_law"),
        "design": (
            "LOSSES ScheduleProblem ScheduleDesign objective_and_grad make_problem objective limit_density "
            "step_density limit_schedule design_schedule design_family"
        ),
    },
)
