"""Options of the launcher: the manifest, and the pods in it."""

from __future__ import annotations

from typing import Any, Literal

from swift_core.options import Options, option


class KubernetesOptions(Options):
    """What the cluster is asked for."""

    image: str = option(..., "Image with Python, swift-core and the plugins of the run.", min_length=1)
    manifest: Literal["job", "trainjob", "pytorchjob"] = option(
        "job", "An indexed Job, which every cluster knows; or Kubeflow's TrainJob (Trainer v2) or PyTorchJob (Training Operator v1)."
    )
    submit: bool = option(True, "Submit the manifest; otherwise it is written, and that is all.")
    follow: bool = option(True, "Wait for the job and show what it does.")
    namespace: str = option("", "Namespace; empty: that of the current context.")
    name: str = option("", "Name of the job; empty: made of the run folder's.", pattern=r"^$|^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$")
    runtime: str = option("torch-distributed", "The cluster's training runtime that a TrainJob uses.")
    volumes: list[str] = option(list, "Claims and where they are mounted, as CLAIM:/path; runs, model and data lie there.")
    gpus: int = option(0, "GPUs a node; the number of processes is another option.", ge=0)
    gpu_resource: str = option("nvidia.com/gpu", "What the cluster calls a GPU.")
    cpus: str = option("", "CPUs a node, such as 16.")
    memory: str = option("", "Memory a node, such as 64Gi.")
    env: dict[str, str] = option(dict, "Variables of the pods.")
    pod: dict[str, Any] = option(dict, 'More of the pod\'s specification: {"nodeSelector": {"gpu": "h100"}}.')
    python: str = option("python", "Interpreter in the image.")
    grace: int = option(90, "Seconds that the workers get to save when the pod is told to end.", ge=0)
    port: int = option(29500, "Port at which the nodes meet, on the first of them.", ge=1, le=65535)
    max_restarts: int = option(0, "How often a failed group of workers is started again, from its last checkpoint.", ge=0)
    wait: float = option(600.0, "Seconds that the last node may take to come: its image may have to be pulled.", gt=0)
