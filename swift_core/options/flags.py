"""Options as command-line flags: flat for the verb and its main part, dotted for every other part that is chosen.

`_` and `-` are the same; other tools' spellings are accepted and answered with a note; `--packing true`, `--target_modules a b`
and `--name=value` are rewritten into what click understands.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core.contract import Settings, UsageError, VerbSpec
from swift_core.options import fields, other_tools
from swift_core.options.settings import FALSE, TRUE, dashed, listed, read_yaml
from swift_core.plugins import Registry, local

_OPTIONS_BYTES = 1 << 20  # most bytes of a JSON file of options

_COMMON = ("config", "json", "name")  # last names that say nothing, or are options of the command itself
_FLAG = re.compile(r"--?[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag: its name without dashes in front, the settings path it sets, the option behind it, and the help section."""

    name: str  # without dashes
    path: str  # dotted path of the setting
    field: fields.Field  # the option
    section: str  # heading in --help


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags of one command line. `aliases` maps other spellings to names; `notes` are what to tell about those used."""

    flags: dict[str, Flag]
    aliases: dict[str, str]
    notes: list[str]
    registry: Registry
    verb: VerbSpec


def flags_for(verb: VerbSpec, argv: Sequence[str], config: Settings, registry: Registry) -> Flags:
    """Return the flags that this command line may use, given the parts that it and the YAML choose."""
    flags: dict[str, Flag] = {}
    aliases = {dashed(old): dashed(new) for old, new in verb.spellings.items()}

    def add(name: str, path: str, field: fields.Field, section: str) -> None:
        flags.setdefault(dashed(name), Flag(dashed(name), path, field, section))
        for other in field.also:
            aliases.setdefault(dashed(other), dashed(name))

    for item in sorted(fields.fields(verb.options), key=lambda item: not item.required):
        add(item.path, item.path, item, "Options")
    for part, default in verb.parts.items():
        if part not in verb.fixed:
            specs = registry.all(part)
            noun = next((spec.noun for spec in specs if spec.noun), part)
            summary = f"{noun.capitalize()} to use: {', '.join(spec.name for spec in specs) or 'none installed'}."
            field = fields.Field(part, "string", summary, default or None, False, (), ())
            name = verb.flags.get(part, part)
            add(name, part, field, "Parts")
            if name != part:
                aliases[dashed(part)] = dashed(name)
    for part, name in chosen(verb, argv, config, aliases).items():
        entry = _entry(registry, part, name)
        if entry is None:
            continue
        prefix = "" if part == verb.main else f"{part}."
        for item in fields.fields(entry.options):
            add(f"{prefix}{item.path}", f"{prefix}{item.path}", item, f"{part.capitalize()} {name}")
    for asked in datasets(argv, config, aliases) if "dataset" in flags else ():
        entry = _entry(registry, "dataset", asked)
        name = entry.name if entry else asked
        for item in fields.fields(entry.options) if entry else ():
            add(f"dataset.{name}.{item.path}", f"dataset_options.{name}.{item.path}", item, f"Dataset {name}")
            aliases.setdefault(dashed(item.path), dashed(f"dataset.{name}.{item.path}"))
    lasts = Counter(name.rpartition(".")[2] for name in flags)
    for name in flags:
        last = name.rpartition(".")[2]
        if lasts[last] == 1 and last not in _COMMON:
            aliases.setdefault(last, name)
    return Flags(flags, {old: new for old, new in aliases.items() if old not in flags and new in flags}, [], registry, verb)


def chosen(verb: VerbSpec, argv: Sequence[str], config: Settings, aliases: dict[str, str]) -> dict[str, str]:
    """Return the name chosen for each part: by flag, else by YAML, else by default. Parts without one are left out."""
    names = {}
    for part, default in verb.parts.items():
        asked = config.values.get(part)
        name = "/".join(str(asked[key]) for key in ("from", "name") if asked.get(key)) if isinstance(asked, dict) else asked
        name = name or default
        if part not in verb.fixed:
            name = next(iter(_values(argv, verb.flags.get(part, part), aliases)), name)
        if name:
            names[part] = str(name)
    return names


def datasets(argv: Sequence[str], config: Settings, aliases: dict[str, str]) -> list[str]:
    """Return the names of the requested data sets, without files and hub references."""
    asked: list[object] = [*listed(config.values.get("dataset")), *_values(argv, "dataset", aliases)]
    names = [str(item.get("name", "")) if isinstance(item, dict) else str(item or "") for item in asked]
    return sorted({name.partition("#")[0].replace("_", "-") for name in names if name})


def rewrite(argv: Sequence[str], known: Flags) -> list[str]:
    """Rewrite the arguments for click: known spellings, repeated list values, on/off flags without a value."""
    out: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        if word == "--":
            return [*out, word, *words]
        if not word.startswith("--"):
            out.append(word)
            continue
        given, equals, value = word[2:].partition("=")
        name = dashed(given)
        taken = [value] if equals else list(_until_flag(words))
        if reason := other_tools.ignored(
            known.verb, name, taken[0] if taken else "true", known=name in known.flags or name in known.aliases
        ):
            known.notes.append(f"{' '.join([word, *taken][: 1 if equals else None])} has no effect: {reason}")
            words = words if equals else words[len(taken) :]
            continue
        if name in known.aliases:
            known.notes.append(f"--{given} is --{known.aliases[name]} here")
            name = known.aliases[name]
        flag = known.flags.get(name)
        if flag is None:
            switched = value if equals else words[0] if words and words[0].lower() in TRUE + FALSE else "true"
            hub = other_tools.hub_switch(known.registry, name, switched) if "hub" in known.flags else ""
            if hub:
                known.notes.append(f"--{given} {switched} is --hub {hub} here")
                words = words[1:] if not equals and words[:1] == [switched] else words
            out += ["--hub", hub] if hub else [f"--{name}{equals}{value}"]
        elif flag.field.type == "boolean":
            if not equals and words and words[0].lower() in TRUE + FALSE:
                value, equals = words.pop(0), "="
            if equals and value.lower() not in TRUE + FALSE:
                raise UsageError(
                    f"must be true or false, not '{value}'",
                    code="OPTION-001",
                    where=f"--{name}",
                    hint=f"Write --{name} or {off_name(name)}.",
                )
            out.append(off_name(name) if equals and value.lower() in FALSE else f"--{name}")
        elif flag.field.type == "array":
            values = [value] if equals else []
            while not equals and words and not _FLAG.match(words[0]):
                values.append(words.pop(0))
            if not values:
                raise UsageError("needs at least one value", code="OPTION-002", where=f"--{name}", hint=f"Write --{name} VALUE [VALUE …].")
            out += [piece for item in values for piece in (f"--{name}", item)]
        else:
            out += [f"--{name}"] + ([value] if equals else [])
    return out


def _holds_options(word: str) -> bool:
    """Return whether a first word is a file of options: YAML, or a small JSON file with one object; others have rows."""
    path = Path(word)
    if path.suffix != ".json" or not path.is_file() or path.stat().st_size > _OPTIONS_BYTES:
        return path.suffix in (".yaml", ".yml")
    try:
        return isinstance(json.loads(path.read_text(encoding="utf-8")), dict)
    except ValueError:
        return False


def read_config(argv: Sequence[str]) -> tuple[Settings, list[str]]:
    """Return the settings of the YAML file given first or by --config (empty if there is none), and the other arguments.

    The local plugins that it names are those of this process from here on.
    """
    words = list(argv)
    if words and _holds_options(words[0]):
        settings, words = read_yaml(Path(words[0])), words[1:]
    elif "--config" in words:
        at = words.index("--config")
        if at + 1 == len(words):
            raise UsageError("needs a file", code="OPTION-003", where="--config", hint="Write --config FILE.yaml.")
        settings, words = read_yaml(Path(words[at + 1])), words[:at] + words[at + 2 :]
    else:
        return Settings(), words
    local.use_local_plugins(settings.values.pop("plugins", ()), where=settings.where("plugins"))
    return settings, words


def _entry(registry: Registry, part: str, name: str) -> Any:
    matches = registry.matching(part, name)  # of several the first-party one is first
    return matches[0].spec if matches else None


def _values(argv: Sequence[str], option: str, aliases: dict[str, str]) -> Iterator[str]:
    words = iter(range(len(argv)))
    for at in words:
        given, equals, value = argv[at].removeprefix("--").partition("=")
        if not argv[at].startswith("--") or aliases.get(dashed(given), dashed(given)) != dashed(option):
            continue
        if equals:
            yield value
        else:
            yield from _until_flag(argv[at + 1 :])


def _until_flag(words: Iterable[str]) -> Iterator[str]:
    for word in words:
        if _FLAG.match(word):
            return
        yield word


def off_name(name: str) -> str:
    """Return the name of the flag that switches off: `no-x` for `x`, `tuner.no-x` for `tuner.x`."""
    head, dot, last = name.rpartition(".")
    return f"--{head}{dot}no-{last}"
