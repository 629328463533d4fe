"""Environment variables of ms-swift that choose the hub: USE_HF and USE_MODELSCOPE_HUB."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from swift_core.contract import Settings, UsageError, VerbSpec
from swift_core.options import fields
from swift_core.runs import set_option

_HUBS: Mapping[str, tuple[str, str]] = {"USE_HF": ("hf", "ms"), "USE_MODELSCOPE_HUB": ("ms", "hf")}
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def apply(verb: VerbSpec, settings: Settings, environment: Mapping[str, str]) -> Iterator[str]:
    """Apply the variables to the settings of a run, and yield notes for the user.

    Raises:
        UsageError: a value is neither true nor false.
    """
    if not any(field.path == "hub" for field in fields.fields(verb.options)):
        return
    for name, (on, off) in _HUBS.items():
        value = environment.get(name, "").strip().lower()
        if value:
            if value not in _TRUE + _FALSE:
                raise UsageError(f"must be 1 or 0, not '{value}'", code="RUN-012", where=name, hint="Or use --hub hf or --hub ms.")
            hub = on if value in _TRUE else off
            yield from set_option(settings, "hub", hub, f"{name}={environment[name]}", known=True, trivial=hub == "hf")
