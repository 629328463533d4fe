"""The contents of an environment: its distributions, compared with requirements, and which of them can be imported."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from swift_core.contract import SwiftError
from swift_environments import probe
from swift_environments.variables import interpreter_variables


@dataclass(frozen=True)
class Contents:
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
        return {canonicalize_name(name): str(each["version"]) for name, each in self.distributions.items()}

    def version(self, name: str) -> str:
        """Return the version of a distribution; '' if it is not installed."""
        return self.versions.get(canonicalize_name(name), "")

    def requires(self, name: str) -> list[str]:
        """Return the requirements of a distribution."""
        return list(self._distribution(name).get("requires", ()))

    def modules(self, name: str) -> list[str]:
        """Return the importable modules of a distribution: only the one of its own name if there is one, else all."""
        tops = [str(top) for top in self._distribution(name).get("top", ())]
        own = canonicalize_name(name).replace("-", "_")
        return [own] if own in tops else tops

    def _distribution(self, name: str) -> Mapping[str, Any]:
        canonical = canonicalize_name(name)
        return next((each for other, each in self.distributions.items() if canonicalize_name(other) == canonical), {})

    def freeze(self, ours: Iterable[str]) -> tuple[str, ...]:
        """Return exact requirements (`name==version`, or `name @ url`) for all distributions except `ours`."""
        left_out = {canonicalize_name(name) for name in ours}
        lines = [
            f"{name} @ {each['url']}" if each["url"] else f"{name}=={each['version']}"
            for name, each in self.distributions.items()
            if canonicalize_name(name) not in left_out
        ]
        return tuple(sorted(lines, key=str.lower))

    def unmet(self, requirements: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Yield each requirement that is not met, with what is installed: 'torch 2.12.0', or ''."""
        from packaging.requirements import InvalidRequirement, Requirement

        for text in requirements:
            try:
                requirement = Requirement(text)
            except InvalidRequirement:
                continue  # some old packages have invalid requirements, which pip accepted
            if requirement.marker and not requirement.marker.evaluate({**self.markers, "extra": ""}):
                continue
            version = self.versions.get(canonicalize_name(requirement.name))
            if version is None:
                yield str(requirement), ""
            elif not requirement.specifier.contains(version, prereleases=True):
                yield str(requirement), f"{requirement.name} {version}"

    def conflicts(self, without_dependencies: Iterable[str] = (), not_needed: Iterable[str] = ()) -> Iterator[str]:
        """Describe every unmet requirement of the distributions.

        Args:
            without_dependencies: distributions that are installed without their dependencies on purpose.
            not_needed: distributions that need not be installed, whatever requires them.
        """
        from packaging.requirements import Requirement

        exempt = {canonicalize_name(name) for name in without_dependencies}
        unneeded = {canonicalize_name(name) for name in not_needed}
        for name, each in sorted(self.distributions.items()):
            if canonicalize_name(name) not in exempt:
                for requirement, installed in self.unmet(each["requires"]):
                    if canonicalize_name(Requirement(requirement).name) in unneeded:
                        continue
                    state = f"{installed} is installed" if installed else "it is not installed"
                    yield f"{name} {each['version']} requires {requirement}, but {state}"


def look(python: Path) -> Contents:
    """Inspect the environment of `python` without importing any of its packages.

    Raises:
        SwiftError: the interpreter does not run.
    """
    return Contents(**_ask(python, {}, 60))


def import_in(python: Path, modules: Sequence[str], limit: float) -> dict[str, Any]:
    """Import modules in the environment of `python`.

    Returns:
        `imported` (module → version or error) and `device` (the device that torch finds).

    Raises:
        SwiftError: the import crashed the interpreter, or took longer than `limit` seconds.
    """
    return _ask(python, {"import": list(modules)}, limit)


def _ask(python: Path, question: Mapping[str, Any], limit: float) -> dict[str, Any]:
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
