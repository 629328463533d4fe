"""`swift data schema`: the JSON Schema of a task's rows."""

from __future__ import annotations

import json

import click

from swift_core.contract import TaskSpec, UsageError, suggestion

KINDS = ("chat", "text", "preference", "label", "prompt", "retrieval", "tagged")


@click.command("schema", short_help="Print the JSON Schema of the rows that a task accepts.")
@click.argument("task")
def command(task: str) -> None:
    """Print the JSON Schema of the rows that TASK accepts, with an example of each format.

    TASK is an installed task (sft, pretrain, …), or a kind of row: chat, text, preference, label, prompt, retrieval, tagged.
    """
    from swift_core.plugins import registry
    from swift_data.rows.schema import row_schema

    known = {name: spec.rows for spec in registry().all(TaskSpec) for name in (spec.name, *spec.also)}
    known |= {kind: (kind,) for kind in KINDS}
    if task not in known:
        hint = suggestion(task, known) or f"Tasks and kinds of row: {', '.join(known)}."
        raise UsageError(f"there is no task or kind of row '{task}'", code="DATA-013", hint=hint)
    click.echo(json.dumps(row_schema(known[task]), indent=2, ensure_ascii=False))
