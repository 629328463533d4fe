"""Stands on something that can't be installed as it is written."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Engine, LauncherSpec, Ref


@hookimpl
def swift_launchers():
    return [
        LauncherSpec(
            name="engine",
            summary="Does it badly",
            factory=Ref("swift_core.runs.local_launcher:LocalLauncher"),
            engines=(Engine(requirements=("vllm >= ",)),),
        )
    ]
