"""The page about restoration runs as written, and its numbers are those of a run."""

import contextlib
import io
import json
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from diffbook import inverse, recipes
from diffbook.datasets import photos
from diffbook.inverse.exact import gaussian_vjp
from diffbook.schedules.families import ddpm_chain
from press import paths

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "book" / "your_restoration.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.S)
SHAPE = (16, 16)
PAIR = np.array([0.5, 0.5, 0.0])
OPERATORS = {
    "blur": lambda: inverse.Blur.from_transfer(inverse.gaussian_transfer(SHAPE, 1.0)),
    "super-resolution": lambda: inverse.Downsampling(
        SHAPE, 2, inverse.Blur.from_kernel(np.outer(PAIR, PAIR), SHAPE)
    ),
    "inpainting": lambda: inverse.Mask(np.random.default_rng(0).random((12, 12)) < 0.5),
}


def rows():
    """Cells of all lines of the page's tables."""
    return [line.split(" | ") for line in re.findall(r"^\| (.*) \|$", PAGE, re.M)]


@cache
def first_block():
    names, said = {}, io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(BLOCKS[0], names)
    return names, said.getvalue()


def drawn(x, x0, made):
    """Error of draws over its standard error, from the predicted one."""
    error = np.mean((x - x0).reshape(len(x), -1) ** 2, axis=1)
    standard = error.std(ddof=1) / np.sqrt(len(error))
    return (error.mean() - made.expected["these weights"]["mse"]) / standard


def gaussian(n):
    made = first_block()[0]["recipe"]
    prior = recipes.prior_for(first_block()[0]["images"])
    x0 = prior.sample(n, np.random.default_rng(3))
    noise = np.random.default_rng(4).standard_normal(x0.shape)
    y = torch.from_numpy(inverse.measure(made.operator, x0, made.sigma_y, noise))

    def eps(x, t):
        level = float(ddpm_chain()[int(t)])
        return (x - level**0.5 * prior.denoise(x, level)) / (1.0 - level) ** 0.5

    return made, x0, y, eps


def test_first_block_prints_what_the_page_says():
    assert len(BLOCKS[0].splitlines()) <= 20
    _, said = first_block()
    assert said.strip() == re.findall(r"```text\n(.*?)```", PAGE, re.S)[0].strip()


def test_loop_of_the_page_has_the_predicted_error():
    made, x0, y, eps = gaussian(300)
    names = dict(first_block()[0])
    exec(BLOCKS[1], names)
    torch.manual_seed(0)
    assert abs(drawn(names["sample"](eps, y, made).numpy(), x0, made)) < 4.0


@pytest.mark.skipif(find_spec("diffusers") is None, reason="diffusers is not installed")
def test_diffusers_block_has_the_predicted_error():
    made, x0, y, eps = gaussian(300)
    unet = SimpleNamespace(forward=lambda x, t: SimpleNamespace(sample=eps(x, t))).forward
    torch.manual_seed(0)
    names = {**first_block()[0], "torch": torch, "unet": unet, "y": y}
    exec(BLOCKS[2], names)
    assert abs(drawn(names["x"].numpy(), x0, made)) < 4.0


@pytest.mark.parametrize("name", OPERATORS)
def test_table_of_errors_is_that_of_a_run(name):
    ((predicted, by_gauss, by_patch, *distances),) = (
        row[1:] for row in rows() if row[0] == name and len(row) == 7
    )
    operator = OPERATORS[name]()
    size = operator.shape[0]
    prior = recipes.prior_for(photos.patches(1000, size))
    made = recipes.weights_for(prior, operator, 0.05, 10, alphas_cumprod=ddpm_chain())
    assert made.expected["these weights"]["mse"] == pytest.approx(float(predicted), rel=1e-3)
    found = list(made.expected.values())[:3]
    for row, said in zip(found, distances, strict=True):
        assert row["distance"] == pytest.approx(float(said), rel=5e-3)
    sets = {
        by_gauss: prior.sample(1000, np.random.default_rng(1)),
        by_patch: photos.patches(400, size, "test", rng=1),
    }
    for said, x0 in sets.items():
        noise = np.random.default_rng(2).standard_normal((len(x0), *operator.measurement_shape))
        y = inverse.measure(operator, x0, 0.05, noise)
        x = recipes.restore(made, prior.denoise, y, range(len(x0)), gaussian_vjp(prior))
        value = float(said.split("(")[0])
        # The weights' last digits differ between machines.
        assert np.mean((x - x0) ** 2) == pytest.approx(value, rel=5e-3)


@pytest.mark.parametrize("task", ["deblurring", "super-resolution", "inpainting", "denoising"])
def test_table_of_networks_is_that_of_the_recorded_study(task):
    (said,) = (row[1:] for row in rows() if row[0] == task and len(row) == 4)
    study = json.loads(paths.study("posterior", "restoration").read_text("utf-8"))["differences"]
    for S, text in zip((10, 25, 50), said, strict=True):
        key = ["photos", task, S, "bounded, η = 1", "DPS", "energy"]
        (found,) = (row[6] for row in study["rows"] if row[:6] == key)
        values = [float(v) for v in re.findall(r"-?[\d.]+", text)]
        np.testing.assert_allclose(values, found, atol=0.00501)
