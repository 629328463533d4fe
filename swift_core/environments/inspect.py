"""Inspect an environment: run its own Python and list the distributions in it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from swift_core.contract import SwiftError
from swift_core.environments import probe
from swift_core.environments.variables import interpreter_variables


@dataclass(frozen=True)
class Inside:
    """The contents of an environment.

    Attributes:
        python: the version of its Python.
        base: the path of the interpreter that it was created from.
        site_packages: the path of its site-packages.
        markers: values of the environment markers (PEP 508).
        distributions: name → version, requires (requirements), url (of a direct install) and top (importable names).
    """

    python: str
    base: str
    site_packages: str
    markers: Mapping[str, str]
    distributions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @cached_property
    def versions(self) -> dict[str, str]:
        """Map canonical name → version."""
        from packaging.utils import canonicalize_name

        return {canonicalize_name(name): str(each["version"]) for name, each in self.distributions.items()}

    def version(self, name: str) -> str:
        """Return the version of a distribution; '' if it is not installed."""
        from packaging.utils import canonicalize_name

        return self.versions.get(canonicalize_name(name), "")


def look(python: Path) -> Inside:
    """Inspect the environment of `python` without importing any of its packages.

    Raises:
        SwiftError: the interpreter does not run.
    """
    return Inside(**ask(python, {}, 60))


def ask(python: Path, question: Mapping[str, Any], limit: float) -> dict[str, Any]:
    """Run `probe.py` with the interpreter `python` and return its answer.

    Args:
        python: the interpreter.
        question: `{"import": [modules]}`, or empty for the contents of the environment.
        limit: maximum seconds.

    Raises:
        SwiftError: the interpreter does not run, crashes, or does not answer in time.
    """
    try:
        done = subprocess.run(
            [python, "-I", str(probe.__file__), json.dumps(question)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit,
            check=False,
            env=interpreter_variables(str(python)),
        )
        return dict(json.loads(done.stdout))
    except OSError as error:
        raise SwiftError(f"the interpreter does not run: {error.strerror}", code="ENV-023", where=str(python)) from None
    except subprocess.TimeoutExpired:
        raise SwiftError(f"no answer within {limit:g} seconds", code="ENV-024", where=str(python)) from None
    except ValueError:
        last = done.stderr.strip().splitlines()[-1:] or ["no output"]
        raise SwiftError(
            f"the interpreter exited with code {done.returncode}: {last[0][:300]}", code="ENV-025", where=str(python)
        ) from None
