"""Checks of the spec of each part: its name, its summary, its Refs and its engines."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from swift_core.contract import DatasetSpec, Ref, SwiftError
from swift_core.plugins import registry
from swift_testing.kit.model import EVERY, PART, CheckFailed, Skip, check, require
from swift_testing.kit.subject import Subject, load

_NAME = re.compile(r"[a-z0-9][a-z0-9._+-]*")
_HUB_ID = re.compile(rf"({_NAME.pattern}:)?{_NAME.pattern}/{_NAME.pattern}")
_DEVICES = ("cuda", "rocm", "npu", "mps", "xpu", "cpu", "any")


@check(EVERY)
def check_name(subject: Subject) -> None:
    """Its names can be typed: they consist of lower-case letters, digits and . _ + -. A dataset may also have ids of hubs, org/name."""
    spec = subject.spec
    for name in (spec.name, *spec.also):
        hub_id = isinstance(spec, DatasetSpec) and name != spec.name and _HUB_ID.fullmatch(name)
        require(hub_id or _NAME.fullmatch(name), f"'{name}' is not a valid name: use lower-case letters, digits and . _ + -")


@check(EVERY)
def check_summary(subject: Subject) -> None:
    """It has a summary of one line without a full stop, which `swift plugins` and the documentation list."""
    summary = subject.spec.summary
    require(summary.strip(), "it has no summary")
    require("\n" not in summary and len(summary) <= 140, "its summary is longer than one line of 140 characters")
    require(not summary.endswith("."), f"its summary ends with a full stop: '{summary}'")


@check(EVERY)
def check_names_are_unique(subject: Subject) -> None:
    """No other installed part of its kind has one of its names: users would have to qualify the name."""
    spec = subject.spec
    twice = [name for name, count in Counter((spec.name, *spec.also)).items() if count > 1]
    require(not twice, f"it has the name '{' '.join(twice)}' twice")
    for entry in registry().entries(spec.kind):
        if (entry.spec.name, entry.plugin.name) == (spec.name, subject.entry.name):
            continue
        shared = {spec.name, *spec.also} & {entry.spec.name, *entry.spec.also}
        require(not shared, f"the {spec.kind} '{', '.join(sorted(shared))}' is offered by {entry.plugin.distribution} too")


def _refs(spec: Any) -> Iterator[tuple[str, Ref]]:
    """Yield the Refs of a spec with their fields, including those in mappings and tuples."""
    for item in fields(spec):
        value = getattr(spec, item.name)
        for ref in value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple) else (value,):
            if isinstance(ref, Ref):
                yield item.name, ref


@check(PART)
def check_refs(subject: Subject) -> None:
    """Each Ref can be imported: it is a string, so a misspelt one would otherwise first fail at a user."""
    absent = []
    for name, ref in _refs(subject.spec):
        try:
            value = load(ref)
        except Skip as reason:
            absent.append(str(reason))
            continue
        except SwiftError as error:
            raise CheckFailed(f"{name}: {error.message}") from error
        require(callable(value), f"{name}: '{ref}' can't be called")
    if absent:
        raise Skip("; ".join(dict.fromkeys(absent)))


@check(PART)
def check_engines(subject: Subject) -> None:
    """Its engines are installable: they have valid requirements (PEP 508) and known devices, and an `isolated` part has an engine."""
    for engine in subject.spec.engines:
        require(engine.when in _DEVICES, f"Engine.when is '{engine.when}', not one of {', '.join(_DEVICES)}")
        try:
            SpecifierSet(engine.python)
            for text in (*engine.requirements, *engine.no_deps):
                Requirement(text)
        except (InvalidRequirement, InvalidSpecifier) as error:
            raise CheckFailed(f"an Engine can't be installed: {error}") from None
    require(not subject.spec.isolated or subject.spec.engines, "it is isolated, but has no Engine to create an environment from")
