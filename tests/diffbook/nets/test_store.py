"""Weights in files: round trip, what they say of themselves."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from diffbook.nets import store, training
from diffbook.nets.unet import as_denoiser

ROOT = Path(__file__).resolve().parents[3]
TINY = training.Config("digits", channels=(8, 16), fold=1, steps=12, batch=16, warmup=4)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_weights_round_trip(tmp_path):
    state = training.train(TINY, 0, progress=False)
    path = tmp_path / "w.safetensors"
    training.save_weights(path, state, TINY, 0, "the command")
    model, about = store.load_weights(path)
    assert about["seed"] == 0
    assert about["command"] == "the command"
    assert about["config"]["data"] == "digits"
    assert about["history"] == state.history
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, state.average[key], rtol=1e-3, atol=1e-4)
    out = as_denoiser(model)(np.zeros((2, 8, 8)), 0.5)
    assert np.isfinite(out).all()


def test_missing_weights_name_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"python -m diffbook\.nets\.training .*--out PATH"):
        store.load_weights(tmp_path / "none.safetensors")


@pytest.mark.parametrize("data", ["photos", "digits"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_recorded_weights(data, seed):
    """The weights in the repository are what their metadata says, small, and better than a filter."""
    size = {"photos": 16, "digits": 8}[data]
    place = f"data/weights/{data}{size}_seed{seed}.safetensors"
    path = ROOT / place
    assert path.stat().st_size < 3e6
    model, about = store.load_weights(path)
    assert about["seed"] == seed
    assert about["command"] == (
        f"python -m diffbook.nets.training {data} --seed {seed} --out {place}"
    )
    assert about["steps"] == training.CONFIGS[data].steps
    config = training.CONFIGS[data]
    assert about["config"] == json.loads(json.dumps(training.asdict(config)))
    batch = training.draw(training.pool(data, "validation"), 1024, 10**6, 0)
    with torch.no_grad():
        loss = float(training.edm_loss(model, *batch, model.sigma_data))
    assert loss == pytest.approx(about["history"][-1]["validation_loss"], rel=5e-3)
    assert loss < 0.5


def test_tensors_and_what_is_known_about_them_come_back(tmp_path):
    path = tmp_path / "new" / "t.safetensors"
    tensors = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor([1], dtype=torch.int64)}
    store.write_tensors(path, tensors, {"seed": 3})
    found, about = store.read_tensors(path)
    assert about == {"seed": 3}
    assert found.keys() == tensors.keys()
    for key, value in tensors.items():
        assert found[key].dtype == value.dtype
        assert torch.equal(found[key], value)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
