"""Files where other tools have them: `--deepspeed FILE.json` (ms-swift, transformers) and `--hostfile FILE` (DeepSpeed, MPI)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PartFile:
    """A flag whose value, where it ends in `suffix`, is the `option` of the implementation `name` of a `part`."""

    part: str
    name: str
    option: str
    suffix: str = ""


PART_FILES: Mapping[str, PartFile] = {
    "deepspeed": PartFile("parallel", "deepspeed", "config", ".json"),
    "hostfile": PartFile("launcher", "torchrun", "hostfile"),
}


def expand(argv: Sequence[str]) -> list[str]:
    """`--deepspeed ds.json` → `--parallel deepspeed --parallel.config ds.json`; everything else stays as it is."""
    out: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        spelling, equals, value = word.removeprefix("--").partition("=")
        found = PART_FILES.get(spelling) if word.startswith("--") else None
        file = value if equals else words[0] if words else ""
        if not found or not file or not file.endswith(found.suffix):
            out.append(word)
            continue
        out += [f"--{found.part}", found.name, f"--{found.part}.{found.option}", file]
        if not equals:
            words.pop(0)
    return out
