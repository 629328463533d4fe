"""Convert a configuration file of another training tool to a YAML file for swift."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from swift_core.cli import note
from swift_core.contract import SwiftError, UsageError
from swift_core.system import check_free, write_text
from swift_plugin_import import yaml_file
from swift_plugin_import.importer import importer_for
from swift_plugin_import.source import Source
from swift_plugin_import.translation import Translation


@click.command("import", short_help="Write a configuration file of another tool as a YAML file of swift")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="YAML file to write; default: standard output.")
@click.option("--partial", is_flag=True, help="Write the file even if some keys are not supported.")
@click.option("--tool", default="", metavar="NAME", help="Tool whose format the file has; default: detected from its content.")
@click.option(
    "--command", "number", type=click.IntRange(min=1), help="Which command of a script to import, if it has several; counted from 1."
)
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(file: Path, output: Path | None, partial: bool, tool: str, number: int | None, overwrite: bool, as_json: bool) -> None:  # noqa: PLR0917
    """Read FILE, a configuration of LLaMA-Factory, axolotl, TRL, Unsloth or ms-swift, and write it as a YAML file.

    YAML, JSON, shell scripts, Python scripts and notebooks are read; nothing in them is executed. Every key is mapped, dropped because it
    has no effect here, or listed as not supported. If a key is not supported, nothing is written and the exit code is 1, unless --partial
    is given.
    """
    source = Source.read(file)
    found = _selected(importer_for(source, tool).read(source), number, file)
    if output:
        check_free(output, overwrite=overwrite, where="--output")
    refused = bool(found.impossible) and not partial
    written = yaml_file.text(found, file.name)
    if not as_json:
        _report(found)
    if not refused and output:
        write_text(output, written)
    if as_json:
        click.echo(json.dumps(_record(found, written), ensure_ascii=False, indent=2))
        raise click.exceptions.Exit(1 if refused else 0)
    if not refused and not output:
        click.echo(written, nl=False)
    if refused:
        count = len(found.impossible)
        raise SwiftError(
            f"{count} {'key is' if count == 1 else 'keys are'} not possible here, so nothing is written",
            code="IMPORT-005",
            where=str(file),
            hint="Remove them from the file, or write the rest: --partial.",
        )


def _selected(found: Sequence[Translation], number: int | None, file: Path) -> Translation:
    """Return the translation that is asked for; the only one if the file has no other."""
    if not found:
        raise UsageError("describes no run", code="IMPORT-006", where=str(file), hint="Give the file with the training options.")
    if number is None and len(found) > 1:
        listed = "; ".join(f"{at}: {item.verb} {item.value('model', '')}".strip() for at, item in enumerate(found, 1))
        raise UsageError(f"has {len(found)} commands", code="IMPORT-007", where=str(file), hint=f"Say which: --command N ({listed}).")
    if number is not None and number > len(found):
        hint = f"It has {len(found)}."
        raise UsageError(f"has no command {number}", code="IMPORT-008", where=str(file), hint=hint)
    return found[(number or 1) - 1]


def _report(found: Translation) -> None:
    """Print the three lists to stderr."""
    click.echo(f"{found.tool} → swift {found.verb}", err=True)
    mapped = [f"{setting.origin} → {path}" for path, setting in found.settings.items()]
    for title, items in (("mapped", mapped), ("needs no effect here", found.dropped), ("not possible here", found.impossible)):
        if items:
            click.secho(f"{title}: {len(items)}", bold=True, fg="red" if items is found.impossible else None, err=True)
            for item in items:
                click.echo(f"  {item}", err=True)
    for text in found.notes:
        note(text)


def _record(found: Translation, written: str) -> dict[str, object]:
    return {
        "tool": found.tool,
        "verb": found.verb,
        "mapped": {path: {"value": item.value, "from": item.origin} for path, item in found.settings.items()},
        "dropped": [{"key": item.key, "value": item.value, "reason": item.reason} for item in found.dropped],
        "impossible": [{"key": item.key, "value": item.value, "reason": item.reason} for item in found.impossible],
        "notes": found.notes,
        "yaml": written,
    }
