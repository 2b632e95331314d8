"""Trained weights in safetensors files."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from diffbook.nets.unet import Preconditioned, UNet

_AGAIN = (
    "make it with: python -m diffbook.nets.training {photos,digits} --seed N --out PATH, or take it "
    "from the repository"
)


def load_weights(path: Path) -> tuple[Preconditioned, dict]:
    """Rebuild a denoiser from its weights.

    Raises FileNotFoundError if the file is absent, ValueError if it is damaged or another one; the
    message says how to make it.

    Returns
    -------
    model
        In evaluation mode, float32, on the CPU.
    about
        The metadata: config, seed, command, steps, history, data_mean, sigma_data, torch.
    """
    tensors, about = read_tensors(path)
    try:
        net = UNet(tuple(about["config"]["channels"]), about["config"]["fold"])
        model = Preconditioned(net, about["data_mean"], about["sigma_data"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: describes no network of ours ({error}); {_AGAIN}") from error
    fill(model, tensors, path)
    return model.to(memory_format=torch.channels_last).eval(), about


def fill(module: nn.Module, tensors: dict[str, Tensor], path: Path, advice: str = _AGAIN) -> None:
    """Fill a module with the tensors of a file: the same names and shapes, and finite values."""
    wanted = module.state_dict()
    odd = sorted(set(tensors) ^ set(wanted))
    odd += [k for k in wanted if k in tensors and tensors[k].shape != wanted[k].shape]
    if odd:
        raise ValueError(f"{path}: names or shapes differ from the network's: {odd[:5]}; {advice}")
    odd = [k for k, v in tensors.items() if v.is_complex() or not v.isfinite().all()]
    if odd:
        raise ValueError(f"{path}: values that are not finite and real: {odd[:5]}; {advice}")
    module.load_state_dict(tensors)


def write_tensors(path: Path, tensors: dict[str, Tensor], about: dict) -> None:
    """Write tensors and what is to be known about them as one safetensors file, atomically."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    tensors = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    # One entry: the order of several changes from run to run.
    text = json.dumps({**about, "sha256": _digest(tensors, about)})
    try:
        save_file(tensors, temporary, {"about": text})
        temporary.replace(path)  # atomic: a reader never sees half a file
    finally:
        temporary.unlink(missing_ok=True)


def read_tensors(path: Path, advice: str = _AGAIN) -> tuple[dict[str, Tensor], dict]:
    """Read what `write_tensors` wrote; a changed byte or another file is refused with the advice."""
    tensors, metadata = read_safetensors(path, advice)
    try:
        about = json.loads(metadata["about"])
        found = about.pop("sha256")
    except (KeyError, ValueError, TypeError, AttributeError):
        raise ValueError(f"{path}: no file of ours, or one without a checksum; {advice}") from None
    if found != _digest(tensors, about):
        raise ValueError(f"{path}: is damaged, its checksum is wrong; {advice}")
    return tensors, about


def read_safetensors(path: Path, advice: str = _AGAIN) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and the metadata of any safetensors file; the error names the file."""
    try:
        with safe_open(path, framework="pt") as f:
            return {k: f.get_tensor(k) for k in f.keys()}, f.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such file; {advice}") from None
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: no whole safetensors file ({error}); {advice}") from error


def _digest(tensors: dict[str, Tensor], about: dict) -> str:
    """SHA-256 of tensors, in the order of their names, and of what is known about them."""
    found = hashlib.sha256(json.dumps(about).encode())
    for name, value in sorted(tensors.items()):
        found.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        found.update(value.reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()
