"""The rewards that a user names: `accuracy`, `cosine:max_len=512`, `rewards.py:right`, `package.module:function`."""

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
class RewardChoice:
    """A reward of a run: a name with options, or a function of a file or module (`target` is FILE.py or MODULE)."""

    name: str  # of the reward; of the function
    options: Mapping[str, Any] = field(default_factory=dict)
    target: str = ""

    @property
    def file(self) -> Path | None:
        """The file of the function."""
        return Path(self.target) if self.target.endswith(".py") else None

    def digest(self) -> dict[str, Any]:
        """Return what determines the scores, as far as it is known."""
        return {**asdict(self), "options": dict(self.options), "hash": sha256(self.file) if self.file else ""}


def reward_choices(items: Sequence[Any]) -> list[RewardChoice]:
    """Return the choices that the option `reward_funcs` names.

    Raises:
        UsageError: one is not written as it should be, is named twice, or its file does not exist.
    """
    found: list[RewardChoice] = []
    for item in items:
        choice = _choice(item)
        if choice.name in [other.name for other in found]:
            raise UsageError(f"the reward '{choice.name}' is named twice", code="RL-008", where="reward_funcs", hint="Name it once.")
        if choice.file and not choice.file.is_file():
            raise UsageError(
                f"there is no file '{choice.target}'", code="RL-009", where="reward_funcs", hint="Give its path from the working folder."
            )
        found.append(choice)
    return found


def _choice(item: Any) -> RewardChoice:
    if isinstance(item, Mapping) and item.get("name"):
        options = {str(key).replace("-", "_"): value for key, value in item.items() if key != "name"}
        base = _choice(str(item["name"]))
        return RewardChoice(base.name, {**base.options, **options}, base.target)
    if not isinstance(item, str):
        raise UsageError(f"{item!r} is not a reward", code="RL-010", where="reward_funcs", hint=_HOW)
    if _NAMED.fullmatch(item) and not item.endswith(".py"):
        name, *pairs = item.split(":")
        return RewardChoice(name, {key.replace("-", "_"): value for key, _, value in (pair.partition("=") for pair in pairs)})
    target, _, function = item.rpartition(":")
    if not target or not function.isidentifier():
        raise UsageError(f"'{item}' is not a reward", code="RL-011", where="reward_funcs", hint=_HOW)
    return RewardChoice(function, {}, target)
