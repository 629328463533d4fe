"""`swift data tokenize`: tokenise data sets into shards."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import click
from swift_data.commands.command import DataCommand
from swift_data.verbs import CHECK

from swift_core.cli import Screen
from swift_core.contract import Ref, Settings, UsageError, VerbSpec

if TYPE_CHECKING:
    from swift_corpus.index import Index

TOKENIZE = replace(
    CHECK,
    name="data tokenize",
    summary="Tokenise datasets into shards, on one machine or a cluster",
    options=Ref("swift_corpus.options:TokenizeOptions"),
    gives="shards",
)
HELP = """Tokenise datasets into shards, which a training reads instead of the rows: in a folder, or an object store.

Rows are tokenised, truncated and masked as in training, in parts, by the processes of an executor. The shards are the same whoever writes
them. If it is interrupted, or processes are lost, the same command continues."""


def tokenize(verb: VerbSpec, settings: Settings, screen: Screen) -> int:
    """Tokenise the datasets and print a summary."""
    from swift_data.task import resolve_rows

    from swift_corpus.tokenize import tokenize as carry_out

    rows = resolve_rows(verb, settings, progress=screen.download)
    for text in rows.notes:
        screen.note(text)
    if "task" not in rows.run.parts or rows.run.model is None:
        raise UsageError(
            "no installed task tokenises these rows", code="DATA-178", where="task", hint="Name one: --task sft, --task pretrain."
        )
    index = carry_out(rows.run, screen.watch)
    screen.close()
    output = rows.run.options["output"]
    if screen.quiet:
        click.echo(json.dumps(_figures(index) | {"output": output}, ensure_ascii=False))
        return 0
    found = _figures(index)
    click.echo(f"{output}: {found['rows']:,} rows, {found['tokens']:,} tokens in {found['shards']:,} shards; digest {index.digest}")
    for reason, count in index.left_out.items():
        click.echo(f"left out: {count:,} rows, {reason}")
    if index.skipped:
        click.echo(f"skipped: {index.skipped:,} invalid rows, listed in {output}/skipped_rows.jsonl")
    if index.dropped:
        click.echo(f"dropped: {index.dropped:,} rows that are too long (truncation: {index.facts['truncation']})")
    click.echo(f"train on them: swift {rows.run.part('task').name} --model {rows.run.model.reference} --dataset {output}")
    return 0


def _figures(index: Index) -> dict[str, object]:
    return {
        "rows": index.rows, "sequences": index.sequences, "tokens": index.tokens, "shards": len(index.shards), "digest": index.digest,
        "left_out": dict(index.left_out), "skipped": index.skipped, "dropped": index.dropped,
    }  # fmt: skip


command = DataCommand(TOKENIZE, tokenize, HELP)
