"""What `dataset:` asks for → data sets: `alpaca-en-demo#200`, `rows.jsonl`, `hf:org/set`, `{name: identity, model_name: …}`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from swift_core.errors import UsageError, suggestion
from swift_core.paths import digest, sha256
from swift_core.registry import Registry
from swift_core.roles import Progress
from swift_core.run import DataChoice


def choose_dataset(registry: Registry, asked: Any, options: Mapping[str, Any], where: str) -> DataChoice:
    """One data set, not fetched yet. `options` are those of the named set, from flags, by its name.

    Raises:
        UsageError: no such set or file, a bad number of rows, wrong options.
    """
    given = dict(asked) if isinstance(asked, Mapping) else {"name": asked}
    text = given.pop("name", "")
    if not isinstance(text, str) or not text:
        raise UsageError("a data set needs a name", where=where, hint="Write a name, a file, or {name: …, option: …}.")
    name, limit = _limit(text, where)
    if _is_file(name):
        choice = registry.choose("dataset", "file", {"path": name, **given}, where=where)
    elif _known(registry, name):
        key = name.replace("_", "-")
        choice = registry.choose("dataset", name, {**options.get(key, {}), **given}, where=where)
    elif "/" in name or ":" in name:
        choice = registry.choose("dataset", "hub", {"path": name, **given}, where=where)
    else:
        known = [spec.name for spec in registry.all("dataset") if spec.name not in ("file", "hub")]
        hint = (
            suggestion(name, [*known, *_neighbours()]) or f"Known: {', '.join(known)}. A file needs its path, a hub data set its org/name."
        )
        raise UsageError(f"there is no data set or file '{name}'", where=where, hint=hint)
    return DataChoice(**asdict(choice), asked=text, limit=limit)


def fetch_dataset(choice: DataChoice, progress: Progress | None = None) -> DataChoice:
    """Bring the rows onto this machine, and pin what they are by one hash over their files; a set that is streamed has none."""
    files = choice.build().fetch(progress)
    return replace(choice, hash=digest([[file.name, sha256(file)] for file in files]) if files else "")


def _limit(text: str, where: str) -> tuple[str, int | None]:
    name, mark, count = text.rpartition("#")
    if not mark or Path(text).exists():
        return text, None
    if not count.isdigit() or int(count) < 1:
        raise UsageError(f"'#{count}' is no number of rows", where=where, hint=f"Write {name}#500 for the first 500 rows.")
    return name, int(count)


def _is_file(name: str) -> bool:
    return (
        Path(name).expanduser().exists()
        or name.startswith((".", "/", "~", "file:"))
        or Path(name).suffix.lower()
        in (
            ".json",
            ".jsonl",
            ".ndjson",
            ".csv",
            ".tsv",
            ".txt",
            ".parquet",
            ".gz",
        )
    )


def _known(registry: Registry, name: str) -> bool:
    return any(name in (spec.name, *spec.also) for spec in registry.all("dataset"))


def _neighbours() -> list[str]:
    return [path.name for path in Path().iterdir() if path.is_file()]
