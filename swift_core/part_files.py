"""`--deepspeed FILE.json`, as ms-swift and transformers have it: a file where the name of a part stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from swift_core.verbs import PART_SPELLINGS

PART_FILES: Mapping[str, tuple[str, str, str]] = {"deepspeed": (".json", "deepspeed", "config")}
"""Spelling → the file's ending, the name of the part that reads it, and the option that the file is."""


def expand(argv: Sequence[str]) -> list[str]:
    """`--deepspeed ds.json` → `--parallel deepspeed --parallel.config ds.json`; everything else stays as it is."""
    out: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        spelling, equals, value = word.removeprefix("--").partition("=")
        suffix, name, option = PART_FILES.get(spelling, ("", "", ""))
        file = value if equals else words[0] if words else ""
        if not (suffix and word.startswith("--") and file.endswith(suffix)):
            out.append(word)
            continue
        part = PART_SPELLINGS[spelling]
        out += [f"--{part}", name, f"--{part}.{option}", file]
        if not equals:
            words.pop(0)
    return out
