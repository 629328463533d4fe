"""List, search and show model families and the models on the hubs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from swift_core.cli import print_table
from swift_core.contract import ModelFamily, UsageError, suggestion
from swift_core.plugins import registry
from swift_hub import catalogue
from swift_hub.catalogue import CatalogueEntry

SHOWN = 40  # models that `search` prints


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
    """List the model families and the models on the hubs whose name, id or architecture contains TEXT.

    A model that is not listed works too if its architecture is supported.
    """
    folded = text.lower()
    families = [
        item
        for item in registry().all(ModelFamily)
        if folded in " ".join((item.name, item.summary, *item.architectures, *item.hub_ids, *item.models)).lower()
    ]
    models = catalogue.search(text)
    if not families and not models:
        names = [item.name for item in registry().all(ModelFamily)]
        raise UsageError(
            f"no model family and no model of the catalogue matches '{text}'",
            code="HUB-003",
            hint=suggestion(text, names) or "List the families with swift models; other models work as the family 'unknown'.",
        )
    if as_json:
        from dataclasses import asdict

        found = {"families": [asdict(item) for item in families], "models": [_entry(entry) for entry in models]}
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    if families:
        _show(families, as_json=False)
    if models:
        if families:
            click.echo()
        _show_models(models)


@command.command("show")
@click.argument("name")
def show(name: str) -> None:
    """Show a model family, a model of the catalogue by its id, or the family, format and manifest of a checkpoint folder."""
    path = Path(name)
    if path.is_dir():
        click.echo(json.dumps(_checkpoint(path), indent=2, ensure_ascii=False))
        return
    entries = [
        entry for entry in catalogue.search(name.partition(":")[2] or name) if {name, f"hf:{name}", f"ms:{name}"} & {*entry.references}
    ]
    if entries:
        _show_fields({**_entry(entries[0]), "loaded_by": _loaded_by(entries[0])})
        return
    family = registry().get(ModelFamily, name)
    _show_fields({field: getattr(family, field) for field in ModelFamily.__dataclass_fields__})


def _show_fields(fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        if value not in ("", (), False, {}):
            click.echo(f"{name.replace('_', ' ')}: {_words(value)}")


def _entry(entry: CatalogueEntry) -> dict[str, Any]:
    from dataclasses import asdict

    families = [item.name for item in registry().all(ModelFamily) if entry.architecture in item.architectures]
    return {"references": entry.references, **asdict(entry), "family": families[0] if families else ""}


def _loaded_by(entry: CatalogueEntry) -> str:
    if entry.native_twin:
        return f"{entry.native_twin}, or --trust-remote-code"
    native = "transformers" if entry.verified else "transformers (not verified)"
    return {"native": native, "remote": "--trust-remote-code (not verified)", "other": "its authors' library only"}[entry.code]


def _show_models(entries: list[CatalogueEntry]) -> None:
    rows = []
    for entry in entries[:SHOWN]:
        fields = _entry(entry)
        where = "+".join(reference.partition(":")[0] for reference in entry.references)
        rows.append((entry.hugging_face or entry.modelscope, where, entry.takes, fields["family"] or entry.architecture, _loaded_by(entry)))
    print_table(("model", "hub", "takes", "family", "loaded by"), rows)
    if len(entries) > SHOWN:
        click.echo(f"… and {len(entries) - SHOWN} more; a longer TEXT narrows the list, --json prints all.")


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
