"""Flags of other tools that choose a part and set one of its options (`FlagFor` of the specs).

`--deepspeed FILE.json` (ms-swift, transformers), `--hostfile FILE` (DeepSpeed, MPI), `--sequence_parallel_size 4` (ms-swift).
"""

from __future__ import annotations

from collections.abc import Sequence

from swift_core.contract import FlagFor, VerbSpec
from swift_core.plugins import Registry


def expand(argv: Sequence[str], verb: VerbSpec, known: Registry) -> list[str]:
    """Return the words with each such flag replaced: `--deepspeed ds.json` → `--parallel deepspeed --parallel.config ds.json`."""
    flags = _flags(verb, known)
    out: list[str] = []
    words = list(argv)
    given = {word.partition("=")[0] for word in words}
    while words:
        word = words.pop(0)
        spelling, equals, value = word.removeprefix("--").partition("=")
        part, name, found = flags.get(spelling.replace("-", "_"), ("", "", None)) if word.startswith("--") else ("", "", None)
        if found and found.yields and given & _choosing(verb, part):
            found = None  # the implementation that is chosen may have such an option itself
        file = value if equals else words[0] if words else ""
        if not found or not file or not file.endswith(found.suffix):
            out.append(word)
            continue
        out += [f"--{part}", name, f"--{part}.{found.option}", file]
        if not equals:
            words.pop(0)
    return out


def _flags(verb: VerbSpec, known: Registry) -> dict[str, tuple[str, str, FlagFor]]:
    return {
        flag.flag: (part, spec.name, flag)
        for part in verb.parts
        if part not in verb.fixed
        for spec in known.all(part)
        for flag in spec.flags
    }


def _choosing(verb: VerbSpec, part: str) -> set[str]:
    """Return the flags that choose an implementation of a part."""
    return {f"--{part}", *(f"--{other}" for other, target in verb.spellings.items() if target == part)}
