"""Options of another tool's file, given to a verb directly: `swift sft lf.yaml`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from swift_core.contract import hookimpl

if TYPE_CHECKING:
    from swift_core.contract import Settings, VerbSpec


@hookimpl
def swift_settings(verb: VerbSpec, settings: Settings, environment: Mapping[str, str]) -> Iterable[str]:
    """Translate the settings if the YAML file has keys that only another tool has."""
    if not settings.lines:
        return []
    from swift_plugin_import import direct

    return direct.translate(verb, settings)
