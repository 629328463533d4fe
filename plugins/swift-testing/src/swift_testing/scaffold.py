"""Scaffold of a new plugin: a small distribution that installs, passes its tests and does real work.

The scaffold is ordinary code for a plugin named `acme`, linted like the rest of the repository: `common/` is part of every plugin, and
there is one folder per kind. Creating a plugin copies both and replaces the name.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from swift_core.contract import UsageError
from swift_core.plugins import KINDS as PARTS
from swift_core.system import paths

KINDS = (*PARTS, "command", "reward", "rollout")
PREFIX = "swift-plugin-"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_VERBS = '\n[project.entry-points."swift.verbs"]\nacme = "swift_plugin_acme"\n'
_MORE = {  # entry points in pyproject.toml beside that of the plugin
    "verb": _VERBS,
    "task": _VERBS,
    "reward": '\n[project.entry-points."swift.rewards"]\nacme = "swift_plugin_acme.reward:Acme"\n',
    "rollout": '\n[project.entry-points."swift.rollouts"]\nacme = "swift_plugin_acme.scheduler:Acme"\n',
}
_PLACEHOLDERS = re.compile(r"ACME_(?:KIND|DOES|TRY|NEEDS|TESTS|GROUP|TARGET)|swift_(?:plugin_|core\.)acme|ACME|Acme|acme")


def folder() -> Path:
    """Return the folder of the template."""
    return Path(__file__).with_name("template")


def plugin_name(text: str) -> str:
    """Return the plugin's name without the prefix `swift-plugin-`.

    Raises:
        UsageError: the name is not valid for a distribution, a module and a flag alike.
    """
    name = text.removeprefix(PREFIX)
    if not _NAME.fullmatch(name) or len(name) > 40:
        near = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        hint = f"Try '{near}'." if _NAME.fullmatch(near) and len(near) <= 40 else "Try something like 'my-tuner'."
        raise UsageError(
            f"'{text}' is not a valid plugin name: use lower-case letters, digits and single dashes",
            code="TEST-007",
            where="NAME",
            hint=hint,
        )
    return name


def write(kind: str, name: str, target: Path, *, overwrite: bool = False) -> None:
    """Write the plugin's distribution into `target`.

    Args:
        kind: one of KINDS.
        name: the plugin's name, as returned by `plugin_name`.
        target: the folder to create.
        overwrite: whether to replace an existing folder.

    Raises:
        UsageError: the folder exists, or the name is not valid for this kind.
    """
    if kind == "hub" and "-" in name:
        raise UsageError(
            f"'{name}' can't be used as a reference scheme",
            code="TEST-008",
            where="NAME",
            hint=f"Omit the dash: {name.replace('-', '')}.",
        )
    values = _values(kind, name)
    with paths.atomic_folder(target, overwrite=overwrite) as aside:
        for layer in ("common", kind):
            source = folder() / layer
            for path in sorted(source.rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    place = aside / filled(str(path.relative_to(source)), values)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    text = path.read_text(encoding="utf-8").replace("# VERBS\n", _MORE.get(kind, ""))
                    place.write_text(filled(text, values), encoding="utf-8")


def filled(text: str, values: Mapping[str, str]) -> str:
    """Return the text with every placeholder replaced."""
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
        "swift_core.acme": f"swift_core.{module}",
        "ACME_KIND": kind,
        "ACME_DOES": about["does"],
        "ACME_TRY": about["try"],
        "ACME_NEEDS": json.dumps(about["needs"])[2:-2],  # the placeholder is inside quotes
        "ACME_TESTS": json.dumps(about["tests"])[2:-2],
        "ACME_GROUP": "swift.commands" if command else "swift.plugins",
        "ACME_TARGET": "swift_plugin_acme:command" if command else "swift_plugin_acme",
    }
