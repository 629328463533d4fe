"""What distributions offer in an entry-point group, chosen as `NAME:OPTION=VALUE`, in YAML `{name: NAME, option: value}`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, TypeVar

from swift_core.contract import Ref, SwiftError, UsageError, suggestion
from swift_core.options import Invalid, Options

OfferedT = TypeVar("OfferedT", bound=Options)
_HOW = "Write a name with options after colons, NAME:OPTION=VALUE; in YAML {name: NAME, option: value}."


def offered(group: str, base: type[OfferedT], asked: Any, where: str, noun: str) -> tuple[str, OfferedT]:
    """Return the name of what is asked for, and the object with its options.

    Args:
        group: entry-point group; each entry point names a subclass of `base`, whose fields are its options.
        base: the class of what is offered.
        asked: a text or a mapping. A name with a colon that no entry point has is `module:Class`, in a mapping.
        where: the option that names it.
        noun: what it is, for messages.

    Raises:
        UsageError: nothing has that name, it can't be imported, or its options are wrong.
    """
    parsed = name_and_options(asked)
    if parsed is None and isinstance(asked, str):
        raise UsageError(f"'{asked}' is not a {noun} with options", code="DATA-176", where=where, hint=_HOW)
    if parsed is None:
        raise UsageError(f"{asked!r} is not a {noun}", code="DATA-177", where=where, hint=_HOW)
    name, values = parsed
    known = {point.name: point.value for point in entry_points(group=group)}
    if name not in known and ":" not in name:
        hint = suggestion(name, known) or f"Installed: {', '.join(sorted(known)) or 'none'}."
        raise UsageError(f"there is no {noun} '{name}'", code="DATA-174", where=where, hint=hint)
    try:
        kind = Ref(known.get(name, name)).load()
    except SwiftError as error:
        raise UsageError(
            f"the {noun} '{name}' can't be imported: {error.message}", code=error.code, where=where, hint=error.hint
        ) from error
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise UsageError(
            f"'{name}' is not a {noun}", code="DATA-175", where=where, hint=f"Name a subclass of {base.__module__}.{base.__qualname__}."
        )
    try:
        return name, kind.checked(values)
    except Invalid as error:
        raise error.with_context(where=f"{where} {name}") from None


def name_and_options(asked: Any) -> tuple[str, dict[str, Any]] | None:
    """Return the name and the options in `NAME:OPTION=VALUE` or in a mapping with a `name`; None for anything else."""
    if isinstance(asked, str):
        name, *pairs = asked.split(":")
        values: dict[str, Any] = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        if not name or len(values) != len(pairs):
            return None
    elif isinstance(asked, Mapping) and asked.get("name"):
        values = dict(asked)
        name = str(values.pop("name"))
    else:
        return None
    return name, {key.replace("-", "_"): value for key, value in values.items()}
