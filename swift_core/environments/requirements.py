"""The requirements of an environment, and the key that equal requirements share."""

from __future__ import annotations

import sysconfig
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from swift_core.contract import ISOLATABLE, Engine, Spec, UsageError, suggestion
from swift_core.environments import own_code
from swift_core.plugins import Entry, Registry, engines
from swift_core.system import paths


def envs_dir() -> Path:
    """Return the folder of the environments."""
    return paths.cache_dir("envs").absolute()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The requirements of a spec's environment, independent of the Python that is chosen.

    Attributes:
        kind: kind of part.
        name: name of the part.
        distribution: the plugin's distribution.
        version: the plugin's version.
        platform: the platform, as `sysconfig.get_platform()` names it.
        python: the supported Python versions, as a specifier.
        requirements: the packages of the engine and the third-party requirements of our own code.
        no_deps: packages to install without their dependencies.
        index: an additional package index.
        engine: the distribution that is the engine itself.
        disk: the approximate size in gigabytes; 0 if unknown.
    """

    kind: str
    name: str
    distribution: str
    version: str
    platform: str
    python: str
    requirements: tuple[str, ...]
    no_deps: tuple[str, ...]
    index: str
    engine: str
    disk: float = 0.0

    def folder(self, python_version: str) -> Path:
        """Return the folder of the environment with that Python, whether or not it exists."""
        made_of = {key: value for key, value in self.to_json().items() if key != "disk"}
        key = paths.digest({**made_of, "with": python_version.split(".")[:2]})[:8]
        return envs_dir() / f"{self.name}-{key}"

    def to_json(self) -> dict[str, Any]:
        """Return the requirements as plain JSON values."""
        return asdict(self) | {"requirements": list(self.requirements), "no_deps": list(self.no_deps)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Wanted:
        """Read what `to_json` returned."""
        return cls(**{**data, "requirements": tuple(data["requirements"]), "no_deps": tuple(data["no_deps"])})


def isolated_entries(known: Registry) -> list[Entry[Spec]]:
    """Return all specs that can have an environment."""
    return [entry for kind in sorted(ISOLATABLE) for entry in known.entries(kind) if entry.spec.isolated]


def isolated_entry(known: Registry, name: str, kind: str = "") -> Entry[Spec]:
    """Return the spec of that name that can have an environment.

    Args:
        known: the registry of installed plugins.
        name: the spec's name, or another spelling of it.
        kind: its kind; '' for any.

    Raises:
        UsageError: there is no such spec, or several kinds have the name.
    """
    entries = [entry for entry in isolated_entries(known) if kind in ("", entry.spec.kind)]
    found = [entry for entry in entries if name == entry.spec.name or name in entry.spec.also]
    if len(found) == 1:
        return found[0]
    if found:
        kinds = " and ".join(sorted({entry.spec.kind for entry in found}))
        raise UsageError(f"'{name}' is a {kinds}", where="NAME", hint="Select one with --kind KIND.")
    if kind:
        known.entry(kind, name)  # raises its own error if the name is unknown
    names = [entry.spec.name for entry in entries]
    hint = suggestion(name, names) or f"Available: {', '.join(names) or 'none (no installed plugin has one)'}."
    raise UsageError(f"there is no part '{name}' that can have its own environment", where="NAME", hint=hint)


def wanted(entry: Entry[Spec]) -> Wanted:
    """Return the requirements of the entry's environment on this machine.

    Raises:
        UsageError: its engine does not support this machine's device.
    """
    spec, plugin = entry.spec, entry.plugin
    engine = engines.engine_for(spec)
    if engine is None:
        raise UsageError(f"the {spec.kind} '{spec.name}' has no engine for this machine", where=spec.kind, hint=engines.other_devices(spec))
    ours = own_code.distributions(plugin.distribution)
    return Wanted(
        kind=spec.kind,
        name=spec.name,
        distribution=plugin.distribution,
        version=plugin.version,
        platform=sysconfig.get_platform(),
        python=",".join(filter(None, (engine.python, own_code.requires_python(ours)))),
        requirements=(*engine.requirements, *own_code.third_party(ours)),
        no_deps=engine.no_deps,
        index=engine.index,
        engine=engine_distribution(engine),
        disk=engine.disk,
    )


def engine_distribution(engine: Engine) -> str:
    """Return the distribution that is the engine itself: the first one in `no_deps`, else the first requirement."""
    from packaging.requirements import Requirement

    first = (*engine.no_deps, *engine.requirements)[:1]
    return Requirement(first[0]).name if first else ""
