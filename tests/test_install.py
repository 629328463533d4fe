"""`pip install swift-core swift-plugin-vllm` into an empty environment: seconds, nothing heavy, and plain words about the engine."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from swift_testing import scaffold

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "transformers", "datasets", "vllm", "numpy")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("wheels")
    for project in (ROOT, *(ROOT / "plugins" / name for name in ("swift-plugin-vllm", "swift-plugin-sglang", "swift-plugin-lmdeploy"))):
        subprocess.run(
            [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, project],
            check=True,
            capture_output=True,
            text=True,
        )
    return out


def test_every_distribution_says_that_it_is_typed():
    """`py.typed` in each package, in the plugin that `swift plugins new` writes too: without it a type checker takes all of it for Any."""
    projects = [path.parent for place in ("plugins/*", "contrib/*") for path in ROOT.glob(f"{place}/pyproject.toml")]
    packages = [package for project in projects for package in (project / "src").glob("*/__init__.py")]
    assert len(packages) >= len(projects) > 20
    untyped = [str(path.parent) for path in (ROOT / "swift_core" / "__init__.py", *packages) if not path.with_name("py.typed").is_file()]
    assert not untyped


def test_what_the_template_writes_is_typed(tmp_path):
    for kind in scaffold.KINDS:
        scaffold.write(kind, "moon", tmp_path / kind)
        assert (tmp_path / kind / "src" / "swift_plugin_moon" / "py.typed").is_file()


@pytest.mark.slow
def test_wheels_have_it_too(wheels):
    for wheel in wheels.glob("*.whl"):
        package = wheel.name.partition("-")[0]
        names = zipfile.ZipFile(wheel).namelist()
        assert f"{package}/py.typed" in names
        assert package != "swift_testing" or "swift_testing/template/common/src/swift_plugin_acme/py.typed" in names


@pytest.mark.slow
def test_core_and_vllm_install_into_an_empty_environment(wheels, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    python = tmp_path / "env" / "bin" / "python"
    names = ["swift-core", "swift-plugin-vllm", "swift-plugin-sglang", "swift-plugin-lmdeploy"]
    done = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--find-links", wheels, *names], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    listed = json.loads(subprocess.run([python, "-m", "pip", "list", "--format=json"], capture_output=True, text=True, check=True).stdout)
    installed = {item["name"].lower() for item in listed}
    assert set(names) <= installed
    assert not installed & set(HEAVY)
    assert len(installed) < 40
    swift = tmp_path / "env" / "bin" / "swift"
    shown = subprocess.run(
        [swift, "plugins"], capture_output=True, text=True, check=True, env={"COLUMNS": "400", "HOME": str(tmp_path)}
    ).stdout
    assert "vllm (engine not installed)" in shown
    assert "pip install 'swift-plugin-vllm[engine]'" in shown
    assert "BROKEN" not in shown
    # What first-party distributions have, and this environment has not, is answered with the pip line.
    lacking = subprocess.run(
        [swift, "sft", "--model", "x", "--dataset", "y"], capture_output=True, text=True, check=False, env={"HOME": str(tmp_path)}
    )
    assert lacking.returncode == 2
    assert "pip install swift-plugin-transformers" in lacking.stderr
    assert "pip install swift-plugin-peft" in lacking.stderr
