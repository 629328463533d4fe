"""A run being resolved, which the steps of a verb (`VerbSpec.prepare`, `VerbSpec.complete`) read and modify."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from swift_core.contract import Choice, DataChoice, Progress, Settings, Source, VerbSpec
from swift_core.plugins import Registry


@dataclass(slots=True, kw_only=True)
class Draft:
    """A run that is not frozen yet.

    `options` are the verb's own, validated; `parts` the choice for each part. `model` and `adapters` are there once the steps of
    `VerbSpec.prepare` are done. `settings` tell where each value was given; `notes` are shown to the user.
    """

    verb: VerbSpec  # the verb
    settings: Settings
    known: Registry  # the registry
    options: dict[str, Any]
    parts: dict[str, Choice]
    progress: Progress | None = None  # called with the progress of downloads
    model: Source | None = None
    adapters: dict[str, Source] = field(default_factory=dict)
    datasets: tuple[DataChoice, ...] = ()  # the rows of the run
    validation: tuple[DataChoice, ...] = ()  # the rows for evaluation
    notes: list[str] = field(default_factory=list)
