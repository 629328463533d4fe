"""Answer an event by a recipe, whose texts are templates: `swift run` in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from swift_core.contract import SwiftError, UsageError
from swift_core.system import digest, write_text
from swift_plugin_trigger.templates import filled


def run_recipe(recipe: Path, values: Mapping[str, Any], runs: Path) -> tuple[str, dict[str, Any]]:
    """Run a recipe that is filled with the fields of an event; steps that it has finished before are not run again.

    Returns:
        The answers of its steps `ask` if it has any, else its result as JSON; and its run folder.

    Raises:
        UsageError: the recipe can't be read, or a template in it can't be filled.
        SwiftError: it failed.
    """
    try:
        steps: Any = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(
            f"the recipe can't be read: {error}", code="TRIGGER-019", where=str(recipe), hint="It is a file for swift run."
        ) from None
    text: str = yaml.safe_dump(filled(steps, values), sort_keys=False, allow_unicode=True)
    file = runs / ".trigger" / f"{recipe.stem}-{digest(text)[:12]}.yaml"
    write_text(file, text)
    command = [sys.executable, "-P", "-m", "swift_core.cli", "run", str(file.absolute()), "--runs", str(runs.absolute()), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=recipe.parent, check=False)
    try:
        result: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        result = {"exit_code": done.returncode or 1, "message": done.stderr.strip()[-500:]}
    if done.returncode or "folder" not in result:
        raise SwiftError(
            f"the recipe failed: {result.get('message', '')}", code="TRIGGER-020", where=str(recipe), hint=str(result.get("hint", ""))
        )
    folder = Path(result["folder"])
    return _answers(folder) or json.dumps({name: result[name] for name in ("status", "output", "figures")}), {"run": str(folder)}


def _answers(folder: Path) -> str:
    """Return what the last step `ask` has answered to the last question."""
    try:
        found: dict[str, dict[str, str]] = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    given = [answer for by_step in found.values() for answer in by_step.values()]
    return given[-1] if given else ""
