"""What must not be imported at start-up, and that every module can be imported on its own."""

from __future__ import annotations

import json
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
