"""The three manifests. In each a pod is a node of the run, and learns from the cluster which one it is and where node 0 is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from swift_plugin_kubernetes.pod import Json, Work

MANAGER = "swift-core.dev/launcher"  # whose patch of the runtime it is


def indexed_job(work: Work) -> Json:
    """A Job whose pods have a number each; `service` gives them names."""
    name = work.name
    command = work.command("JOB_COMPLETION_INDEX", f"{name}-0.{name}", work.options.port)
    pod = work.pod(work.container("node", command), subdomain=name, restartPolicy="Never")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(work),
        "spec": {
            "completionMode": "Indexed",
            "completions": work.nodes,
            "parallelism": work.nodes,
            "backoffLimit": 0,  # a lone pod that starts again finds nobody; the workers are started again inside
            "template": {"metadata": {"labels": {"swift-core.dev/run": name}}, "spec": pod},
        },
    }


def service(work: Work) -> Json:
    """The headless service by which the pods of an indexed Job find node 0; Kubeflow makes one of its own."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(work),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {"swift-core.dev/run": work.name},
            "ports": [{"name": "nodes", "port": work.options.port}],
        },
    }


def train_job(work: Work) -> Json:
    """Kubeflow Trainer v2: the cluster's runtime says how, this what; volumes go in as a patch of the runtime."""
    container = {"name": "node", "volumeMounts": work.mounts()}
    pod = {"volumes": work.volumes(), "containers": [container], "terminationGracePeriodSeconds": work.options.grace, **work.options.pod}
    patch = {"name": "node", "template": {"spec": {"template": {"spec": pod}}}}
    trainer = {
        "image": work.options.image,
        "command": work.command("PET_NODE_RANK", "PET_MASTER_ADDR", "PET_MASTER_PORT"),
        "numNodes": work.nodes,
        "numProcPerNode": work.processes,
        "env": work.env(),
        "resourcesPerNode": work.resources(),
    }
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": _metadata(work),
        "spec": {
            "runtimeRef": {"name": work.options.runtime},
            "trainer": trainer,
            "runtimePatches": [{"manager": MANAGER, "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [patch]}}}}],
        },
    }


def pytorch_job(work: Work) -> Json:
    """Kubeflow Training Operator v1: a master and workers, numbered by RANK."""
    command = work.command("RANK", "MASTER_ADDR", "MASTER_PORT")
    template = {"spec": work.pod(work.container("pytorch", command))}
    replicas = {"Master": 1, **({"Worker": work.nodes - 1} if work.nodes > 1 else {})}
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": _metadata(work),
        "spec": {
            "nprocPerNode": str(work.processes),
            "runPolicy": {"backoffLimit": 0, "cleanPodPolicy": "None"},
            "pytorchReplicaSpecs": {
                kind: {"replicas": count, "restartPolicy": "Never", "template": template} for kind, count in replicas.items()
            },
        },
    }


MANIFESTS: Mapping[str, Callable[[Work], Json]] = {"job": indexed_job, "trainjob": train_job, "pytorchjob": pytorch_job}
PLURALS: Mapping[str, str] = {"job": "jobs", "trainjob": "trainjobs", "pytorchjob": "pytorchjobs"}


def manifests(work: Work) -> list[Json]:
    """What is submitted: the job, and what it needs beside it."""
    job = MANIFESTS[work.options.manifest](work)
    return [job, service(work)] if work.options.manifest == "job" and work.nodes > 1 else [job]


def _metadata(work: Work) -> dict[str, Any]:
    namespace = {"namespace": work.options.namespace} if work.options.namespace else {}
    return {"name": work.name, **namespace, "labels": {"swift-core.dev/run": work.name}}
