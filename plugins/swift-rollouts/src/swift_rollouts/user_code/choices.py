"""Names of code: `accuracy`, `cosine:max_len=512`, `rewards.py:right`, `package.module:function`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from swift_core.contract import UsageError
from swift_core.system import sha256

_NAMED = re.compile(r"[\w.@-]+(:[\w-]+=[^:]*)*")
_HOW = "Write a name with options after colons (cosine:max_len=512), FILE.py:FUNCTION or MODULE:FUNCTION; in YAML also {name: NAME}."


@dataclass(frozen=True, slots=True)
class CodeChoice:
    """A reward, scheduler or tool of a run: a name with options, or a function or class of a file or module.

    Attributes:
        name: of what is registered by that name; of the function.
        options: of the named one.
        target: FILE.py or MODULE; empty for a name.
        modules: where a name that is not registered is looked up.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    target: str = ""
    modules: Sequence[str] = ()

    @property
    def places(self) -> Sequence[str]:
        """The files and modules that may have it."""
        return (self.target,) if self.target else self.modules

    def digest(self) -> dict[str, Any]:
        """Return what determines its results, as far as it is known."""
        files = [path for path in map(_file, self.places) if path]
        return {**asdict(self), "options": dict(self.options), "modules": [], "hash": [sha256(path) for path in files]}


def code_choices(items: Sequence[Any], kind: str, where: str, modules: Sequence[str] = ()) -> list[CodeChoice]:
    """Return the choices that an option names.

    Args:
        items: values of the option.
        kind: what they are, in messages: reward, scheduler, tool.
        where: the option.
        modules: files and modules in which names are looked up that are not registered.

    Raises:
        UsageError: one is not written as it should be, is named twice, or its file does not exist.
    """
    found: list[CodeChoice] = []
    for item in items:
        choice = _choice(item, kind, where, tuple(modules))
        if choice.name in [other.name for other in found]:
            raise UsageError(f"the {kind} '{choice.name}' is named twice", code="RL-008", where=where, hint="Name it once.")
        for path in map(_file, choice.places):
            if path and not path.is_file():
                raise UsageError(f"there is no file '{path}'", code="RL-009", where=where, hint="Give its path from the working folder.")
        found.append(choice)
    return found


def _choice(item: Any, kind: str, where: str, modules: Sequence[str]) -> CodeChoice:
    if isinstance(item, Mapping) and item.get("name"):
        options = {str(key).replace("-", "_"): value for key, value in item.items() if key != "name"}
        base = _choice(str(item["name"]), kind, where, modules)
        return CodeChoice(base.name, {**base.options, **options}, base.target, base.modules)
    if not isinstance(item, str):
        raise UsageError(f"{item!r} is not a {kind}", code="RL-010", where=where, hint=_HOW)
    if _NAMED.fullmatch(item) and not item.endswith(".py"):
        name, *pairs = item.split(":")
        options = {key.replace("-", "_"): value for key, _, value in (pair.partition("=") for pair in pairs)}
        return CodeChoice(name, options, modules=modules)
    target, _, function = item.rpartition(":")
    if not target or not function.isidentifier():
        raise UsageError(f"'{item}' is not a {kind}", code="RL-011", where=where, hint=_HOW)
    return CodeChoice(function, {}, target)


def _file(target: str) -> Path | None:
    return Path(target) if target.endswith(".py") else None
