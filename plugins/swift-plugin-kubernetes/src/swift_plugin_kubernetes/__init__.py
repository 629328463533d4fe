"""Kubernetes launcher: write a run as an indexed Job, a Kubeflow TrainJob or a PyTorchJob, submit it and follow it."""

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
    """Return the launcher `kubernetes`."""
    return [
        LauncherSpec(
            name="kubernetes",
            summary="A Kubernetes Job, Kubeflow TrainJob or PyTorchJob, submitted and followed, or only its manifest",
            also=("k8s",),
            factory=Ref("swift_plugin_kubernetes.launcher:KubernetesLauncher"),
            options=Ref("swift_plugin_kubernetes.options:KubernetesOptions"),
            nodes=True,
        )
    ]


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Check that the package kubernetes is installed if the job is to be submitted, before anything is loaded."""
    chosen = run.parts.get("launcher")
    ours = chosen and chosen.factory.startswith("swift_plugin_kubernetes.") and chosen.options["submit"]
    if ours and importlib.util.find_spec("kubernetes") is None:
        hint = "pip install 'swift-plugin-kubernetes[submit]', or write only the manifest: --launcher.no-submit."
        yield Problem(code="NODE-017", where="launcher", message="submitting needs the package kubernetes", hint=hint)
