"""What to type for a bare word that a command has no place for: `swift infer MODEL rows.jsonl` wants `--dataset rows.jsonl`."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from swift_core.registry import Registry

_ROWS = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".txt", ".jsonl.gz")


def advice(word: str, command: str, first: str, flags: Collection[str], registry: Registry) -> str:
    """The command as it was meant, where that can be told.

    Args:
        word: what is left over.
        command: the command's whole name, such as `swift infer`.
        first: the word that it took, if any.
        flags: the names of its options, without dashes.
        registry: what is installed.
    """
    flag = _flag(word, flags, registry)
    if not flag:
        return f"Bare words have one place in {command}; everything else has an option: {command} --help lists them."
    return f"Write: {' '.join(filter(None, (command, first)))} --{flag} {word}"


def _flag(word: str, flags: Collection[str], registry: Registry) -> str:
    path = Path(word)
    names = {spec.name for spec in registry.all("exporter")} | {each for spec in registry.all("exporter") for each in spec.also}
    meant = {
        "adapter": (path / "adapter_config.json").is_file(),
        "model": (path / "config.json").is_file(),
        "to": word in names,
        "dataset": word.endswith(_ROWS) or any(word.partition("#")[0] == spec.name for spec in registry.all("dataset")),
    }
    return next((name for name, fits in meant.items() if fits and name in flags), "")
