"""Small networks that train on a laptop."""

from diffbook._lazy import face
from diffbook._optional import need

need("torch", "torch", "diffbook.nets")

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "unet": "UNet Preconditioned as_denoiser",
        "conditional": "SignalNet LogitsNet Classifier as_signal_denoiser as_logits_denoiser",
        "training": (
            "Config CONFIGS State pool draw edm_loss start learning_rate save_checkpoint "
            "load_checkpoint train validation_loss make_weights save_weights main"
        ),
        "store": "load_weights write_tensors read_tensors",
        "diffar": "DiffAR MultiKernel",
        "optimiser": "MuonAdamW hidden_and_rest",
        "frontend": (
            "KINDS PhonePredictor targets decoded train_predictor predict means accuracy timing "
            "save_predictors load_predictors"
        ),
        "recogniser": (
            "MERGED Hearing PhoneRecogniser frame_labels train_recogniser best_path recognise "
            "save_recogniser load_recogniser"
        ),
        "foreign": (
            "PREDICTIONS Pretrained load_pretrained from_eps_model from_sigma_model rounded "
            "load_safetensors"
        ),
    },
)
