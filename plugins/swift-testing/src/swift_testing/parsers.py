"""Command lines before an engine's own argument parser, on a machine that can't run the engine.

The engine's wheel is installed alone, without its dependencies; what its parser imports besides comes from this environment. Modules
that can't be here (kernels, drivers) are stood in for by empty ones, in the process that parses and nowhere else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SCRIPT = '''
import importlib.abc, importlib.machinery, json, os, sys, types
from unittest.mock import MagicMock

STUBS, CODE, ARGV = json.loads(sys.argv[1])


class Stub(types.ModuleType):
    """Has every name: a class where it begins with a capital."""

    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {}) if name[0].isupper() else MagicMock(name=name)


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if name.partition(".")[0] in STUBS else None

    def create_module(self, spec):
        return Stub(spec.name)

    def exec_module(self, module):
        pass


sys.meta_path.append(Finder())
channel = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
scope = {"argv": ARGV}
exec(CODE, scope)
channel.write(json.dumps(vars(scope["parsed"]), default=str))
'''


@dataclass(frozen=True, slots=True)
class EngineParser:
    """An engine's own parser. `code` is Python that sets `parsed` to what the parser makes of `argv`.

    `python` is the interpreter that has the engine; where it is this one, `folder` is where `unpack` has put the engine. `stubs` are
    modules that are stood in for.
    """

    code: str
    python: str = sys.executable
    folder: Path | None = None
    stubs: tuple[str, ...] = ()

    def parse(self, argv: Sequence[str]) -> dict[str, Any]:
        """What the parser makes of the arguments, by field.

        Raises:
            AssertionError: it refuses them, with what it says.
        """
        environment = dict(os.environ)
        if self.folder:
            environment["PYTHONPATH"] = os.pathsep.join([str(self.folder), sysconfig.get_path("purelib")])
        asked = json.dumps([self.stubs, self.code, list(argv)])
        done = subprocess.run([self.python, "-c", _SCRIPT, asked], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        parsed: dict[str, Any] = json.loads(done.stdout)
        return parsed


def unpack(folder: Path, *requirements: str) -> Path:
    """Install the engine, and the small packages that its parser needs to be real, into `folder`: these alone."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--target", str(folder)]
    subprocess.run([*pip, *requirements], check=True, capture_output=True)
    return folder
