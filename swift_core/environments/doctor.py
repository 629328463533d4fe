"""Whether an environment works, and if not, why, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from swift_core import engines
from swift_core.environments import own_code
from swift_core.environments.inside import Inside, import_in, look
from swift_core.environments.wanted import Wanted, engine_distribution
from swift_core.errors import SwiftError
from swift_core.registry import Entry


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: whether it is well, and what was seen. `ok` is None for what is only told."""

    what: str
    ok: bool | None
    text: str


def examine(python: Path, entry: Entry, wish: Wanted, *, ours: bool, limit: float = 300.0) -> Iterator[Finding]:
    """Look at the environment of `python`, cheap things first.

    Args:
        python: its interpreter.
        entry: whose engine is in it.
        wish: what it should be made of.
        ours: whether we made it, so that our own code must be in it.
        limit: seconds that the import of the engine may take.
    """
    try:
        found = look(python)
    except SwiftError as error:
        yield Finding("python", False, f"{error.message} ({python})")
        return
    yield Finding("python", True, f"{found.python}, made from {found.base}")
    if ours:
        yield _handshake(found, entry)
    yield from _engine(found, python, entry, limit)
    unmet = found.unmet(wish.requirements) if ours else ()
    conflicts = [f"{entry.spec.name} wants {text}, and {there or 'nothing'} is there" for text, there in unmet]
    conflicts += found.conflicts(_alone(wish))
    for text in conflicts:
        yield Finding("packages", False, text)
    if not conflicts:
        yield Finding("packages", True, f"{len(found.distributions)}, and no two of them disagree")
    for name in _alone(wish):
        left_out = [text for text, there in found.unmet(found.requires(name)) if not there]
        if left_out:
            yield Finding("packages", None, f"{name} is there without what it asks for and does not need: {', '.join(left_out)}")


def _handshake(found: Inside, entry: Entry) -> Finding:
    """Parent and worker must be the same version."""
    here = own_code.versions(own_code.distributions(entry.plugin.distribution))
    differ = [
        f"{name} is {version} here and {found.version(name) or 'absent'} there"
        for name, version in here.items()
        if found.version(name) != version
    ]
    return Finding("our code", not differ, "; ".join(differ) or ", ".join(f"{name} {version}" for name, version in here.items()))


def _engine(found: Inside, python: Path, entry: Entry, limit: float) -> Iterator[Finding]:
    names = [engine_distribution(engine) for engine in entry.spec.engines]
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
    errors = [f"importing {module}: {said['error']}" for module, said in seen["imported"].items() if "error" in said]
    text = "; ".join(errors) or f"{', '.join(modules)} can be imported"
    yield Finding("engine", not errors, f"{name} {found.version(name)}: {text}")
    if seen["device"]:
        kind = engines.device_kind()
        text = f"torch {seen['device']['torch']} sees {seen['device']['device']}"
        well = kind == seen["device"]["device"]
        problem = "" if well else f", and this machine has {kind}: its driver, or the build of torch, does not fit"
        yield Finding("device", well, text + problem)


def _alone(wish: Wanted) -> list[str]:
    from packaging.requirements import Requirement

    return [Requirement(text).name for text in wish.no_deps]
