"""The launcher torchrun, and the checks of runs on several nodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from swift_core.contract import FlagFor, LauncherSpec, Problem, Ref, hookimpl

if TYPE_CHECKING:
    from swift_core.contract import Run, Settings, VerbSpec

_TORCHRUN = "swift_nodes.torchrun:TorchrunLauncher"


@hookimpl
def swift_launchers() -> list[LauncherSpec]:
    """Return torchrun."""
    return [
        LauncherSpec(
            name="torchrun",
            summary="torch's elastic launcher, on one node or several",
            factory=Ref(_TORCHRUN),
            options=Ref("swift_nodes.options:TorchrunOptions"),
            nodes=True,
            flags=(FlagFor("hostfile", "hostfile"),),
        )
    ]


@hookimpl
def swift_settings(verb: VerbSpec, settings: Settings, environment: Mapping[str, str]) -> Iterable[str]:
    """Apply torchrun's rendezvous variables to a run on several nodes."""
    from swift_nodes import rendezvous_variables

    return list(rendezvous_variables.apply(verb, settings, environment))


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Refuse nodes that torchrun can't reach, before a model is loaded."""
    chosen = run.parts.get("launcher")
    if chosen and chosen.factory == _TORCHRUN:
        from swift_nodes.torchrun import problems

        yield from problems(chosen.options, int(run.options.get("nodes", 1)))
