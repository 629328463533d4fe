"""A reward of online training, by name: the entry point `acme` in the group `swift.rewards` of pyproject.toml."""

from __future__ import annotations

from collections.abc import Iterator

from swift_core.contract import Problem, Run, hookimpl


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Warn before a training starts whose only reward is this one: answers without sense can earn it too."""
    task = run.parts.get("task")
    if task and [str(name).partition(":")[0] for name in task.options.get("reward_funcs", ())] == ["acme"]:
        message, hint = "'acme' is the only reward, and says nothing of what is right", "Add another one, as accuracy."
        yield Problem(where="reward_funcs", message=message, hint=hint, code="ACME-001", fatal=False)
