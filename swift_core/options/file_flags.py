"""Flags of other tools that choose a part and set an option of it: `--deepspeed FILE.json` (ms-swift, transformers), `--hostfile FILE`
(DeepSpeed, MPI), `--sequence_parallel_size 4` (ms-swift).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PartFile:
    """A flag whose value, if it ends in `suffix`, is the `option` of the implementation `name` of a `part`.

    One that `yields` chooses nothing if the command line names an implementation.
    """

    part: str
    name: str
    option: str
    suffix: str = ""
    yields: bool = False


PART_FILES: Mapping[str, PartFile] = {
    "deepspeed": PartFile("parallel", "deepspeed", "config", ".json"),
    "hostfile": PartFile("launcher", "torchrun", "hostfile"),
    "sequence_parallel_size": PartFile("parallel", "mesh", "context", yields=True),
}


_OTHERS = ("--deepspeed", "--fsdp")  # choose a part too


def expand(argv: Sequence[str]) -> list[str]:
    """`--deepspeed ds.json` → `--parallel deepspeed --parallel.config ds.json`; everything else stays as it is."""
    out: list[str] = []
    words = list(argv)
    chosen = {word.partition("=")[0] for word in words}
    while words:
        word = words.pop(0)
        spelling, equals, value = word.removeprefix("--").partition("=")
        found = PART_FILES.get(spelling.replace("-", "_")) if word.startswith("--") else None
        if found and found.yields and chosen & {f"--{found.part}", *_OTHERS}:
            found = None  # the implementation that is chosen may have such an option itself
        file = value if equals else words[0] if words else ""
        if not found or not file or not file.endswith(found.suffix):
            out.append(word)
            continue
        out += [f"--{found.part}", found.name, f"--{found.part}.{found.option}", file]
        if not equals:
            words.pop(0)
    return out
