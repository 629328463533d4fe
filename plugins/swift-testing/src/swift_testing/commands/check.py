"""Run the conformance kit on an installed distribution or a local file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from swift_core.cli import print_table

if TYPE_CHECKING:
    from swift_testing.kit.running import Result


@click.command("check", short_help="Run the conformance checks of a plugin")
@click.argument("distribution")
@click.option("--kind", "kinds", multiple=True, help="Check only parts of this kind (tuner, backend, …; plugin: the plugin as a whole).")
@click.option(
    "--check",
    "checks",
    multiple=True,
    help="Run only the check of this name, or with this id: check_merge[tuner lora].",
)
@click.option("--limit", default=300.0, show_default=True, type=click.FloatRange(min=1), help="Maximum seconds per check.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON when all checks are done.")
@click.option("--json-lines", is_flag=True, help="Print one line of JSON per check, as soon as it is done.")
def command(distribution: str, *, kinds: tuple[str, ...], checks: tuple[str, ...], limit: float, as_json: bool, json_lines: bool) -> int:
    """Check that the plugins and commands of DISTRIBUTION (or of a FILE.py) fulfil their contracts, on a tiny model.

    The exit code is 1 if a check fails. The checks run the plugin's code in a separate process, which is ended if a check exceeds the
    limit. Each check is announced on stderr when it starts.
    """
    from swift_testing.kit.running import results

    found = []

    def begun(text: str) -> None:
        click.echo(f"{text} … ", nl=False, err=True)

    for result in results(distribution, kinds=kinds, checks=checks, limit=limit, begun=begun):
        click.echo(f"{result.outcome}, {result.seconds:.1f} s", err=True)
        found.append(result)
        if json_lines:
            click.echo(json.dumps(asdict(result), ensure_ascii=False))
        elif result.outcome == "failed" and not as_json:
            click.echo(f"  {result.reason.splitlines()[0]}", err=True)
    if as_json and not json_lines:
        click.echo(json.dumps([asdict(result) for result in found], indent=2, ensure_ascii=False))
    elif not json_lines:
        _print(found)
    return int(any(result.outcome == "failed" for result in found))


def _print(results: Sequence[Result]) -> None:
    """Print one row per check and outcome, with the parts concerned, and the failures in full below."""
    rows: dict[tuple[str, str, str, str], list[str]] = {}
    for result in results:
        reason = "" if result.outcome == "failed" else result.reason
        rows.setdefault((result.check, result.kind, result.outcome, reason), []).append(result.subject)
    print_table(
        ("check", "part", "result", "reason"),
        [(check, f"{kind} {_few(names)}", outcome, reason) for (check, kind, outcome, reason), names in rows.items()],
    )
    for result in results:
        if result.outcome == "failed":
            click.secho(f"{result.kind} {result.subject}: {result.check}: ", fg="red", nl=False)
            click.echo(result.reason)
    counts = Counter(result.outcome for result in results)
    click.echo(", ".join(f"{counts[outcome]} {outcome}" for outcome in ("passed", "failed", "skipped") if counts[outcome]) or "no checks")


def _few(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names) if len(names) <= most else f"({len(names)})"
