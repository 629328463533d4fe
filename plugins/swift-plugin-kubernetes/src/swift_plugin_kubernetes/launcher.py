"""Submit a run to a Kubernetes cluster and follow it: a job, or a server."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from swift_nodes.follow_job import follow, hand_over

from swift_core.contract import Watch, note
from swift_core.system import paths, read_run
from swift_plugin_kubernetes.cluster import Cluster
from swift_plugin_kubernetes.helm import write_chart
from swift_plugin_kubernetes.manifest_text import yaml_text
from swift_plugin_kubernetes.manifests import PLURALS, manifests
from swift_plugin_kubernetes.options import KubernetesOptions
from swift_plugin_kubernetes.pod import Json, Workload
from swift_plugin_kubernetes.server import ServedRun
from swift_plugin_kubernetes.serving import is_server, serving_manifests
from swift_plugin_kubernetes.simulation import Simulated, Sizing
from swift_plugin_kubernetes.sizing import write_autoscaling

MANIFEST = "job.yaml"
SERVER_MANIFEST = "server.yaml"
CHART = "chart"  # folder of the Helm chart
_PATIENCE = 2.0  # seconds between two looks at a Deployment


class KubernetesLauncher:
    """Launches a run as a job, whose run folder must be on a volume mounted at the same path here and in the pods; or as a Deployment."""

    def __init__(self, options: KubernetesOptions) -> None:
        self.options = options

    def launch(self, run: Path, *, processes: int, nodes: int, environment: Mapping[str, str], watch: Watch) -> int:
        """Write the manifest and, unless disabled by the options, submit it and follow the job; see `roles.Launcher`.

        A server is followed until its replicas answer, and stays.

        Raises:
            UsageError: the package kubernetes is missing, no cluster is configured, a volume is malformed, or a server's checkpoint is on
                none of them.
            SwiftError: the cluster refused the job or can't be reached, or the replicas did not start.
        """

        run, options = run.resolve(), self.options
        workload = Workload(run=run, options=options, processes=processes, nodes=nodes, environment=environment)
        frozen = read_run(run)
        if is_server(frozen):
            return self._serve(ServedRun(frozen, workload), watch)
        made, path = manifests(workload), run / MANIFEST
        _write(made, path)
        if not options.submit:
            return _prepared(path, watch)
        cluster = Cluster(options.namespace, PLURALS[options.manifest])
        cluster.create(made)
        if not options.follow:
            text = f"Submitted as {made[0]['kind']} {workload.name} in {cluster.namespace}. To stop it: touch {run / 'stop'}"
            return hand_over(watch, "submitted", path, text, job=workload.name)
        watch(note(f"Submitted as {made[0]['kind']} {workload.name} in {cluster.namespace}."))
        return follow(run, watch, lambda: cluster.exit_code(made[0]), lambda: cluster.delete(made[0]))

    def _serve(self, server: ServedRun, watch: Watch) -> int:
        made, path = serving_manifests(server), server.workload.run / SERVER_MANIFEST
        _write(made, path)
        if simulated := server.simulated:
            self._report(simulated, path.parent, watch)
        if self.options.helm:
            watch(note(f"Helm chart: {write_chart(server, made, path.parent / CHART)}"))
        if not self.options.submit:
            return _prepared(path, watch)
        cluster = Cluster(self.options.namespace, f"{server.resource[1].lower()}s")
        cluster.create(made)
        services = [item for item in made if item["kind"] == "Service"]  # the last is that of the gateway, if there is one
        url = f"http://{services[-1]['metadata']['name']}.{cluster.namespace}.svc:{services[-1]['spec']['ports'][0]['port']}/v1"
        delete = f"To delete it: kubectl --namespace {cluster.namespace} delete {server.resource[1].lower()} {server.name}"
        if self.options.follow and server.replicas[0]:
            watch(note(f"{server.resource[1]} {server.name} was created; its replicas are starting. Ctrl-C leaves it as it is."))
            while not cluster.available(made[0]):
                time.sleep(_PATIENCE)
        names = [name] if (name := server.run.options["name"]) else []
        return hand_over(watch, "submitted", path, f"Served at {url}. {delete}", url=url, models=names, replicas=list(server.replicas))

    def _report(self, simulated: tuple[Sizing, Simulated], folder: Path, watch: Watch) -> None:
        """Write what was simulated, and say it."""
        sizing, course = simulated
        write_autoscaling(folder, sizing, course, Path(self.options.load))
        poor = course.longest_wait > self.options.max_wait or course.flaps
        text = (
            f"Simulated on {self.options.load}: {sizing.target:g} requests in flight per replica, replicas removed after {sizing.delay} s; "
            f"maximum {max(course.asked)} replicas, {course.replica_hours:.1f} replica-hours; longest wait {course.longest_wait:.1f} s; "
            f"{course.flaps} times replicas removed and asked for again."
        )
        watch(note(f"WARNING: {text} No setting within these limits does better; raise the maximum of --autoscale." if poor else text))


def _write(made: list[Json], path: Path) -> None:
    paths.write_text(path, yaml_text(made))


def _prepared(path: Path, watch: Watch) -> int:
    return hand_over(watch, "prepared", path, f"Not submitted. To submit: kubectl apply -f {path}")
