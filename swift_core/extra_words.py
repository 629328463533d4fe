"""What to type for a bare word that a command has no place for: `swift infer MODEL rows.jsonl` wants `--dataset rows.jsonl`."""

from __future__ import annotations

import shlex
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
    if flag == "model" and first:
        return two_models(first, word, command, flags)
    if not flag:
        return f"Bare words have one place in {command}; everything else has an option: {command} --help lists them."
    return f"Write: {' '.join(filter(None, (command, shlex.quote(first) if first else '')))} --{flag} {shlex.quote(word)}"


def two_models(first: str, second: str, command: str, flags: Collection[str]) -> str:
    """What to type if two checkpoints are named where one is taken."""
    for adapter, base in ((first, second), (second, first)):
        if "adapter" in flags and (Path(adapter) / "adapter_config.json").is_file():
            return f"Write: {command} --model {shlex.quote(base)} --adapter {shlex.quote(adapter)}"
    return "Name one of them."


def _flag(word: str, flags: Collection[str], registry: Registry) -> str:
    path = Path(word)
    names = {spec.name for spec in registry.all("exporter")} | {each for spec in registry.all("exporter") for each in spec.also}
    meant = {
        "adapter": (path / "adapter_config.json").is_file(),
        "model": (path / "config.json").is_file(),
        "to": word in names,
        "quantizer": any(word == spec.name for spec in registry.all("quantizer")),
        "tuner": any(word == spec.name for spec in registry.all("tuner")),
        "backend": any(word == spec.name for spec in registry.all("backend")),
        "dataset": word.endswith(_ROWS) or any(word.partition("#")[0] == spec.name for spec in registry.all("dataset")),
    }
    return next((name for name, fits in meant.items() if fits and name in flags), "")
