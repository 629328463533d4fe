"""Options of the Kubernetes launcher: the manifest, and the pods in it."""

from __future__ import annotations

from typing import Any, Literal

from swift_nodes.options import ClusterOptions

from swift_core.options import option
from swift_plugin_kubernetes.serving_options import ServingOptions


class KubernetesOptions(ServingOptions, ClusterOptions):
    """The job that the cluster runs, or the server."""

    image: str = option(..., "Container image with Python, swift-core and the plugins of the run.", min_length=1)
    manifest: Literal["job", "trainjob", "pytorchjob"] = option(
        "job", "Resource: job (indexed Job, no operator needed), trainjob (Kubeflow Trainer v2) or pytorchjob (Training Operator v1)."
    )
    submit: bool = option(True, "Submit the job; otherwise only write the manifest.")
    namespace: str = option("", "Namespace; empty: that of the current context.")
    name: str = option("", "Name of the job or server; empty: from the run folder's.", pattern=r"^$|^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$")
    runtime: str = option("torch-distributed", "Name of the training runtime of a TrainJob.")
    volumes: list[str] = option(list, "Persistent volume claims to mount, as CLAIM:/path, for runs, model and data.")
    gpu_resource: str = option("nvidia.com/gpu", "Kubernetes resource name of a GPU.")
    cpus: str = option("", "CPUs per node, such as 16.")
    memory: str = option("", "Memory per node, such as 64Gi.")
    env: dict[str, str] = option(dict, "Environment variables of the pods.")
    pod: dict[str, Any] = option(dict, 'Fields to merge into the pod specification: {"nodeSelector": {"gpu": "h100"}}.')
    python: str = option("python", "Python interpreter in the image.")
    grace: int = option(90, "Termination grace period in seconds, in which the workers save a checkpoint.", ge=0)
    wait: float = option(600.0, "Maximum time in seconds for all nodes to join, including image pulls.", gt=0)
