"""Select the task for datasets: the task given, or the first that accepts the kind of their rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from swift_core.contract import DataChoice, Progress, Ref, Run, Settings, SwiftError, TaskSpec, VerbSpec
from swift_core.options import listed
from swift_core.plugins import Registry, registry
from swift_core.runs import resolve
from swift_data.inspector import RowInspector
from swift_data.reading import raw_rows
from swift_data.rows.forms import form_of

_LOOKED_AT = 100
_FIRST_ROWS = Ref("swift_data.options:FirstRowsOptions")
_OF_ROWS = ("dataset", "dataset_options", "data", "hub", "offline")


@dataclass(frozen=True, slots=True)
class Rows:
    """A resolved run over datasets, the kinds of row that it accepts, and notes for the user."""

    run: Run  # the resolved run
    kinds: Sequence[str]  # the kinds of row
    notes: tuple[str, ...] = ()  # texts for the user


def resolve_rows(verb: VerbSpec, settings: Settings, *, progress: Progress | None = None) -> Rows:
    """Resolve a command that reads rows. Without a task in the settings, it is selected by the kind of the rows.

    Raises:
        UsageError: with every problem that one pass finds.
    """
    known = registry()
    parts = dict(verb.parts)
    if not settings.values.get("model"):
        parts = {"task": parts["task"]}
    notes: list[str] = []
    kind = ""
    if "task" not in settings.values:
        kind = _kind_of_first(verb, settings, known, progress)
        spec = _task_for(kind, parts["task"], known)
        parts = {**parts, "task": spec.name} if spec else {}
        if spec:
            notes.append(f"read as rows for {spec.name}; select another task with --task")
        elif kind:
            notes.append(f"no task is selected for {kind} rows; name one with --task")
    resolved = resolve(replace(verb, parts=parts, main=verb.main if parts else ""), settings, progress=progress, using=known)
    kinds = known.spec(resolved.run.part("task"), TaskSpec).rows if parts else (kind or "chat",)
    return Rows(resolved.run, kinds, (*notes, *resolved.notes))


def commonest_kind(datasets: Sequence[DataChoice], how: Mapping[str, Any] | None = None) -> str:
    """Return the most frequent kind among the first rows of the first dataset, or '' if it is unknown."""
    kinds = Counter[str]()
    with suppress(SwiftError):  # errors in rows are reported when they are read
        kinds.update(form_of(raw.data).kind for raw in islice(raw_rows(datasets[0], how), _LOOKED_AT) if not raw.fault)
    del kinds[""]
    return kinds.most_common(1)[0][0] if kinds else ""


def inspector_of(run: Run) -> RowInspector | None:
    """Return the run's row inspector, or None without a model or if the task has none."""
    if run.model is None or "task" not in run.parts:
        return None
    spec = registry().spec(run.part("task"), TaskSpec)
    inspector: Any = spec.inspector.load()(run) if spec.inspector else None
    return inspector  # type: ignore[no-any-return]


def _kind_of_first(verb: VerbSpec, settings: Settings, known: Registry, progress: Progress | None) -> str:
    values = {key: settings.values[key] for key in _OF_ROWS if key in settings.values}
    values["dataset"] = listed(values.get("dataset"))[:1]
    only = Settings(values, settings.lines, settings.flags)
    first = replace(verb, parts={}, main="", options=_FIRST_ROWS)
    run = resolve(first, only, progress=progress, using=known).run
    return commonest_kind(run.datasets, run.options["data"])


def _task_for(kind: str, preferred: str, known: Registry) -> TaskSpec | None:
    """Return the first task that accepts rows of this kind, the preferred one first; only that one if the kind is unknown.

    A task that samples answers to prompts must be named: rows without an answer are more often rows whose fields have other names.
    """
    if kind == "prompt":
        return None
    specs = sorted(known.all(TaskSpec), key=lambda spec: spec.name != preferred)
    return next((spec for spec in specs if kind in spec.rows or (not kind and spec.name == preferred)), None)
