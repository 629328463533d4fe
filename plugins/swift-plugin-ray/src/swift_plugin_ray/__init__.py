"""Ray launcher: run the training processes as workers of a Ray Train TorchTrainer, on this machine or a cluster."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract import Engine, LauncherSpec, Problem, Ref

if TYPE_CHECKING:
    from swift_core.contract import Run


@hookimpl
def swift_launchers() -> list[LauncherSpec]:
    """Return the launcher `ray`."""
    return [
        LauncherSpec(
            name="ray",
            summary="Workers of Ray Train's TorchTrainer, on this machine or a Ray cluster",
            factory=Ref("swift_plugin_ray.launcher:RayLauncher"),
            options=Ref("swift_plugin_ray.options:RayOptions"),
            engines=(Engine(requirements=("ray[train]>=2.51",)),),
            nodes=True,
        )
    ]


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Check that Ray is installed, before anything is loaded."""
    chosen = run.parts.get("launcher")
    ours = chosen and chosen.factory.startswith("swift_plugin_ray.")
    if ours and importlib.util.find_spec("ray") is None:
        hint = "pip install 'swift-plugin-ray[engine]'"
        yield Problem(code="NODE-022", where="launcher", message="the launcher 'ray' needs Ray", hint=hint)
