"""The picture of the landing page."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from diffbook import schedules

SCRIPT = Path(__file__).resolve().parents[2] / "book" / "landing.py"


def test_landing_data_follow_the_closed_form():
    spec = importlib.util.spec_from_file_location("landing", SCRIPT)
    landing = importlib.util.module_from_spec(spec)
    sys.modules["landing"] = landing
    spec.loader.exec_module(landing)
    data = landing.picture_data(S=8)
    assert data.images.shape == (9, 256, 256, 3)
    # Each frequency leaves the noise fastest where sigma^2 = lam, later for finer ones.
    peaks = data.log_sigma[data.rates.argmax(axis=1)]
    assert np.all(np.diff(peaks) < 0)
    np.testing.assert_allclose(data.rates.max(axis=1), 0.25, rtol=1e-4)
    detail = np.abs(np.diff(data.images, axis=1)).mean(axis=(1, 2, 3))
    assert np.all(np.diff(detail[:7]) > 0)
    for sigma in data.steps.values():
        schedules.validate_sigma(sigma)


def test_landing_command_writes_a_wide_picture(tmp_path):
    out = tmp_path / "landing.png"
    command = [sys.executable, str(SCRIPT)]
    done = subprocess.run([*command, str(out)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert Image.open(out).size == (1800, 900)
    assert out.stat().st_size < 900_000
    wrong = subprocess.run([*command, "x.gif"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "usage" in wrong.stderr
