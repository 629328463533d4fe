"""Installation into an empty environment from built wheels: what the readme promises of it, and that no wheel lacks a file.

`pip` gets a folder of wheels and no index: first-party distributions built from this checkout, others packed from what is installed here.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder
from swift_testing import scaffold

from swift_core.plugins import pip_line
from tests.tiny_wheels import closure, repack

ROOT = Path(__file__).parent.parent
PROJECTS = {path.parent.name: path.parent for place in ("plugins", "contrib") for path in ROOT.glob(f"{place}/*/pyproject.toml")}
FIRST_PARTY = {"swift-core": ROOT, **PROJECTS}
HEAVY = {"torch", "transformers", "datasets", "vllm", "numpy", "fastapi"}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> Path:
    """A wheel of each first-party distribution."""
    out = tmp_path_factory.mktemp("wheels")
    for project in FIRST_PARTY.values():
        assert list(WheelBuilder(str(project)).build(directory=str(out), versions=["standard"]))
    return out


class Installed:
    """An environment, and `swift` in it with a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.python = folder, folder / "env" / "bin" / "python"
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "COLUMNS": "400",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "OMP_NUM_THREADS": "1",
        }

    def run(self, *words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(list(map(str, words)), cwd=self.folder, env=self.env, capture_output=True, text=True, check=False)

    def pip(self, *words: object) -> str:
        done = self.run(sys.executable, "-m", "pip", "--python", self.python, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def swift(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run(self.python.with_name("swift"), *words)

    def commands(self) -> dict[str, str]:
        """The verbs and commands that `swift --help` lists, with their summaries."""
        listed = re.split(r"^(?:Verbs|Commands):\n", self.swift("--help").stdout, maxsplit=1, flags=re.MULTILINE)[1]
        return dict(re.findall(r"^  (\S+?)(?:, \S+)*  +(.+)$", listed, re.MULTILINE))


@pytest.fixture
def empty(tmp_path) -> Installed:
    venv.create(tmp_path / "env", symlinks=True)
    return Installed(tmp_path)


def test_every_distribution_says_that_it_is_typed():
    """`py.typed` in each package, in the plugin that `swift plugins new` writes too: without it a type checker takes all of it for Any."""
    packages = [package for project in PROJECTS.values() for package in (project / "src").glob("*/__init__.py")]
    assert len(packages) >= len(PROJECTS) > 20
    untyped = [str(path.parent) for path in (ROOT / "swift_core" / "__init__.py", *packages) if not path.with_name("py.typed").is_file()]
    assert not untyped


def test_what_the_template_writes_is_typed(tmp_path):
    for kind in scaffold.KINDS:
        scaffold.write(kind, "moon", tmp_path / kind)
        assert (tmp_path / kind / "src" / "swift_plugin_moon" / "py.typed").is_file()


def test_each_wheel_has_all_files_that_the_repository_has(wheels):
    """A pattern of .gitignore that also matches a package leaves it out of the wheel, without a word."""
    for name, project in FIRST_PARTY.items():
        (wheel,) = wheels.glob(f"{name.replace('-', '_')}-*.whl")
        packed = {path for path in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in path}
        root = project / "src" if name != "swift-core" else project
        only = ["src"] if name != "swift-core" else ["swift_core"]
        words = ["git", "ls-files", "-z", "--", *only]
        listed = subprocess.run(words, cwd=project, capture_output=True, text=True, check=True).stdout.split("\0")
        tracked = {(project / path).relative_to(root).as_posix() for path in listed if path and (project / path).is_file()}
        assert tracked, name
        assert tracked <= packed, f"{wheel.name} lacks {sorted(tracked - packed)}"


@pytest.mark.slow
def test_the_core_alone_says_what_to_install(wheels, empty, tmp_path):
    repack(tmp_path / "index", closure("swift-core") - {"swift-core"})
    empty.pip("install", "--quiet", "--no-index", "--find-links", wheels, "--find-links", tmp_path / "index", "swift-core")
    assert set(empty.commands()) == {"plugins"}
    for verb in ("serve", "sft", "infer", "data", "run"):
        refused = empty.swift(verb, "--model", "x")
        assert refused.returncode == 2
        assert pip_line(verb) in refused.stderr
    python = empty.run(empty.python, "-c", "import swift_core; swift_core.sft")
    assert pip_line("sft") in python.stderr


def test_the_pip_line_of_a_verb_brings_what_it_needs():
    """Not the library that the verb is in, which has no part to carry it out."""
    assert pip_line("sft") == pip_line("run") == "pip install 'swift-core[standard]'"
    for backend in ("swift-plugin-vllm", "swift-plugin-sglang", "swift-plugin-lmdeploy", "swift-core[standard]"):
        assert backend in pip_line("serve")
    assert "swift-plugin-gguf" in pip_line("export")
    assert pip_line("eval").startswith("pip install 'swift-core[standard]'")
    assert "swift-evaluate" in closure("swift-core[standard]")
    for evaluator in ("swift-plugin-evalscope", "swift-plugin-inspect", "swift-plugin-lm-eval"):
        assert evaluator in pip_line("eval")
    assert pip_line("no-such-verb") == ""


@pytest.mark.slow
def test_core_and_vllm_are_all_that_serving_by_vllm_needs(wheels, empty, tmp_path):
    engines = ["swift-plugin-vllm", "swift-plugin-sglang", "swift-plugin-lmdeploy"]
    for engine in engines:
        assert closure(engine) == closure(engines[0]) - {engines[0]} | {engine}
    needed = closure("swift-plugin-vllm")
    repack(tmp_path / "index", needed - FIRST_PARTY.keys())
    empty.pip("install", "--quiet", "--no-index", "--find-links", wheels, "--find-links", tmp_path / "index", "swift-core", *engines)
    listed = {item["name"].lower().replace("_", "-") for item in json.loads(empty.pip("list", "--format=json"))}
    assert listed == needed | set(engines)
    assert not listed & HEAVY
    site = next((tmp_path / "env").glob("lib/*/site-packages"))
    assert sum(path.stat().st_size for path in site.rglob("*") if path.suffix != ".pyc" and path.is_file()) < 60 * 2**20

    commands = empty.commands()
    assert {"ask", "data", "env", "fetch", "infer", "models", "plugins", "serve"} <= set(commands)
    assert not {"sft", "merge", "quantize", "export"} & set(commands)
    assert all(commands.values())
    shown = empty.swift("plugins").stdout
    assert "vllm (engine not installed)" in shown
    assert "pip install 'swift-plugin-vllm[engine]'" in shown
    assert "BROKEN" not in shown

    # Up to the engine, whose environment is made on demand; nothing is downloaded before that is known.
    served = empty.swift("serve", "hf:org/name", "--backend", "vllm")
    assert served.returncode == 2
    assert "swift env create vllm" in served.stderr


@pytest.mark.slow
def test_standard_is_all_that_a_first_fine_tune_needs(wheels, empty, tmp_path, tiny_model):
    """Beside the built wheels there is nothing on the path but the distributions that their metadata names."""
    needed = closure("swift-core[standard]")
    assert {"torch", "transformers", "peft"} <= needed
    assert not needed & {"pytest", "datasets", "deepspeed", "vllm"}
    site = next((tmp_path / "env").glob("lib/*/site-packages"))
    for name in needed - FIRST_PARTY.keys():
        distribution = importlib.metadata.distribution(name)
        for top in {entry.parts[0] for entry in distribution.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(distribution.locate_file(top))))
    for name in needed & FIRST_PARTY.keys():
        with zipfile.ZipFile(next(wheels.glob(f"{name.replace('-', '_')}-*.whl"))) as wheel:
            wheel.extractall(site)
    rows = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}] * 4
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["--model", tiny_model, "--dataset", "rows.jsonl", "--max-steps", "1", "--output", "out"]
    done = empty.run(empty.python, "-m", "swift_core.cli", "sft", *words)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()
