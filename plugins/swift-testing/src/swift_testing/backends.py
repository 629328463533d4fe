"""A frame for the tests of serving plugins: a command line made of options, and a stand-in for the module that it starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swift_core.contract.roles import Backend, Serving
from swift_core.contract.specs import Command
from swift_core.options.model import Options

CHECKPOINT = Path("/models/base")
PORT = 8000
KEY = "a-secret"
_TELLS = """import json, os, sys
if __name__ == "__main__":
    seen = open("/proc/self/cmdline").read() if os.path.exists("/proc/self/cmdline") else ""
    print(json.dumps({"argv": sys.argv[1:], "seen": seen, "env": dict(os.environ), "path": sys.path}))
"""


def command(backend: Backend, **serving: Any) -> Command:
    """The backend's command to serve `CHECKPOINT` as `base`; `serving` are other fields of the Serving."""
    return backend.command(Serving(**{"checkpoint": CHECKPOINT, "name": "base", "port": PORT, "python": "py", **serving}))


def added(made: Command, default: Sequence[str]) -> tuple[str, ...]:
    """The arguments that stand at one place in a command line and are not in the default one."""
    argv = list(made.argv)
    rest = len(argv) - len(default)
    at = next((place for place, (one, other) in enumerate(zip(argv, default, strict=False)) if one != other), len(default))
    assert [*argv[:at], *argv[at + rest :]] == list(default), argv
    return tuple(argv[at : at + rest])


def write_adapter(folder: Path, **config: Any) -> Path:
    """A folder with an `adapter_config.json` and nothing else."""
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def undescribed(options: type[Options]) -> list[str]:
    """The options without a description, and those whose other spellings are an option's own name."""
    fields = options.model_fields
    spellings: dict[str, list[str]] = {
        name: field.json_schema_extra.get("also", []) if isinstance(field.json_schema_extra, dict) else []  # type: ignore[misc]
        for name, field in fields.items()
    }
    return [name for name, field in fields.items() if not field.description or any(other in fields for other in spellings[name])]


def run_stand_in(backend: Backend, module: str, folder: Path) -> dict[str, Any]:
    """Start the command with a stand-in for `module` in the engine's place, and return what that is told.

    `argv` are its arguments, `seen` what others can read of them, `env` its variables and `path` where it imports from.
    """
    package = folder.joinpath(*module.split("."))
    package.mkdir(parents=True)
    (folder / module.split(".", maxsplit=1)[0] / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(_TELLS, encoding="utf-8")
    made = command(backend, python=sys.executable, api_key=KEY)
    environment = {**os.environ, **made.env, "PYTHONPATH": str(folder)}
    done = subprocess.run(made.argv, env=environment, check=True, capture_output=True, text=True)
    said: dict[str, Any] = json.loads(done.stdout)
    return said | {"made": made}
