"""The contents of an environment: its distributions, compared with requirements, and which of them can be imported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from swift_core.environments import Inside, ask


class Contents(Inside):
    """The contents of an environment, as `swift env` examines them."""

    def requires(self, name: str) -> list[str]:
        """Return the requirements of a distribution."""
        return list(self._distribution(name).get("requires", ()))

    def modules(self, name: str) -> list[str]:
        """Return the importable modules of a distribution: only the one of its own name if there is one, else all."""
        from packaging.utils import canonicalize_name

        tops = [str(top) for top in self._distribution(name).get("top", ())]
        own = canonicalize_name(name).replace("-", "_")
        return [own] if own in tops else tops

    def _distribution(self, name: str) -> Mapping[str, Any]:
        from packaging.utils import canonicalize_name

        canonical = canonicalize_name(name)
        return next((each for other, each in self.distributions.items() if canonicalize_name(other) == canonical), {})

    def freeze(self, ours: Iterable[str]) -> tuple[str, ...]:
        """Return exact requirements (`name==version`, or `name @ url`) for all distributions except `ours`."""
        from packaging.utils import canonicalize_name

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
        from packaging.utils import canonicalize_name

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
        from packaging.utils import canonicalize_name

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
    return Contents(**ask(python, {}, 60))


def import_in(python: Path, modules: Sequence[str], limit: float) -> dict[str, Any]:
    """Import modules in the environment of `python`.

    Returns:
        `imported` (module → version or error) and `device` (the device that torch finds).

    Raises:
        SwiftError: the import crashed the interpreter, or took longer than `limit` seconds.
    """
    return ask(python, {"import": list(modules)}, limit)
