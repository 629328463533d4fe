"""Ray: the processes of a run as the workers of a Ray Train TorchTrainer, on this machine or a cluster."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.specs import Engine, LauncherSpec, Ref


@hookimpl
def swift_launchers() -> list[LauncherSpec]:
    """One launcher."""
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
