"""Access to the cluster through the `kubernetes` package, which only this module needs: create, poll and delete a job or a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from swift_core.contract import SwiftError, UsageError
from swift_plugin_kubernetes.pod import Json

_DONE = ("Complete", "Succeeded")  # the condition of a Job or TrainJob, and that of a PyTorchJob
_HINT = "To write only the manifest: --launcher.no-submit."


class Cluster:
    """The API server of the current kubeconfig context, or of the cluster whose pod this process runs in."""

    def __init__(self, namespace: str, plural: str) -> None:
        try:
            import kubernetes
        except ModuleNotFoundError:
            hint = f"pip install 'swift-plugin-kubernetes[submit]'. {_HINT}"
            raise UsageError("submitting needs the package kubernetes", code="NODE-017", where="launcher", hint=hint) from None
        config: Any = kubernetes.config  # its functions are not annotated
        client = kubernetes.client
        current = ""
        try:
            config.load_incluster_config()
        except config.ConfigException:
            try:
                config.load_kube_config()
                current = config.list_kube_config_contexts()[1]["context"].get("namespace", "")
            except config.ConfigException as error:
                hint = f"Check that ~/.kube/config exists. {_HINT}"
                raise UsageError(f"no cluster is configured: {error}", code="NODE-018", where="launcher", hint=hint) from error
        self.namespace, self.plural = namespace or current or "default", plural
        self._jobs, self._core = client.CustomObjectsApi(), client.CoreV1Api()

    def create(self, manifests: Sequence[Json]) -> None:
        """Create the first resource, then the others, owned by it so that they are deleted with it.

        Args:
            manifests: the manifest of a job or a Deployment, followed by those of what belongs to it.

        Raises:
            SwiftError: the cluster refused a manifest or can't be reached; so for the other methods.
        """
        job, *others = manifests
        created = self._call(lambda: self._jobs.create_namespaced_custom_object(*self._kind(job), self.namespace, self.plural, job))
        owner = {"apiVersion": job["apiVersion"], "kind": job["kind"], "name": job["metadata"]["name"], "uid": created["metadata"]["uid"]}
        for other in others:
            owned: Any = {**other, "metadata": {**other["metadata"], "ownerReferences": [owner]}}  # typed as models, but dicts are accepted
            self._call(partial(self._create, owned))

    def _create(self, body: Any) -> None:
        if body["apiVersion"] == "v1":
            create: Any = {"Service": self._core.create_namespaced_service, "ConfigMap": self._core.create_namespaced_config_map}[
                body["kind"]
            ]
            create(self.namespace, body)
        else:
            self._jobs.create_namespaced_custom_object(*self._kind(body), self.namespace, f"{body['kind'].lower()}s", body)

    def available(self, deployment: Json) -> bool:
        """Return whether a Deployment or a LeaderWorkerSet has its replicas.

        Raises:
            SwiftError: they did not start in time.
        """
        conditions = self._conditions(deployment)
        failed = conditions.get("Progressing", {})
        if failed.get("status") == "False" and deployment["kind"] == "Deployment":  # a LeaderWorkerSet that is complete makes no progress
            name = deployment["metadata"]["name"]
            hint = f"kubectl --namespace {self.namespace} describe pods --selector app.kubernetes.io/name={name}"
            raise SwiftError(f"the pods did not start: {failed.get('message', '')}", code="NODE-028", where=name, hint=hint)
        return conditions.get("Available", {}).get("status") == "True"

    def exit_code(self, job: Json) -> int | None:
        """Return None while the job is pending or running, 0 if all pods succeeded, else 1."""
        true = {name for name, item in self._conditions(job).items() if item["status"] == "True"}
        return 1 if "Failed" in true else 0 if true & set(_DONE) else None

    def delete(self, job: Json) -> None:
        """Delete the job and its pods."""
        name = job["metadata"]["name"]
        delete = self._jobs.delete_namespaced_custom_object
        self._call(lambda: delete(*self._kind(job), self.namespace, self.plural, name, propagation_policy="Background"))

    def _conditions(self, job: Json) -> dict[str, Json]:
        name = job["metadata"]["name"]
        found = self._call(lambda: self._jobs.get_namespaced_custom_object(*self._kind(job), self.namespace, self.plural, name))
        return {item["type"]: item for item in found.get("status", {}).get("conditions", ())}

    def _kind(self, job: Json) -> tuple[str, str]:
        group, _, version = job["apiVersion"].partition("/")
        return group, version

    def _call(self, request: Callable[[], Any]) -> Any:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            return request()
        except ApiException as error:
            hints = {
                403: f"Get permission to manage {self.plural} in the namespace {self.namespace}.",
                404: f"Check that the cluster has the resource ({self.plural}), and for a server the Prometheus operator and KEDA.",
                409: "A resource of this name exists; choose another with --launcher.name.",
            }
            raise SwiftError(
                f"the cluster refused the request: {error.reason}: {error.body}", code="NODE-019", hint=hints.get(error.status, _HINT)
            ) from error
        except HTTPError as error:
            raise SwiftError(f"the cluster can't be reached: {error}", code="NODE-020", hint=_HINT) from error
