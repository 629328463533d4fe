"""Kubernetes launcher: write a run as an indexed Job, a Kubeflow TrainJob or a PyTorchJob, or a Deployment; submit and follow it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract import LauncherSpec, Problem, Ref, SectionSpec

if TYPE_CHECKING:
    from swift_core.contract import Run

SWIFT_EXAMPLES = Ref("swift_plugin_kubernetes.examples:EXAMPLES")


@hookimpl
def swift_launchers() -> list[LauncherSpec]:
    """Return the launcher `kubernetes`."""
    return [
        LauncherSpec(
            name="kubernetes",
            summary="A Kubernetes Job, Kubeflow TrainJob or PyTorchJob; a Deployment that scales, for a server; or only the manifest",
            also=("k8s",),
            factory=Ref("swift_plugin_kubernetes.launcher:KubernetesLauncher"),
            options=Ref("swift_plugin_kubernetes.options:KubernetesOptions"),
            nodes=True,
        )
    ]


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Check the options of a server, and that the package kubernetes is installed if something is to be submitted, before any work."""
    chosen = run.parts.get("launcher")
    if not chosen or not chosen.factory.startswith("swift_plugin_kubernetes."):
        return
    if chosen.options["submit"] and importlib.util.find_spec("kubernetes") is None:
        hint = "pip install 'swift-plugin-kubernetes[submit]', or write only the manifest: --launcher.no-submit."
        yield Problem(code="NODE-017", where="launcher", message="submitting needs the package kubernetes", hint=hint)
    from swift_plugin_kubernetes.serving import problems

    yield from problems(run, chosen.make_options())


@hookimpl
def swift_report_sections() -> list[SectionSpec]:
    """Return the simulated autoscaler."""
    return [
        SectionSpec(
            name="autoscaling",
            title="Autoscaling",
            summary="Replicas and waits under a recorded load, as the autoscaler was simulated",
            content=Ref("swift_plugin_kubernetes.report:content"),
            order=640,
        )
    ]
