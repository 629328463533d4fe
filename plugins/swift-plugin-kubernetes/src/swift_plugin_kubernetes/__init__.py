"""Kubernetes: a run as an indexed Job, a TrainJob of Kubeflow Trainer or a PyTorchJob, written, submitted and followed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract import LauncherSpec, Problem, Ref

if TYPE_CHECKING:
    from swift_core.contract import Run

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


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Say what is missing before anything is loaded."""
    chosen = run.parts.get("launcher")
    ours = chosen and chosen.factory.startswith("swift_plugin_kubernetes.") and chosen.options["submit"]
    if ours and importlib.util.find_spec("kubernetes") is None:
        hint = "pip install 'swift-plugin-kubernetes[submit]', or write the manifest alone: --launcher.no-submit."
        yield Problem(where="launcher", message="to submit, the package kubernetes is needed", hint=hint)
