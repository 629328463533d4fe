"""Fixtures of the core's own tests: a command line in a clean folder, and real little distributions on the path."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import warm as warmed
from tests.forked_command import ForkedCommand
from tests.here import swift_here

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
    running: list[subprocess.Popen | ForkedCommand] = field(default_factory=list)
    warm: bool = False

    @property
    def variables(self) -> dict[str, str]:
        path = os.pathsep.join([*self.paths, os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
        return {**os.environ, "PYTHONPATH": path, "COLUMNS": "200", **self.env}

    def popen(self, *words: str, **options) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "swift_core.cli", *words],
            cwd=self.folder,
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        self.running.append(process)
        return process

    def beside(self, *words: str) -> ForkedCommand:
        """Start a command that runs beside the test, with its imports done."""
        process = ForkedCommand(self.folder, words, env=self.variables)
        self.running.append(process)
        return process

    def __call__(self, *words: str, stdin: str | None = None, timeout: float = 900) -> Outcome:
        if self.warm:
            code, out, err = warmed.run(self.folder, words, env=self.variables, stdin=stdin, timeout=timeout)
        else:
            process = self.popen(*words, stdin=subprocess.PIPE)
            out, err = process.communicate(stdin, timeout=timeout)
            code = process.returncode
        assert "Traceback" not in err, err
        return Outcome(code, out, err)

    def here(self, *words: str, stdin: str | None = None) -> Outcome:
        """The same in this process, without those paths: see `tests.here`."""
        return Outcome(*swift_here(self.folder, *words, stdin=stdin, env=self.env))

    def end(self) -> None:
        """Kill what a failed test has left, so that it does not slow down all others."""
        for process in self.running:
            if process.poll() is None:
                process.kill()
                process.wait()


@pytest.fixture
def swift(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[CommandLine]:
    """Processes of `swift` with their imports done (see `tests.warm`), or without for tests with the fixture `cold`."""
    line = CommandLine(tmp_path, [], {}, warm="cold" not in request.fixturenames)
    if line.warm:
        request.getfixturevalue("warm_process")
    yield line
    line.end()


@pytest.fixture
def cold() -> None:
    """`swift` starts a Python of its own: for tests of imports, of a start, or of signals in the middle of it."""


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
