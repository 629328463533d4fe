"""Convert the options of an engine to arguments of its command line; shared by the backend plugins."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from swift_core.options import Options


def arguments(options: Options, flags: Mapping[str, str]) -> list[str]:
    """Return the flags of the options that are set, in the order of `flags` (option → flag). None, '', False, {} and [] omit a flag."""
    made: list[str] = []
    for name, flag in flags.items():
        value = getattr(options, name)
        if value is True:
            made.append(flag)
        elif value is not False and value not in (None, "", {}, []):
            made += [flag, *_text(value)]
    return made


def _text(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [json.dumps(value)]
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]
