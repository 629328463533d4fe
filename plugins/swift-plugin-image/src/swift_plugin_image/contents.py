"""The contents of an image: our distributions as wheels, and the requirements of the two environments in it.

`swift` itself is in one environment, with the versions that are installed here. An engine that is isolated has an environment of its own,
with the engine's requirements and those of the libraries of its plugin, as `swift env create` would make it for the image's device.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution

from swift_environments import own_code

from swift_core.contract import Engine, Spec, UsageError
from swift_core.plugins import registry

CPU_INDEX = "https://download.pytorch.org/whl/cpu"  # PyPI's torch for Linux is the one for CUDA, several gigabytes larger
_BESIDE = ("swift-gateway", "swift-plugin-kubernetes")  # taken along where they are installed: the gateway, the preStop hook


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The contents of an image.

    Attributes:
        backend: name of the backend.
        device: the device it is for, as in `Engine.when`.
        python: version of Python, such as 3.12.
        ours: our distributions, for the environment of `swift`.
        pins: third-party distributions of that environment, as name==version.
        engine: the engine that has an environment of its own; None if the backend needs none.
        engine_ours: our distributions in the engine's environment.
        engine_requirements: the third-party requirements there.
    """

    backend: str
    device: str
    python: str
    ours: tuple[Distribution, ...]
    pins: tuple[str, ...]
    engine: Engine | None
    engine_ours: tuple[Distribution, ...] = ()
    engine_requirements: tuple[str, ...] = ()


def contents(name: str, *, device: str, python: str = "") -> Contents:
    """Return what the image of a backend holds.

    Args:
        name: name of the backend.
        device: the device, as in `Engine.when`.
        python: version of Python; empty: that of this process.

    Raises:
        UsageError: there is no such backend, or its engine does not support the device or the version of Python.
    """
    entry = registry().entry("backend", name, where="backend")
    spec, version = entry.spec, python or ".".join(platform.python_version_tuple()[:2])
    engine = _engine(spec, device)
    if engine and engine.python and not _allows(engine.python, version):
        hint = f"Choose a version that fits {engine.python}: --python."
        raise UsageError(f"the engine of {spec.name} does not support Python {version}", code="IMAGE-004", where="python", hint=hint)
    ours, theirs = _closure([f"{own_code.CORE}[standard]", entry.plugin.distribution, *_installed(_BESIDE)])
    if engine is None or not spec.isolated:
        extra = engine.requirements if engine else ()
        return Contents(backend=spec.name, device=device, python=version, ours=ours, pins=(*theirs, *extra), engine=None)
    inside = tuple(own_code.distributions(entry.plugin.distribution))
    return Contents(
        backend=spec.name,
        device=device,
        python=version,
        ours=ours,
        pins=theirs,
        engine=engine,
        engine_ours=inside,
        engine_requirements=(*engine.requirements, *own_code.third_party(inside)),
    )


def _engine(spec: Spec, device: str) -> Engine | None:
    if not spec.engines:
        return None
    found = next((engine for engine in spec.engines if engine.when in (device, "any")), None)
    if found is None:
        able = ", ".join(sorted({engine.when for engine in spec.engines}))
        raise UsageError(f"{spec.name} has no engine for {device}", code="IMAGE-005", where="device", hint=f"It runs on {able}: --device.")
    return found


def _allows(specifier: str, version: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(specifier).contains(version)


def _installed(names: Iterable[str]) -> list[str]:
    found = []
    for name in names:
        try:
            importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        found.append(name)
    return found


def _closure(roots: Iterable[str]) -> tuple[tuple[Distribution, ...], tuple[str, ...]]:
    """Return our distributions that the roots need, and the others as name==version, without local versions such as +cpu."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name
    from packaging.version import Version

    ours: dict[str, Distribution] = {}
    theirs: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    pending = [Requirement(root) for root in roots]
    while pending:
        requirement = pending.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            try:
                found = importlib.metadata.distribution(name)
            except importlib.metadata.PackageNotFoundError:
                continue  # of an extra, or for another platform
            needed = [Requirement(text) for text in found.requires or ()]
            pending += [each for each in needed if each.marker is None or each.marker.evaluate({"extra": extra})]
            if name == own_code.CORE or any(canonicalize_name(each.name) == own_code.CORE for each in needed):
                ours[name] = found
            else:
                theirs[name] = f"{found.name}=={Version(found.version).public}"
    return tuple(ours[name] for name in sorted(ours)), tuple(theirs[name] for name in sorted(theirs))
