"""The wheel holds the library alone, and runs with NumPy and SciPy as its only company."""

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy
import pytest
import scipy

from diffbook._optional import need

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "lib" / "diffbook"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built without network from what is installed."""
    out = tmp_path_factory.mktemp("wheel")
    # Built from a copy: setuptools would leave its traces beside the sources.
    source = out / "source"
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in names:
        if name.endswith((".ipynb", ".npz", ".safetensors", ".json")) and "lib/" not in name:
            continue
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation",
         "--no-index", "--quiet", "--wheel-dir", str(out)],
        cwd=source, check=True,
    )  # fmt: skip
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def alone(wheel):
    """Run code where only the standard library, NumPy, SciPy and the wheel are found."""
    company = wheel.parent / "company"
    company.mkdir()
    for package in (numpy, scipy):
        home = Path(package.__file__).parent
        for path in home.parent.glob(f"{home.name}*"):  # beside it: its compiled libraries
            (company / path.name).symlink_to(path)

    def run(code: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-S", "-c", code],
            capture_output=True,
            text=True,
            check=False,
            cwd=company,
            env={**os.environ, "PYTHONPATH": f"{wheel}{os.pathsep}{company}"},
        )

    return run


def quick_start() -> tuple[str, str]:
    """Code and printed lines of the quick start on the reference page."""
    text = (ROOT / "book" / "reference" / "index.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
    (output,) = re.findall(r"```text\n(.*?)```", text, re.S)
    return code, output


def test_wheel_holds_the_library_alone(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"diffbook"}
    held = {name for name in names if name.startswith("diffbook/")}
    files = {p for p in LIBRARY.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    assert held == {p.relative_to(LIBRARY.parent).as_posix() for p in files}


def test_only_numpy_and_scipy_are_required(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
    required = Parser().parsestr(archive.read(name).decode()).get_all("Requires-Dist")
    hard = [re.match(r"[\w-]+", r)[0] for r in required if "extra ==" not in r]
    assert sorted(hard) == ["numpy", "scipy"]


def test_quick_start_runs_with_numpy_and_scipy_alone(alone):
    code, output = quick_start()
    done = alone(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout == output


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("from diffbook import nets; nets.UNet", "diffbook.nets needs torch: pip install 'diffbook[torch]'"),
        ("from diffbook.nets.unet import UNet", "pip install 'diffbook[torch]'"),
        ("from diffbook import draw; draw.use_style", "pip install 'diffbook[draw]'"),
        ("from diffbook.datasets.digits import images; images('train')", "pip install 'diffbook[data]'"),
        ("from diffbook import metrics; metrics.sliced_w2([[1.0]], [[1.0]])", "pip install 'diffbook[metrics]'"),
    ],
)  # fmt: skip
def test_error_names_the_extra(alone, code, message):
    done = alone(code)
    assert done.returncode == 1
    assert message in done.stderr.splitlines()[-1]


def test_need_is_silent_about_what_is_there():
    need("numpy", "data", "a test")
    with pytest.raises(ImportError, match=r"a test needs no_such_package: .*'diffbook\[data\]'"):
        need("no_such_package", "data", "a test")


def extras(*names: str) -> set[str]:
    """Distributions that some extras bring."""
    lines = [line for name in names for line in PROJECT["optional-dependencies"][name]]
    return {re.match(r"[\w-]+", line)[0].lower() for line in lines}


def announced(source: str) -> set[str]:
    """Extras that a module names in its calls of ``need``."""
    return {
        node.args[1].value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "need"
    }


def test_every_optional_import_belongs_to_an_extra_that_an_error_names():
    known = packages_distributions()
    for path in LIBRARY.rglob("*.py"):
        source = path.read_text("utf-8")
        door = (path.parent / "__init__.py").read_text("utf-8")
        roots = set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                roots |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                roots.add(node.module.partition(".")[0])
        optional = roots - sys.stdlib_module_names - {"numpy", "scipy", "diffbook"}
        # A function that was given torch arrays may import torch: it is there.
        optional -= {"torch"} if path.parent.name in ("inverse", "priors") else set()
        brought = extras(*announced(source), *announced(door))
        for root in optional:
            names = {name.lower() for name in known[root]}
            assert names & brought, f"{path.name} imports {root} without need(...)"
