"""Keys of other tools in YAML and JSON files (`lora_rank: 8`, `deepspeed: ds.json`), as on the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from swift_core.contract import Settings, UsageError, VerbSpec
from swift_core.options import other_tools
from swift_core.options.flags import flags_for
from swift_core.options.settings import dashed
from swift_core.plugins import Registry


def adopt(settings: Settings, verb: VerbSpec, known: Registry, argv: Sequence[str] = ()) -> list[str]:
    """Rename other tools' keys of a YAML file (`lora_rank: 8`) in place, as on the command line, and return a note on each.

    Raises:
        UsageError: an option is given by two names.
    """
    notes: list[str] = []
    chooses = other_tools.flags_of(verb, known)
    for key in list(settings.values):
        spelled, value = str(key).replace("-", "_"), settings.values[key]
        part, name, found = chooses.get(spelled, ("", "", None))
        target = verb.spellings.get(spelled, "")
        other_tools.refuse(verb, spelled, value, settings.lines.get(str(key), spelled))
        if found and str(value).endswith(found.suffix) and not (found.yields and settings.values.get(part)):
            _replace(settings, key, other_tools.set_by(verb, part, name, found, value), notes)
        elif target in verb.parts and target not in verb.fixed:
            _replace(settings, key, {target: value}, notes)
        elif meant := other_tools.several(verb, spelled, value):
            _replace(settings, key, {path: json.loads(text) if text.startswith("{") else text for path, text in meant.items()}, notes)
    flags = flags_for(verb, argv, settings, known)
    own = {flag.path.partition(".")[0] for flag in flags.flags.values()} | {*verb.parts, "run", "dataset_options"}
    for key, value in list(settings.values.items()):
        spelled = str(key).replace("-", "_")
        if reason := other_tools.ignored(verb, spelled, value, known=spelled in own or dashed(spelled) in flags.aliases):
            _replace(settings, key, {}, notes, f"{key} {other_tools.NO_EFFECT} {reason}")
        elif spelled in own:
            for inner, item in list(value.items()) if spelled in verb.parts and isinstance(value, dict) else ():
                name = flags.aliases.get(dashed(str(inner)), "")
                if dashed(f"{spelled}.{inner}") not in flags.flags and name.startswith(f"{dashed(spelled)}."):
                    _replace(settings, f"{key}.{inner}", {flags.flags[name].path: item}, notes)
        elif name := flags.aliases.get(dashed(spelled), ""):
            _replace(settings, key, {flags.flags[name].path: value}, notes)
        elif "hub" in own and (hub := other_tools.hub_switch(known, spelled, other_tools.text_of(value))):
            _replace(settings, key, {"hub": hub}, notes)
    return notes


def _replace(settings: Settings, old: str, new: Mapping[str, Any], notes: list[str], note: str = "") -> None:
    """Replace a key by others, which keep its place in the file."""
    group, _, last = old.rpartition(".")
    node = settings.values[group] if group else settings.values
    del node[last]
    place = settings.lines.get(old, "")
    for path, value in new.items():
        if settings.given(path) is not None:
            raise UsageError(f"'{old}' and '{path}' are the same option", code="OPTION-011", where=place or old, hint="Keep one of them.")
        settings.set(path, value)
        settings.flags.discard(path)
        moved = [(line, at) for line, at in settings.lines.items() if line == old or line.startswith(f"{old}.")]
        settings.lines |= {path + line.removeprefix(old): at for line, at in moved}
    shown = "; ".join(f"{path}: {value}" if len(new) > 1 else path for path, value in new.items())
    notes.append(f"{place + ': ' if place else ''}{note or f'{old} is {shown} here'}")
