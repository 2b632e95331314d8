"""Weights in files: round trip, what they say of themselves."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

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


def test_the_same_tensors_make_the_same_file(tmp_path):
    paths = [tmp_path / f"{i}.safetensors" for i in range(8)]
    for path in paths:
        store.write_tensors(path, {"b": torch.ones(2), "a": torch.zeros(3)}, {"x": 1, "y": [2]})
    assert len({path.read_bytes() for path in paths}) == 1


TENSORS = {
    "a": torch.arange(300.0),
    "b": torch.tensor(True),
    "c": torch.ones((), dtype=torch.float16),
}


def test_a_flipped_bit_is_noticed_wherever_it_lies(tmp_path):
    path = tmp_path / "t.safetensors"
    store.write_tensors(path, TENSORS, {"seed": 3, "words": "photos"})
    whole = path.read_bytes()
    for place in [*range(0, len(whole), 7), len(whole) - 1]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"t\.safetensors: .*; throw it away$"):
            store.read_tensors(path, "throw it away")


@pytest.mark.parametrize("kept", [0, 3, 8, 100, 0.5, 0.99])
def test_a_truncated_file_is_refused_by_name(tmp_path, kept):
    path = tmp_path / "t.safetensors"
    store.write_tensors(path, TENSORS, {})
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    with pytest.raises(
        ValueError, match=r"t\.safetensors: no whole safetensors file .*make it with: "
    ):
        store.read_tensors(path)


@pytest.mark.parametrize(
    "metadata",
    [None, {"other": "x"}, {"about": "no JSON"}, {"about": "[]"}, {"about": '{"seed": 1}'}],
)
def test_a_file_without_our_metadata_or_checksum_is_refused(tmp_path, metadata):
    path = tmp_path / "t.safetensors"
    save_file(TENSORS, path, metadata)
    with pytest.raises(
        ValueError, match=r"t\.safetensors: no file of ours, or one without a checksum"
    ):
        store.read_tensors(path)


def test_names_types_and_shapes_belong_to_the_checksum(tmp_path):
    """The same bytes under another name, as another type or in another shape are other tensors."""
    value = torch.arange(4, dtype=torch.int32)
    store.write_tensors(tmp_path / "t", {"a": value}, {})
    with safe_open(tmp_path / "t", framework="pt") as f:
        metadata = f.metadata()
    for other in ({"b": value}, {"a": value.view(torch.float32)}, {"a": value.reshape(2, 2)}):
        save_file(other, tmp_path / "t", metadata)
        with pytest.raises(ValueError, match="its checksum is wrong"):
            store.read_tensors(tmp_path / "t")


def changed(tensors, about, change):
    """A network's tensors and metadata with one fault."""
    first = next(iter(tensors))
    if change == "nan":
        tensors[first].view(-1)[3] = np.nan
    elif change == "inf":
        tensors[first].view(-1)[3] = np.inf
    elif change == "shape":
        tensors[first] = tensors[first][None]
    elif change == "name":
        tensors["other"] = tensors.pop(first)
    elif change == "extra":
        tensors["other"] = torch.ones(3)
    elif change == "missing":
        del tensors[first]
    elif change == "mean":
        about["data_mean"] = float("nan")
    elif change == "channels":
        about["config"]["channels"] = [8, 12]
    else:
        del about[change]
    return tensors, about


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("nan", "values that are not finite"),
        ("inf", "values that are not finite"),
        ("shape", "names or shapes differ"),
        ("name", "names or shapes differ"),
        ("extra", r"names or shapes differ .*\['other'\]"),
        ("missing", "names or shapes differ"),
        ("mean", "describes no network of ours .*data_mean"),
        ("channels", "describes no network of ours .*channels"),
        ("config", "describes no network of ours .*config"),
        ("sigma_data", "describes no network of ours .*sigma_data"),
    ],
)
def test_weights_of_another_network_are_refused_by_name(tmp_path, change, words):
    state = training.start(TINY, torch.rand(8, 1, 8, 8), 0)
    path = tmp_path / "w.safetensors"
    training.save_weights(path, state, TINY, 0, "the command")
    store.write_tensors(path, *changed(*store.read_tensors(path), change))
    with pytest.raises(ValueError, match=rf"w\.safetensors: {words}.*; make it with: python -m"):
        store.load_weights(path)
