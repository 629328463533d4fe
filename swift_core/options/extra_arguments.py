"""Suggestions for unexpected positional arguments: `swift infer MODEL rows.jsonl` should be `--dataset rows.jsonl`."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from pathlib import Path

from swift_core.contract import FormatSpec
from swift_core.plugins import Registry, recognised

_ROWS = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".txt", ".jsonl.gz")


def advice(word: str, command: str, first: str, flags: Collection[str], registry: Registry) -> str:
    """Suggest the corrected command line for an unexpected argument, or a general hint if the intention is unclear.

    Args:
        word: the unexpected argument.
        command: the full command name, such as `swift infer`.
        first: the positional argument that the command accepted; '' if none.
        flags: the names of the command's options, without dashes.
        registry: the installed plugins.
    """
    flag = _flag(word, flags, registry)
    if flag == "model" and first:
        return two_models(first, word, command, flags)
    if not flag:
        return f"{command} takes one positional argument; pass everything else as an option: see {command} --help."
    return f"Write: {' '.join(filter(None, (command, shlex.quote(first) if first else '')))} --{flag} {shlex.quote(word)}"


def two_models(first: str, second: str, command: str, flags: Collection[str]) -> str:
    """Suggest the corrected command line if two checkpoints were given and one is expected."""
    for adapter, base in ((first, second), (second, first)):
        found = _format(Path(adapter))
        if "adapter" in flags and found and found.adapter:
            return f"Write: {command} --model {shlex.quote(base)} --adapter {shlex.quote(adapter)}"
    return "Give one of them."


def _flag(word: str, flags: Collection[str], registry: Registry) -> str:
    found = _format(Path(word))
    names = {spec.name for spec in registry.all("exporter")} | {each for spec in registry.all("exporter") for each in spec.also}
    fits = {
        "adapter": found is not None and found.adapter,
        "model": found is not None and not found.adapter,
        "to": word in names,
        "quantizer": any(word == spec.name for spec in registry.all("quantizer")),
        "tuner": any(word == spec.name for spec in registry.all("tuner")),
        "backend": any(word == spec.name for spec in registry.all("backend")),
        "dataset": word.endswith(_ROWS) or any(word.partition("#")[0] == spec.name for spec in registry.all("dataset")),
    }
    return next((name for name, matches in fits.items() if matches and name in flags), "")


def _format(folder: Path) -> FormatSpec | None:
    return recognised([path.name for path in folder.iterdir()]) if folder.is_dir() else None
