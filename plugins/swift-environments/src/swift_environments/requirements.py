"""The requirements of an environment, and the key that equal requirements share."""

from __future__ import annotations

import sysconfig
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from swift_core.contract import Spec, UsageError
from swift_core.plugins import Entry, engines
from swift_core.system import paths
from swift_environments import own_code


def envs_dir() -> Path:
    """Return the folder of the environments."""
    return paths.cache_dir("envs").absolute()


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSpec:
    """The specification of an engine environment, independent of the Python that is chosen.

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
    def from_json(cls, data: dict[str, Any]) -> EnvironmentSpec:
        """Read what `to_json` returned."""
        return cls(**{**data, "requirements": tuple(data["requirements"]), "no_deps": tuple(data["no_deps"])})


def environment_spec(entry: Entry[Spec]) -> EnvironmentSpec:
    """Return the specification of the entry's environment on this machine.

    Raises:
        UsageError: its engine does not support this machine's device.
    """
    spec, plugin = entry.spec, entry.plugin
    engine = engines.engine_for(spec)
    if engine is None:
        raise UsageError(
            f"the {spec.kind} '{spec.name}' has no engine for this machine",
            code="ENV-022",
            where=spec.kind,
            hint=engines.other_devices(spec),
        )
    ours = own_code.distributions(plugin.distribution)
    return EnvironmentSpec(
        kind=spec.kind,
        name=spec.name,
        distribution=plugin.distribution,
        version=plugin.version,
        platform=sysconfig.get_platform(),
        python=",".join(filter(None, (engine.python, own_code.requires_python(ours)))),
        requirements=(*engine.requirements, *own_code.third_party(ours)),
        no_deps=engine.no_deps,
        index=engine.index,
        engine=engines.engine_distribution(engine),
        disk=engine.disk,
    )
