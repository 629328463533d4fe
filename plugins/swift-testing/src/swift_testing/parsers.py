"""Parse command lines with an engine's own argument parser, on a machine that can't run the engine.

The engine's wheel is installed without its dependencies; other modules that its parser imports come from this environment. Modules that
are not available here (kernels, drivers) are replaced by stubs, only in the process that parses.
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
    """Has every attribute: a class if its name is capitalized, else a mock."""

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
    """An engine's own argument parser.

    Attributes:
        code: Python code that sets `parsed` to the result of parsing `argv`.
        python: the interpreter that has the engine.
        folder: the folder into which `unpack` has installed the engine, if `python` is the running interpreter.
        stubs: top-level modules to replace by stubs.
    """

    code: str
    python: str = sys.executable
    folder: Path | None = None
    stubs: tuple[str, ...] = ()

    def parse(self, argv: Sequence[str]) -> dict[str, Any]:
        """Parse the arguments and return the values by field.

        Raises:
            AssertionError: the parser rejected them; the message is its output.
        """
        environment = dict(os.environ)
        if self.folder:
            environment["PYTHONPATH"] = os.pathsep.join([str(self.folder), sysconfig.get_path("purelib")])
        request = json.dumps([self.stubs, self.code, list(argv)])
        done = subprocess.run([self.python, "-c", _SCRIPT, request], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        parsed: dict[str, Any] = json.loads(done.stdout)
        return parsed


def unpack(folder: Path, *requirements: str) -> Path:
    """Install the engine, and the small packages that its parser can't have as stubs, into `folder`, without dependencies."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--target", str(folder)]
    subprocess.run([*pip, *requirements], check=True, capture_output=True)
    return folder
