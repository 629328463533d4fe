"""Options of other tools, on the command line and in YAML: renamed, split into several, or accepted without effect; each with a note.

What there is to know of them is data of the specs: `also` of the options, `VerbSpec.spellings`, `ignored` and `unsupported`, `FlagFor` of
the parts, and `HubSpec.switches`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from swift_core.contract import FlagFor, HubSpec, UsageError, VerbSpec
from swift_core.options.settings import FALSE, TRUE, dashed
from swift_core.plugins import Registry

NO_EFFECT = "has no effect:"  # in a note on an option that is ignored


def expand(argv: Sequence[str], verb: VerbSpec, known: Registry, notes: list[str]) -> list[str]:
    """Return the words with flags that choose a part, or mean several options, replaced; add a note on each.

    `--deepspeed ds.json` → `--parallel deepspeed --parallel.config ds.json`; `--load_in_8bit true` → `--quantizer bnb --quantizer.bits 8`.
    """
    flags = flags_of(verb, known)
    out: list[str] = []
    words = list(argv)
    given = {word.partition("=")[0].replace("-", "_") for word in words if word.startswith("--")}
    while words:
        word = words.pop(0)
        spelling, equals, value = word.removeprefix("--").partition("=")
        value = value if equals else words[0] if words else ""
        if not word.startswith("--"):
            out.append(word)
            continue
        part, name, found = flags.get(spelling.replace("-", "_"), ("", "", None))
        absent = not value or value.startswith("--")
        if found and (absent or not value.endswith(found.suffix) or (found.yields and given & _choosing(verb, part))):
            found = None  # the implementation that is chosen may have such an option itself
        refuse(verb, spelling, value, f"--{spelling}")
        taken = bool(equals) or value.lower() in TRUE + FALSE or bool(several(verb, spelling, value))
        meant = set_by(verb, part, name, found, value) if found else several(verb, spelling, value if taken else "true")
        if not meant:
            out.append(word)
            continue
        out += [piece for path, set_to in meant.items() for piece in (f"--{dashed(path)}", set_to)]
        if not equals and (found or taken):
            words.pop(0)
        notes.append(f"--{spelling} is {' '.join(f'--{dashed(path)} {set_to}' for path, set_to in meant.items())} here")
    return out


def refuse(verb: VerbSpec, name: str, value: object, where: str) -> None:
    """Refuse a value of another tool that is not supported (`VerbSpec.unsupported`: "tuner_type=reft"), with the reason.

    Raises:
        UsageError: the value is one of those.
    """
    if reason := verb.unsupported.get(f"{name.replace('-', '_')}={text_of(value)}"):
        raise UsageError(f"{name} {value} is not supported", code="OPTION-015", where=where, hint=reason)


def set_by(verb: VerbSpec, part: str, name: str, flag: FlagFor, value: object) -> dict[str, Any]:
    """Return the options that a flag of `flags_of` means."""
    return {part: name, flag.option if part == verb.main else f"{part}.{flag.option}": value}


def several(verb: VerbSpec, name: str, value: object) -> dict[str, str]:
    """Return the options that a value of another tool's option means: `bf16=true` is {"dtype": "bfloat16"}; {} if it is no such value."""
    meant = verb.spellings.get(f"{name.replace('-', '_')}={text_of(value)}", "")
    return {path: text for path, _, text in (pair.partition("=") for pair in meant.split())}


def ignored(verb: VerbSpec, name: str, value: object, *, known: bool) -> str:
    """Return why an option of another tool needs no counterpart; '' if it is none. A `known` option is ignored by value only."""
    name = name.replace("-", "_")
    return verb.ignored.get(f"{name}={text_of(value)}", "") or ("" if known else verb.ignored.get(name, ""))


def hub_switch(known: Registry, name: str, value: str) -> str:
    """Return the hub that a switch of another tool chooses: `use_hf=false` is ms; '' if it is no such switch."""
    hubs = known.all(HubSpec)
    return next((spec.schemes[0] for spec in hubs if spec.switches.get(name.replace("-", "_")) is (value.lower() in TRUE)), "")


def text_of(value: object) -> str:
    """Return a value as it is written on a command line."""
    return str(value).lower() if str(value).lower() in ("true", "false") else str(value)


def flags_of(verb: VerbSpec, known: Registry) -> dict[str, tuple[str, str, FlagFor]]:
    """Return the flags that choose an implementation and set one of its options: flag → (part, implementation, flag)."""
    return {
        flag.flag: (part, spec.name, flag)
        for part in verb.parts
        if part not in verb.fixed
        for spec in known.all(part)
        for flag in spec.flags
    }


def _choosing(verb: VerbSpec, part: str) -> set[str]:
    """Return the flags that choose an implementation of a part."""
    return {f"__{part}", *(f"__{other}" for other, target in verb.spellings.items() if target == part)}
