"""`swift audit export`."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import click

from swift_core.system import write_text
from swift_plugin_audit.commands import LOG, chosen


@click.command("export", short_help="Write the entries for other tools: JSON lines or CSV")
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), help="Format; default: by the suffix of OUTPUT, else jsonl.")
@LOG
def command(output: Path, form: str | None, log: Path | None) -> None:
    """Write the entries to OUTPUT, without salts and section hashes; a section in CSV is JSON.

    The export can't be verified: keep the log itself as the evidence.
    """
    from swift_plugin_audit.log import read

    rows = [entry.to_json() for entry in read(chosen(log).log)]
    if (form or output.suffix.removeprefix(".")) == "csv":
        names = list(dict.fromkeys(["seq", "time", "event", "run", *(name for row in rows for name in row)]))
        text = io.StringIO()
        table = csv.DictWriter(text, names)
        table.writeheader()
        table.writerows({key: value if isinstance(value, str | int) else json.dumps(value) for key, value in row.items()} for row in rows)
        write_text(output, text.getvalue())
    else:
        write_text(output, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    click.echo(f"{output}: {len(rows)} entries")
