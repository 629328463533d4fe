"""The policy of an organisation: which licences, hubs, remote code, exporters, hosts and signers a run may use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from swift_core.contract import hookimpl

if TYPE_CHECKING:
    from swift_core.contract import Problem, Run, Settings, VerbSpec


@hookimpl
def swift_settings(verb: VerbSpec, settings: Settings, environment: Mapping[str, str]) -> Iterable[str]:
    """Refuse a forbidden hub before anything is downloaded from it."""
    from swift_plugin_policy import rules

    rules.refuse_hubs(settings)
    return ()


@hookimpl
def swift_check(run: Run) -> Iterable[Problem]:
    """Check a run against every policy file."""
    from swift_plugin_policy import rules

    return rules.problems(run)
