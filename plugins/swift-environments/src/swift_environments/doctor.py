"""Diagnose an environment: its Python, our code in it, the import of the engine, the device and the package conflicts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from swift_core.contract import Spec, SwiftError
from swift_core.plugins import Entry, engines
from swift_environments import own_code
from swift_environments.contents import Contents, import_in, look
from swift_environments.requirements import EnvironmentSpec


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        what: what was checked.
        ok: whether it passed; None for information only.
        text: what was found.
    """

    what: str
    ok: bool | None
    text: str


def examine(python: Path, entry: Entry[Spec], required: EnvironmentSpec, *, ours: bool, limit: float = 300.0) -> Iterator[Finding]:
    """Check the environment of `python`, cheap checks first.

    Args:
        python: the interpreter of the environment.
        entry: the spec whose engine it contains.
        required: the requirements that it should meet.
        ours: whether swift created it, and therefore must have put its own code into it.
        limit: maximum seconds for importing the engine.
    """
    try:
        found = look(python)
    except SwiftError as error:
        yield Finding("python", False, f"{error.message} ({python})")
        return
    yield Finding("python", True, f"{found.python}, created from {found.base}")
    if ours:
        yield _handshake(found, entry)
    yield from _engine(found, python, entry, limit)
    unmet = found.unmet(required.requirements) if ours else ()
    conflicts = [f"{entry.spec.name} requires {text}, but {installed or 'nothing'} is installed" for text, installed in unmet]
    conflicts += found.conflicts(_alone(required), own_code.not_copied(own_code.distributions(required.distribution)))
    for text in conflicts:
        yield Finding("packages", False, text)
    if not conflicts:
        yield Finding("packages", True, f"{len(found.distributions)} packages, no conflicts")
    for name in _alone(required):
        left_out = [text for text, installed in found.unmet(found.requires(name)) if not installed]
        if left_out:
            yield Finding("packages", None, f"{name} is installed without these dependencies, on purpose: {', '.join(left_out)}")


def _handshake(found: Contents, entry: Entry[Spec]) -> Finding:
    """Check that the environment has the same versions of our code as this process."""
    here = own_code.versions(own_code.distributions(entry.plugin.distribution))
    differ = [
        f"{name} is {version} here and {found.version(name) or 'absent'} in the environment"
        for name, version in here.items()
        if found.version(name) != version
    ]
    return Finding("swift code", not differ, "; ".join(differ) or ", ".join(f"{name} {version}" for name, version in here.items()))


def _engine(found: Contents, python: Path, entry: Entry[Spec], limit: float) -> Iterator[Finding]:
    names = [engines.engine_distribution(engine) for engine in entry.spec.engines]
    name = next((name for name in names if found.version(name)), "")
    if not name:
        yield Finding("engine", False, f"{' or '.join(dict.fromkeys(names))} is not installed")
        return
    modules = found.modules(name)
    try:
        seen = import_in(python, modules, limit)
    except SwiftError as error:
        yield Finding("engine", False, f"{name} {found.version(name)}: importing {', '.join(modules)}: {error.message}")
        return
    errors = [f"importing {module}: {result['error']}" for module, result in seen["imported"].items() if "error" in result]
    text = "; ".join(errors) or f"{', '.join(modules)} can be imported"
    yield Finding("engine", not errors, f"{name} {found.version(name)}: {text}")
    if seen["device"]:
        kind = engines.device_kind()
        text = f"torch {seen['device']['torch']} finds {seen['device']['device']}"
        ok = kind in (seen["device"]["device"], "cpu")  # device files do not tell of every accelerator
        problem = "" if ok else f", but this machine has {kind}: the driver or the build of torch does not match"
        yield Finding("device", ok, text + problem)


def _alone(required: EnvironmentSpec) -> list[str]:
    from packaging.requirements import Requirement

    return [Requirement(text).name for text in required.no_deps]
