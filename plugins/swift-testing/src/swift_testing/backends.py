"""Helpers for the tests of backends: build the command line from options, and run it against a stand-in of the engine's module."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swift_serve.roles import Backend, Command, Serving

from swift_core.options import Options

CHECKPOINT = Path("/models/base")
PORT = 8000
KEY = "a-secret"
_ECHO = """import json, os, sys
if __name__ == "__main__":
    seen = open("/proc/self/cmdline").read() if os.path.exists("/proc/self/cmdline") else ""
    print(json.dumps({"argv": sys.argv[1:], "seen": seen, "env": dict(os.environ), "path": sys.path}))
"""


def command(backend: Backend, **serving: Any) -> Command:
    """Return the backend's command that serves `CHECKPOINT` as `base`; `serving` sets other fields of `Serving`."""
    return backend.command(Serving(**{"checkpoint": CHECKPOINT, "name": "base", "port": PORT, "python": "py", **serving}))


def added(made: Command, default: Sequence[str]) -> tuple[str, ...]:
    """Return the arguments that the command line has in addition to the default one.

    Raises:
        AssertionError: the additional arguments are not contiguous, or something else differs.
    """
    argv = list(made.argv)
    extra = len(argv) - len(default)
    start = next((index for index, (one, other) in enumerate(zip(argv, default, strict=False)) if one != other), len(default))
    assert [*argv[:start], *argv[start + extra :]] == list(default), argv
    return tuple(argv[start : start + extra])


def write_adapter(folder: Path, **config: Any) -> Path:
    """Create a folder with only an `adapter_config.json`; return the folder."""
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def undescribed(options: type[Options]) -> list[str]:
    """Return the options that have no description, and those with an alternative spelling that is the name of an option."""
    fields = options.model_fields
    spellings: dict[str, list[str]] = {
        name: field.json_schema_extra.get("also", []) if isinstance(field.json_schema_extra, dict) else []  # type: ignore[misc]
        for name, field in fields.items()
    }
    return [name for name, field in fields.items() if not field.description or any(other in fields for other in spellings[name])]


def run_stand_in(backend: Backend, module: str, folder: Path) -> dict[str, Any]:
    """Run the backend's command with a stand-in for the engine's module, and return what the stand-in received.

    Args:
        backend: the backend.
        module: the dotted name of the module that the command runs.
        folder: where the stand-in is written.

    Returns:
        `argv` (its arguments), `seen` (its command line as other users can read it), `env` (its environment variables), `path`
        (its `sys.path`) and `made` (the `Command`).
    """
    package = folder.joinpath(*module.split("."))
    package.mkdir(parents=True)
    (folder / module.split(".", maxsplit=1)[0] / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(_ECHO, encoding="utf-8")
    made = command(backend, python=sys.executable, api_key=KEY)
    environment = {**os.environ, **made.env, "PYTHONPATH": str(folder)}
    done = subprocess.run(made.argv, env=environment, check=True, capture_output=True, text=True)
    received: dict[str, Any] = json.loads(done.stdout)
    return received | {"made": made}
