"""A scheduler of rollouts, by name: the entry point `acme` in the group `swift.rollouts` of pyproject.toml."""

from __future__ import annotations

from collections.abc import Iterator

from swift_core.contract import Problem, Run, hookimpl


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Warn before a training starts in which the scheduler can never reply."""
    task = run.parts.get("task")
    if task and task.options.get("max_turns") == 1 and str(task.options["multi_turn_scheduler"]).partition(":")[0] == "acme":
        yield Problem(where="max_turns", message="with one turn 'acme' never replies", hint="Allow more.", code="ACME-001", fatal=False)
