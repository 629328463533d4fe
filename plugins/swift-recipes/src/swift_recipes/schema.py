"""Print the JSON Schema of the YAML, with what is installed, for editors and for tests."""

from __future__ import annotations

import json
from typing import Any

import click

from swift_core.contract import VerbSpec
from swift_core.options import fields
from swift_core.plugins import KINDS, Registry, registry, verb_named, verbs

_LOCAL = {"type": "array", "items": {"type": "string"}, "description": "Python files to load as plugins, for a quick try."}


@click.command("schema")
@click.argument("verb", required=False)
def command(verb: str | None) -> None:
    """JSON Schema of the YAML of VERB, or of all verbs (chosen by `run:`)."""
    known = registry()
    if verb:
        click.echo(json.dumps(schema_of(verb_named(verb, where="verb"), known), indent=2, ensure_ascii=False))
        return
    schemas = [schema_of(item, known) for item in verbs(known) if item.gives != "model" and set(item.parts) <= set(KINDS)]
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", "oneOf": schemas}
    click.echo(json.dumps(whole, indent=2, ensure_ascii=False))


def schema_of(verb: VerbSpec, known: Registry) -> dict[str, Any]:
    """The verb's own options and its main part's at the top, each other part under its name: a name, or a mapping with its options."""
    own = _inlined(fields.schema(verb.options))
    properties = {"run": {"const": verb.name}, "plugins": _LOCAL, **own["properties"]}
    for part, default in verb.parts.items():
        specs = known.all(part)
        if part == verb.main:
            for spec in specs:
                if spec.name == default and spec.options:
                    properties |= _inlined(fields.schema(spec.options))["properties"]
        if part not in verb.fixed:
            mappings = [_mapping(spec) for spec in specs]
            names = [name for spec in specs for name in (spec.name, *spec.also)]
            properties[part] = {"anyOf": [{"enum": names}, *mappings], "description": f"{part.capitalize()} to use.", "default": default}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"swift {verb.name}",
        "type": "object",
        "properties": properties,
        "required": own.get("required", []),
        "additionalProperties": False,
    }


def _mapping(spec: Any) -> dict[str, Any]:
    inner = _inlined(fields.schema(spec.options)) if spec.options else {"properties": {}}
    name = {"enum": [spec.name, *spec.also], "description": spec.summary}
    return {
        "type": "object",
        "properties": {"name": name, "from": {"type": "string"}, **inner["properties"]},
        "required": ["name"],
        "additionalProperties": False,
    }


def _inlined(schema: Any) -> Any:
    """The schema with its `$defs` put in place, so that it can stand inside another."""
    definitions = schema.get("$defs", {})

    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                return walk({**definitions[node["$ref"].rsplit("/", 1)[1]], **{key: value for key, value in node.items() if key != "$ref"}})
            return {key: walk(value) for key, value in node.items() if key != "$defs"}
        return [walk(item) for item in node] if isinstance(node, list) else node

    return walk(schema)
