"""Environments: engines that cannot share an environment have one of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_core.lazy import door

if TYPE_CHECKING:
    from swift_core.environments.doctor import Finding as Finding, examine as examine
    from swift_core.environments.inspect import look as look
    from swift_core.environments.installers import installer as installer
    from swift_core.environments.interpreters import CLEARED as CLEARED, interpreter_variables as interpreter_variables
    from swift_core.environments.lookup import EngineAbsent as EngineAbsent, environment_of as environment_of, python_for as python_for
    from swift_core.environments.processes import users as users
    from swift_core.environments.record import (
        Environment as Environment,
        Record as Record,
        environments as environments,
        remove as remove,
        size_of as size_of,
    )
    from swift_core.environments.requirements import (
        envs_dir as envs_dir,
        isolated_entries as isolated_entries,
        isolated_entry as isolated_entry,
        wanted as wanted,
    )

__getattr__, __dir__ = door(
    __name__,
    {
        "doctor": "Finding examine",
        "inspect": "look",
        "installers": "installer",
        "interpreters": "CLEARED interpreter_variables",
        "lookup": "EngineAbsent environment_of python_for",
        "processes": "users",
        "record": "Environment Record environments remove size_of",
        "requirements": "envs_dir isolated_entries isolated_entry wanted",
    },
)
