"""Build the three kinds of manifest. In each, a pod is a node of the run and gets its rank and node 0's address from the cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from swift_plugin_kubernetes.pod import Json, Workload

MANAGER = "swift-core.dev/launcher"  # field manager of the runtime patch of a TrainJob


def indexed_job(workload: Workload) -> Json:
    """Return an indexed Job, whose pods are numbered; `service` gives them host names."""
    name = workload.name
    command = workload.command("JOB_COMPLETION_INDEX", f"{name}-0.{name}", workload.options.port)
    pod = workload.pod(workload.container("node", command), subdomain=name, restartPolicy="Never")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(workload),
        "spec": {
            "completionMode": "Indexed",
            "completions": workload.nodes,
            "parallelism": workload.nodes,
            "backoffLimit": 0,  # a single restarted pod can't rejoin the others; workers are restarted inside the pods instead
            "template": {"metadata": {"labels": {"swift-core.dev/run": name}}, "spec": pod},
        },
    }


def service(workload: Workload) -> Json:
    """Return the headless Service through which the pods of an indexed Job find node 0; Kubeflow creates its own."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(workload),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {"swift-core.dev/run": workload.name},
            "ports": [{"name": "nodes", "port": workload.options.port}],
        },
    }


def train_job(workload: Workload) -> Json:
    """Return a TrainJob of Kubeflow Trainer v2, based on a training runtime of the cluster; volumes are added by a runtime patch."""
    container = {"name": "node", "volumeMounts": workload.mounts()}
    pod = {
        "volumes": workload.volumes(),
        "containers": [container],
        "terminationGracePeriodSeconds": workload.options.grace,
        **workload.options.pod,
    }
    patch = {"name": "node", "template": {"spec": {"template": {"spec": pod}}}}
    trainer = {
        "image": workload.options.image,
        "command": workload.command("PET_NODE_RANK", "PET_MASTER_ADDR", "PET_MASTER_PORT"),
        "numNodes": workload.nodes,
        "numProcPerNode": workload.processes,
        "env": workload.env(),
        "resourcesPerNode": workload.resources(),
    }
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": _metadata(workload),
        "spec": {
            "runtimeRef": {"name": workload.options.runtime},
            "trainer": trainer,
            "runtimePatches": [{"manager": MANAGER, "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [patch]}}}}],
        },
    }


def pytorch_job(workload: Workload) -> Json:
    """Return a PyTorchJob of Kubeflow Training Operator v1: one master and workers, numbered by RANK."""
    command = workload.command("RANK", "MASTER_ADDR", "MASTER_PORT")
    template = {"spec": workload.pod(workload.container("pytorch", command))}
    replicas = {"Master": 1, **({"Worker": workload.nodes - 1} if workload.nodes > 1 else {})}
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": _metadata(workload),
        "spec": {
            "nprocPerNode": str(workload.processes),
            "runPolicy": {"backoffLimit": 0, "cleanPodPolicy": "None"},
            "pytorchReplicaSpecs": {
                kind: {"replicas": count, "restartPolicy": "Never", "template": template} for kind, count in replicas.items()
            },
        },
    }


MANIFESTS: Mapping[str, Callable[[Workload], Json]] = {"job": indexed_job, "trainjob": train_job, "pytorchjob": pytorch_job}
PLURALS: Mapping[str, str] = {"job": "jobs", "trainjob": "trainjobs", "pytorchjob": "pytorchjobs"}


def manifests(workload: Workload) -> list[Json]:
    """Return the manifests to submit: the job, and for an indexed Job of several nodes its Service."""
    job = MANIFESTS[workload.options.manifest](workload)
    return [job, service(workload)] if workload.options.manifest == "job" and workload.nodes > 1 else [job]


def _metadata(workload: Workload) -> dict[str, Any]:
    namespace = {"namespace": workload.options.namespace} if workload.options.namespace else {}
    return {"name": workload.name, **namespace, "labels": {"swift-core.dev/run": workload.name}}
