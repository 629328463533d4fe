"""All manifests of a server, in the order in which they are created, and the problems of its options."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from swift_core.contract import Problem, Run, UsageError
from swift_plugin_kubernetes import autoscaling, deployment, gateway, leader_worker_set, routes
from swift_plugin_kubernetes.options import KubernetesOptions
from swift_plugin_kubernetes.pod import Json, Workload
from swift_plugin_kubernetes.server import ServedRun


def is_server(run: Run) -> bool:
    """Return whether the run's verb gives a server."""
    from swift_core.plugins import find_verb

    verb = find_verb(run.verb)
    return verb is not None and verb.gives == "server"


def serving_manifests(server: ServedRun) -> list[Json]:
    """Return the Deployment, what belongs to it, and what scales it; with zero replicas at times, the gateway before it too.

    Raises:
        UsageError: the checkpoint is not on a volume of the pods, or a volume or the range of replicas is malformed.
    """
    made = [
        deployment.deployment(server) if server.machines == 1 else leader_worker_set.leader_worker_set(server),
        deployment.settings_map(server),
        deployment.service(server),
        deployment.disruption_budget(server),
        autoscaling.pod_monitor(server),
    ]
    if server.scaled:
        made.append(autoscaling.scaled_object(server) if server.options.autoscaler == "keda" else autoscaling.pod_autoscaler(server))
    if not server.replicas[0]:
        made += [gateway.gateway_deployment(server), gateway.gateway_service(server), autoscaling.pod_monitor(server, "gateway")]
    if server.options.route == "inferencepool":
        made.append(routes.inference_pool(server))
    if server.options.route != "none":
        made.append(routes.http_route(server))
    return made


def problems(run: Run, options: KubernetesOptions) -> Iterator[Problem]:
    """Yield what is wrong with the options of the launcher, before anything is written."""
    if not is_server(run):
        if options.autoscale != "1":
            message, hint = "only a server is scaled; this run is a job", "Omit --autoscale."
            yield Problem(code="NODE-032", where="launcher.autoscale", message=message, hint=hint)
        return
    if options.manifest != "job":
        message, hint = "a server is a Deployment, not a training job", "Omit --launcher.manifest."
        yield Problem(code="NODE-033", where="launcher.manifest", message=message, hint=hint)
    if not options.key_secret:
        message = "a server on a cluster needs an API key"
        hint = "kubectl create secret generic NAME --from-literal=api-key=…; then --launcher.key-secret NAME."
        yield Problem(code="NODE-034", where="launcher.key_secret", message=message, hint=hint)
    if options.autoscaler == "hpa" and options.autoscale.startswith("0"):
        message, hint = "a HorizontalPodAutoscaler does not scale to zero", "Use --launcher.autoscaler keda."
        yield Problem(code="NODE-044", where="launcher.autoscale", message=message, hint=hint)
    yield from routes.problems(run, options)
    server = ServedRun(run, Workload(run=Path("run"), options=options, processes=1, nodes=1, environment={}))
    try:
        serving_manifests(server)
        if options.load and not server.scaled:
            message, hint = "the number of replicas is fixed, so there is nothing to simulate", "Give a range: --autoscale 1:8."
            yield Problem(code="NODE-045", where="launcher.load", message=message, hint=hint)
    except UsageError as error:
        yield Problem(code=error.code, where=error.where, message=error.message, hint=error.hint)
