"""Resolve a run in order to plan it: no weight is downloaded, and a training without a dataset gets a placeholder row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.contract import Settings, VerbSpec
from swift_core.plugins import registry
from swift_core.runs import resolve
from swift_core.system import cache_dir, write_text

if TYPE_CHECKING:
    from swift_core.cli import Screen
    from swift_core.contract import Run

_ROWS = {
    "chat": {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]},
    "text": {"text": "?"},
    "preference": {"prompt": "?", "chosen": "!", "rejected": "."},
    "label": {"messages": [{"role": "user", "content": "?"}], "label": 0},
}


def resolved(verb: VerbSpec, settings: Settings, screen: Screen, *, stands_in: bool) -> tuple[Run, int]:
    """Return the resolved run, and the bytes of its model that are not on this machine.

    Args:
        verb: the verb.
        settings: its settings.
        screen: shows downloads.
        stands_in: whether the dataset is the placeholder row of `one_row`.

    Raises:
        UsageError: as `swift_core.runs.resolve`.
    """
    from dataclasses import replace

    from swift_plan.skeleton import local_or_skeleton

    known, values = registry(), settings.values
    asked = str(values.get("model") or "")
    absent = 0
    if asked:
        hub, offline = str(values.get("hub") or ""), bool(values.get("offline"))
        values["model"], absent = local_or_skeleton(asked, known, hub=hub, offline=offline, progress=screen.download)
    if "task" in verb.parts:
        values["plan"] = False  # it must not be refused before it is planned
    run = resolve(verb, settings, progress=screen.download).run
    if run.model and absent:
        run = replace(run, model=replace(run.model, reference=asked))
    return (replace(run, datasets=()) if stands_in else run), absent


def one_row(verb: VerbSpec) -> Path:
    """Return a file with one row of the kind that the verb's task takes."""
    from swift_core.contract import TaskSpec

    spec = next((spec for spec in registry().all(TaskSpec) if spec.name == verb.parts["task"]), None)
    kind = next((kind for kind in (spec.rows if spec else ()) if kind in _ROWS), "chat")
    file = cache_dir("plan", f"{kind}.jsonl")
    if not file.is_file():
        write_text(file, json.dumps(_ROWS[kind]) + "\n")
    return file
