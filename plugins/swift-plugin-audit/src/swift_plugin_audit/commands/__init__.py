"""Verify, show, export, trace and redact the audit log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from swift_plugin_audit.places import Places, places

LOG = click.option("--log", type=click.Path(path_type=Path), help="The log; default: SWIFT_AUDIT_LOG, or the user's own.")
HEADS = click.option("--heads", type=click.Path(path_type=Path), help="Its signed heads; default: SWIFT_AUDIT_HEADS, or the user's own.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def chosen(log: Path | None, heads: Path | None = None) -> Places:
    """Return the places with those that the command line names."""
    found = places()
    return replace(found, log=log.absolute() if log else found.log, heads=heads.absolute() if heads else found.heads)


@click.group("audit", short_help="Verify, show, export, trace and redact the audit log of runs")
def audit() -> None:
    """Verify, show, export, trace and redact the audit log of runs."""


def _add() -> None:
    from swift_plugin_audit.commands import export, redact, show, trace, verify

    for module in (verify, show, export, trace, redact):
        audit.add_command(module.command)


_add()
