"""Linear inverse problems and zero-shot posterior samplers."""

from diffbook._lazy import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "operators": (
            "RCOND Degradation Blur Downsampling Mask identity kept solve adjoint_solve pinv "
            "to_range from_range matrix measure check_measurement times"
        ),
        "kernels": "gaussian_kernel box_kernel motion_kernel gaussian_transfer signal_shape",
        "problem": "Problem ratio make_problem merged binned",
        "filters": "Steps PosteriorTransfer compose run posterior_prior distortion_perception",
        "rules": (
            "dps_normalised dps_literal dps_annealed best_normalised "
            "best_constant reference affine stability_bound no_overshoot_bound"
        ),
        "exact": "conditional_denoiser gaussian_vjp",
        "design": (
            "BOX Recursion WeightDesign recursion value_and_adjoint objective_and_grad objective "
            "reference_weights interpolate_weights design_weights "
            "design_family"
        ),
        "guidance": (
            "Run prepare check_differentiable linearised differentiated ddim_steps renoised_steps"
        ),
        "gains": "",
        "published": "",
        "blocks": "",
    },
)
