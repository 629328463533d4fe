"""The scheduler and the tools that options name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from swift_rollouts.user_code.choices import CodeChoice, code_choices


def scheduler_choice(name: str, modules: Sequence[str]) -> CodeChoice | None:
    """Return the scheduler of the option `multi_turn_scheduler`, if there is one; raises as `code_choices` does."""
    return next(iter(code_choices([name] if name else [], "scheduler", "multi_turn_scheduler", modules)), None)


def tool_choices(names: Sequence[Any], modules: Sequence[str]) -> list[CodeChoice]:
    """Return the tools of the option `tools`; raises as `code_choices` does."""
    return code_choices(names, "tool", "tools", modules)
