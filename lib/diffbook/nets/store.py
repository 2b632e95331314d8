"""Trained weights in safetensors files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from diffbook.nets.unet import Preconditioned, UNet


def load_weights(path: Path) -> tuple[Preconditioned, dict]:
    """Rebuild a denoiser from its weights.

    Returns
    -------
    model
        In evaluation mode, float32, on the CPU.
    about
        The metadata: config, seed, command, steps, history, data_mean, sigma_data, torch.

    Raises
    ------
    FileNotFoundError
        If the file is absent; the message has the command that makes it.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"no weights at {path}; make them with: python -m diffbook.nets.training {{photos,digits}} "
            "--seed N --out PATH"
        )
    tensors, about = read_tensors(path)
    net = UNet(tuple(about["config"]["channels"]), about["config"]["fold"])
    model = Preconditioned(net, about["data_mean"], about["sigma_data"])
    model.load_state_dict({k: v.float() for k, v in tensors.items()})
    return model.to(memory_format=torch.channels_last).eval(), about


def write_tensors(path: Path, tensors: dict[str, torch.Tensor], about: dict) -> None:
    """Write tensors and what is to be known about them as one safetensors file, atomically."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    tensors = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    try:
        save_file(tensors, temporary, metadata={"about": json.dumps(about)})
        temporary.replace(path)  # atomic: a reader never sees half a file
    finally:
        temporary.unlink(missing_ok=True)


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """Read what `write_tensors` wrote."""
    with safe_open(path, framework="pt") as f:
        return {k: f.get_tensor(k) for k in f.keys()}, json.loads(f.metadata()["about"])  # noqa: SIM118
