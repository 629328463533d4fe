"""Kubernetes: a run as an indexed Job, a TrainJob of Kubeflow Trainer or a PyTorchJob, written, submitted and followed."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.specs import LauncherSpec, Ref

SWIFT_EXAMPLES = Ref("swift_plugin_kubernetes.examples:EXAMPLES")


@hookimpl
def swift_launchers() -> list[LauncherSpec]:
    """One launcher, for three kinds of manifest."""
    return [
        LauncherSpec(
            name="kubernetes",
            summary="A Kubernetes Job, Kubeflow TrainJob or PyTorchJob, submitted and followed, or its manifest alone",
            also=("k8s",),
            factory=Ref("swift_plugin_kubernetes.launcher:KubernetesLauncher"),
            options=Ref("swift_plugin_kubernetes.options:KubernetesOptions"),
            nodes=True,
        )
    ]
