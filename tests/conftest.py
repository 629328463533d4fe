"""Fixtures of the core's own tests: a command line in a clean folder, and real little distributions on the path."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@dataclass
class Outcome:
    """A finished command."""

    code: int
    out: str
    err: str


@dataclass
class CommandLine:
    """Runs `swift` as a user does: another process, in `folder`, with extra paths and variables."""

    folder: Path
    paths: list[str]
    env: dict[str, str]

    def popen(self, *words: str, **options) -> subprocess.Popen:
        path = os.pathsep.join([*self.paths, os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
        env = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200", **self.env}
        return subprocess.Popen(
            [sys.executable, "-m", "swift_core.cli", *words],
            cwd=self.folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def __call__(self, *words: str, stdin: str | None = None, timeout: float = 900) -> Outcome:
        process = self.popen(*words, stdin=subprocess.PIPE)
        out, err = process.communicate(stdin, timeout=timeout)
        assert "Traceback" not in err, err
        return Outcome(process.returncode, out, err)


@pytest.fixture
def swift(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path, [], {})


@pytest.fixture
def distribution(swift: CommandLine, tmp_path: Path) -> Callable[..., None]:
    """Install a little distribution for `swift`: a module, and a dist-info with its entry point, on the path."""

    def install(
        name: str, source: str, *, entry: str | None = None, group: str = "swift.plugins", version: str = "1.0", target: str = ""
    ) -> None:
        site = tmp_path / "site"
        module = name.replace("-", "_")
        info = site / f"{module}-{version}.dist-info"
        info.mkdir(parents=True)
        (site / f"{module}.py").write_text(source)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{entry or name.removeprefix('swift-plugin-')} = {target or module}\n")
        if str(site) not in swift.paths:
            swift.paths.append(str(site))

    return install
