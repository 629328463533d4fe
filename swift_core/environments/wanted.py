"""What an environment is made of, and the key that two equal wishes share."""

from __future__ import annotations

import sysconfig
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from swift_core import engines, paths
from swift_core.environments import own_code
from swift_core.errors import UsageError, suggestion
from swift_core.registry import Entry, Registry
from swift_core.roles import ISOLATABLE
from swift_core.specs import Engine


def envs_dir() -> Path:
    """Where environments are kept."""
    return paths.cache_dir("envs").absolute()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a spec's environment is made of, whichever Python it gets. `python` is a specifier, `disk` gigabytes (0: not known)."""

    kind: str
    name: str
    distribution: str
    version: str
    platform: str
    python: str
    requirements: tuple[str, ...]  # of the engine, and of our own code
    no_deps: tuple[str, ...]
    index: str
    engine: str  # the distribution that is the engine itself
    disk: float = 0.0

    def folder(self, python_version: str) -> Path:
        """Where it is, or would be, with that Python."""
        made_of = {key: value for key, value in self.to_json().items() if key != "disk"}
        key = paths.digest({**made_of, "with": python_version.split(".")[:2]})[:8]
        return envs_dir() / f"{self.name}-{key}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"requirements": list(self.requirements), "no_deps": list(self.no_deps)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Wanted:
        """The inverse of `to_json`."""
        return cls(**{**data, "requirements": tuple(data["requirements"]), "no_deps": tuple(data["no_deps"])})


def isolated_entries(known: Registry) -> list[Entry]:
    """All specs that may have an environment."""
    return [entry for kind in sorted(ISOLATABLE) for entry in known.entries(kind) if entry.spec.isolated]


def isolated_entry(known: Registry, name: str, kind: str = "") -> Entry:
    """The spec of that name that may have an environment.

    Raises:
        UsageError: there is none, or several kinds have the name.
    """
    entries = [entry for entry in isolated_entries(known) if kind in ("", entry.spec.kind)]
    found = [entry for entry in entries if name == entry.spec.name or name in entry.spec.also]
    if len(found) == 1:
        return found[0]
    if found:
        kinds = " and ".join(sorted({entry.spec.kind for entry in found}))
        raise UsageError(f"'{name}' is a {kinds}", where="NAME", hint="Say which: --kind KIND.")
    if kind:
        known.entry(kind, name)  # raises with its own reason where nothing has the name
    names = [entry.spec.name for entry in entries]
    hint = suggestion(name, names) or f"These have one: {', '.join(names) or 'none that is installed'}."
    raise UsageError(f"nothing called '{name}' has an environment of its own", where="NAME", hint=hint)


def wanted(entry: Entry) -> Wanted:
    """What the entry's environment is made of on this machine.

    Raises:
        UsageError: its engine does not run on this machine's device.
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
    """The distribution that is the engine itself: the first that comes without its dependencies, else the first of all."""
    from packaging.requirements import Requirement

    first = (*engine.no_deps, *engine.requirements)[:1]
    return Requirement(first[0]).name if first else ""
