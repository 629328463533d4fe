"""`swift audit trace`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from swift_plugin_audit.commands import JSON, LOG, chosen

if TYPE_CHECKING:
    from swift_plugin_audit.trace import Traced


@click.command("trace", short_help="Trace a checkpoint or file back to its data and base")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@LOG
@JSON
def command(checkpoint: Path, log: Path | None, as_json: bool) -> int:
    """Trace CHECKPOINT (a folder or file that a run made) back through merging, quantizing and training to its data and base model.

    The files are hashed, and found in the log by that hash, so that a copy with another name is found too. Exits with 1 if it is not in
    the log, or its files differ from the recorded ones.
    """
    from swift_plugin_audit.trace import trace

    found = trace(checkpoint, chosen(log).log)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
    else:
        for line in _lines(found, 0):
            click.echo(line)
    return 1 if found.problem or not found.run else 0


def _lines(found: Traced, depth: int) -> Iterator[str]:
    indent = "    " * depth
    licence = f"  licence: {found.licence or 'not stated'}" if depth else ""
    yield f"{indent}{found.name}  sha256:{found.hash[:16]}{licence}"
    if found.problem:
        yield f"{indent}    problem: {found.problem}"
    if not found.run:
        yield f"{indent}    no run in the log made it" if not depth else f"{indent}    not made by a run in the log: where the trace begins"
        return
    yield f"{indent}    made by {found.verb or '(removed)'} on {found.time[:19]}Z, by {found.who}, run {found.run} (entry {found.entry})"
    for data in found.data:
        hashed = f"  sha256:{data['hash'][:16]}" if data.get("hash") else ""
        yield f"{indent}    {data['use']} data: {data['asked']}{hashed}  licence: {data.get('licence') or 'not stated'}"
    for base in found.base:
        yield from _lines(base, depth + 1)
