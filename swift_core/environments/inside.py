"""What is in an environment, asked of its own Python."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from swift_core.environments import probe
from swift_core.environments.interpreters import variables
from swift_core.errors import SwiftError


@dataclass(frozen=True)
class Inside:
    """The interpreter of an environment and its distributions: name → version, requires, url, top."""

    python: str
    base: str
    site_packages: str
    markers: Mapping[str, str]
    distributions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @cached_property
    def versions(self) -> dict[str, str]:
        """Canonical name → version."""
        from packaging.utils import canonicalize_name

        return {canonicalize_name(name): str(each["version"]) for name, each in self.distributions.items()}

    def version(self, name: str) -> str:
        """The version of a distribution, or '' if it is not there."""
        from packaging.utils import canonicalize_name

        return self.versions.get(canonicalize_name(name), "")

    def requires(self, name: str) -> list[str]:
        """What a distribution asks for."""
        return list(self._distribution(name).get("requires", ()))

    def modules(self, name: str) -> list[str]:
        """What a distribution lets one import: the package of its own name where it has one, else all."""
        from packaging.utils import canonicalize_name

        tops = [str(top) for top in self._distribution(name).get("top", ())]
        own = canonicalize_name(name).replace("-", "_")
        return [own] if own in tops else tops

    def _distribution(self, name: str) -> Mapping[str, Any]:
        from packaging.utils import canonicalize_name

        wish = canonicalize_name(name)
        return next((each for named, each in self.distributions.items() if canonicalize_name(named) == wish), {})

    def freeze(self, ours: Iterable[str]) -> tuple[str, ...]:
        """Exact requirements for all that is there but `ours`."""
        from packaging.utils import canonicalize_name

        left_out = {canonicalize_name(name) for name in ours}
        lines = [
            f"{name} @ {each['url']}" if each["url"] else f"{name}=={each['version']}"
            for name, each in self.distributions.items()
            if canonicalize_name(name) not in left_out
        ]
        return tuple(sorted(lines, key=str.lower))

    def unmet(self, requirements: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Each requirement that does not hold, and what is there: 'torch 2.12.0', or nothing."""
        from packaging.requirements import InvalidRequirement, Requirement
        from packaging.utils import canonicalize_name

        for text in requirements:
            try:
                requirement = Requirement(text)
            except InvalidRequirement:
                continue  # old packages have such; pip has let it pass
            if requirement.marker and not requirement.marker.evaluate({**self.markers, "extra": ""}):
                continue
            version = self.versions.get(canonicalize_name(requirement.name))
            if version is None:
                yield str(requirement), ""
            elif not requirement.specifier.contains(version, prereleases=True):
                yield str(requirement), f"{requirement.name} {version}"

    def conflicts(self, without_dependencies: Iterable[str] = ()) -> Iterator[str]:
        """Every requirement of a distribution that does not hold, in words; those of `without_dependencies` are not asked."""
        from packaging.utils import canonicalize_name

        silent = {canonicalize_name(name) for name in without_dependencies}
        for name, each in sorted(self.distributions.items()):
            if canonicalize_name(name) not in silent:
                for wish, there in self.unmet(each["requires"]):
                    yield f"{name} {each['version']} wants {wish}, and {f'{there} is there' if there else 'it is not there'}"


def look(python: Path) -> Inside:
    """Ask the environment of `python` what it has, without importing anything of it.

    Raises:
        SwiftError: it does not run.
    """
    return Inside(**_ask(python, {}, 60))


def import_in(python: Path, modules: Sequence[str], limit: float) -> dict[str, Any]:
    """Import modules there: `imported` (module → version or error) and `device` (what torch sees).

    Raises:
        SwiftError: it crashed, or took longer than `limit` seconds.
    """
    return _ask(python, {"import": list(modules)}, limit)


def _ask(python: Path, question: Mapping[str, Any], limit: float) -> dict[str, Any]:
    try:
        done = subprocess.run(
            [python, "-I", str(probe.__file__), json.dumps(question)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit,
            check=False,
            env=variables(str(python)),
        )
        return dict(json.loads(done.stdout))
    except OSError as error:
        raise SwiftError(f"this Python does not run: {error.strerror}", where=str(python)) from None
    except subprocess.TimeoutExpired:
        raise SwiftError(f"no answer in {limit:g} seconds", where=str(python)) from None
    except ValueError:
        last = done.stderr.strip().splitlines()[-1:] or ["it printed nothing"]
        raise SwiftError(f"it ended with code {done.returncode}: {last[0][:300]}", where=str(python)) from None
