"""The command: a folder of images in, a schedule and a picture out."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from diffbook.recipes import schedule_for
from diffbook.recipes.schedule import main
from diffbook.schedules import ddpm_chain


@pytest.fixture
def folder(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    rng = np.random.default_rng(0)
    for i in range(5):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(pictures / f"{i}.png")
    (pictures / "readme.txt").write_text("no image")
    (tmp_path / "scheduler_config.json").write_text('{"beta_schedule": "linear"}')
    return pictures


def test_writes_what_the_function_returns_and_where_it_comes_from(folder, tmp_path, capsys):
    model, out = tmp_path / "scheduler_config.json", tmp_path / "schedule.json"
    report = tmp_path / "report.png"
    status = main(
        [
            str(folder),
            "--steps",
            "6",
            "--model",
            str(model),
            "--out",
            str(out),
            "--report",
            str(report),
        ]
    )
    assert status == 0
    found = json.loads(out.read_text("utf-8"))
    x = np.stack([np.asarray(Image.open(p), dtype=float) for p in sorted(folder.glob("*.png"))])
    recipe = schedule_for(x / 127.5 - 1.0, 6, alphas_cumprod=ddpm_chain())
    np.testing.assert_allclose(found["sigmas"], recipe.sigmas, rtol=1e-9)
    assert found["timesteps"] == recipe.timesteps.tolist()
    made = found["made_from"]
    assert (made["images"], made["shape"]) == (5, [3, 8, 8])
    assert made["sha256"]["0.png"] == hashlib.sha256((folder / "0.png").read_bytes()).hexdigest()
    assert model.name in made["sha256"]
    assert set(made["versions"]) == {"diffbook", "numpy", "scipy"}
    assert recipe.report().splitlines()[1] in capsys.readouterr().out
    picture = np.asarray(Image.open(report).convert("L"))
    assert picture.shape[0] > picture.shape[1] > 400
    assert picture.std() > 5
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "pictures", "report.png", "schedule.json", "scheduler_config.json"
    ]  # fmt: skip


def test_sizes_that_differ_are_cut_and_said(folder, tmp_path, capsys):
    Image.fromarray(np.zeros((6, 10), np.uint8)).save(folder / "wide.png")
    out = tmp_path / "s.json"
    command = [str(folder), "--steps", "3", "--sigma-range", "0.01", "80", "--out", str(out)]
    assert main([*command, "--grey"]) == 0
    assert "note: cut to squares from the middle and brought to 6 x 6" in capsys.readouterr().out
    assert json.loads(out.read_text("utf-8"))["made_from"]["shape"] == [1, 6, 6]
    assert main([*command, "--size", "4"]) == 0
    assert json.loads(out.read_text("utf-8"))["made_from"]["shape"] == [3, 4, 4]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--steps", "0", "--sigma-range", "0.01", "80"], "--steps: got 0"),
        (["--steps", "3", "--sigma-range", "80", "0.01"], "sigma_range"),
        (["--steps", "3", "--model", "nowhere.json"], "nowhere.json"),
        (["--steps", "3", "--sigma-range", "0.01", "80", "--limit", "1"], "--limit: got 1"),
        (["--steps", "3", "--sigma-range", "0.01", "80", "--size", "1"], "--size: got 1"),
    ],
)
def test_what_is_wrong_ends_with_status_2_and_one_line(folder, tmp_path, capsys, options, words):
    out = tmp_path / "s.json"
    assert main([str(folder), *options, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert words in error
    assert not out.exists()


def test_files_and_folders_that_are_none_are_named(folder, tmp_path, capsys):
    rest = ["--steps", "3", "--sigma-range", "0.01", "80"]
    assert main([str(tmp_path / "no"), *rest, "--out", str(tmp_path / "s.json")]) == 2
    assert "there is no folder" in capsys.readouterr().err
    assert main([str(folder), *rest, "--out", str(tmp_path / "no" / "s.json")]) == 2
    assert "there is no folder" in capsys.readouterr().err
    (folder / "broken.png").write_bytes(b"no picture")
    assert main([str(folder), *rest, "--out", str(tmp_path / "s.json")]) == 2
    assert "broken.png: cannot be read as an image" in capsys.readouterr().err


def test_the_module_is_the_command():
    command = [
        sys.executable,
        "-W",
        "error::RuntimeWarning",
        "-m",
        "diffbook.recipes.schedule",
        "-h",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--sigma-range" in done.stdout
