"""State of the engine that a spec needs, from package metadata: nothing is imported."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from dataclasses import dataclass
from functools import cache

from swift_core.contract import Engine, Spec


@dataclass(frozen=True, slots=True)
class EngineState:
    """`present`, or what is missing and how to get it. A spec without engines is always present."""

    present: bool
    versions: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    hint: str = ""


@cache
def device_kind() -> str:
    """Return the accelerator of this machine, named as in `Engine.when`; read from device files, without loading a driver."""
    for kind, path in (("cuda", "/dev/nvidia0"), ("rocm", "/dev/kfd"), ("npu", "/dev/davinci0")):
        if os.path.exists(path):
            return kind
    return "mps" if platform.system() == "Darwin" and platform.machine() == "arm64" else "cpu"


def engine_for(spec: Spec, device: str | None = None) -> Engine | None:
    """Return the first engine that fits the device, or None."""
    kind = device or device_kind()
    return next((engine for engine in spec.engines if engine.when in (kind, "any")), None)


def engine_distribution(engine: Engine) -> str:
    """Return the distribution that is the engine itself: the first one in `no_deps`, else the first requirement."""
    from packaging.requirements import Requirement

    first = (*engine.no_deps, *engine.requirements)[:1]
    return Requirement(first[0]).name if first else ""


def other_devices(spec: Spec) -> str:
    """Return the devices that the spec's engines support, if none of them is for this machine."""
    devices = ", ".join(sorted({item.when for item in spec.engines}))
    return f"It runs on {devices}; this machine has {device_kind()}."


def engine_state(spec: Spec, distribution: str) -> EngineState:
    """Return whether the spec's engine for this machine is installed in this environment."""
    if not spec.engines:
        return EngineState(True)
    engine = engine_for(spec)
    if engine is None:
        return EngineState(False, hint=other_devices(spec))
    from packaging.requirements import InvalidRequirement, Requirement

    found: list[str] = []
    missing: list[str] = []
    for text in (*engine.requirements, *engine.no_deps):
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            return EngineState(False, missing=(text,), hint=f"'{text}' is no requirement that pip knows: {distribution} is broken.")
        if requirement.marker and not requirement.marker.evaluate():
            continue
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(text)
            continue
        fits = requirement.specifier.contains(version, prereleases=True)
        (found if fits else missing).append(f"{requirement.name} {version}" if fits else f"{text} (here: {version})")
    if not missing:
        return EngineState(True, tuple(found))
    hint = (
        f"swift env create {spec.name} makes an environment for it; pip install '{distribution}[engine]' puts it into this one"
        if spec.isolated
        else f"pip install {' '.join(repr(item) for item in missing)}"
    )
    return EngineState(False, tuple(found), tuple(missing), hint)
