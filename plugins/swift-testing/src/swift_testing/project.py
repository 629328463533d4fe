"""A project folder for tests: write files into it, run `swift` in it as a user does, and check the outcome."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    def assert_success(self) -> None:
        """Assert that the exit code is 0 and that there was no traceback."""
        assert self.code == 0, self.err or self.out
        assert "Traceback" not in self.err, self.err

    def assert_failure(self, message: str) -> None:
        """Assert that the command failed with an error that contains `message`, without a traceback."""
        assert self.code != 0, self.out
        assert message in self.err, self.err
        assert "Traceback" not in self.err, self.err

    def json(self) -> Any:
        """Return the parsed output of a command run with `--json`."""
        return json.loads(self.out)


@dataclass(slots=True)
class SwiftProject:
    """A folder in which `swift` is run in a subprocess; `env` are additional environment variables."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def write(self, files: Mapping[str, object]) -> None:
        """Write files by name: strings as text, lists as JSONL, any other value as JSON."""
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_text(content), encoding="utf-8")

    def run(self, *words: str, stdin: str | None = None, timeout: float = 900) -> Outcome:
        """Run `swift WORDS` in the folder, with this Python environment.

        Args:
            words: the arguments.
            stdin: text to pipe into the command.
            timeout: maximum seconds.
        """
        done = subprocess.run(
            [sys.executable, "-m", "swift_core.cli", *words],
            cwd=self.folder,
            env={**os.environ, "COLUMNS": "200", **self.env},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content)
    return json.dumps(content, ensure_ascii=False)
