"""`swift audit show`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from swift_core.cli import print_table
from swift_core.contract import UsageError
from swift_plugin_audit.commands import JSON, LOG, chosen


@click.command("show", short_help="List the entries, or show those of one run")
@click.argument("run", required=False)
@click.option("--last", default=20, show_default=True, help="Number of entries, without RUN.")
@LOG
@JSON
def command(run: str | None, last: int, log: Path | None, as_json: bool) -> None:
    """List the last entries, or show everything recorded on RUN (name of its run folder)."""
    from swift_plugin_audit.log import read

    place = chosen(log).log
    found = list(read(place))
    found = [each for each in found if each.head["run"] == Path(run).name] if run else found[-last:]
    if run and not found:
        raise UsageError(f"the log has no run '{run}'", code="AUDIT-010", where=str(place), hint="swift audit show lists the entries.")
    if as_json or run:
        click.echo(json.dumps([each.to_json() for each in found], indent=2, ensure_ascii=False))
        return
    rows = []
    for each in found:
        who, result = each.section("who") or {}, each.section("result") or {}
        about = str(result.get("error", "")).partition("\n")[0] or ", ".join(output["path"] for output in each.section("outputs") or ())
        rows.append((str(each.seq), each.head["time"][:19], each.head["event"], each.head["run"], who.get("user", ""), about[:60]))
    print_table(("entry", "time (UTC)", "event", "run", "who", "result"), rows)
