"""Read settings from YAML, with the line of each key, and bring them into one form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from swift_core.contract import Settings, UsageError

TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def read_yaml(path: Path) -> Settings:
    """Read a YAML file.

    Raises:
        UsageError: missing, not YAML, not a mapping, or a key twice; with file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"there is no file '{path}'", code="OPTION-006", hint="Check the path.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"can't be read: {error}", code="OPTION-007", where=str(path), hint="It must be a YAML file in UTF-8.") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, name: str) -> Settings:
    """Like `read_yaml`, for a text that was read already; `name` is used in errors."""
    import yaml

    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{name}:{mark.line + 1}" if mark else name
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UsageError(
            f"not valid YAML: {problem}", code="OPTION-008", where=place, hint="Check indentation and quotes around here."
        ) from None
    if node is None:
        return Settings()
    if not isinstance(node, yaml.MappingNode):
        raise UsageError(
            "must be a mapping of options", code="OPTION-009", where=f"{name}:1", hint="Write lines such as `model: hf:org/name`."
        )
    lines = dict(_lines(node, "", name))
    return Settings(values, lines)


def _lines(node: Any, prefix: str, name: str) -> Iterator[tuple[str, str]]:
    import yaml

    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            place = f"{name}:{key.start_mark.line + 1}"
            if key.value in seen:
                raise UsageError(f"'{prefix}{key.value}' is a duplicate key", code="OPTION-010", where=place, hint="Keep one of them.")
            seen.add(key.value)
            yield f"{prefix}{key.value}", place
            yield from _lines(value, f"{prefix}{key.value}.", name)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield f"{prefix}{index}", f"{name}:{value.start_mark.line + 1}"
            yield from _lines(value, f"{prefix}{index}.", name)


def listed(value: Any) -> list[Any]:
    """Return a value, or several, as a list; an empty one for None."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def normalise(values: Mapping[str, Any]) -> dict[str, Any]:
    """Keys with `_` for `-`, at every level of mappings but in `columns` and `envs`, whose keys are names and not options."""
    named = {str(key).replace("-", "_"): value for key, value in values.items()}
    inner = {key for key, value in named.items() if isinstance(value, Mapping)} - {"columns", "envs", "roles"}
    return {key: normalise(value) if key in inner else value for key, value in named.items()}


def dashed(name: str) -> str:
    """`learning_rate` as flags are spelled: `learning-rate`."""
    return name.replace("_", "-")
