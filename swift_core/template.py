"""A new plugin from the template: a small distribution that installs, passes its tests and does something real.

The template is ordinary code, linted like all other, for a plugin named `acme`: `common/` is in every plugin, and beside it is a folder
for each kind. Making one is copying, with the new name in the place of the old.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from swift_core import paths
from swift_core.errors import UsageError

KINDS = (
    "backend", "family", "tuner", "quantizer", "exporter", "evaluator", "dataset", "hub", "task", "strategy", "launcher", "command",
)  # fmt: skip
PREFIX = "swift-plugin-"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_PLACEHOLDERS = re.compile(r"ACME_(?:KIND|DOES|TRY|NEEDS|TESTS|GROUP|TARGET)|swift_plugin_acme|ACME|Acme|acme")


def folder() -> Path:
    """Where the template is: in the installed package, or in the checkout."""
    inside = Path(__file__).with_name("template")
    return inside if inside.is_dir() else Path(__file__).parent.parent / "contrib" / "template"


def plugin_name(text: str) -> str:
    """The plugin's name without `swift-plugin-` in front.

    Raises:
        UsageError: no name for a distribution, a module and a flag at once.
    """
    name = text.removeprefix(PREFIX)
    if not _NAME.fullmatch(name) or len(name) > 40:
        near = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        hint = f"Try '{near}'." if _NAME.fullmatch(near) and len(near) <= 40 else "Try something like 'my-tuner'."
        raise UsageError(f"'{text}' is no name for a plugin: small letters, digits and single dashes", where="NAME", hint=hint)
    return name


def write(kind: str, name: str, target: Path, *, overwrite: bool = False) -> None:
    """Write the plugin's distribution into `target`.

    Args:
        kind: one of KINDS.
        name: what `plugin_name` returned.
        target: the folder, which is not there yet.
        overwrite: whether to replace one that is there.

    Raises:
        UsageError: the folder exists, or the name can't be what this kind needs.
    """
    if kind == "hub" and "-" in name:
        raise UsageError(f"'{name}' can't be the scheme of references", where="NAME", hint=f"Leave the dash out: {name.replace('-', '')}.")
    values = _values(kind, name)
    with paths.atomic_folder(target, overwrite=overwrite) as aside:
        for layer in ("common", kind):
            source = folder() / layer
            for path in sorted(source.rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    place = aside / filled(str(path.relative_to(source)), values)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_text(filled(path.read_text(encoding="utf-8"), values), encoding="utf-8")


def filled(text: str, values: Mapping[str, str]) -> str:
    """The text with every placeholder replaced."""
    return _PLACEHOLDERS.sub(lambda match: filled(values[match[0]], values) if match[0].startswith("ACME_") else values[match[0]], text)


def _values(kind: str, name: str) -> dict[str, str]:
    about = tomllib.loads((folder() / "kinds.toml").read_text(encoding="utf-8"))[kind]
    module = name.replace("-", "_")
    command = kind == "command"
    return {
        "acme": name,
        "Acme": "".join(part.capitalize() for part in name.split("-")),
        "ACME": module.upper(),
        "swift_plugin_acme": f"swift_plugin_{module}",
        "ACME_KIND": kind,
        "ACME_DOES": about["does"],
        "ACME_TRY": about["try"],
        "ACME_NEEDS": json.dumps(about["needs"])[2:-2],  # it stands between quotes
        "ACME_TESTS": json.dumps(about["tests"])[2:-2],
        "ACME_GROUP": "swift.commands" if command else "swift.plugins",
        "ACME_TARGET": "swift_plugin_acme:command" if command else "swift_plugin_acme",
    }
