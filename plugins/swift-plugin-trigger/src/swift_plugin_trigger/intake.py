"""Accept events: check them against the schema, name them, and keep them, before anybody is told that they are accepted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Signal
from typing import Any

from swift_core.contract import UsageError
from swift_core.system import digest
from swift_plugin_trigger.definition import Definition
from swift_plugin_trigger.store import Added, Store

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,199}")


class InvalidEvent(UsageError):
    """An event that the schema or its id does not allow; `where` is the place in it."""


@dataclass(frozen=True, slots=True)
class Intake:
    """Takes the events of every source."""

    definition: Definition  # the trigger
    store: Store  # where they are kept
    check: Callable[[Any], None]  # raises InvalidEvent
    arrived: Signal  # set when there is work

    @classmethod
    def of(cls, definition: Definition, store: Store, arrived: Signal) -> Intake:
        """Return the intake of a trigger. Raises UsageError if its schema is none."""
        return cls(definition, store, checker(definition.event.schema_), arrived)

    def name_of(self, body: Any, given: str = "") -> str:
        """Return the id of a valid event: by the definition's template, else as given, else a hash of its content.

        Raises:
            InvalidEvent: it is not valid, or the id has other characters than letters, digits and . _ : @ -
        """
        if not isinstance(body, dict):
            raise InvalidEvent("an event must be a JSON object", code="TRIGGER-009", hint="Send an object with the fields of the schema.")
        self.check(body)
        template = self.definition.event.id
        try:
            name = template.render({**body, "event": body}).strip() if template.text else given or digest(body)[:32]
        except UsageError as error:
            raise InvalidEvent(f"its id can't be computed: {error.message}", code=error.code, where="event.id", hint=error.hint) from None
        if not _NAME.fullmatch(name):
            raise InvalidEvent(
                f"'{name[:60]}' is not a valid event id",
                code="TRIGGER-010",
                where="event.id",
                hint="Use letters, digits and . _ : @ -, at most 200 characters.",
            )
        return name

    def take(self, body: Mapping[str, Any], name: str, source: str) -> Added:
        """Keep a valid event, and wake those who answer; see `Store.add`."""
        added = self.store.add(name, body, source, self.definition.variants)
        self.arrived.set()
        return added


def checker(schema: str | Mapping[str, Any]) -> Callable[[Any], None]:
    """Return what checks events against a JSON Schema, which may stand in a file.

    Raises:
        UsageError: the file can't be read, or is no schema.
    """
    import jsonschema

    where = schema if isinstance(schema, str) else "event.schema"
    try:
        found: Any = json.loads(Path(schema).read_text(encoding="utf-8")) if isinstance(schema, str) else dict(schema)
        kind = jsonschema.validators.validator_for(found)
        kind.check_schema(found)
    except (OSError, ValueError) as error:
        raise UsageError(f"the schema can't be read: {error}", code="TRIGGER-011", where=where, hint="It is a JSON Schema.") from None
    except jsonschema.SchemaError as error:
        raise UsageError(f"not a JSON Schema: {error.message}", code="TRIGGER-012", where=where, hint="https://json-schema.org") from None
    validator = kind(found, format_checker=kind.FORMAT_CHECKER)

    def check(event: Any) -> None:
        fault = next(iter(sorted(validator.iter_errors(event), key=lambda error: list(map(str, error.path)))), None)
        if fault is not None:
            place = ".".join(map(str, fault.absolute_path)) or "event"
            raise InvalidEvent(fault.message[:300], code="TRIGGER-013", where=place, hint="The event must match the schema of the trigger.")

    return check
