"""The cluster, through the `kubernetes` package, which is only needed here: to create a job, ask how it is, and delete it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from swift_core.contract import SwiftError, UsageError
from swift_plugin_kubernetes.pod import Json

_DONE = ("Complete", "Succeeded")  # conditions of a Job and a TrainJob, of a PyTorchJob
_HINT = "To write the manifest alone: --launcher.no-submit."


class Cluster:
    """The API server of the current context, or of the pod that this runs in."""

    def __init__(self, namespace: str, plural: str) -> None:
        try:
            from kubernetes import client, config
        except ModuleNotFoundError:
            hint = f"pip install 'swift-plugin-kubernetes[submit]'. {_HINT}"
            raise UsageError("to submit, the package kubernetes is needed", where="launcher", hint=hint) from None
        current = ""
        try:
            config.load_incluster_config()
        except config.ConfigException:
            try:
                config.load_kube_config()
                current = config.list_kube_config_contexts()[1]["context"].get("namespace", "")
            except config.ConfigException as error:
                raise UsageError(
                    f"no cluster is configured: {error}", where="launcher", hint=f"Is there a ~/.kube/config? {_HINT}"
                ) from error
        self.namespace, self.plural = namespace or current or "default", plural
        self._jobs, self._core = client.CustomObjectsApi(), client.CoreV1Api()

    def create(self, manifests: Sequence[Json]) -> None:
        """Create the job, and what belongs to it so that it goes with it."""
        job, *others = manifests
        made = self._asked(lambda: self._jobs.create_namespaced_custom_object(*self._kind(job), self.namespace, self.plural, job))
        owner = {"apiVersion": job["apiVersion"], "kind": job["kind"], "name": job["metadata"]["name"], "uid": made["metadata"]["uid"]}
        for other in others:
            owned = {**other, "metadata": {**other["metadata"], "ownerReferences": [owner]}}
            self._asked(lambda owned=owned: self._core.create_namespaced_service(self.namespace, owned))

    def code(self, job: Json) -> int | None:
        """None while the job is pending or runs, 0 when all pods ended well, else 1."""
        name = job["metadata"]["name"]
        found = self._asked(lambda: self._jobs.get_namespaced_custom_object(*self._kind(job), self.namespace, self.plural, name))
        true = {item["type"] for item in found.get("status", {}).get("conditions", ()) if item["status"] == "True"}
        return 1 if "Failed" in true else 0 if true & set(_DONE) else None

    def delete(self, job: Json) -> None:
        """End the job and its pods."""
        name = job["metadata"]["name"]
        policy = {"propagation_policy": "Background"}
        self._asked(lambda: self._jobs.delete_namespaced_custom_object(*self._kind(job), self.namespace, self.plural, name, **policy))

    def _kind(self, job: Json) -> tuple[str, str]:
        group, _, version = job["apiVersion"].partition("/")
        return group, version

    def _asked(self, call: Callable[[], Any]) -> Any:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            return call()
        except ApiException as error:
            known = {
                403: "You may not do this in that namespace.",
                404: f"Does the cluster know {self.plural}?",
                409: "There is one of that name.",
            }
            raise SwiftError(f"the cluster refuses: {error.reason}: {error.body}", hint=known.get(error.status, _HINT)) from error
        except HTTPError as error:
            raise SwiftError(f"the cluster can't be reached: {error}", hint=_HINT) from error
