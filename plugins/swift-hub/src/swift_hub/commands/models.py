"""List, search and show model families."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from swift_core.cli import print_table
from swift_core.contract import ModelFamily, UsageError, suggestion
from swift_core.plugins import registry


@click.group("models", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List, search and show the supported model families; show a checkpoint folder."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_families)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_families(as_json: bool = False) -> None:
    """List the model families of the installed plugins."""
    _show(registry().all(ModelFamily), as_json)


@command.command("search")
@click.argument("text")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def search(text: str, as_json: bool) -> None:
    """List the model families whose name, architecture or hub ids contain TEXT."""
    folded = text.lower()
    found = [
        item
        for item in registry().all(ModelFamily)
        if folded in " ".join((item.name, item.summary, *item.architectures, *item.hub_ids, *item.models)).lower()
    ]
    if not found:
        names = [item.name for item in registry().all(ModelFamily)]
        raise UsageError(
            f"no family matches '{text}'",
            code="HUB-003",
            hint=suggestion(text, names) or "List them with swift models; other architectures work as the family 'unknown'.",
        )
    _show(found, as_json)


@command.command("show")
@click.argument("name")
def show(name: str) -> None:
    """Show a model family, or the family, format and manifest of a checkpoint folder."""
    path = Path(name)
    if path.is_dir():
        click.echo(json.dumps(_checkpoint(path), indent=2, ensure_ascii=False))
        return
    family = registry().get(ModelFamily, name)
    for field in ModelFamily.__dataclass_fields__:
        value: Any = getattr(family, field)
        if value not in ("", (), False, {}):
            click.echo(f"{field.replace('_', ' ')}: {_words(value)}")


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} ({reference})" for name, reference in value.items())
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _checkpoint(path: Path) -> dict[str, Any]:
    from dataclasses import asdict

    from swift_core.checkpoints import Checkpoint, identify

    found = Checkpoint.at(path)
    family = identify(found.config, registry().all(ModelFamily))
    return {
        "format": found.format,
        "family": family.name if family else "unknown",
        "manifest": asdict(found.manifest) if found.manifest else None,
    }


def _show(families: list[ModelFamily], as_json: bool) -> None:
    if as_json:
        from dataclasses import asdict

        click.echo(json.dumps([asdict(item) for item in families], indent=2, ensure_ascii=False))
        return
    rows = [(item.name, "+".join(item.modalities), ", ".join(item.architectures)) for item in families]
    print_table(("family", "takes", "architectures"), rows)
