"""What must not be imported at start-up, and that every module can be imported on its own."""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import swift_core

HEAVY = (
    "torch",
    "transformers",
    "datasets",
    "peft",
    "accelerate",
    "pydantic",
    "vllm",
    "numpy",
    "httpx2",
    "rich",
    "yaml",
    "fastapi",
    "huggingface_hub",
    "modelscope",
)
POISON = "import sys; sys.modules.update(dict.fromkeys({names!r})); "


def python(code: str, *options: str) -> str:
    done = subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_plugin_loads_and_help_prints_without_anything_heavy():
    code = POISON.format(names=HEAVY) + (
        "from swift_core.plugins.registered import KINDS, registry; from swift_core.cli import invoke as run; "
        "known = registry(); [known.entries(kind) for kind in KINDS]; "
        "broken = {p.name: p.failure for p in known.plugins.found.values() if p.failure}; assert not broken, broken; "
        "assert run(['--help']) == 0; assert run(['plugins']) == 0; assert run(['models']) == 0"
    )
    assert "Fine-tune" in python(code)


def test_verb_help_needs_no_pydantic_once_warm():
    warm = "from swift_core.cli import invoke as run; assert run(['sft', '--help']) == 0; assert run(['serve', '--help']) == 0"
    python(warm)
    assert "--learning-rate" in python(POISON.format(names=HEAVY) + warm)


def start(site: Path, *words: str) -> tuple[str, set[str]]:
    """What `swift WORDS` prints with what is under `site` installed too, and the modules that it imports."""
    code = (
        f"import atexit, sys; sys.path.append({str(site)!r}); sys.argv[1:] = {list(words)!r}; "
        "atexit.register(lambda: print('== modules', *sys.modules, sep='\\n')); from swift_core.start import main; main()"
    )
    printed, _, modules = python(code).partition("== modules\n")
    return printed, set(modules.splitlines())


def test_the_list_of_commands_is_kept_until_something_is_installed(tmp_path, monkeypatch):
    """What a start imports can be counted without a quiet machine; 200 plugins do not change it, and a new command is listed at once."""
    monkeypatch.setenv("SWIFT_HOME", str(tmp_path / "home"))
    few, many = tmp_path / "few", tmp_path / "many"
    few.mkdir()
    for number in range(200):
        info = many / f"swift_plugin_synthetic_{number}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: swift-plugin-synthetic-{number}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[swift.plugins]\nsynthetic-{number} = swift_plugin_synthetic_{number}\n")
    for site in (few, many):
        os.utime(site, (1, 1))  # settled: what changed just now is not kept
    shown, _ = start(few, "--help")
    again, bare = start(few, "--help")
    assert again == shown == python("from swift_core.cli import invoke; invoke(['--help'])")
    assert not bare & {"click", "pluggy", "pathlib", "json", "importlib.metadata", "swift_core.plugins", "swift_core.contract.specs"}
    assert len(bare) < 80
    assert start(many, "--help")[0] == shown
    assert start(many, "--help") == (shown, bare)
    (many / "swift_plugin_synthetic_0-1.0.dist-info" / "entry_points.txt").write_text("[swift.commands]\nglow = glow:command\n")
    os.utime(many, (2, 2))  # as installing does
    assert "glow" in start(many, "--help")[0]


def core_modules() -> list[str]:
    return [name for _, name, _ in pkgutil.walk_packages(swift_core.__path__, "swift_core.") if not name.endswith("__main__")]


@pytest.mark.slow
def test_every_core_module_can_be_imported_alone():
    """One subprocess that forks for each module, so that no module profits from what another has imported."""
    code = f"""
import os, sys, warnings, importlib, json
warnings.simplefilter("error")
failed = {{}}
for name in {core_modules()!r}:
    pid = os.fork()
    if pid == 0:
        try:
            importlib.import_module(name)
        except BaseException as error:
            sys.stderr.write(f"{{name}}: {{type(error).__name__}}: {{error}}\\n")
            os._exit(1)
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        failed[name] = True
print(json.dumps(failed))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {}, done.stderr


@pytest.mark.parametrize("folder", ["swift_core", "plugins"])
def test_every_module_has_a_docstring_and_is_small(folder):
    import ast

    root = Path(__file__).parent.parent
    for path in (root / folder).rglob("*.py"):
        if "tests" in path.parts or "build" in path.parts:
            continue
        text = path.read_text(encoding="utf-8")
        assert ast.get_docstring(ast.parse(text)), f"{path} has no docstring"
        assert len(text.splitlines()) <= 300, f"{path} has {len(text.splitlines())} lines"
